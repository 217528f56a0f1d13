//! What stands while a program is dead, and what comes back with it. Each test breaks a cluster of its own.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use smartops_tests::programs::{self, Program};
use smartops_tests::sample;
use smartops_tests::wait::{Seen, eventually};

use crate::support::{Namespace, own};

const A_WHILE: Duration = Duration::from_mins(1);

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
fn nobody_is_locked_out_of_what_a_cluster_is_repaired_with_while_the_webhook_is_dead() -> Result<()>
{
    let cluster = own("locked-out")?;
    let admin = cluster.kubectl("admin");
    let guarded = Namespace::create(&cluster, "guarded")?;
    sample::roll_out(&cluster.kubectl("developer"), &guarded.name, "portal", 2)?;
    let nodes = admin.get(&["nodes"])?;
    let node = nodes["items"][0]["metadata"]["name"].as_str().context("no node")?.to_owned();
    let renewed = || -> Result<Value> {
        let lease = admin.get(&["-n", "kube-node-lease", "lease", &node])?;
        Ok(lease["spec"]["renewTime"].clone())
    };
    Program::Webhook.kill(&cluster)?;
    let before = renewed()?;

    for namespace in ["kube-system", "smartops-system"] {
        let mut object = sample::deployment(namespace, "helper", 1);
        // Ours admits restricted pods only.
        let pod = &mut object["spec"]["template"]["spec"];
        pod["securityContext"] =
            json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
        pod["containers"][0]["securityContext"] =
            json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
        admin.apply_all(&[object])?;
        sample::wait_rolled_out(&admin, namespace, "helper")?;
        let writes: [&[&str]; 4] = [
            &["scale", "deployment/helper", "--replicas=50"],
            &["set", "image", "deployment/helper", "helper=elsewhere.example.com/helper:latest"],
            &["create", "configmap", "notes", "--from-literal=a=b"],
            &["delete", "deployment/helper"],
        ];
        for write in writes {
            let write = [&["-n", namespace], write].concat();
            admin.run(&write)?.ok().with_context(|| format!("{write:?}"))?;
        }
    }
    for write in [
        &["cordon", &node][..],
        &["label", "node", &node, "repaired=yes"],
        &["uncordon", &node],
        &["-n", "kube-node-lease", "annotate", "lease", &node, "seen=yes"],
        &["-n", &guarded.name, "delete", "pods", "--all", "--wait=false"],
    ] {
        admin.run(write)?.ok().with_context(|| format!("{write:?}"))?;
    }
    eventually(A_WHILE, "the kubelet goes on renewing its lease", || {
        let now = renewed()?;
        Ok(Seen::when(now != before, now.to_string()))
    })?;
    sample::wait_rolled_out(&admin, &guarded.name, "portal")?;
    // A namespace ends with all that is in it, our own kinds included.
    admin.run(&["delete", "namespace", &guarded.name, "--timeout=60s"])?.ok()?;
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
