//! Two people for one scale: one asks, another approves, and nobody else can.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use smartops_tests::cluster::Cluster;
use smartops_tests::programs;
use smartops_tests::sample::{self, NAMESPACE};
use smartops_tests::wait::Seen;

use crate::people::ready;
use crate::story::{Expect, Story};

/// A Deployment of its own, so that the other stories' writes are not counted here.
const INVOICES: &str = "smartops-invoices";
const CREATE: [&str; 5] = ["-n", NAMESPACE, "create", "-f", "-"];

/// A scale through the API and one with kubectl, each approved by a second person only.
pub(crate) fn tell(story: &mut Story, cluster: &Cluster) -> Result<()> {
    let developer = cluster.kubectl("developer");
    sample::roll_out(&developer, NAMESPACE, INVOICES, sample::REPLICAS)?;
    through_the_api(story, cluster)?;
    with_kubectl(story, cluster)
}

fn through_the_api(story: &mut Story, cluster: &Cluster) -> Result<()> {
    let body = json!({
        "namespace": NAMESPACE, "deployment": "invoices", "replicas": 5, "require_approval": true,
    });
    let reply = story.post(
        &programs::controller_api(cluster)?,
        ("caller", "scale the invoices from 3 to 5, with approval"),
        ("/v1/k8s/scale", &body),
        (202, &["AwaitingApproval", "intentHash"]),
    )?;
    story.sees("nothing is written meanwhile", || ready(cluster, INVOICES, 3));
    let columns = ["-n", NAMESPACE, "get", "remediations"];
    story.kubectl(cluster, ("approver", "see what waits"), &columns, Expect::Allowed)?;
    let yes = reply.body["approval"]["create"].to_string();
    for (who, asks, words) in [
        ("agent", "approve it", &["automation"][..]),
        ("developer", "approve it, in no group that may", &["approvers"][..]),
    ] {
        story.kubectl_with(cluster, (who, asks), &CREATE, Some(&yes), Expect::Denied(words))?;
    }
    let second = ("approver", "approve it");
    story.kubectl_with(cluster, second, &CREATE, Some(&yes), Expect::Allowed)?;
    story.sees("pods ready", || ready(cluster, INVOICES, 5));
    Ok(())
}

fn with_kubectl(story: &mut Story, cluster: &Cluster) -> Result<()> {
    let live = cluster.kubectl("operator").get(&["-n", NAMESPACE, "deployment", INVOICES])?;
    let made = json!({
        "apiVersion": "smartops.dev/v1alpha1", "kind": "Remediation",
        "metadata": {"name": "invoices-month-end"},
        "spec": {
            "target": {"kind": "Deployment", "name": INVOICES, "uid": live["metadata"]["uid"]},
            "action": {"type": "scale", "scale": {"replicas": 6}},
            "cause": "manual/month-end", "source": "user", "requireApproval": true,
        },
    });
    let asks = ("approver", "ask for a sixth replica with kubectl");
    story.kubectl_with(cluster, asks, &CREATE, Some(&made.to_string()), Expect::Allowed)?;
    let mut yes = None;
    story.sees("what waits", || {
        let waiting = waiting(cluster)?;
        let hash = waiting["status"]["proposal"]["hash"].as_str().map(str::to_owned);
        yes = hash.as_ref().map(|hash| approval(&waiting, hash));
        Ok(hash.map_or_else(|| Seen::NotYet(waiting["status"].to_string()), Seen::Done))
    });
    let yes = yes.context("nothing waits for approval")?;
    let own = ("approver", "approve one's own request");
    let words = Expect::Denied(&["asked for"]);
    story.kubectl_with(cluster, own, &CREATE, Some(&yes), words)?;
    let second = ("deputy", "approve it as a second person");
    story.kubectl_with(cluster, second, &CREATE, Some(&yes), Expect::Allowed)?;
    story.sees("pods ready", || ready(cluster, INVOICES, 6));
    Ok(())
}

fn waiting(cluster: &Cluster) -> Result<Value> {
    cluster.kubectl("operator").get(&["-n", NAMESPACE, "remediation", "invoices-month-end"])
}

fn approval(remediation: &Value, hash: &str) -> String {
    let metadata = &remediation["metadata"];
    json!({
        "apiVersion": "smartops.dev/v1alpha1", "kind": "RemediationApproval",
        "metadata": {"generateName": "invoices-"},
        "spec": {
            "remediation": {"name": metadata["name"], "uid": metadata["uid"]},
            "intentHash": hash, "decision": "Approve", "reason": "the month ends",
        },
    })
    .to_string()
}
