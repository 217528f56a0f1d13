//! Taking back: one more attempt, of kind Undo, where what was written failed its verification for good, is still what
//! is there, and replaced something that can come back. The undo is judged, written and watched like any attempt. What
//! is unknown is never taken back.

use smartops_common::action::Intent;
use smartops_common::remediation::{
    Attempt, AttemptKind, AttemptResult, Phase, Remediation, RemediationStatus, Undo,
    VerificationStatus,
};

use super::{Facts, Step, TRIES, beginning, reason, tries};
use crate::action::{Seen, undo};
use crate::remediation::record::{self, MOST_ATTEMPTS};
use crate::target::Live;
use crate::verify::rollout::Assessment;

/// Whether an undo was begun and is to be tried again, or ended.
pub(super) fn is_due(status: &RemediationStatus) -> bool {
    status.phase == Phase::Executing
        && status.attempts.last().is_some_and(|a| a.kind == AttemptKind::Undo && a.result.is_some())
}

/// Whether this is the attempt that takes back.
pub(super) fn is_undo(status: &RemediationStatus) -> bool {
    status.attempts.last().is_some_and(|attempt| attempt.kind == AttemptKind::Undo)
}

/// Whether anything was written to apply the remedy.
pub(super) fn has_written(status: &RemediationStatus) -> bool {
    status.attempts.iter().any(is_written)
}

/// The end of one that would be tried again, for this reason: what was written failed its verification, and is taken back
/// as if it had failed for good.
pub(super) fn give_up(
    remediation: &Remediation,
    status: &mut RemediationStatus,
    live: &Live,
    facts: Facts<'_>,
    (reason, why): (&str, &str),
) {
    let found = status.verification.as_ref().map(|v| v.message.clone());
    let words = found.map_or_else(|| why.to_owned(), |found| format!("{found}; {why}"));
    take_back_or_fail(remediation, status, live, facts, (reason, &words));
}

/// The end of a verification that failed for good: what was written is taken back, or the Remediation fails with the
/// reason, and says why not where it could have been otherwise.
pub(super) fn take_back_or_fail(
    remediation: &Remediation,
    status: &mut RemediationStatus,
    live: &Live,
    facts: Facts<'_>,
    (reason, words): (&str, &str),
) {
    match undone(remediation, status, facts.seen(live)) {
        Ok(intent) => {
            if let Some(attempt) = written(status) {
                attempt.message = Some(format!("{reason}: {words}"));
            }
            record::begin_undo(status, intent, facts.seen(live), facts.leader, facts.now);
        }
        Err(why) => {
            let message = match why {
                None => words.to_owned(),
                Some(why) => format!("{words}; it is not taken back: {why}"),
            };
            record::finish(status, Phase::Failed, reason, message, facts.now);
        }
    }
}

/// What takes back what was written. Where nothing does the reason, unless it goes without saying.
fn undone(
    remediation: &Remediation,
    status: &mut RemediationStatus,
    seen: Seen<'_>,
) -> Result<Intent, Option<String>> {
    let attempts = status.attempts.len();
    let attempt = written(status).ok_or(None)?;
    if !undo::leaves_something(attempt.intent.type_) {
        return Err(None);
    }
    if remediation.spec.handling.undo == Undo::Never {
        return Err(Some("its handling says that people look at it first".to_owned()));
    }
    if attempts >= MOST_ATTEMPTS {
        return Err(Some(format!("{MOST_ATTEMPTS} attempts are on record and no more fit")));
    }
    undo::undo(attempt, seen).map_err(Some)
}

/// The attempt whose write is to be taken back: the last that was written to apply the remedy.
fn written(status: &mut RemediationStatus) -> Option<&mut Attempt> {
    status.attempts.iter_mut().rfind(|attempt| is_written(attempt))
}

fn is_written(attempt: &Attempt) -> bool {
    attempt.kind == AttemptKind::Apply && attempt.result == Some(AttemptResult::Written)
}

/// After an attempt to take back that was not written: another, or the end.
pub(super) fn again(
    remediation: &Remediation,
    mut status: RemediationStatus,
    live: &Live,
    facts: Facts<'_>,
) -> Step {
    let now = facts.now;
    let said = status.attempts.last().and_then(|a| a.message.clone()).unwrap_or_default();
    if status.denial.is_some() {
        let message = format!("{}; taking it back was refused: {said}", failed_by(&mut status));
        record::finish(&mut status, Phase::Failed, reason::UNDO_DENIED, message, now);
    } else if tries(&status) >= TRIES {
        let message = format!("{}; it could not be taken back: {said}", failed_by(&mut status));
        record::finish(&mut status, Phase::Failed, reason::UNDO_FAILED, message, now);
    } else if let Some(pause) = beginning::backoff_left(&status, now) {
        return Step::Wait(pause);
    } else {
        match undone(remediation, &mut status, facts.seen(live)) {
            Ok(intent) => {
                record::begin_undo(&mut status, intent, facts.seen(live), facts.leader, now);
            }
            Err(why) => {
                let why = why.unwrap_or(said);
                let message = format!("{}; it is not taken back: {why}", failed_by(&mut status));
                record::finish(&mut status, Phase::Failed, reason::UNDO_FAILED, message, now);
            }
        }
    }
    Step::Record(Box::new(status))
}

/// The end of watching what was taken back.
pub(super) fn end(status: &mut RemediationStatus, assessment: &Assessment, facts: Facts<'_>) {
    let failed = failed_by(status);
    let (reason, rest) = match assessment {
        Assessment::Healthy => (
            reason::UNDONE_AND_VERIFIED,
            "every replica is updated, ready and available again".into(),
        ),
        Assessment::Failed(_, words) | Assessment::Progressing(words) => {
            (reason::UNDONE, format!("what was there before is not healthy either: {words}"))
        }
    };
    let message = format!("it did not help ({failed}) and was taken back; {rest}");
    record::finish(status, Phase::RolledBack, reason, message, facts.now);
}

/// The verdict on the rollout of an undo that this look comes to, once its time is up.
pub(super) const fn verdict(assessment: &Assessment) -> VerificationStatus {
    match assessment {
        Assessment::Healthy => VerificationStatus::Success,
        Assessment::Failed(..) => VerificationStatus::Failed,
        Assessment::Progressing(_) => VerificationStatus::Timeout,
    }
}

/// Why what was written is taken back.
fn failed_by(status: &mut RemediationStatus) -> String {
    written(status).and_then(|a| a.message.clone()).unwrap_or_default()
}
