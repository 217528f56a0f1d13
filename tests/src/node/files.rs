//! The files a node is configured by: kubelet, containerd, and the plugins that give a pod its network.

use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::network;
use super::plan::Plan;
use crate::cluster::Cluster;
use crate::kubectl::{Proof, write_kubeconfig};
use crate::pki::{self, Authority};

/// The image of the process that holds a pod's namespaces.
const SANDBOX: &str = "localhost/smartops-pause:1";

/// Writes every file of a node.
pub(super) fn write(cluster: &Cluster, plan: &Plan) -> Result<()> {
    let pki = cluster.dir().join("pki");
    let user = format!("system:node:{}", plan.name);
    let hosts = [plan.name.as_str(), plan.address.as_str()];
    Authority::open(&pki)?.issue(&plan.name, &user, &["system:nodes"], &hosts)?;
    let file = |extension: &str| pki.join(format!("{}.{extension}", plan.name));
    let proof = Proof::Files(file("crt"), file("key"));
    let folder = &plan.folder;
    write_kubeconfig(&folder.join("kubeconfig"), &cluster.state.cluster, &user, &proof)?;
    let networks = folder.join("networks");
    fs::create_dir_all(&networks).context("cannot make a node's folder")?;
    pki::write(&folder.join("kubelet.json"), &format!("{:#}", kubelet(plan, &pki)))?;
    pki::write(&folder.join("containerd.toml"), &containerd(plan))?;
    pki::write(&networks.join("smartops.conflist"), &format!("{:#}", network_plugins(plan)))
}

/// The kubelet's configuration.
fn kubelet(plan: &Plan, pki: &std::path::Path) -> Value {
    let file = |extension: &str| pki.join(format!("{}.{extension}", plan.name));
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": plan.address,
        "healthzPort": 0,
        "readOnlyPort": 0,
        "tlsCertFile": file("crt"),
        "tlsPrivateKeyFile": file("key"),
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": pki.join("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": false,
        "failSwapOn": false,
        // We may not lower anybody's score, and there is no firewall to write.
        "oomScoreAdj": 0,
        "makeIPTablesUtilChains": false,
        // No DNS: pods speak to the API server's address.
        "resolvConf": "",
        "clusterDomain": "cluster.local",
        // A machine's full disk is no reason to end pods of a test.
        "evictionHard": {"memory.available": "200Mi"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        // Quicker than by default, so that a lost node is missed sooner.
        "nodeLeaseDurationSeconds": 20,
        "nodeStatusUpdateFrequency": "5s",
    })
}

/// containerd's configuration. The paths in quotes are TOML's basic strings, which JSON's are too.
fn containerd(plan: &Plan) -> String {
    let text = |value: String| json!(value).to_string();
    let path = |path: std::path::PathBuf| text(path.display().to_string());
    let plugins = path(plan.parts.network_plugins());
    let networks = path(plan.folder.join("networks"));
    let runc = path(plan.parts.runc());
    let sandbox = text(SANDBOX.to_owned());
    format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.opt",
  "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
address = "/run/containerd/containerd.sock"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = {sandbox}
disable_apparmor = true
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
stream_server_address = "127.0.0.1"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = {plugins}
conf_dir = {networks}

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = {runc}
SystemdCgroup = false
"#
    )
}

/// How a pod is put on the bridge.
fn network_plugins(plan: &Plan) -> Value {
    let [subnet, gateway, first, last] = network::pods(plan.index);
    json!({
        "cniVersion": "0.4.0",
        "name": "smartops",
        "plugins": [{
            "type": "bridge",
            "bridge": network::BRIDGE,
            "isGateway": false,
            "ipMasq": false,
            "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "dataDir": plan.folder.join("addresses"),
                "routes": [{"dst": "0.0.0.0/0"}],
                "ranges": [[{
                    "subnet": subnet, "gateway": gateway, "rangeStart": first, "rangeEnd": last,
                }]],
            },
        }],
    })
}
