//! Before an attempt, the first or a further one: whose turn it is, and the pause before a repeat. What is left alone and
//! why is `refusing`'s, what is held back for a while `holding`'s.

use std::time::Duration;

use jiff::Timestamp;
use smartops_common::remediation::{Phase, Remediation, RemediationStatus, Source};
use smartops_common::signal::SignalKind;

use super::refusing::{self, Refusal};
use super::{
    AgeKey, BACKOFF, Facts, Step, TURN_POLL, age_key, awaiting, elapsed, give_up_phase, has_begun,
    holding, others_of, reason, tries, undoing,
};
use crate::action;
use crate::remediation::record::{self, MOST_ATTEMPTS};
use crate::remediation::surroundings::is_held;
use crate::target::Live;

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
        let step = if status.attempts.is_empty() {
            awaiting::propose(remediation, status, live, facts)
        } else {
            awaiting::repeat(remediation, status, live, facts)
        };
        return match step {
            Step::Record(status) => Step::Record(holding::released(status, facts)),
            step => step,
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
    Step::Record(holding::released(Box::new(status), facts))
}

/// What stands in the way of an attempt now: others whose turn it is, or a reason to leave the target alone.
pub(super) fn obstacle(
    remediation: &Remediation,
    status: &RemediationStatus,
    live: &Live,
    facts: Facts<'_>,
) -> Option<Step> {
    if let Some(end) = refusing::moot(remediation, status, facts) {
        return Some(Step::Record(holding::released(Box::new(end), facts)));
    }
    if !is_its_turn(remediation, facts) {
        return Some(Step::Wait(TURN_POLL));
    }
    match refusing::refusal(remediation, status, live, facts) {
        Refusal::None => holding::held(remediation, status, facts),
        Refusal::NotYet => Some(Step::Wait(TURN_POLL)),
        Refusal::For(reason, message) => {
            let mut status = status.clone();
            if undoing::has_written(&status) {
                undoing::give_up(remediation, &mut status, live, facts, (reason, &message));
            } else {
                let phase = give_up_phase(&status);
                record::finish(&mut status, phase, reason, message, facts.now);
            }
            Some(Step::Record(holding::released(Box::new(status), facts)))
        }
    }
}

/// What is left of the pause before the next try: 5 s after the first failure, twice that after the second.
pub(super) fn backoff_left(status: &RemediationStatus, now: Timestamp) -> Option<Duration> {
    let last = status.attempts.last().filter(|a| record::was_tried(a))?;
    let ended = status.verification.as_ref().and_then(|v| v.finished_at.as_ref());
    let since = ended.map_or(last.started_at.0, |t| t.0);
    let doublings = u32::try_from(tries(status).saturating_sub(1)).unwrap_or(0).min(8);
    let pause = BACKOFF.saturating_mul(1 << doublings);
    let left = pause - elapsed(since, now);
    Duration::try_from(left).ok().filter(|left| !left.is_zero())
}

/// One at a time: whatever has begun goes first, then root causes before anomalies, then the oldest. A dry run
/// changes nothing and neither waits nor is waited for, and nobody waits for one that waits itself. A caller does not wait
/// for what the loop holds back; what the loop decided keeps its order among itself.
fn is_its_turn(remediation: &Remediation, facts: Facts<'_>) -> bool {
    let goes_first = |o: &Remediation| {
        let is_passed = is_held(o) && remediation.spec.source != Source::ClosedLoop;
        has_begun(o)
            || (!is_passed && !is_waiting(o, facts.now) && turn_key(o) < turn_key(remediation))
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

/// Who goes first: root causes, then the oldest, then by uid, so that of any two exactly one does.
pub fn turn_key(r: &Remediation) -> (bool, AgeKey<'_>) {
    let is_rca = r.spec.signal.as_ref().is_some_and(|s| s.kind == SignalKind::Rca);
    (!is_rca, age_key(r))
}
