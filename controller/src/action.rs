//! Actions: one file each. An action plans (what was asked and what is seen become exact values), describes the request
//! that writes them, recognises them in what is seen, and says what takes them back. Everything here is a pure function
//! of values; sending is `cluster`'s, deciding when is `remediation`'s, judging is the webhook's.

pub mod evict_pod;
pub mod hpa_bounds;
pub mod patch;
pub mod pause;
pub mod restart;
pub mod rollback;
pub mod scale;
pub mod undo;

use jiff::Timestamp;
use kube::api::Patch;
use serde_json::Value;
use smartops_common::action::{Action, ActionType, Intent};

use crate::remediation::means::Means;
use crate::target::Live;

/// An action or intent that cannot be carried out as it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

/// What an action works on: its target, and what else it has to see. Most need the target alone.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The target.
    pub live: &'a Live,
    /// Its revisions, pods and autoscaler, where the action's type [needs](needs_means) them.
    pub means: &'a Means,
}

impl<'a> From<&'a Live> for Seen<'a> {
    fn from(live: &'a Live) -> Self {
        Self { live, means: Means::NONE }
    }
}

/// One write, ready to be sent: first as a server-side dry run, then for good. Each carries its precondition: the
/// resourceVersion it was planned for, or the uid of the pod.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// A patch of the Deployment.
    Deployment(Patch<Value>),
    /// A patch of its scale subresource, which can change nothing but the number.
    Scale(Patch<Value>),
    /// The eviction of one pod, which every PodDisruptionBudget has a say in.
    Eviction {
        /// The pod's name.
        pod: String,
        /// Its uid: a pod made anew under that name stays.
        uid: String,
    },
    /// A patch of the HorizontalPodAutoscaler of this name.
    Autoscaler {
        /// Its name.
        name: String,
        /// The patch.
        patch: Patch<Value>,
    },
}

/// Whether an action of this type has to see more than its target.
pub const fn needs_means(type_: ActionType) -> bool {
    matches!(type_, ActionType::Rollback | ActionType::EvictPod | ActionType::HpaBounds)
}

/// Whether an action of this type is written on its target, so that the target's generation tells of it.
pub const fn is_on_target(type_: ActionType) -> bool {
    !matches!(type_, ActionType::EvictPod | ActionType::HpaBounds)
}

/// The exact values `action` means for what is seen. `recorded` is the intent of this Remediation's first attempt, where
/// there was one: a relative action keeps the values it came to then, or a repeat would add its step twice.
pub fn plan<'a>(
    action: &Action,
    recorded: Option<&Intent>,
    seen: impl Into<Seen<'a>>,
    now: Timestamp,
) -> Result<Intent, Malformed> {
    let seen = seen.into();
    match action.type_ {
        ActionType::Scale => scale::plan(action, recorded, seen.live),
        ActionType::Restart => Ok(restart::plan(seen.live, now)),
        ActionType::Patch => patch::plan(action),
        ActionType::Rollback => rollback::plan(action, recorded, seen),
        ActionType::EvictPod => evict_pod::plan(action, recorded, seen),
        ActionType::Pause | ActionType::Resume => Ok(Intent::of(action.type_)),
        ActionType::HpaBounds => hpa_bounds::plan(action, recorded, seen),
    }
}

/// What `proposed` has become for what is seen. Values somebody is asked to approve stay as they are, unless the object
/// makes others of them.
pub fn replan<'a>(
    action: &Action,
    proposed: &Intent,
    seen: impl Into<Seen<'a>>,
    now: Timestamp,
) -> Result<Intent, Malformed> {
    let seen = seen.into();
    match action.type_ {
        ActionType::Restart if !restart::is_applied(proposed, seen.live) => Ok(proposed.clone()),
        _ => plan(action, Some(proposed), seen, now),
    }
}

/// The request that writes `intent`, on condition that the target is still at `resource_version`.
pub fn write<'a>(
    intent: &Intent,
    resource_version: &str,
    seen: impl Into<Seen<'a>>,
) -> Result<Write, Malformed> {
    match intent.type_ {
        ActionType::Scale => scale::write(intent, resource_version),
        ActionType::Restart => restart::write(intent, resource_version),
        ActionType::Patch => patch::write(intent, resource_version),
        ActionType::Rollback => rollback::write(intent, resource_version, seen.into().means),
        ActionType::EvictPod => evict_pod::write(intent),
        ActionType::Pause | ActionType::Resume => Ok(pause::write(intent, resource_version)),
        ActionType::HpaBounds => hpa_bounds::write(intent),
    }
}

/// Whether what is seen shows the values of `intent`. For a patch this is a sufficient sign only: where it cannot be
/// told from the object, the answer is `false`.
pub fn is_applied<'a>(intent: &Intent, seen: impl Into<Seen<'a>>) -> bool {
    let seen = seen.into();
    match intent.type_ {
        ActionType::Scale => scale::is_applied(intent, seen.live),
        ActionType::Restart => restart::is_applied(intent, seen.live),
        ActionType::Patch => patch::is_applied(intent, seen.live),
        ActionType::Rollback => rollback::is_applied(intent, seen.live),
        ActionType::EvictPod => evict_pod::is_applied(intent, seen.means),
        ActionType::Pause | ActionType::Resume => pause::is_applied(intent, seen.live),
        ActionType::HpaBounds => hpa_bounds::is_applied(intent, seen.means),
    }
}

/// Whether writing `intent` could change nothing, as far as that can be told before asking the API server.
pub fn is_unchanged<'a>(intent: &Intent, seen: impl Into<Seen<'a>>) -> bool {
    !matches!(intent.type_, ActionType::Restart | ActionType::Patch) && is_applied(intent, seen)
}
