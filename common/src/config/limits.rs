//! How much the closed loop may do, and how long what it did is kept. The defaults suit a cluster of some hundred
//! workloads.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much the closed loop does at once and in a while, over all targets. Calls of the API are not counted.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Remedies under way at once in the cluster, between their first attempt and their end.
    #[serde(default = "default_in_flight")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_in_flight: u32,
    /// When signals about many targets at once are held: they usually have one cause, which is none of the targets.
    #[serde(default)]
    pub storm: Storm,
    /// How many remedies may be begun in one namespace in a while.
    #[serde(default)]
    pub namespace_rate: Rate,
    /// How long a signal may wait for its turn before it is old news and skipped. Seconds.
    #[serde(default = "default_stale")]
    #[schemars(range(min = 30, max = 86400))]
    pub stale_seconds: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_in_flight: default_in_flight(),
            storm: Storm::default(),
            namespace_rate: Rate::default(),
            stale_seconds: default_stale(),
        }
    }
}

const fn default_in_flight() -> u32 {
    10
}

const fn default_stale() -> u32 {
    900
}

/// A storm: signals about more targets than `targets` within `windowSeconds`.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Storm {
    /// The most targets that are no storm.
    #[serde(default = "default_storm_targets")]
    #[schemars(range(min = 1, max = 100_000))]
    pub targets: u32,
    /// Seconds.
    #[serde(default = "default_storm_window")]
    #[schemars(range(min = 1, max = 3600))]
    pub window_seconds: u32,
}

impl Default for Storm {
    fn default() -> Self {
        Self { targets: default_storm_targets(), window_seconds: default_storm_window() }
    }
}

const fn default_storm_targets() -> u32 {
    20
}

const fn default_storm_window() -> u32 {
    60
}

/// How many remedies in a while.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rate {
    /// The most.
    #[serde(default = "default_rate")]
    #[schemars(range(min = 1, max = 100_000))]
    pub remedies: u32,
    /// Seconds.
    #[serde(default = "default_rate_window")]
    #[schemars(range(min = 1, max = 86400))]
    pub window_seconds: u32,
}

impl Default for Rate {
    fn default() -> Self {
        Self { remedies: default_rate(), window_seconds: default_rate_window() }
    }
}

const fn default_rate() -> u32 {
    60
}

const fn default_rate_window() -> u32 {
    600
}

/// How long Remediations that have ended are kept. Each stays in any case while something is decided by it (ten minutes, its
/// cooldown, an hour for an Idempotency-Key). Beyond its age stays the latest of each cause, among the newest
/// `maxPerTarget` of its target, and, beside them and as many at most, the last that acted on each alert, which may hold
/// still; none of a target that is gone. Events and logs are the longer memory.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retention {
    /// For so long after their end. Hours.
    #[serde(default = "default_hours")]
    #[schemars(range(min = 1, max = 87_600))]
    pub max_age_hours: u32,
    /// The most of one target, except what something is decided by and the last that acted on each alert.
    #[serde(default = "default_per_target")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_per_target: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { max_age_hours: default_hours(), max_per_target: default_per_target() }
    }
}

const fn default_hours() -> u32 {
    168
}

const fn default_per_target() -> u32 {
    50
}
