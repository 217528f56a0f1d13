//! RemediationPolicies on the real control plane: in force as soon as they are written, refused where they say nothing that
//! could be decided by.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use smartops_tests::wait::{Seen, eventually};

use crate::scene::{Scene, post};

/// A policy for this namespace alone.
fn policy(ns: &Scene, rules: &Value, defaults: &Value) -> Value {
    let own = json!({"matchLabels": {"kubernetes.io/metadata.name": ns.name()}});
    json!({
        "apiVersion": "smartops.dev/v1alpha1", "kind": "RemediationPolicy",
        "metadata": {"name": ns.name()},
        "spec": {"match": {"namespaces": own}, "rules": rules, "defaults": defaults},
    })
}

/// Has an admin write it, and hands back when that was done.
fn write(ns: &Scene, policy: &Value) -> Result<Instant> {
    let file = ns.file(policy)?;
    ns.allowed("admin", &["apply", "-f", &file])?;
    Ok(Instant::now())
}

/// Waits until the controller has said that it decides by it.
fn accepted(ns: &Scene) -> Result<()> {
    let target = format!("remp/{}", ns.name());
    ns.allowed("admin", &["wait", "--for=condition=Accepted", &target, "--timeout=10s"])?;
    Ok(())
}

/// What becomes of an alert that no built-in rule knows.
fn told(ns: &Scene) -> Result<String> {
    let delivery = json!({"version": "4", "alerts": [{
        "status": "firing", "startsAt": "2026-03-01T10:00:00.000Z", "fingerprint": "f00d",
        "labels": {"alertname": "CheckoutStuck", "namespace": ns.name(), "deployment": "web"},
    }]});
    let answer = post("/v1/alerts/alertmanager", &delivery)?;
    ensure!(answer.status == 202, "{}", answer.text);
    Ok(answer.body["results"][0]["result"].as_str().unwrap_or_default().to_owned())
}

/// How long after `written` that became so.
fn told_after(ns: &Scene, written: Instant, expected: &[&str]) -> Result<Duration> {
    eventually(Duration::from_secs(10), "the policy is in force", || {
        let result = told(ns)?;
        Ok(Seen::when(expected.contains(&result.as_str()), result))
    })?;
    Ok(written.elapsed())
}

#[test]
fn a_policy_is_in_force_within_a_second_of_being_written_changed_and_taken_away() -> Result<()> {
    let ns = Scene::new("remp-hot")?;
    ns.deploy("web", 2)?;
    ensure!(told(&ns)? == "noop");
    let rules = json!([{"name": "stuck", "when": {"causes": ["CheckoutStuck"]},
        "action": {"type": "restart"}, "options": {"dryRun": true}}]);
    let took = told_after(&ns, write(&ns, &policy(&ns, &rules, &json!({})))?, &["accepted"])?;
    ensure!(took < Duration::from_secs(1), "in force after {took:?}");
    accepted(&ns)?;
    let remediation = ns.ended("alert/CheckoutStuck")?;
    ensure!(remediation["status"]["phase"] == "DryRun", "{remediation}");
    let decided_by = format!("{}/stuck", ns.name());
    ensure!(remediation["spec"]["handling"]["decidedBy"] == decided_by, "{remediation}");
    let took = told_after(&ns, write(&ns, &policy(&ns, &json!([]), &json!({})))?, &["noop"])?;
    ensure!(took < Duration::from_secs(1), "changed after {took:?}");
    ns.allowed("admin", &["delete", "remp", ns.name()])?;
    ensure!(ns.committed_writes("web")? == 0, "nothing but trials");
    Ok(())
}

#[test]
fn a_signal_is_decided_by_its_targets_policy_with_its_thresholds_and_both_latency_options()
-> Result<()> {
    let ns = Scene::new("remp-rules")?;
    ns.deploy("web", 2)?;
    let rules = json!([
        {"name": "latency", "when": {"signals": ["anomaly"], "causes": ["latency"], "minScore": "0.8"},
         "action": {"type": "scale", "scale": {"delta": 1}}},
        {"name": "causes", "when": {"signals": ["rca"]}, "action": {"type": "restart"}},
    ]);
    write(&ns, &policy(&ns, &rules, &json!({"cooldownSeconds": 0, "debounceSeconds": 0})))?;
    accepted(&ns)?;
    let mut faint = ns.anomaly("w-0", "latency");
    faint["score"] = json!(0.79);
    ns.accepted("/v1/signals/anomaly", &faint)?;
    ensure!(ns.remediations()?.is_empty(), "below the threshold");
    ns.accepted("/v1/signals/anomaly", &ns.anomaly("w-1", "latency"))?;
    let scaled = ns.ended("anomaly/latency")?;
    ensure!(scaled["status"]["phase"] == "Succeeded", "{scaled}");
    ensure!(ns.replicas("web")? == 3);
    // No cooldown of this policy's stands between the two.
    ns.accepted("/v1/signals/rca", &ns.rca("w-2", "gremlins"))?;
    let restarted = ns.ended("rca/gremlins")?;
    ensure!(restarted["status"]["phase"] == "Succeeded", "{restarted}");
    ensure!(restarted["spec"]["handling"]["cooldownSeconds"] == 0, "{restarted}");
    ns.accepted("/v1/signals/anomaly", &ns.anomaly("w-3", "error"))?;
    ensure!(ns.remediations()?.len() == 2, "no rule of the policy fits");
    ns.allowed("admin", &["delete", "remp", ns.name()])?;
    Ok(())
}

#[test]
fn a_policy_that_cannot_be_decided_by_is_refused_and_the_one_there_is_stays_in_force() -> Result<()>
{
    let ns = Scene::new("remp-bad")?;
    ns.deploy("web", 2)?;
    let rule = |action: Value| {
        json!([{"name": "stuck", "when": {"causes": ["CheckoutStuck"]}, "action": action,
            "options": {"dryRun": true}}])
    };
    let good = policy(&ns, &rule(json!({"type": "restart"})), &json!({}));
    write(&ns, &good)?;
    accepted(&ns)?;
    let fixed = json!({"type": "scale", "scale": {"replicas": 4}});
    let file = ns.file(&policy(&ns, &rule(fixed), &json!({})))?;
    let outcome = ns.kubectl("admin", &["apply", "-f", &file])?;
    let text = outcome.text();
    ensure!(!outcome.succeeded && text.contains("spec.rules[0].action"), "{text}");
    ensure!(text.contains("scale.delta"), "{text}");
    ensure!(told(&ns)? == "accepted");
    ns.allowed("admin", &["delete", "remp", ns.name()])?;
    Ok(())
}
