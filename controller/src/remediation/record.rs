//! How a status is written: attempts opened and settled, the end recorded once. Pure edits of a
//! [`RemediationStatus`]; when each is due is `machine`'s.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use smartops_common::action::Intent;
use smartops_common::condition::{self, Setting};
use smartops_common::remediation::{
    Attempt, AttemptKind, AttemptResult, AttemptTarget, FormerState, Observed, Outcome, Phase,
    RemediationStatus, Verification, VerificationStatus,
};

use crate::target;

/// The condition that says how the question of approval stands.
pub const APPROVED: &str = "Approved";
/// How long an attempt may be written after it was recorded.
pub const ATTEMPT_LIMIT: SignedDuration = SignedDuration::from_secs(60);
/// Attempts of one Remediation in all, conflicts included; the schema keeps no more.
pub const MOST_ATTEMPTS: usize = 8;

/// Opens an attempt: from here on the intent is on record.
pub fn begin(
    status: &mut RemediationStatus,
    intent: Intent,
    live: &Deployment,
    leader: &str,
    now: Timestamp,
) {
    let number = u32::try_from(status.attempts.len() + 1).unwrap_or(u32::MAX);
    status.attempts.push(Attempt {
        number,
        kind: AttemptKind::Apply,
        intent,
        target: target_of(live),
        former: FormerState {
            replicas: target::replicas(live),
            template: target::template_digest(live),
        },
        leader: leader.to_owned(),
        started_at: Time(now),
        deadline: Time(now.saturating_add(ATTEMPT_LIMIT).unwrap_or(now)),
        sent_at: None,
        result: None,
        written_at: None,
        written_generation: None,
        written_template: None,
        message: None,
    });
    status.phase = Phase::Executing;
    status.verification = None;
}

/// The object as it was read.
pub fn target_of(live: &Deployment) -> AttemptTarget {
    AttemptTarget {
        uid: target::uid(live).to_owned(),
        generation: target::generation(live),
        resource_version: target::resource_version(live).to_owned(),
    }
}

/// Says how the question of approval stands.
pub fn decide(
    status: &mut RemediationStatus,
    approved: Option<bool>,
    reason: &str,
    message: String,
    now: Timestamp,
) {
    set(&mut status.conditions, (APPROVED, approved), reason, message, now);
}

/// Notes that the open attempt is about to be sent.
pub fn send(status: &mut RemediationStatus, now: Timestamp) {
    if let Some(attempt) = status.attempts.last_mut().filter(|a| a.result.is_none()) {
        attempt.sent_at = Some(Time(now));
    }
}

/// Settles the open attempt.
pub fn settle(status: &mut RemediationStatus, result: AttemptResult, message: Option<&str>) {
    if let Some(attempt) = status.attempts.last_mut().filter(|a| a.result.is_none()) {
        attempt.result = Some(result);
        attempt.message = message.map(str::to_owned);
    }
}

/// Settles the open attempt as written (or found to be so already), `live` being the object since.
pub fn settle_written(
    status: &mut RemediationStatus,
    result: AttemptResult,
    live: &Deployment,
    now: Timestamp,
) {
    settle(status, result, None);
    if let Some(attempt) = status.attempts.last_mut() {
        show(attempt, live);
        attempt.written_at = (result == AttemptResult::Written).then_some(Time(now));
    }
}

/// Notes on an earlier attempt that its write is what `live` shows.
pub fn mark_written(attempt: &mut Attempt, live: &Deployment, now: Timestamp) {
    if attempt.result != Some(AttemptResult::Written) {
        attempt.result = Some(AttemptResult::Written);
        attempt.message = None;
        attempt.written_at = Some(Time(now));
    }
    show(attempt, live);
}

/// What verification must find unchanged.
fn show(attempt: &mut Attempt, live: &Deployment) {
    attempt.written_generation = Some(target::generation(live));
    attempt.written_template = target::template_digest(live);
}

/// Makes the open attempt depend on the object as it is now. Whatever was sent on the former condition can no longer
/// be committed.
pub fn rebase(status: &mut RemediationStatus, live: &Deployment) {
    if let Some(attempt) = status.attempts.last_mut().filter(|a| a.result.is_none()) {
        target::resource_version(live).clone_into(&mut attempt.target.resource_version);
    }
}

/// Begins watching the rollout.
pub fn begin_verification(status: &mut RemediationStatus, now: Timestamp) {
    status.phase = Phase::Verifying;
    status.verification = Some(Verification {
        status: None,
        message: "watching the rollout".into(),
        observed: None,
        started_at: Time(now),
        finished_at: None,
    });
}

/// Ends watching with a verdict.
pub fn end_verification(
    status: &mut RemediationStatus,
    verdict: VerificationStatus,
    message: &str,
    observed: Observed,
    now: Timestamp,
) {
    let started_at = status.verification.as_ref().map_or(Time(now), |v| v.started_at.clone());
    status.verification = Some(Verification {
        status: Some(verdict),
        message: message.to_owned(),
        observed: Some(observed),
        started_at,
        finished_at: Some(Time(now)),
    });
}

/// Ends the Remediation.
pub fn finish(
    status: &mut RemediationStatus,
    phase: Phase,
    reason: &str,
    message: impl Into<String>,
    now: Timestamp,
) {
    let message = message.into();
    status.phase = phase;
    set(&mut status.conditions, ("Complete", Some(true)), reason, message.clone(), now);
    if let Some(verification) = &status.verification {
        let (value, word) = match verification.status {
            Some(VerificationStatus::Success) => (Some(true), "RolloutHealthy"),
            Some(VerificationStatus::Failed) => (Some(false), "RolloutFailed"),
            Some(VerificationStatus::Timeout) => (None, "TimedOut"),
            None => (None, "NotFinished"),
        };
        set(&mut status.conditions, ("Verified", value), word, verification.message.clone(), now);
    }
    status.outcome = Some(Outcome { reason: reason.to_owned(), message, finished_at: Time(now) });
}

fn set(
    conditions: &mut Vec<Condition>,
    (type_, status): (&str, Option<bool>),
    reason: &str,
    message: String,
    now: Timestamp,
) {
    let setting = Setting { type_, status, reason, message, observed_generation: Some(1) };
    condition::set(conditions, setting, now);
}
