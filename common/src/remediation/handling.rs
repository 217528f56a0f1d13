//! How a remedy is to be handled: what a RemediationPolicy says beside the action itself. It stands in the spec of each
//! Remediation the policy decided, so that what was decided then holds to its end.

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a remedy is done. What is absent is as the installation's defaults have it.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Handling {
    /// The RemediationPolicy that decided, and which rule of it, as `policy/rule`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub decided_by: Option<String>,
    /// Why the RemediationPolicy that should have decided could not: nothing is begun, and the Remediation ends Skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub policy_invalid: Option<String>,
    /// For how long the closed loop leaves the target alone after it acted on it. Seconds; absent means the flag
    /// `--cooldown-seconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 86400))]
    pub cooldown_seconds: Option<u32>,
    /// How long a signal waits for others that say more about the same target. Seconds; absent means 1, and 0 for a
    /// root-cause analysis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 300))]
    pub debounce_seconds: Option<u32>,
    /// Whether a remedy that failed its verification is taken back.
    #[serde(default)]
    pub undo: Undo,
    /// What becomes of a scale where an autoscaler owns the number of replicas.
    #[serde(default)]
    pub autoscaler: Autoscaler,
    /// What becomes of a change that a GitOps tool would take back.
    #[serde(default)]
    pub git_ops: GitOps,
}

impl Handling {
    /// Whether it says nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether a remedy that failed its verification is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Undo {
    /// It is, unless somebody else has changed the target since.
    #[default]
    OnFailure,
    /// It is left for people to look at.
    Never,
}

/// What becomes of a scale where an autoscaler owns the number of replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Autoscaler {
    /// It is not begun: the autoscaler would take it back within seconds.
    #[default]
    Refuse,
    /// The step is made at the autoscaler's bounds instead, where capabilities allow that.
    Bounds,
}

/// What becomes of a change that a GitOps tool would take back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum GitOps {
    /// It is not begun, and the tool is named.
    #[default]
    Refuse,
    /// It is made all the same: the tool is known to leave that alone.
    Act,
}

/// A question to Prometheus, asked before the remedy and after its rollout. At least one of the limits is given; numbers
/// are texts, as quantities are.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = kube_core::Rule::new("has(self.max) || has(self.min) || has(self.maxRatio)")
        .message("give a limit: max, min or maxRatio")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MetricCheck {
    /// What it is about, for people: `p95 latency`.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The PromQL query: one number. `$namespace` and `$deployment` stand for the target's.
    #[schemars(length(min = 1, max = 2048))]
    pub query: String,
    /// The answer may be at most this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub max: Option<String>,
    /// The answer has to be at least this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub min: Option<String>,
    /// The answer may be at most so many times what it was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub max_ratio: Option<String>,
}
