//! After the write: the rollout is watched to its end, or until somebody else changes what is watched.

use std::time::Duration;

use jiff::SignedDuration;
use smartops_common::action::ActionType;
use smartops_common::remediation::{
    Attempt, Phase, Remediation, RemediationStatus, VerificationStatus,
};

use super::{Facts, Step, fail_unless_retried, reason};
use crate::remediation::record;
use crate::target::Live;
use crate::verify::rollout::{self, Assessment};

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
    // A retry finds the pods its predecessor made: the change began with the first attempt.
    let began = status.attempts.first().map(|a| a.started_at.0);
    let (observed, assessment) = match facts.pods {
        Some(pods) => rollout::assess(live, pods, began),
        // The Deployment alone can show a failure, never health.
        None => match rollout::assess(live, &[], began) {
            (observed, Assessment::Healthy) => {
                (observed, Assessment::Progressing("its pods cannot be read".to_owned()))
            }
            other => other,
        },
    };
    let elapsed = now.duration_since(verification.started_at.0);
    let limit = SignedDuration::from_secs(remediation.spec.verify_timeout_seconds.into());
    if let Some(words) = superseded(&attempt, live) {
        let verdict = VerificationStatus::Failed;
        record::end_verification(&mut status, verdict, words, observed, now);
        record::finish(&mut status, Phase::Failed, reason::SUPERSEDED, words, now);
        return Step::Record(Box::new(status));
    }
    match assessment {
        Assessment::Healthy => {
            let verdict = VerificationStatus::Success;
            record::end_verification(&mut status, verdict, "Deployment healthy", observed, now);
            let message = "written and verified: every replica is updated, ready and available";
            record::finish(&mut status, Phase::Succeeded, reason::VERIFIED, message, now);
        }
        Assessment::Failed(reason, words) => {
            let verdict = VerificationStatus::Failed;
            record::end_verification(&mut status, verdict, &words, observed, now);
            let is_final = remediation.spec.action.type_ == ActionType::Restart
                // What was approved has been written: there is nothing left of it to repeat.
                || remediation.spec.require_approval;
            if is_final {
                record::finish(&mut status, Phase::Failed, reason, words, now);
            } else {
                fail_unless_retried(&mut status, reason, &words, now);
            }
        }
        Assessment::Progressing(words) if elapsed >= limit => {
            let message = format!("not healthy after {} s: {words}", limit.as_secs());
            let verdict = VerificationStatus::Timeout;
            record::end_verification(&mut status, verdict, &message, observed, now);
            record::finish(&mut status, Phase::TimedOut, reason::TIMED_OUT, message, now);
        }
        Assessment::Progressing(_) => {
            let poll = Duration::from_secs(remediation.spec.verify_poll_seconds.into());
            let left = Duration::try_from(limit - elapsed).unwrap_or_default();
            return Step::Wait(poll.min(left));
        }
    }
    Step::Record(Box::new(status))
}

/// Somebody else's change of what is being verified, in words.
fn superseded(attempt: &Attempt, live: &Live) -> Option<&'static str> {
    if attempt.written_generation.is_none_or(|g| live.generation() <= g) {
        return None;
    }
    if attempt.written_template.as_ref().is_some_and(|t| *t != live.template_digest()) {
        return Some("somebody else changed the pod template while the rollout was verified");
    }
    if attempt.intent.replicas.is_some_and(|r| r != live.replicas()) {
        return Some("somebody else scaled the target while the rollout was verified");
    }
    None
}
