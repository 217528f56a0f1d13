//! The intent: what an attempt will write, in absolute values.

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ActionType, PatchParameters};

/// What an attempt will write: absolute values of the action's type and nothing else.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = kube_core::Rule::new("has(self.replicas) == (self.type == 'scale') && has(self.restartedAt) == (self.type == 'restart') && has(self.patch) == (self.type == 'patch') && has(self.revision) == (self.type == 'rollback') && has(self.pod) == (self.type == 'evict-pod') && has(self.bounds) == (self.type == 'hpa-bounds')")
        .message("exactly the values of the action's type must be given: replicas of a scale, restartedAt of a restart, patch of a patch, revision of a rollback, pod of an eviction, bounds of an autoscaler")
)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// Which action. A pause and a resume say all by their type.
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
    /// For `rollback`: the revision whose template is brought back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<RevisionIntent>,
    /// For `evict-pod`: the one pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodIntent>,
    /// For `hpa-bounds`: the autoscaler and its exact bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounds: Option<BoundsIntent>,
}

/// The revision a rollback brings back: a ReplicaSet the target owns, and its template.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RevisionIntent {
    /// The ReplicaSet's name.
    #[schemars(length(min = 1, max = 253))]
    pub replica_set: String,
    /// Its uid.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
    /// Its number in `kubectl rollout history`, for people: numbers move when a revision is brought back.
    pub number: i64,
    /// Digest of its pod template without the label `pod-template-hash`: what the target's template becomes.
    #[schemars(length(min = 1, max = 64))]
    pub template: String,
}

/// The pod an eviction is for.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PodIntent {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its uid: a pod made anew under that name is another.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
}

/// An autoscaler and the bounds it gets.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BoundsIntent {
    /// The HorizontalPodAutoscaler's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its uid.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
    /// The version the bounds were read at: the write depends on it.
    #[schemars(length(min = 1, max = 64))]
    pub resource_version: String,
    /// The lower bound.
    pub min_replicas: i32,
    /// The upper bound.
    pub max_replicas: i32,
}

impl Intent {
    /// One of this type without values.
    pub const fn of(type_: ActionType) -> Self {
        Self {
            type_,
            replicas: None,
            restarted_at: None,
            patch: None,
            revision: None,
            pod: None,
            bounds: None,
        }
    }

    /// A scale to this many.
    pub fn scale(replicas: i32) -> Self {
        Self { replicas: Some(replicas), ..Self::of(ActionType::Scale) }
    }

    /// A restart stamped so.
    pub fn restart(restarted_at: String) -> Self {
        Self { restarted_at: Some(restarted_at), ..Self::of(ActionType::Restart) }
    }

    /// This very patch.
    pub fn patch(patch: PatchParameters) -> Self {
        Self { patch: Some(patch), ..Self::of(ActionType::Patch) }
    }
}
