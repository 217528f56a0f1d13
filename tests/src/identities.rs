//! The actors: the two programs, an agent and a meddler as ServiceAccounts with real tokens; a developer, the owner of a
//! namespace, an operator, and two who may approve, as users with client certificates the cluster signed. Each gets a
//! kubeconfig. The agent may edit far more than it should, the meddler may give itself more and write SmartOps' own
//! objects, and all who work in a namespace may write Remediations, their status and approvals there, so that what
//! stops any of them is the guard.

use std::time::Duration;

use anyhow::{Context, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::kubectl::{Proof, write_kubeconfig};
use crate::pki;
use crate::wait::{Seen, eventually};

/// The controller's namespace and name.
const CONTROLLER: (&str, &str) = ("smartops-system", "smartops-orchestrator");
/// The agent's namespace and name: automation by the SmartOpsConfig the harness installs.
pub const AGENT: (&str, &str) = ("smartops-dev", "agent");
/// Automation with rights over guardrails and over rights, in the agent's namespace.
const MEDDLER: &str = "meddler";
/// The group whose members approve Remediations, by the SmartOpsConfig the harness installs.
pub const APPROVERS: &str = "approvers";
/// People, each with the groups their certificate names. Of two who may approve, each may decide over what the other
/// asks for.
const PEOPLE: [(&str, &[&str]); 5] = [
    ("developer", &[]),
    ("owner", &[]),
    ("operator", &[]),
    ("approver", &[APPROVERS]),
    ("deputy", &[APPROVERS]),
];

const ROLES: &str = "rbac.authorization.k8s.io";
const AGENT_ROLE: &str = "smartops-test-agent";
const READER_ROLE: &str = "smartops-test-reader";
const OPERATOR_ROLE: &str = "smartops-test-operator";
const WORKER_ROLE: &str = "smartops-test-worker";
const OWNER_ROLE: &str = "smartops-test-owner";
const MEDDLER_ROLE: &str = "smartops-test-meddler";
const PARTY_ROLE: &str = "smartops-test-party";

/// Makes the actors that the manifests do not bring, binds them in smartops-dev, and writes every kubeconfig.
pub fn create(cluster: &Cluster) -> Result<()> {
    let admin = cluster.kubectl("admin");
    admin.apply_all(&objects())?;
    grant_namespace(cluster, AGENT.0)?;
    let accounts = [
        ("controller", CONTROLLER.0, CONTROLLER.1),
        ("webhook", "smartops-system", "smartops-webhook"),
        ("agent", AGENT.0, AGENT.1),
        (MEDDLER, AGENT.0, MEDDLER),
    ];
    for (actor, namespace, name) in accounts {
        let token =
            admin.run(&["create", "token", name, "--namespace", namespace, "--duration", "24h"])?;
        let token = token.ok().with_context(|| format!("no token for {namespace}/{name}"))?;
        write_actor(cluster, actor, &Proof::Token(token.trim().to_owned()))?;
    }
    for (user, groups) in PEOPLE {
        let proof = certificate(cluster, user, groups)?;
        write_actor(cluster, user, &proof)?;
    }
    Ok(())
}

/// A kubeconfig of the controller's whose token is bound to a pod, as the kubelet's tokens are: the API server tells the
/// pod's name with each request. Returns the actor's name.
pub fn controller_in_pod(cluster: &Cluster, pod: &str) -> Result<String> {
    let (namespace, account) = CONTROLLER;
    let admin = cluster.kubectl("admin");
    admin.apply_all(&[json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": namespace, "name": pod},
        "spec": {
            "serviceAccountName": account,
            // Its namespace admits restricted pods only.
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "controller",
                "image": "registry.smartops.dev/controller:0.1.0",
                "securityContext": {
                    "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
                },
            }],
        },
    })])?;
    let bound = ["--bound-object-kind=Pod", "--bound-object-name", pod, "--duration", "24h"];
    let token = ["create", "token", account, "--namespace", namespace];
    let token = admin.run(&[&token[..], &bound].concat())?.ok()?;
    let actor = format!("controller-in-{pod}");
    write_actor(cluster, &actor, &Proof::Token(token.trim().to_owned()))?;
    Ok(actor)
}

/// What somebody may do: in one namespace, or in the whole cluster; the rules as a Role has them.
#[derive(Debug, Clone)]
pub struct Right {
    /// Where; nowhere in particular means everywhere.
    pub namespace: Option<String>,
    /// What.
    pub rules: Value,
}

/// A ServiceAccount in SmartOps' namespace that may do exactly this, and a kubeconfig of its name.
pub fn account(cluster: &Cluster, name: &str, rights: &[Right]) -> Result<()> {
    let admin = cluster.kubectl("admin");
    let (namespace, _) = CONTROLLER;
    let subject = json!({"kind": "ServiceAccount", "namespace": namespace, "name": name});
    let mut objects = vec![json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"namespace": namespace, "name": name},
    })];
    for Right { namespace, rules } in rights {
        let (role_kind, binding_kind, place) = match namespace {
            Some(namespace) => {
                ("Role", "RoleBinding", json!({"name": name, "namespace": namespace}))
            }
            None => ("ClusterRole", "ClusterRoleBinding", json!({"name": name})),
        };
        let api_version = format!("{ROLES}/v1");
        objects.push(json!({
            "apiVersion": api_version, "kind": role_kind, "metadata": place, "rules": rules,
        }));
        objects.push(json!({
            "apiVersion": api_version, "kind": binding_kind, "metadata": place,
            "roleRef": {"apiGroup": ROLES, "kind": role_kind, "name": name},
            "subjects": [&subject],
        }));
    }
    admin.apply_all(&objects)?;
    let token =
        admin.run(&["create", "token", name, "--namespace", namespace, "--duration", "24h"])?;
    write_actor(cluster, name, &Proof::Token(token.ok()?.trim().to_owned()))
}

/// Makes a namespace in which the controller may remedy, agent, developer and approvers may work, and its owner may do
/// anything.
pub fn grant_namespace(cluster: &Cluster, namespace: &str) -> Result<()> {
    let controller = json!({
        "kind": "ServiceAccount", "namespace": CONTROLLER.0, "name": CONTROLLER.1,
    });
    let agent = json!({"kind": "ServiceAccount", "namespace": AGENT.0, "name": AGENT.1});
    let [developer, owner, _, approver, deputy] = PEOPLE.map(|(name, _)| user(name));
    let everybody = [&agent, &developer, &owner, &approver, &deputy];
    cluster.kubectl("admin").apply_all(&[
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        binding(namespace, "smartops-orchestrator", "smartops-orchestrator", &[&controller]),
        binding(namespace, AGENT_ROLE, AGENT_ROLE, &[&agent]),
        binding(namespace, READER_ROLE, READER_ROLE, &everybody),
        binding(namespace, PARTY_ROLE, PARTY_ROLE, &everybody),
        binding(namespace, WORKER_ROLE, WORKER_ROLE, &[&developer, &owner]),
        binding(namespace, OWNER_ROLE, OWNER_ROLE, &[&owner]),
        binding(namespace, "smartops-test-developer", "edit", &[&developer, &approver, &deputy]),
        binding(namespace, "smartops-test-admin", "admin", &[&owner]),
    ])?;
    Ok(())
}

fn write_actor(cluster: &Cluster, actor: &str, proof: &Proof) -> Result<()> {
    write_kubeconfig(&cluster.state.kubeconfig(actor), &cluster.state.cluster, actor, proof)
}

/// A client certificate for `user` of these groups, signed by the cluster on the admin's word.
fn certificate(cluster: &Cluster, user: &str, groups: &[&str]) -> Result<Proof> {
    let admin = cluster.kubectl("admin");
    let (key, request) = pki::request(user, groups)?;
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
        "pods/ephemeralcontainers",
        "pods/resize",
        "pods/binding",
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
        json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"namespace": AGENT.0, "name": MEDDLER},
        }),
        // What Kubernetes' own role `edit` gives and more, without becoming somebody else: no impersonate.
        role(
            AGENT_ROLE,
            &[
                rule("", &core, &all),
                rule("apps", &["*"], &all),
                rule("batch", &["*"], &all),
                rule("autoscaling", &["*"], &all),
                rule("networking.k8s.io", &["*"], &all),
                rule("policy", &["*"], &all),
                rule("example.com", &["*"], &all),
            ],
        ),
        // What `edit` lacks for a person's everyday work with pods and with custom resources.
        role(
            WORKER_ROLE,
            &[
                rule("", &["pods/ephemeralcontainers", "pods/resize"], &["get", "patch", "update"]),
                rule("example.com", &["*"], &all),
            ],
        ),
        // The labels of one's own namespace.
        role(OWNER_ROLE, &[rule("", &["namespaces"], &["get", "patch", "update"])]),
        // Guardrails and rights in the hands of whom they are for.
        role(
            MEDDLER_ROLE,
            &[
                rule("smartops.dev", &["*"], &all),
                rule("", &["serviceaccounts/token"], &["create"]),
                rule(ROLES, &["rolebindings"], &all),
                rule(ROLES, &["clusterroles"], &["bind"]),
            ],
        ),
        cluster_binding(
            MEDDLER_ROLE,
            &json!({"kind": "ServiceAccount", "namespace": AGENT.0, "name": MEDDLER}),
        ),
        role(READER_ROLE, &[rule("smartops.dev", &["*"], &read)]),
        // Everything of Remediations and approvals, the status included: more than anybody should be given.
        role(
            PARTY_ROLE,
            &[rule(
                "smartops.dev",
                &["remediations", "remediations/status", "remediationapprovals"],
                &all,
            )],
        ),
        role(
            OPERATOR_ROLE,
            &[
                rule("*", &["*"], &read),
                rule(
                    "smartops.dev",
                    &[
                        "guardrailpolicies",
                        "guardrailexceptions",
                        "smartopsconfigs",
                        "changeledgers",
                    ],
                    &all,
                ),
            ],
        ),
        cluster_binding(OPERATOR_ROLE, &user("operator")),
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

fn cluster_binding(role: &str, subject: &Value) -> Value {
    json!({
        "apiVersion": format!("{ROLES}/v1"),
        "kind": "ClusterRoleBinding",
        "metadata": {"name": role},
        "roleRef": {"apiGroup": ROLES, "kind": "ClusterRole", "name": role},
        "subjects": [subject],
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
