//! Taking away everything that judges a write.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use smartops_tests::cluster::Cluster;
use smartops_tests::programs::Program;
use smartops_tests::wait::{Seen, eventually};
use smartops_tests::{process, sample};

use super::{Hook, is_judged};
use crate::support::own;

const A_WHILE: Duration = Duration::from_secs(30);
const ADMISSION: &str = "admissionregistration.k8s.io";
const JUDGING: &str = "validatingwebhookconfigurations,mutatingwebhookconfigurations,\
                       validatingadmissionpolicies,validatingadmissionpolicybindings";

/// Everything of SmartOps' that judges a write, as kind/name.
fn judging(cluster: &Cluster) -> Result<Vec<String>> {
    let list = cluster.kubectl("admin").get(&[JUDGING])?;
    let ours = list["items"].as_array().into_iter().flatten().filter_map(|object| {
        let name = object["metadata"]["name"].as_str()?;
        name.starts_with("smartops-").then(|| format!("{}/{name}", object["kind"]))
    });
    Ok(ours.collect())
}

/// What somebody else has of the same kinds.
fn foreign() -> [Value; 2] {
    let api_version = format!("{ADMISSION}/v1");
    [
        json!({
            "apiVersion": api_version, "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": "foreign"},
            "spec": {
                "matchConstraints": {"resourceRules": [{"apiGroups": ["example.com"],
                    "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["things"]}]},
                "validations": [{"expression": "true"}],
            },
        }),
        json!({
            "apiVersion": api_version, "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "foreign"}, "webhooks": [],
        }),
    ]
}

#[test]
fn everything_that_judges_a_write_is_taken_away_and_a_live_webhook_puts_nothing_back() -> Result<()>
{
    let cluster = own("removal")?;
    let admin = cluster.kubectl("admin");
    let hook = Hook::install(&cluster, "smartops-removal")?;
    admin.apply_all(&foreign())?;
    let backstop = json!({"spec": {"people": {"outage": "Backstop"}}}).to_string();
    admin.run(&["patch", "smartopsconfig/default", "--type=merge", "-p", &backstop])?.ok()?;
    eventually(A_WHILE, "the API server has been given policies to judge by", || {
        let judging = judging(&cluster)?;
        let count = judging.iter().filter(|o| o.contains("ValidatingAdmissionPolicy\"")).count();
        Ok(Seen::when(count >= 2, format!("{judging:?}")))
    })?;
    ensure!(is_judged(&cluster)?);

    let told = hook.run(&cluster)?.ends(
        0,
        &[
            "deleting ClusterRoleBinding smartops-webhook-cluster",
            "deleting ValidatingWebhookConfiguration smartops-people",
            "deleting ValidatingAdmissionPolicyBinding smartops-own-objects",
            "nothing of SmartOps' judges any write",
        ],
    )?;
    ensure!(told.output.starts_with("deleting ClusterRoleBinding"), "the rights go first");
    ensure!(judging(&cluster)?.is_empty(), "{:?}", judging(&cluster)?);
    ensure!(!is_judged(&cluster)?, "a write is still judged");
    process::check_runs(cluster.dir(), Program::Webhook.name())?;
    for kind in ["validatingadmissionpolicy", "validatingwebhookconfiguration"] {
        admin.get(&[kind, "foreign"]).context("what is somebody else's must stay")?;
    }

    // Whoever asks once more has nothing to wait for.
    let begun = Instant::now();
    hook.run(&cluster)?.ends(0, &["nothing was to be done"])?;
    ensure!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    ensure!(judging(&cluster)?.is_empty() && !is_judged(&cluster)?);
    cluster.stop()
}

#[test]
fn a_dead_webhooks_registrations_are_taken_away_and_writes_pass_again() -> Result<()> {
    let cluster = own("dead-removal")?;
    let admin = cluster.kubectl("admin");
    let hook = Hook::install(&cluster, "smartops-removal")?;
    Program::Webhook.kill(&cluster)?;
    let few = sample::deployment(sample::NAMESPACE, "few", 2).to_string();
    let create = ["create", "--dry-run=server", "-f", "-"];
    let refused = cluster.kubectl("developer").run_with(&create, Some(&few))?;
    ensure!(refused.errors.contains("failed calling webhook"), "{}", refused.text());
    // Something holds one: that is told, and when it lets go the same command ends well.
    let own_kinds = "validatingwebhookconfiguration/smartops-own";
    let hold = |value: Value| {
        let patch = json!({"metadata": {"finalizers": value}}).to_string();
        admin.run(&["patch", own_kinds, "--type=merge", "-p", &patch])?.ok()
    };
    hold(json!(["example.com/keep"]))?;
    hook.run_with(&cluster, &["--timeout-seconds=3"])?
        .ends(1, &["smartops-own still stands after 3s", "held by example.com/keep"])?;
    hold(json!(null))?;
    hook.run(&cluster)?.ends(0, &["nothing of SmartOps' judges any write"])?;
    ensure!(judging(&cluster)?.is_empty(), "{:?}", judging(&cluster)?);
    cluster.kubectl("developer").run_with(&create, Some(&few))?.ok()?;
    cluster.stop()
}
