//! What can be done to a target: the action as asked (perhaps relative) and the intent as it will be written
//! (always absolute). Planning turns the first into the second against the live object.

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The kinds of action, by the names callers and metrics use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ActionType {
    /// Change the number of replicas through the scale subresource.
    Scale,
    /// Roll all pods by stamping the pod template.
    Restart,
    /// Patch the Deployment within the safelist.
    Patch,
}

impl ActionType {
    /// Every action, for metrics and error texts.
    pub const ALL: [Self; 3] = [Self::Scale, Self::Restart, Self::Patch];

    /// The name callers and metrics use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scale => "scale",
            Self::Restart => "restart",
            Self::Patch => "patch",
        }
    }
}

impl std::fmt::Display for ActionType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An action as asked: exactly one of the fields is set, the one `type` names.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = kube_core::Rule::new("self.type == 'scale' ? has(self.scale) && !has(self.patch) : self.type == 'patch' ? has(self.patch) && !has(self.scale) : !has(self.scale) && !has(self.patch)")
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

/// What an attempt will write: absolute values of the action's type and nothing else.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = kube_core::Rule::new("self.type == 'scale' ? has(self.replicas) && !has(self.restartedAt) && !has(self.patch) : self.type == 'restart' ? has(self.restartedAt) && !has(self.replicas) && !has(self.patch) : has(self.patch) && !has(self.replicas) && !has(self.restartedAt)")
        .message("exactly the values of the action's type must be given: replicas of a scale, restartedAt of a restart, patch of a patch")
)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// Which action.
    #[serde(rename = "type")]
    pub type_: ActionType,
    /// For `scale`: the exact number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// For `restart`: the exact value of the annotation, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarted_at: Option<String>,
    /// For `patch`: the exact patch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<PatchParameters>,
}

impl Action {
    /// Scale to exactly this many.
    pub fn scale_to(replicas: i32) -> Self {
        Self::scale(ScaleParameters { replicas: Some(replicas), delta: None })
    }

    /// Scale by this many.
    pub fn scale_by(delta: i32) -> Self {
        Self::scale(ScaleParameters { replicas: None, delta: Some(delta) })
    }

    fn scale(scale: ScaleParameters) -> Self {
        Self { type_: ActionType::Scale, scale: Some(scale), patch: None }
    }

    /// A rolling restart.
    pub fn restart() -> Self {
        Self { type_: ActionType::Restart, scale: None, patch: None }
    }

    /// A patch.
    pub fn patch(format: PatchFormat, body: &Value) -> Self {
        let patch = PatchParameters { format, body: body.to_string() };
        Self { type_: ActionType::Patch, scale: None, patch: Some(patch) }
    }
}
