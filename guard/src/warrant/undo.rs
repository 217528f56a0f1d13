//! Which undo is spared what time forbids: one that is warranted and whose result is the state recorded before the
//! attempt it undoes, with nothing written in between. A pause, a step and a budget are there to slow down what is new.

use smartops_change::{Change, Kind};
use smartops_common::action::ActionType;
use smartops_common::remediation::{AttemptKind, AttemptResult};

use super::{Sought, Warrant, seek};
use crate::judge::Needs;
use crate::rules::Case;

/// Whether the write is a warranted undo that brings back what was.
///
/// # Errors
/// What is lacking to tell.
pub(crate) fn restores_what_was(case: &Case<'_>) -> Result<bool, Needs> {
    if !case.subject.is_controller() {
        return Ok(false);
    }
    Ok(match seek(case, false)? {
        Sought::Held(warrant) => restores(case.change, warrant),
        Sought::Refused(_) | Sought::Unknown(_) => false,
    })
}

/// Whether a warranted write leaves the object as it was recorded before the last attempt that was written.
fn restores(change: &Change<'_>, warrant: Warrant<'_>) -> bool {
    let Warrant { remediation, attempt } = warrant;
    if attempt.kind != AttemptKind::Undo {
        return false;
    }
    let attempts = remediation.status.iter().flat_map(|status| &status.attempts);
    let applied = attempts.rev().find(|former| {
        former.kind == AttemptKind::Apply
            && former.result == Some(AttemptResult::Written)
            && former.number < attempt.number
    });
    let Some(applied) = applied else { return false };
    // One generation from before to after, and none since: nobody else wrote the object's spec.
    let follows = applied.target.uid == attempt.target.uid
        && applied.written_generation == Some(attempt.target.generation)
        && applied.target.generation.checked_add(1) == Some(attempt.target.generation);
    let number = change.replicas().and_then(|number| number.new);
    let scaled = applied.intent.type_ == ActionType::Scale;
    let has_former_template = match change.kind() {
        // A Scale does not show the template, which a scale leaves as it was.
        Kind::Scale => scaled,
        _ => match (&applied.former.template, change.template_digest_after()) {
            (Some(former), Some(after)) => *former == after.to_string(),
            _ => scaled && !change.template_changed(),
        },
    };
    follows && number == Some(applied.former.replicas.into()) && has_former_template
}
