//! The actors: the two programs and an agent as ServiceAccounts with real tokens, a developer and an operator as users
//! with client certificates the cluster signed. Each gets a kubeconfig and no more rights than it needs.

use std::time::Duration;

use anyhow::{Context, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::kubectl::{Proof, write_kubeconfig};
use crate::pki;
use crate::wait::{Seen, eventually};

/// The agent's namespace and name: automation by the SmartOpsConfig the harness installs.
pub const AGENT: (&str, &str) = ("smartops-dev", "agent");

const ROLES: &str = "rbac.authorization.k8s.io";
const AGENT_ROLE: &str = "smartops-test-agent";
const READER_ROLE: &str = "smartops-test-reader";
const OPERATOR_ROLE: &str = "smartops-test-operator";

/// Makes the actors that the manifests do not bring, binds them in smartops-dev, and writes every kubeconfig.
pub fn create(cluster: &Cluster) -> Result<()> {
    let admin = cluster.kubectl("admin");
    admin.apply_all(&objects())?;
    grant_namespace(cluster, AGENT.0)?;
    let accounts = [
        ("controller", "smartops-system", "smartops-orchestrator"),
        ("webhook", "smartops-system", "smartops-webhook"),
        ("agent", AGENT.0, AGENT.1),
    ];
    for (actor, namespace, name) in accounts {
        let token =
            admin.run(&["create", "token", name, "--namespace", namespace, "--duration", "24h"])?;
        let token = token.ok().with_context(|| format!("no token for {namespace}/{name}"))?;
        write_actor(cluster, actor, &Proof::Token(token.trim().to_owned()))?;
    }
    for user in ["developer", "operator"] {
        let proof = certificate(cluster, user)?;
        write_actor(cluster, user, &proof)?;
    }
    Ok(())
}

/// Makes a namespace in which the controller may remedy and agent and developer may work.
pub fn grant_namespace(cluster: &Cluster, namespace: &str) -> Result<()> {
    let controller = json!({
        "kind": "ServiceAccount", "namespace": "smartops-system", "name": "smartops-orchestrator",
    });
    let agent = json!({"kind": "ServiceAccount", "namespace": AGENT.0, "name": AGENT.1});
    let developer = user("developer");
    cluster.kubectl("admin").apply_all(&[
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        binding(namespace, "smartops-orchestrator", "smartops-orchestrator", &[&controller]),
        binding(namespace, AGENT_ROLE, AGENT_ROLE, &[&agent]),
        binding(namespace, READER_ROLE, READER_ROLE, &[&agent, &developer]),
        binding(namespace, "smartops-test-developer", "edit", &[&developer]),
    ])?;
    Ok(())
}

fn write_actor(cluster: &Cluster, actor: &str, proof: &Proof) -> Result<()> {
    write_kubeconfig(&cluster.state.kubeconfig(actor), &cluster.state.cluster, actor, proof)
}

/// A client certificate for `user`, signed by the cluster on the admin's word.
fn certificate(cluster: &Cluster, user: &str) -> Result<Proof> {
    let admin = cluster.kubectl("admin");
    let (key, request) = pki::request(user)?;
    let name = format!("smartops-test-{user}");
    // One of an earlier run asks for another key, and a request cannot be changed.
    admin.run(&["delete", "csr", &name, "--ignore-not-found"])?.ok()?;
    admin.apply_all(&[json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {
            "request": STANDARD.encode(request),
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["client auth"],
        },
    })])?;
    admin.run(&["certificate", "approve", &name])?.ok()?;
    let what = format!("the certificate of {user} is signed");
    let signed = eventually(Duration::from_secs(30), &what, || {
        let request = admin.get(&["csr", &name])?;
        let signed = request.pointer("/status/certificate").and_then(Value::as_str);
        Ok(signed.map_or_else(
            || Seen::NotYet(request["status"].to_string()),
            |signed| Seen::Done(signed.to_owned()),
        ))
    })?;
    let pem = STANDARD.decode(signed).context("the signed certificate is no base64")?;
    let pem = String::from_utf8(pem).context("the signed certificate is no PEM")?;
    Ok(Proof::Certificate(pem, key))
}

fn objects() -> Vec<Value> {
    let all = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
    let read = ["get", "list", "watch"];
    let rule = |group: &str, resources: &[&str], verbs: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
    let core = [
        "pods",
        "pods/exec",
        "pods/attach",
        "pods/portforward",
        "pods/eviction",
        "configmaps",
        "secrets",
        "services",
        "endpoints",
        "events",
        "persistentvolumeclaims",
        "serviceaccounts",
        "replicationcontrollers",
        "replicationcontrollers/scale",
    ];
    vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": AGENT.0}}),
        json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"namespace": AGENT.0, "name": AGENT.1},
        }),
        // What Kubernetes' own role `edit` gives, without becoming somebody else: no impersonate, no
        // serviceaccounts/token.
        role(
            AGENT_ROLE,
            &[
                rule("", &core, &all),
                rule("apps", &["*"], &all),
                rule("batch", &["*"], &all),
                rule("autoscaling", &["*"], &all),
                rule("networking.k8s.io", &["*"], &all),
                rule("policy", &["*"], &all),
            ],
        ),
        role(READER_ROLE, &[rule("smartops.dev", &["*"], &read)]),
        role(
            OPERATOR_ROLE,
            &[
                rule("*", &["*"], &read),
                rule("smartops.dev", &["guardrailpolicies", "smartopsconfigs"], &all),
            ],
        ),
        json!({
            "apiVersion": format!("{ROLES}/v1"),
            "kind": "ClusterRoleBinding",
            "metadata": {"name": OPERATOR_ROLE},
            "roleRef": {"apiGroup": ROLES, "kind": "ClusterRole", "name": OPERATOR_ROLE},
            "subjects": [user("operator")],
        }),
    ]
}

fn user(name: &str) -> Value {
    json!({"apiGroup": ROLES, "kind": "User", "name": name})
}

fn role(name: &str, rules: &[Value]) -> Value {
    json!({
        "apiVersion": format!("{ROLES}/v1"),
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": rules,
    })
}

fn binding(namespace: &str, name: &str, role: &str, subjects: &[&Value]) -> Value {
    json!({
        "apiVersion": format!("{ROLES}/v1"),
        "kind": "RoleBinding",
        "metadata": {"namespace": namespace, "name": name},
        "roleRef": {"apiGroup": ROLES, "kind": "ClusterRole", "name": role},
        "subjects": subjects,
    })
}
