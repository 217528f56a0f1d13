//! What can be done to a target: the action as asked (perhaps relative) and the intent as it will be written
//! (always absolute). Planning turns the first into the second against the live object.

mod intent;

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::intent::{BoundsIntent, Intent, PodIntent, RevisionIntent};

/// The kinds of action, by the names callers and metrics use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ActionType {
    /// Change the number of replicas through the scale subresource.
    Scale,
    /// Roll all pods by stamping the pod template.
    Restart,
    /// Patch the Deployment within the safelist.
    Patch,
    /// Bring back the pod template of an earlier revision.
    Rollback,
    /// Evict one unhealthy pod, so that another takes its place.
    EvictPod,
    /// Pause the rollout.
    Pause,
    /// Resume a paused rollout.
    Resume,
    /// Move the bounds of the HorizontalPodAutoscaler that owns the number of replicas.
    HpaBounds,
}

impl ActionType {
    /// Every action, for metrics and error texts.
    pub const ALL: [Self; 8] = [
        Self::Scale,
        Self::Restart,
        Self::Patch,
        Self::Rollback,
        Self::EvictPod,
        Self::Pause,
        Self::Resume,
        Self::HpaBounds,
    ];

    /// The name callers and metrics use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scale => "scale",
            Self::Restart => "restart",
            Self::Patch => "patch",
            Self::Rollback => "rollback",
            Self::EvictPod => "evict-pod",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::HpaBounds => "hpa-bounds",
        }
    }
}

impl std::fmt::Display for ActionType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An action as asked: of the parameters those that `type` names are given and no others; a restart, a pause and a resume
/// have none, those of a rollback and an eviction may be left out.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = kube_core::Rule::new("has(self.scale) == (self.type == 'scale') && has(self.patch) == (self.type == 'patch') && has(self.hpaBounds) == (self.type == 'hpa-bounds') && (!has(self.rollback) || self.type == 'rollback') && (!has(self.evictPod) || self.type == 'evict-pod')")
        .message("exactly the parameters of the action's type must be given")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Action {
    /// Which action.
    #[serde(rename = "type")]
    pub type_: ActionType,
    /// For `scale`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<ScaleParameters>,
    /// For `patch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<PatchParameters>,
    /// For `rollback`; absent means the latest earlier revision that differs from the present one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackParameters>,
    /// For `evict-pod`; absent means the unhealthy pod that restarted most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evict_pod: Option<EvictPodParameters>,
    /// For `hpa-bounds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hpa_bounds: Option<HpaBoundsParameters>,
}

/// How many replicas: exactly one of the two.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = kube_core::Rule::new("has(self.replicas) != has(self.delta)")
        .message("give either replicas or delta")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScaleParameters {
    /// The number of replicas wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Replicas to add to (or take from) what the live object asks for when the action is planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<i32>,
}

/// How a patch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PatchFormat {
    /// A strategic merge patch: an object; lists merge by their Kubernetes keys.
    Strategic,
    /// A JSON Patch (RFC 6902): an array of operations.
    Json,
}

/// A patch and its format.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PatchParameters {
    /// How `body` reads.
    pub format: PatchFormat,
    /// The patch itself, as JSON text: what is recorded is byte for byte what will be sent.
    #[schemars(length(max = 65536))]
    pub body: String,
}

/// Which revision to bring back.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RollbackParameters {
    /// The number `kubectl rollout history` shows.
    #[schemars(range(min = 1))]
    pub to_revision: i64,
}

/// Which pod to evict.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EvictPodParameters {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub pod: String,
}

/// Where the bounds of an autoscaler go: numbers, or steps from where they are. What is not given stays.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = kube_core::Rule::new("(has(self.minReplicas) || has(self.maxReplicas)) != (has(self.minDelta) || has(self.maxDelta))")
        .message("give either bounds (minReplicas, maxReplicas) or steps (minDelta, maxDelta)")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HpaBoundsParameters {
    /// The lower bound wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub min_replicas: Option<i32>,
    /// The upper bound wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_replicas: Option<i32>,
    /// To be added to the lower bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_delta: Option<i32>,
    /// To be added to the upper bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_delta: Option<i32>,
}

impl Action {
    /// An action of this type without parameters.
    pub const fn of(type_: ActionType) -> Self {
        Self { type_, scale: None, patch: None, rollback: None, evict_pod: None, hpa_bounds: None }
    }

    /// Scale to exactly this many.
    pub fn scale_to(replicas: i32) -> Self {
        Self::scale(ScaleParameters { replicas: Some(replicas), delta: None })
    }

    /// Scale by this many.
    pub fn scale_by(delta: i32) -> Self {
        Self::scale(ScaleParameters { replicas: None, delta: Some(delta) })
    }

    fn scale(scale: ScaleParameters) -> Self {
        Self { scale: Some(scale), ..Self::of(ActionType::Scale) }
    }

    /// A rolling restart.
    pub const fn restart() -> Self {
        Self::of(ActionType::Restart)
    }

    /// A patch.
    pub fn patch(format: PatchFormat, body: &Value) -> Self {
        let patch = PatchParameters { format, body: body.to_string() };
        Self { patch: Some(patch), ..Self::of(ActionType::Patch) }
    }
}
