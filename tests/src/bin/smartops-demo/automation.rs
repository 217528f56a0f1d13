//! Automation: through the controller's API, and past it with kubectl. What it may not do it may not do either way.

use anyhow::Result;
use serde_json::{Value, json};
use smartops_tests::cluster::Cluster;
use smartops_tests::programs;
use smartops_tests::sample::{DEPLOYMENT, NAMESPACE};
use smartops_tests::wait::Seen;

use crate::people::ready;
use crate::story::{Expect, Story};
use crate::{LEDGER, PORTAL};

const CONTROLLER: &str = "system:serviceaccount:smartops-system:smartops-orchestrator";

/// Requests to the controller: a good one, guardrails, and wrong payloads.
pub(crate) fn by_api(story: &mut Story, cluster: &Cluster) -> Result<()> {
    let api = programs::controller_api(cluster)?;
    let body = |replicas: Value| json!({"namespace": NAMESPACE, "deployment": "portal", "replicas": replicas});
    let before = generation(cluster, PORTAL)?;
    story.post(
        &api,
        ("caller", "scale the portal to 40"),
        ("/v1/k8s/scale", &body(json!(40))),
        (422, &["smartops-automation", "40", "10"]),
    )?;
    story.sees("nothing was written, generation still", || {
        let now = generation(cluster, PORTAL)?;
        Ok(if now == before {
            Seen::Done(now.to_string())
        } else {
            Seen::NotYet(format!("it was {before} and is {now}"))
        })
    });
    story.post(
        &api,
        ("caller", "scale the portal from 3 to 4"),
        ("/v1/k8s/scale", &body(json!(4))),
        (200, &["\"success\":true", "\"replicas\":4"]),
    )?;
    story.sees("pods ready", || ready(cluster, PORTAL, 4));
    let container = |change: Value| {
        let mut container = json!({"name": "portal"});
        if let (Some(container), Value::Object(change)) = (container.as_object_mut(), change) {
            container.extend(change);
        }
        json!({
            "namespace": NAMESPACE, "deployment": "portal",
            "patch": {"spec": {"template": {"spec": {"containers": [container]}}}},
        })
    };
    story.post(
        &api,
        ("caller", "patch the portal's security context"),
        ("/v1/k8s/patch", &container(json!({"securityContext": {"privileged": true}}))),
        (400, &["smartops-automation", "securityContext"]),
    )?;
    story.post(
        &api,
        ("caller", "patch the portal's image"),
        ("/v1/k8s/patch", &container(json!({"image": "registry.example.com/other:1"}))),
        (422, &["smartops-automation", "image"]),
    )?;
    story.post(
        &api,
        ("caller", "a payload with words where a number belongs"),
        ("/v1/k8s/scale", &body(json!("many"))),
        (400, &["replicas"]),
    )?;
    story.post(
        &api,
        ("caller", "a Deployment that does not exist"),
        ("/v1/k8s/restart", &json!({"namespace": NAMESPACE, "deployment": "nowhere"})),
        (404, &["nowhere"]),
    )?;
    let stranger = programs::controller(cluster)?;
    story.post(
        &stranger,
        ("stranger", "scale without a key"),
        ("/v1/k8s/scale", &body(json!(5))),
        (401, &[]),
    )?;
    Ok(())
}

/// The controller's own token and an agent's, in somebody else's hands.
pub(crate) fn by_kubectl(story: &mut Story, cluster: &Cluster) -> Result<()> {
    let target = format!("deployment/{PORTAL}");
    let target = target.as_str();
    let image = "portal=registry.example.com/other:1";
    let set_image = ["-n", NAMESPACE, "set", "image", target, image];
    let context = r#"{"spec":{"template":{"spec":{"containers":[{"name":"portal","securityContext":{"privileged":true}}]}}}}"#;
    let scale = |to: &'static str| ["-n", NAMESPACE, "scale", target, to];
    let replace = ["-n", NAMESPACE, "replace", "-f", "-"];
    let changed = with_other_image(cluster)?;
    let paths: &[&str] = &["smartops-automation", "image"];
    story.kubectl(cluster, ("controller", "change an image"), &set_image, Expect::Denied(paths))?;
    story.kubectl(
        cluster,
        ("controller", "make a container privileged"),
        &["-n", NAMESPACE, "patch", target, "-p", context],
        Expect::Denied(&["smartops-automation", "securityContext"]),
    )?;
    story.kubectl(
        cluster,
        ("controller", "scale to 50"),
        &scale("--replicas=50"),
        Expect::Denied(&["smartops-automation", "50", "10"]),
    )?;
    story.kubectl_with(
        cluster,
        ("controller", "write the whole object back, image changed"),
        &replace,
        Some(&changed),
        Expect::NoRight,
    )?;
    story.kubectl_with(
        cluster,
        ("agent", "the same, with the right to update"),
        &replace,
        Some(&changed),
        Expect::Denied(paths),
    )?;
    story.kubectl(
        cluster,
        ("agent", "scale from 4 to 7: three at once"),
        &scale("--replicas=7"),
        Expect::Denied(&["smartops-automation", "7", "2"]),
    )?;
    story.kubectl(
        cluster,
        ("agent", "scale from 4 to 6"),
        &scale("--replicas=6"),
        Expect::Allowed,
    )?;
    story.kubectl(
        cluster,
        ("agent", "delete the Deployment"),
        &["-n", NAMESPACE, "delete", target],
        Expect::Denied(&["policy"]),
    )?;
    story.kubectl(
        cluster,
        ("agent", "create a ConfigMap"),
        &["-n", NAMESPACE, "create", "configmap", "notes", "--from-literal=a=b"],
        Expect::Denied(&["policy"]),
    )
}

/// The API server's own record of what the controller wrote.
pub(crate) fn written(story: &mut Story, cluster: &Cluster) {
    if !cluster.state.own_control_plane {
        return;
    }
    for (name, expected) in [(DEPLOYMENT, 1), (LEDGER, 1), (PORTAL, 1)] {
        let asks = format!("how often did the controller write {name}?");
        story.check(("auditor", &asks), || {
            let writes = cluster.writes()?;
            let committed = writes.iter().filter(|write| {
                write.committed()
                    && write.user == CONTROLLER
                    && write.is_for("deployments", NAMESPACE, name)
            });
            let count = committed.count();
            Ok(if count == expected {
                Seen::Done(format!("{count} time"))
            } else {
                Seen::NotYet(format!("{count} times instead of {expected}"))
            })
        });
    }
}

fn generation(cluster: &Cluster, name: &str) -> Result<u64> {
    let object = cluster.kubectl("operator").get(&["-n", NAMESPACE, "deployment", name])?;
    Ok(object["metadata"]["generation"].as_u64().unwrap_or_default())
}

/// The live portal as `kubectl edit` would write it back, with another image.
fn with_other_image(cluster: &Cluster) -> Result<String> {
    let mut object = cluster.kubectl("operator").get(&["-n", NAMESPACE, "deployment", PORTAL])?;
    object["spec"]["template"]["spec"]["containers"][0]["image"] =
        json!("registry.example.com/other:1");
    // Whether its status has moved meanwhile is not the question here.
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
    }
    Ok(object.to_string())
}
