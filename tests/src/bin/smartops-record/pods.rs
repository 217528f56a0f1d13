//! What people do to pods: bare ones, a Deployment's, and every subresource.

use anyhow::Result;
use serde_json::json;

use crate::objects::{object, template};
use crate::stage::{NAMESPACE, Stage};
use crate::tape::{Tape, Wanted};

/// Records all of it.
pub(crate) fn play(stage: &Stage<'_>, tape: &mut Tape<'_>) -> Result<()> {
    bare(stage, tape)?;
    owned(stage, tape)
}

fn bare(stage: &Stage<'_>, tape: &mut Tape<'_>) -> Result<()> {
    let pod = object("v1", "Pod", "lone", &template("lone")["spec"]);
    tape.record("kubectl-create-of-a-pod", Wanted::new("CREATE", "pods", "lone"), || {
        stage.give("developer", &["create"], &pod)
    })?;
    stage.run("admin", &["wait", "--for=condition=Ready", "pod/lone", "--timeout=60s"])?;
    let image = ["set", "image", "pod/lone", "lone=registry.example.com/shop/lone:2"];
    let update = Wanted::new("UPDATE", "pods", "lone").by("developer");
    tape.record("kubectl-set-image-of-a-pod", update, || stage.run("developer", &image))?;
    let adopted = ["label", "pod/lone", "app=owned", "--overwrite"];
    tape.record("kubectl-label-hands-a-pod-to-a-guarded-selector", update, || {
        stage.run("developer", &adopted)
    })?;
    let debug = json!({"spec": {"ephemeralContainers": [{"name": "shell",
        "image": "registry.example.com/tools/shell:1", "targetContainerName": "lone"}]}});
    let debug = debug.to_string();
    let subresource = |name| Wanted::new("UPDATE", name, "lone").by("admin");
    tape.record(
        "strategic-patch-adds-an-ephemeral-container",
        subresource("pods/ephemeralcontainers"),
        || {
            stage.run(
                "admin",
                &["patch", "pod/lone", "--subresource=ephemeralcontainers", "-p", &debug],
            )
        },
    )?;
    // What a kubelet reports where it can resize; nobody else plays that part here.
    let reported = json!([{"op": "add", "path": "/status/containerStatuses/0/resources",
        "value": {"requests": {"cpu": "100m", "memory": "64Mi"}}}]);
    let reported = reported.to_string();
    stage.run(
        "admin",
        &["patch", "pod/lone", "--subresource=status", "--type=json", "-p", &reported],
    )?;
    let resize = json!({"spec": {"containers": [{"name": "lone", "resources": {"requests": {"cpu": "200m"}}}]}});
    let resize = resize.to_string();
    tape.record("strategic-patch-resizes-a-pod", subresource("pods/resize"), || {
        stage.run("admin", &["patch", "pod/lone", "--subresource=resize", "-p", &resize])
    })?;
    let connect = |name| Wanted::new("CONNECT", name, "lone");
    tape.record("kubectl-exec", connect("pods/exec"), || {
        stage.attempt("developer", &["exec", "lone", "--", "true"])
    })?;
    tape.record("kubectl-attach", connect("pods/attach"), || {
        stage.attempt("developer", &["attach", "lone"])
    })?;
    let forward = format!("/api/v1/namespaces/{NAMESPACE}/pods/lone/portforward?ports=8080");
    tape.record("a-port-forward", connect("pods/portforward"), || {
        stage.attempt("developer", &["get", "--raw", &forward])
    })?;
    tape.record(
        "kubectl-delete-of-a-pod",
        Wanted::new("DELETE", "pods", "lone").by("developer"),
        || stage.run("developer", &["delete", "pod/lone", "--wait=false"]),
    )
}

fn owned(stage: &Stage<'_>, tape: &mut Tape<'_>) -> Result<()> {
    stage.run("developer", &["scale", "deployment/owned", "--replicas=2"])?;
    stage.settle("owned")?;
    let names = stage.names("pods", "app=owned")?;
    let (first, last) =
        (names.first().cloned().unwrap_or_default(), names.last().cloned().unwrap_or_default());
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"namespace": NAMESPACE, "name": first}});
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{first}/eviction");
    tape.record(
        "an-eviction-of-a-deployments-pod",
        Wanted::new("CREATE", "pods/eviction", "owned-"),
        || stage.give("developer", &["create", "--raw", &path], &eviction),
    )?;
    let delete = Wanted::new("DELETE", "pods", "owned-").by("developer");
    tape.record("kubectl-delete-of-a-deployments-pod", delete, || {
        stage.run("developer", &["delete", "pod", &last, "--wait=false"])
    })?;
    stage.settle("owned")
}
