//! What controllers do by themselves: Kubernetes' own, and SmartOps'.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use smartops_tests::programs::controller_api;

use crate::objects::{autoscaler, replicated};
use crate::stage::{NAMESPACE, Stage};
use crate::tape::{Tape, Wanted};

/// Records what the control plane did all the while, and what an autoscaler does.
pub(crate) fn play(stage: &Stage<'_>, tape: &mut Tape<'_>) -> Result<()> {
    let deployments = "kube-system:deployment-controller";
    for (name, wanted) in [
        (
            "the-deployment-controller-creates-a-replica-set",
            Wanted::new("CREATE", "replicasets.apps", "web-").by(deployments),
        ),
        (
            "the-deployment-controller-scales-a-replica-set",
            Wanted::new("UPDATE", "replicasets.apps", "web-").by(deployments),
        ),
        (
            "the-deployment-controller-writes-the-status",
            Wanted::new("UPDATE", "deployments.apps/status", "web").by(deployments),
        ),
        (
            "the-replica-set-controller-creates-a-pod",
            Wanted::new("CREATE", "pods", "web-").by("kube-system:replicaset-controller"),
        ),
        (
            "the-replica-set-controller-deletes-a-pod",
            Wanted::new("DELETE", "pods", "web-").by("kube-system:replicaset-controller"),
        ),
        (
            "the-scheduler-binds-a-pod",
            Wanted::new("CREATE", "pods/binding", "web-").by("system:kube-scheduler"),
        ),
    ] {
        tape.find(name, wanted)?;
    }
    stage.give("developer", &["apply"], &replicated("Deployment", "elastic", 1))?;
    stage.settle("elastic")?;
    let scale = Wanted::new("UPDATE", "deployments.apps/scale", "elastic")
        .by("kube-system:horizontal-pod-autoscaler");
    tape.record("the-autoscaler-scales-to-its-minimum", scale, || {
        stage.give("developer", &["create"], &autoscaler("v2", "elastic", 2, 5))
    })?;
    stage.settle("elastic")?;
    let collected = Wanted::new("DELETE", "replicasets.apps", "elastic-")
        .by("kube-system:generic-garbage-collector");
    tape.record("the-garbage-collector-deletes-a-replica-set", collected, || {
        stage.run("developer", &["delete", "deployment/elastic", "--wait=false"])
    })
}

/// Records what SmartOps' controller writes on an API call.
pub(crate) fn play_controller(stage: &Stage<'_>, tape: &mut Tape<'_>) -> Result<()> {
    let api = controller_api(stage.cluster)?;
    let call = |path: &str, more: Value| -> Result<()> {
        let mut body = json!({"namespace": NAMESPACE, "deployment": "remedied"});
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        let answer = api.post(path, &body)?;
        ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.text);
        Ok(())
    };
    stage.give("developer", &["apply"], &replicated("Deployment", "remedied", 2))?;
    stage.settle("remedied")?;
    let by = "smartops-system:smartops-orchestrator";
    let scale = Wanted::new("UPDATE", "deployments.apps/scale", "remedied").by(by);
    let update = Wanted::new("UPDATE", "deployments.apps", "remedied").by(by);
    tape.record("the-controller-tries-a-scale", scale.dry(), || {
        call("/v1/k8s/scale", json!({"replicas": 3, "dry_run": true}))
    })?;
    tape.record("the-controller-scales", scale, || call("/v1/k8s/scale", json!({"replicas": 3})))?;
    stage.settle("remedied")?;
    tape.record("the-controller-restarts", update, || call("/v1/k8s/restart", json!({})))?;
    stage.settle("remedied")?;
    stage.give("developer", &["apply"], &replicated("Deployment", "remedied-too", 2))?;
    stage.settle("remedied-too")?;
    let update = Wanted::new("UPDATE", "deployments.apps", "remedied-too").by(by);
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "remedied-too",
        "resources": {"requests": {"cpu": "150m"}}}]}}}});
    tape.record("the-controller-patches-resources", update, || {
        call("/v1/k8s/patch", json!({"deployment": "remedied-too", "patch": patch}))
    })
}
