//! What automation might do instead: other objects, other people's policies, its own rights.

use anyhow::Result;
use serde_json::json;

use super::ground::Ground;
use crate::scene::Scene;

const WEB: &str = "deployment/web";

/// Automation is refused what a person may do.
fn only_people(scene: &Scene, arguments: &[&str]) -> Result<()> {
    scene.denied("agent", arguments, &["unnamed"])?;
    let controller = scene.kubectl("controller", arguments)?;
    assert!(!controller.succeeded, "controller {arguments:?}: {}", controller.text());
    scene.allowed("developer", arguments)?;
    Ok(())
}

#[test]
fn a_secret_written_by_automation() -> Result<()> {
    only_people(&Scene::new("secret")?, &["create", "secret", "generic", "s", "--from-literal=a=b"])
}

#[test]
fn a_config_map_written_by_automation() -> Result<()> {
    only_people(&Scene::new("configmap")?, &["create", "configmap", "c", "--from-literal=a=b"])
}

#[test]
fn a_pod_made_by_automation() -> Result<()> {
    only_people(&Scene::new("pod")?, &["run", "tool", "--image=registry.smartops.dev/tool:1"])
}

#[test]
fn a_job_made_by_automation() -> Result<()> {
    only_people(
        &Scene::new("job-by")?,
        &["create", "job", "tool", "--image=registry.smartops.dev/tool:1"],
    )
}

#[test]
fn a_disruption_budget_made_by_automation() -> Result<()> {
    only_people(
        &Scene::new("pdb")?,
        &["create", "pdb", "p", "--selector=app=web", "--min-available=1"],
    )
}

#[test]
fn a_service_that_automation_turns_elsewhere() -> Result<()> {
    let scene = Scene::new("service")?;
    scene.allowed("developer", &["create", "service", "clusterip", "web", "--tcp=80:80"])?;
    only_people(&scene, &["set", "selector", "service/web", "app=other"])
}

#[test]
fn an_ingress_made_by_automation() -> Result<()> {
    only_people(
        &Scene::new("ingress")?,
        &["create", "ingress", "web", "--rule=web.example.com/=web:80"],
    )
}

#[test]
fn a_role_binding_made_by_automation() -> Result<()> {
    let scene = Scene::new("rbac")?;
    let binding = ["create", "rolebinding", "b", "--clusterrole=view", "--user=agent"];
    scene.denied("meddler", &binding, &["unnamed"])?;
    scene.allowed("owner", &binding)?;
    Ok(())
}

#[test]
fn a_token_for_another_account_made_by_automation() -> Result<()> {
    let scene = Scene::new("token")?;
    let token = ["create", "token", "default"];
    scene.denied("meddler", &token, &["unnamed"])?;
    scene.allowed("owner", &token)?;
    Ok(())
}

#[test]
fn a_finalizer_added_by_automation() -> Result<()> {
    let ground = Ground::with_web("finalizer")?;
    let patch =
        ["patch", WEB, "--type=merge", "-p", r#"{"metadata":{"finalizers":["example.com/keep"]}}"#];
    ground.refused_to_automation(&patch)?;
    ground.allowed("developer", &patch)?;
    ground.allowed(
        "developer",
        &["patch", WEB, "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#],
    )?;
    Ok(())
}

#[test]
fn an_owner_reference_added_by_automation() -> Result<()> {
    let ground = Ground::with_web("owner-ref")?;
    let owned = json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "gone",
        "uid": "00000000-0000-4000-8000-000000000000"}]}});
    // The garbage collector would delete what names an owner that does not exist.
    ground.refused_to_automation(&["patch", WEB, "--type=merge", "-p", &owned.to_string()])?;
    ground.observed("web")?;
    ground.allowed("agent", &["scale", WEB, "--replicas=4"])?;
    Ok(())
}

#[test]
fn a_deployment_made_or_deleted_by_automation() -> Result<()> {
    let ground = Ground::with_web("create-delete")?;
    ground.refused_to_automation(&["delete", WEB, "--wait=false"])?;
    let other = ground.file(&ground.manifest("other", 1))?;
    ground.refused_to_automation(&["create", "-f", &other])?;
    ground.allowed("developer", &["create", "-f", &other])?;
    ground.allowed("developer", &["delete", WEB, "--wait=false"])?;
    Ok(())
}

#[test]
fn a_policy_loosened_by_automation() -> Result<()> {
    let ground = Ground::new("policy")?;
    let looser = r#"{"spec":{"mode":"Audit"}}"#;
    let patch = ["patch", "guardrailpolicy/smartops-baseline", "--type=merge", "-p", looser];
    ground.denied("meddler", &[&patch[..], &["--dry-run=server"]].concat(), &[])?;
    ground.denied("meddler", &patch, &[])?;
    let controller = ground.kubectl("controller", &patch)?;
    assert!(!controller.succeeded, "{}", controller.text());
    ground.allowed("operator", &[&patch[..], &["--dry-run=server"]].concat())?;
    Ok(())
}

#[test]
fn a_policy_of_automations_own_that_names_what_it_wants() -> Result<()> {
    let ground = Ground::new("own-policy")?;
    let policy = json!({"apiVersion": "smartops.dev/v1alpha1", "kind": "GuardrailPolicy",
        "metadata": {"name": format!("own-{}", ground.name())},
        "spec": {"match": {"kinds": [{"resource": "secrets"}], "operations": ["CREATE"],
            "subjects": {"include": {"automation": true}}}, "rules": {}}});
    let file = ground.file(&policy)?;
    ground.denied("meddler", &["create", "-f", &file], &[])?;
    ground.allowed("operator", &["create", "--dry-run=server", "-f", &file])?;
    Ok(())
}

#[test]
fn a_configuration_in_which_automation_calls_itself_a_person() -> Result<()> {
    let ground = Ground::new("config")?;
    let patch = [
        "patch",
        "smartopsconfig/default",
        "--type=merge",
        "-p",
        r#"{"spec":{"automation":null}}"#,
    ];
    ground.denied("meddler", &patch, &[])?;
    let controller = ground.kubectl("controller", &patch)?;
    assert!(!controller.succeeded, "{}", controller.text());
    ground.allowed("operator", &[&patch[..], &["--dry-run=server"]].concat())?;
    Ok(())
}
