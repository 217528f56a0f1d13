//! A webhook that the API server reaches by its Service, though no pod runs: what its objects say of one that does.

use std::io::ErrorKind;
use std::net::TcpListener;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use smartops_tests::cluster::Cluster;
use smartops_tests::places;
use smartops_tests::process::{self, Launch};
use smartops_tests::programs::{Program, endpoints};

/// A loopback address of this test's own, at which the Service's port is free; `None`, and said, where only root may
/// listen on that port. Real nodes have the same tests with pods behind the Service.
#[expect(clippy::print_stderr, reason = "whoever runs the tests is to know what was not tried")]
pub(super) fn address(test: u8) -> Result<Option<String>> {
    let [.., high, low] = std::process::id().to_be_bytes();
    let address = format!("127.{}.{high}.{low}", 100 + test);
    match TcpListener::bind((address.as_str(), 443)) {
        Ok(_) => Ok(Some(address)),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            eprintln!("SKIPPED: only root may listen on port 443 here");
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("cannot listen on {address}:443")),
    }
}

/// The Service of the webhook. No pod runs, so the API server is led by name to where the webhook listens.
pub(super) fn service(address: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": "smartops-system", "name": "smartops-webhook"},
        "spec": {"type": "ExternalName", "externalName": address},
    })
}

/// A webhook that is reached by its Service, as far as the API server's objects tell.
pub(super) fn launch_by_service(cluster: &Cluster, address: &str) -> Result<()> {
    let endpoints = endpoints(cluster)?;
    let arguments = vec![
        format!("--kubeconfig={}", cluster.state.kubeconfig("webhook").display()),
        format!("--listen-address={address}:443"),
        format!("--health-address=127.0.0.1:{}", endpoints.webhook_health_port),
    ];
    let environment = vec![("SMARTOPS_DRAIN_SECONDS".to_owned(), "1".to_owned())];
    let program = places::program("smartops-webhook")?;
    process::start(cluster.dir(), &Launch { name: "webhook", program, arguments, environment })?;
    Program::Webhook.wait_ready(cluster)
}

/// The Deployment by which the webhook tells that it is to stay. No pod of it starts.
pub(super) fn deployment() -> Value {
    let container = json!({
        "name": "webhook", "image": "registry.smartops.dev/webhook:1",
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
    });
    let spec = json!({
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"namespace": "smartops-system", "name": "smartops-webhook"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "webhook"}},
            "template": {"metadata": {"labels": {"app": "webhook"}}, "spec": spec},
        },
    })
}

/// What says that the API server reaches one behind the Service, or does not.
pub(super) fn slice(is_ready: bool) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {
            "namespace": "smartops-system", "name": "smartops-webhook-1",
            "labels": {"kubernetes.io/service-name": "smartops-webhook"},
        },
        "endpoints": [{"addresses": ["10.123.0.1"], "conditions": {"ready": is_ready}}],
        "ports": [{"name": "https", "port": 8443, "protocol": "TCP"}],
    })
}

/// All of these objects, as where a replica is ready.
pub(super) fn by_service(address: &str) -> [Value; 3] {
    [deployment(), service(address), slice(true)]
}
