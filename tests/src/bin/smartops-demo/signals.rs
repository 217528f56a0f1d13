//! Signals, and the remedies the controller makes of them.

use anyhow::Result;
use serde_json::{Value, json};
use smartops_tests::cluster::Cluster;
use smartops_tests::programs;
use smartops_tests::sample::{DEPLOYMENT, NAMESPACE};
use smartops_tests::wait::Seen;

use crate::LEDGER;
use crate::people::ready;
use crate::story::{Expect, Story};

/// An anomaly that scales, a root cause that restarts, and what comes too soon after.
pub(crate) fn tell(story: &mut Story, cluster: &Cluster) -> Result<()> {
    let api = programs::controller_api(cluster)?;
    story.post(
        &api,
        ("detector", "anomaly in the resources of erp-simulator"),
        (
            "/v1/signals/anomaly",
            &json!({
                "windowId": "demo-1", "service": "erp-simulator", "isAnomaly": true, "score": 0.93,
                "type": "resource", "modelVersion": "v1", "metadata": {},
            }),
        ),
        (202, &["\"accepted\":true", "demo-1"]),
    )?;
    story.sees("its Remediation", || remediation(cluster, DEPLOYMENT, "anomaly/resource"));
    story.sees("one more replica, pods ready", || ready(cluster, DEPLOYMENT, 6));
    story.post(
        &api,
        ("detector", "a window without an anomaly"),
        (
            "/v1/signals/anomaly",
            &json!({
                "windowId": "demo-2", "service": "erp-simulator", "isAnomaly": false, "score": 0.1,
                "type": "resource", "modelVersion": "v1",
            }),
        ),
        (202, &["\"accepted\":true"]),
    )?;
    story.post(
        &api,
        ("analyst", "root cause of the ledger's trouble: a memory leak"),
        (
            "/v1/signals/rca",
            &json!({
                "windowId": "demo-3", "service": "ledger",
                "rankedCauses": [{"svc": "ledger", "cause": "memory_leak", "probability": 0.94}],
                "confidence": 0.84,
            }),
        ),
        (202, &["\"accepted\":true", "demo-3"]),
    )?;
    story.sees("its Remediation", || remediation(cluster, LEDGER, "rca/memory_leak"));
    story.sees("restarted at", || restarted(cluster, LEDGER));
    let again = story.post(
        &api,
        ("caller", "restart the ledger again, at once"),
        ("/v1/k8s/restart", &json!({"namespace": NAMESPACE, "deployment": "ledger"})),
        (429, &["cooldown"]),
    )?;
    story.sees("seconds to wait", || {
        let seconds = again.retry_after.filter(|seconds| (1..=120).contains(seconds));
        Ok(seconds.map_or_else(
            || Seen::NotYet(format!("Retry-After is {:?}", again.retry_after)),
            |seconds| Seen::Done(seconds.to_string()),
        ))
    });
    story.kubectl(
        cluster,
        ("agent", "restart it past the controller"),
        &["-n", NAMESPACE, "rollout", "restart", &format!("deployment/{LEDGER}")],
        Expect::Denied(&["smartops-automation", "cooldown"]),
    )
}

/// The succeeded and verified Remediation of a target and cause.
pub(crate) fn remediation(cluster: &Cluster, target: &str, cause: &str) -> Result<Seen<String>> {
    let list = cluster.kubectl("operator").get(&["-n", NAMESPACE, "remediations"])?;
    let found =
        list["items"].as_array().into_iter().flatten().find(|item| {
            item["spec"]["target"]["name"] == *target && item["spec"]["cause"] == *cause
        });
    let Some(found) = found else { return Ok(Seen::NotYet("there is none".to_owned())) };
    let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
    let phase = text(&found["status"]["phase"]);
    let verified = text(&found["status"]["verification"]["status"]);
    let told = format!("{} {phase}, verification {verified}", text(&found["metadata"]["name"]));
    let good = phase == "Succeeded" && verified.eq_ignore_ascii_case("success");
    Ok(if good { Seen::Done(told) } else { Seen::NotYet(told) })
}

fn restarted(cluster: &Cluster, name: &str) -> Result<Seen<String>> {
    let object = cluster.kubectl("operator").get(&["-n", NAMESPACE, "deployment", name])?;
    let annotations = &object["spec"]["template"]["metadata"]["annotations"];
    let at = annotations["kubectl.kubernetes.io/restartedAt"].as_str();
    Ok(at.map_or_else(|| Seen::NotYet("never".to_owned()), |at| Seen::Done(at.to_owned())))
}
