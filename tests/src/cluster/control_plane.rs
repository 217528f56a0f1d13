//! Starting our own control plane: the flags of each process, and when it counts as started.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{audit_log, ports};
use crate::components::Components;
use crate::kubectl::{Kubectl, Proof, write_kubeconfig};
use crate::pki::Authority;
use crate::places;
use crate::process::{self, Launch, check_runs};
use crate::state::State;
use crate::wait::{Seen, eventually};

/// How often other ports are tried when one was taken meanwhile.
const TRIES: u32 = 5;
const LIMIT: Duration = Duration::from_mins(2);
/// Where pods reach the API server, at the address of its Service.
const SERVICE_PORT: u16 = 443;
const NODES: [&str; 2] = ["node-0", "node-1"];

/// Who plays the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nodes {
    /// KWOK: pods are objects only.
    Played,
    /// Real ones, which join later. The API server reaches Services at their pods' addresses, and pods reach it at its
    /// Service's.
    Real,
}

/// Starts everything and waits until the nodes are ready that KWOK plays.
pub(super) fn start(dir: &Path, components: &Components, nodes: Nodes) -> Result<State> {
    let pki = dir.join("pki");
    let authority = Authority::create(&pki)?;
    authority.issue(
        "apiserver",
        "kube-apiserver",
        &[],
        &[
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "127.0.0.1",
            "10.96.0.1",
        ],
    )?;
    authority.issue("admin", "admin", &["system:masters"], &[])?;
    for user in ["kube-controller-manager", "kube-scheduler", "kwok"] {
        authority.issue(user, &format!("system:{user}"), &[], &[])?;
    }
    let mut attempt = 1;
    let state = loop {
        match start_processes(dir, components, nodes) {
            Ok(state) => break state,
            Err(error) if attempt < TRIES && port_taken(dir)? => {
                process::end_all(dir)?;
                fs::remove_dir_all(dir.join("logs")).context("cannot clear the logs")?;
                attempt += 1;
                drop(error);
            }
            Err(error) => return Err(error),
        }
    };
    Ok(state)
}

fn port_taken(dir: &Path) -> Result<bool> {
    let logs = fs::read_dir(dir.join("logs")).context("there are no logs")?;
    let taken = logs.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok());
    Ok(taken.into_iter().any(|text| text.contains("address already in use")))
}

fn start_processes(dir: &Path, components: &Components, nodes: Nodes) -> Result<State> {
    let [etcd, peer, free, manager, scheduler, kwok] = ports::free()?;
    let api = if nodes == Nodes::Real { SERVICE_PORT } else { free };
    let cluster = json!({
        "server": format!("https://127.0.0.1:{api}"),
        "certificate-authority-data": base64(&fs::read(dir.join("pki/ca.crt")).context("no CA")?),
    });
    let state = State {
        dir: dir.to_path_buf(),
        bin: components.bin()?,
        own_control_plane: true,
        cluster,
        smartops: None,
    };
    for user in ["admin", "kube-controller-manager", "kube-scheduler", "kwok"] {
        write_client(&state, user)?;
    }
    let run = |name: &'static str, arguments: Vec<String>| {
        let program = components.tool(name)?.to_path_buf();
        process::start(dir, &Launch { name, program, arguments, environment: Vec::new() })
    };
    run("etcd", etcd_flags(dir, etcd, peer))?;
    run("kube-apiserver", apiserver_flags(dir, etcd, api, nodes))?;
    let admin = Kubectl::new(components.tool("kubectl")?, &state.kubeconfig("admin"), dir);
    eventually(LIMIT, "the API server is ready", || {
        check_runs(dir, "etcd")?;
        check_runs(dir, "kube-apiserver")?;
        let outcome = admin.run(&["get", "--raw", "/readyz"])?;
        Ok(Seen::when(outcome.succeeded, outcome.text()))
    })?;
    run("kube-controller-manager", manager_flags(&state, manager, nodes))?;
    run("kube-scheduler", scheduler_flags(&state, scheduler))?;
    if nodes == Nodes::Real {
        return Ok(state);
    }
    admin.apply_all(&node_objects())?;
    run("kwok", kwok_flags(&state, kwok, components))?;
    eventually(LIMIT, "both nodes are ready", || {
        for name in ["kube-controller-manager", "kube-scheduler", "kwok"] {
            check_runs(dir, name)?;
        }
        let nodes = admin.get(&["nodes"])?;
        let ready = ready_nodes(&nodes);
        Ok(Seen::when(ready == NODES.len(), format!("{ready} are ready")))
    })?;
    Ok(state)
}

/// How many nodes of a list say Ready and are free of the taint that keeps pods away.
pub(crate) fn ready_nodes(list: &Value) -> usize {
    let nodes = list.get("items").and_then(Value::as_array);
    let ready = |node: &&Value| {
        let conditions = node.pointer("/status/conditions").and_then(Value::as_array);
        let is_ready = conditions.is_some_and(|conditions| {
            conditions.iter().any(|condition| {
                condition.get("type") == Some(&json!("Ready"))
                    && condition.get("status") == Some(&json!("True"))
            })
        });
        is_ready && node.pointer("/spec/taints").is_none()
    };
    nodes.map_or(0, |nodes| nodes.iter().filter(ready).count())
}

fn write_client(state: &State, user: &str) -> Result<()> {
    let pki = state.dir.join("pki");
    let file = |extension: &str| pki.join(format!("{user}.{extension}"));
    let proof = Proof::Files(file("crt"), file("key"));
    write_kubeconfig(&state.kubeconfig(user), &state.cluster, user, &proof)
}

fn base64(bytes: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes)
}

/// `--name value` pairs as arguments.
fn flags(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

fn etcd_flags(dir: &Path, client: u16, peer: u16) -> Vec<String> {
    let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    let data = dir.join("etcd").display().to_string();
    let mut flags = flags(&[
        ("data-dir", &data),
        ("listen-client-urls", &client),
        ("advertise-client-urls", &client),
        ("listen-peer-urls", &peer),
        ("initial-advertise-peer-urls", &peer),
        ("initial-cluster", &format!("default={peer}")),
    ]);
    // Nothing here must survive a power cut, and every test would wait for the disk.
    flags.push("--unsafe-no-fsync".to_owned());
    flags
}

fn apiserver_flags(dir: &Path, etcd: u16, port: u16, nodes: Nodes) -> Vec<String> {
    let pki = |name: &str| dir.join("pki").join(name).display().to_string();
    let policy = places::cluster_sources().join("audit-policy.yaml").display().to_string();
    let mut all = flags(&[
        ("etcd-servers", &format!("http://127.0.0.1:{etcd}")),
        ("advertise-address", "127.0.0.1"),
        ("endpoint-reconciler-type", "none"),
        ("secure-port", &port.to_string()),
        ("cert-dir", &dir.join("kubernetes").display().to_string()),
        ("tls-cert-file", &pki("apiserver.crt")),
        ("tls-private-key-file", &pki("apiserver.key")),
        ("client-ca-file", &pki("ca.crt")),
        ("service-account-key-file", &pki("sa.pub")),
        ("service-account-signing-key-file", &pki("sa.key")),
        ("service-account-issuer", "https://kubernetes.default.svc"),
        ("service-cluster-ip-range", "10.96.0.0/16"),
        ("authorization-mode", "Node,RBAC"),
        ("allow-privileged", "true"),
        ("profiling", "false"),
        // Blocking: whoever has the answer to a write finds it in the log.
        ("audit-log-mode", "blocking"),
        ("audit-log-path", &audit_log(dir).display().to_string()),
        ("audit-policy-file", &policy),
    ]);
    all.extend(match nodes {
        Nodes::Played => flags(&[("bind-address", "127.0.0.1")]),
        Nodes::Real => flags(&[
            ("bind-address", "0.0.0.0"),
            // Nothing here carries Service addresses: it picks a ready pod of the Service itself.
            ("enable-aggregator-routing", "true"),
            ("kubelet-preferred-address-types", "InternalIP"),
            ("kubelet-certificate-authority", &pki("ca.crt")),
            ("kubelet-client-certificate", &pki("admin.crt")),
            ("kubelet-client-key", &pki("admin.key")),
        ]),
    });
    all
}

/// The flags of a component that is both a client and a server of its own health.
fn component_flags(state: &State, user: &str, port: u16) -> Vec<String> {
    let kubeconfig = state.kubeconfig(user).display().to_string();
    flags(&[
        ("kubeconfig", &kubeconfig),
        ("authentication-kubeconfig", &kubeconfig),
        ("authorization-kubeconfig", &kubeconfig),
        ("bind-address", "127.0.0.1"),
        ("secure-port", &port.to_string()),
        ("cert-dir", &state.dir.join("kubernetes").display().to_string()),
        ("leader-elect", "false"),
        ("profiling", "false"),
    ])
}

fn manager_flags(state: &State, port: u16, nodes: Nodes) -> Vec<String> {
    let pki = |name: &str| state.dir.join("pki").join(name).display().to_string();
    let mut all = component_flags(state, "kube-controller-manager", port);
    all.extend(flags(&[
        ("service-account-private-key-file", &pki("sa.key")),
        ("root-ca-file", &pki("ca.crt")),
        ("cluster-signing-cert-file", &pki("ca.crt")),
        ("cluster-signing-key-file", &pki("ca.key")),
        ("use-service-account-credentials", "true"),
        (
            "node-monitor-grace-period",
            match nodes {
                // A busy machine must not make healthy fake nodes look lost.
                Nodes::Played => "300s",
                // Half of what it is by default, so that nobody waits long for a node that was lost.
                Nodes::Real => "25s",
            },
        ),
    ]));
    all
}

fn scheduler_flags(state: &State, port: u16) -> Vec<String> {
    component_flags(state, "kube-scheduler", port)
}

fn kwok_flags(state: &State, port: u16, components: &Components) -> Vec<String> {
    let mut all = flags(&[
        ("kubeconfig", &state.kubeconfig("kwok").display().to_string()),
        ("manage-nodes-with-annotation-selector", "kwok.x-k8s.io/node=fake"),
        ("server-address", &format!("127.0.0.1:{port}")),
        ("node-lease-duration-seconds", "40"),
    ]);
    for stage in &components.stages {
        all.push(format!("--config={}", stage.display()));
    }
    all
}

/// The fake nodes, and what the process that plays them may do.
fn node_objects() -> Vec<Value> {
    let rule = |group: &str, resources: &[&str], verbs: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
    let read = ["get", "list", "watch"];
    let write = ["get", "list", "watch", "create", "update", "patch", "delete"];
    let mut objects = vec![
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "smartops-test-nodes"},
            "rules": [
                rule("", &["nodes"], &read),
                rule("", &["pods"], &["get", "list", "watch", "update", "patch", "delete"]),
                rule("", &["nodes/status", "pods/status"], &["update", "patch"]),
                rule("", &["events"], &["create", "update", "patch"]),
                rule("coordination.k8s.io", &["leases"], &write),
            ],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "smartops-test-nodes"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "smartops-test-nodes",
            },
            "subjects": [{
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "User",
                "name": "system:kwok",
            }],
        }),
    ];
    let room = json!({"cpu": "64", "memory": "256Gi", "pods": "1000"});
    objects.extend(NODES.map(|name| {
        json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "annotations": {"kwok.x-k8s.io/node": "fake", "node.alpha.kubernetes.io/ttl": "0"},
                "labels": {
                    "kubernetes.io/hostname": name,
                    "kubernetes.io/os": "linux",
                    // As the chart asks for.
                    "kubernetes.io/arch": "amd64",
                    "type": "kwok",
                },
            },
            "status": {"allocatable": room, "capacity": room},
        })
    }));
    objects
}
