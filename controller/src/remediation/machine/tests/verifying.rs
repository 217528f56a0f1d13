//! Tables for a rollout that is being watched.

use smartops_common::action::ActionType;
use smartops_common::remediation::MetricCheck;

use super::*;
use crate::fixture::pod;
use crate::remediation::means::Means;
use crate::verify::checks::Answer;

#[test]
fn pods_that_cannot_be_read_leave_a_rollout_unverified() {
    let live = scaled(4);
    let r = verifying(Action::scale_by(1), &live);
    let blind = |now| Facts { pods: None, ..facts(Some(&live), &[], now) };
    assert_eq!(step(&r, blind(12)), Step::Wait(Duration::from_secs(2)));
    assert_eq!(recorded(&r, step(&r, blind(71))).phase(), Phase::TimedOut);
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
    let healthy = looked_twice(&r, &done, 71);
    assert_eq!((healthy.phase(), reason_of(&healthy)), (Phase::Succeeded, reason::VERIFIED));
    let verification = healthy.status.unwrap().verification.unwrap();
    assert_eq!(verification.status, Some(VerificationStatus::Success));
    assert_eq!(verification.observed.unwrap().ready_replicas, 4);
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
        let mut ended = recorded(&r, step(&r, facts(Some(&live), &[], 20)));
        if phase == Phase::Succeeded {
            ended = recorded(&ended, step(&ended, facts(Some(&live), &[], 21)));
        }
        assert_eq!(ended.phase(), phase, "{:?}", ended.status);
        if phase == Phase::Failed {
            assert_eq!(reason_of(&ended), reason::SUPERSEDED);
        }
    }
}

#[test]
fn a_rollout_that_is_healthy_for_a_blink_is_not() {
    let (done, wobbling) = (scaled(4), {
        let mut late = scaled(4).stored().clone();
        late["status"]["readyReplicas"] = json!(3);
        serde_json::from_value::<Live>(late).unwrap()
    });
    let r = verifying(Action::scale_by(1), &done);
    let once = recorded(&r, step(&r, facts(Some(&done), &[], 20)));
    assert_eq!(step(&once, facts(Some(&done), &[], 20)), Step::Wait(Duration::from_secs(1)));
    let not_any_more = recorded(&once, step(&once, facts(Some(&wobbling), &[], 21)));
    let verification = not_any_more.status.as_ref().unwrap().verification.as_ref().unwrap();
    assert_eq!((not_any_more.phase(), &verification.healthy_since), (Phase::Verifying, &None));
    // The twin: it stays so.
    assert_eq!(looked_twice(&not_any_more, &done, 22).phase(), Phase::Succeeded);
}

fn checked(before: &str) -> Remediation {
    let mut r = remediation("a", Action::scale_by(1));
    r.spec.checks = vec![MetricCheck {
        name: "p95".into(),
        query: "latency".into(),
        max: Some("0.5".into()),
        min: None,
        max_ratio: None,
    }];
    let r = begun(&r, &deployment(3));
    let asks = step(&r, facts(Some(&deployment(3)), &[], 10));
    assert_eq!(asks, Step::Ask, "before the first write");
    let status = answered(&r, &[Answer::Number(before.into())], at(10)).unwrap();
    let r = Remediation { status: Some(status), ..r };
    assert!(matches!(step(&r, facts(Some(&deployment(3)), &[], 10)), Step::Write(_)), "and once");
    let r = after(&r, Written::Committed(Box::new(scaled(4))), 11);
    recorded(&r, step(&r, facts(Some(&scaled(4)), &[], 12)))
}

#[test]
fn prometheus_is_asked_once_the_rollout_is_healthy_and_until_the_time_is_up() {
    let (r, live) = (checked("2"), scaled(4));
    assert_eq!(step(&r, facts(Some(&live), &[], 13)), Step::Ask);
    let number = |number: &str| [Answer::Number(number.into())];
    assert_eq!(answered(&r, &number("0.9"), at(13)), None, "it may come back under its limit");
    let said = |answers: &[Answer], now| {
        let status = answered(&r, answers, at(now)).unwrap();
        Remediation { status: Some(status), ..r.clone() }
    };
    let passed = said(&number("0.4"), 14);
    let ended = recorded(&passed, step(&passed, facts(Some(&live), &[], 14)));
    assert_eq!((ended.phase(), reason_of(&ended)), (Phase::Succeeded, reason::VERIFIED));
    let result = &ended.status.as_ref().unwrap().checks[0];
    assert_eq!((result.before.as_deref(), result.after.as_deref()), (Some("2"), Some("0.4")));

    let failed = said(&number("0.9"), 71);
    let failed = recorded(&failed, step(&failed, facts(Some(&live), &[], 71)));
    assert_eq!(failed.phase(), Phase::Verifying, "a scale is looked at again");
    let verification = failed.status.as_ref().unwrap().verification.as_ref().unwrap();
    assert_eq!(verification.status, Some(VerificationStatus::Failed));
    assert!(verification.message.contains("at most 0.5"), "{}", verification.message);
}

#[test]
fn missing_samples_are_inconclusive_and_never_a_success_nor_a_failure() {
    let (r, live) = (checked("2"), scaled(4));
    for (answer, now) in [
        (Answer::Nothing("no sample".into()), 71),
        (Answer::Number("NaN".into()), 71),
        // Nobody will ever answer: there is nothing to wait for.
        (Answer::Nobody("no address".into()), 13),
    ] {
        let status = answered(&r, std::slice::from_ref(&answer), at(now)).unwrap();
        let r = Remediation { status: Some(status), ..r.clone() };
        let ended = recorded(&r, step(&r, facts(Some(&live), &[], now)));
        assert_eq!(
            (ended.phase(), reason_of(&ended)),
            (Phase::TimedOut, reason::CHECKS_INCONCLUSIVE)
        );
        assert_eq!(
            ended.status.unwrap().attempts.len(),
            1,
            "{answer:?}: neither retried nor undone"
        );
    }
    assert_eq!(answered(&r, &[Answer::Nothing("no sample".into())], at(13)), None, "asked again");
}

#[test]
fn what_is_looked_at_is_what_was_done() {
    let paused = edited(3, |d| {
        d["metadata"]["generation"] = json!(8);
        d["spec"]["paused"] = json!(true);
        d["status"]["observedGeneration"] = json!(8);
        d["status"]["updatedReplicas"] = json!(1);
    });
    let r = verifying(Action::of(ActionType::Pause), &paused);
    assert_eq!(looked_twice(&r, &paused, 12).phase(), Phase::Succeeded, "half a rollout is enough");
    let resumed = scaled(3);
    let ended = recorded(
        &r,
        step(
            &r,
            facts(
                Some(&edited(3, |d| {
                    d["metadata"]["generation"] = json!(9);
                    d["status"]["observedGeneration"] = json!(9);
                })),
                &[],
                12,
            ),
        ),
    );
    assert_eq!(
        (ended.phase(), reason_of(&ended)),
        (Phase::Failed, reason::SUPERSEDED),
        "{resumed:?}"
    );

    let pods = vec![pod("web-a", 4, false, false), pod("web-b", 0, true, false)];
    let means: &'static Means = Box::leak(Box::new(Means { pods, ..Means::default() }));
    let live: &'static Live = Box::leak(Box::new(deployment(3)));
    let r = remediation("a", Action::of(ActionType::EvictPod));
    let r = recorded(&r, step(&r, Facts { means, ..facts(Some(live), &[], 10) }));
    assert_eq!(last(&r).intent.pod.as_ref().unwrap().name, "web-a");
    let r = after(&executing::sent(&r), Written::Committed(Box::new(live.clone())), 11);
    let still = step(&r, Facts { means, ..facts(Some(live), &[], 12) });
    assert_eq!(still, Step::Wait(Duration::from_secs(2)), "the pod is still there");
    assert_eq!(looked_twice(&r, live, 13).phase(), Phase::Succeeded, "and then it is gone");
}
