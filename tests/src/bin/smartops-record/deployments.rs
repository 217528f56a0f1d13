//! What people do to a Deployment: every command and every kind of patch.

use anyhow::Result;
use serde_json::json;

use crate::objects::{large_deployment, replicated};
use crate::stage::{NAMESPACE, Stage};
use crate::tape::{Tape, Wanted};

const WEB: &str = "deployment/web";
const UPDATE: Wanted<'_> = Wanted::new("UPDATE", "deployments.apps", "web");
const SCALE: Wanted<'_> = Wanted::new("UPDATE", "deployments.apps/scale", "web");

/// Records all of it.
pub(crate) fn play(stage: &Stage<'_>, tape: &mut Tape<'_>) -> Result<()> {
    create_and_apply(stage, tape)?;
    commands(stage, tape)?;
    scales(stage, tape)?;
    patches(stage, tape)?;
    large(stage, tape)?;
    deletes(stage, tape)
}

fn create_and_apply(stage: &Stage<'_>, tape: &mut Tape<'_>) -> Result<()> {
    let mut web = replicated("Deployment", "web", 3);
    let create = Wanted::new("CREATE", "deployments.apps", "web");
    let apply = ["apply"];
    tape.record("kubectl-apply-creates-a-deployment", create, || {
        stage.give("developer", &apply, &web)
    })?;
    stage.settle("web")?;
    web["spec"]["template"]["spec"]["containers"][0]["env"] =
        json!([{"name": "MODE", "value": "fast"}]);
    tape.record("kubectl-apply-adds-a-variable", UPDATE.by("developer"), || {
        stage.give("developer", &apply, &web)
    })?;
    stage.settle("web")?;
    let bare = {
        let mut bare = replicated("Deployment", "bare", 1);
        if let Some(spec) = bare["spec"].as_object_mut() {
            spec.remove("replicas");
        }
        bare
    };
    let create = Wanted::new("CREATE", "deployments.apps", "bare");
    let serverside = ["apply", "--server-side", "--force-conflicts"];
    tape.record("server-side-apply-creates-a-deployment-without-a-number", create, || {
        stage.give("developer", &serverside, &bare)
    })?;
    stage.settle("bare")?;
    let mut again = bare.clone();
    again["spec"]["template"]["spec"]["containers"][0]["image"] =
        json!("registry.example.com/shop/bare:1.1.0");
    let update = Wanted::new("UPDATE", "deployments.apps", "bare").by("developer");
    tape.record("server-side-apply-changes-the-image", update, || {
        stage.give("developer", &serverside, &again)
    })?;
    stage.settle("bare")
}

fn commands(stage: &Stage<'_>, tape: &mut Tape<'_>) -> Result<()> {
    let by_person = UPDATE.by("developer");
    let commands: [(&str, &[&str]); 9] = [
        ("kubectl-set-image", &["set", "image", WEB, "web=registry.example.com/shop/web:1.1.0"]),
        ("kubectl-rollout-restart", &["rollout", "restart", WEB]),
        ("kubectl-rollout-undo", &["rollout", "undo", WEB]),
        ("kubectl-set-env", &["set", "env", WEB, "MODE=slow"]),
        ("kubectl-set-resources", &["set", "resources", WEB, "--limits=cpu=500m,memory=256Mi"]),
        ("kubectl-annotate", &["annotate", WEB, "example.com/note=checked"]),
        ("kubectl-label", &["label", WEB, "team=shop"]),
        ("kubectl-rollout-pause", &["rollout", "pause", WEB]),
        ("kubectl-rollout-resume", &["rollout", "resume", WEB]),
    ];
    for (name, command) in commands {
        tape.record(name, by_person, || stage.run("developer", command))?;
        if !name.ends_with("pause") {
            stage.settle("web")?;
        }
    }
    let dry = ["rollout", "restart", WEB];
    let patch = json!({"spec": {"template": {"metadata": {"annotations":
        {"kubectl.kubernetes.io/restartedAt": "2026-02-02T00:00:00Z"}}}}});
    let patch = patch.to_string();
    let dry_patch = ["patch", WEB, "--dry-run=server", "-p", &patch];
    tape.record("dry-run-of-a-restart", by_person.dry(), || stage.run("developer", &dry_patch))?;
    tape.record("an-agent-restarts", UPDATE.by("agent"), || stage.run("agent", &dry))?;
    stage.settle("web")
}

fn scales(stage: &Stage<'_>, tape: &mut Tape<'_>) -> Result<()> {
    for (name, replicas) in [
        ("kubectl-scale-up", "--replicas=5"),
        ("kubectl-scale-down", "--replicas=2"),
        ("kubectl-scale-to-zero", "--replicas=0"),
        ("kubectl-scale-from-zero", "--replicas=3"),
    ] {
        tape.record(name, SCALE, || stage.run("developer", &["scale", WEB, replicas]))?;
        stage.settle("web")?;
    }
    let patch =
        ["patch", WEB, "--subresource=scale", "--type=merge", "-p", r#"{"spec":{"replicas":4}}"#];
    tape.record("merge-patch-of-the-scale", SCALE, || stage.run("developer", &patch))?;
    stage.settle("web")?;
    let dry = ["scale", WEB, "--replicas=6", "--dry-run=server"];
    tape.record("dry-run-of-a-scale", SCALE.dry(), || stage.run("developer", &dry))?;
    let agent = ["scale", WEB, "--replicas=5"];
    tape.record("an-agent-scales", SCALE.by("agent"), || stage.run("agent", &agent))?;
    stage.settle("web")?;
    let impersonated =
        ["scale", WEB, "--replicas=4", "--as=system:serviceaccount:smartops-dev:agent"];
    tape.record("an-admin-scales-impersonating-the-agent", SCALE.by("agent").whole(), || {
        stage.run("admin", &impersonated)
    })?;
    stage.settle("web")
}

fn patches(stage: &Stage<'_>, tape: &mut Tape<'_>) -> Result<()> {
    let by_person = UPDATE.by("developer");
    let fields = json!({"metadata": {"managedFields": [{}]}}).to_string();
    let sidecar = json!({"spec": {"template": {"spec": {"containers":
        [{"name": "sidecar", "image": "registry.example.com/shop/sidecar:1.0.0"}]}}}});
    let init = json!({"spec": {"template": {"spec": {"initContainers":
        [{"name": "init", "image": "registry.example.com/shop/init:1.0.0"}]}}}});
    let volume = json!({"spec": {"template": {"spec": {"volumes": [{"name": "model",
        "image": {"reference": "registry.example.com/shop/model:1.0.0"}}]}}}});
    let (sidecar, init, volume) = (sidecar.to_string(), init.to_string(), volume.to_string());
    let reorder = json!([{"op": "move", "from": "/spec/template/spec/containers/0",
        "path": "/spec/template/spec/containers/1"}]);
    let reorder = reorder.to_string();
    let patches: [(&str, &str, &str); 10] = [
        ("merge-patch-of-replicas", "merge", r#"{"spec":{"replicas":5}}"#),
        ("strategic-patch-of-replicas", "strategic", r#"{"spec":{"replicas":4}}"#),
        (
            "json-patch-of-replicas",
            "json",
            r#"[{"op":"replace","path":"/spec/replicas","value":2}]"#,
        ),
        ("json-patch-removes-replicas", "json", r#"[{"op":"remove","path":"/spec/replicas"}]"#),
        (
            "merge-patch-sets-replicas-to-null",
            "merge",
            r#"{"spec":{"replicas":null,"minReadySeconds":1}}"#,
        ),
        ("merge-patch-of-replicas-to-zero", "merge", r#"{"spec":{"replicas":0}}"#),
        ("strategic-patch-adds-a-container", "strategic", &sidecar),
        ("json-patch-reorders-containers", "json", &reorder),
        ("strategic-patch-adds-an-init-container", "strategic", &init),
        ("strategic-patch-adds-an-image-volume", "strategic", &volume),
    ];
    for (name, kind, patch) in patches {
        tape.record(name, by_person, || {
            stage.run("developer", &["patch", WEB, "--type", kind, "-p", patch])
        })?;
        stage.settle("web")?;
    }
    tape.record("merge-patch-wipes-managed-fields", by_person.whole(), || {
        stage.run("developer", &["patch", WEB, "--type=merge", "-p", &fields])
    })?;
    let finalizer = r#"{"metadata":{"finalizers":["example.com/keep"]}}"#;
    tape.record("merge-patch-adds-a-finalizer", by_person, || {
        stage.run("developer", &["patch", WEB, "--type=merge", "-p", finalizer])
    })?;
    // Of one that was never restarted: a restart's time is in the names of what comes of it.
    let status = r#"{"status":{"observedGeneration":1}}"#;
    let patch = ["patch", "deployment/bare", "--subresource=status", "--type=merge", "-p", status];
    let update = Wanted::new("UPDATE", "deployments.apps/status", "bare").by("admin");
    tape.record("merge-patch-of-the-status", update, || stage.run("admin", &patch))?;
    stage.settle("bare")
}

fn large(stage: &Stage<'_>, tape: &mut Tape<'_>) -> Result<()> {
    stage.give("developer", &["apply", "--server-side"], &large_deployment())?;
    stage.settle("checkout")?;
    let update = Wanted::new("UPDATE", "deployments.apps", "checkout").by("developer");
    let image = [
        "set",
        "image",
        "deployment/checkout",
        "checkout=registry.example.com/shop/checkout:4.3.0",
    ];
    tape.record("kubectl-set-image-of-a-large-deployment", update.whole(), || {
        stage.run("developer", &image)
    })?;
    stage.settle("checkout")?;
    let variable = ["set", "env", "deployment/checkout", "CHECKOUT_FEATURE_00=disabled"];
    tape.record("kubectl-set-env-of-a-large-deployment", update, || {
        stage.run("developer", &variable)
    })?;
    let replicas = r#"{"spec":{"replicas":4}}"#;
    tape.record("merge-patch-of-replicas-of-a-large-deployment", update, || {
        stage.run("developer", &["patch", "deployment/checkout", "--type=merge", "-p", replicas])
    })?;
    stage.settle("checkout")
}

fn deletes(stage: &Stage<'_>, tape: &mut Tape<'_>) -> Result<()> {
    let delete = Wanted::new("DELETE", "deployments.apps", "web");
    tape.record("kubectl-delete-of-a-deployment-with-a-finalizer", delete, || {
        stage.run("developer", &["delete", WEB, "--wait=false"])
    })?;
    let release = r#"{"metadata":{"finalizers":null}}"#;
    tape.record("the-last-finalizer-lets-go", UPDATE.by("developer"), || {
        stage.run("developer", &["patch", WEB, "--type=merge", "-p", release])
    })?;
    tape.record(
        "kubectl-delete-of-a-deployment",
        Wanted::new("DELETE", "deployments.apps", "bare"),
        || stage.run("developer", &["delete", "deployment/bare", "--wait=false"]),
    )?;
    let all =
        format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments?labelSelector=app%3Dcheckout");
    tape.record(
        "a-deletecollection-of-deployments",
        Wanted::new("DELETE", "deployments.apps", "checkout"),
        || stage.run("admin", &["delete", "--raw", &all]),
    )
}
