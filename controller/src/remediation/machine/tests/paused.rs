//! While the kill switch is thrown.

use smartops_common::config::ClosedLoop;
use smartops_common::remediation::{AttemptResult, OriginatingSignal};
use smartops_common::signal::SignalKind;

use super::*;
use crate::remediation::machine::paused;

const OFF: ClosedLoop =
    ClosedLoop { enabled: false, changed_by: None, changed_at: None, reason: None };

fn signalled() -> Remediation {
    let mut r = remediation("a", Action::restart());
    r.spec.source = Source::ClosedLoop;
    r.spec.signal = Some(OriginatingSignal {
        kind: SignalKind::Rca,
        id: "w".into(),
        began_at: None,
        score: None,
    });
    r
}

fn ends(r: &Remediation) -> Option<(Phase, String)> {
    let status = paused(r, &OFF, at(20))?;
    Some((status.phase, status.outcome?.reason))
}

#[test]
fn a_signal_is_skipped_with_the_reason_and_a_call_of_the_api_goes_on() {
    let skipped = Some((Phase::Skipped, "ClosedLoopPaused".to_owned()));
    let mut waiting = signalled();
    waiting.status =
        Some(RemediationStatus { phase: Phase::AwaitingApproval, ..RemediationStatus::default() });
    assert_eq!(ends(&signalled()), skipped);
    assert_eq!(ends(&waiting), skipped);
    assert_eq!(ends(&remediation("a", Action::restart())), None);
    assert_eq!(paused(&signalled(), &ClosedLoop::default(), at(20)), None);
}

#[test]
fn what_was_announced_and_never_left_is_taken_back_and_what_may_have_left_is_followed() {
    let live = deployment(3);
    let mut announced = signalled();
    let intent = crate::action::plan(&announced.spec.action, None, &live, at(10)).unwrap();
    let mut status = RemediationStatus::default();
    record::begin(&mut status, intent, &live, "me", at(10));
    announced.status = Some(status.clone());
    assert_eq!(ends(&announced).map(|end| end.0), Some(Phase::Skipped));
    let settled = paused(&announced, &OFF, at(20)).unwrap();
    assert_eq!(settled.attempts[0].result, Some(AttemptResult::Expired));
    record::send(&mut status, None, at(11));
    announced.status = Some(status.clone());
    assert_eq!(ends(&announced), None);
    record::settle_written(&mut status, AttemptResult::Written, &live, at(12));
    record::begin_verification(&mut status, at(12));
    announced.status = Some(status);
    assert_eq!(ends(&announced), None, "its rollout is judged");
}

#[test]
fn a_failed_try_is_not_repeated() {
    let live = deployment(3);
    let mut failed = signalled();
    let intent = crate::action::plan(&failed.spec.action, None, &live, at(10)).unwrap();
    let mut status = RemediationStatus::default();
    record::begin(&mut status, intent, &live, "me", at(10));
    record::settle(&mut status, AttemptResult::Failed, Some("no answer"));
    failed.status = Some(status);
    assert_eq!(ends(&failed), Some((Phase::Failed, "ClosedLoopPaused".to_owned())));
}
