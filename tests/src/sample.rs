//! Sample workloads: Deployments whose pods KWOK plays.

use anyhow::Result;
use serde_json::{Value, json};

use crate::kubectl::Kubectl;

/// The sample's namespace.
pub const NAMESPACE: &str = "smartops-dev";
/// The sample's name.
pub const DEPLOYMENT: &str = "smartops-erp-simulator";
/// How many replicas a sample starts with.
pub const REPLICAS: u32 = 3;

/// A Deployment with one container, both labels by which it can be found, and no surprises. The container and the
/// label carry its name without the prefix `smartops-`.
pub fn deployment(namespace: &str, name: &str, replicas: u32) -> Value {
    let app = name.strip_prefix("smartops-").unwrap_or(name);
    let labels = json!({"app": app, "app.kubernetes.io/name": app});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": namespace, "name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": app}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "containers": [{
                        "name": app,
                        "image": format!("registry.smartops.dev/{app}:0.1.0"),
                        "ports": [{"name": "http", "containerPort": 9000}],
                        "resources": {
                            "requests": {"cpu": "100m", "memory": "64Mi"},
                            "limits": {"memory": "128Mi"},
                        },
                    }],
                },
            },
        },
    })
}

/// Creates a Deployment and waits until it has rolled out.
pub fn roll_out(kubectl: &Kubectl, namespace: &str, name: &str, replicas: u32) -> Result<()> {
    kubectl.apply_all(&[deployment(namespace, name, replicas)])?;
    wait_rolled_out(kubectl, namespace, name)
}

/// Waits until the Deployment's present template and count have rolled out.
pub fn wait_rolled_out(kubectl: &Kubectl, namespace: &str, name: &str) -> Result<()> {
    let target = format!("deployment/{name}");
    kubectl.run(&["-n", namespace, "rollout", "status", &target, "--timeout=60s"])?.ok()?;
    Ok(())
}
