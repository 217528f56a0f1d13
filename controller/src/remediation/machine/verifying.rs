//! After the write: the rollout is watched to its end, or until somebody else changes what is watched; then Prometheus is
//! asked, where that is wanted. Two things have to be so: what was written is there, and the rollout is healthy, at two
//! looks that are apart.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use smartops_common::action::ActionType;
use smartops_common::remediation::{
    Attempt, CheckVerdict, Observed, Phase, Remediation, RemediationStatus, VerificationStatus,
};

use super::{Facts, Step, TRIES, elapsed, is_trying, is_watching, reason, tries, undoing};
use crate::action::{self, Seen};
use crate::remediation::record::{self, MOST_ATTEMPTS};
use crate::target::Live;
use crate::verify::checks::{self, Answer};
use crate::verify::pods;
use crate::verify::rollout::{self, Assessment, STEADY};

/// Watch the rollout to its end.
pub(super) fn verifying(
    remediation: &Remediation,
    mut status: RemediationStatus,
    live: &Live,
    facts: Facts<'_>,
) -> Step {
    let (Some(attempt), Some(verification)) =
        (status.attempts.last().cloned(), status.verification.clone())
    else {
        return Step::Done;
    };
    let now = facts.now;
    let is_undo = undoing::is_undo(&status);
    // A retry finds the pods its predecessor made: the change began with the first attempt. An undo makes pods anew.
    let first = status.attempts.first().filter(|_| !is_undo).unwrap_or(&attempt);
    let began = first.started_at.0;
    let (observed, assessment) = look(&attempt, live, facts, began);
    if let Some(words) = superseded(&attempt, facts.seen(live)) {
        let verdict = VerificationStatus::Failed;
        record::end_verification(&mut status, verdict, words, observed, now);
        if is_undo {
            let seen = Assessment::Progressing(words.to_owned());
            undoing::end(&mut status, &seen, facts);
        } else {
            record::finish(&mut status, Phase::Failed, reason::SUPERSEDED, words, now);
        }
        return Step::Record(Box::new(status));
    }
    let limit = SignedDuration::from_secs(remediation.spec.verify_timeout_seconds.into());
    let left = limit - elapsed(verification.started_at.0, now);
    match (&assessment, &verification.healthy_since) {
        (Assessment::Healthy, None) => {
            record::look(&mut status, Some("healthy at the first look"), observed, now);
        }
        (Assessment::Healthy, Some(since)) => {
            let steady = STEADY - elapsed(since.0, now);
            if let Ok(pause) = Duration::try_from(steady)
                && !pause.is_zero()
            {
                return Step::Wait(pause);
            }
            if is_undo {
                let words = "Deployment healthy";
                let verdict = undoing::verdict(&assessment);
                record::end_verification(&mut status, verdict, words, observed, now);
                undoing::end(&mut status, &assessment, facts);
            } else {
                return healthy(remediation, status, live, observed, facts);
            }
        }
        (Assessment::Failed(_, words), _) if is_undo => {
            let verdict = undoing::verdict(&assessment);
            record::end_verification(&mut status, verdict, words, observed, now);
            undoing::end(&mut status, &assessment, facts);
        }
        (Assessment::Failed(reason, words), _) => {
            let found = (*reason, words.as_str());
            failed(remediation, &mut status, live, observed, facts, found);
        }
        (Assessment::Progressing(words), _) if !left.is_positive() => {
            let message = format!("not healthy after {} s: {words}", limit.as_secs());
            let verdict = VerificationStatus::Timeout;
            record::end_verification(&mut status, verdict, &message, observed, now);
            if is_undo {
                undoing::end(&mut status, &assessment, facts);
            } else {
                record::finish(&mut status, Phase::TimedOut, reason::TIMED_OUT, message, now);
            }
        }
        (Assessment::Progressing(_), Some(_)) => record::look(&mut status, None, observed, now),
        (Assessment::Progressing(_), None) => {
            let poll = Duration::from_secs(remediation.spec.verify_poll_seconds.into());
            return Step::Wait(poll.min(Duration::try_from(left).unwrap_or_default()));
        }
    }
    Step::Record(Box::new(status))
}

/// The rollout is healthy: what is left is what Prometheus says.
fn healthy(
    remediation: &Remediation,
    mut status: RemediationStatus,
    live: &Live,
    observed: Observed,
    facts: Facts<'_>,
) -> Step {
    let now = facts.now;
    let (words, message) = match checks::overall(&remediation.spec.checks, &status.checks) {
        None => return Step::Ask,
        Some(CheckVerdict::Passed) if remediation.spec.checks.is_empty() => (
            "Deployment healthy",
            "written and verified: every replica is updated, ready and available",
        ),
        Some(CheckVerdict::Passed) => (
            "Deployment healthy, and every check passed",
            "written and verified: every replica is updated, ready and available, and every check passed",
        ),
        Some(CheckVerdict::Failed) => {
            let words = checks::words(&status.checks, CheckVerdict::Failed);
            let found = (reason::CHECKS_FAILED, words.as_str());
            failed(remediation, &mut status, live, observed, facts, found);
            return Step::Record(Box::new(status));
        }
        Some(CheckVerdict::Inconclusive) => {
            let words = checks::words(&status.checks, CheckVerdict::Inconclusive);
            let message =
                format!("the rollout is healthy, but whether it helped is unknown: {words}");
            let verdict = VerificationStatus::Timeout;
            record::end_verification(&mut status, verdict, &message, observed, now);
            let reason = reason::CHECKS_INCONCLUSIVE;
            record::finish(&mut status, Phase::TimedOut, reason, message, now);
            return Step::Record(Box::new(status));
        }
    };
    let verdict = VerificationStatus::Success;
    record::end_verification(&mut status, verdict, words, observed, now);
    record::finish(&mut status, Phase::Succeeded, reason::VERIFIED, message, now);
    Step::Record(Box::new(status))
}

/// A verification that failed: a scale or patch is tried again, which comes to looking again where it is still there;
/// anything else, and what has been tried enough, is taken back.
fn failed(
    remediation: &Remediation,
    status: &mut RemediationStatus,
    live: &Live,
    observed: Observed,
    facts: Facts<'_>,
    (reason, words): (&str, &str),
) {
    let verdict = VerificationStatus::Failed;
    record::end_verification(status, verdict, words, observed, facts.now);
    let spec = &remediation.spec;
    let is_repeated = matches!(spec.action.type_, ActionType::Scale | ActionType::Patch)
        // What was approved has been written: there is nothing left of it to repeat.
        && !spec.require_approval
        && tries(status) < TRIES
        // One more has to fit, and one that takes back.
        && status.attempts.len() + 1 < MOST_ATTEMPTS;
    if !is_repeated {
        undoing::take_back_or_fail(remediation, status, live, facts, (reason, words));
    }
}

/// What Prometheus said to the checks of a Remediation: before its first write, or about a rollout that is healthy.
/// `None` where it is asked again, because the answer may get better and there is time.
pub fn answered(
    remediation: &Remediation,
    answers: &[Answer],
    now: Timestamp,
) -> Option<RemediationStatus> {
    let mut status = remediation.status.clone()?;
    let asked = &remediation.spec.checks;
    if is_trying(&status) {
        status.checks = checks::before(asked, answers);
        return Some(status);
    }
    let verification = status.verification.as_ref().filter(|_| is_watching(&status))?;
    let limit = SignedDuration::from_secs(remediation.spec.verify_timeout_seconds.into());
    let is_over = elapsed(verification.started_at.0, now) >= limit;
    let judged = checks::judge(asked, &status.checks, answers);
    let has_passed = checks::overall(asked, &judged) == Some(CheckVerdict::Passed);
    let is_asked_in_vain = answers.iter().all(|answer| matches!(answer, Answer::Nobody(_)));
    if !has_passed && !is_over && !is_asked_in_vain {
        return None;
    }
    status.checks = judged;
    Some(status)
}

/// One look at what was written and at its rollout.
fn look(
    attempt: &Attempt,
    live: &Live,
    facts: Facts<'_>,
    began: Timestamp,
) -> (Observed, Assessment) {
    let progressing = |words: &str| (live.observed(), Assessment::Progressing(words.to_owned()));
    let bounds = attempt.intent.bounds.as_ref();
    match attempt.intent.type_ {
        // A rollout that is paused comes to no end: that the controller has seen it is all there is to see.
        ActionType::Pause if live.is_observed() => {
            return (live.observed(), Assessment::Healthy);
        }
        ActionType::Pause => return progressing("the Deployment controller has not seen it yet"),
        ActionType::EvictPod if !action::is_applied(&attempt.intent, facts.seen(live)) => {
            return progressing("the pod is still there");
        }
        ActionType::HpaBounds
            if bounds.is_some_and(|b| {
                live.replicas() != 0
                    && !(b.min_replicas..=b.max_replicas).contains(&live.replicas())
            }) =>
        {
            return progressing(
                "the autoscaler has not moved the number of replicas into its bounds",
            );
        }
        _ => {}
    }
    match facts.pods {
        Some(all) => {
            // Who was evicted is none of the rollout's any more.
            let staying: Vec<_> = all.iter().filter(|pod| !pods::is_leaving(pod)).collect();
            rollout::assess(live, &staying, Some(began))
        }
        // The Deployment alone can show a failure, never health.
        None => match rollout::assess(live, &[], Some(began)) {
            (observed, Assessment::Healthy) => {
                (observed, Assessment::Progressing("its pods cannot be read".to_owned()))
            }
            other => other,
        },
    }
}

/// Somebody else's change of what is being verified, in words.
fn superseded(attempt: &Attempt, seen: Seen<'_>) -> Option<&'static str> {
    let (live, type_) = (seen.live, attempt.intent.type_);
    if type_ == ActionType::HpaBounds && !action::is_applied(&attempt.intent, seen) {
        return Some(
            "somebody else changed the autoscaler's bounds while the rollout was verified",
        );
    }
    if attempt.written_generation.is_none_or(|g| live.generation() <= g) {
        return None;
    }
    if attempt.written_template.as_ref().is_some_and(|t| *t != live.template_digest()) {
        return Some("somebody else changed the pod template while the rollout was verified");
    }
    if attempt.intent.replicas.is_some_and(|r| r != live.replicas()) {
        return Some("somebody else scaled the target while the rollout was verified");
    }
    let is_about_pausing = matches!(type_, ActionType::Pause | ActionType::Resume);
    if is_about_pausing && !action::is_applied(&attempt.intent, seen) {
        return Some("somebody else paused or resumed the rollout while it was verified");
    }
    None
}
