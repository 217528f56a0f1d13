//! Tables for what goes before an attempt: turns, reasons to leave a target alone, pauses.

use super::*;

pub(super) fn by_signal(name: &str, kind: SignalKind) -> Remediation {
    let mut r = remediation(name, Action::scale_by(1));
    r.spec.source = Source::ClosedLoop;
    r.spec.cause = format!("{kind}/x");
    r.spec.signal = Some(OriginatingSignal { kind, id: "w".into(), began_at: None, score: None });
    r
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
    // Sent and not answered: it may have been written. The twin never left.
    let (unknown, unsent) = {
        let begun = begun(&by_signal("old", SignalKind::Anomaly), &live);
        let sent = executing::sent(&begun);
        let moved = scaled(9);
        let unknown = recorded(&sent, step(&sent, facts(Some(&moved), &[], 12)));
        assert_eq!((unknown.phase(), reason_of(&unknown)), (Phase::TimedOut, reason::UNKNOWN));
        let mut unsent = after(&begun, Written::Expired, 11);
        unsent.status.as_mut().unwrap().phase = Phase::Failed;
        (unknown, unsent)
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
        (&signal, &unknown, 309, true),
        (&signal, &unknown, 310, false),
        (&signal, &unsent, 309, false),
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
    let older = aged(by_signal("older", SignalKind::Anomaly), 0);
    assert!(waits(&late, &all) && !waits(&rca, &all));
    assert!(waits(&anomaly, &[older]));
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
