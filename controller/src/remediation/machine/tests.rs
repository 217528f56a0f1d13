//! Tables for the phase machine: every phase against what may be seen of the world.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;
use smartops_common::action::{Action, ActionType, PatchFormat};
use smartops_common::config::Limits;
use smartops_common::denial::{Cause, Denial, Rule};
use smartops_common::remediation::{Attempt, OriginatingSignal, Source, VerificationStatus};
use smartops_common::signal::SignalKind;

use super::*;
use crate::fixture::{at, deployment, edited, remediation};

mod announced;
mod approvals;
mod beginning;
mod executing;
mod holding;
mod paused;
mod refusing;
mod undoing;
mod verifying;

const ME: &str = "controller/1";

fn facts<'a>(live: Option<&'a Live>, others: &'a [Remediation], now: i64) -> Facts<'a> {
    Facts {
        live,
        pods: Some(&[]),
        others,
        now: at(now),
        leader: ME,
        cooldown: SignedDuration::from_secs(300),
        approvals: &[],
        expiry: SignedDuration::from_secs(900),
        surroundings: Box::leak(Box::default()),
        means: Box::leak(Box::default()),
    }
}

fn recorded(r: &Remediation, step: Step) -> Remediation {
    let Step::Record(status) = step else { panic!("nothing recorded but {step:?}") };
    Remediation { status: Some(*status), ..r.clone() }
}

/// The Remediation with its first attempt recorded at second 10 against `live`.
fn begun(r: &Remediation, live: &Live) -> Remediation {
    let r = recorded(r, step(r, facts(Some(live), &[], 10)));
    assert_eq!(r.phase(), Phase::Executing, "{:?}", r.status);
    r
}

fn after(r: &Remediation, outcome: Written, now: i64) -> Remediation {
    Remediation { status: Some(after_write(r, outcome, at(now))), ..r.clone() }
}

fn reason_of(r: &Remediation) -> &str {
    &r.status.as_ref().unwrap().outcome.as_ref().unwrap().reason
}

fn last(r: &Remediation) -> &Attempt {
    r.status.as_ref().unwrap().attempts.last().unwrap()
}

fn scaled(replicas: i32) -> Live {
    edited(replicas, |d| {
        d["metadata"]["generation"] = json!(8);
        d["metadata"]["resourceVersion"] = json!("80");
        d["status"]["observedGeneration"] = json!(8);
    })
}

/// After two looks at this, a second apart.
fn looked_twice(r: &Remediation, live: &Live, now: i64) -> Remediation {
    let r = recorded(r, step(r, facts(Some(live), &[], now)));
    assert_eq!(r.phase(), Phase::Verifying, "one look is not enough");
    recorded(&r, step(&r, facts(Some(live), &[], now + 1)))
}

fn unavailable() -> Written {
    Written::Failed(Failure::Unavailable("no answer".into()))
}

#[test]
fn a_target_that_is_gone_or_another_is_skipped_before_and_failed_after_a_try() {
    let live = deployment(3);
    let other = edited(3, |d| d["metadata"]["uid"] = json!("u-2"));
    let fresh = remediation("a", Action::scale_by(1));
    let tried = begun(&fresh, &live);
    let watching = after(&tried, Written::Committed(Box::new(scaled(4))), 11);
    for (r, phase) in
        [(&fresh, Phase::Skipped), (&tried, Phase::Failed), (&watching, Phase::Failed)]
    {
        for seen in [None, Some(&other)] {
            let ended = recorded(r, step(r, facts(seen, &[], 12)));
            assert_eq!((ended.phase(), reason_of(&ended)), (phase, reason::TARGET_GONE));
        }
    }
}

#[test]
fn a_step_reads_only_what_it_decides_by() {
    let patch = |path: &str| {
        let list = json!([{"op": "add", "path": path, "value": 1}]);
        Action::patch(PatchFormat::Json, &list)
    };
    for (action, expected) in [
        (Action::scale_to(3), true),
        (Action::of(ActionType::HpaBounds), true),
        (Action::restart(), false),
        (patch("/spec/replicas"), true),
        (patch("/spec/template/metadata/annotations/replicas"), false),
    ] {
        let fresh = remediation("a", action);
        assert_eq!(needs(&fresh).autoscaler, expected, "{:?}", fresh.spec.action);
        let tried = after(
            &begun(&remediation("a", Action::scale_to(3)), &deployment(1)),
            unavailable(),
            11,
        );
        assert!(!needs(&tried).autoscaler, "what was begun is gone through with");
    }
    let waiting = approvals::awaiting(Action::scale_by(1));
    let mut tried = begun(&remediation("a", Action::scale_by(1)), &deployment(3));
    let mut watching = verifying(Action::scale_by(1), &scaled(4));
    let mut failed = after(&tried, unavailable(), 11);
    let mut unhealthy = {
        let live = broken(4);
        let r = verifying(Action::scale_by(1), &live);
        recorded(&r, step(&r, facts(Some(&live), &[], 20)))
    };
    let taking =
        |approvals| Needs { others: true, surroundings: true, approvals, ..Needs::default() };
    assert_eq!(needs(&remediation("a", Action::restart())), taking(false));
    for (r, expected) in [
        (&mut tried, taking(false)),
        (&mut watching, Needs { pods: true, ..Needs::default() }),
        (&mut failed, taking(true)),
        (&mut unhealthy, taking(true)),
        (&mut waiting.clone(), Needs { autoscaler: true, ..taking(true) }),
    ] {
        r.spec.require_approval = true;
        assert_eq!(needs(r), expected, "{:?}", r.status);
    }
}

#[test]
fn no_step_goes_back_a_phase() {
    let table = [
        begun(&remediation("a", Action::scale_by(1)), &deployment(3)),
        after(&begun(&remediation("a", Action::scale_by(1)), &deployment(3)), unavailable(), 11),
        verifying(Action::scale_by(1), &scaled(4)),
        verifying(Action::scale_by(1), &broken(4)),
        approvals::awaiting(Action::scale_by(1)),
    ];
    let worlds = [deployment(3), scaled(4), scaled(2), broken(4)];
    for r in &table {
        for live in &worlds {
            for now in [12, 30, 70, 80, 1000] {
                let Step::Record(status) = step(r, facts(Some(live), &[], now)) else { continue };
                let is_further = status.attempts.len() > r.status.as_ref().unwrap().attempts.len();
                assert!(
                    status.phase >= r.phase() || (status.phase == Phase::Executing && is_further),
                    "{:?} to {:?}",
                    r.phase(),
                    status.phase
                );
            }
        }
    }
}

#[test]
fn a_target_that_cannot_be_read_ends_the_remediation_and_does_not_hold_it_open() {
    let forbidden = Failure::Forbidden { by_authorizer: true, message: "no".into() };
    let silent = Failure::Unavailable("no answer".into());
    let ended =
        |r: &Remediation, failure: &Failure, now| given_up_at(r, failure, now).map(|s| s.phase);
    let fresh = remediation("a", Action::scale_by(1));
    let begun = begun(&fresh, &deployment(3));
    let watching = after(&begun, Written::Committed(Box::new(scaled(4))), 11);
    assert_eq!(ended(&fresh, &forbidden, 12), Some(Phase::Skipped));
    assert_eq!(ended(&begun, &forbidden, 12), Some(Phase::Failed));
    assert_eq!(ended(&watching, &forbidden, 12), Some(Phase::Failed));
    let made = fresh.metadata.creation_timestamp.as_ref().unwrap().0.as_second();
    let stale = made + i64::from(Limits::default().stale_seconds);
    for (r, last, over, phase) in [
        (&fresh, stale - 1, stale, Phase::Skipped),
        (&begun, 69, 70, Phase::TimedOut),
        (&watching, 70, 71, Phase::TimedOut),
    ] {
        assert_eq!(ended(r, &silent, last), None);
        assert_eq!(ended(r, &silent, over), Some(phase));
    }
    assert_eq!(reason_of(&given_up(&fresh, stale)), reason::STALE);
    // What was sent may have been written: that stays on record, and how the target stands is said where it is known.
    let sent = executing::sent(&begun);
    let status = given_up_at(&sent, &forbidden, 12).unwrap();
    assert_eq!(status.attempts[0].result, Some(AttemptResult::Expired));
    let seen = unreadable(&watching, &silent, Some(&scaled(4)), &Limits::default(), at(71));
    assert_eq!(seen.unwrap().comparison.map(|c| c.after.replicas), Some(4));
    assert_eq!(given_up_at(&watching, &silent, 71).unwrap().comparison, None);
    let over = Remediation { status: Some(status), ..begun.clone() };
    assert_eq!(given_up_at(&over, &forbidden, 99), None, "what has ended has");
}

/// What becomes of it where nothing can be read.
fn given_up_at(r: &Remediation, failure: &Failure, now: i64) -> Option<RemediationStatus> {
    unreadable(r, failure, None, &Limits::default(), at(now))
}

fn given_up(r: &Remediation, now: i64) -> Remediation {
    let status = given_up_at(r, &Failure::Unavailable("no answer".into()), now);
    Remediation { status, ..r.clone() }
}

#[test]
fn what_admission_never_believed_ends_as_it_was_on_record() {
    let refusal = Failure::Rejected { code: 422, message: "that is not so".into() };
    let five_minutes = Duration::from_mins(5);
    let end = |r: &Remediation| Remediation {
        status: Some(unrecorded(r, &refusal, five_minutes, at(400))),
        ..r.clone()
    };
    let fresh = remediation("a", Action::scale_by(1));
    let begun = begun(&fresh, &deployment(3));
    let sent = executing::sent(&begun);
    let watching = after(&begun, Written::Committed(Box::new(scaled(4))), 11);
    let (failed, expired) = (Some(AttemptResult::Failed), Some(AttemptResult::Expired));
    for (r, result) in [
        (&fresh, None),
        (&approvals::awaiting(Action::restart()), None),
        (&begun, failed),
        (&sent, expired),
        (&watching, Some(AttemptResult::Written)),
    ] {
        let ended = end(r);
        assert_eq!((ended.phase(), reason_of(&ended)), (Phase::Failed, reason::RECORD_REFUSED));
        let attempts = |r: &Remediation| r.status.as_ref().map_or(0, |s| s.attempts.len());
        assert_eq!(attempts(&ended), attempts(r), "nothing is added");
        let status = ended.status.as_ref().unwrap();
        let last = status.attempts.last();
        assert_eq!(last.and_then(|a| a.result), result);
        assert_eq!(
            last.map(|a| &a.target),
            r.status.as_ref().and_then(|s| s.attempts.last()).map(|a| &a.target)
        );
        let words = &status.outcome.as_ref().unwrap().message;
        assert!(words.contains("300 s") && words.contains("that is not so"), "{words}");
    }
}

fn verifying(action: Action, live: &Live) -> Remediation {
    let r = begun(&remediation("a", action), &deployment(3));
    after(&r, Written::Committed(Box::new(live.clone())), 11)
}

fn broken(replicas: i32) -> Live {
    edited(replicas, |d| {
        d["metadata"]["generation"] = json!(8);
        d["metadata"]["resourceVersion"] = json!("80");
        d["status"]["observedGeneration"] = json!(8);
        d["status"]["readyReplicas"] = json!(0);
        d["status"]["conditions"] = json!([
            {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]);
    })
}

#[test]
fn what_has_ended_stays_as_it_ended() {
    let live = deployment(3);
    for phase in Phase::ALL.into_iter().filter(|p| p.is_final()) {
        let mut r = remediation("a", Action::restart());
        r.status = Some(RemediationStatus { phase, ..RemediationStatus::default() });
        assert_eq!(step(&r, facts(Some(&live), &[], 10)), Step::Done);
        assert_eq!(step(&r, facts(None, &[], 10)), Step::Done);
    }
}

#[test]
fn what_the_clock_of_another_replica_puts_into_the_future_was_just_now() {
    assert_eq!(elapsed(at(10), at(13)), SignedDuration::from_secs(3));
    assert_eq!(elapsed(at(9999), at(13)), SignedDuration::ZERO);
    // A leader whose clock was an hour ahead began to watch: the next one watches for a minute, no longer.
    let late = edited(4, |d| {
        d["metadata"]["generation"] = json!(8);
        d["status"]["observedGeneration"] = json!(8);
        d["status"]["readyReplicas"] = json!(3);
    });
    let mut r = verifying(Action::scale_by(1), &late);
    let verification = r.status.as_mut().unwrap().verification.as_mut().unwrap();
    verification.started_at = Time(at(3611));
    let Step::Wait(pause) = step(&r, Facts { pods: None, ..facts(Some(&late), &[], 12) }) else {
        panic!("it is not over")
    };
    assert!(pause <= Duration::from_mins(1), "{pause:?}");
    // And one whose try failed by that clock waits for its pause, no longer.
    let live = deployment(3);
    let mut failed =
        after(&begun(&remediation("a", Action::scale_by(1)), &live), unavailable(), 11);
    failed.status.as_mut().unwrap().attempts[0].started_at = Time(at(3611));
    assert_eq!(step(&failed, facts(Some(&live), &[], 12)), Step::Wait(Duration::from_secs(5)));
}
