//! The phase machine: one Remediation and what is known of the world, and what is to be done next. Pure: no clock, no
//! call. A status it returns is recorded with the resourceVersion it was computed from, so of two who disagree only
//! one is heard.
//!
//! At most one write of a Remediation is ever committed: an attempt is written on condition of the resourceVersion it
//! recorded, and a new attempt is made only after the object was seen to show no earlier one's values.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use smartops_common::action::ActionType;
use smartops_common::remediation::{
    Attempt, AttemptResult, Phase, Remediation, RemediationStatus, Source, VerificationStatus,
};
use smartops_common::signal::SignalKind;

use crate::failure::Failure;
use crate::remediation::record::{self, MOST_ATTEMPTS};
use crate::verify::rollout::{self, Assessment};
use crate::{action, target};

/// Attempts that may fail, expire or not verify: the first and two repeats.
const TRIES: usize = 3;
/// The first pause before a repeat; it doubles each time.
const BACKOFF: SignedDuration = SignedDuration::from_secs(5);
/// How soon a Remediation whose turn has not come is looked at again.
const TURN_POLL: Duration = Duration::from_millis(250);
/// How long a signal waits for the Deployment controller to have seen the target's last change.
const UNSEEN_LIMIT: SignedDuration = SignedDuration::from_secs(30);

/// Reasons of outcomes, as machines read them.
pub mod reason {
    /// Written, and healthy.
    pub const VERIFIED: &str = "Verified";
    /// Written; verification was not asked for.
    pub const WRITTEN: &str = "Written";
    /// The target already was as asked.
    pub const UNCHANGED: &str = "Unchanged";
    /// The judged dry run is all that was asked.
    pub const DRY_RUN_PASSED: &str = "DryRunPassed";
    /// A guardrail refused.
    pub const GUARDRAIL: &str = "GuardrailDenied";
    /// The closed loop acted on this target a moment ago.
    pub const COOLDOWN: &str = "CooldownActive";
    /// The target is gone, or another object has its name.
    pub const TARGET_GONE: &str = "TargetGone";
    /// The rollout is paused.
    pub const PAUSED: &str = "RolloutPaused";
    /// A rollout is already on its way.
    pub const MOVING: &str = "RolloutInProgress";
    /// Somebody else changed what was being verified.
    pub const SUPERSEDED: &str = "Superseded";
    /// The target moved before every attempt.
    pub const CONTENDED: &str = "TargetKeepsMoving";
    /// The rollout did not end in time.
    pub const TIMED_OUT: &str = "VerificationTimedOut";
    /// The API server's authorizer, or somebody else's admission, said no.
    pub const FORBIDDEN: &str = "Forbidden";
    /// The API server cannot read the request.
    pub const MALFORMED: &str = "Malformed";
    /// The API server finds the result invalid.
    pub const REJECTED: &str = "Rejected";
    /// No attempt was answered.
    pub const UNAVAILABLE: &str = "Unavailable";
}

/// What is known of the world for one step.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The target as read just now; `None` where nothing has its name.
    pub live: Option<&'a Deployment>,
    /// Its pods; needed while verifying.
    pub pods: &'a [Pod],
    /// All Remediations of the target as read just now; this one among them does no harm.
    pub others: &'a [Remediation],
    /// The time.
    pub now: Timestamp,
    /// Who is asking, for the record.
    pub leader: &'a str,
    /// The closed loop's cooldown of a target.
    pub cooldown: SignedDuration,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Look again after this long.
    Wait(Duration),
    /// Record this status, then look again.
    Record(Box<RemediationStatus>),
    /// Have the open attempt judged and, unless a dry run is all that was asked, written.
    Write,
    /// Nothing: it has ended.
    Done,
}

/// What came of having the open attempt judged and written.
#[derive(Debug, Clone, PartialEq)]
pub enum Written {
    /// Committed; the object since.
    Committed(Box<Deployment>),
    /// The dry run showed that nothing would change; the object as it is.
    Unchanged(Box<Deployment>),
    /// The dry run passed, and the Remediation is one.
    Passed,
    /// The deadline passed between the dry run and the write.
    Expired,
    /// Refused or failed; nothing was committed.
    Failed(Failure),
}

/// The next step of a Remediation.
pub fn step(remediation: &Remediation, facts: Facts<'_>) -> Step {
    if !remediation.is_open() {
        return Step::Done;
    }
    let mut status = remediation.status.clone().unwrap_or_default();
    let target = &remediation.spec.target;
    let Some(live) = facts.live.filter(|l| target::uid(l) == target.uid) else {
        let gone = format!("Deployment {} (uid {}) is gone", target.name, target.uid);
        record::settle(&mut status, AttemptResult::Failed, Some(&gone));
        let phase = give_up_phase(&status);
        record::finish(&mut status, phase, reason::TARGET_GONE, gone, facts.now);
        return Step::Record(Box::new(status));
    };
    match status.phase {
        Phase::Executing => executing(remediation, status, live, facts),
        Phase::Verifying => verifying(remediation, status, live, facts),
        _ => pending(remediation, status, live, facts),
    }
}

/// Begin, wait, or do not begin at all.
fn pending(
    remediation: &Remediation,
    mut status: RemediationStatus,
    live: &Deployment,
    facts: Facts<'_>,
) -> Step {
    if let Some(pause) = backoff_left(&status, facts.now) {
        return Step::Wait(pause);
    }
    if !is_its_turn(remediation, facts.others) {
        return Step::Wait(TURN_POLL);
    }
    match refusal(remediation, &status, live, facts) {
        Refusal::None => {}
        Refusal::NotYet => return Step::Wait(TURN_POLL),
        Refusal::For(reason, message) => {
            let phase = give_up_phase(&status);
            record::finish(&mut status, phase, reason, message, facts.now);
            return Step::Record(Box::new(status));
        }
    }
    if status.attempts.len() >= MOST_ATTEMPTS {
        let message = format!("the target moved before each of {MOST_ATTEMPTS} attempts");
        record::finish(&mut status, Phase::Failed, reason::CONTENDED, message, facts.now);
        return Step::Record(Box::new(status));
    }
    let first = status.attempts.first().map(|a| a.intent.clone());
    match action::plan(&remediation.spec.action, first.as_ref(), live, facts.now) {
        Ok(intent) => {
            record::begin(&mut status, intent, live, facts.leader, facts.now);
        }
        Err(error) => {
            let message = error.to_string();
            record::finish(&mut status, Phase::Failed, reason::MALFORMED, message, facts.now);
        }
    }
    Step::Record(Box::new(status))
}

enum Refusal {
    None,
    NotYet,
    For(&'static str, String),
}

/// Why the target is left alone, if it is. Only the closed loop waits for a rollout and keeps a cooldown: callers
/// of the API are told by the webhook.
fn refusal(
    remediation: &Remediation,
    status: &RemediationStatus,
    live: &Deployment,
    facts: Facts<'_>,
) -> Refusal {
    let spec = &remediation.spec;
    let name = &spec.target.name;
    if target::is_paused(live) {
        let message = format!(
            "the rollout of Deployment {name} is paused: resume it (kubectl rollout resume), then ask again"
        );
        return Refusal::For(reason::PAUSED, message);
    }
    if spec.source != Source::ClosedLoop || spec.dry_run || !status.attempts.is_empty() {
        return Refusal::None;
    }
    if let Some(left) = cooldown_left(remediation, facts) {
        let message = format!(
            "the closed loop acted on Deployment {name} less than {} s ago: {} s are left",
            facts.cooldown.as_secs(),
            left.as_secs().max(1),
        );
        return Refusal::For(reason::COOLDOWN, message);
    }
    let observed = target::observed(live);
    if !target::is_observed(live) {
        let made = remediation.metadata.creation_timestamp.as_ref().map_or(facts.now, |t| t.0);
        return if facts.now.duration_since(made) < UNSEEN_LIMIT {
            Refusal::NotYet
        } else {
            let message = format!(
                "the Deployment controller has not seen the last change of Deployment {name} for {} s",
                UNSEEN_LIMIT.as_secs()
            );
            Refusal::For(reason::MOVING, message)
        };
    }
    if observed.updated_replicas < observed.total_replicas && !has_given_up(live) {
        let message = format!(
            "a rollout of Deployment {name} is on its way: {} of {} pods are updated",
            observed.updated_replicas, observed.total_replicas
        );
        return Refusal::For(reason::MOVING, message);
    }
    Refusal::None
}

/// Whether the Deployment controller itself says the rollout makes no progress: a remedy is what it needs.
fn has_given_up(live: &Deployment) -> bool {
    matches!(rollout::assess(live, &[], None).1, Assessment::Failed(..))
}

fn cooldown_left(remediation: &Remediation, facts: Facts<'_>) -> Option<SignedDuration> {
    let latest = others_of(remediation, facts.others)
        .filter(|o| o.spec.source == Source::ClosedLoop && !o.spec.dry_run)
        .filter_map(|o| o.status.as_ref())
        .flat_map(|s| s.attempts.iter().map(|a| a.started_at.0))
        .max()?;
    let left = facts.cooldown - facts.now.duration_since(latest);
    left.is_positive().then_some(left)
}

/// Judge and write the open attempt, or recognise what has become of it.
fn executing(
    remediation: &Remediation,
    mut status: RemediationStatus,
    live: &Deployment,
    facts: Facts<'_>,
) -> Step {
    let Some(attempt) = status.attempts.last().filter(|a| a.result.is_none()).cloned() else {
        status.phase = Phase::Pending;
        return Step::Record(Box::new(status));
    };
    let is_real = !remediation.spec.dry_run;
    if is_real && status.attempts.iter().any(|a| is_seen(a, live)) {
        written(remediation, &mut status, AttemptResult::Written, live, facts.now);
    } else if facts.now >= attempt.deadline.0 {
        let words = "its deadline passed before it was written";
        record::settle(&mut status, AttemptResult::Expired, Some(words));
        retry_or_fail(&mut status, reason::UNAVAILABLE, words, facts.now);
    } else if target::resource_version(live) != attempt.target.resource_version {
        conflict(&mut status, "the target moved after it was read");
    } else if is_real && action::is_unchanged(&attempt.intent, live) {
        written(remediation, &mut status, AttemptResult::Unchanged, live, facts.now);
    } else {
        // Two that began at the same moment see each other here: the later one steps back, the other waits for that.
        let rivals = others_of(remediation, facts.others)
            .filter(|o| is_real && !o.spec.dry_run && has_begun(o));
        match rivals.min_by_key(|o| age_key(o)) {
            None => return Step::Write,
            Some(rival) if age_key(rival) > age_key(remediation) => return Step::Wait(TURN_POLL),
            Some(_) => conflict(&mut status, "another Remediation of this target began first"),
        }
    }
    Step::Record(Box::new(status))
}

/// Whether `live` shows what an attempt meant to write, and changed since it was recorded.
fn is_seen(attempt: &Attempt, live: &Deployment) -> bool {
    target::generation(live) > attempt.target.generation
        && action::is_applied(&attempt.intent, live)
}

fn conflict(status: &mut RemediationStatus, words: &str) {
    record::settle(status, AttemptResult::Conflict, Some(words));
    status.phase = Phase::Pending;
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
            retry_or_fail(&mut status, reason::UNAVAILABLE, words, now);
        }
        Written::Failed(failure) => failed(&mut status, failure, now),
    }
    status
}

fn written(
    remediation: &Remediation,
    status: &mut RemediationStatus,
    result: AttemptResult,
    live: &Deployment,
    now: Timestamp,
) {
    record::settle_written(status, result, live, now);
    if remediation.spec.dry_run {
        let message = "the dry run changes nothing: the target already is as asked";
        record::finish(status, Phase::DryRun, reason::DRY_RUN_PASSED, message, now);
    } else if remediation.spec.verify {
        record::begin_verification(status, now);
    } else if result == AttemptResult::Written {
        let message = "written; verification was not asked for";
        record::finish(status, Phase::Succeeded, reason::WRITTEN, message, now);
    } else {
        let message = "the target already was as asked; nothing was written";
        record::finish(status, Phase::Succeeded, reason::UNCHANGED, message, now);
    }
}

fn failed(status: &mut RemediationStatus, failure: Failure, now: Timestamp) {
    let message = failure.to_string();
    let words = Some(message.as_str());
    let mut end = |result, phase, reason| {
        record::settle(status, result, words);
        record::finish(status, phase, reason, message.clone(), now);
    };
    match failure {
        Failure::Denied(denial) => {
            end(AttemptResult::Denied, Phase::Denied, reason::GUARDRAIL);
            status.denial = Some(denial);
        }
        Failure::Conflict(_) => conflict(status, &message),
        Failure::NotFound(_) => end(AttemptResult::Failed, Phase::Failed, reason::TARGET_GONE),
        Failure::Forbidden { .. } => end(AttemptResult::Failed, Phase::Failed, reason::FORBIDDEN),
        Failure::Rejected { code: 422, .. } => {
            end(AttemptResult::Failed, Phase::Failed, reason::REJECTED);
        }
        Failure::Rejected { .. } => end(AttemptResult::Failed, Phase::Failed, reason::MALFORMED),
        Failure::Unavailable(_) => {
            record::settle(status, AttemptResult::Failed, words);
            retry_or_fail(status, reason::UNAVAILABLE, &message, now);
        }
    }
}

/// Watch the rollout to its end.
fn verifying(
    remediation: &Remediation,
    mut status: RemediationStatus,
    live: &Deployment,
    facts: Facts<'_>,
) -> Step {
    let (Some(attempt), Some(verification)) =
        (status.attempts.last().cloned(), status.verification.clone())
    else {
        status.phase = Phase::Pending;
        return Step::Record(Box::new(status));
    };
    let now = facts.now;
    let (observed, assessment) = rollout::assess(live, facts.pods, Some(attempt.started_at.0));
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
            if remediation.spec.action.type_ == ActionType::Restart {
                record::finish(&mut status, Phase::Failed, reason, words, now);
            } else {
                retry_or_fail(&mut status, reason, &words, now);
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
fn superseded(attempt: &Attempt, live: &Deployment) -> Option<&'static str> {
    if attempt.written_generation.is_none_or(|g| target::generation(live) <= g) {
        return None;
    }
    if attempt.written_template.is_some()
        && attempt.written_template != target::template_digest(live)
    {
        return Some("somebody else changed the pod template while the rollout was verified");
    }
    if attempt.intent.replicas.is_some_and(|r| r != target::replicas(live)) {
        return Some("somebody else scaled the target while the rollout was verified");
    }
    None
}

/// Back to the start for another attempt, or the end where there were enough.
fn retry_or_fail(status: &mut RemediationStatus, reason: &str, message: &str, now: Timestamp) {
    if tries(status) < TRIES && status.attempts.len() < MOST_ATTEMPTS {
        status.phase = Phase::Pending;
    } else {
        record::finish(status, Phase::Failed, reason, message, now);
    }
}

/// Attempts that count as tries; one that met a conflict was never tried.
fn tries(status: &RemediationStatus) -> usize {
    status.attempts.iter().filter(|a| a.result != Some(AttemptResult::Conflict)).count()
}

/// What is left of the pause before the next try: 5 s after the first failure, twice that after the second.
fn backoff_left(status: &RemediationStatus, now: Timestamp) -> Option<Duration> {
    let last = status.attempts.last().filter(|a| a.result != Some(AttemptResult::Conflict))?;
    let ended = status.verification.as_ref().and_then(|v| v.finished_at.as_ref());
    let since = ended.map_or(last.started_at.0, |t| t.0);
    let doublings = u32::try_from(tries(status).saturating_sub(1)).unwrap_or(0).min(8);
    let pause = BACKOFF.saturating_mul(1 << doublings);
    let left = pause - now.duration_since(since);
    Duration::try_from(left).ok().filter(|left| !left.is_zero())
}

/// `Skipped` as long as nothing was written, `Failed` after.
fn give_up_phase(status: &RemediationStatus) -> Phase {
    let tried = status.attempts.iter().any(|a| a.result != Some(AttemptResult::Conflict));
    if tried { Phase::Failed } else { Phase::Skipped }
}

/// One at a time: whatever has begun goes first, then root causes before anomalies, then the oldest. A dry run
/// changes nothing and neither waits nor is waited for.
fn is_its_turn(remediation: &Remediation, others: &[Remediation]) -> bool {
    remediation.spec.dry_run
        || others_of(remediation, others)
            .filter(|o| o.is_open() && !o.spec.dry_run)
            .all(|o| !has_begun(o) && turn_key(remediation) < turn_key(o))
}

fn has_begun(remediation: &Remediation) -> bool {
    matches!(remediation.phase(), Phase::Executing | Phase::Verifying)
}

fn others_of<'a>(
    remediation: &'a Remediation,
    others: &'a [Remediation],
) -> impl Iterator<Item = &'a Remediation> {
    others.iter().filter(|o| {
        o.metadata.uid != remediation.metadata.uid
            && o.spec.target.uid == remediation.spec.target.uid
    })
}

type AgeKey<'a> = (Option<Timestamp>, &'a str);

fn age_key(r: &Remediation) -> AgeKey<'_> {
    (
        r.metadata.creation_timestamp.as_ref().map(|t| t.0),
        r.metadata.uid.as_deref().unwrap_or_default(),
    )
}

fn turn_key(r: &Remediation) -> (bool, AgeKey<'_>) {
    let is_rca = r.spec.signal.as_ref().is_some_and(|s| s.kind == SignalKind::Rca);
    (!is_rca, age_key(r))
}

#[cfg(test)]
mod tests;
