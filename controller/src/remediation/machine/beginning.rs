//! Before an attempt, the first or a further one: whose turn it is, what is left alone and why, and the pause before a
//! repeat.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use smartops_common::remediation::{
    Attempt, AttemptResult, Phase, Remediation, RemediationStatus, Source,
};
use smartops_common::signal::SignalKind;

use super::{
    AgeKey, BACKOFF, Facts, Step, TURN_POLL, UNSEEN_LIMIT, age_key, awaiting, give_up_phase,
    has_begun, others_of, reason, tries,
};
use crate::action;
use crate::remediation::record::{self, MOST_ATTEMPTS};
use crate::target::Live;
use crate::verify::rollout::{self, Assessment};

/// Begin, ask for approval, wait, or do not begin at all.
pub(super) fn beginning(
    remediation: &Remediation,
    mut status: RemediationStatus,
    live: &Live,
    facts: Facts<'_>,
) -> Step {
    if let Some(pause) = backoff_left(&status, facts.now) {
        return Step::Wait(pause);
    }
    if let Some(step) = obstacle(remediation, &status, live, facts) {
        return step;
    }
    if status.attempts.len() >= MOST_ATTEMPTS {
        let message = format!("the target moved before each of {MOST_ATTEMPTS} attempts");
        record::finish(&mut status, Phase::Failed, reason::CONTENDED, message, facts.now);
        return Step::Record(Box::new(status));
    }
    if remediation.spec.require_approval {
        return if status.attempts.is_empty() {
            awaiting::propose(remediation, status, live, facts)
        } else {
            awaiting::repeat(remediation, status, live, facts)
        };
    }
    let first = status.attempts.first().map(|a| a.intent.clone());
    match action::plan(&remediation.spec.action, first.as_ref(), facts.seen(live), facts.now) {
        Ok(intent) => {
            record::begin(&mut status, intent, facts.seen(live), facts.leader, facts.now);
        }
        Err(error) => {
            let message = error.to_string();
            record::finish(&mut status, Phase::Failed, reason::MALFORMED, message, facts.now);
        }
    }
    Step::Record(Box::new(status))
}

/// What stands in the way of an attempt now: others whose turn it is, or a reason to leave the target alone.
pub(super) fn obstacle(
    remediation: &Remediation,
    status: &RemediationStatus,
    live: &Live,
    facts: Facts<'_>,
) -> Option<Step> {
    if !is_its_turn(remediation, facts) {
        return Some(Step::Wait(TURN_POLL));
    }
    match refusal(remediation, status, live, facts) {
        Refusal::None => None,
        Refusal::NotYet => Some(Step::Wait(TURN_POLL)),
        Refusal::For(reason, message) => {
            let mut status = status.clone();
            let phase = give_up_phase(&status);
            record::finish(&mut status, phase, reason, message, facts.now);
            Some(Step::Record(Box::new(status)))
        }
    }
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
    live: &Live,
    facts: Facts<'_>,
) -> Refusal {
    let spec = &remediation.spec;
    let name = &spec.target.name;
    if live.is_paused() {
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
    let observed = live.observed();
    if !live.is_observed() {
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
fn has_given_up(live: &Live) -> bool {
    matches!(rollout::assess(live, &[], None).1, Assessment::Failed(..))
}

fn cooldown_left(remediation: &Remediation, facts: Facts<'_>) -> Option<SignedDuration> {
    let latest = others_of(remediation, facts.others)
        .filter(|o| o.spec.source == Source::ClosedLoop && !o.spec.dry_run)
        .filter_map(|o| o.status.as_ref())
        .flat_map(|s| s.attempts.iter().filter(|a| is_issued(a)).map(|a| a.started_at.0))
        .max()?;
    let left = facts.cooldown - facts.now.duration_since(latest);
    left.is_positive().then_some(left)
}

/// Whether an attempt was sent, or may be any moment: what was refused or never left starts no cooldown.
fn is_issued(attempt: &Attempt) -> bool {
    matches!(attempt.result, None | Some(AttemptResult::Written))
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

/// One at a time: whatever has begun goes first, then root causes before anomalies, then the oldest. A dry run
/// changes nothing and neither waits nor is waited for, and nobody waits for one that waits itself.
fn is_its_turn(remediation: &Remediation, facts: Facts<'_>) -> bool {
    let goes_first = |o: &Remediation| {
        has_begun(o) || (!is_waiting(o, facts.now) && turn_key(o) < turn_key(remediation))
    };
    remediation.spec.dry_run
        || !others_of(remediation, facts.others)
            .any(|o| o.is_open() && !o.spec.dry_run && goes_first(o))
}

/// Whether it waits for somebody's word, or for the pause before its next try.
fn is_waiting(remediation: &Remediation, now: Timestamp) -> bool {
    remediation.phase() == Phase::AwaitingApproval
        || remediation.status.as_ref().is_some_and(|status| backoff_left(status, now).is_some())
}

fn turn_key(r: &Remediation) -> (bool, AgeKey<'_>) {
    let is_rca = r.spec.signal.as_ref().is_some_and(|s| s.kind == SignalKind::Rca);
    (!is_rca, age_key(r))
}
