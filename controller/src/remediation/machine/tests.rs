//! Tables for the phase machine: every phase against what may be seen of the world.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;
use smartops_common::action::Action;
use smartops_common::denial::{Cause, Denial, Rule};
use smartops_common::remediation::{Attempt, OriginatingSignal, Source, VerificationStatus};
use smartops_common::signal::SignalKind;

use super::*;
use crate::fixture::{at, deployment, edited, remediation, restarted};

mod approvals;

const ME: &str = "controller/1";

fn facts<'a>(live: Option<&'a Deployment>, others: &'a [Remediation], now: i64) -> Facts<'a> {
    Facts {
        live,
        pods: Some(&[]),
        others,
        now: at(now),
        leader: ME,
        cooldown: SignedDuration::from_secs(300),
        approvals: &[],
        expiry: SignedDuration::from_secs(900),
    }
}

fn by_signal(name: &str, kind: SignalKind) -> Remediation {
    let mut r = remediation(name, Action::scale_by(1));
    r.spec.source = Source::ClosedLoop;
    r.spec.cause = format!("{kind}/x");
    r.spec.signal = Some(OriginatingSignal { kind, id: "w".into(), score: None });
    r
}

fn recorded(r: &Remediation, step: Step) -> Remediation {
    let Step::Record(status) = step else { panic!("nothing recorded but {step:?}") };
    Remediation { status: Some(*status), ..r.clone() }
}

/// The Remediation with its first attempt recorded at second 10 against `live`.
fn begun(r: &Remediation, live: &Deployment) -> Remediation {
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

fn scaled(replicas: i32) -> Deployment {
    edited(replicas, |d| {
        d["metadata"]["generation"] = json!(8);
        d["metadata"]["resourceVersion"] = json!("80");
        d["status"]["observedGeneration"] = json!(8);
    })
}

fn unavailable() -> Written {
    Written::Failed(Failure::Unavailable("no answer".into()))
}

#[test]
fn a_pending_remediation_records_its_exact_intent_before_anything_else() {
    let r = begun(&remediation("a", Action::scale_by(1)), &deployment(3));
    let attempt = last(&r);
    assert_eq!(attempt.intent.replicas, Some(4));
    assert_eq!(attempt.leader, ME);
    assert_eq!(attempt.target.resource_version, "70");
    assert_eq!(attempt.former.replicas, 3);
    assert_eq!(attempt.started_at, Time(at(10)));
    assert!(attempt.deadline.0 > at(10) && attempt.result.is_none());
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
fn a_paused_rollout_is_left_alone_whoever_asks() {
    let paused = edited(3, |d| d["spec"]["paused"] = json!(true));
    for r in [remediation("a", Action::restart()), by_signal("a", SignalKind::Rca)] {
        let ended = recorded(&r, step(&r, facts(Some(&paused), &[], 10)));
        assert_eq!((ended.phase(), reason_of(&ended)), (Phase::Skipped, reason::PAUSED));
    }
}

#[test]
fn a_moving_rollout_stops_a_signal_but_not_a_caller_nor_a_stuck_one_its_remedy() {
    let moving = edited(3, |d| d["status"]["updatedReplicas"] = json!(1));
    let signal = by_signal("a", SignalKind::Rca);
    let ended = recorded(&signal, step(&signal, facts(Some(&moving), &[], 10)));
    assert_eq!((ended.phase(), reason_of(&ended)), (Phase::Skipped, reason::MOVING));
    begun(&remediation("a", Action::restart()), &moving);
    let stuck = edited(3, |d| {
        d["status"]["updatedReplicas"] = json!(1);
        d["status"]["conditions"] = json!([
            {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]);
    });
    begun(&signal, &stuck);
}

#[test]
fn a_change_nobody_has_seen_yet_is_waited_for_and_not_for_ever() {
    let unseen = edited(3, |d| d["metadata"]["generation"] = json!(8));
    let signal = by_signal("a", SignalKind::Rca);
    assert_eq!(step(&signal, facts(Some(&unseen), &[], 10)), Step::Wait(TURN_POLL));
    let ended = recorded(&signal, step(&signal, facts(Some(&unseen), &[], 31)));
    assert_eq!(reason_of(&ended), reason::MOVING);
}

#[test]
fn the_loops_cooldown_binds_signals_only_and_counts_real_attempts_of_signals_only() {
    let live = deployment(3);
    let earlier = {
        let mut old = by_signal("old", SignalKind::Anomaly);
        old.spec.verify = false;
        after(&begun(&old, &live), Written::Committed(Box::new(scaled(4))), 11)
    };
    let refused = {
        let begun = begun(&by_signal("old", SignalKind::Anomaly), &live);
        after(&begun, Written::Failed(Failure::NotFound("x".into())), 11)
    };
    let trial = {
        let mut trial = earlier.clone();
        trial.spec.dry_run = true;
        trial
    };
    let by_caller = {
        let mut other = earlier.clone();
        other.spec.source = Source::User;
        other
    };
    let signal = by_signal("new", SignalKind::Rca);
    let mut dry_signal = signal.clone();
    dry_signal.spec.dry_run = true;
    let caller = remediation("new", Action::restart());
    let table = [
        (&signal, &earlier, 309, true),
        (&signal, &earlier, 310, false),
        (&signal, &refused, 309, false),
        (&signal, &trial, 309, false),
        (&signal, &by_caller, 309, false),
        (&dry_signal, &earlier, 309, false),
        (&caller, &earlier, 309, false),
    ];
    for (r, other, now, is_skipped) in table {
        let others = std::slice::from_ref(other);
        let next = recorded(r, step(r, facts(Some(&live), others, now)));
        assert_eq!(next.phase() == Phase::Skipped, is_skipped, "at {now}: {:?}", next.status);
        if is_skipped {
            assert_eq!(reason_of(&next), reason::COOLDOWN);
            assert!(next.status.unwrap().outcome.unwrap().message.contains("1 s are left"));
        }
    }
}

#[test]
fn one_at_a_time_what_has_begun_then_root_causes_then_the_oldest() {
    let live = deployment(3);
    let aged = |mut r: Remediation, second| {
        r.metadata.creation_timestamp = Some(Time(at(second)));
        r
    };
    let anomaly = aged(by_signal("anomaly", SignalKind::Anomaly), 1);
    let rca = aged(by_signal("rca", SignalKind::Rca), 5);
    let late = aged(by_signal("late", SignalKind::Rca), 6);
    let mut dry = aged(by_signal("dry", SignalKind::Anomaly), 9);
    dry.spec.dry_run = true;
    let all = [anomaly.clone(), rca.clone(), late.clone()];
    let waits = |r: &Remediation, others: &[Remediation]| {
        step(r, facts(Some(&live), others, 10)) == Step::Wait(TURN_POLL)
    };
    assert!(waits(&anomaly, &all) && waits(&late, &all) && !waits(&rca, &all));
    let running = begun(&anomaly, &live);
    assert!(waits(&rca, &[running, late]), "what has begun goes first");
    assert!(!waits(&dry, &all), "a dry run waits for nobody");
    assert!(!waits(&anomaly, &[dry]), "and nobody for a dry run");
}

#[test]
fn whoever_waits_for_its_next_try_holds_nobody_up_and_goes_on_afterwards() {
    let live = deployment(3);
    let failed = after(&begun(&remediation("a", Action::scale_by(1)), &live), unavailable(), 10);
    let broken = broken(4);
    let unhealthy = verifying(Action::scale_by(1), &broken);
    let unhealthy = recorded(&unhealthy, step(&unhealthy, facts(Some(&broken), &[], 10)));
    let other = remediation("b", Action::restart());
    for waiting in [failed, unhealthy] {
        let others = std::slice::from_ref(&waiting);
        let next = recorded(&other, step(&other, facts(Some(&live), others, 11)));
        assert_eq!(next.phase(), Phase::Executing);
        // Once its pause is over it is the older again, and yet waits for what has begun meanwhile.
        assert_eq!(step(&other, facts(Some(&live), others, 16)), Step::Wait(TURN_POLL));
        let begun = std::slice::from_ref(&next);
        assert_eq!(step(&waiting, facts(Some(&live), begun, 16)), Step::Wait(TURN_POLL));
        let again = recorded(
            &waiting,
            step(&waiting, facts(Some(&live), std::slice::from_ref(&other), 16)),
        );
        assert_eq!((again.phase(), last(&again).number), (Phase::Executing, 2));
    }
}

#[test]
fn a_step_reads_only_what_it_decides_by() {
    let waiting = approvals::awaiting(Action::scale_by(1));
    let mut tried = begun(&remediation("a", Action::scale_by(1)), &deployment(3));
    let mut watching = verifying(Action::scale_by(1), &scaled(4));
    let mut failed = after(&tried, unavailable(), 11);
    let mut unhealthy = {
        let live = broken(4);
        let r = verifying(Action::scale_by(1), &live);
        recorded(&r, step(&r, facts(Some(&live), &[], 20)))
    };
    assert_eq!(needs(&remediation("a", Action::restart())), Needs::Others { approvals: false });
    for (r, expected) in [
        (&mut tried, Needs::Others { approvals: false }),
        (&mut watching, Needs::Pods),
        (&mut failed, Needs::Others { approvals: true }),
        (&mut unhealthy, Needs::Others { approvals: true }),
        (&mut waiting.clone(), Needs::Others { approvals: true }),
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
fn of_two_that_began_at_the_same_moment_the_later_steps_back() {
    let live = deployment(3);
    let older = begun(&remediation("a", Action::scale_by(1)), &live);
    let younger = begun(&remediation("b", Action::restart()), &live);
    let both = [older.clone(), younger.clone()];
    assert_eq!(step(&older, facts(Some(&live), &both, 11)), Step::Wait(TURN_POLL));
    let back = recorded(&younger, step(&younger, facts(Some(&live), &both, 11)));
    assert_eq!(
        (back.phase(), last(&back).result),
        (Phase::Executing, Some(AttemptResult::Conflict))
    );
    let waits = step(&back, facts(Some(&live), std::slice::from_ref(&older), 11));
    assert_eq!(waits, Step::Wait(TURN_POLL));
    assert_eq!(step(&older, facts(Some(&live), &[back], 11)), Step::Write);
}

#[test]
fn an_open_attempt_is_written_while_the_object_is_as_it_was_read() {
    let live = deployment(3);
    let r = begun(&remediation("a", Action::scale_by(1)), &live);
    assert_eq!(step(&r, facts(Some(&live), std::slice::from_ref(&r), 11)), Step::Write);
}

#[test]
fn killed_after_the_write_the_values_are_recognised_and_not_written_again() {
    let r = begun(&remediation("a", Action::scale_by(1)), &deployment(3));
    let next = recorded(&r, step(&r, facts(Some(&scaled(4)), &[], 12)));
    assert_eq!(
        (next.phase(), last(&next).result),
        (Phase::Verifying, Some(AttemptResult::Written))
    );

    let restart = begun(&remediation("a", Action::restart()), &deployment(3));
    let value = last(&restart).intent.restarted_at.clone().unwrap();
    let mut live = restarted(&value);
    live.metadata.generation = Some(8);
    let next = recorded(&restart, step(&restart, facts(Some(&live), &[], 500)));
    assert_eq!(last(&next).result, Some(AttemptResult::Written), "even after the deadline");
}

#[test]
fn a_write_that_was_sent_and_cannot_be_seen_is_unknown_and_not_repeated() {
    let sent = |r: &Remediation| {
        let mut status = r.status.clone().unwrap();
        record::send(&mut status, at(11));
        Remediation { status: Some(status), ..r.clone() }
    };
    let r = begun(&remediation("a", Action::scale_by(1)), &deployment(3));
    // Written, and undone by somebody else before anybody looked; or never written. Nobody can tell.
    let moved = scaled(3);
    let ended = recorded(&sent(&r), step(&sent(&r), facts(Some(&moved), &[], 12)));
    assert_eq!((ended.phase(), reason_of(&ended)), (Phase::TimedOut, reason::UNKNOWN));
    // The twins: one that never left is planned anew, one whose object has not moved is sent again.
    let again = recorded(&r, step(&r, facts(Some(&moved), &[], 12)));
    assert_eq!(last(&again).result, Some(AttemptResult::Conflict));
    assert_eq!(step(&sent(&r), facts(Some(&deployment(3)), &[], 12)), Step::Write);
}

#[test]
fn an_object_that_moved_otherwise_is_read_and_decided_anew_with_the_same_values() {
    let r = begun(&remediation("a", Action::scale_by(1)), &deployment(3));
    let moved = edited(2, |d| {
        d["metadata"]["generation"] = json!(8);
        d["metadata"]["resourceVersion"] = json!("80");
    });
    let again = recorded(&r, step(&r, facts(Some(&moved), &[], 12)));
    assert_eq!(
        (again.phase(), last(&again).result),
        (Phase::Executing, Some(AttemptResult::Conflict))
    );
    let again = recorded(&again, step(&again, facts(Some(&moved), &[], 12)));
    let attempt = last(&again);
    assert_eq!((attempt.number, attempt.intent.replicas), (2, Some(4)));
    assert_eq!(attempt.target.resource_version, "80");
}

#[test]
fn a_target_that_moves_before_every_attempt_is_given_up() {
    let mut r = remediation("a", Action::scale_by(1));
    for n in 0..MOST_ATTEMPTS {
        r = recorded(&r, step(&r, facts(Some(&deployment(3)), &[], 10)));
        assert_eq!((r.phase(), last(&r).result), (Phase::Executing, None), "attempt {n}");
        r = recorded(&r, step(&r, facts(Some(&scaled(2)), &[], 10)));
        assert_eq!(last(&r).result, Some(AttemptResult::Conflict), "attempt {n}");
    }
    let ended = recorded(&r, step(&r, facts(Some(&deployment(3)), &[], 10)));
    assert_eq!((ended.phase(), reason_of(&ended)), (Phase::Failed, reason::CONTENDED));
}

#[test]
fn a_status_that_moves_costs_no_attempt() {
    let r = begun(&remediation("a", Action::scale_by(1)), &deployment(3));
    let conflict = Written::Failed(Failure::Conflict("moved".into()));
    let r = after(&r, conflict, 11);
    assert_eq!((r.phase(), last(&r).result), (Phase::Executing, None));
    let busy = edited(3, |d| {
        d["metadata"]["resourceVersion"] = json!("71");
        d["status"]["readyReplicas"] = json!(2);
    });
    let r = recorded(&r, step(&r, facts(Some(&busy), &[], 11)));
    assert_eq!((last(&r).number, last(&r).target.resource_version.as_str()), (1, "71"));
    assert_eq!(step(&r, facts(Some(&busy), &[], 11)), Step::Write);
}

#[test]
fn one_more_never_takes_away_what_somebody_added_meanwhile() {
    let r = begun(&remediation("a", Action::scale_by(1)), &deployment(3));
    let further = scaled(6);
    let r = recorded(&r, step(&r, facts(Some(&further), &[], 11)));
    assert_eq!(last(&r).result, Some(AttemptResult::Conflict));
    let r = recorded(&r, step(&r, facts(Some(&further), &[], 11)));
    assert_eq!(last(&r).intent.replicas, Some(6));
    let r = recorded(&r, step(&r, facts(Some(&further), &[], 11)));
    assert_eq!(last(&r).result, Some(AttemptResult::Unchanged));
}

#[test]
fn a_webhook_that_could_not_decide_is_asked_again_and_a_guardrail_is_not() {
    let denial = |rule, retry_after_seconds| Denial {
        message: "no".into(),
        causes: vec![Cause { policy: "p".into(), rule, path: String::new(), message: "no".into() }],
        retry_after_seconds,
    };
    let r = begun(&remediation("a", Action::restart()), &deployment(3));
    for (denial, phase) in [
        (denial(Rule::Undecided, Some(1)), Phase::Executing),
        (denial(Rule::Cooldown, Some(1)), Phase::Executing),
        (denial(Rule::Warrant, Some(1)), Phase::Executing),
        (denial(Rule::Warrant, None), Phase::Denied),
        (denial(Rule::Cooldown, Some(87)), Phase::Denied),
        (denial(Rule::Paths, None), Phase::Denied),
    ] {
        let next = after(&r, Written::Failed(Failure::Denied(denial.clone())), 11);
        assert_eq!(next.phase(), phase, "{denial:?}");
    }
}

#[test]
fn a_target_that_cannot_be_read_ends_the_remediation_and_does_not_hold_it_open() {
    let forbidden = Failure::Forbidden { by_authorizer: true, message: "no".into() };
    let silent = Failure::Unavailable("no answer".into());
    let ended =
        |r: &Remediation, failure: &Failure, now| unreadable(r, failure, at(now)).map(|s| s.phase);
    let fresh = remediation("a", Action::scale_by(1));
    let begun = begun(&fresh, &deployment(3));
    let watching = after(&begun, Written::Committed(Box::new(scaled(4))), 11);
    assert_eq!(ended(&fresh, &forbidden, 12), Some(Phase::Skipped));
    assert_eq!(ended(&begun, &forbidden, 12), Some(Phase::Failed));
    assert_eq!(ended(&watching, &forbidden, 12), Some(Phase::Failed));
    assert_eq!(ended(&fresh, &silent, 9999), None);
    for (r, last, over) in [(&begun, 69, 70), (&watching, 70, 71)] {
        assert_eq!(ended(r, &silent, last), None);
        assert_eq!(ended(r, &silent, over), Some(Phase::TimedOut));
    }
}

#[test]
fn pods_that_cannot_be_read_leave_a_rollout_unverified() {
    let live = scaled(4);
    let r = verifying(Action::scale_by(1), &live);
    let blind = |now| Facts { pods: None, ..facts(Some(&live), &[], now) };
    assert_eq!(step(&r, blind(12)), Step::Wait(Duration::from_secs(2)));
    assert_eq!(recorded(&r, step(&r, blind(71))).phase(), Phase::TimedOut);
}

#[test]
fn an_attempt_past_its_deadline_is_not_written() {
    let live = deployment(3);
    let r = begun(&remediation("a", Action::scale_by(1)), &live);
    let late = 10 + record::ATTEMPT_LIMIT.as_secs();
    assert_eq!(step(&r, facts(Some(&live), &[], late - 1)), Step::Write);
    let expired = recorded(&r, step(&r, facts(Some(&live), &[], late)));
    assert_eq!(
        (expired.phase(), last(&expired).result),
        (Phase::Executing, Some(AttemptResult::Expired))
    );
}

#[test]
fn a_scale_to_what_is_already_there_writes_nothing() {
    let live = deployment(3);
    let r = begun(&remediation("a", Action::scale_to(3)), &live);
    let next = recorded(&r, step(&r, facts(Some(&live), &[], 11)));
    assert_eq!(
        (next.phase(), last(&next).result),
        (Phase::Verifying, Some(AttemptResult::Unchanged))
    );
    let mut quiet = r;
    quiet.spec.verify = false;
    let ended = recorded(&quiet, step(&quiet, facts(Some(&live), &[], 11)));
    assert_eq!((ended.phase(), reason_of(&ended)), (Phase::Succeeded, reason::UNCHANGED));
}

#[test]
fn what_comes_of_the_write_decides_the_phase() {
    let denial = Denial {
        message: "no".into(),
        causes: vec![Cause {
            policy: "p".into(),
            rule: Rule::Replicas,
            path: String::new(),
            message: "no".into(),
        }],
        retry_after_seconds: None,
    };
    let words = || String::from("no");
    let r = begun(&remediation("a", Action::scale_by(1)), &deployment(3));
    let table = [
        (Written::Committed(Box::new(scaled(4))), Phase::Verifying, AttemptResult::Written),
        (Written::Unchanged(Box::new(deployment(3))), Phase::Verifying, AttemptResult::Unchanged),
        (Written::Expired, Phase::Executing, AttemptResult::Expired),
        (Written::Failed(Failure::Denied(denial)), Phase::Denied, AttemptResult::Denied),
        (Written::Failed(Failure::NotFound(words())), Phase::Failed, AttemptResult::Failed),
        (
            Written::Failed(Failure::Forbidden { by_authorizer: true, message: words() }),
            Phase::Failed,
            AttemptResult::Failed,
        ),
        (
            Written::Failed(Failure::Rejected { code: 422, message: words() }),
            Phase::Failed,
            AttemptResult::Failed,
        ),
        (unavailable(), Phase::Executing, AttemptResult::Failed),
    ];
    for (outcome, phase, result) in table {
        let next = after(&r, outcome.clone(), 11);
        assert_eq!((next.phase(), last(&next).result), (phase, Some(result)), "{outcome:?}");
        let status = next.status.as_ref().unwrap();
        assert_eq!(status.outcome.is_some(), phase.is_final(), "{outcome:?}");
        assert_eq!(status.denial.is_some(), phase == Phase::Denied, "{outcome:?}");
    }
}

#[test]
fn a_dry_run_ends_once_it_was_judged_and_is_never_taken_for_written() {
    let mut r = remediation("a", Action::scale_by(1));
    r.spec.dry_run = true;
    let r = begun(&r, &deployment(3));
    assert_eq!(after(&r, Written::Passed, 11).phase(), Phase::DryRun);
    let by_somebody_else = step(&r, facts(Some(&scaled(4)), &[], 11));
    let next = recorded(&r, by_somebody_else);
    assert_eq!(last(&next).result, Some(AttemptResult::Conflict));
}

#[test]
fn a_failure_is_repeated_after_5_and_10_seconds_and_then_no_more() {
    let live = deployment(3);
    let mut r = remediation("a", Action::scale_by(1));
    let mut now = 10;
    for pause in [5, 10] {
        r = recorded(&r, step(&r, facts(Some(&live), &[], now)));
        r = after(&r, unavailable(), now);
        let left = Duration::from_secs(pause);
        assert_eq!(step(&r, facts(Some(&live), &[], now)), Step::Wait(left));
        now += i64::try_from(pause).unwrap();
    }
    r = recorded(&r, step(&r, facts(Some(&live), &[], now)));
    r = after(&r, unavailable(), now);
    assert_eq!((r.phase(), reason_of(&r)), (Phase::Failed, reason::UNAVAILABLE));
    assert_eq!(r.status.unwrap().attempts.len(), 3);
}

fn verifying(action: Action, live: &Deployment) -> Remediation {
    let r = begun(&remediation("a", action), &deployment(3));
    after(&r, Written::Committed(Box::new(live.clone())), 11)
}

#[test]
fn a_healthy_rollout_succeeds_and_a_late_one_is_unknown() {
    let done = scaled(4);
    let late = edited(4, |d| {
        d["metadata"]["generation"] = json!(8);
        d["status"]["observedGeneration"] = json!(8);
        d["status"]["readyReplicas"] = json!(3);
    });
    let r = verifying(Action::scale_by(1), &late);
    assert_eq!(step(&r, facts(Some(&late), &[], 12)), Step::Wait(Duration::from_secs(2)));
    assert_eq!(step(&r, facts(Some(&late), &[], 70)), Step::Wait(Duration::from_secs(1)));
    let timed_out = recorded(&r, step(&r, facts(Some(&late), &[], 71)));
    assert_eq!((timed_out.phase(), reason_of(&timed_out)), (Phase::TimedOut, reason::TIMED_OUT));
    let healthy = recorded(&r, step(&r, facts(Some(&done), &[], 71)));
    assert_eq!((healthy.phase(), reason_of(&healthy)), (Phase::Succeeded, reason::VERIFIED));
    let verification = healthy.status.unwrap().verification.unwrap();
    assert_eq!(verification.status, Some(VerificationStatus::Success));
    assert_eq!(verification.observed.unwrap().ready_replicas, 4);
}

fn broken(replicas: i32) -> Deployment {
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
fn a_failed_rollout_is_repeated_for_a_scale_and_final_for_a_restart() {
    let live = broken(4);
    let scale = verifying(Action::scale_by(1), &live);
    let scale = recorded(&scale, step(&scale, facts(Some(&live), &[], 20)));
    let verdict = scale.status.as_ref().unwrap().verification.as_ref().unwrap().status;
    assert_eq!((scale.phase(), verdict), (Phase::Verifying, Some(VerificationStatus::Failed)));
    assert_eq!(step(&scale, facts(Some(&live), &[], 20)), Step::Wait(Duration::from_secs(5)));
    let again = recorded(&scale, step(&scale, facts(Some(&live), &[], 25)));
    assert_eq!(again.phase(), Phase::Executing, "in the very update that adds the attempt");
    assert_eq!(last(&again).intent.replicas, Some(4), "the step is not added twice");
    let found = recorded(&again, step(&again, facts(Some(&live), &[], 25)));
    let results: Vec<_> =
        found.status.as_ref().unwrap().attempts.iter().map(|a| a.result).collect();
    let expected = [Some(AttemptResult::Written), Some(AttemptResult::Unchanged)];
    assert_eq!(results, expected, "and the write is recorded once");

    let restart = verifying(Action::restart(), &live);
    let ended = recorded(&restart, step(&restart, facts(Some(&live), &[], 20)));
    assert_eq!((ended.phase(), reason_of(&ended)), (Phase::Failed, "ReplicaFailure"));
    assert_eq!(ended.status.unwrap().outcome.unwrap().message, "exceeded quota");
}

#[test]
fn somebody_elses_change_while_verifying_voids_it_and_a_mere_annotation_does_not() {
    let r = verifying(Action::scale_by(1), &scaled(4));
    let next_generation = |replicas, image: &str| {
        edited(replicas, |d| {
            d["metadata"]["generation"] = json!(9);
            d["status"]["observedGeneration"] = json!(9);
            d["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
        })
    };
    let table = [
        (next_generation(4, "web:2"), Phase::Failed),
        (next_generation(5, "web:1"), Phase::Failed),
        (next_generation(4, "web:1"), Phase::Succeeded),
    ];
    for (live, phase) in table {
        let ended = recorded(&r, step(&r, facts(Some(&live), &[], 20)));
        assert_eq!(ended.phase(), phase, "{:?}", ended.status);
        if phase == Phase::Failed {
            assert_eq!(reason_of(&ended), reason::SUPERSEDED);
        }
    }
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
