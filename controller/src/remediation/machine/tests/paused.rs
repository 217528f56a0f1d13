//! While the kill switch is thrown.

use smartops_common::config::ClosedLoop;
use smartops_common::names::{CLOSED_LOOP, CLOSED_LOOP_DISABLED};
use smartops_common::remediation::{AttemptKind, AttemptResult, OriginatingSignal};
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

/// A scale of the loop whose rollout failed its first look, and the target since.
fn waiting_for_its_next_look() -> (Remediation, Live) {
    let live = broken(4);
    let mut r = verifying(Action::scale_by(1), &live);
    r.spec.source = Source::ClosedLoop;
    r.spec.signal = signalled().spec.signal;
    let r = recorded(&r, step(&r, facts(Some(&live), &[], 20)));
    assert_eq!(r.phase(), Phase::Verifying, "it is looked at again after a pause");
    (r, live)
}

fn around(switch: ClosedLoop, annotation: Option<&str>) -> Surroundings {
    let annotation = annotation.map(|value| (CLOSED_LOOP.to_owned(), value.to_owned()));
    Surroundings {
        switch,
        annotations: annotation.into_iter().collect(),
        ..Surroundings::default()
    }
}

#[test]
fn what_was_written_and_did_not_help_is_taken_back_where_the_loop_is_stopped_before_the_next_look()
{
    let (r, live) = waiting_for_its_next_look();
    assert_eq!(ends(&r), None, "its target is looked at first");
    let on = ClosedLoop::default();
    for (surroundings, taken_back) in [
        (around(OFF, None), true),
        (around(on.clone(), Some(CLOSED_LOOP_DISABLED)), true),
        (around(on, Some("enabled")), false),
    ] {
        let step = step(&r, Facts { surroundings: &surroundings, ..facts(Some(&live), &[], 21) });
        if !taken_back {
            assert!(matches!(step, Step::Wait(_)), "{step:?}");
            continue;
        }
        let undoing = recorded(&r, step);
        assert_eq!(
            (last(&undoing).kind, last(&undoing).intent.replicas),
            (AttemptKind::Undo, Some(3))
        );
        let why = undoing.status.as_ref().unwrap().attempts[0].message.clone().unwrap();
        assert!(why.starts_with("ClosedLoop") && why.contains("exceeded quota"), "{why}");
        assert_eq!(ends(&undoing), None, "and goes on");
    }
    // Somebody else's change is left alone, and said so.
    let others = edited(4, |d| d["metadata"]["generation"] = json!(9));
    let off = around(OFF, None);
    let ended =
        recorded(&r, step(&r, Facts { surroundings: &off, ..facts(Some(&others), &[], 21) }));
    assert_eq!((ended.phase(), reason_of(&ended)), (Phase::Failed, reason::LOOP_PAUSED));
    let words = &ended.status.as_ref().unwrap().outcome.as_ref().unwrap().message;
    assert!(words.contains("not taken back"), "{words}");
}

#[test]
fn a_further_look_that_was_announced_ends_before_what_was_written_is_taken_back() {
    let (r, live) = waiting_for_its_next_look();
    let announced = recorded(&r, step(&r, facts(Some(&live), &[], 30)));
    assert_eq!((announced.phase(), last(&announced).result), (Phase::Executing, None));
    let off = around(OFF, None);
    let stopped = |now| Facts { surroundings: &off, ..facts(Some(&live), &[], now) };
    let settled = recorded(&announced, step(&announced, stopped(30)));
    assert_eq!(
        (settled.phase(), last(&settled).result),
        (Phase::Executing, Some(AttemptResult::Expired))
    );
    let undoing = recorded(&settled, step(&settled, stopped(30)));
    assert_eq!((last(&undoing).kind, last(&undoing).intent.replicas), (AttemptKind::Undo, Some(3)));
}

#[test]
fn a_rollout_that_somebody_pauses_before_the_next_look_is_not_pulled_from_under_him() {
    let (r, live) = waiting_for_its_next_look();
    let paused_by = |generation: i64| {
        let mut stored = live.stored().clone();
        stored["spec"]["paused"] = json!(true);
        stored["metadata"]["generation"] = json!(generation);
        edited(4, |d| *d = stored)
    };
    // The twin: it was written so, and is taken back.
    for (generation, phase) in [(9, Phase::Failed), (8, Phase::Executing)] {
        let live = paused_by(generation);
        let next = recorded(&r, step(&r, facts(Some(&live), &[], 30)));
        assert_eq!(next.phase(), phase);
        if phase == Phase::Failed {
            assert_eq!(reason_of(&next), reason::PAUSED);
            let words = &next.status.as_ref().unwrap().outcome.as_ref().unwrap().message;
            assert!(words.contains("somebody else has changed it"), "{words}");
        } else {
            assert_eq!(last(&next).kind, AttemptKind::Undo);
        }
    }
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
