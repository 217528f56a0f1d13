//! Policies and configuration as they are written: what cannot be judged by is refused with its field, what is good
//! rules at once, its status says what it did, and files can be judged by without a cluster.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use http_body_util::BodyExt as _;
use hyper::Request;
use hyper::header::{CONTENT_TYPE, HOST};
use serde_json::{Value, json};
use smartops_tests::cluster::{Cluster, free_ports};
use smartops_tests::http::Client;
use smartops_tests::process;
use smartops_tests::programs::{Program, endpoints};
use smartops_tests::wait::{Seen, eventually};
use smartops_tests::{places, sample};

use crate::drain::{certificate_authority, connect, connector};
use crate::scene::Scene;
use crate::support::{Namespace, own};

/// What a policy did is written at most once in five seconds.
const WRITTEN: Duration = Duration::from_secs(20);

/// A policy for Deployments of one namespace alone.
fn policy(name: &str, namespace: &str, rules: &Value) -> Value {
    let labels = json!({"kubernetes.io/metadata.name": namespace});
    let kinds =
        ["deployments", "deployments/scale"].map(|r| json!({"group": "apps", "resource": r}));
    json!({
        "apiVersion": "smartops.dev/v1alpha1", "kind": "GuardrailPolicy", "metadata": {"name": name},
        "spec": {
            "match": {
                "kinds": kinds, "operations": ["UPDATE"],
                "namespaces": {"selector": {"matchLabels": labels}},
            },
            "rules": rules,
        },
    })
}

#[test]
fn a_policy_that_cannot_be_judged_by_is_refused_with_its_field_and_its_good_twin_is_taken()
-> Result<()> {
    let scene = Scene::new("written")?;
    let custom = |expression: &str| json!({"custom": [{"name": "own", "expression": expression, "failurePolicy": "Fail"}]});
    let freeze = |cron: &str, zone: &str| json!({"freeze": [{"cron": cron, "timeZone": zone, "durationSeconds": 3600}]});
    let table = [
        (
            custom("object.spec.replicas <"),
            "spec.rules.custom[0].expression",
            custom("object.spec.replicas < 5"),
        ),
        (
            freeze("0 0 30 2 *", "Europe/Berlin"),
            "spec.rules.freeze[0].cron",
            freeze("0 0 28 2 *", "Europe/Berlin"),
        ),
        (
            freeze("0 0 1 1 *", "Europe/Atlantis"),
            "spec.rules.freeze[0].timeZone",
            freeze("0 0 1 1 *", "Europe/Athens"),
        ),
        (
            json!({"paths": {"forbid": ["spec..template"]}}),
            "spec.rules.paths.forbid[0]",
            json!({"paths": {"forbid": ["spec.template"]}}),
        ),
    ];
    for (bad, field, good) in table {
        let name = scene.name();
        let file = scene.file(&policy(name, name, &bad))?;
        scene.denied("operator", &["create", "-f", &file], &[field])?;
        let dry = ["create", "--dry-run=server", "-f", &file];
        scene.denied("operator", &dry, &[field])?;
        let file = scene.file(&policy(name, name, &good))?;
        scene.allowed("operator", &["create", "-f", &file])?;
        let gp = format!("gp/{name}");
        let wait = ["wait", "--for=condition=Accepted", &gp, "--timeout=10s"];
        scene.allowed("admin", &wait).with_context(|| good.to_string())?;
        scene.allowed("operator", &["delete", &gp])?;
    }
    // What the schema can say it says itself.
    let file =
        scene.file(&policy("mixed-up", "shop", &json!({"replicas": {"min": 5, "max": 2}})))?;
    let mixed_up = scene.kubectl("operator", &["create", "-f", &file])?;
    let text = mixed_up.text();
    ensure!(!mixed_up.succeeded && text.contains("spec.rules.replicas"), "{text}");
    Ok(())
}

#[test]
fn a_configuration_that_would_bind_the_cluster_itself_is_refused() -> Result<()> {
    let scene = Scene::new("configured")?;
    let config = |automation: &Value| {
        json!({"apiVersion": "smartops.dev/v1alpha1", "kind": "SmartOpsConfig",
            "metadata": {"name": "default"}, "spec": {"automation": automation}})
    };
    let try_out = |automation: Value| scene.file(&config(&automation));
    let arguments =
        |file: String| ["replace".to_owned(), "--dry-run=server".to_owned(), "-f".to_owned(), file];
    let bad = arguments(try_out(json!({"groups": ["system:masters"]}))?);
    let bad: Vec<&str> = bad.iter().map(String::as_str).collect();
    scene.denied("operator", &bad, &["spec.automation.groups[0]", "system:masters"])?;
    let good = arguments(try_out(json!({"groups": ["bots"]}))?);
    let good: Vec<&str> = good.iter().map(String::as_str).collect();
    scene.allowed("operator", &good)?;
    Ok(())
}

#[test]
fn automation_writes_no_policy_whatever_rbac_gives_it() -> Result<()> {
    let scene = Scene::new("self-made")?;
    let file = scene.file(&policy(scene.name(), scene.name(), &json!({"replicas": {"max": 5}})))?;
    let create = ["create", "--dry-run=server", "-f", &file];
    let agent = ["--as=system:serviceaccount:smartops-dev:agent", "--as-group=system:masters"];
    scene.denied("admin", &[&create[..], &agent].concat(), &["rule unnamed"])?;
    scene.allowed("admin", &create)?;
    Ok(())
}

#[test]
fn automation_neither_deletes_a_policy_nor_the_configuration_nor_touches_what_was_observed()
-> Result<()> {
    let scene = Scene::new("meddling")?;
    scene.limit_replicas(&json!({"max": 4}))?;
    let own = "smartops-system";
    let entry = json!({"apiVersion": "smartops.dev/v1alpha1", "kind": "ChangeLedger",
        "metadata": {"name": "meddled", "namespace": own}, "spec": {}});
    let file = scene.file(&entry)?;
    let create = ["create", "-n", own, "-f", &file];
    scene.denied("operator", &create, &["written by it alone"])?;
    scene.allowed("webhook", &create)?;
    let gp = format!("gp/{}", scene.name());
    let edit = ["--type=merge", "-p", r#"{"spec":{"omitted":7}}"#];
    let forget = [&["patch", "changeledger/meddled", "-n", own], &edit[..]].concat();
    let attempts: [&[&str]; 5] = [
        &["delete", &gp],
        &["delete", "smartopsconfig/default"],
        &forget,
        &["delete", "changeledger/meddled", "-n", own],
        &["annotate", &gp, "note=meddled"],
    ];
    for attempt in attempts {
        // Whatever RBAC gives: as the meddler, and as whoever may everything and calls itself the agent.
        scene.denied("meddler", attempt, &["rule unnamed"])?;
        let agent = ["--as=system:serviceaccount:smartops-dev:agent", "--as-group=system:masters"];
        scene.denied("admin", &[attempt, &agent].concat(), &["rule unnamed"])?;
        let trial = [attempt, &["--dry-run=server"]].concat();
        // What was observed is written by nobody but the webhook.
        if attempt == forget {
            scene.denied("operator", &trial, &["written by it alone"])?;
        } else {
            scene.allowed("operator", &trial)?;
        }
    }
    scene.allowed("operator", &["delete", "changeledger/meddled", "-n", own])?;
    scene.allowed("operator", &["delete", &gp])?;
    Ok(())
}

#[test]
fn nobody_takes_an_object_or_a_namespace_out_of_a_policy_by_way_of_a_subresource() -> Result<()> {
    let scene = Scene::new("sideways")?;
    let name = scene.name();
    scene.allowed("admin", &["label", "namespace", name, &format!("held={name}")])?;
    let mut set = scene.manifest("web", 1);
    set["kind"] = json!("StatefulSet");
    set["spec"]["serviceName"] = json!("web");
    set["metadata"]["labels"]["keep"] = json!("yes");
    scene.create(&set)?;
    let policy = json!({
        "apiVersion": "smartops.dev/v1alpha1", "kind": "GuardrailPolicy", "metadata": {"name": name},
        "spec": {
            "match": {
                "kinds": [{"group": "apps", "resource": "statefulsets"}], "operations": ["DELETE"],
                "namespaces": {"selector": {"matchLabels": {"held": name}}},
                "objects": {"matchLabels": {"keep": "yes"}},
            },
            "rules": {"deletion": {"allow": "Never"}},
        },
    });
    scene.allowed("operator", &["apply", "-f", &scene.file(&policy)?])?;
    let patch = |target: &[&str], labels: &Value| -> Result<_> {
        let patch = json!({"metadata": {"labels": labels}}).to_string();
        let arguments = ["--subresource=status", "--type=merge", "-p", &patch];
        scene.kubectl("admin", &[&["patch"], target, &arguments].concat())
    };
    let (object, namespace) = (["statefulset/web"], ["namespace", name]);
    for (target, away) in
        [(&object[..], json!({"keep": null})), (&namespace[..], json!({"held": "no"}))]
    {
        eventually(Duration::from_secs(20), &format!("{target:?} is held by its labels"), || {
            let outcome = patch(target, &away)?;
            let text = outcome.text();
            ensure!(outcome.succeeded || text.contains("rule selection"), "{text}");
            if outcome.succeeded {
                // The API server did not know of the registration yet: back, and once more.
                patch(target, &json!({"keep": "yes", "held": name}))?.ok()?;
            }
            Ok(Seen::when(!outcome.succeeded, text))
        })?;
        patch(target, &json!({"team": "a"}))?.ok()?;
    }
    // The whole object, as kubectl would send it to what finalises a namespace.
    let finalize = format!("/api/v1/namespaces/{name}/finalize");
    for (label, denied) in [("no", true), (name, false)] {
        let text = scene.allowed("admin", &["get", "namespace", name, "-o", "json"])?;
        let mut object: Value = serde_json::from_str(&text)?;
        object["metadata"]["labels"]["held"] = json!(label);
        let file = scene.file(&object)?;
        let replace = ["replace", "--raw", &finalize, "-f", &file];
        if denied {
            scene.denied("admin", &replace, &["rule selection"])?;
        } else {
            scene.allowed("admin", &replace)?;
        }
    }
    scene.allowed("operator", &["delete", "gp", name])?;
    Ok(())
}

#[test]
fn a_policy_s_status_says_what_it_matches_and_what_it_last_did_and_no_dry_run() -> Result<()> {
    let scene = Scene::new("status")?;
    scene.deploy("web", 2)?;
    scene.limit_replicas(&json!({"max": 4}))?;
    let gp = format!("gp/{}", scene.name());
    let scale = |replicas: &str, more: &[&str]| {
        let replicas = format!("--replicas={replicas}");
        scene.denied(
            "developer",
            &[&["scale", "deployment/web", &replicas], more].concat(),
            &["maximum is 4"],
        )
    };
    scale("6", &["--dry-run=server"])?;
    scale("5", &[])?;
    eventually(WRITTEN, "the status tells the decision", || {
        let text = scene.allowed("operator", &["get", &gp, "-o", "json"])?;
        let status: Value = serde_json::from_str::<Value>(&text)?["status"].clone();
        let decisions = status["lastDecisions"].as_array().cloned().unwrap_or_default();
        let told = decisions.iter().map(|d| (&d["decision"], &d["rule"], &d["user"], &d["name"]));
        let told: Vec<_> = told.collect();
        let expected = (&json!("Deny"), &json!("replicas"), &json!("developer"), &json!("web"));
        let done = told == [expected] && status["matches"] == 1;
        Ok(Seen::when(done, status.to_string()))
    })
}

/// Whether a replica, at its own port, allows a scale to five by a person.
async fn allows(cluster: &Cluster, namespace: &str, port: u16) -> Result<bool> {
    let scale = |replicas: u32| {
        json!({
            "apiVersion": "autoscaling/v1", "kind": "Scale",
            "metadata": {"name": "web", "namespace": namespace, "uid": "u"}, "spec": {"replicas": replicas},
        })
    };
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "asked", "operation": "UPDATE", "name": "web", "namespace": namespace, "dryRun": true,
            "kind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
            "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
            "subResource": "scale", "userInfo": {"username": "somebody"},
            "oldObject": scale(3), "object": scale(5),
        },
    });
    let tls = connector(&certificate_authority(cluster)?)?;
    let mut sender = connect(&format!("127.0.0.1:{port}"), &tls).await?;
    let request = Request::post("/validate/people?timeout=10s")
        .header(HOST, "localhost")
        .header(CONTENT_TYPE, "application/json")
        .body(review.to_string().into())?;
    let body = sender.send_request(request).await?.into_body().collect().await?.to_bytes();
    let answer: Value = serde_json::from_slice(&body)?;
    answer["response"]["allowed"].as_bool().context("no verdict")
}

#[test]
fn a_change_of_a_policy_rules_within_a_second_in_every_replica() -> Result<()> {
    let cluster = own("within-a-second")?;
    let namespace = Namespace::create(&cluster, "second")?;
    sample::roll_out(&cluster.kubectl("admin"), &namespace.name, "web", 3)?;
    let [port, health] = free_ports()?;
    let flags = [
        format!("--listen-address=127.0.0.1:{port}"),
        format!("--health-address=127.0.0.1:{health}"),
    ];
    Program::Webhook.launch_as("webhook-two", &cluster, &[&flags[0], &flags[1]])?;
    let client = Client::new(&format!("http://127.0.0.1:{health}"));
    eventually(Duration::from_secs(30), "the second replica is ready", || {
        process::check_runs(cluster.dir(), "webhook-two")?;
        Ok(match client.get("/readyz") {
            Ok(answer) => Seen::when(answer.status == 200, answer.text),
            Err(error) => Seen::NotYet(format!("{error:#}")),
        })
    })?;
    let ports = [endpoints(&cluster)?.webhook_port, port];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let operator = cluster.kubectl("operator");
    let mut times = Vec::new();
    for max in [4, 5, 4, 5, 4, 5, 4] {
        let policy = policy("second", &namespace.name, &json!({"replicas": {"max": max}}));
        operator.apply_all(&[policy])?;
        let committed = Instant::now();
        for port in ports {
            eventually(Duration::from_secs(10), &format!("port {port} judges by {max}"), || {
                let allows = runtime.block_on(allows(&cluster, &namespace.name, port))?;
                Ok(Seen::when(allows == (max == 5), format!("{allows}")))
            })?;
        }
        times.push(committed.elapsed());
    }
    times.sort_unstable();
    // The machine runs other clusters at the same time and may stall one change; it does not stall most of them.
    let usual = times[times.len() / 2];
    ensure!(usual < Duration::from_secs(1), "seven changes ruled everywhere after {times:?}");
    cluster.stop()
}

#[test]
fn files_can_be_judged_by_without_a_cluster_and_the_exit_code_says_what_came_of_it() -> Result<()> {
    let folder = crate::support::folder("judge");
    fs::create_dir_all(&folder)?;
    let write = |name: &str, value: &Value| -> Result<String> {
        let path = folder.join(name);
        fs::write(&path, value.to_string())?;
        path.to_str().map(str::to_owned).context("the folder's name is no text")
    };
    let scale = |n: u32| json!({"metadata": {"name": "web", "namespace": "shop", "uid": "u"}, "spec": {"replicas": n}});
    let review = |replicas: u32| {
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u", "operation": "UPDATE", "name": "web", "namespace": "shop",
            "resource": {"group": "apps", "version": "v1", "resource": "deployments"}, "subResource": "scale",
            "userInfo": {"username": "alice"}, "oldObject": scale(3), "object": scale(replicas),
        }})
    };
    let good = policy("p", "shop", &json!({"replicas": {"max": 4}}));
    let bad = policy("p", "shop", &json!({"replicas": {"min": 5, "max": 4}}));
    let (good, bad) = (write("good.json", &good)?, write("bad.json", &bad)?);
    let (four, five) = (write("four.json", &review(4))?, write("five.json", &review(5))?);
    for (review, policies, code, word) in [
        (&four, &good, 0, "0 denied"),
        (&five, &good, 1, "p/replicas at spec.replicas"),
        (&five, &bad, 2, "spec.rules.replicas"),
        (&good, &good, 2, "no request"),
    ] {
        let output = Command::new(places::program("smartops-webhook")?)
            .args(["judge", "-f", review, "-p", policies])
            .output()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        ensure!(output.status.code() == Some(code) && text.contains(word), "{review}: {text}");
    }
    fs::remove_dir_all(&folder)?;
    Ok(())
}
