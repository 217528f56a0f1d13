//! The writes of the table: what each begins with, how it is sent, what goes beyond a limit and what stays within.

use serde_json::{Value, json};
use smartops_tests::sample;

/// One write, of which there are two: one beyond a limit, one within.
pub(super) struct Write {
    /// For people.
    pub(super) what: &'static str,
    /// The kind as kubectl spells it.
    pub(super) kind: &'static str,
    /// The object before it.
    base: fn(&str, &str) -> Value,
    /// How it is sent.
    pub(super) way: Way,
    /// Where in the object its value stands: a JSON pointer.
    pub(super) lands: &'static str,
    /// The value before, where it is of the object at all.
    start: Option<Value>,
    /// The value that no policy lets pass.
    pub(super) beyond: Value,
    /// The nearest one that every policy lets pass.
    pub(super) within: Value,
}

/// How a write is sent.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// `kubectl scale`.
    Scale,
    /// A patch of this type, with this body for a value.
    Patch(&'static str, fn(&Value) -> Value),
    /// Server-side apply of the whole object.
    Apply,
    /// The whole object instead of the one that is there.
    Replace,
    /// The object is made by it.
    Create,
}

impl Write {
    /// The object as it stands before the write; none for one that the write makes.
    pub(super) fn before(&self, namespace: &str, name: &str) -> Option<Value> {
        let mut object = (self.base)(namespace, name);
        if let (Some(place), Some(start)) = (object.pointer_mut(self.lands), &self.start) {
            *place = start.clone();
        }
        (!matches!(self.way, Way::Create)).then_some(object)
    }

    /// The object as a write of the whole sends it.
    pub(super) fn after(&self, namespace: &str, name: &str, value: &Value) -> Value {
        let mut object = (self.base)(namespace, name);
        if let Some(place) = object.pointer_mut(self.lands) {
            *place = value.clone();
        }
        object
    }
}

const REPLICAS: &str = "/spec/replicas";
const IMAGE: &str = "/spec/template/spec/containers/0/image";
const DIGEST: &str = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// All of them.
pub(super) fn all() -> Vec<Write> {
    let mut writes = numbers_of_deployments();
    writes.extend(numbers_of_others());
    writes.extend(images());
    writes
}

/// A write of a number.
fn number(
    (what, kind): (&'static str, &'static str),
    base: fn(&str, &str) -> Value,
    way: Way,
    lands: &'static str,
    [start, beyond, within]: [u32; 3],
) -> Write {
    let (start, beyond, within) = (Some(json!(start)), json!(beyond), json!(within));
    Write { what, kind, base, way, lands, start, beyond, within }
}

fn numbers_of_deployments() -> Vec<Write> {
    let merge = Way::Patch("merge", |value| json!({"spec": {"replicas": value}}));
    let of = |what, way, numbers| number((what, "deployment"), deployment, way, REPLICAS, numbers);
    vec![
        of("more than the maximum, on the Scale", Way::Scale, [9, 11, 10]),
        of("to zero, on the Scale", Way::Scale, [2, 0, 1]),
        of("by too much at once, on the Scale", Way::Scale, [3, 8, 7]),
        of("more than the maximum, by merge patch", merge, [9, 11, 10]),
        of("more than the maximum, by server-side apply", Way::Apply, [9, 11, 10]),
        of("to zero, by replacing the object", Way::Replace, [2, 0, 1]),
        of("created with more than the maximum", Way::Create, [1, 11, 10]),
    ]
}

fn numbers_of_others() -> Vec<Write> {
    let merge = Way::Patch("merge", |value| json!({"spec": {"replicas": value}}));
    let job = Way::Patch("merge", |value| json!({"spec": {"parallelism": value}}));
    let cron = Way::Patch(
        "merge",
        |value| json!({"spec": {"jobTemplate": {"spec": {"parallelism": value}}}}),
    );
    let (set, parallelism) = ("statefulset", "/spec/parallelism");
    vec![
        number(
            ("a StatefulSet to more than the maximum", set),
            stateful_set,
            Way::Scale,
            REPLICAS,
            [9, 11, 10],
        ),
        number(("a StatefulSet to zero", set), stateful_set, merge, REPLICAS, [2, 0, 1]),
        number(
            ("a ReplicaSet to more than the maximum", "replicaset"),
            replica_set,
            Way::Scale,
            REPLICAS,
            [9, 11, 10],
        ),
        number(
            ("a ReplicationController to more than the maximum", "replicationcontroller"),
            replication_controller,
            Way::Scale,
            REPLICAS,
            [9, 11, 10],
        ),
        number(
            ("an autoscaler that may go beyond the maximum", "horizontalpodautoscaler"),
            autoscaler,
            Way::Create,
            "/spec/maxReplicas",
            [10, 11, 10],
        ),
        number(
            ("a Job of too many pods at once", "job"),
            job_object,
            job,
            parallelism,
            [9, 11, 10],
        ),
        number(
            ("a CronJob of too many pods at once", "cronjob"),
            cron_job,
            cron,
            "/spec/jobTemplate/spec/parallelism",
            [9, 11, 10],
        ),
    ]
}

fn images() -> Vec<Write> {
    let of = |what, base, body, lands, [beyond, within]: [&str; 2]| Write {
        what,
        kind: "deployment",
        base,
        way: Way::Patch("strategic", body),
        lands,
        start: None,
        beyond: json!(beyond),
        within: json!(within),
    };
    let foreign = ["elsewhere.example.com/tool:1", "registry.smartops.dev/tool:1"];
    let of_the_first =
        |value: &Value| in_pod(&json!({"containers": [{"name": "app", "image": value}]}));
    let digested = format!("registry.smartops.dev/tool:2{DIGEST}");
    vec![
        of("an image from elsewhere", deployment, of_the_first, IMAGE, foreign),
        of(
            "an init container's image from elsewhere",
            deployment,
            |value| in_pod(&json!({"initContainers": [{"name": "init", "image": value}]})),
            "/spec/template/spec/initContainers/0/image",
            foreign,
        ),
        of(
            "one more container, from elsewhere",
            deployment,
            |value| in_pod(&json!({"containers": [{"name": "side", "image": value}]})),
            "/spec/template/spec/containers/1/image",
            foreign,
        ),
        of(
            "an image as a volume, from elsewhere",
            deployment,
            |value| in_pod(&json!({"volumes": [{"name": "data", "image": {"reference": value}}]})),
            "/spec/template/spec/volumes/0/image/reference",
            foreign,
        ),
        of(
            "an image with a forbidden tag",
            deployment,
            of_the_first,
            IMAGE,
            ["registry.smartops.dev/tool:latest", "registry.smartops.dev/tool:2"],
        ),
        of(
            "an image without a digest",
            digested_deployment,
            of_the_first,
            IMAGE,
            ["registry.smartops.dev/tool:2", &digested],
        ),
    ]
}

/// A strategic merge patch of the pod's spec. One that adds a container puts it first, so the ones there are named.
fn in_pod(spec: &Value) -> Value {
    let mut spec = spec.clone();
    if spec["containers"][0]["name"] == "side" {
        spec["$setElementOrder/containers"] = json!([{"name": "app"}, {"name": "side"}]);
    }
    json!({"spec": {"template": {"spec": spec}}})
}

fn deployment(namespace: &str, name: &str) -> Value {
    let mut object = sample::deployment(namespace, name, 1);
    object["spec"]["template"]["spec"]["containers"][0]["name"] = json!("app");
    object
}

/// One of those whose images need a digest.
fn digested_deployment(namespace: &str, name: &str) -> Value {
    let mut object = deployment(namespace, name);
    object["metadata"]["labels"]["images"] = json!("digested");
    let image = format!("registry.smartops.dev/app:1{DIGEST}");
    object["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
    object
}

fn stateful_set(namespace: &str, name: &str) -> Value {
    let mut object = deployment(namespace, name);
    object["kind"] = json!("StatefulSet");
    object["spec"]["serviceName"] = json!(name);
    object
}

fn replica_set(namespace: &str, name: &str) -> Value {
    let mut object = deployment(namespace, name);
    object["kind"] = json!("ReplicaSet");
    object
}

fn replication_controller(namespace: &str, name: &str) -> Value {
    let mut object = deployment(namespace, name);
    object["kind"] = json!("ReplicationController");
    object["apiVersion"] = json!("v1");
    object["spec"]["selector"] = object["spec"]["selector"]["matchLabels"].clone();
    object
}

fn autoscaler(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": 1, "maxReplicas": 10,
        },
    })
}

fn job_spec() -> Value {
    let container = json!({"name": "app", "image": "registry.smartops.dev/app:1"});
    let pod = json!({"restartPolicy": "Never", "containers": [container]});
    json!({"parallelism": 1, "suspend": true, "template": {"spec": pod}})
}

fn job_object(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"namespace": namespace, "name": name}, "spec": job_spec()})
}

fn cron_job(namespace: &str, name: &str) -> Value {
    let spec = json!({"schedule": "0 0 31 12 *", "jobTemplate": {"spec": job_spec()}});
    json!({"apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": {"namespace": namespace, "name": name}, "spec": spec})
}
