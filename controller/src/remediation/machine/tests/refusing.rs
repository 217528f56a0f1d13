//! Tables for what is not begun, each beside its nearest twin that is.

use smartops_common::names::{CLOSED_LOOP, CLOSED_LOOP_DISABLED};
use smartops_common::remediation::{GitOps, Handling};

use super::beginning::by_signal;
use super::*;
use crate::remediation::autoscaler::Autoscaler;
use crate::remediation::surroundings::Surroundings;

fn around<'a>(base: Facts<'a>, surroundings: &'a Surroundings) -> Facts<'a> {
    Facts { surroundings, ..base }
}

/// How the Remediation ends at once, if it does.
fn ends(r: &Remediation, facts: Facts<'_>) -> Option<(Phase, String)> {
    let Step::Record(status) = step(r, facts) else { return None };
    let outcome = status.outcome?;
    Some((status.phase, outcome.reason))
}

fn aged(mut r: Remediation, second: i64) -> Remediation {
    r.metadata.creation_timestamp = Some(Time(at(second)));
    r
}

#[test]
fn what_no_policy_could_decide_ends_skipped_with_the_reason() {
    let live = deployment(3);
    let mut held = by_signal("a", SignalKind::Anomaly);
    held.spec.handling.policy_invalid = Some("RemediationPolicy p cannot be decided by: x".into());
    let end = recorded(&held, step(&held, facts(Some(&live), &[], 10)));
    assert_eq!((end.phase(), reason_of(&end)), (Phase::Skipped, reason::POLICY_INVALID));
    assert!(end.status.unwrap().outcome.unwrap().message.contains("RemediationPolicy p"));
    held.spec.handling = Handling::default();
    assert_eq!(ends(&held, facts(Some(&live), &[], 10)), None);
}

#[test]
fn a_root_cause_calls_off_what_rests_on_less_and_has_not_begun() {
    let live = deployment(3);
    let anomaly = aged(by_signal("anomaly", SignalKind::Anomaly), 5);
    let alert = aged(by_signal("alert", SignalKind::Alert), 5);
    let rca = aged(by_signal("rca", SignalKind::Rca), 7);
    let called_off = Some((Phase::Cancelled, reason::SUPERSEDED_BY_RCA.to_owned()));
    let beside = |r: &Remediation, other: &Remediation| {
        ends(r, facts(Some(&live), std::slice::from_ref(other), 10))
    };
    assert_eq!(beside(&anomaly, &rca), called_off);
    assert_eq!(beside(&alert, &rca), called_off);
    let ended = |phase, made| {
        let mut rca = aged(rca.clone(), made);
        record::finish(rca.status.get_or_insert_default(), phase, "x", "", at(9));
        rca
    };
    assert_eq!(beside(&anomaly, &ended(Phase::Succeeded, 7)), called_off, "it acted since");
    // The twins: what is only tried out, acted before, or did nothing, says no more.
    let mut trial = rca.clone();
    trial.spec.dry_run = true;
    for other in
        [trial, ended(Phase::Succeeded, 4), ended(Phase::Skipped, 7), ended(Phase::Denied, 7)]
    {
        assert_eq!(beside(&anomaly, &other), None, "{other:?}");
    }
    assert_eq!(beside(&aged(by_signal("b", SignalKind::Rca), 8), &rca), None, "an equal waits");
    let begun = begun(&anomaly, &live);
    assert!(!matches!(beside(&begun, &rca), Some((Phase::Cancelled, _))), "what has begun goes on");
}

#[test]
fn old_news_is_skipped_and_a_callers_request_never_is() {
    let live = deployment(3);
    let signal = by_signal("a", SignalKind::Anomaly);
    let stale = Some((Phase::Skipped, reason::STALE.to_owned()));
    assert_eq!(ends(&signal, facts(Some(&live), &[], 900)), stale);
    assert_eq!(ends(&signal, facts(Some(&live), &[], 899)), None);
    let caller = remediation("a", Action::scale_by(1));
    assert_eq!(ends(&caller, facts(Some(&live), &[], 90_000)), None);
    let ahead = aged(signal, 5000);
    assert_eq!(ends(&ahead, facts(Some(&live), &[], 900)), None, "a clock that is ahead");
}

#[test]
fn an_owner_keeps_the_loop_away_by_an_annotation_on_the_namespace_or_the_deployment() {
    let disabled = |value: &str| Surroundings {
        annotations: [(CLOSED_LOOP.to_owned(), value.to_owned())].into(),
        ..Surroundings::default()
    };
    let (off, on) = (disabled(CLOSED_LOOP_DISABLED), disabled("enabled"));
    let plain = deployment(3);
    let marked = edited(3, |d| {
        d["metadata"]["annotations"] = json!({CLOSED_LOOP: CLOSED_LOOP_DISABLED});
    });
    let signal = by_signal("a", SignalKind::Rca);
    let caller = remediation("a", Action::restart());
    let none = Surroundings::default();
    let skipped = Some((Phase::Skipped, reason::LOOP_DISABLED.to_owned()));
    for (r, live, surroundings, expected) in [
        (&signal, &plain, &off, &skipped),
        (&signal, &marked, &none, &skipped),
        (&signal, &plain, &on, &None),
        (&caller, &plain, &off, &None),
        (&caller, &marked, &off, &None),
    ] {
        let facts = around(facts(Some(live), &[], 10), surroundings);
        assert_eq!(ends(r, facts), *expected, "{live:?}");
    }
    // Announced and never sent is taken back; what may have left is followed to its end.
    let announced = begun(&signal, &plain);
    assert_eq!(ends(&announced, around(facts(Some(&plain), &[], 11), &off)), skipped);
    let sent = executing::sent(&announced);
    assert_eq!(ends(&sent, around(facts(Some(&plain), &[], 11), &off)), None);
}

#[test]
fn a_number_that_an_autoscaler_owns_is_left_to_it_whoever_asks() {
    let owner = |keda: Option<&str>| Surroundings {
        autoscaler: Some(Autoscaler {
            name: "web-hpa".into(),
            uid: "h".into(),
            resource_version: "5".into(),
            min_replicas: 1,
            max_replicas: 5,
            scaled_object: keda.map(str::to_owned),
        }),
        ..Surroundings::default()
    };
    let live = deployment(3);
    let caller = remediation("a", Action::scale_by(1));
    let mut trial = caller.clone();
    trial.spec.dry_run = true;
    for (r, keda, words) in [
        (&caller, None, "HorizontalPodAutoscaler web-hpa"),
        (&by_signal("a", SignalKind::Anomaly), None, "hpa-bounds"),
        (&trial, None, "autoscaler: Bounds"),
        (&caller, Some("queue"), "KEDA's ScaledObject queue"),
    ] {
        let surroundings = owner(keda);
        let facts = around(facts(Some(&live), &[], 10), &surroundings);
        let end = recorded(r, step(r, facts));
        assert_eq!((end.phase(), reason_of(&end)), (Phase::Skipped, reason::AUTOSCALER));
        let told = end.status.unwrap().outcome.unwrap().message;
        assert!(told.contains(words), "{told}");
    }
    // The twin: nobody owns it.
    assert_eq!(ends(&caller, facts(Some(&live), &[], 10)), None);
}

#[test]
fn what_a_gitops_tool_would_take_back_is_not_begun_unless_a_policy_says_so() {
    let managed = edited(3, |d| {
        d["metadata"]["annotations"] =
            json!({"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:ns/web"});
        d["metadata"]["managedFields"] = json!([{
            "manager": "argocd-controller", "operation": "Apply", "apiVersion": "apps/v1",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:replicas": {}}}}]);
    });
    let scale = remediation("a", Action::scale_by(1));
    let end = recorded(&scale, step(&scale, facts(Some(&managed), &[], 10)));
    assert_eq!((end.phase(), reason_of(&end)), (Phase::Skipped, reason::GITOPS));
    let told = end.status.unwrap().outcome.unwrap().message;
    assert!(told.contains("Argo CD (Application shop)"), "{told}");
    let mut known = scale.clone();
    known.spec.handling.git_ops = GitOps::Act;
    assert_eq!(ends(&known, facts(Some(&managed), &[], 10)), None);
    let restart = remediation("a", Action::restart());
    assert_eq!(ends(&restart, facts(Some(&managed), &[], 10)), None);
}

#[test]
fn a_policys_cooldown_goes_before_the_installations_and_a_last_action_of_the_future_is_now() {
    let live = deployment(3);
    let earlier = {
        let mut old = by_signal("old", SignalKind::Anomaly);
        old.spec.verify = false;
        after(&begun(&old, &live), Written::Committed(Box::new(scaled(4))), 11)
    };
    let cooldown = |seconds| {
        let mut r = by_signal("new", SignalKind::Rca);
        r.spec.handling.cooldown_seconds = seconds;
        r
    };
    let mut ahead = earlier.clone();
    ahead.status.as_mut().unwrap().attempts[0].started_at = Time(at(5000));
    let cooling = Some((Phase::Skipped, reason::COOLDOWN.to_owned()));
    for (seconds, other, now, expected) in [
        (None, &earlier, 309, &cooling),
        (None, &earlier, 310, &None),
        (Some(20), &earlier, 29, &cooling),
        (Some(20), &earlier, 30, &None),
        (Some(0), &earlier, 12, &None),
        (Some(20), &ahead, 500, &cooling),
    ] {
        let facts = facts(Some(&live), std::slice::from_ref(other), now);
        assert_eq!(ends(&cooldown(seconds), facts), *expected, "{seconds:?} at {now}");
    }
    let facts = facts(Some(&live), std::slice::from_ref(&ahead), 500);
    let end = recorded(&cooldown(Some(20)), step(&cooldown(Some(20)), facts));
    assert!(end.status.unwrap().outcome.unwrap().message.contains("20 s are left"));
}
