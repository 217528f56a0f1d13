//! Taking back: what failed its verification for good is gone again, judged like any write, and the target is not worse
//! than before; what is unknown stays.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use smartops_tests::programs::controller_api;
use smartops_tests::wait::{Seen, eventually};

use crate::actions::{capable, scene};
use crate::scene::{Scene, post};

/// How long a remedy may take that is tried three times and taken back.
const REMEDY: Duration = Duration::from_mins(2);
const RETRIES: &str = "orchestrator_closed_loop_retries_total";

/// The Remediation of this cause, once it has ended.
fn ended(ns: &Scene, cause: &str) -> Result<Value> {
    eventually(REMEDY, &format!("the Remediation for {cause} has ended"), || {
        let found = ns.remediations()?.into_iter().find(|r| r["spec"]["cause"] == cause);
        Ok(match found {
            Some(r) if r["status"]["outcome"].is_object() => Seen::Done(r),
            other => Seen::NotYet(format!("{other:?}")),
        })
    })
}

/// What became of each attempt, as `Apply Written`.
fn attempts(remediation: &Value) -> Vec<String> {
    let all = remediation["status"]["attempts"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
    all.iter().map(|a| format!("{} {}", text(&a["kind"]), text(&a["result"]))).collect()
}

/// Checks how one ended, and why.
fn ends(remediation: &Value, phase: &str, reason: &str) -> Result<()> {
    let status = &remediation["status"];
    let found = (status["phase"].as_str(), status["outcome"]["reason"].as_str());
    ensure!(found == (Some(phase), Some(reason)), "{phase} {reason} expected: {status:#}");
    Ok(())
}

#[test]
fn a_scale_beyond_the_quota_is_tried_again_then_taken_back_and_the_target_is_no_worse() -> Result<()>
{
    let ns = Scene::new("undo-quota")?;
    ns.deploy("web", 3)?;
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"namespace": ns.name(), "name": "pods"}, "spec": {"hard": {"pods": "3"}},
    });
    let file = ns.file(&quota)?;
    ns.allowed("admin", &["apply", "-f", &file])?;
    let retries = ns.counted(RETRIES, &[])?;
    ns.accepted("/v1/signals/anomaly", &ns.anomaly("w-1", "resource"))?;
    let remediation = ended(&ns, "anomaly/resource")?;
    ends(&remediation, "RolledBack", "UndoneAndVerified")?;
    ns.counts(RETRIES, &[], retries + 2.0)?;
    let expected = ["Apply Written", "Apply Unchanged", "Apply Unchanged", "Undo Written"];
    ensure!(attempts(&remediation) == expected, "{:#}", remediation["status"]);
    let message = remediation["status"]["outcome"]["message"].as_str().unwrap_or_default();
    ensure!(message.contains("exceeded quota"), "in the API server's own words: {message}");
    let comparison = &remediation["status"]["comparison"];
    ensure!(comparison["isWorse"] == false, "{comparison}");
    ensure!(comparison["before"] == comparison["after"], "{comparison}");
    ensure!(ns.replicas("web")? == 3);
    ensure!(ns.committed_writes("web")? == 2, "one to apply, one to take back");
    Ok(())
}

#[test]
fn a_patch_whose_pods_crash_is_taken_back_to_the_very_template_that_was_there() -> Result<()> {
    let ns = Scene::new("undo-patch")?;
    ns.deploy("web", 2)?;
    let before = ns.get("web")?["spec"].clone();
    // Pods with this label crash, by a stage of the cluster's.
    let labels = json!({"smartops.dev/crash-loop": "true"});
    let body = json!({
        "type": "patch", "target": {"namespace": ns.name(), "name": "web"}, "verify": true,
        "patch": {"patch": {"spec": {"template": {"metadata": {"labels": labels}}}}},
    });
    post("/v1/actions/execute", &body)?;
    let remediation = ended(&ns, "api/patch")?;
    ends(&remediation, "RolledBack", "UndoneAndVerified")?;
    let message = remediation["status"]["outcome"]["message"].as_str().unwrap_or_default();
    ensure!(message.contains("CrashLoopBackOff"), "in the pod's own words: {message}");
    let inverse = &remediation["status"]["attempts"][0]["inverse"];
    ensure!(inverse["format"] == "json", "recorded before it was sent: {inverse}");
    ensure!(ns.get("web")?["spec"] == before, "{:#}", ns.get("web")?["spec"]);
    ensure!(remediation["status"]["comparison"]["isWorse"] == false);
    ensure!(ns.committed_writes("web")? == 2);
    Ok(())
}

#[test]
fn a_rollback_to_a_revision_whose_pods_crash_is_taken_back_to_the_template_before_it() -> Result<()>
{
    let ns = scene("undo-rollback")?;
    ns.deploy("web", 2)?;
    let before = ns.get("web")?["spec"].clone();
    let label = |value: Value| {
        let labels = json!({"smartops.dev/crash-loop": value});
        let patch = json!({"spec": {"template": {"metadata": {"labels": labels}}}}).to_string();
        ns.allowed("developer", &["patch", "deployment/web", "-p", &patch]).map(drop)
    };
    label(json!("true"))?;
    eventually(REMEDY, "the crashing template is revision 2", || {
        let annotations = ns.get("web")?["metadata"]["annotations"].clone();
        let is_it = annotations["deployment.kubernetes.io/revision"] == "2";
        Ok(Seen::when(is_it, annotations.to_string()))
    })?;
    label(Value::Null)?;
    ns.rolled_out("web")?;
    ensure!(ns.get("web")?["spec"] == before, "the first template again");

    let body = json!({
        "type": "rollback", "target": {"namespace": ns.name(), "name": "web"}, "verify": true,
        "rollback": {"to_revision": 2},
    });
    controller_api(capable()?)?.post("/v1/actions/execute", &body)?;
    let remediation = ended(&ns, "api/rollback")?;
    ends(&remediation, "RolledBack", "UndoneAndVerified")?;
    let expected = ["Apply Written", "Undo Written"];
    ensure!(attempts(&remediation) == expected, "{:#}", remediation["status"]);
    let message = remediation["status"]["outcome"]["message"].as_str().unwrap_or_default();
    ensure!(message.contains("CrashLoopBackOff"), "in the pod's own words: {message}");
    ensure!(ns.get("web")?["spec"] == before, "{:#}", ns.get("web")?["spec"]);
    ensure!(remediation["status"]["comparison"]["isWorse"] == false);
    ensure!(ns.committed_writes("web")? == 2, "one to apply, one to take back");
    Ok(())
}

#[test]
fn what_did_not_come_to_an_end_in_time_is_unknown_and_stays() -> Result<()> {
    let ns = Scene::new("undo-late")?;
    let mut stuck = ns.manifest("web", 2);
    stuck["spec"]["template"]["spec"]["nodeSelector"] = json!({"no": "such-node"});
    ns.create(&stuck)?;
    let body = json!({
        "type": "scale", "target": {"namespace": ns.name(), "name": "web"}, "verify": true,
        "verify_timeout_seconds": 3, "scale": {"replicas": 3},
    });
    let reply = post("/v1/actions/execute", &body)?;
    ensure!(reply.body["verification"]["status"] == "TIMEOUT", "{}", reply.text);
    let remediation = ended(&ns, "api/scale")?;
    ends(&remediation, "TimedOut", "VerificationTimedOut")?;
    let message = remediation["status"]["outcome"]["message"].as_str().unwrap_or_default();
    ensure!(message.contains("no node takes pod"), "and the scheduler says why: {message}");
    ensure!(ns.replicas("web")? == 3, "neither tried again nor taken back");
    ensure!(ns.committed_writes("web")? == 1);
    Ok(())
}

#[test]
fn what_somebody_else_has_changed_since_is_left_to_him() -> Result<()> {
    let ns = Scene::new("undo-theirs")?;
    ns.deploy("web", 2)?;
    let labels = json!({"smartops.dev/crash-loop": "true"});
    let body = json!({
        "type": "patch", "target": {"namespace": ns.name(), "name": "web"}, "verify": true,
        "patch": {"patch": {"spec": {"template": {"metadata": {"labels": labels}}}}},
    });
    let file = std::thread::spawn(move || post("/v1/actions/execute", &body));
    eventually(REMEDY, "the patch is written", || {
        let label =
            ns.get("web")?["spec"]["template"]["metadata"]["labels"]["smartops.dev/crash-loop"]
                .as_str()
                .map(str::to_owned);
        Ok(Seen::when(label.is_some(), "no label yet".to_owned()))
    })?;
    ns.allowed("developer", &["annotate", "deployment/web", "note=mine"])?;
    let remediation = ended(&ns, "api/patch")?;
    ends(&remediation, "Failed", "CrashLoopBackOff")?;
    let message = remediation["status"]["outcome"]["message"].as_str().unwrap_or_default();
    ensure!(message.contains("somebody else has changed it since"), "{message}");
    ensure!(ns.committed_writes("web")? == 1);
    file.join().ok().context("the caller")??;
    Ok(())
}

#[test]
fn an_approval_covers_taking_back_exactly_what_it_approved() -> Result<()> {
    let ns = Scene::new("undo-approved")?;
    ns.deploy("web", 2)?;
    let before = ns.get("web")?["spec"].clone();
    let labels = json!({"smartops.dev/crash-loop": "true"});
    let body = json!({
        "type": "patch", "target": {"namespace": ns.name(), "name": "web"}, "verify": true,
        "require_approval": true,
        "patch": {"patch": {"spec": {"template": {"metadata": {"labels": labels}}}}},
    });
    let reply = post("/v1/actions/execute", &body)?;
    ensure!(reply.body["state"] == "AwaitingApproval", "{}", reply.text);
    let message = reply.body["message"].as_str().unwrap_or_default();
    ensure!(message.contains("take exactly that back"), "whoever approves is told: {message}");
    let file = ns.file(&reply.body["approval"]["create"])?;
    ns.allowed("approver", &["create", "-f", &file])?;
    let remediation = ended(&ns, "api/patch")?;
    ends(&remediation, "RolledBack", "UndoneAndVerified")?;
    let expected = ["Apply Written", "Undo Written"];
    ensure!(attempts(&remediation) == expected, "approved once: {:#}", remediation["status"]);
    ensure!(ns.get("web")?["spec"] == before);
    Ok(())
}
