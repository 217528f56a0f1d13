//! What becomes of a Remediation of the closed loop while its kill switch is thrown, or the owner of its namespace or its
//! target keeps the loop away: what has not been written is not begun, and not tried again; what was written, or may have
//! been, is followed to its end, and taken back where that was found not to help. Calls of the API go on.

use jiff::Timestamp;
use smartops_common::config::ClosedLoop;
use smartops_common::names::{CLOSED_LOOP, CLOSED_LOOP_DISABLED};
use smartops_common::remediation::{AttemptResult, Remediation, RemediationStatus, Source};

use super::{Facts, give_up_phase, is_trying, is_watching, reason, undoing};
use crate::remediation::record;
use crate::target::Live;

/// The end of one that the switch stops before anything of it was written; `None` where it goes on, or what it wrote has
/// to be looked at first.
pub fn paused(
    remediation: &Remediation,
    switch: &ClosedLoop,
    now: Timestamp,
) -> Option<RemediationStatus> {
    let why = switched_off(switch)?;
    let is_written = remediation.status.as_ref().is_some_and(undoing::has_written);
    if is_written { None } else { stopped(remediation, why, now) }
}

/// What becomes of one that the switch stops, or that the owner of its namespace or of its target keeps the closed loop
/// away from.
pub(super) fn kept_away(
    remediation: &Remediation,
    live: &Live,
    facts: Facts<'_>,
) -> Option<RemediationStatus> {
    let why =
        switched_off(&facts.surroundings.switch).or_else(|| disabled(remediation, live, facts))?;
    let is_between_looks = |status: &&RemediationStatus| {
        undoing::has_written(status) && !is_trying(status) && !is_watching(status)
    };
    let status = remediation.status.as_ref().filter(is_between_looks);
    let Some(status) = status.filter(|_| may_be_stopped(remediation)) else {
        return stopped(remediation, why, facts.now);
    };
    let (reason, message) = why;
    let mut status = status.clone();
    undoing::give_up(remediation, &mut status, live, facts, (reason, &message));
    Some(status)
}

fn switched_off(switch: &ClosedLoop) -> Option<(&'static str, String)> {
    if switch.enabled {
        return None;
    }
    let by = switch.changed_by.as_deref().unwrap_or("somebody");
    let why = switch.reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
    let message = format!(
        "the closed loop was switched off by {by}{why}: once it is on again (PATCH /v1/closed-loop), signals are acted on"
    );
    Some((reason::LOOP_PAUSED, message))
}

fn disabled(
    remediation: &Remediation,
    live: &Live,
    facts: Facts<'_>,
) -> Option<(&'static str, String)> {
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
    Some((reason::LOOP_DISABLED, message))
}

/// Whether it is of the closed loop, and neither ended nor on its way back.
fn may_be_stopped(remediation: &Remediation) -> bool {
    remediation.spec.source == Source::ClosedLoop
        && remediation.is_open()
        && !remediation.status.as_ref().is_some_and(undoing::is_undo)
}

/// The end of one of the closed loop that has not been written, for this reason; `None` for any other. Where a further
/// try at what was written has not left, only that ends: what was written is looked at next.
fn stopped(
    remediation: &Remediation,
    (reason, message): (&str, String),
    now: Timestamp,
) -> Option<RemediationStatus> {
    if !may_be_stopped(remediation) {
        return None;
    }
    let mut status = remediation.status.clone().unwrap_or_default();
    let has_left = || status.attempts.last().is_some_and(|attempt| attempt.sent_at.is_some());
    if is_watching(&status) || (is_trying(&status) && has_left()) {
        return None;
    }
    if undoing::has_written(&status) {
        record::settle(&mut status, AttemptResult::Expired, Some(&message));
        return Some(status);
    }
    let phase = give_up_phase(&RemediationStatus {
        attempts: status.attempts.iter().filter(|a| a.result.is_some()).cloned().collect(),
        ..RemediationStatus::default()
    });
    record::settle(&mut status, AttemptResult::Expired, Some(&message));
    record::finish(&mut status, phase, reason, message, now);
    Some(status)
}
