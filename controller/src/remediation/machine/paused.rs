//! What becomes of a Remediation of the closed loop while its kill switch is thrown: what has not been written is not
//! begun, and not tried again; what was written, or may have been, is followed to its end. Calls of the API go on.

use jiff::Timestamp;
use smartops_common::config::ClosedLoop;
use smartops_common::remediation::{AttemptResult, Remediation, RemediationStatus, Source};

use super::{give_up_phase, is_trying, is_watching, reason};
use crate::remediation::record;

/// The end of one that the switch stops; `None` where it goes on.
pub fn paused(
    remediation: &Remediation,
    switch: &ClosedLoop,
    now: Timestamp,
) -> Option<RemediationStatus> {
    if switch.enabled || remediation.spec.source != Source::ClosedLoop || !remediation.is_open() {
        return None;
    }
    let mut status = remediation.status.clone().unwrap_or_default();
    let has_left = || status.attempts.last().is_some_and(|attempt| attempt.sent_at.is_some());
    if is_watching(&status) || (is_trying(&status) && has_left()) {
        return None;
    }
    let by = switch.changed_by.as_deref().unwrap_or("somebody");
    let why = switch.reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
    let message = format!(
        "the closed loop was switched off by {by}{why}: once it is on again (PATCH /v1/closed-loop), signals are acted on"
    );
    let phase = give_up_phase(&RemediationStatus {
        attempts: status.attempts.iter().filter(|a| a.result.is_some()).cloned().collect(),
        ..RemediationStatus::default()
    });
    record::settle(&mut status, AttemptResult::Expired, Some(&message));
    record::finish(&mut status, phase, reason::LOOP_PAUSED, message, now);
    Some(status)
}
