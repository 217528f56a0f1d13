//! The end of what cannot go on because nobody answers, or not in its favour: what it rests on cannot be read, or what it
//! would put on record is not believed. What is waited for meanwhile is the shell's.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use smartops_common::config::Limits;
use smartops_common::remediation::{AttemptResult, Phase, Remediation, RemediationStatus};

use super::{Step, awaiting, compared, elapsed, give_up_phase, reason};
use crate::failure::Failure;
use crate::remediation::record;
use crate::target::Live;

/// The end of a Remediation for which something cannot be read, its target or what else decides its next step, where
/// waiting on is pointless: the right to read it is gone, or the time for the step it is in has passed. `live` is the
/// target, where that could be read, and `limits` how long one may wait that has not begun.
pub fn unreadable(
    remediation: &Remediation,
    failure: &Failure,
    live: Option<&Live>,
    limits: &Limits,
    now: Timestamp,
) -> Option<RemediationStatus> {
    let step = Step::Record(Box::new(given_up(remediation, failure, limits, now)?));
    match compared(remediation, step, live) {
        Step::Record(status) => Some(*status),
        _ => None,
    }
}

fn given_up(
    remediation: &Remediation,
    failure: &Failure,
    limits: &Limits,
    now: Timestamp,
) -> Option<RemediationStatus> {
    if !remediation.is_open() {
        return None;
    }
    let mut status = remediation.status.clone().unwrap_or_default();
    let message = format!("what its next step rests on cannot be read: {failure}");
    if matches!(failure, Failure::Forbidden { .. }) {
        let phase = give_up_phase(&status);
        // Of what was sent nobody can say any more what became of it.
        let is_sent = status.attempts.last().is_some_and(|a| a.sent_at.is_some());
        let result = if is_sent { AttemptResult::Expired } else { AttemptResult::Failed };
        record::settle(&mut status, result, Some(&message));
        record::finish(&mut status, phase, reason::FORBIDDEN, message, now);
        return Some(status);
    }
    if let Some(end) = awaiting::expired(&status, now) {
        return Some(end);
    }
    if status.phase == Phase::Pending {
        let stale = SignedDuration::from_secs(limits.stale_seconds.into());
        let made = remediation.metadata.creation_timestamp.as_ref()?.0;
        if elapsed(made, now) < stale {
            return None;
        }
        let message = format!("{message}; after {} s it is old news", stale.as_secs());
        record::finish(&mut status, Phase::Skipped, reason::STALE, message, now);
        return Some(status);
    }
    let attempt = status.attempts.last()?;
    let limit = SignedDuration::from_secs(remediation.spec.verify_timeout_seconds.into());
    let over = match (status.phase, status.verification.as_ref()) {
        (Phase::Executing, _) => now >= attempt.deadline.0,
        (Phase::Verifying, Some(v)) => elapsed(v.started_at.0, now) >= limit,
        _ => false,
    };
    if !over {
        return None;
    }
    // What became of the write nobody can say: unknown, neither retried nor undone.
    record::settle(&mut status, AttemptResult::Expired, Some(&message));
    record::finish(&mut status, Phase::TimedOut, reason::UNAVAILABLE, message, now);
    Some(status)
}

/// The end of a Remediation whose record was refused, in these words, for too long to be waited for. It says nothing
/// that was not on record before, apart from that an attempt that was open is so no longer.
pub fn unrecorded(
    remediation: &Remediation,
    refusal: &Failure,
    lasting: Duration,
    now: Timestamp,
) -> RemediationStatus {
    let mut status = remediation.status.clone().unwrap_or_default();
    let message = format!(
        "what was to be recorded was refused for {} s, and nothing is done that is not on record: {refusal}",
        lasting.as_secs()
    );
    // Of what was sent nobody can say any more, on the record, what became of it.
    let is_sent = status.attempts.last().is_some_and(|a| a.sent_at.is_some());
    let result = if is_sent { AttemptResult::Expired } else { AttemptResult::Failed };
    record::settle(&mut status, result, Some(&message));
    record::finish(&mut status, Phase::Failed, reason::RECORD_REFUSED, message, now);
    status
}
