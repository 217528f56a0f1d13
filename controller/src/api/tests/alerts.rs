//! What Alertmanager sends, and what it is told.

use super::world::Server;
use super::*;

const PATH: &str = "/v1/alerts/alertmanager";

fn alert(status: &str, print: &str, labels: &Value) -> Value {
    let mut all = json!({"alertname": "KubePodCrashLooping", "namespace": "smartops-dev"});
    all.as_object_mut().unwrap().extend(labels.as_object().unwrap().clone());
    json!({"status": status, "labels": all, "startsAt": "2026-03-01T10:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z", "fingerprint": print, "generatorURL": "x"})
}

fn firing(print: &str) -> Value {
    alert("firing", print, &json!({"deployment": "web"}))
}

fn delivery(alerts: &[Value]) -> Value {
    json!({"version": "4", "groupKey": "g", "status": "firing", "truncatedAlerts": 0, "alerts": alerts,
        "receiver": "smartops", "notification_reason": "x", "routeLabels": {}})
}

async fn results(server: &Server, alerts: &[Value]) -> Vec<String> {
    let reply = server.tell(PATH, &delivery(alerts)).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.body);
    let results = reply.body["results"].as_array().unwrap().iter();
    results.map(|result| result["result"].as_str().unwrap().to_owned()).collect()
}

fn made(server: &Server) -> Vec<Value> {
    server.world.lock().unwrap().remediations.clone()
}

#[tokio::test]
async fn a_firing_alert_is_on_record_before_the_202_and_says_where() {
    let server = server(&[("web", "web")]);
    let reply = server.tell(PATH, &delivery(&[firing("f1")])).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    let made = made(&server);
    assert_eq!(made.len(), 1);
    let spec = &made[0]["spec"];
    assert_eq!(spec["cause"], "alert/KubePodCrashLooping");
    assert_eq!(spec["action"], json!({"type": "restart"}));
    assert_eq!(spec["source"], "closed-loop");
    assert_eq!(
        spec["signal"],
        json!({"kind": "alert", "id": "f1@2026-03-01T10:00:00Z", "beganAt": "2026-03-01T10:00:00Z"})
    );
    let told = &reply.body["results"][0];
    let place = told["remediations"][0].as_str().unwrap();
    assert!(place.ends_with(made[0]["metadata"]["name"].as_str().unwrap()), "{told}");
    assert_eq!(told["fingerprint"], "f1");
}

#[tokio::test]
async fn each_alert_of_a_delivery_stands_alone() {
    let server = server(&[("web", "web")]);
    let alerts = [
        json!("nonsense"),
        alert("firing", "f2", &json!({"deployment": "nowhere"})),
        alert("firing", "f3", &json!({"statefulset": "db"})),
        alert("firing", "f4", &json!({"alertname": "Watchdog"})),
        alert("firing", "f5", &json!({"service": "kube-state-metrics"})),
        firing("f1"),
    ];
    let expected = ["rejected", "rejected", "rejected", "noop", "rejected", "accepted"];
    assert_eq!(results(&server, &alerts).await, expected);
    assert_eq!(made(&server).len(), 1);
    for line in [
        "orchestrator_closed_loop_signals_total{kind=\"alert\",result=\"accepted\"} 1",
        "orchestrator_closed_loop_signals_total{kind=\"alert\",result=\"noop\"} 1",
        "orchestrator_closed_loop_signals_total{kind=\"alert\",result=\"rejected\"} 4",
        "smartops_orchestrator_invalid_payloads_total{endpoint=\"/v1/alerts/alertmanager\"} 3",
    ] {
        assert!(server.metric(line), "{line}");
    }
}

#[tokio::test]
async fn what_could_not_be_made_durable_is_503_and_the_repeat_acts_once() {
    let server = server(&[("web", "web"), ("api", "api")]);
    server.world.lock().unwrap().failing_creates = 1;
    let alerts = [firing("f1"), alert("firing", "f2", &json!({"deployment": "api"}))];
    let reply = server.tell(PATH, &delivery(&alerts)).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(reply.headers.contains_key("retry-after"));
    let mut told: Vec<&str> = reply.body["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["result"].as_str().unwrap())
        .collect();
    told.sort_unstable();
    assert_eq!(told, ["accepted", "error"], "the other one is on record");
    let mut again = results(&server, &alerts).await;
    again.sort_unstable();
    assert_eq!(again, ["accepted", "joined"]);
    assert_eq!(made(&server).len(), 2);
    assert_eq!(results(&server, &alerts).await, ["joined", "joined"]);
    assert_eq!(made(&server).len(), 2);
}

#[tokio::test]
async fn a_resolved_alert_calls_off_what_has_not_begun_and_only_what_rests_on_it() {
    let server = server(&[("web", "web")]);
    assert_eq!(results(&server, &[firing("f1"), firing("f2")]).await.len(), 2);
    assert_eq!(made(&server).len(), 1, "equal causes join");
    // Its pod is gone by now: what rests on it is found all the same.
    let resolved = |print| alert("resolved", print, &json!({"pod": "web-gone"}));
    assert_eq!(results(&server, &[resolved("f1")]).await, ["noop"]);
    assert_eq!(made(&server)[0]["status"]["phase"], "Pending");
    assert_eq!(results(&server, &[resolved("f2")]).await, ["cancelled"]);
    let ended = &made(&server)[0]["status"];
    assert_eq!(
        (&ended["phase"], &ended["outcome"]["reason"]),
        (&json!("Cancelled"), &json!("SignalResolved"))
    );
    assert_eq!(results(&server, &[resolved("f2"), resolved("unknown")]).await, ["noop", "noop"]);
    assert_eq!(results(&server, &[firing("f1")]).await, ["joined"], "told late, it acts no more");
    assert_eq!(made(&server).len(), 1);
}

#[tokio::test]
async fn a_pods_alert_is_about_the_deployment_that_owns_it_by_its_replica_set() {
    let server = server(&[("web", "other"), ("kube-state-metrics", "ksm")]);
    let owned = |kind: &str, name: &str, uid: &str| {
        json!({"metadata": {"name": "x", "uid": format!("uid-of-{name}"), "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": true}]}})
    };
    let pod = |name: &str| format!("/api/v1/namespaces/smartops-dev/pods/{name}");
    let set = |name: &str| format!("/apis/apps/v1/namespaces/smartops-dev/replicasets/{name}");
    server.world.lock().unwrap().objects = vec![
        (pod("web-7d-x"), owned("ReplicaSet", "web-7d", "u")),
        (set("web-7d"), owned("Deployment", "web", "uid-web")),
        (pod("old-1"), owned("ReplicaSet", "old", "u")),
        (set("old"), owned("Deployment", "web", "uid-of-one-deleted-since")),
        (pod("db-0"), owned("StatefulSet", "db", "u")),
        (pod("bare"), json!({"metadata": {"name": "bare"}})),
        (pod("ksm-0"), owned("ReplicaSet", "ksm", "u")),
        (set("ksm"), owned("Deployment", "kube-state-metrics", "uid-kube-state-metrics")),
    ];
    // The scrape's own labels name the exporter.
    let about = |pod: &str| {
        let labels = json!({"pod": pod, "service": "kube-state-metrics", "job": "kube-state-metrics", "container": "c"});
        alert("firing", pod, &labels)
    };
    assert_eq!(results(&server, &[about("web-7d-x")]).await, ["accepted"]);
    assert_eq!(made(&server)[0]["spec"]["target"]["name"], "web");
    for other in ["old-1", "db-0", "bare", "gone", "ksm-0"] {
        assert_eq!(results(&server, &[about(other)]).await, ["rejected"], "{other}");
    }
    assert_eq!(made(&server).len(), 1);
}

#[tokio::test]
async fn a_truncated_delivery_is_counted_and_its_alerts_are_taken() {
    let server = server(&[("web", "web")]);
    let mut group = delivery(&[firing("f1")]);
    group["truncatedAlerts"] = json!(12);
    let reply = server.tell(PATH, &group).await;
    assert_eq!((reply.status, &reply.body["truncatedAlerts"]), (StatusCode::ACCEPTED, &json!(12)));
    assert!(server.metric("smartops_orchestrator_truncated_alerts_total 12"));
}

#[tokio::test]
async fn annotations_and_labels_choose_no_action() {
    let server = server(&[("web", "web")]);
    let mut sly = firing("f1");
    sly["annotations"] =
        json!({"action": "scale", "smartops.dev/action": "scale", "replicas": "0"});
    sly["labels"]["action"] = json!("scale");
    assert_eq!(results(&server, &[sly]).await, ["accepted"]);
    assert_eq!(made(&server)[0]["spec"]["action"], json!({"type": "restart"}));
}

#[tokio::test]
async fn a_sender_who_may_not_touch_a_target_is_refused_for_it_alone() {
    let server = server(&[("web", "web")]);
    let body = delivery(&[firing("f1"), alert("firing", "f2", &json!({"alertname": "Watchdog"}))]);
    let reply = server.post_as(PATH, ("authorization", "Bearer good"), body.to_string()).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    assert_eq!(reply.body["results"][0]["problem"]["status"], 403);
    assert_eq!(reply.body["results"][1]["result"], "noop");
    assert!(server.created_nothing());
}
