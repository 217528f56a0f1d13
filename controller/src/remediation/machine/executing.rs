//! An open attempt: written once, or recognised as written, or given up for another.

use jiff::Timestamp;
use smartops_common::action::ActionType;
use smartops_common::denial::{Denial, Rule};
use smartops_common::remediation::{
    Attempt, AttemptKind, AttemptResult, Phase, Remediation, RemediationStatus,
};

use super::{
    Facts, Step, TURN_POLL, Written, age_key, fail_unless_retried, has_begun, others_of, reason,
    undoing,
};
use crate::action::{self, Seen, hpa_bounds};
use crate::failure::Failure;
use crate::remediation::record;
use crate::target::Live;

/// Judge and write the open attempt, or recognise what has become of it.
pub(super) fn executing(
    remediation: &Remediation,
    mut status: RemediationStatus,
    live: &Live,
    facts: Facts<'_>,
) -> Step {
    let Some(attempt) = status.attempts.last().cloned() else { return Step::Done };
    let is_real = !remediation.spec.dry_run;
    let seen = facts.seen(live);
    let is_on_target = action::is_on_target(attempt.intent.type_);
    let has_moved = has_moved(&attempt, seen);
    let is_found = |a: &Attempt| is_real && a.kind == attempt.kind && is_seen(a, seen);
    if let Some(found) = status.attempts.iter().position(is_found) {
        let result = if found + 1 == status.attempts.len() {
            AttemptResult::Written
        } else {
            // An earlier attempt's write is what is there: this one has nothing left to do.
            record::mark_written(&mut status.attempts[found], live, facts.now);
            AttemptResult::Unchanged
        };
        written(remediation, &mut status, result, live, facts.now);
    } else if attempt.leader != facts.leader && (attempt.sent_at.is_none() || !has_moved) {
        // Whatever its process still sends is refused, because this has ended. Should it have been faster, the next
        // attempt recognises it.
        record::take_over(&mut status);
    } else if attempt.sent_at.is_some() && has_moved && has_former_bounds(&attempt, seen) {
        // What was sent depended on the version that is gone: it was not written, nor will be.
        let words =
            "it was sent and got no answer, and the autoscaler moved with the bounds it had";
        record::settle(&mut status, AttemptResult::Conflict, Some(words));
    } else if attempt.sent_at.is_some() && has_moved {
        let words = "it was sent and got no answer, and the object has moved on: whether it was written cannot be told";
        record::settle(&mut status, AttemptResult::Expired, Some(words));
        record::finish(&mut status, Phase::TimedOut, reason::UNKNOWN, words, facts.now);
    } else if facts.now >= attempt.deadline.0 {
        let words = "its deadline passed before it was written";
        let words =
            attempt.message.map_or_else(|| words.to_owned(), |why| format!("{words}: {why}"));
        record::settle(&mut status, AttemptResult::Expired, Some(&words));
        fail_unless_retried(&mut status, reason::UNAVAILABLE, &words, facts.now);
    } else if is_on_target
        && live.generation() == attempt.target.generation
        && live.resource_version() != attempt.target.resource_version
    {
        // Only its status moved, as it does all the time: the same attempt, on condition of what is there now.
        record::rebase(&mut status, live);
    } else if has_moved {
        let words = "the target moved after it was read";
        record::settle(&mut status, AttemptResult::Conflict, Some(words));
    } else if is_real && action::is_unchanged(&attempt.intent, seen) {
        written(remediation, &mut status, AttemptResult::Unchanged, live, facts.now);
    } else if is_asked_before(remediation, &status, &attempt) {
        return Step::Ask;
    } else {
        // Two that began at the same moment see each other here: the later one steps back, the other waits for that.
        let rivals = others_of(remediation, facts.others)
            .filter(|o| is_real && !o.spec.dry_run && has_begun(o));
        match rivals.min_by_key(|o| age_key(o)) {
            None => {
                let version = &attempt.target.resource_version;
                match action::write(&attempt.intent, version, seen) {
                    Ok(write) => return Step::Write(Box::new(write)),
                    Err(error) => {
                        let failure = Failure::Rejected { code: 400, message: error.to_string() };
                        failed(&mut status, failure, facts.now);
                    }
                }
            }
            Some(rival) if age_key(rival) > age_key(remediation) => return Step::Wait(TURN_POLL),
            Some(_) => {
                let words = "another Remediation of this target began first";
                record::settle(&mut status, AttemptResult::Conflict, Some(words));
            }
        }
    }
    Step::Record(Box::new(status))
}

/// Whether Prometheus has to say how it is before the first write.
fn is_asked_before(
    remediation: &Remediation,
    status: &RemediationStatus,
    attempt: &Attempt,
) -> bool {
    let spec = &remediation.spec;
    let is_first = status.attempts.iter().all(|a| a.sent_at.is_none());
    let is_wanted = spec.verify && !spec.dry_run && attempt.kind == AttemptKind::Apply;
    is_wanted && is_first && status.checks.len() < spec.checks.len()
}

/// Whether `seen` shows what an attempt wrote, and changed since it was recorded. The same values are somebody else's
/// where nothing was sent.
fn is_seen(attempt: &Attempt, seen: Seen<'_>) -> bool {
    may_be_written(attempt)
        && (!action::is_on_target(attempt.intent.type_)
            || seen.live.generation() > attempt.target.generation)
        && action::is_applied(&attempt.intent, seen)
}

/// Whether what an attempt is to be written on was written since it was recorded. A pod that is to go is there or is not.
fn has_moved(attempt: &Attempt, seen: Seen<'_>) -> bool {
    match attempt.intent.type_ {
        ActionType::EvictPod => false,
        ActionType::HpaBounds => hpa_bounds::has_moved(&attempt.intent, seen.means),
        _ => seen.live.generation() != attempt.target.generation,
    }
}

/// Whether the autoscaler whose bounds are to move has those that were recorded before.
fn has_former_bounds(attempt: &Attempt, seen: Seen<'_>) -> bool {
    let (Some(wanted), Some(former)) = (&attempt.intent.bounds, attempt.former.bounds) else {
        return false;
    };
    let autoscaler = seen.means.autoscaler.as_ref().filter(|live| live.uid == wanted.uid);
    autoscaler.is_some_and(|live| hpa_bounds::bounds(live) == former)
}

fn may_be_written(attempt: &Attempt) -> bool {
    match attempt.result {
        Some(AttemptResult::Written) => true,
        Some(AttemptResult::Unchanged | AttemptResult::DryRun) => false,
        _ => attempt.sent_at.is_some(),
    }
}

/// Whether the webhook could not decide, has not yet seen the change before, or saw the object move: no guardrail's
/// refusal, and gone in a moment.
pub fn is_transient(denial: &Denial) -> bool {
    denial.leading_rule() == Some(Rule::Undecided) || denial.retry_after_seconds == Some(1)
}

/// The status once the open attempt was judged and written.
pub fn after_write(
    remediation: &Remediation,
    outcome: Written,
    now: Timestamp,
) -> RemediationStatus {
    let mut status = remediation.status.clone().unwrap_or_default();
    match outcome {
        Written::Committed(live) => {
            written(remediation, &mut status, AttemptResult::Written, &live, now);
        }
        Written::Unchanged(live) => {
            written(remediation, &mut status, AttemptResult::Unchanged, &live, now);
        }
        Written::Passed => {
            record::settle(&mut status, AttemptResult::DryRun, None);
            let message = "the dry run passed; nothing was written";
            record::finish(&mut status, Phase::DryRun, reason::DRY_RUN_PASSED, message, now);
        }
        Written::Expired => {
            let words = "its deadline passed before it was written";
            record::settle(&mut status, AttemptResult::Expired, Some(words));
            fail_unless_retried(&mut status, reason::UNAVAILABLE, words, now);
        }
        Written::Failed(failure) => failed(&mut status, failure, now),
    }
    status
}

fn written(
    remediation: &Remediation,
    status: &mut RemediationStatus,
    result: AttemptResult,
    live: &Live,
    now: Timestamp,
) {
    record::settle_written(status, result, live, now);
    if remediation.spec.dry_run {
        let message = "the dry run changes nothing: the target already is as asked";
        record::finish(status, Phase::DryRun, reason::DRY_RUN_PASSED, message, now);
    } else if remediation.spec.verify {
        for check in &mut status.checks {
            (check.after, check.verdict) = (None, None);
        }
        record::begin_verification(status, now);
    } else if result == AttemptResult::Written {
        let message = "written; verification was not asked for";
        record::finish(status, Phase::Succeeded, reason::WRITTEN, message, now);
    } else {
        let message = "the target already was as asked; nothing was written";
        record::finish(status, Phase::Succeeded, reason::UNCHANGED, message, now);
    }
    if status.phase.is_final() {
        record::compare(status, live);
    }
}

fn failed(status: &mut RemediationStatus, failure: Failure, now: Timestamp) {
    let message = failure.to_string();
    let words = Some(message.as_str());
    if undoing::is_undo(status) {
        undo_failed(status, failure, &message);
        return;
    }
    let is_of_autoscaler = status.attempts.last().is_some_and(|a| a.intent.bounds.is_some());
    let mut end = |result, phase, reason| {
        record::settle(status, result, words);
        record::finish(status, phase, reason, message.clone(), now);
    };
    match failure {
        Failure::Denied(denial) if is_transient(&denial) => {
            record::settle(status, AttemptResult::Denied, words);
            fail_unless_retried(status, reason::UNAVAILABLE, &message, now);
        }
        Failure::Denied(denial) => {
            end(AttemptResult::Denied, Phase::Denied, reason::GUARDRAIL);
            status.denial = Some(denial);
        }
        // An autoscaler's version is part of what was recorded.
        Failure::Conflict(_) if is_of_autoscaler => {
            record::settle(status, AttemptResult::Conflict, words);
        }
        // The attempt stays open: the next look tells whether only the status moved.
        Failure::Conflict(_) => {}
        // It stays open too, and is sent again once that is over.
        Failure::NotNow { .. } => record::note(status, &message),
        Failure::NotFound(_) => end(AttemptResult::Failed, Phase::Failed, reason::TARGET_GONE),
        Failure::Forbidden { .. } => end(AttemptResult::Failed, Phase::Failed, reason::FORBIDDEN),
        Failure::Rejected { code: 422, .. } => {
            end(AttemptResult::Failed, Phase::Failed, reason::REJECTED);
        }
        Failure::Rejected { .. } => end(AttemptResult::Failed, Phase::Failed, reason::MALFORMED),
        Failure::Unavailable(_) => {
            record::settle(status, AttemptResult::Failed, words);
            fail_unless_retried(status, reason::UNAVAILABLE, &message, now);
        }
    }
}

/// An attempt to take back that was refused or failed: it is tried again, unless a guardrail refused. What then becomes of
/// the Remediation is `undoing`'s, which looks at the target first.
fn undo_failed(status: &mut RemediationStatus, failure: Failure, message: &str) {
    match failure {
        Failure::Denied(denial) if !is_transient(&denial) => {
            record::settle(status, AttemptResult::Denied, Some(message));
            status.denial = Some(denial);
        }
        Failure::Denied(_) => record::settle(status, AttemptResult::Denied, Some(message)),
        Failure::Conflict(_)
            if status.attempts.last().is_some_and(|a| a.intent.bounds.is_none()) => {}
        Failure::Conflict(_) => record::settle(status, AttemptResult::Conflict, Some(message)),
        Failure::NotNow { .. } => record::note(status, message),
        _ => record::settle(status, AttemptResult::Failed, Some(message)),
    }
}
