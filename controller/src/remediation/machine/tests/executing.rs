//! Tables for an open attempt, and for what comes of its write.

use smartops_common::action::ActionType;

use super::*;
use crate::fixture::{autoscaler, pod};
use crate::remediation::means::Means;

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
    assert!(matches!(step(&older, facts(Some(&live), &[back], 11)), Step::Write(_)));
}

/// The Remediation with its open attempt about to be sent.
pub(super) fn sent(r: &Remediation) -> Remediation {
    let mut status = r.status.clone().unwrap();
    record::send(&mut status, None, at(11));
    Remediation { status: Some(status), ..r.clone() }
}

fn unchanged() -> Written {
    Written::Unchanged(Box::new(deployment(3)))
}

#[test]
fn an_open_attempt_is_written_while_the_object_is_as_it_was_read() {
    let live = deployment(3);
    let r = begun(&remediation("a", Action::scale_by(1)), &live);
    assert!(matches!(step(&r, facts(Some(&live), std::slice::from_ref(&r), 11)), Step::Write(_)));
}

#[test]
fn killed_after_the_write_the_values_are_recognised_and_not_written_again() {
    let r = sent(&begun(&remediation("a", Action::scale_by(1)), &deployment(3)));
    let next = recorded(&r, step(&r, facts(Some(&scaled(4)), &[], 12)));
    assert_eq!(
        (next.phase(), last(&next).result),
        (Phase::Verifying, Some(AttemptResult::Written))
    );

    let restart = sent(&begun(&remediation("a", Action::restart()), &deployment(3)));
    let value = last(&restart).intent.restarted_at.clone().unwrap();
    let live = edited(3, |d| {
        d["metadata"]["generation"] = json!(8);
        d["spec"]["template"]["metadata"]["annotations"] =
            json!({"kubectl.kubernetes.io/restartedAt": value});
    });
    let next = recorded(&restart, step(&restart, facts(Some(&live), &[], 500)));
    assert_eq!(last(&next).result, Some(AttemptResult::Written), "even after the deadline");
}

#[test]
fn the_same_values_written_by_somebody_else_are_not_called_written() {
    let r = begun(&remediation("a", Action::scale_by(1)), &deployment(3));
    let by_somebody_else = scaled(4);
    let next = recorded(&r, step(&r, facts(Some(&by_somebody_else), &[], 12)));
    assert_eq!(last(&next).result, Some(AttemptResult::Conflict), "it never left");
    let next = recorded(&next, step(&next, facts(Some(&by_somebody_else), &[], 12)));
    let next = recorded(&next, step(&next, facts(Some(&by_somebody_else), &[], 12)));
    assert_eq!(last(&next).result, Some(AttemptResult::Unchanged), "and nothing is left to do");

    // One that wrote nothing has not written what is there later either, though the rollout was watched for it.
    let r = after(&begun(&remediation("a", Action::scale_to(3)), &deployment(3)), unchanged(), 11);
    let broken = broken(3);
    let r = recorded(&r, step(&r, facts(Some(&broken), &[], 12)));
    let r = recorded(&r, step(&r, facts(Some(&broken), &[], 17)));
    let r = recorded(&r, step(&r, facts(Some(&broken), &[], 17)));
    let results = r.status.as_ref().unwrap().attempts.iter().map(|a| a.result);
    assert_eq!(results.collect::<Vec<_>>(), [Some(AttemptResult::Unchanged); 2]);
}

#[test]
fn a_write_that_was_sent_and_cannot_be_seen_is_unknown_and_not_repeated() {
    let r = begun(&remediation("a", Action::scale_by(1)), &deployment(3));
    // Written, and undone by somebody else before anybody looked; or never written. Nobody can tell.
    let moved = scaled(3);
    let ended = recorded(&sent(&r), step(&sent(&r), facts(Some(&moved), &[], 12)));
    assert_eq!((ended.phase(), reason_of(&ended)), (Phase::TimedOut, reason::UNKNOWN));
    // The twins: one that never left is planned anew, one whose object has not moved is sent again.
    let again = recorded(&r, step(&r, facts(Some(&moved), &[], 12)));
    assert_eq!(last(&again).result, Some(AttemptResult::Conflict));
    assert!(matches!(step(&sent(&r), facts(Some(&deployment(3)), &[], 12)), Step::Write(_)));
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
    assert!(matches!(step(&r, facts(Some(&busy), &[], 11)), Step::Write(_)));
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
fn an_attempt_past_its_deadline_is_not_written() {
    let live = deployment(3);
    let r = begun(&remediation("a", Action::scale_by(1)), &live);
    let late = 10 + record::ATTEMPT_LIMIT.as_secs();
    assert!(matches!(step(&r, facts(Some(&live), &[], late - 1)), Step::Write(_)));
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

/// As the process that took over sees it.
fn taken_over(live: &Live, now: i64) -> Facts<'_> {
    Facts { leader: "controller/2", ..facts(Some(live), &[], now) }
}

#[test]
fn an_attempt_that_another_process_never_sent_is_ended_and_is_no_try() {
    let live = deployment(3);
    let r = begun(&remediation("a", Action::scale_by(1)), &live);
    let ended = recorded(&r, step(&r, taken_over(&live, 11)));
    assert_eq!(
        (ended.phase(), last(&ended).result),
        (Phase::Executing, Some(AttemptResult::Expired))
    );
    let own = recorded(&ended, step(&ended, taken_over(&live, 11)));
    assert_eq!((last(&own).number, last(&own).leader.as_str()), (2, "controller/2"));
    assert_eq!(last(&own).intent.replicas, Some(4), "the same values, without a pause");
    assert_eq!(tries(own.status.as_ref().unwrap()), 1);
    // The twin: its own goes on.
    assert!(matches!(step(&r, facts(Some(&live), &[], 11)), Step::Write(_)));
}

#[test]
fn one_that_another_process_sent_is_ended_where_nothing_of_it_shows_and_recognised_where_it_does() {
    let (live, r) = (deployment(3), begun(&remediation("a", Action::scale_by(1)), &deployment(3)));
    let r = sent(&r);
    let written = recorded(&r, step(&r, taken_over(&scaled(4), 12)));
    assert_eq!(last(&written).result, Some(AttemptResult::Written), "it was written");
    let unknown = recorded(&r, step(&r, taken_over(&scaled(6), 12)));
    assert_eq!(reason_of(&unknown), reason::UNKNOWN, "nobody can tell");

    let ended = recorded(&r, step(&r, taken_over(&live, 12)));
    assert_eq!(last(&ended).result, Some(AttemptResult::Expired));
    assert_eq!(step(&ended, taken_over(&live, 12)), Step::Wait(Duration::from_secs(3)), "a try");
    // Its late write slipped in before that was recorded: the next attempt has nothing left to do.
    let own = recorded(&ended, step(&ended, taken_over(&scaled(4), 15)));
    let found = recorded(&own, step(&own, taken_over(&scaled(4), 15)));
    let results = found.status.as_ref().unwrap().attempts.iter().map(|a| a.result);
    let expected = [Some(AttemptResult::Written), Some(AttemptResult::Unchanged)];
    assert_eq!(results.collect::<Vec<_>>(), expected);
}

#[test]
fn not_now_leaves_the_attempt_open_until_its_deadline_and_says_what_it_waits_for() {
    let live = deployment(3);
    let r = begun(&remediation("a", Action::scale_by(1)), &live);
    let retry_after = Duration::from_secs(7);
    let not_now = Written::Failed(Failure::NotNow { message: "too many".into(), retry_after });
    assert_eq!(not_now.pause(), Some(retry_after));
    assert_eq!(unavailable().pause(), None);
    let waits = after(&r, not_now, 11);
    assert_eq!((last(&waits).result, last(&waits).message.as_deref()), (None, Some("too many")));
    assert!(matches!(step(&waits, facts(Some(&live), &[], 18)), Step::Write(_)), "the same again");
    let over = recorded(&waits, step(&waits, facts(Some(&live), &[], 70)));
    assert_eq!(last(&over).result, Some(AttemptResult::Expired));
    assert!(last(&over).message.as_ref().unwrap().contains("too many"), "{:?}", last(&over));
}

#[test]
fn an_eviction_and_bounds_do_not_depend_on_the_targets_own_version() {
    let pods = vec![pod("web-a", 4, false, false)];
    let there: &'static Means =
        Box::leak(Box::new(Means { pods, autoscaler: Some(autoscaler(2, 5)), ..Means::default() }));
    let (live, busy): (&'static Live, &'static Live) =
        (Box::leak(Box::new(deployment(3))), Box::leak(Box::new(scaled(5))));
    let seeing = |live, means, now| Facts { means, ..facts(Some(live), &[], now) };
    let evicting = remediation("a", Action::of(ActionType::EvictPod));
    let evicting = recorded(&evicting, step(&evicting, seeing(live, there, 10)));
    let write = step(&evicting, seeing(busy, there, 11));
    let Step::Write(write) = write else { panic!("{write:?}") };
    assert!(matches!(*write, Write::Eviction { .. }));
    // Sent and not answered: gone is evicted, there is sent again.
    let sent_once = sent(&evicting);
    assert!(matches!(step(&sent_once, seeing(busy, there, 12)), Step::Write(_)));
    let gone = recorded(&sent_once, step(&sent_once, seeing(busy, Means::NONE, 12)));
    assert_eq!(last(&gone).result, Some(AttemptResult::Written));

    let asked = serde_json::from_value(json!({"maxReplicas": 9})).unwrap();
    let action = Action { hpa_bounds: Some(asked), ..Action::of(ActionType::HpaBounds) };
    let bounds = remediation("a", action);
    let bounds = recorded(&bounds, step(&bounds, seeing(live, there, 10)));
    assert!(matches!(step(&bounds, seeing(busy, there, 11)), Step::Write(_)));
    let mut since = there.clone();
    since.autoscaler.as_mut().unwrap().resource_version = "101".into();
    let since: &'static Means = Box::leak(Box::new(since));
    let moved = recorded(&bounds, step(&bounds, seeing(live, since, 11)));
    assert_eq!(last(&moved).result, Some(AttemptResult::Conflict), "read it again");
    let again = recorded(&moved, step(&moved, seeing(live, since, 11)));
    assert_eq!(last(&again).intent.bounds.as_ref().unwrap().resource_version, "101");
}

#[test]
fn bounds_that_were_sent_and_not_answered_are_sent_again_only_where_they_are_what_they_were() {
    let means = |min, max, version: &str| -> &'static Means {
        let mut autoscaler = autoscaler(min, max);
        autoscaler.resource_version = version.into();
        Box::leak(Box::new(Means { autoscaler: Some(autoscaler), ..Means::default() }))
    };
    let live = deployment(3);
    let seeing = |means, now| Facts { means, ..facts(Some(&live), &[], now) };
    let asked = serde_json::from_value(json!({"maxDelta": 2})).unwrap();
    let action = Action { hpa_bounds: Some(asked), ..Action::of(ActionType::HpaBounds) };
    let bounds = remediation("a", action);
    let unanswered = sent(&recorded(&bounds, step(&bounds, seeing(means(2, 5, "100"), 10))));
    let table = [
        // Its status moved: nothing was written.
        (means(2, 5, "101"), Phase::Executing, AttemptResult::Conflict),
        // What was written is there.
        (means(2, 7, "101"), Phase::Verifying, AttemptResult::Written),
        // Somebody else's bounds are: whether ours were before, nobody can tell.
        (means(2, 9, "101"), Phase::TimedOut, AttemptResult::Expired),
        (Means::NONE, Phase::TimedOut, AttemptResult::Expired),
    ];
    for (means, phase, result) in table {
        let next = recorded(&unanswered, step(&unanswered, seeing(means, 12)));
        assert_eq!((next.phase(), last(&next).result), (phase, Some(result)), "{means:?}");
        if phase == Phase::Executing {
            let again = recorded(&next, step(&next, seeing(means, 12)));
            assert_eq!(last(&again).number, 2);
            assert!(matches!(step(&again, seeing(means, 12)), Step::Write(_)));
        }
    }
}

#[test]
fn a_write_that_nobody_wants_verified_is_compared_with_before_all_the_same() {
    let mut r = remediation("a", Action::scale_by(1));
    r.spec.verify = false;
    let begun = begun(&r, &deployment(3));
    let ended = after(&sent(&begun), Written::Committed(Box::new(scaled(4))), 11);
    let comparison = ended.status.unwrap().comparison.unwrap();
    assert_eq!((comparison.before.replicas, comparison.after.replicas), (3, 4));
    // The twin: nothing was written, so there is nothing to compare.
    let unchanged = after(&begun, unchanged(), 11);
    assert_eq!(unchanged.status.unwrap().comparison, None);
}
