//! Which of its further actions SmartOps' controller may take: going back to an earlier revision, evicting a pod, pausing
//! and resuming a rollout, moving an autoscaler's bounds. All are off unless a policy switches them on, and each write
//! needs its warrant, which says exactly what is written; so the policy's own rules about paths and about changing images
//! yield to it. Its other rules do not, nor do other policies.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smartops_change::{Change, Kind, Operation, Resource};
use smartops_common::action::ActionType;
use smartops_common::denial::Rule;

use super::Case;
use crate::findings::Finding;
use crate::judge::Needs;
use crate::policy::ends_a_pod;
use crate::warrant::{Sought, seek};

/// Which of its further actions SmartOps' controller may take on what the policy means. Each write needs a Remediation
/// that announced it; bounds, pauses, budgets and frozen times hold for it as for any other.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct CapabilitiesSpec {
    /// Bring back the pod template of an earlier revision. Where that changes images, somebody has to have approved it.
    #[serde(default)]
    pub rollback: bool,
    /// Evict an unhealthy pod, as its disruption budget lets it.
    #[serde(default)]
    pub pod_eviction: bool,
    /// Pause a rollout, and resume it.
    #[serde(default)]
    pub pause: bool,
    /// Move the bounds of the autoscaler that owns the number of replicas.
    #[serde(default)]
    pub hpa_bounds: bool,
}

/// One of those actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Capability {
    Rollback,
    PodEviction,
    Pause,
    HpaBounds,
}

/// Which capability a write uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Used {
    /// None: it is another write, or nothing announced it.
    Nothing,
    /// This one; what announced it says exactly so.
    By(Capability),
    /// What could have announced it could not be read.
    Unknown(&'static str),
}

/// The rule, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capabilities(CapabilitiesSpec);

impl Capability {
    const fn of(action: ActionType) -> Option<Self> {
        match action {
            ActionType::Rollback => Some(Self::Rollback),
            ActionType::EvictPod => Some(Self::PodEviction),
            ActionType::Pause | ActionType::Resume => Some(Self::Pause),
            ActionType::HpaBounds => Some(Self::HpaBounds),
            ActionType::Scale | ActionType::Restart | ActionType::Patch => None,
        }
    }

    /// Its name in a policy, and what it is in a sentence.
    const fn told(self) -> (&'static str, &'static str) {
        match self {
            Self::Rollback => ("rollback", "going back to an earlier revision"),
            Self::PodEviction => ("podEviction", "evicting a pod"),
            Self::Pause => ("pause", "pausing or resuming a rollout"),
            Self::HpaBounds => ("hpaBounds", "moving the bounds of an autoscaler"),
        }
    }
}

/// Which capability the write uses.
///
/// # Errors
/// What is lacking to tell.
pub(super) fn used(case: &Case<'_>) -> Result<Used, Needs> {
    if !case.subject.is_controller() || !may_use(case.change) {
        return Ok(Used::Nothing);
    }
    Ok(match seek(case, false)? {
        Sought::Held(warrant) => {
            Capability::of(warrant.attempt.intent.type_).map_or(Used::Nothing, Used::By)
        }
        Sought::Refused(_) => Used::Nothing,
        Sought::Unknown(what) => Used::Unknown(what),
    })
}

/// Whether a write is of a sort that takes a capability.
fn may_use(change: &Change<'_>) -> bool {
    let Resource { subresource, .. } = change.resource();
    match change.operation() {
        Operation::Update => {
            matches!(change.kind(), Kind::Deployment | Kind::HorizontalPodAutoscaler)
        }
        Operation::Create => ends_a_pod(change) && !subresource.is_empty(),
        Operation::Delete | Operation::Connect => false,
    }
}

impl Capabilities {
    pub(super) const fn new(spec: CapabilitiesSpec) -> Self {
        Self(spec)
    }

    const fn has(self, capability: Capability) -> bool {
        match capability {
            Capability::Rollback => self.0.rollback,
            Capability::PodEviction => self.0.pod_eviction,
            Capability::Pause => self.0.pause,
            Capability::HpaBounds => self.0.hpa_bounds,
        }
    }

    pub(super) fn judge(self, capability: Capability, found: &mut Vec<Finding>) {
        if self.has(capability) {
            return;
        }
        let (name, deed) = capability.told();
        found.push(Finding {
            rule: Rule::Capabilities,
            path: String::new(),
            message: format!(
                "{deed} is off here; whoever owns the policy can switch it on by spec.rules.capabilities.{name}: true"
            ),
            retry_after: None,
            refuses: true,
        });
    }
}

#[cfg(test)]
mod tests;
