//! Remediations that ended long ago are deleted by the replica that leads, and by it alone, under the webhook's eyes. None
//! can be made to have ended long ago while SmartOps runs, so these were made before it was installed.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use smartops_tests::cluster::Cluster;
use smartops_tests::install;
use smartops_tests::replicas::Replica;
use smartops_tests::sample;
use smartops_tests::wait::{Seen, eventually};

use crate::support::bare;

const LONG_AGO: &str = "2020-02-02T02:02:02Z";
const SOON: Duration = Duration::from_secs(90);

#[test]
fn what_ended_long_ago_is_deleted_unless_the_next_of_its_target_is_named_after_it() -> Result<()> {
    let mut cluster = bare("pruning")?;
    install::install_base(&mut cluster, &|_| {})?;
    let admin = cluster.kubectl("admin");
    sample::roll_out(&admin, sample::NAMESPACE, "web", 1)?;
    let web = admin.get(&["deployment", "web", "-n", sample::NAMESPACE])?;
    let uid = web["metadata"]["uid"].as_str().context("a Deployment without uid")?;
    let gone = "00000000-0000-4000-8000-000000000000";
    for (name, uid, sequence) in [
        ("first", uid, 1),
        ("second", uid, 2),
        ("latest", uid, 3),
        // Of a Deployment that is no more, nothing will be named after.
        ("of-what-is-gone", gone, 1),
    ] {
        forge(&cluster, name, uid, sequence)?;
    }

    install::start_webhook(&cluster, &|_| {})?;
    let (leader, other) = (Replica::first(&cluster)?, Replica::further(&cluster, 2)?);
    leader.start(&[])?;
    leader.wait_leads(true, SOON)?;
    other.start(&[])?;
    eventually(SOON, "the latest alone is left", || {
        let left = names(&cluster)?;
        Ok(Seen::when(left == ["latest"], format!("left are {left:?}")))
    })?;
    let pruned = |replica: &Replica<'_>| replica.metric("smartops_orchestrator_pruned_total");
    eventually(SOON, "three are counted", || {
        let counted = (pruned(&leader), pruned(&other));
        Ok(Seen::when(counted == (Some(3.0), Some(0.0)), format!("{counted:?}")))
    })?;
    let deletions: Vec<_> = cluster
        .writes()?
        .into_iter()
        .filter(|write| write.resource == "remediations" && write.verb == "delete")
        .map(|write| (write.user, write.code))
        .collect();
    let by_controller =
        |(user, code): &(String, u16)| user.ends_with(":smartops-orchestrator") && *code == 200;
    ensure!(deletions.len() == 3 && deletions.iter().all(by_controller), "{deletions:?}");
    cluster.stop()
}

/// A Remediation that nobody looks at any more.
fn forge(cluster: &Cluster, name: &str, uid: &str, sequence: u32) -> Result<()> {
    let admin = cluster.kubectl("admin");
    let by = "system:serviceaccount:smartops-system:smartops-orchestrator";
    let remediation = json!({
        "apiVersion": "smartops.dev/v1alpha1", "kind": "Remediation",
        "metadata": {"namespace": sample::NAMESPACE, "name": name},
        "spec": {
            "target": {"kind": "Deployment", "name": "web", "uid": uid},
            "action": {"type": "restart"}, "cause": "anomaly/error", "sequence": sequence,
            "source": "closed-loop", "requestedBy": "apikey:harness", "createdBy": by,
            "dryRun": false, "verify": true, "verifyTimeoutSeconds": 60, "verifyPollSeconds": 1,
        },
    });
    admin.apply_all(&[remediation])?;
    let outcome = json!({"reason": "Stale", "message": "", "finishedAt": LONG_AGO});
    let status = json!({"status": {"phase": "Skipped", "outcome": outcome}}).to_string();
    let object = format!("remediation/{name}");
    let flags = ["--subresource=status", "--type=merge", "-p", &status];
    let arguments = [&["patch", "-n", sample::NAMESPACE, &object], &flags[..]].concat();
    admin.run(&arguments)?.ok().map(drop)
}

fn names(cluster: &Cluster) -> Result<Vec<String>> {
    let list = cluster.kubectl("admin").get(&["remediations", "-n", sample::NAMESPACE])?;
    let items: Vec<Value> = list["items"].as_array().cloned().unwrap_or_default();
    let name = |r: &Value| r["metadata"]["name"].as_str().map(str::to_owned);
    Ok(items.iter().filter_map(name).collect())
}
