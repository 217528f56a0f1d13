//! Tables for a rollout that is being watched.

use super::*;

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
    let healthy = recorded(&r, step(&r, facts(Some(&done), &[], 71)));
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
        let ended = recorded(&r, step(&r, facts(Some(&live), &[], 20)));
        assert_eq!(ended.phase(), phase, "{:?}", ended.status);
        if phase == Phase::Failed {
            assert_eq!(reason_of(&ended), reason::SUPERSEDED);
        }
    }
}
