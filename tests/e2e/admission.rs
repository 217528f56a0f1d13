//! Who may write what, through kubectl, as each identity: every denial beside its nearest allowed twin.

use anyhow::Result;
use serde_json::{Value, json};

use crate::scene::Scene;

const WEB: &str = "deployment/web";
const IMAGE: &str = "/spec/template/spec/containers/0/image";

/// What `kubectl rollout restart` sends, at a time of our choosing: kubectl itself refuses two in a second.
fn restart(at: &str) -> String {
    let annotations = json!({"kubectl.kubernetes.io/restartedAt": at});
    json!({"spec": {"template": {"metadata": {"annotations": annotations}}}}).to_string()
}

/// The object with another value at a JSON pointer that exists.
fn with(object: &Value, pointer: &str, value: Value) -> Value {
    let mut object = object.clone();
    if let Some(slot) = object.pointer_mut(pointer) {
        *slot = value;
    }
    object
}

#[test]
fn a_developer_scales_within_the_bounds_and_not_beyond() -> Result<()> {
    let ns = Scene::new("dev-scale")?;
    ns.deploy("web", 3)?;
    ns.allowed("developer", &["scale", WEB, "--replicas=5"])?;
    ns.denied("developer", &["scale", WEB, "--replicas=50"], &["smartops-baseline", "10"])?;
    ns.allowed("developer", &["scale", WEB, "--replicas=10"])?;
    ns.denied("developer", &["scale", WEB, "--replicas=11"], &["smartops-baseline"])?;
    ns.denied("developer", &["scale", WEB, "--replicas=0"], &["smartops-baseline"])?;
    ns.allowed("developer", &["scale", WEB, "--replicas=1"])?;
    assert_eq!(ns.replicas("web")?, 1);
    Ok(())
}

#[test]
fn the_main_resource_is_judged_like_its_scale() -> Result<()> {
    let ns = Scene::new("dev-main")?;
    ns.deploy("web", 3)?;
    for (replicas, pass) in [(10, true), (11, false), (0, false), (1, true)] {
        let patch = format!(r#"{{"spec":{{"replicas":{replicas}}}}}"#);
        for kind in ["merge", "strategic"] {
            let args = ["patch", WEB, "--type", kind, "-p", patch.as_str()];
            if pass {
                ns.allowed("developer", &args)?;
            } else {
                ns.denied("developer", &args, &["replicas"])?;
            }
        }
        let json = format!(r#"[{{"op":"replace","path":"/spec/replicas","value":{replicas}}}]"#);
        let args = ["patch", WEB, "--type", "json", "-p", json.as_str()];
        if pass {
            ns.allowed("developer", &args)?;
        } else {
            ns.denied("developer", &args, &["replicas"])?;
        }
    }
    Ok(())
}

#[test]
fn a_developers_everyday_commands_pass() -> Result<()> {
    let ns = Scene::new("dev-everyday")?;
    let manifest = ns.deploy("web", 3)?;
    let file = ns.file(&manifest)?;
    ns.allowed("developer", &["set", "image", WEB, "web=registry.example.com/web:2"])?;
    ns.allowed("developer", &["rollout", "restart", WEB])?;
    ns.rolled_out("web")?;
    ns.allowed("developer", &["rollout", "undo", WEB])?;
    ns.allowed("developer", &["apply", "-f", &file])?;
    ns.allowed("developer", &["apply", "--server-side", "--force-conflicts", "-f", &file])?;
    // kubectl reads before it replaces, and the Deployment controller writes while a rollout is on its way.
    ns.rolled_out("web")?;
    ns.allowed("developer", &["replace", "-f", &file])?;
    ns.allowed("developer", &["label", WEB, "team=a"])?;
    ns.allowed("developer", &["delete", WEB])?;
    Ok(())
}

#[test]
fn every_way_of_writing_fifty_replicas_is_denied() -> Result<()> {
    let ns = Scene::new("dev-fifty")?;
    let manifest = ns.deploy("web", 3)?;
    let fifty = ns.file(&with(&manifest, "/spec/replicas", json!(50)))?;
    let words = ["smartops-baseline", "50"];
    ns.denied("developer", &["apply", "-f", &fifty], &words)?;
    ns.denied("developer", &["apply", "--server-side", "--force-conflicts", "-f", &fifty], &words)?;
    ns.denied("developer", &["replace", "-f", &fifty], &words)?;
    let other =
        with(&with(&manifest, "/spec/replicas", json!(50)), "/metadata/name", json!("other"));
    let other = ns.file(&other)?;
    ns.denied("developer", &["create", "-f", &other], &words)?;
    assert_eq!(ns.replicas("web")?, 3);
    Ok(())
}

#[test]
fn a_server_side_dry_run_is_judged_and_changes_nothing() -> Result<()> {
    let ns = Scene::new("dev-dry")?;
    ns.deploy("web", 3)?;
    ns.allowed("developer", &["scale", WEB, "--replicas=5", "--dry-run=server"])?;
    ns.denied("developer", &["scale", WEB, "--replicas=50", "--dry-run=server"], &["10"])?;
    assert_eq!(ns.replicas("web")?, 3);
    // A dry-run restart starts no cooldown: the real one passes, and only then one is refused.
    let (first, second) = (restart("2026-01-01T00:00:01Z"), restart("2026-01-01T00:00:02Z"));
    ns.allowed("agent", &["patch", WEB, "-p", &first, "--dry-run=server"])?;
    ns.allowed("agent", &["patch", WEB, "-p", &first])?;
    ns.denied("agent", &["patch", WEB, "-p", &second], &["cooldown", "retry in"])?;
    Ok(())
}

#[test]
fn an_autoscaler_is_judged_at_its_bounds() -> Result<()> {
    let ns = Scene::new("dev-hpa")?;
    ns.deploy("web", 3)?;
    ns.denied("developer", &["autoscale", WEB, "--min=1", "--max=50", "--cpu=80%"], &["50"])?;
    ns.allowed("developer", &["autoscale", WEB, "--min=1", "--max=10", "--cpu=80%"])?;
    let wider = r#"{"spec":{"maxReplicas":11}}"#;
    ns.denied("developer", &["patch", "hpa/web", "--type=merge", "-p", wider], &["11"])?;
    let narrower = r#"{"spec":{"maxReplicas":9}}"#;
    ns.allowed("developer", &["patch", "hpa/web", "--type=merge", "-p", narrower])?;
    Ok(())
}

#[test]
fn automation_scales_in_steps_of_two() -> Result<()> {
    let ns = Scene::new("agent-scale")?;
    ns.deploy("web", 3)?;
    ns.denied("agent", &["scale", WEB, "--replicas=6"], &["smartops-automation", "at most 2"])?;
    ns.allowed("agent", &["scale", WEB, "--replicas=5"])?;
    ns.denied("agent", &["scale", WEB, "--replicas=2"], &["at most 2"])?;
    ns.allowed("agent", &["scale", WEB, "--replicas=3"])?;
    ns.allowed("agent", &["scale", WEB, "--replicas=1"])?;
    ns.denied("agent", &["scale", WEB, "--replicas=0"], &["replicas"])?;
    ns.denied("agent", &["scale", WEB, "--replicas=50"], &["10"])?;
    Ok(())
}

#[test]
fn automation_restarts_once_and_is_told_how_long_to_wait() -> Result<()> {
    let ns = Scene::new("agent-restart")?;
    ns.deploy("web", 2)?;
    ns.allowed("agent", &["rollout", "restart", WEB])?;
    // What the client says of the time changes nothing, nor does wiping what it once said.
    let forged = restart("2001-01-01T00:00:00Z");
    ns.denied("agent", &["patch", WEB, "-p", &forged], &["cooldown", "retry in"])?;
    let wiped = r#"{"metadata":{"managedFields":[{}]},"spec":{"template":{"metadata":{"annotations":null}}}}"#;
    ns.denied("agent", &["patch", WEB, "--type=merge", "-p", wiped], &["cooldown"])?;
    // People are not bound by it.
    ns.allowed("developer", &["patch", WEB, "-p", &forged])?;
    Ok(())
}

#[test]
fn a_persons_restart_starts_automations_cooldown() -> Result<()> {
    let ns = Scene::new("agent-after-dev")?;
    ns.deploy("web", 2)?;
    ns.allowed("developer", &["rollout", "restart", WEB])?;
    ns.denied("agent", &["patch", WEB, "-p", &restart("2026-01-01T00:00:01Z")], &["cooldown"])?;
    // A scale is not a restart.
    ns.allowed("agent", &["scale", WEB, "--replicas=3"])?;
    Ok(())
}

#[test]
fn automation_touches_nothing_off_the_safelist() -> Result<()> {
    let ns = Scene::new("agent-paths")?;
    let manifest = ns.deploy("web", 2)?;
    ns.denied(
        "agent",
        &["set", "image", WEB, "web=registry.example.com/web:2"],
        &["images", "containers[web].image"],
    )?;
    for (patch, word) in [
        (
            r#"{"spec":{"template":{"spec":{"securityContext":{"runAsUser":0}}}}}"#,
            "securityContext",
        ),
        (
            r#"{"spec":{"template":{"spec":{"containers":[{"name":"web","securityContext":{"privileged":true}}]}}}}"#,
            "securityContext",
        ),
        (r#"{"spec":{"template":{"spec":{"nodeSelector":{"a":"b"}}}}}"#, "nodeSelector"),
        (r#"{"spec":{"template":{"spec":{"serviceAccountName":"admin"}}}}"#, "serviceAccountName"),
        (
            r#"{"spec":{"template":{"spec":{"hostAliases":[{"ip":"10.0.0.1","hostnames":["x"]}]}}}}"#,
            "hostAliases",
        ),
        (
            r#"{"spec":{"template":{"spec":{"tolerations":[{"operator":"Exists"}]}}}}"#,
            "tolerations",
        ),
        (r#"{"spec":{"template":{"spec":{"volumes":[{"name":"v","emptyDir":{}}]}}}}"#, "volumes"),
        (
            r#"{"spec":{"template":{"spec":{"containers":[{"name":"web","env":[{"name":"A","value":"hidden-value"}]}]}}}}"#,
            "env",
        ),
        (
            r#"{"spec":{"template":{"spec":{"initContainers":[{"name":"i","image":"x"}]}}}}"#,
            "images",
        ),
        (r#"{"spec":{"paused":true}}"#, "paused"),
        (r#"{"metadata":{"labels":{"team":"b"}}}"#, "metadata.labels"),
    ] {
        ns.denied("agent", &["patch", WEB, "-p", patch], &["smartops-automation", word])?;
    }
    let ran = ns.kubectl("agent", &["set", "env", WEB, "TOKEN=hidden-value"])?;
    assert!(
        !ran.succeeded && !ran.text().contains("hidden-value"),
        "a value leaked: {}",
        ran.text()
    );
    let image = ns.file(&with(&manifest, IMAGE, json!("web:9")))?;
    ns.denied("agent", &["replace", "-f", &image], &["images"])?;
    // The twin: what is on the safelist passes.
    let resources = r#"{"spec":{"template":{"spec":{"containers":[{"name":"web","resources":{"limits":{"cpu":"2"}}}]}}}}"#;
    ns.allowed("agent", &["patch", WEB, "-p", resources])?;
    Ok(())
}

#[test]
fn automation_may_do_only_what_a_policy_names() -> Result<()> {
    let ns = Scene::new("agent-unnamed")?;
    let manifest = ns.deploy("web", 2)?;
    let pod = ns.pod()?;
    let other = ns.file(&with(&manifest, "/metadata/name", json!("other")))?;
    ns.denied("agent", &["create", "-f", &other], &["unnamed"])?;
    ns.denied("agent", &["delete", WEB], &["unnamed"])?;
    ns.denied("agent", &["delete", "pod", &pod], &["unnamed"])?;
    ns.denied("agent", &["create", "configmap", "c", "--from-literal=a=b"], &["unnamed"])?;
    ns.denied("agent", &["create", "secret", "generic", "s", "--from-literal=a=b"], &["unnamed"])?;
    ns.denied("agent", &["exec", &pod, "--", "true"], &["unnamed"])?;
    ns.denied("agent", &["autoscale", WEB, "--min=1", "--max=5", "--cpu=80%"], &["unnamed"])?;
    // The twins, by a person.
    ns.allowed("developer", &["create", "configmap", "c", "--from-literal=a=b"])?;
    ns.allowed("developer", &["delete", WEB])?;
    Ok(())
}

#[test]
fn automations_rollback_is_a_template_change_like_any_other() -> Result<()> {
    let ns = Scene::new("agent-undo")?;
    ns.deploy("web", 2)?;
    ns.allowed("developer", &["set", "image", WEB, "web=registry.example.com/web:2"])?;
    ns.rolled_out("web")?;
    ns.denied("agent", &["rollout", "undo", WEB], &["images"])?;
    ns.allowed("developer", &["rollout", "undo", WEB])?;
    Ok(())
}

#[test]
fn an_honest_gitops_reapply_after_a_restart_goes_through() -> Result<()> {
    let ns = Scene::new("gitops")?;
    let manifest = ns.manifest("web", 2);
    let file = ns.file(&manifest)?;
    ns.allowed("developer", &["apply", "--server-side", "-f", &file])?;
    ns.rolled_out("web")?;
    ns.allowed("agent", &["rollout", "restart", WEB])?;
    ns.allowed("developer", &["apply", "--server-side", "-f", &file])?;
    // An agent that applies what is already there changes nothing, so nothing forbids it.
    ns.allowed("agent", &["apply", "--server-side", "--field-manager=kubectl", "-f", &file])?;
    let jsonpath = "jsonpath={.spec.template.metadata.annotations}";
    let restarted = ns.allowed("developer", &["get", WEB, "-o", jsonpath])?;
    assert!(restarted.contains("restartedAt"), "the restart was lost: {restarted}");
    Ok(())
}

#[test]
fn the_controllers_own_token_is_judged_like_a_strangers() -> Result<()> {
    let ns = Scene::new("controller-token")?;
    let manifest = ns.deploy("web", 3)?;
    ns.denied("controller", &["scale", WEB, "--replicas=50"], &["smartops-automation"])?;
    ns.denied("controller", &["set", "image", WEB, "web=registry.example.com/web:2"], &["images"])?;
    let privileged = r#"{"spec":{"template":{"spec":{"securityContext":{"runAsUser":0}}}}}"#;
    ns.denied("controller", &["patch", WEB, "-p", privileged], &["securityContext"])?;
    // A PUT is not even in its rights.
    let file = ns.file(&with(&manifest, IMAGE, json!("web:9")))?;
    let put = ns.kubectl("controller", &["replace", "-f", &file])?;
    assert!(!put.succeeded && put.text().contains("cannot update"), "{}", put.text());
    // Nor is what any other automation may do, unless a Remediation announced it.
    let four = ["scale", WEB, "--replicas=4"];
    ns.denied("controller", &four, &["smartops-controller", "rule warrant"])?;
    ns.allowed("agent", &four)?;
    Ok(())
}

#[test]
fn an_object_already_over_the_limit_may_be_edited_and_scaled_towards_it() -> Result<()> {
    let ns = Scene::new("over-limit")?;
    // A policy that arrives when the object is already there.
    ns.deploy("web", 10)?;
    ns.limit_replicas(&json!({"max": 4}))?;
    ns.allowed("developer", &["label", WEB, "team=a"])?;
    ns.allowed("developer", &["scale", WEB, "--replicas=8"])?;
    ns.denied("developer", &["scale", WEB, "--replicas=9"], &[ns.name()])?;
    ns.allowed("developer", &["scale", WEB, "--replicas=4"])?;
    ns.denied("developer", &["scale", WEB, "--replicas=5"], &[ns.name(), "4"])?;
    Ok(())
}

#[test]
fn a_clamp_brings_the_number_to_the_limit_and_says_so() -> Result<()> {
    let ns = Scene::new("clamp")?;
    ns.deploy("web", 2)?;
    ns.limit_replicas(&json!({"max": 4, "onViolation": "Clamp"}))?;
    let scaled = ns.kubectl("developer", &["scale", WEB, "--replicas=9"])?;
    assert!(scaled.succeeded && scaled.text().contains("Warning"), "{}", scaled.text());
    assert_eq!(ns.replicas("web")?, 4);
    ns.allowed("developer", &["scale", WEB, "--replicas=1"])?;
    let nine = r#"{"spec":{"replicas":9}}"#;
    let patched = ns.kubectl("developer", &["patch", WEB, "--type=merge", "-p", nine])?;
    assert!(patched.succeeded && patched.text().contains("Warning"), "{}", patched.text());
    assert_eq!(ns.replicas("web")?, 4);
    // What another policy denies is not clamped into being allowed.
    ns.denied("developer", &["scale", WEB, "--replicas=50"], &["smartops-baseline"])?;
    ns.allowed("developer", &["scale", WEB, "--replicas=3"])?;
    Ok(())
}
