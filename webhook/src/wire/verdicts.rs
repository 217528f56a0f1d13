//! What is judged: by whom, and by what is looked up live.

use jiff::SignedDuration;

use super::*;

#[tokio::test]
async fn a_person_may_scale_within_the_range_and_not_beyond_it() {
    let server = start(full_board).await;
    let allowed = server.review(path::VALIDATE_PEOPLE, &review("alice", 3, 5)).await;
    assert_eq!(allowed, json!({"uid": "0a1b", "allowed": true}));
    let denied = server.review(path::VALIDATE_PEOPLE, &review("alice", 3, 50)).await;
    assert_eq!((&denied["uid"], &denied["allowed"]), (&json!("0a1b"), &json!(false)));
    assert_eq!(denied["status"]["code"], 403);
    let cause = &denied["status"]["details"]["causes"][0];
    assert_eq!(cause["reason"], "smartops-baseline/replicas");
    assert_eq!(cause["field"], "spec.replicas");
}

#[tokio::test]
async fn who_is_automation_is_told_by_the_user_and_by_automations_path() {
    let controller = "system:serviceaccount:smartops-system:smartops-orchestrator";
    let client = api(vec![(REMEDIATIONS, announcing(6))]);
    let server = start_with(full_board, Vec::new(), client).await;
    for path in [path::VALIDATE_PEOPLE, path::VALIDATE_AUTOMATION] {
        let denied = server.review(path, &review(controller, 3, 6)).await;
        let causes = denied.pointer("/status/details/causes").unwrap().as_array().unwrap();
        assert_eq!(causes.len(), 1, "a step of three is one too many, though announced: {denied}");
        let agent = server.review(path, &review("system:serviceaccount:agents:bot", 3, 6)).await;
        assert_eq!(agent["allowed"], path == path::VALIDATE_PEOPLE, "{agent}");
    }
    // The API server has called somebody automation whom the configuration does not (any more) name.
    let denied = server.review(path::VALIDATE_AUTOMATION, &review("alice", 3, 6)).await;
    assert_eq!(denied["allowed"], false, "{denied}");
}

/// The shipped policies, and one that names SmartOps' own kinds and a secret for automation.
fn generous_board(metrics: &WebhookMetrics) -> Arc<Board> {
    let board = full_board(metrics);
    let kinds = [("smartops.dev", "guardrailpolicies"), ("", "secrets")];
    let kinds = kinds.map(|(group, resource)| json!({"group": group, "resource": resource}));
    let spec = json!({
        "match": {"kinds": kinds, "operations": ["UPDATE", "DELETE"],
            "subjects": {"include": {"automation": true}}},
        "rules": {},
    });
    let policy = json!({"metadata": {"name": "generous"}, "spec": spec});
    board.policy(Event::Apply(serde_json::from_value(policy).unwrap()));
    board
}

#[tokio::test]
async fn no_policy_gives_automation_what_is_smartops_own_and_what_is_not_passes() {
    let server = start(generous_board).await;
    for (group, resource, namespace, passes) in [
        ("smartops.dev", "guardrailpolicies", "", false),
        ("", "secrets", "smartops-system", false),
        ("", "secrets", "shop", true),
    ] {
        let mut review = review("system:serviceaccount:agents:bot", 3, 3);
        review["request"]["resource"] =
            json!({"group": group, "version": "v1", "resource": resource});
        review["request"]["namespace"] = json!(namespace);
        for path in [path::MUTATE_AUTOMATION, path::VALIDATE_AUTOMATION] {
            let response = server.review(path, &review).await;
            assert_eq!(response["allowed"], passes, "{path} {resource} {namespace}: {response}");
        }
    }
}

const REMEDIATIONS: &str = "/apis/smartops.dev/v1alpha1/namespaces/shop/remediations";

/// The Remediation of which an open attempt announces this number for the object that is reviewed.
fn announcing(replicas: i64) -> Value {
    let ends = Clock.now().checked_add(SignedDuration::from_secs(30)).unwrap();
    let attempt = json!({
        "number": 1, "kind": "Apply", "intent": {"type": "scale", "replicas": replicas},
        "target": {"uid": "d1", "generation": 2, "resourceVersion": "5"},
        "former": {"replicas": 3}, "leader": "orchestrator-1/1",
        "startedAt": Clock.now(), "deadline": ends,
    });
    let remediation = json!({
        "metadata": {"name": "r", "namespace": "shop", "uid": "r"},
        "spec": {"target": {"kind": "Deployment", "name": "web", "uid": "d1"},
            "action": {"type": "scale", "scale": {"replicas": replicas}}, "cause": "api/scale", "source": "user"},
        "status": {"phase": "Executing", "attempts": [attempt]},
    });
    json!({"metadata": {}, "items": [remediation]})
}

#[tokio::test]
async fn what_the_controller_announced_is_looked_up_live_and_no_other_write_of_its_passes() {
    let controller = "system:serviceaccount:smartops-system:smartops-orchestrator";
    let nothing = json!({"metadata": {}, "items": []});
    for (client, denied_by) in [
        (api(vec![(REMEDIATIONS, announcing(5))]), None),
        (api(vec![(REMEDIATIONS, announcing(4))]), Some("smartops-controller/warrant")),
        (api(vec![(REMEDIATIONS, nothing)]), Some("smartops-controller/warrant")),
        (api(Vec::new()), Some("smartops-automation/undecided")),
    ] {
        let server = start_with(full_board, Vec::new(), client).await;
        let response = server.review(path::VALIDATE_AUTOMATION, &review(controller, 3, 5)).await;
        assert_eq!(response["allowed"], denied_by.is_none(), "{response}");
        let reason = response.pointer("/status/details/causes/0/reason").and_then(Value::as_str);
        assert_eq!(reason, denied_by);
    }
}

#[tokio::test]
async fn a_restart_from_before_the_watch_is_dated_by_its_replica_sets_and_not_known_is_denied() {
    const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/shop/deployments/web";
    const REPLICA_SETS: &str = "/apis/apps/v1/namespaces/shop/replicasets";
    let mut restart = review("system:serviceaccount:agents:bot", 3, 3);
    let deployment = restart["request"]["oldObject"].clone();
    restart["request"]["object"]["spec"]["template"]["metadata"] =
        json!({"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-11-21T10:00:00Z"}});
    let revisions = |ages: &[i64]| {
        let set = |age: &i64| {
            json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {
                "name": format!("web-{age}"), "namespace": "shop",
                "creationTimestamp": Clock.now().checked_sub(SignedDuration::from_secs(*age)).unwrap(),
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web",
                    "uid": "d1", "controller": true}]}})
        };
        let items: Vec<_> = ages.iter().map(set).collect();
        json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList",
            "metadata": {}, "items": items})
    };
    let known =
        |ages: &[i64]| api(vec![(DEPLOYMENT, deployment.clone()), (REPLICA_SETS, revisions(ages))]);
    for (client, denied_by) in [
        (known(&[9000, 3600]), None),
        (known(&[9000, 10]), Some("smartops-automation/cooldown")),
        (api(Vec::new()), Some("smartops-automation/undecided")),
    ] {
        let workload = serde_json::from_value(deployment.clone()).unwrap();
        let server = start_with(full_board, vec![workload], client).await;
        let response = server.review(path::VALIDATE_AUTOMATION, &restart).await;
        assert_eq!(response["allowed"], denied_by.is_none(), "{response}");
        let reason = response.pointer("/status/details/causes/0/reason").and_then(Value::as_str);
        assert_eq!(reason, denied_by);
    }
}
