//! What becomes of a Remediation of the closed loop while its kill switch is thrown, or the owner of its namespace or its
//! target keeps the loop away: what has not been written is not begun, and not tried again; what was written, or may have been, is followed to its end. Calls of the API go on.

use jiff::Timestamp;
use smartops_common::config::ClosedLoop;
use smartops_common::names::{CLOSED_LOOP, CLOSED_LOOP_DISABLED};
use smartops_common::remediation::{AttemptResult, Remediation, RemediationStatus, Source};

use super::{Facts, give_up_phase, is_trying, is_watching, reason, undoing};
use crate::remediation::record;
use crate::target::Live;

/// The end of one that the switch stops; `None` where it goes on.
pub fn paused(
    remediation: &Remediation,
    switch: &ClosedLoop,
    now: Timestamp,
) -> Option<RemediationStatus> {
    if switch.enabled {
        return None;
    }
    let by = switch.changed_by.as_deref().unwrap_or("somebody");
    let why = switch.reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
    let message = format!(
        "the closed loop was switched off by {by}{why}: once it is on again (PATCH /v1/closed-loop), signals are acted on"
    );
    stopped(remediation, reason::LOOP_PAUSED, message, now)
}

/// The end of one that the owner of its namespace or of its target keeps the closed loop away from.
pub(super) fn disabled(
    remediation: &Remediation,
    live: &Live,
    facts: Facts<'_>,
) -> Option<RemediationStatus> {
    let says = |value: Option<&String>| value.is_some_and(|value| value == CLOSED_LOOP_DISABLED);
    let namespace = remediation.metadata.namespace.as_deref().unwrap_or_default();
    let target = &remediation.spec.target.name;
    let whose = if says(live.annotations().and_then(|all| all.get(CLOSED_LOOP))) {
        format!("Deployment {target}")
    } else if says(facts.surroundings.annotations.get(CLOSED_LOOP)) {
        format!("Namespace {namespace}")
    } else {
        return None;
    };
    let message = format!(
        "{whose} keeps the closed loop away by its annotation {CLOSED_LOOP}: {CLOSED_LOOP_DISABLED}; without it, signals are acted on"
    );
    stopped(remediation, reason::LOOP_DISABLED, message, facts.now)
}

/// The end of one of the closed loop that has not been written, for this reason; `None` for any other.
fn stopped(
    remediation: &Remediation,
    reason: &str,
    message: String,
    now: Timestamp,
) -> Option<RemediationStatus> {
    if remediation.spec.source != Source::ClosedLoop || !remediation.is_open() {
        return None;
    }
    let mut status = remediation.status.clone().unwrap_or_default();
    let has_left = || status.attempts.last().is_some_and(|attempt| attempt.sent_at.is_some());
    if is_watching(&status) || undoing::is_undo(&status) || (is_trying(&status) && has_left()) {
        return None;
    }
    let phase = give_up_phase(&RemediationStatus {
        attempts: status.attempts.iter().filter(|a| a.result.is_some()).cloned().collect(),
        ..RemediationStatus::default()
    });
    record::settle(&mut status, AttemptResult::Expired, Some(&message));
    record::finish(&mut status, phase, reason, message, now);
    Some(status)
}
