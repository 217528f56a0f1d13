//! Trying an installation out.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use smartops_tests::programs::{Program, endpoints};
use smartops_tests::wait::{Seen, eventually};

use super::{Hook, REGISTRATIONS, is_judged};
use crate::support::own;

const A_WHILE: Duration = Duration::from_secs(30);

#[test]
fn a_healthy_installation_passes_its_test_and_each_fault_makes_a_sentence() -> Result<()> {
    let cluster = own("self-test")?;
    let admin = cluster.kubectl("admin");
    let hook = Hook::install(&cluster, "smartops-self-test")?;
    let controller = format!("--controller={}", endpoints(&cluster)?.controller_url());
    let test = |seconds: u32, more: &[&str]| {
        let seconds = format!("--timeout-seconds={seconds}");
        hook.run_with(&cluster, &[&[controller.as_str(), &seconds], more].concat())
    };
    let healthy = [
        "ok      registrations: 6 stand",
        "ok      own kinds: the webhook answers: SmartOps denies CREATE of remediations",
        "ok      denial: 99 replicas are denied: SmartOps denies CREATE of deployments",
        "ok      admission: 2 replicas are admitted in smartops-dev",
        "ok      controller: ready",
    ];
    test(5, &[])?.ends(0, &healthy)?;
    // Nobody is behind the controller's Service here: its own way is taken and told.
    hook.run_with(&cluster, &["--timeout-seconds=1"])?.ends(
        1,
        &["FAILED  controller: ", "https:smartops-orchestrator:8001", "1 of 5 checks failed"],
    )?;

    Program::Controller.kill(&cluster)?;
    test(1, &[])?.ends(1, &["FAILED  controller: it does not say that it is ready"])?;
    Program::Controller.start(&cluster, &[])?;

    Program::Webhook.kill(&cluster)?;
    let dead =
        test(5, &[])?.ends(1, &["FAILED  own kinds", "FAILED  denial", "FAILED  admission"])?;
    let silent = dead.output.matches("got no answer from the webhook").count();
    ensure!(silent == 3 && dead.output.contains("ok      registrations"), "{}", dead.text());

    // Its registrations, emptied while nobody fills them.
    let empty = json!([{"op": "replace", "path": "/webhooks", "value": []}]).to_string();
    for kind in ["validatingwebhookconfiguration", "mutatingwebhookconfiguration"] {
        for name in REGISTRATIONS {
            admin.run(&["patch", kind, name, "--type=json", "-p", &empty])?.ok()?;
        }
    }
    test(5, &[])?.ends(
        1,
        &[
            "FAILED  registrations: validating smartops-automation is empty",
            "mutating smartops-own is empty",
            "FAILED  own kinds: a Remediation was refused, and not by the webhook",
            "SmartOps' admission must be in service",
            "FAILED  denial: a Deployment with 99 replicas was admitted",
            "ok      admission",
        ],
    )?;
    admin.run(&["delete", "validatingwebhookconfiguration", "smartops-people"])?.ok()?;
    test(5, &[])?.ends(1, &["validating smartops-people is missing"])?;

    Program::Webhook.start(&cluster, &[])?;
    test(30, &[])?.ends(0, &healthy)?;
    // A policy on trial refuses nothing: the chart that puts it there asks for no denial.
    let audit = json!({"spec": {"mode": "Audit"}}).to_string();
    admin
        .run(&["patch", "guardrailpolicy", "smartops-baseline", "--type=merge", "-p", &audit])?
        .ok()?;
    eventually(A_WHILE, "the policy is on trial", || {
        let ran = test(1, &[])?;
        Ok(Seen::when(ran.text().contains("FAILED  denial"), ran.text()))
    })?;
    let on_trial = test(5, &["--without-policies"])?
        .ends(0, &["ok      own kinds", "ok      admission", "ok      controller"])?;
    ensure!(!on_trial.output.contains("denial"), "{}", on_trial.text());
    // Whoever wants no policies asks for no denial by them.
    admin.run(&["delete", "guardrailpolicies", "--all"])?.ok()?;
    eventually(A_WHILE, "no policy holds", || {
        let ran = test(1, &["--without-policies"])?;
        let is_well = ran.code == 0 && !ran.output.contains("denial");
        Ok(Seen::when(is_well && !is_judged(&cluster)?, ran.text()))
    })?;
    test(1, &[])?.ends(1, &["FAILED  denial", "give --without-policies"])?;
    cluster.stop()
}
