//! A remedy that does not help, and is taken back: the target is not worse off than before.

use anyhow::Result;
use serde_json::{Value, json};
use smartops_tests::cluster::Cluster;
use smartops_tests::programs;
use smartops_tests::sample::{self, NAMESPACE};
use smartops_tests::wait::Seen;

use crate::people::ready;
use crate::story::Story;

/// A Deployment of its own, so that the other stories' writes are not counted here.
const BASKET: &str = "smartops-basket";

/// A patch whose pods crash.
pub(crate) fn tell(story: &mut Story, cluster: &Cluster) -> Result<()> {
    sample::roll_out(&cluster.kubectl("developer"), NAMESPACE, BASKET, sample::REPLICAS)?;
    let former = template(cluster)?;
    let labels = json!({"smartops.dev/crash-loop": "true"});
    let body = json!({
        "type": "patch", "verify": true, "verify_timeout_seconds": 60,
        "target": {"kind": "Deployment", "namespace": NAMESPACE, "name": "basket"},
        "patch": {"patch": {"spec": {"template": {"metadata": {"labels": labels}}}}},
    });
    let asks = ("caller", "patch the basket, by which its new pods will crash");
    story.post(
        &programs::controller_api(cluster)?,
        asks,
        ("/v1/actions/execute", &body),
        (200, &["\"success\":false", "CrashLoopBackOff"]),
    )?;
    story.sees("the patch taken back", || {
        let remediation = remediation(cluster)?;
        let status = &remediation["status"];
        let told = || format!("{}: {}", status["phase"], status["comparison"]["message"]);
        let is_undone = status["phase"] == "RolledBack" && status["comparison"]["isWorse"] == false;
        Ok(if is_undone { Seen::Done(told()) } else { Seen::NotYet(status.to_string()) })
    });
    story.sees("the pod template of before", || {
        let now = template(cluster)?;
        Ok(if now == former {
            Seen::Done("the same".into())
        } else {
            Seen::NotYet(now.to_string())
        })
    });
    story.sees("pods ready", || ready(cluster, BASKET, sample::REPLICAS.into()));
    Ok(())
}

fn template(cluster: &Cluster) -> Result<Value> {
    let live = cluster.kubectl("operator").get(&["-n", NAMESPACE, "deployment", BASKET])?;
    Ok(live["spec"]["template"].clone())
}

/// The basket's Remediation.
fn remediation(cluster: &Cluster) -> Result<Value> {
    let all = cluster.kubectl("operator").get(&["-n", NAMESPACE, "remediations"])?;
    let items = all["items"].as_array().into_iter().flatten();
    let of = |r: &&Value| r["spec"]["target"]["name"] == BASKET;
    Ok(items.rev().find(of).cloned().unwrap_or_default())
}
