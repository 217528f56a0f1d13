//! The closed loop: a signal becomes a Remediation, the Remediation a judged write, the write a verified rollout.

use anyhow::Result;
use serde_json::json;

use crate::scene::{Scene, post};

#[test]
fn a_resource_anomaly_scales_up_by_one_and_is_verified() -> Result<()> {
    let ns = Scene::new("loop-resource")?;
    ns.deploy("web", 3)?;
    let reply = ns.accepted("/v1/signals/anomaly", &ns.anomaly("w-1", "resource"))?;
    assert_eq!(reply.body, json!({"accepted": true, "kind": "anomaly", "windowId": "w-1"}));
    // Durable before the 202.
    assert_eq!(ns.remediations()?.len(), 1);
    let remediation = ns.ended("anomaly/resource")?;
    assert_eq!(remediation["status"]["phase"], "Succeeded", "{remediation}");
    assert_eq!(remediation["status"]["verification"]["status"], "SUCCESS", "{remediation}");
    assert_eq!(ns.replicas("web")?, 4);
    assert_eq!(ns.committed_writes("web")?, 1);
    Ok(())
}

#[test]
fn a_memory_leak_restarts_and_is_verified() -> Result<()> {
    let ns = Scene::new("loop-leak")?;
    ns.deploy("web", 2)?;
    ns.accepted("/v1/signals/rca", &ns.rca("r-1", "memory_leak"))?;
    let remediation = ns.ended("rca/memory_leak")?;
    assert_eq!(remediation["status"]["phase"], "Succeeded", "{remediation}");
    let intent = &remediation["status"]["attempts"][0]["intent"];
    assert_eq!(
        ns.template_annotation("web", "kubectl.kubernetes.io/restartedAt")?.as_deref(),
        intent["restartedAt"].as_str()
    );
    Ok(())
}

#[test]
fn equal_signals_join_the_open_remediation_and_act_once() -> Result<()> {
    let ns = Scene::new("loop-join")?;
    // Pods that no node takes keep the first remedy open while the others come.
    let mut stuck = ns.manifest("web", 3);
    stuck["spec"]["template"]["spec"]["nodeSelector"] = json!({"no": "such-node"});
    ns.create(&stuck)?;
    for i in 0..5 {
        ns.accepted("/v1/signals/anomaly", &ns.anomaly(&format!("w-{i}"), "resource"))?;
    }
    // The same signal once more is no new one.
    ns.accepted("/v1/signals/anomaly", &ns.anomaly("w-2", "resource"))?;
    let all = ns.remediations()?;
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0]["status"]["signalCount"], 4, "{all:?}");
    ns.scaled_to("web", 4)?;
    assert_eq!(ns.committed_writes("web")?, 1);
    Ok(())
}

#[test]
fn a_second_cause_within_the_loops_cooldown_is_skipped_with_the_reason() -> Result<()> {
    let ns = Scene::new("loop-cooldown")?;
    ns.deploy("web", 3)?;
    ns.accepted("/v1/signals/anomaly", &ns.anomaly("w-1", "resource"))?;
    ns.ended("anomaly/resource")?;
    ns.accepted("/v1/signals/rca", &ns.rca("r-1", "cpu_saturation"))?;
    let skipped = ns.ended("rca/cpu_saturation")?;
    assert_eq!(skipped["status"]["phase"], "Skipped", "{skipped}");
    assert_eq!(skipped["status"]["outcome"]["reason"], "CooldownActive", "{skipped}");
    assert_eq!(ns.committed_writes("web")?, 1);
    Ok(())
}

#[test]
fn a_signal_that_lacks_its_evidence_is_only_tried_out() -> Result<()> {
    let ns = Scene::new("loop-dry")?;
    ns.deploy("web", 3)?;
    let mut signal = ns.anomaly("w-1", "resource");
    signal.as_object_mut().unwrap().remove("modelVersion");
    ns.accepted("/v1/signals/anomaly", &signal)?;
    let remediation = ns.ended("anomaly/resource")?;
    assert_eq!(remediation["status"]["phase"], "DryRun", "{remediation}");
    assert_eq!(ns.replicas("web")?, 3);
    assert_eq!(ns.committed_writes("web")?, 0);
    Ok(())
}

#[test]
fn a_remedy_the_webhook_refuses_ends_denied_and_is_not_retried() -> Result<()> {
    let ns = Scene::new("loop-denied")?;
    ns.deploy("web", 10)?;
    ns.accepted("/v1/signals/anomaly", &ns.anomaly("w-1", "resource"))?;
    let remediation = ns.ended("anomaly/resource")?;
    assert_eq!(remediation["status"]["phase"], "Denied", "{remediation}");
    assert_eq!(remediation["status"]["denial"]["causes"][0]["rule"], "replicas", "{remediation}");
    assert_eq!(remediation["status"]["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(ns.committed_writes("web")?, 0);
    Ok(())
}

#[test]
fn what_is_no_anomaly_or_not_known_is_accepted_and_leads_to_nothing() -> Result<()> {
    let ns = Scene::new("loop-noop")?;
    ns.deploy("web", 3)?;
    let mut calm = ns.anomaly("w-1", "resource");
    calm["isAnomaly"] = json!(false);
    ns.accepted("/v1/signals/anomaly", &calm)?;
    ns.accepted("/v1/signals/anomaly", &ns.anomaly("w-2", "moon-phase"))?;
    assert_eq!(ns.remediations()?.len(), 0);
    Ok(())
}

#[test]
fn an_unknown_service_is_404_before_anything_is_recorded() -> Result<()> {
    let ns = Scene::new("loop-unknown")?;
    let reply = post("/v1/signals/anomaly", &ns.anomaly("w-1", "resource"))?;
    assert_eq!(reply.status, 404, "{}", reply.text);
    assert_eq!(ns.remediations()?.len(), 0);
    Ok(())
}

#[test]
fn a_recorded_remediation_cannot_be_rewritten() -> Result<()> {
    let ns = Scene::new("loop-immutable")?;
    ns.deploy("web", 3)?;
    ns.accepted("/v1/signals/anomaly", &ns.anomaly("w-1", "resource"))?;
    let remediation = ns.ended("anomaly/resource")?;
    let name = format!("remediation/{}", remediation["metadata"]["name"].as_str().unwrap());
    let admin = "admin";
    let spec =
        ns.kubectl(admin, &["patch", &name, "--type=merge", "-p", r#"{"spec":{"cause":"x"}}"#])?;
    assert!(!spec.succeeded && spec.text().contains("immutable"), "{}", spec.text());
    let status = ns.kubectl(
        admin,
        &["patch", &name, "--subresource=status", "--type=merge", "-p", r#"{"status":null}"#],
    )?;
    assert!(!status.succeeded && status.text().contains("audit trail"), "{}", status.text());
    Ok(())
}
