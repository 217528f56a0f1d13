//! The machine itself: nodes that are real, and nothing of them that stays.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use smartops_tests::node::Trace;
use smartops_tests::wait::{Seen, eventually};
use smartops_tests::{places, process};

use super::{report, site};
use crate::support;

#[test]
#[ignore = "needs real nodes: cargo xtask test --node"]
fn two_real_nodes_run_pods_and_leave_no_trace() -> Result<()> {
    let mut place = site::place();
    if let Some(site) = place.take() {
        site.stop()?;
    }
    let before = Trace::take()?;
    let begun = Instant::now();
    let machine = site::start_machine("machine")?;
    report::took("a control plane and two nodes until they are ready", begun.elapsed())?;
    let admin = machine.admin();
    for index in 0..site::NODES {
        admin.apply_all(&[pod(index)])?;
    }
    eventually(
        Duration::from_mins(1),
        "a pod runs on each node, with an address of its own",
        || {
            let pods = admin.get(&["pods", "-n", "default"])?;
            let running: Vec<&Value> = pods["items"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|pod| {
                    pod["status"]["phase"] == "Running" && pod["status"]["podIP"].is_string()
                })
                .collect();
            let apart = running.len() == site::NODES
                && running[0]["status"]["hostIP"] != running[1]["status"]["hostIP"]
                && running[0]["status"]["podIP"] != running[1]["status"]["podIP"];
            Ok(Seen::when(apart, pods.to_string()))
        },
    )?;
    let during = Trace::take()?;
    let added = during.added_since(&before);
    for kind in ["link: ", "addr: ", "cgroup: ", "process: "] {
        assert!(added.iter().any(|line| line.starts_with(kind)), "no {kind} in {added:#?}");
    }
    // Somebody still looks at a pod's network: its link would stay for as long.
    let network = pods_network()?;
    let begun = Instant::now();
    machine.stop()?;
    report::took("the same until nothing of them is left", begun.elapsed())?;
    let after = Trace::take()?;
    assert_eq!(after.added_since(&before), Vec::<String>::new());
    assert_eq!(after.lost_since(&before), Vec::<String>::new());
    drop(network);
    Ok(())
}

/// The network namespace of some pod, held open.
fn pods_network() -> Result<File> {
    let quiet = fs::read_dir("/proc")?.flatten().map(|entry| entry.path()).find(|path| {
        let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
        name.trim() == "smartops-pause"
    });
    let namespace = quiet.context("no pod's process is there")?.join("ns/net");
    File::open(&namespace).with_context(|| format!("cannot open {}", namespace.display()))
}

#[test]
#[ignore = "needs real nodes: cargo xtask test --node"]
fn a_killed_harness_leaves_no_trace_of_its_node() -> Result<()> {
    let mut place = site::place();
    if let Some(site) = place.take() {
        site.stop()?;
    }
    let folder = support::folder("killed-node");
    let before = Trace::take()?;
    let mut child = Command::new(places::program("smartops-node")?)
        .arg("up")
        .arg(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start smartops-node")?;
    let mut output = BufReader::new(child.stdout.take().context("it has no output")?);
    let mut first = String::new();
    output.read_line(&mut first)?;
    ensure!(first.contains("kubeconfig"), "the node did not start: {first:?}");
    let added = Trace::take()?.added_since(&before);
    for kind in ["link: ", "addr: ", "cgroup: ", "process: "] {
        assert!(added.iter().any(|line| line.starts_with(kind)), "no {kind} in {added:#?}");
    }
    let begun = Instant::now();
    // SIGKILL: nothing of the harness' own runs any more.
    child.kill()?;
    child.wait()?;
    eventually(
        Duration::from_mins(1),
        "links, mounts, cgroups and processes are as before",
        || {
            let after = Trace::take()?;
            let (added, lost) = (after.added_since(&before), after.lost_since(&before));
            let same = added.is_empty() && lost.is_empty();
            Ok(Seen::when(same, format!("added {added:#?}, lost {lost:#?}")))
        },
    )?;
    report::took("kill -9 of the harness until nothing of its node is left", begun.elapsed())?;
    assert_eq!(places::tail(&process::log(&folder, "reaper"), 5), "");
    Ok(())
}

#[test]
#[ignore = "needs real nodes: cargo xtask test --node"]
fn a_machine_whose_cgroups_are_read_only_says_so_and_is_skipped() -> Result<()> {
    let script = "mount --options remount,bind,ro \"$1\" && exec \"$2\" prepare";
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let pids = mounts.lines().find(|line| line.contains(" cgroup ") && line.contains(",pids"));
    let point = pids.and_then(|line| line.split(' ').nth(1)).context("there are no pids")?;
    let output = Command::new("unshare")
        .args(["--mount", "/bin/sh", "-c", script, "sh", point])
        .arg(places::program("smartops-node")?)
        .output()
        .context("cannot start unshare")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("cgroups cannot be made here"), "{said}");
    assert!(said.contains("Read-only file system"), "{said}");
    Ok(())
}

#[test]
fn a_machine_without_the_rights_for_a_node_says_so_and_is_skipped() -> Result<()> {
    let node = places::program("smartops-node")?;
    let is_root = fs::read_to_string("/proc/self/status")?.contains("\nUid:\t0\t");
    let mut command = Command::new(if is_root { Path::new("setpriv") } else { node.as_path() });
    if is_root {
        // Root without a right, as in a container that was given none.
        command.args(["--bounding-set=-all", "--inh-caps=-all"]).arg(&node);
    }
    let output = command.arg("prepare").output().context("cannot start prepare")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let reasons = ["it takes root", "this machine has no", "cgroups", "namespaces of a node"];
    assert!(reasons.iter().any(|reason| said.contains(reason)), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    Ok(())
}

fn pod(index: usize) -> Value {
    let name = format!("quiet-{index}");
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": "default", "name": name},
        "spec": {
            "nodeName": smartops_tests::node::Machine::node(index),
            "automountServiceAccountToken": false,
            "containers": [{
                "name": "quiet",
                "image": "localhost/smartops-pause:1",
                "imagePullPolicy": "Never",
                "resources": {"limits": {"memory": "16Mi", "cpu": "50m"}},
            }],
        },
    })
}
