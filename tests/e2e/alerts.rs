//! Prometheus' alerts, as Alertmanager delivers them: from a pod's label to a verified remedy, and back where they are
//! resolved before that began.

use anyhow::Result;
use serde_json::{Value, json};

use crate::scene::{Scene, post};

const PATH: &str = "/v1/alerts/alertmanager";
const CAUSE: &str = "alert/KubePodCrashLooping";

/// A delivery with one alert about a pod, with the labels kube-state-metrics gives it.
fn delivery(ns: &Scene, status: &str, pod: &str) -> Value {
    json!({
        "version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0, "status": status,
        "receiver": "smartops", "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {},
        "externalURL": "http://alertmanager.example",
        "alerts": [{
            "status": status,
            "labels": {
                "alertname": "KubePodCrashLooping", "severity": "warning", "namespace": ns.name(),
                "pod": pod, "container": "web", "service": "kube-state-metrics",
                "job": "kube-state-metrics", "instance": "10.0.0.7:8080",
            },
            "annotations": {"summary": "Pod is crash looping."},
            "startsAt": "2026-03-01T10:00:00.000Z", "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus.example/graph", "fingerprint": "c5a5f8a3e2b1",
        }],
    })
}

fn result(ns: &Scene, status: &str, pod: &str) -> Result<String> {
    let reply = ns.accepted(PATH, &delivery(ns, status, pod))?;
    Ok(reply.body["results"][0]["result"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn an_alert_about_a_pod_restarts_the_deployment_that_owns_it_once_and_is_verified() -> Result<()> {
    let ns = Scene::new("alert-pod")?;
    ns.deploy("web", 2)?;
    let pod = ns.pod()?;
    assert_eq!(result(&ns, "firing", &pod)?, "accepted");
    // Durable before the 202.
    assert_eq!(ns.remediations()?.len(), 1);
    let remediation = ns.ended(CAUSE)?;
    assert_eq!(remediation["status"]["phase"], "Succeeded", "{remediation}");
    assert_eq!(remediation["spec"]["target"]["name"], "web");
    assert_eq!(remediation["spec"]["requestedBy"], "apikey:harness", "{remediation}");
    assert!(ns.template_annotation("web", "kubectl.kubernetes.io/restartedAt")?.is_some());
    // Told again for as long as it holds, although its pod is gone by now: a label may be old.
    let again = post(PATH, &delivery(&ns, "firing", &pod))?;
    let told = &again.body["results"][0]["result"];
    assert!(again.status == 202 && (told == "rejected" || told == "joined"), "{}", again.text);
    assert_eq!(ns.committed_writes("web")?, 1);
    assert_eq!(ns.remediations()?.len(), 1);
    Ok(())
}

#[test]
fn a_resolved_alert_calls_off_what_waits_for_its_turn() -> Result<()> {
    let ns = Scene::new("alert-resolved")?;
    // Pods that no node takes keep the first remedy open, so that the next one waits.
    let mut stuck = ns.manifest("web", 3);
    stuck["spec"]["template"]["spec"]["nodeSelector"] = json!({"no": "such-node"});
    ns.create(&stuck)?;
    ns.accepted("/v1/signals/anomaly", &ns.anomaly("w-1", "resource"))?;
    ns.scaled_to("web", 4)?;
    assert_eq!(result(&ns, "firing", &ns.pod()?)?, "accepted");
    assert_eq!(result(&ns, "resolved", "gone-since")?, "cancelled");
    let remediation = ns.ended(CAUSE)?;
    assert_eq!(remediation["status"]["phase"], "Cancelled", "{remediation}");
    assert_eq!(remediation["status"]["outcome"]["reason"], "SignalResolved", "{remediation}");
    assert_eq!(result(&ns, "resolved", "gone-since")?, "noop");
    assert_eq!(ns.committed_writes("web")?, 1);
    Ok(())
}
