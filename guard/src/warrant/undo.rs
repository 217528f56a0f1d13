//! Which undo is spared what time forbids, and needs no approval of its own: one that is warranted and whose result is the
//! state recorded before the attempt it undoes, with nothing written in between. A pause, a step and a budget are there to
//! slow down what is new; and whoever approved a change approved that it be taken back.

use smartops_change::{BoundsChange, Change, Kind};
use smartops_common::action::ActionType;
use smartops_common::remediation::{Attempt, AttemptKind, AttemptResult};

use super::{Sought, Warrant, seek};
use crate::judge::Needs;
use crate::rules::Case;

/// What of a Deployment an attempt records before it writes: nothing else is known to be as it was.
const RECORDED: [&[&str]; 3] = [&["spec", "replicas"], &["spec", "template"], &["spec", "paused"]];

/// Whether the write is a warranted undo that brings back what was.
///
/// # Errors
/// What is lacking to tell.
pub(crate) fn restores_what_was(case: &Case<'_>) -> Result<bool, Needs> {
    if !case.subject.is_controller() {
        return Ok(false);
    }
    Ok(match seek(case, false)? {
        Sought::Held(warrant) => undone(case.change, warrant).is_some(),
        Sought::Refused(_) | Sought::Unknown(_) => false,
    })
}

/// The last attempt that was written, where a warranted write leaves what it wrote as it was recorded before it.
pub(super) fn undone<'a>(change: &Change<'_>, warrant: Warrant<'a>) -> Option<&'a Attempt> {
    let Warrant { remediation, attempt } = warrant;
    if attempt.kind != AttemptKind::Undo {
        return None;
    }
    let attempts = remediation.status.iter().flat_map(|status| &status.attempts);
    let applied = attempts.rev().find(|former| {
        former.kind == AttemptKind::Apply
            && former.result == Some(AttemptResult::Written)
            && former.number < attempt.number
    })?;
    let restores = is_the_opposite(applied, attempt)
        && match change.kind() {
            Kind::HorizontalPodAutoscaler => restores_bounds(change, applied),
            _ => restores_spec(change, applied, attempt),
        };
    restores.then_some(applied)
}

fn is_the_opposite(applied: &Attempt, undo: &Attempt) -> bool {
    use ActionType::{HpaBounds, Patch, Pause, Resume, Rollback, Scale};
    matches!(
        (applied.intent.type_, undo.intent.type_),
        (Scale, Scale)
            | (Patch, Patch)
            | (Rollback, Rollback)
            | (Pause, Resume)
            | (Resume, Pause)
            | (HpaBounds, HpaBounds)
    )
}

/// Whether the object comes out as it was recorded, and nobody else wrote its spec.
fn restores_spec(change: &Change<'_>, applied: &Attempt, undo: &Attempt) -> bool {
    // One generation from before to after, and none since.
    let follows = applied.target.uid == undo.target.uid
        && applied.written_generation == Some(undo.target.generation)
        && applied.target.generation.checked_add(1) == Some(undo.target.generation);
    let number = change.replicas().and_then(|number| number.new);
    let (scaled, is_scale) =
        (applied.intent.type_ == ActionType::Scale, change.kind() == Kind::Scale);
    let has_former_template = match (&applied.former.template, change.template_digest_after()) {
        // A Scale does not show the template, which a scale leaves as it was.
        _ if is_scale => scaled,
        (Some(former), Some(after)) => *former == after.to_string(),
        _ => scaled && !change.template_changed(),
    };
    let differences = change.differences();
    let is_recorded = differences
        .listed()
        .iter()
        .all(|difference| RECORDED.iter().any(|recorded| difference.path.starts_with(recorded)));
    follows
        && number == Some(applied.former.replicas.into())
        && has_former_template
        && is_recorded
        && !differences.is_truncated()
        && change.bookkeeping().next().is_none()
}

/// Whether an autoscaler gets back the bounds it had, and has had those that were written until now.
fn restores_bounds(change: &Change<'_>, applied: &Attempt) -> bool {
    let Some(BoundsChange { old: Some(old), new: Some(new) }) = change.bounds() else {
        return false;
    };
    let (Some(written), Some(former)) = (&applied.intent.bounds, applied.former.bounds) else {
        return false;
    };
    let is_it = change.old().is_some_and(|old| old.uid == written.uid);
    let pair = |min: i32, max: i32| (i64::from(min), i64::from(max));
    is_it
        && (old.min, old.max) == pair(written.min_replicas, written.max_replicas)
        && (new.min, new.max) == pair(former.min_replicas, former.max_replicas)
}
