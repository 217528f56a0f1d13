//! Waiting for somebody else's word: what would be written is put forward, put forward anew when it has become something
//! else, and done once it is approved, exactly as it was approved and once.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use smartops_common::action::Intent;
use smartops_common::approval::Decision;
use smartops_common::remediation::{Phase, Proposal, Remediation, RemediationStatus};

use super::{Facts, Step, beginning, reason};
use crate::action;
use crate::remediation::{approval, record};
use crate::target::Live;

/// How soon what waits is held against the live object again. An approval is seen at once, by its own watch.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Puts forward what would be written, for the first time.
pub(super) fn propose(
    remediation: &Remediation,
    mut status: RemediationStatus,
    live: &Live,
    facts: Facts<'_>,
) -> Step {
    match action::plan(&remediation.spec.action, None, facts.seen(live), facts.now) {
        Ok(intent) => put_forward(remediation, &mut status, intent, live, facts),
        Err(error) => malformed(&mut status, &error, facts.now),
    }
    Step::Record(Box::new(status))
}

/// Acts on what was said of the proposal, if it still stands.
pub(super) fn awaiting(
    remediation: &Remediation,
    mut status: RemediationStatus,
    live: &Live,
    facts: Facts<'_>,
) -> Step {
    let now = facts.now;
    if let Some(end) = expired(&status, now) {
        return Step::Record(Box::new(end));
    }
    let Some(proposal) = status.proposal.clone() else {
        return propose(remediation, status, live, facts);
    };
    let intent =
        match action::replan(&remediation.spec.action, &proposal.intent, facts.seen(live), now) {
            Ok(intent) => intent,
            Err(error) => {
                malformed(&mut status, &error, now);
                return Step::Record(Box::new(status));
            }
        };
    if approval::hash(remediation, facts.seen(live), &intent) != proposal.hash {
        put_forward(remediation, &mut status, intent, live, facts);
        return Step::Record(Box::new(status));
    }
    let word = approval::decided(remediation, &proposal.hash, facts.approvals, facts.expiry, now);
    match word {
        None => {
            let left = Duration::try_from(proposal.expires_at.0.duration_since(now));
            return Step::Wait(left.unwrap_or_default().min(LOOK_EVERY));
        }
        Some(word) if word.spec.decision == Decision::Reject => {
            let message = format!("rejected by {}", approval::by_whom(word));
            let reason = reason::REJECTED_BY_APPROVER;
            record::decide(&mut status, Some(false), reason, message.clone(), now);
            record::finish(&mut status, Phase::Cancelled, reason, message, now);
        }
        Some(word) => {
            if let Some(step) = beginning::obstacle(remediation, &status, live, facts) {
                return step;
            }
            let message = format!("approved by {}", approval::by_whom(word));
            record::decide(&mut status, Some(true), "Approved", message, now);
            let intent = of_the_present(proposal.intent, intent);
            record::begin(&mut status, intent, facts.seen(live), facts.leader, now);
        }
    }
    Step::Record(Box::new(status))
}

/// A further attempt at what was approved: the same values, of the same object, on the same word. Whatever else it
/// would be has to be asked for again.
pub(super) fn repeat(
    remediation: &Remediation,
    mut status: RemediationStatus,
    live: &Live,
    facts: Facts<'_>,
) -> Step {
    let now = facts.now;
    let proposal = status.proposal.clone().filter(|p| now < p.expires_at.0);
    let Some(proposal) = proposal else {
        stale(&mut status, "the time in which it was to be approved and written is over", now);
        return Step::Record(Box::new(status));
    };
    let seen = facts.seen(live);
    let intent = match action::replan(&remediation.spec.action, &proposal.intent, seen, now) {
        Ok(intent) => intent,
        Err(error) => {
            malformed(&mut status, &error, now);
            return Step::Record(Box::new(status));
        }
    };
    if approval::hash(remediation, seen, &intent) != proposal.hash {
        stale(&mut status, "the target moved on after it was approved", now);
        return Step::Record(Box::new(status));
    }
    match approval::decided(remediation, &proposal.hash, facts.approvals, facts.expiry, now) {
        Some(word) if word.spec.decision == Decision::Approve => {
            let intent = of_the_present(proposal.intent, intent);
            record::begin(&mut status, intent, seen, facts.leader, now);
        }
        Some(word) => {
            let message = format!("rejected after all by {}", approval::by_whom(word));
            let reason = reason::REJECTED_BY_APPROVER;
            record::decide(&mut status, Some(false), reason, message.clone(), now);
            record::finish(&mut status, Phase::Failed, reason, message, now);
        }
        None => stale(&mut status, "the approval has run out or was taken back", now),
    }
    Step::Record(Box::new(status))
}

/// What was approved, of the autoscaler's version that is there now: that moves with its status.
fn of_the_present(approved: Intent, present: Intent) -> Intent {
    Intent { bounds: present.bounds, ..approved }
}

/// The end of one that nobody approved in time.
pub(super) fn expired(status: &RemediationStatus, now: Timestamp) -> Option<RemediationStatus> {
    let proposal = status.proposal.as_ref().filter(|p| now >= p.expires_at.0)?;
    if status.phase != Phase::AwaitingApproval {
        return None;
    }
    let message = format!(
        "nobody approved or rejected it before {}: ask again with a new Remediation",
        approval::in_seconds(proposal.expires_at.0)
    );
    let mut status = status.clone();
    let reason = reason::APPROVAL_EXPIRED;
    record::decide(&mut status, Some(false), reason, message.clone(), now);
    record::finish(&mut status, Phase::Cancelled, reason, message, now);
    Some(status)
}

fn put_forward(
    remediation: &Remediation,
    status: &mut RemediationStatus,
    intent: Intent,
    live: &Live,
    facts: Facts<'_>,
) {
    let now = facts.now;
    let proposal = Proposal {
        hash: approval::hash(remediation, facts.seen(live), &intent),
        intent,
        target: record::target_of(live),
        proposed_at: Time(now),
        expires_at: Time(now.saturating_add(facts.expiry).unwrap_or(now)),
    };
    let request = approval::request(remediation, facts.seen(live), &proposal);
    let message = if status.proposal.is_some() {
        format!("the target moved on, and what was said before does not count any more; {request}")
    } else {
        request
    };
    status.phase = Phase::AwaitingApproval;
    status.proposal = Some(proposal);
    record::decide(status, Some(false), Phase::AwaitingApproval.as_str(), message, now);
}

fn stale(status: &mut RemediationStatus, why: &str, now: Timestamp) {
    let message = format!("{why}: ask again with a new Remediation");
    let reason = reason::APPROVAL_STALE;
    record::decide(status, Some(false), reason, message.clone(), now);
    record::finish(status, Phase::Failed, reason, message, now);
}

fn malformed(status: &mut RemediationStatus, error: &action::Malformed, now: Timestamp) {
    record::finish(status, Phase::Failed, reason::MALFORMED, error.to_string(), now);
}
