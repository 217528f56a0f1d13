//! Actions: one file each. An action plans (what was asked and the live object become exact values), describes the
//! request that writes them, and recognises them in a live object. Everything here is a pure function of values;
//! sending is `cluster`'s, deciding when is `remediation`'s, judging is the webhook's.

pub mod patch;
pub mod restart;
pub mod scale;

use jiff::Timestamp;
use kube::api::Patch;
use serde_json::Value;
use smartops_common::action::{Action, ActionType, Intent};

use crate::target::Live;

/// An action or intent that cannot be carried out as it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

/// One write, ready to be sent: first as a server-side dry run, then for good.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// Whether it goes to `deployments/scale` instead of `deployments`.
    pub scale: bool,
    /// The patch, the resourceVersion precondition included.
    pub patch: Patch<Value>,
}

/// The exact values `action` means for `live`. `recorded` is the intent of this Remediation's first attempt, where
/// there was one: a relative action keeps the values it came to then, or a repeat would add its step twice.
pub fn plan(
    action: &Action,
    recorded: Option<&Intent>,
    live: &Live,
    now: Timestamp,
) -> Result<Intent, Malformed> {
    match action.type_ {
        ActionType::Scale => scale::plan(action, recorded, live),
        ActionType::Restart => Ok(restart::plan(live, now)),
        ActionType::Patch => patch::plan(action),
        type_ => Err(unknown(type_)),
    }
}

/// What `proposed` has become for `live`. Values somebody is asked to approve stay as they are, unless the object makes
/// others of them.
pub fn replan(
    action: &Action,
    proposed: &Intent,
    live: &Live,
    now: Timestamp,
) -> Result<Intent, Malformed> {
    match action.type_ {
        ActionType::Restart if !restart::is_applied(proposed, live) => Ok(proposed.clone()),
        _ => plan(action, Some(proposed), live, now),
    }
}

/// The request that writes `intent`, on condition that the object is still at `resource_version`.
pub fn write(intent: &Intent, resource_version: &str) -> Result<Write, Malformed> {
    match intent.type_ {
        ActionType::Scale => scale::write(intent, resource_version),
        ActionType::Restart => restart::write(intent, resource_version),
        ActionType::Patch => patch::write(intent, resource_version),
        type_ => Err(unknown(type_)),
    }
}

/// Whether `live` shows the values of `intent`. For a patch this is a sufficient sign only: where it cannot be told
/// from the object, the answer is `false`.
pub fn is_applied(intent: &Intent, live: &Live) -> bool {
    match intent.type_ {
        ActionType::Scale => scale::is_applied(intent, live),
        ActionType::Restart => restart::is_applied(intent, live),
        ActionType::Patch => patch::is_applied(intent, live),
        _ => false,
    }
}

fn unknown(type_: ActionType) -> Malformed {
    Malformed(format!("a {type_} cannot be carried out by this version"))
}

/// Whether writing `intent` could change nothing, as far as that can be told before asking the API server.
pub fn is_unchanged(intent: &Intent, live: &Live) -> bool {
    intent.type_ == ActionType::Scale && scale::is_applied(intent, live)
}
