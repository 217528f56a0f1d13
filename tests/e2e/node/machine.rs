//! The machine itself: nodes that are real, and nothing of them that stays.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};
use smartops_tests::node::Trace;
use smartops_tests::wait::{Seen, eventually};

use super::{report, site};

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
    let begun = Instant::now();
    machine.stop()?;
    report::took("the same until nothing of them is left", begun.elapsed())?;
    let after = Trace::take()?;
    assert_eq!(after.added_since(&before), Vec::<String>::new());
    assert_eq!(after.lost_since(&before), Vec::<String>::new());
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
