//! A restart that comes too soon, by every way there is to restart.

use anyhow::Result;
use serde_json::json;

use super::ground::Ground;

const WEB: &str = "deployment/web";
const WORDS: [&str; 2] = ["bypass-steady", "rule cooldown"];

/// A patch that makes new pods by an annotation of this value.
fn restart(at: &str) -> String {
    let annotations = json!({"kubectl.kubernetes.io/restartedAt": at});
    json!({"spec": {"template": {"metadata": {"annotations": annotations}}}}).to_string()
}

/// A steady Deployment that has just been restarted.
fn restarted(prefix: &str) -> Result<Ground> {
    let ground = Ground::with_labelled_web(prefix, "steady")?;
    ground.allowed("developer", &["patch", WEB, "-p", &restart("2026-01-01T00:00:01Z")])?;
    ground.observed("web")?;
    Ok(ground)
}

#[test]
fn a_second_restart_with_a_time_long_past() -> Result<()> {
    let ground = restarted("forged")?;
    ground.refused(&["patch", WEB, "-p", &restart("2001-01-01T00:00:00Z")], &WORDS)?;
    ground.allowed("developer", &["scale", WEB, "--replicas=4"])?;
    Ok(())
}

#[test]
fn a_second_restart_after_the_first_ones_trace_is_wiped() -> Result<()> {
    let ground = restarted("wiped")?;
    let wiped = r#"{"metadata":{"managedFields":[{}]},"spec":{"template":{"metadata":{"annotations":null}}}}"#;
    ground.refused(&["patch", WEB, "--type=merge", "-p", wiped], &WORDS)?;
    let fields = r#"{"metadata":{"managedFields":[{}]}}"#;
    ground.allowed("developer", &["patch", WEB, "--type=merge", "-p", fields])?;
    ground.observed("web")?;
    ground.refused(&["patch", WEB, "-p", &restart("2026-01-01T00:00:02Z")], &WORDS)
}

#[test]
fn a_second_restart_by_a_variable() -> Result<()> {
    let ground = restarted("variable")?;
    ground.refused(&["set", "env", WEB, "NONCE=1"], &WORDS)?;
    ground.allowed("developer", &["annotate", WEB, "nonce=1"])?;
    Ok(())
}

#[test]
fn a_restart_by_deleting_a_pod() -> Result<()> {
    let ground = restarted("delete-pod")?;
    let pod = ground.pod_of("web")?;
    ground.refused(&["delete", "pod", &pod, "--wait=false"], &WORDS)?;
    // A pod of a Deployment the policy does not mean.
    ground.create(&ground.manifest("other", 1))?;
    let other = ground.pod_of("other")?;
    ground.allowed("developer", &["delete", "pod", &other, "--wait=false"])?;
    Ok(())
}

#[test]
fn a_restart_by_deleting_all_pods_at_once() -> Result<()> {
    let ground = restarted("delete-pods")?;
    ground.pod_of("web")?;
    let all =
        |app: &str| format!("/api/v1/namespaces/{}/pods?labelSelector=app%3D{app}", ground.name());
    ground.refused(&["delete", "--raw", &all("web")], &WORDS)?;
    ground.create(&ground.manifest("other", 1))?;
    ground.pod_of("other")?;
    ground.allowed("developer", &["delete", "--raw", &all("other")])?;
    Ok(())
}

#[test]
fn a_restart_by_evicting_a_pod() -> Result<()> {
    let ground = restarted("evict")?;
    ground.create(&ground.manifest("other", 1))?;
    let evict = |pod: &str| -> Result<Vec<String>> {
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": pod, "namespace": ground.name()}});
        let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", ground.name());
        Ok(vec!["create".into(), "--raw".into(), path, "-f".into(), ground.file(&eviction)?])
    };
    let steady = evict(&ground.pod_of("web")?)?;
    ground.refused(&steady.iter().map(String::as_str).collect::<Vec<_>>(), &WORDS)?;
    let other = evict(&ground.pod_of("other")?)?;
    ground.allowed("developer", &other.iter().map(String::as_str).collect::<Vec<_>>())?;
    Ok(())
}

#[test]
fn a_restart_by_deleting_the_replica_set() -> Result<()> {
    let ground = restarted("delete-rs")?;
    ground.rolled_out("web")?;
    let path = "jsonpath={.items[?(@.spec.replicas>0)].metadata.name}";
    let set = ground.allowed("admin", &["get", "rs", "-l", "app=web", "-o", path])?;
    ground.refused(&["delete", "rs", &set, "--wait=false"], &WORDS)?;
    ground.allowed("developer", &["annotate", "rs", &set, "note=kept"])?;
    Ok(())
}

#[test]
fn a_restart_by_scaling_to_nothing_and_back() -> Result<()> {
    let ground = restarted("down-and-up")?;
    ground.refused(&["scale", WEB, "--replicas=0"], &["rule"])?;
    ground.allowed("developer", &["scale", WEB, "--replicas=1"])?;
    Ok(())
}

#[test]
fn a_restart_by_deleting_the_deployment_and_making_it_again() -> Result<()> {
    let ground = Ground::new("made-again")?;
    let manifest = ground.create_labelled("web", "steady")?;
    ground.observed("web")?;
    ground.allowed("developer", &["delete", WEB, "--cascade=foreground"])?;
    ground.allowed_object("developer", &["create"], &manifest)?;
    ground.observed("web")?;
    // Made anew it counts as restarted just now.
    ground.refused(&["patch", WEB, "-p", &restart("2026-01-01T00:00:01Z")], &WORDS)?;
    let fresh = ground.create_labelled("fresh", "steady")?;
    ground.observed("fresh")?;
    let name = fresh["metadata"]["name"].as_str().unwrap_or_default();
    ground.allowed(
        "developer",
        &["patch", "deployment", name, "-p", &restart("2026-01-01T00:00:01Z")],
    )?;
    Ok(())
}

#[test]
fn a_restart_by_going_back_to_the_former_revision() -> Result<()> {
    let ground = restarted("undo")?;
    ground.rolled_out("web")?;
    ground.refused(&["rollout", "undo", WEB], &WORDS)?;
    ground.allowed("developer", &["rollout", "history", WEB])?;
    Ok(())
}
