//! Writes beyond a limit and their nearest twins within, of every kind the API server can judge by itself, as dry runs.

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use smartops_tests::kubectl::Outcome;
use smartops_tests::sample;

use crate::support::Namespace;

/// One write, as a developer.
pub(super) struct Try {
    pub(super) name: String,
    arguments: Vec<String>,
    input: Option<String>,
}

impl Try {
    pub(super) fn run(&self, namespace: &Namespace<'_>) -> Result<Outcome> {
        let mut arguments = vec!["--namespace", namespace.name.as_str()];
        arguments.extend(self.arguments.iter().map(String::as_str));
        arguments.push("--dry-run=server");
        let kubectl = namespace.kubectl("developer");
        let mut outcome = kubectl.run_with(&arguments, self.input.as_deref())?;
        for _ in 0..5 {
            if outcome.succeeded || !outcome.errors.contains("the object has been modified") {
                break;
            }
            outcome = kubectl.run_with(&arguments, self.input.as_deref())?;
        }
        Ok(outcome)
    }
}

/// A Deployment of two containers.
pub(super) fn deployment(namespace: &str, name: &str, replicas: u32) -> Value {
    let mut object = sample::deployment(namespace, name, replicas);
    let containers = object["spec"]["template"]["spec"]["containers"].as_array_mut();
    if let Some(containers) = containers {
        containers.push(json!({"name": "side", "image": "registry.smartops.dev/side:1"}));
    }
    object
}

fn pods(image: &str) -> Value {
    json!({"containers": [{"name": "main", "image": image}], "restartPolicy": "Never"})
}

fn object(api: &str, kind: &str, namespace: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": api, "kind": kind, "metadata": {"namespace": namespace, "name": name}, "spec": spec})
}

fn job(namespace: &str, name: &str, parallelism: u32, image: &str) -> Value {
    let spec =
        json!({"parallelism": parallelism, "suspend": true, "template": {"spec": pods(image)}});
    object("batch/v1", "Job", namespace, name, &spec)
}

fn cron_job(namespace: &str, name: &str, parallelism: u32, image: &str) -> Value {
    let job = json!({"spec": {"parallelism": parallelism, "template": {"spec": pods(image)}}});
    let spec = json!({"schedule": "0 0 1 1 *", "suspend": true, "jobTemplate": job});
    object("batch/v1", "CronJob", namespace, name, &spec)
}

fn autoscaler(namespace: &str, name: &str, min: u32, max: u32) -> Value {
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    let spec = json!({"minReplicas": min, "maxReplicas": max, "scaleTargetRef": target});
    object("autoscaling/v2", "HorizontalPodAutoscaler", namespace, name, &spec)
}

fn replica_set(namespace: &str, name: &str, replicas: u32) -> Value {
    let template = json!({"metadata": {"labels": {"set": name}}, "spec": {"containers": [{"name": "main", "image": OWN}]}});
    let spec = json!({"replicas": replicas, "selector": {"matchLabels": {"set": name}}, "template": template});
    object("apps/v1", "ReplicaSet", namespace, name, &spec)
}

/// A custom resource that keeps its number somewhere of its own.
pub(super) fn custom_kind() -> Value {
    let number = json!({"type": "object", "properties": {"size": {"type": "integer"}}});
    let spec = json!({"type": "object", "properties": {"pool": number}});
    let status = json!({"type": "object", "properties": {"size": {"type": "integer"}}});
    let schema = json!({"type": "object", "properties": {"spec": spec, "status": status}});
    let paths =
        json!({"specReplicasPath": ".spec.pool.size", "statusReplicasPath": ".status.size"});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "carts.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"kind": "Cart", "plural": "carts"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": {"status": {}, "scale": paths}, "schema": {"openAPIV3Schema": schema},
            }],
        },
    })
}

fn cart(namespace: &str, name: &str, size: u32) -> Value {
    object("example.com/v1", "Cart", namespace, name, &json!({"pool": {"size": size}}))
}

const OWN: &str = "registry.smartops.dev/tool:1";

/// What the writes start from. `wide` and `narrow` stand outside the range already.
pub(super) fn stage(namespace: &str) -> Vec<Value> {
    vec![
        deployment(namespace, "web", 5),
        deployment(namespace, "wide", 10),
        deployment(namespace, "narrow", 1),
        replica_set(namespace, "set", 3),
        cron_job(namespace, "nightly", 3, OWN),
        autoscaler(namespace, "scaler", 2, 8),
        cart(namespace, "cart", 3),
    ]
}

/// All writes.
pub(super) fn all(namespace: &str) -> Vec<Try> {
    [replicas(namespace), images(namespace)].into_iter().flatten().collect()
}

fn attempt(name: &str, arguments: &[&str], input: Option<&Value>) -> Try {
    Try {
        name: name.to_owned(),
        arguments: arguments.iter().map(|a| (*a).to_owned()).collect(),
        input: input.map(ToString::to_string),
    }
}

fn created(name: &str, object: &Value) -> Try {
    attempt(name, &["create", "-f", "-"], Some(object))
}

fn scaled(target: &str, replicas: u32) -> Try {
    let name = format!("{target} to {replicas}");
    attempt(&name, &["scale", target, &format!("--replicas={replicas}")], None)
}

fn patched(name: &str, target: &str, patch: &Value) -> Try {
    let kind = if patch.is_array() { "--type=json" } else { "--type=strategic" };
    attempt(name, &["patch", target, kind, "-p", &patch.to_string()], None)
}

pub(super) fn replicas(namespace: &str) -> Vec<Try> {
    let number = |replicas: u32| json!({"spec": {"replicas": replicas}});
    let mut tries: Vec<Try> = [0, 1, 2, 7, 8, 9, 10, 11, 50]
        .into_iter()
        .map(|replicas| scaled("deployment/web", replicas))
        .collect();
    for replicas in [2, 8, 9, 11] {
        let name = format!("web itself to {replicas}");
        tries.push(patched(&name, "deployment/web", &number(replicas)));
    }
    tries.extend([scaled("deployment/wide", 7), scaled("deployment/wide", 6)]);
    tries.extend([scaled("deployment/narrow", 0), scaled("deployment/narrow", 9)]);
    tries.extend([scaled("replicaset/set", 11), scaled("replicaset/set", 6)]);
    tries.push(patched(
        "labels alone",
        "deployment/narrow",
        &json!({"metadata": {"labels": {"a": "b"}}}),
    ));
    for replicas in [1, 2, 10, 11] {
        let new = deployment(namespace, "new", replicas);
        tries.push(created(&format!("a new one of {replicas}"), &new));
        let set = replica_set(namespace, "new-set", replicas);
        tries.push(created(&format!("a new set of {replicas}"), &set));
        let job = job(namespace, "job", replicas, OWN);
        tries.push(created(&format!("a job of {replicas}"), &job));
        let cron_job = cron_job(namespace, "cron", replicas, OWN);
        tries.push(created(&format!("a cron job of {replicas}"), &cron_job));
    }
    for size in [2, 10, 11] {
        tries.push(created(&format!("a new cart of {size}"), &cart(namespace, "new", size)));
    }
    tries.push(created(
        "a cart of none",
        &object("example.com/v1", "Cart", namespace, "new", &json!({})),
    ));
    for size in [1, 6, 7, 11] {
        let bigger = json!([{"op": "replace", "path": "/spec/pool/size", "value": size}]);
        tries.push(patched(&format!("cart itself to {size}"), "cart/cart", &bigger));
        tries.push(scaled("cart/cart", size));
    }
    let parallel = |n: u32| json!({"spec": {"jobTemplate": {"spec": {"parallelism": n}}}});
    for n in [6, 7, 11] {
        tries.push(patched(&format!("nightly to {n}"), "cronjob/nightly", &parallel(n)));
    }
    for (min, max) in [(2, 10), (1, 10), (2, 11), (1, 11)] {
        let new = autoscaler(namespace, "new", min, max);
        tries.push(created(&format!("an autoscaler from {min} to {max}"), &new));
        let bounds = json!({"spec": {"minReplicas": min, "maxReplicas": max}});
        tries.push(patched(&format!("scaler from {min} to {max}"), "hpa/scaler", &bounds));
    }
    tries
}

pub(super) fn images(namespace: &str) -> Vec<Try> {
    let containers = "/spec/template/spec/containers";
    let set = |image: &str| {
        let patch =
            json!([{"op": "replace", "path": format!("{containers}/0/image"), "value": image}]);
        patched(&format!("web becomes {image}"), "deployment/web", &patch)
    };
    let digest = format!("registry.smartops.dev/web@sha256:{}", "ab".repeat(32));
    let mut tries: Vec<Try> = [
        "registry.smartops.dev/web:2",
        "registry.smartops.dev/web",
        "registry.smartops.dev.evil/web:1",
        "REGISTRY.smartops.dev/web:1",
        "nginx:1",
        "docker.io/nginx:1",
        "docker.io/team/nginx:1",
        "nginx:latest",
        &digest,
    ]
    .map(set)
    .into();
    let json_patch = |name: &str, patch: &Value| patched(name, "deployment/web", patch);
    tries.extend([
        json_patch("a container goes", &json!([{"op": "remove", "path": format!("{containers}/1")}])),
        json_patch("containers change places", &json!([{"op": "move", "from": format!("{containers}/0"), "path": format!("{containers}/1")}])),
        json_patch("a container is renamed", &json!([{"op": "replace", "path": format!("{containers}/1/name"), "value": "aside"}])),
        json_patch("an init container comes", &json!([{"op": "add", "path": "/spec/template/spec/initContainers", "value": [{"name": "init", "image": OWN}]}])),
        json_patch("a foreign init container comes", &json!([{"op": "add", "path": "/spec/template/spec/initContainers", "value": [{"name": "init", "image": "evil.io/x:1"}]}])),
        json_patch("an environment changes", &json!([{"op": "add", "path": format!("{containers}/0/env"), "value": [{"name": "A", "value": "b"}]}])),
    ]);
    for (what, image) in
        [("own", OWN), ("foreign", "evil.io/x:1"), ("untagged", "registry.smartops.dev/x")]
    {
        tries.push(created(&format!("a job of an {what} image"), &job(namespace, "job", 2, image)));
        tries.push(created(
            &format!("a cron job of an {what} image"),
            &cron_job(namespace, "cron", 2, image),
        ));
        let pod = object("v1", "Pod", namespace, "pod", &pods(image));
        tries.push(created(&format!("a pod of an {what} image"), &pod));
    }
    let nightly = json!([{"op": "replace", "path": "/spec/jobTemplate/spec/template/spec/containers/0/image", "value": "evil.io/x:1"}]);
    tries.push(patched("nightly becomes foreign", "cronjob/nightly", &nightly));
    let both = json!([
        {"op": "replace", "path": "/spec/replicas", "value": 50},
        {"op": "replace", "path": format!("{containers}/0/image"), "value": "evil.io/x:1"},
        {"op": "replace", "path": format!("{containers}/1/image"), "value": "evil.io/y"},
    ]);
    tries.push(json_patch("everything at once", &both));
    tries
}

/// So many seconds from now, as the cluster on this machine tells the time.
#[expect(clippy::disallowed_methods, reason = "an end is written as the time of day")]
pub(super) fn in_seconds(seconds: i64) -> Result<String> {
    Ok(Timestamp::now().checked_add(SignedDuration::from_secs(seconds))?.to_string())
}
