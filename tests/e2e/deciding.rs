//! What the closed loop does not begin, or not yet, on the real control plane; each refusal with no write on record.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use smartops_tests::cluster::down;
use smartops_tests::http::Client;
use smartops_tests::programs::controller_api;
use smartops_tests::wait::{Seen, eventually};

use crate::actions::scene;
use crate::scene::{Scene, post};
use crate::support::own;

const OPT_OUT: &str = "smartops.dev/closed-loop";

fn outcome(remediation: &Value) -> (&str, &str) {
    (
        remediation["status"]["phase"].as_str().unwrap_or_default(),
        remediation["status"]["outcome"]["reason"].as_str().unwrap_or_default(),
    )
}

#[test]
fn owners_keep_the_loop_away_by_an_annotation_and_callers_go_on() -> Result<()> {
    let ns = Scene::new("opt-out")?;
    let mut marked = ns.manifest("web", 2);
    marked["metadata"]["annotations"] = json!({OPT_OUT: "disabled"});
    ns.create(&marked)?;
    ns.rolled_out("web")?;
    ns.accepted("/v1/signals/anomaly", &ns.anomaly("w-1", "resource"))?;
    let skipped = ns.ended("anomaly/resource")?;
    ensure!(outcome(&skipped) == ("Skipped", "ClosedLoopDisabled"), "{skipped}");
    ns.allowed("developer", &["annotate", "deployment/web", &format!("{OPT_OUT}-")])?;
    let annotation = format!("{OPT_OUT}=disabled");
    ns.allowed("admin", &["annotate", "namespace", ns.name(), &annotation])?;
    ns.accepted("/v1/signals/anomaly", &ns.anomaly("w-2", "error"))?;
    let skipped = ns.ended("anomaly/error")?;
    ensure!(outcome(&skipped) == ("Skipped", "ClosedLoopDisabled"), "{skipped}");
    ensure!(ns.committed_writes("web")? == 0, "nothing was written");
    let scale = json!({"namespace": ns.name(), "deployment": "web", "replicas": 3});
    let called = post("/v1/k8s/scale", &scale)?;
    ensure!(called.status == 200, "calls of the API go on: {}", called.text);
    ns.allowed("admin", &["annotate", "namespace", ns.name(), &format!("{OPT_OUT}-")])?;
    ns.rolled_out("web")?;
    ns.accepted("/v1/signals/anomaly", &ns.anomaly("w-3", "jitter"))?;
    let done = ns.ended("anomaly/jitter")?;
    ensure!(outcome(&done) == ("Succeeded", "Verified"), "{done}");
    Ok(())
}

#[test]
fn a_number_that_an_autoscaler_owns_is_left_to_it_and_its_bounds_move_where_a_policy_says_so()
-> Result<()> {
    let ns = scene("hpa-owned")?;
    let api = controller_api(ns.cluster())?;
    ns.deploy("web", 2)?;
    let hpa = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": ns.name()},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "minReplicas": 2, "maxReplicas": 4,
        },
    });
    let file = ns.file(&hpa)?;
    ns.allowed("admin", &["apply", "-f", &file])?;
    ns.accepted("/v1/signals/anomaly", &ns.anomaly("w-1", "resource"))?;
    let skipped = ns.ended("anomaly/resource")?;
    ensure!(outcome(&skipped) == ("Skipped", "AutoscalerOwnsReplicas"), "{skipped}");
    let words = skipped["status"]["outcome"]["message"].as_str().unwrap_or_default();
    ensure!(words.contains("HorizontalPodAutoscaler web"), "{words}");
    let scale = json!({"namespace": ns.name(), "deployment": "web", "replicas": 3});
    let called = api.post("/v1/k8s/scale", &scale)?;
    ensure!(called.body["success"] != true, "{}", called.text);
    ensure!(called.text.contains("HorizontalPodAutoscaler web"), "{}", called.text);
    ensure!(ns.committed_writes("web")? == 0, "nothing was written");
    // A restart leaves the number alone.
    ns.accepted("/v1/signals/rca", &ns.rca("w-2", "memory_leak"))?;
    let done = ns.ended("rca/memory_leak")?;
    ensure!(outcome(&done) == ("Succeeded", "Verified"), "{done}");

    let own = json!({"matchLabels": {"kubernetes.io/metadata.name": ns.name()}});
    let policy = json!({
        "apiVersion": "smartops.dev/v1alpha1", "kind": "RemediationPolicy",
        "metadata": {"name": ns.name()},
        "spec": {
            "match": {"namespaces": own},
            "rules": [{"name": "cpu", "action": {"type": "scale", "scale": {"delta": 1}},
                "options": {"autoscaler": "Bounds", "cooldownSeconds": 0}}],
        },
    });
    let file = ns.file(&policy)?;
    ns.allowed("admin", &["apply", "-f", &file])?;
    let target = format!("remp/{}", ns.name());
    ns.allowed("admin", &["wait", "--for=condition=Accepted", &target, "--timeout=10s"])?;
    ns.accepted("/v1/signals/rca", &ns.rca("w-3", "cpu_saturation"))?;
    let bounds = ns.ended("rca/cpu_saturation")?;
    let action = json!({"type": "hpa-bounds", "hpaBounds": {"minDelta": 1, "maxDelta": 1}});
    ensure!(bounds["spec"]["action"] == action, "{bounds}");
    ensure!(outcome(&bounds) == ("Succeeded", "Verified"), "{bounds}");
    let moved = "jsonpath={.spec.minReplicas} {.spec.maxReplicas}";
    let moved = ns.allowed("developer", &["get", "hpa/web", "-o", moved])?;
    ensure!(moved == "3 5", "one more each than 2 and 4, not {moved}");
    ensure!(ns.replicas("web")? == 3, "the autoscaler did it");
    ensure!(ns.committed_writes("web")? == 1, "and the controller wrote the restart alone");
    ns.allowed("admin", &["delete", "remp", ns.name()])?;
    Ok(())
}

#[test]
fn what_argo_cd_or_flux_would_take_back_is_not_begun_and_the_tool_is_named() -> Result<()> {
    for (prefix, metadata, manager, words) in [
        (
            "argo",
            json!({"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:x/web"}}),
            "argocd-controller",
            "Argo CD (Application shop)",
        ),
        (
            "flux",
            json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}),
            "kustomize-controller",
            "Flux (Kustomization apps)",
        ),
    ] {
        let ns = Scene::new(prefix)?;
        let mut manifest = ns.manifest("web", 2);
        for (part, values) in metadata.as_object().context("no metadata")? {
            for (key, value) in values.as_object().context("no values")? {
                manifest["metadata"][part][key] = value.clone();
            }
        }
        let file = ns.file(&manifest)?;
        let flags = ["--server-side", "--field-manager", manager];
        ns.allowed("developer", &[&["apply", "-f", &file], &flags[..]].concat())?;
        ns.rolled_out("web")?;
        ns.accepted("/v1/signals/anomaly", &ns.anomaly("w-1", "resource"))?;
        let skipped = ns.ended("anomaly/resource")?;
        ensure!(outcome(&skipped) == ("Skipped", "ManagedByGitOps"), "{skipped}");
        let told = skipped["status"]["outcome"]["message"].as_str().unwrap_or_default();
        ensure!(told.contains(words), "{told}");
        ensure!(ns.committed_writes("web")? == 0, "nothing was written");
        // The stamp of a restart is in nobody's source.
        ns.accepted("/v1/signals/rca", &ns.rca("w-2", "memory_leak"))?;
        let done = ns.ended("rca/memory_leak")?;
        ensure!(outcome(&done) == ("Succeeded", "Verified"), "{done}");
    }
    Ok(())
}

fn limit(ns: &Scene, limits: &Value) -> Result<()> {
    let patch = json!({"spec": {"closedLoop": limits}}).to_string();
    ns.allowed("admin", &["patch", "soc/default", "--type=merge", "-p", &patch]).map(drop)
}

fn send(api: &Client, path: &str, body: &Value) -> Result<()> {
    let answer = api.post(path, body)?;
    ensure!(answer.status == 202, "{}", answer.text);
    Ok(())
}

/// Why the Remediation of this Deployment and cause is held, once it is.
fn held(ns: &Scene, name: &str, cause: &str, reason: &str) -> Result<()> {
    eventually(Duration::from_secs(20), &format!("{name} is held by {reason}"), || {
        let all = ns.remediations()?;
        let is_meant =
            |r: &&Value| r["spec"]["target"]["name"] == name && r["spec"]["cause"] == cause;
        let found = all.iter().find(is_meant).context("it is not on record")?;
        let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let is_held = conditions.iter().any(|condition| {
            condition["type"] == "Held"
                && condition["status"] == "True"
                && condition["reason"] == reason
        });
        Ok(Seen::when(is_held, format!("{}", found["status"])))
    })
}

/// The Remediations of this cause, once all have ended.
fn all_ended(ns: &Scene, cause: &str) -> Result<Vec<Value>> {
    eventually(Duration::from_secs(90), &format!("every Remediation for {cause} has ended"), || {
        let mut all = ns.remediations()?;
        all.retain(|r| r["spec"]["cause"] == cause);
        let is_done = all.iter().all(|r| r["status"]["outcome"].is_object());
        Ok(if is_done { Seen::Done(all) } else { Seen::NotYet(format!("{all:?}")) })
    })
}

#[test]
fn a_storm_is_held_and_said_a_root_cause_goes_before_and_a_namespace_begins_no_more_than_its_rate()
-> Result<()> {
    let cluster = Box::leak(Box::new(own("storm")?));
    let ns = Scene::on(cluster, "storm")?;
    let api = controller_api(cluster)?;
    let names = ["web", "shop", "cart"];
    for name in names {
        ns.create(&ns.manifest(name, 1))?;
    }
    for name in names {
        ns.rolled_out(name)?;
    }
    limit(&ns, &json!({"storm": {"targets": 1, "windowSeconds": 15}}))?;
    // Whenever the first of these begins, each of the others is one target too many.
    for name in names {
        let mut anomaly = ns.anomaly(&format!("w-{name}"), "error");
        anomaly["service"] = json!(name);
        send(&api, "/v1/signals/anomaly", &anomaly)?;
    }
    for name in ["shop", "cart"] {
        held(&ns, name, "anomaly/error", "Storm")?;
    }
    // A root-cause analysis of one of them says more than its anomaly.
    let mut rca = ns.rca("r-1", "memory_leak");
    rca["service"] = json!("shop");
    send(&api, "/v1/signals/rca", &rca)?;
    held(&ns, "shop", "rca/memory_leak", "Storm")?;
    let ended = all_ended(&ns, "anomaly/error")?;
    let shop = ended.iter().find(|r| r["spec"]["target"]["name"] == "shop");
    let shop = shop.context("it is gone")?;
    ensure!(outcome(shop) == ("Cancelled", "SupersededByRootCause"), "{shop}");
    let cart = ended.iter().find(|r| r["spec"]["target"]["name"] == "cart");
    let cart = cart.context("it is gone")?;
    ensure!(outcome(cart) == ("Succeeded", "Verified"), "released once it was over: {cart}");
    let analysis = ns.ended("rca/memory_leak")?;
    ensure!(outcome(&analysis) == ("Succeeded", "Verified"), "{analysis}");
    ensure!(ns.committed_writes("shop")? == 1, "one remedy, for its root cause");

    // Three were begun: with a rate of three, a fourth waits.
    limit(
        &ns,
        &json!({"storm": {"targets": 20}, "namespaceRate": {"remedies": 3, "windowSeconds": 600}}),
    )?;
    ns.deploy("late", 1)?;
    let mut anomaly = ns.anomaly("w-late", "jitter");
    anomaly["service"] = json!("late");
    send(&api, "/v1/signals/anomaly", &anomaly)?;
    held(&ns, "late", "anomaly/jitter", "NamespaceRate")?;
    ensure!(ns.committed_writes("late")? == 0, "nothing was written");
    limit(&ns, &json!({"namespaceRate": {"remedies": 4}}))?;
    let late = ns.ended("anomaly/jitter")?;
    ensure!(outcome(&late) == ("Succeeded", "Verified"), "{late}");
    down(cluster.dir()).map(drop)
}
