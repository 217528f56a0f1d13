//! What stands while a program is dead, and what comes back with it. Each test breaks a cluster of its own.

use std::time::Duration;

use anyhow::{Result, ensure};
use smartops_tests::programs::{self, Program};
use smartops_tests::sample;
use smartops_tests::wait::{Seen, eventually};

use crate::support::{Namespace, own};

#[test]
fn a_dead_webhook_holds_guarded_writes_and_no_others_and_its_return_lets_them_through() -> Result<()>
{
    let cluster = own("dead-webhook")?;
    let guarded = Namespace::create(&cluster, "guarded")?;
    sample::roll_out(&cluster.kubectl("developer"), &guarded.name, "portal", 2)?;
    let scale = ["scale", "deployment/portal", "--replicas=3"];
    Program::Webhook.kill(&cluster)?;

    for actor in ["developer", "agent", "controller"] {
        let held = guarded.run(actor, &scale)?;
        let unreachable = held.errors.contains("failed calling webhook");
        ensure!(!held.succeeded && unreachable, "{actor}: {}", held.text());
    }
    // The cluster's own namespaces, pods and nodes must never wait for us.
    let admin = cluster.kubectl("admin");
    sample::roll_out(&admin, "kube-system", "resolver", 1)?;
    admin.run(&["-n", "kube-system", "scale", "deployment/resolver", "--replicas=0"])?.ok()?;
    guarded.run("developer", &["delete", "pods", "--all", "--wait=false"])?.ok()?;
    eventually(Duration::from_secs(30), "the controllers replace the pods", || {
        let list = admin.get(&["-n", &guarded.name, "deployment", "portal"])?;
        let ready = list["status"]["readyReplicas"].as_u64().unwrap_or(0);
        Ok(Seen::when(ready == 2, format!("{ready} are ready")))
    })?;

    Program::Webhook.start(&cluster, &[])?;
    for actor in ["developer", "agent"] {
        // The API server may still sit out a connection that just failed.
        eventually(Duration::from_secs(30), "the write goes through", || {
            let outcome = guarded.run(actor, &scale)?;
            Ok(Seen::when(outcome.succeeded, outcome.text()))
        })?;
    }
    let above = guarded.run("developer", &["scale", "deployment/portal", "--replicas=11"])?;
    ensure!(above.errors.contains("denied the request"), "{}", above.text());
    cluster.stop()
}

#[test]
fn a_killed_controller_comes_back_ready_and_answers_at_the_same_address() -> Result<()> {
    let cluster = own("dead-controller")?;
    let api = programs::controller_api(&cluster)?;
    Program::Controller.kill(&cluster)?;
    ensure!(api.get("/healthz").is_err(), "nobody should answer");
    Program::Controller.start(&cluster, &[])?;
    let answer = api.get("/healthz")?;
    ensure!(answer.status == 200, "{}", answer.text);
    ensure!(answer.body["service"] == "orchestrator", "{}", answer.text);
    cluster.stop()
}
