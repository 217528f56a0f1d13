//! What was observed outlives every replica, is the same in each of them, and rests on commits alone: not on what an
//! object says about itself, and not on its being the same object.

use std::time::Duration;

use anyhow::{Result, ensure};
use http_body_util::BodyExt as _;
use hyper::Request;
use hyper::header::{CONTENT_TYPE, HOST};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use smartops_tests::cluster::{Cluster, free_ports};
use smartops_tests::http::Client;
use smartops_tests::kubectl::Outcome;
use smartops_tests::process::{self, Signal};
use smartops_tests::programs::{Program, endpoints};
use smartops_tests::sample;
use smartops_tests::wait::{Seen, eventually};

use crate::drain::{certificate_authority, connect, connector};
use crate::scene::Scene;
use crate::support::{Namespace, own};

/// A change is written within a second; a leader that was killed is followed within twenty.
const WRITTEN: Duration = Duration::from_secs(30);
const SECOND: &str = "webhook-two";

#[test]
fn killing_the_leader_and_then_every_replica_forgets_no_change_and_both_judge_alike() -> Result<()>
{
    let cluster = own("ledger")?;
    let namespace = Namespace::create(&cluster, "ledger")?;
    let admin = cluster.kubectl("admin");
    for name in ["changed", "late", "untouched"] {
        sample::roll_out(&admin, &namespace.name, name, 2)?;
    }
    limit(&namespace)?;
    let [second, second_health] = free_ports()?;
    start_second(&cluster, second, second_health)?;
    let ports = [endpoints(&cluster)?.webhook_port, second];

    // A number that moves leaves no ReplicaSet behind: only the ledger can tell.
    scale(&namespace, "changed", 3)?.ok()?;
    refused(&namespace, "changed", 4)?;
    let scaled = written(&namespace, "changed", &|entry| time(entry).is_ok())?;
    for name in ["changed", "untouched"] {
        let [one, two] = both(&cluster, &namespace, name, ports)?;
        ensure!(one == two, "{name}: one says {one}, the other {two}");
        ensure!(one["allowed"] == (name == "untouched"), "{name}: {one}");
    }

    // The leader dies; the other leads, and goes on writing.
    Program::Webhook.kill(&cluster)?;
    eventually(WRITTEN, "the other leads", || {
        let leads = leads(second_health)?;
        Ok(Seen::when(leads, ""))
    })?;
    Program::Webhook.start(&cluster, &[])?;
    refused(&namespace, "changed", 4)?;

    // All die in the very second of a change; what was not written counts as changed when they are back.
    eventually(WRITTEN, "the API server asks the first again", || {
        let outcome = scale(&namespace, "late", 3)?;
        Ok(Seen::when(outcome.succeeded, outcome.text()))
    })?;
    process::signal(cluster.dir(), SECOND, Signal::Kill)?;
    Program::Webhook.kill(&cluster)?;
    process::wait_ended(cluster.dir(), SECOND, WRITTEN)?;
    Program::Webhook.start(&cluster, &[])?;
    for name in ["changed", "late"] {
        refused(&namespace, name, 4)?;
    }
    let still = written(&namespace, "changed", &|_| true)?;
    // Each replica dates a change by its own clock, and of two accounts the later time stands: milliseconds.
    let apart = time(&still)?.duration_since(time(&scaled)?).abs();
    ensure!(apart < SignedDuration::from_secs(1), "{still} is dated anew, it was {scaled}");
    scale(&namespace, "untouched", 3)?.ok()?;
    cluster.stop()
}

#[test]
fn an_object_made_anew_under_the_same_name_inherits_the_cooldown_of_the_one_deleted() -> Result<()>
{
    let scene = Scene::new("anew")?;
    let manifest = scene.deploy("web", 1)?;
    scene.allowed("developer", &["delete", "deployment", "web"])?;
    scene.create(&manifest)?;
    scene.rolled_out("web")?;
    scene.denied(
        "agent",
        &["patch", "deployment/web", "-p", &restart("2026-01-01T00:00:01Z")],
        &["cooldown", "retry in"],
    )?;
    // Another name has nobody to inherit from.
    scene.deploy("other", 1)?;
    scene
        .allowed("agent", &["patch", "deployment/other", "-p", &restart("2026-01-01T00:00:01Z")])?;
    Ok(())
}

#[test]
fn wiped_managed_fields_and_a_forged_time_of_restart_change_nothing() -> Result<()> {
    let scene = Scene::new("forged")?;
    scene.deploy("web", 1)?;
    scene.allowed("agent", &["patch", "deployment/web", "-p", &restart("2026-01-01T00:00:01Z")])?;
    let wiped = json!({"metadata": {"managedFields": [{}]}}).to_string();
    scene.allowed("developer", &["patch", "deployment/web", "--type=merge", "-p", &wiped])?;
    let managed = scene.get("web")?["metadata"]["managedFields"].clone();
    ensure!(managed.as_array().is_none_or(Vec::is_empty) || managed.is_null(), "{managed}");
    let note = "kubectl.kubernetes.io/restartedAt=2020-01-01T00:00:00Z";
    scene.allowed("developer", &["annotate", "deployment/web", note])?;
    for forged in ["2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"] {
        scene.denied(
            "agent",
            &["patch", "deployment/web", "-p", &restart(forged)],
            &["cooldown", "retry in"],
        )?;
    }
    // A dry run and a denial are no changes either: what was never restarted may still be.
    scene.deploy("other", 1)?;
    let patch = restart("2026-01-01T00:00:01Z");
    let words = ["patch", "deployment/other", "-p", patch.as_str()];
    scene.allowed("agent", &[&words[..], &["--dry-run=server"]].concat())?;
    scene.allowed("agent", &words)?;
    Ok(())
}

/// Has an operator give automation a long time to wait between two scales in this namespace.
fn limit(namespace: &Namespace<'_>) -> Result<()> {
    let name = &namespace.name;
    let policy = json!({
        "apiVersion": "smartops.dev/v1alpha1", "kind": "GuardrailPolicy", "metadata": {"name": name},
        "spec": {
            "match": {
                "kinds": [
                    {"group": "apps", "resource": "deployments"},
                    {"group": "apps", "resource": "deployments/scale"},
                ],
                "operations": ["UPDATE"],
                "namespaces": {"selector": {"matchLabels": {"kubernetes.io/metadata.name": name}}},
                "subjects": {"include": {"automation": true}},
            },
            "rules": {"cooldown": {"scaleSeconds": 3600}},
        },
    });
    let operator = namespace.kubectl("operator");
    operator.run_with(&["apply", "-f", "-"], Some(&policy.to_string()))?.ok()?;
    let wait = ["wait", "--for=condition=Accepted", &format!("gp/{name}"), "--timeout=10s"];
    namespace.kubectl("admin").run(&wait)?.ok()?;
    Ok(())
}

/// A scale by automation.
fn scale(namespace: &Namespace<'_>, name: &str, replicas: u32) -> Result<Outcome> {
    let (target, number) = (format!("deployment/{name}"), format!("--replicas={replicas}"));
    namespace.run("agent", &["scale", &target, &number])
}

/// The patch that restarts a Deployment.
fn restart(at: &str) -> String {
    let annotations = json!({"kubectl.kubernetes.io/restartedAt": at});
    json!({"spec": {"template": {"metadata": {"annotations": annotations}}}}).to_string()
}

/// A scale by automation is refused for having come too soon after another.
fn refused(namespace: &Namespace<'_>, name: &str, replicas: u32) -> Result<()> {
    eventually(WRITTEN, "the webhook refuses it for its cooldown", || {
        let outcome = scale(namespace, name, replicas)?;
        ensure!(!outcome.succeeded, "{name} was scaled: {}", outcome.text());
        // The API server may still sit out a connection that just failed.
        Ok(Seen::when(outcome.text().contains("cooldown"), outcome.text()))
    })
}

/// The entry of a Deployment in the ledger of its namespace, once it is such.
fn written(
    namespace: &Namespace<'_>,
    name: &str,
    is_such: &dyn Fn(&Value) -> bool,
) -> Result<Value> {
    let admin = namespace.kubectl("admin");
    eventually(WRITTEN, &format!("{name} stands in the ledger"), || {
        let list = admin.get(&["-n", "smartops-system", "changeledgers"])?;
        let ledgers = list["items"].as_array().into_iter().flatten();
        let own = ledgers.filter(|ledger| ledger["metadata"]["name"] == namespace.name.as_str());
        let mut entries = own.filter_map(|ledger| ledger["spec"]["workloads"].as_array()).flatten();
        let found = entries.find(|entry| entry["name"] == name && is_such(entry)).cloned();
        Ok(found.map_or_else(|| Seen::NotYet(list.to_string()), Seen::Done))
    })
}

/// When the number of an entry last changed.
fn time(entry: &Value) -> Result<Timestamp> {
    Ok(entry["scaled"].as_str().unwrap_or_default().parse()?)
}

/// Starts a second replica at these ports, and waits until it is ready.
fn start_second(cluster: &Cluster, port: u16, health: u16) -> Result<()> {
    let flags = [
        format!("--listen-address=127.0.0.1:{port}"),
        format!("--health-address=127.0.0.1:{health}"),
    ];
    Program::Webhook.launch_as(SECOND, cluster, &[&flags[0], &flags[1]])?;
    let health = Client::new(&format!("http://127.0.0.1:{health}"));
    eventually(WRITTEN, "the second replica is ready", || {
        process::check_runs(cluster.dir(), SECOND)?;
        Ok(match health.get("/readyz") {
            Ok(answer) => Seen::when(answer.status == 200, answer.text),
            Err(error) => Seen::NotYet(format!("{error:#}")),
        })
    })
}

fn leads(health: u16) -> Result<bool> {
    let text = Client::new(&format!("http://127.0.0.1:{health}")).get("/metrics")?.text;
    Ok(smartops_tests::metrics::sum(&text, "smartops_webhook_leader", &[]) == Some(1.0))
}

/// What each replica says, at its own port, to one and the same scale by automation: allowed or not, and by which
/// rules.
fn both(
    cluster: &Cluster,
    namespace: &Namespace<'_>,
    name: &str,
    ports: [u16; 2],
) -> Result<[Value; 2]> {
    let live = cluster.kubectl("admin").get(&["-n", &namespace.name, "deployment", name])?;
    let scale = |replicas: &Value| {
        let metadata = &live["metadata"];
        json!({
            "apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": replicas},
            "metadata": {
                "name": name, "namespace": &namespace.name, "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            },
        })
    };
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "both", "operation": "UPDATE", "name": name, "namespace": &namespace.name,
            "kind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
            "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
            "subResource": "scale",
            "userInfo": {"username": "system:serviceaccount:smartops-dev:agent"},
            "oldObject": scale(&live["spec"]["replicas"]), "object": scale(&json!(4)),
        },
    });
    let tls = connector(&certificate_authority(cluster)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ask = async |port: u16| -> Result<Value> {
        let mut sender = connect(&format!("127.0.0.1:{port}"), &tls).await?;
        let request = Request::post("/validate/automation?timeout=10s")
            .header(HOST, "localhost")
            .header(CONTENT_TYPE, "application/json")
            .body(review.to_string().into())?;
        let body = sender.send_request(request).await?.into_body().collect().await?.to_bytes();
        let answer: Value = serde_json::from_slice(&body)?;
        let response = &answer["response"];
        let causes = response["status"]["details"]["causes"].as_array().into_iter().flatten();
        let rules: Vec<&Value> = causes.map(|cause| &cause["reason"]).collect();
        Ok(json!({"allowed": response["allowed"], "rules": rules}))
    };
    let [one, two] = ports;
    runtime.block_on(async { Ok([ask(one).await?, ask(two).await?]) })
}
