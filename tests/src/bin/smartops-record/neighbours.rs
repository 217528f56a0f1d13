//! What people do to a workload's neighbours: its ReplicaSets, its autoscaler, its namespace; and to what only looks
//! like one, a ReplicationController and a custom resource with a scale.

use anyhow::Result;
use serde_json::json;

use crate::objects::{autoscaler, definition, object, replicated, template};
use crate::stage::{NAMESPACE, Stage};
use crate::tape::{Tape, Wanted};

/// Records all of it.
pub(crate) fn play(stage: &Stage<'_>, tape: &mut Tape<'_>) -> Result<()> {
    replica_sets(stage, tape)?;
    autoscalers(stage, tape)?;
    custom(stage, tape)?;
    let label = ["label", "namespace", NAMESPACE, "guarded=no", "--overwrite"];
    tape.record(
        "an-admin-relabels-the-namespace",
        Wanted::new("UPDATE", "namespaces", NAMESPACE).by("admin"),
        || stage.run("admin", &label),
    )
}

fn replica_sets(stage: &Stage<'_>, tape: &mut Tape<'_>) -> Result<()> {
    stage.give("developer", &["apply"], &replicated("Deployment", "owned", 1))?;
    stage.settle("owned")?;
    let names = stage.names("replicasets", "app=owned")?;
    let set = format!("replicaset/{}", names.first().map_or("", String::as_str));
    let image = r#"{"spec":{"template":{"spec":{"containers":[{"name":"owned","image":"registry.example.com/shop/owned:9"}]}}}}"#;
    let orphan = r#"{"metadata":{"ownerReferences":null}}"#;
    tape.record_all(
        stage,
        &[
            (
                "kubectl-scale-of-an-owned-replica-set",
                "UPDATE",
                "replicasets.apps/scale",
                "owned-",
                &["scale", &set, "--replicas=2"],
            ),
            (
                "strategic-patch-of-an-owned-replica-sets-image",
                "UPDATE",
                "replicasets.apps",
                "owned-",
                &["patch", &set, "-p", image],
            ),
            (
                "merge-patch-takes-an-owned-replica-set-from-its-owner",
                "UPDATE",
                "replicasets.apps",
                "owned-",
                &["patch", &set, "--type=merge", "-p", orphan],
            ),
            (
                "kubectl-delete-of-an-owned-replica-set",
                "DELETE",
                "replicasets.apps",
                "owned-",
                &["delete", &set, "--wait=false"],
            ),
        ],
    )?;
    let bare = replicated("ReplicaSet", "loose", 1);
    tape.record(
        "kubectl-create-of-a-bare-replica-set",
        Wanted::new("CREATE", "replicasets.apps", "loose"),
        || stage.give("developer", &["create"], &bare),
    )?;
    let controller = object(
        "v1",
        "ReplicationController",
        "old",
        &json!({"replicas": 1, "selector": {"app": "old"}, "template": template("old")}),
    );
    let create = Wanted::new("CREATE", "replicationcontrollers", "old");
    tape.record("kubectl-create-of-a-replication-controller", create, || {
        stage.give("developer", &["create"], &controller)
    })?;
    tape.record_all(
        stage,
        &[
            (
                "kubectl-scale-of-a-replication-controller",
                "UPDATE",
                "replicationcontrollers/scale",
                "old",
                &["scale", "rc/old", "--replicas=2"],
            ),
            (
                "merge-patch-of-a-replication-controllers-replicas",
                "UPDATE",
                "replicationcontrollers",
                "old",
                &["patch", "rc/old", "--type=merge", "-p", r#"{"spec":{"replicas":3}}"#],
            ),
            (
                "kubectl-delete-of-a-replication-controller",
                "DELETE",
                "replicationcontrollers",
                "old",
                &["delete", "rc/old", "--wait=false"],
            ),
        ],
    )
}

fn autoscalers(stage: &Stage<'_>, tape: &mut Tape<'_>) -> Result<()> {
    let resource = "horizontalpodautoscalers.autoscaling";
    for version in ["v1", "v2"] {
        let name = format!("far-{version}");
        let created = format!("kubectl-create-of-an-autoscaler-{version}");
        tape.record(&created, Wanted::new("CREATE", resource, &name), || {
            stage.give("developer", &["create"], &autoscaler(version, "far", 2, 5))
        })?;
        let widened = format!("kubectl-replace-widens-an-autoscaler-{version}");
        tape.record(&widened, Wanted::new("UPDATE", resource, &name).by("developer"), || {
            stage.give("developer", &["replace"], &autoscaler(version, "far", 1, 20))
        })?;
    }
    tape.record_all(
        stage,
        &[
            (
                "kubectl-autoscale",
                "CREATE",
                resource,
                "owned",
                &["autoscale", "deployment/owned", "--min=1", "--max=4", "--cpu=80%"],
            ),
            (
                "kubectl-delete-of-an-autoscaler",
                "DELETE",
                resource,
                "owned",
                &["delete", "hpa/owned"],
            ),
        ],
    )
}

fn custom(stage: &Stage<'_>, tape: &mut Tape<'_>) -> Result<()> {
    let admin = stage.cluster.kubectl("admin");
    admin.apply_all(&[definition()])?;
    admin
        .run(&["wait", "--for=condition=Established", "crd/caches.example.com", "--timeout=60s"])?
        .ok()?;
    let cache = object("example.com/v1", "Cache", "hot", &json!({"size": 2, "flavour": "plain"}));
    let (object, scale) = ("caches.example.com", "caches.example.com/scale");
    tape.record(
        "kubectl-create-of-a-custom-resource",
        Wanted::new("CREATE", object, "hot"),
        || stage.give("admin", &["create"], &cache),
    )?;
    let commands: [(&str, Wanted<'_>, &[&str]); 4] = [
        (
            "kubectl-scale-of-a-custom-resource",
            Wanted::new("UPDATE", scale, "hot"),
            &["scale", "caches/hot", "--replicas=3"],
        ),
        (
            "kubectl-scale-of-a-custom-resource-to-zero",
            Wanted::new("UPDATE", scale, "hot"),
            &["scale", "caches/hot", "--replicas=0"],
        ),
        (
            "merge-patch-of-a-custom-resources-size",
            Wanted::new("UPDATE", object, "hot"),
            &["patch", "caches/hot", "--type=merge", "-p", r#"{"spec":{"size":50}}"#],
        ),
        (
            "merge-patch-removes-a-custom-resources-size",
            Wanted::new("UPDATE", object, "hot"),
            &["patch", "caches/hot", "--type=merge", "-p", r#"{"spec":{"size":null}}"#],
        ),
    ];
    for (name, wanted, command) in commands {
        tape.record(name, wanted, || stage.run("admin", command))?;
    }
    Ok(())
}
