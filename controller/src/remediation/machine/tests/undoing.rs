//! Tables for what failed its verification for good: taken back, or left, and with which end.

use smartops_common::action::{ActionType, PatchFormat};
use smartops_common::remediation::{AttemptKind, Handling, Undo};

use super::*;
use crate::action::undo;
use crate::fixture::{autoscaler, revision};
use crate::remediation::means::Means;

fn status(r: &Remediation) -> &RemediationStatus {
    r.status.as_ref().unwrap()
}

/// A scale to 4 whose rollout failed in all three tries; what was there, and the second of the last.
fn failed_thrice(edit: impl FnOnce(&mut Remediation)) -> (Remediation, Live, i64) {
    let live = broken(4);
    let mut r = verifying(Action::scale_by(1), &live);
    edit(&mut r);
    let mut now = 20;
    r = recorded(&r, step(&r, facts(Some(&live), &[], now)));
    for pause in [5, 10] {
        now += pause;
        // The next attempt, that it has nothing to write, and that the rollout still fails.
        r = recorded(&r, step(&r, facts(Some(&live), &[], now)));
        r = recorded(&r, step(&r, facts(Some(&live), &[], now)));
        r = recorded(&r, step(&r, facts(Some(&live), &[], now)));
    }
    (r, live, now)
}

/// What the target is once the undo was written: the third generation, three replicas.
fn restored(ready: i32) -> Live {
    edited(3, |d| {
        d["metadata"]["generation"] = json!(9);
        d["metadata"]["resourceVersion"] = json!("90");
        d["status"]["observedGeneration"] = json!(9);
        d["status"]["readyReplicas"] = json!(ready);
    })
}

#[test]
fn a_scale_whose_rollout_failed_thrice_is_taken_back_and_the_end_says_how_the_target_stands() {
    let (r, live, now) = failed_thrice(|_| {});
    let kinds: Vec<_> = status(&r).attempts.iter().map(|a| (a.kind, a.result)).collect();
    let (apply, unchanged) = (AttemptKind::Apply, Some(AttemptResult::Unchanged));
    let expected = [
        (apply, Some(AttemptResult::Written)),
        (apply, unchanged),
        (apply, unchanged),
        (AttemptKind::Undo, None),
    ];
    assert_eq!(kinds, expected, "retries only look again, then one attempt takes back");
    assert_eq!((r.phase(), last(&r).intent.replicas), (Phase::Executing, Some(3)));
    assert_eq!(last(&r).target.generation, 8, "of what was written, and of nothing later");

    let Step::Write(write) = step(&r, facts(Some(&live), &[], now)) else { panic!("not written") };
    assert!(matches!(*write, Write::Scale(_)));
    let r = executing::sent(&r);
    let r = after(&r, Written::Committed(Box::new(restored(3))), now);
    assert_eq!((r.phase(), last(&r).result), (Phase::Verifying, Some(AttemptResult::Written)));
    let r = looked_twice(&r, &restored(3), now + 1);
    assert_eq!((r.phase(), reason_of(&r)), (Phase::RolledBack, reason::UNDONE_AND_VERIFIED));
    let words = &status(&r).outcome.as_ref().unwrap().message;
    assert!(words.contains("ReplicaFailure: exceeded quota"), "{words}");
    let comparison = status(&r).comparison.as_ref().unwrap();
    assert!(!comparison.is_worse, "{comparison:?}");
    assert_eq!((comparison.before.replicas, comparison.after.replicas), (3, 3));
    assert_eq!(comparison.before.template, comparison.after.template);
}

#[test]
fn what_was_there_before_may_be_unhealthy_too_and_then_it_is_taken_back_and_said() {
    let (r, _, now) = failed_thrice(|_| {});
    let r = after(&executing::sent(&r), Written::Committed(Box::new(restored(1))), now);
    let r = recorded(&r, step(&r, facts(Some(&restored(1)), &[], now + 60)));
    assert_eq!((r.phase(), reason_of(&r)), (Phase::RolledBack, reason::UNDONE));
    let comparison = status(&r).comparison.as_ref().unwrap();
    assert!(comparison.is_worse, "three were ready before: {comparison:?}");
}

#[test]
fn it_is_left_where_people_want_to_look_first_or_somebody_else_was_there() {
    let (r, ..) = failed_thrice(|r| {
        r.spec.handling = Handling { undo: Undo::Never, ..Handling::default() };
    });
    assert_eq!((r.phase(), reason_of(&r)), (Phase::Failed, "ReplicaFailure"));
    assert!(status(&r).outcome.as_ref().unwrap().message.contains("not taken back"));

    // Somebody annotated it meanwhile: what is there is not only what was written.
    let live = edited(4, |d| {
        d["metadata"]["generation"] = json!(9);
        d["status"]["observedGeneration"] = json!(9);
        d["status"]["readyReplicas"] = json!(0);
        d["status"]["conditions"] =
            json!([{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]);
    });
    let mut r = verifying(Action::scale_by(1), &broken(4));
    r.spec.require_approval = true;
    let r = recorded(&r, step(&r, facts(Some(&live), &[], 20)));
    assert_eq!((r.phase(), reason_of(&r)), (Phase::Failed, "ReplicaFailure"));
    assert!(status(&r).outcome.as_ref().unwrap().message.contains("somebody else"));
    let mut twin = verifying(Action::scale_by(1), &broken(4));
    twin.spec.require_approval = true;
    let twin = recorded(&twin, step(&twin, facts(Some(&broken(4)), &[], 20)));
    assert_eq!(last(&twin).kind, AttemptKind::Undo, "an approval covers taking back");
}

#[test]
fn a_time_out_is_unknown_and_never_taken_back() {
    let late = edited(4, |d| {
        d["metadata"]["generation"] = json!(8);
        d["status"]["observedGeneration"] = json!(8);
        d["status"]["readyReplicas"] = json!(3);
    });
    let r = verifying(Action::scale_by(1), &late);
    let r = recorded(&r, step(&r, facts(Some(&late), &[], 71)));
    assert_eq!((r.phase(), reason_of(&r)), (Phase::TimedOut, reason::TIMED_OUT));
    assert_eq!(status(&r).attempts.len(), 1);
    assert!(status(&r).comparison.is_some(), "and how it stands is stated all the same");
}

#[test]
fn an_undo_that_a_guardrail_refuses_ends_it_and_one_that_fails_is_tried_again() {
    let (r, live, now) = failed_thrice(|_| {});
    let denial = Denial {
        message: "frozen".into(),
        causes: vec![Cause {
            policy: "p".into(),
            rule: Rule::Freeze,
            path: String::new(),
            message: "no".into(),
        }],
        retry_after_seconds: None,
    };
    let refused = after(&r, Written::Failed(Failure::Denied(denial)), now);
    assert_eq!(refused.phase(), Phase::Executing, "the end looks at the target first");
    let ended = recorded(&refused, step(&refused, facts(Some(&live), &[], now)));
    assert_eq!((ended.phase(), reason_of(&ended)), (Phase::Failed, reason::UNDO_DENIED));
    assert!(status(&ended).denial.is_some() && status(&ended).comparison.is_some());

    let mut r = r;
    let mut now = now;
    for pause in [5, 10] {
        r = after(&r, unavailable(), now);
        let waits = step(&r, facts(Some(&live), &[], now));
        assert_eq!(waits, Step::Wait(Duration::from_secs(pause)));
        now += i64::try_from(pause).unwrap();
        r = recorded(&r, step(&r, facts(Some(&live), &[], now)));
        assert_eq!((last(&r).kind, last(&r).intent.replicas), (AttemptKind::Undo, Some(3)));
    }
    let r = after(&r, unavailable(), now);
    let ended = recorded(&r, step(&r, facts(Some(&live), &[], now)));
    assert_eq!((ended.phase(), reason_of(&ended)), (Phase::Failed, reason::UNDO_FAILED));
}

#[test]
fn an_undo_that_somebody_forestalled_is_not_tried_again() {
    let (r, _, now) = failed_thrice(|_| {});
    let by_somebody_else = edited(6, |d| {
        d["metadata"]["generation"] = json!(9);
        d["metadata"]["resourceVersion"] = json!("90");
    });
    let r = recorded(&r, step(&r, facts(Some(&by_somebody_else), &[], now)));
    assert_eq!((r.phase(), last(&r).result), (Phase::Executing, Some(AttemptResult::Conflict)));
    let ended = recorded(&r, step(&r, facts(Some(&by_somebody_else), &[], now)));
    assert_eq!((ended.phase(), reason_of(&ended)), (Phase::Failed, reason::UNDO_FAILED));
    assert!(status(&ended).outcome.as_ref().unwrap().message.contains("somebody else"));
}

#[test]
fn while_it_is_taken_back_nobody_else_begins_and_the_switch_does_not_stop_it() {
    let (r, live, now) = failed_thrice(|_| {});
    let paused_between = after(&r, unavailable(), now);
    let other = remediation("b", Action::restart());
    let others = [paused_between.clone()];
    assert_eq!(step(&other, facts(Some(&live), &others, now)), Step::Wait(TURN_POLL));
    for mut r in [r, paused_between] {
        r.spec.source = Source::ClosedLoop;
        let switch = smartops_common::config::ClosedLoop {
            enabled: false,
            ..smartops_common::config::ClosedLoop::default()
        };
        assert_eq!(paused(&r, &switch, at(now)), None, "{:?}", last(&r).result);
    }
}

#[test]
fn a_patch_is_taken_back_by_what_was_worked_out_when_it_was_sent() {
    let patch = json!({"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}});
    let mut r = remediation("a", Action::patch(PatchFormat::Strategic, &patch));
    // Approved: written once, and not repeated.
    r.spec.verify = true;
    let r = begun(&r, &deployment(3));
    let broken = edited(3, |d| {
        d["metadata"]["generation"] = json!(8);
        d["metadata"]["resourceVersion"] = json!("80");
        d["spec"]["template"]["metadata"]["annotations"] = json!({"a": "b"});
        d["status"]["observedGeneration"] = json!(8);
        d["status"]["readyReplicas"] = json!(0);
        d["status"]["conditions"] =
            json!([{"type": "ReplicaFailure", "status": "True", "message": "no"}]);
    });
    let mut marked = status(&r).clone();
    let inverse = undo::inverse(deployment(3).stored(), broken.stored());
    assert!(inverse.is_some());
    record::send(&mut marked, inverse.clone(), at(11));
    let mut r = Remediation { status: Some(marked), ..r };
    r = after(&r, Written::Committed(Box::new(broken.clone())), 11);
    r.spec.require_approval = true;
    let r = recorded(&r, step(&r, facts(Some(&broken), &[], 12)));
    assert_eq!((last(&r).kind, &last(&r).intent.patch), (AttemptKind::Undo, &inverse));
    let Step::Write(write) = step(&r, facts(Some(&broken), &[], 12)) else { panic!("{r:?}") };
    assert!(matches!(*write, Write::Deployment(_)));
}

#[test]
fn rollbacks_and_bounds_are_not_repeated_and_taken_back_by_what_is_seen() {
    let means: &'static Means = Box::leak(Box::new(Means {
        revisions: vec![revision(1, "web:0", 0, 0), revision(2, "web:1", 3, 3)],
        pods: Vec::new(),
        autoscaler: Some(autoscaler(2, 5)),
    }));
    let seeing = |live: &'static Live, now| Facts { means, ..facts(Some(live), &[], now) };
    let before: &'static Live = Box::leak(Box::new(deployment(3)));
    let r = remediation("a", Action::of(ActionType::Rollback));
    assert!(needs(&r).means);
    let r = recorded(&r, step(&r, seeing(before, 10)));
    assert_eq!(last(&r).intent.revision.as_ref().unwrap().number, 1);
    let rolled: &'static Live = Box::leak(Box::new(edited(3, |d| {
        d["metadata"]["generation"] = json!(8);
        d["metadata"]["resourceVersion"] = json!("80");
        d["spec"]["template"]["spec"]["containers"][0]["image"] = json!("web:0");
        d["status"]["observedGeneration"] = json!(8);
        d["status"]["readyReplicas"] = json!(0);
        d["status"]["conditions"] =
            json!([{"type": "ReplicaFailure", "status": "True", "message": "no"}]);
    })));
    let r = after(&executing::sent(&r), Written::Committed(Box::new(rolled.clone())), 11);
    let r = recorded(&r, step(&r, seeing(rolled, 12)));
    let back = last(&r).intent.revision.as_ref().unwrap();
    assert_eq!((last(&r).kind, back.number), (AttemptKind::Undo, 2));
}
