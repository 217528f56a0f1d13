//! Attempts that are said to have been written: an undo rests on that, and is spared what slows down everything else. A
//! claim holds as far as the target shows it; who made what it shows, where somebody else wrote the very same, stays the
//! controller's word.

use smartops_common::action::ActionType;
use smartops_common::remediation::{Attempt, AttemptResult, Remediation};

use super::shown::hidden;
use super::{attempts, field};
use crate::own::answer::{Checked, flaw};
use crate::own::beside::{Astray, Beside};
use crate::own::target::Target;

/// The attempts that are said to have been written and were not before, or by another write than before.
pub(in crate::own) fn claimed<'a>(old: &Remediation, new: &'a Remediation) -> Vec<&'a Attempt> {
    let is_written = |attempt: &Attempt| attempt.result == Some(AttemptResult::Written);
    let write = |attempt: &Attempt| {
        (attempt.written_generation, attempt.written_template.clone(), attempt.written_at.clone())
    };
    let before = attempts(old);
    let after = attempts(new).iter().enumerate();
    let claimed = after.filter(|(place, attempt)| {
        let was = before.get(*place).filter(|was| is_written(was));
        is_written(attempt) && was.is_none_or(|was| write(was) != write(attempt))
    });
    claimed.map(|(_, attempt)| attempt).collect()
}

/// Why an attempt that is said to have been written was not, as far as its target tells: one that is gone, or was made
/// anew, tells nothing, and can be undone by nobody. Nothing of the target stands in a sentence.
pub(in crate::own) fn disproved(
    attempt: &Attempt,
    target: Option<&Target>,
    beside: &Beside,
) -> Option<Checked> {
    let refused = |part: &str, reason: &str, retry_after| {
        let flaws = vec![flaw(field(attempt, part), reason)];
        Some(Checked { flaws, retry_after, ..Checked::default() })
    };
    let Some(written) = attempt.written_generation else {
        let reason = "is missing; say which generation the write made";
        return refused("writtenGeneration", reason, None);
    };
    // A patch of labels makes no new generation, and what is not written on the target itself makes none of its.
    let may_stay = matches!(
        attempt.intent.type_,
        ActionType::Patch | ActionType::EvictPod | ActionType::HpaBounds
    );
    if written < attempt.target.generation || (written == attempt.target.generation && !may_stay) {
        let reason =
            "is not after the generation the attempt was recorded at; a write makes a later one";
        return refused("writtenGeneration", reason, None);
    }
    let target = target.filter(|target| target.metadata.uid == attempt.target.uid)?;
    let live = target.metadata.generation;
    if written > live {
        return refused("writtenGeneration", "is one the target has not come to", None);
    }
    // What somebody made of it since may hide a write, and then nobody can tell: look at it again.
    let retry_after = (written < live).then_some(1);
    let hidden = match beside.hides(attempt) {
        Some(Astray::Wrong(why)) => Some((why, None)),
        Some(Astray::Moved(why)) => Some((why, Some(1))),
        None => hidden(attempt, target).map(|why| (why, retry_after)),
    };
    if let Some((why, retry_after)) = hidden {
        let reason = format!("is Written, and the target does not show it: {why}");
        return refused("result", &reason, retry_after);
    }
    let template = attempt.written_template.as_ref().filter(|_| written == live);
    if template.is_some_and(|template| *template != target.spec.template.to_string()) {
        return refused("writtenTemplate", "does not agree with the target", None);
    }
    None
}
