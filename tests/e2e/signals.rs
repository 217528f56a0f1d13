//! The closed loop: a signal becomes a Remediation, the Remediation a judged write, the write a verified rollout.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use smartops_tests::wait::{Seen, eventually};

use crate::scene::{Scene, post};

/// From the 202 to the write, as the contract has it.
const REACTION: Duration = Duration::from_secs(5);
/// From the 202 to pods that are ready, for a small workload.
const RECOVERY: Duration = Duration::from_secs(15);
const REJECTIONS: &str = "smartops_orchestrator_guardrail_rejections_total";

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
    let target = [("namespace", ns.name()), ("deployment", "web")];
    let how = [
        ("action_type", "scale"),
        ("source", "closed-loop"),
        ("dry_run", "false"),
        ("status", "Succeeded"),
    ];
    let action = [&target[..], &how].concat();
    ensure!(ns.counts("smartops_orchestrator_actions_total", &action, 1.0)? < 2.0);
    ensure!(ns.counts("smartops_k8s_scale_total", &target, 1.0)? < 2.0);
    Ok(())
}

#[test]
fn a_signal_is_acted_on_within_five_seconds_and_its_pods_are_ready_within_fifteen() -> Result<()> {
    let ns = Scene::new("loop-prompt")?;
    for name in ["grown", "restarted"] {
        ns.deploy(name, 2)?;
    }
    let of = |name: &str, mut signal: Value| {
        signal["service"] = json!(name);
        signal
    };
    for (name, path, signal) in [
        ("grown", "/v1/signals/anomaly", ns.anomaly("w-1", "resource")),
        ("restarted", "/v1/signals/rca", ns.rca("r-1", "memory_leak")),
    ] {
        let generation = ns.get(name)?["metadata"]["generation"].as_i64().unwrap_or_default();
        ns.accepted(path, &of(name, signal))?;
        let accepted = Instant::now();
        eventually(REACTION, &format!("{name} is written, by the audit log"), || {
            Ok(Seen::when(ns.committed_writes(name)? == 1, "no write"))
        })?;
        let reacted = accepted.elapsed();
        eventually(RECOVERY.saturating_sub(reacted), &format!("{name}'s pods are ready"), || {
            let seen = ns.get(name)?;
            let (wanted, status) = (&seen["spec"]["replicas"], &seen["status"]);
            let is_ready = status["observedGeneration"].as_i64() > Some(generation)
                && ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"]
                    .iter()
                    .all(|count| status[count] == *wanted);
            Ok(Seen::when(is_ready, status.to_string()))
        })?;
        let recovered = accepted.elapsed();
        let took = format!("{name}: written after {reacted:?}, ready after {recovered:?}");
        ensure!(reacted <= REACTION && recovered <= RECOVERY, "{took}");
    }
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
    let labels = [("rule", "replicas"), ("action_type", "scale")];
    let rejections = ns.counted(REJECTIONS, &labels)?;
    ns.accepted("/v1/signals/anomaly", &ns.anomaly("w-1", "resource"))?;
    let remediation = ns.ended("anomaly/resource")?;
    assert_eq!(remediation["status"]["phase"], "Denied", "{remediation}");
    assert_eq!(remediation["status"]["denial"]["causes"][0]["rule"], "replicas", "{remediation}");
    assert_eq!(remediation["status"]["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(ns.committed_writes("web")?, 0);
    ns.counts(REJECTIONS, &labels, rejections + 1.0)?;
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
