//! Nothing can fail closed before the API server was seen to reach the webhook: until then one entry stands that asks
//! about nothing but the webhook's own trial.

use std::net::TcpListener;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use smartops_tests::cluster::Cluster;
use smartops_tests::http::Client;
use smartops_tests::kubectl::Outcome;
use smartops_tests::programs::{Program, endpoints};
use smartops_tests::wait::{Seen, eventually};
use smartops_tests::{install, metrics, process, sample};

use super::{OURS, REGISTRATIONS, SECONDS};
use crate::support::{Namespace, bare};

/// The names of all entries that stand.
fn asking(cluster: &Cluster) -> Result<Vec<String>> {
    let list = cluster.kubectl("admin").get(&[REGISTRATIONS, "-l", OURS])?;
    let all = list["items"].as_array().into_iter().flatten();
    let entries = all.flat_map(|one| one["webhooks"].as_array().cloned().unwrap_or_default());
    Ok(entries.map(|entry| entry["name"].as_str().unwrap_or_default().to_owned()).collect())
}

fn is_reached(cluster: &Cluster) -> Result<bool> {
    let text = Client::new(&Program::Webhook.health_url(cluster)?).get("/metrics")?.text;
    Ok(metrics::sum(&text, "smartops_webhook_reached", &[]).context(text)? > 0.0)
}

/// A write beyond a limit, by somebody.
fn beyond(namespace: &Namespace<'_>, actor: &str) -> Result<Outcome> {
    let object: Value = sample::deployment(&namespace.name, "beyond", 50);
    let arguments = ["create", "--dry-run=server", "-f", "-"];
    namespace.kubectl(actor).run_with(&arguments, Some(&object.to_string()))
}

#[test]
fn where_the_api_server_cannot_reach_the_webhook_nothing_is_asked_about_and_everything_passes()
-> Result<()> {
    let mut cluster = bare("unreached")?;
    install::install_base(&mut cluster, &|_| {})?;
    let admin = cluster.kubectl("admin");
    let namespace = Namespace::create(&cluster, "unreached")?;
    admin.apply(&install::render(&cluster, "registrations")?)?;
    // Taken, so that nobody else listens there, and not served: as behind a firewall.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let nowhere = format!("--webhook-url=https://{}", silent.local_addr()?);
    Program::Webhook.start(&cluster, &[&nowhere])?;
    let log = || std::fs::read_to_string(process::log(cluster.dir(), "webhook"));
    eventually(SECONDS, "it says that it is not reached, and what to do", || {
        let text = log().unwrap_or_default();
        let is_told = text.contains("the API server cannot reach the webhook at https://127.0.0.1");
        Ok(Seen::when(is_told && text.contains("open port 8443"), text))
    })?;
    ensure!(asking(&cluster)? == ["reach.smartops.dev"], "{:?}", asking(&cluster)?);
    ensure!(!is_reached(&cluster)?);
    for actor in ["developer", "agent"] {
        let outcome = beyond(&namespace, actor)?;
        ensure!(!outcome.text().contains("webhook"), "{actor} is held up: {}", outcome.text());
    }
    beyond(&namespace, "developer")?.ok()?;
    let create = ["-n", "smartops-system", "create", "--dry-run=server", "-f", "-"];
    let ledger = "apiVersion: smartops.dev/v1alpha1\nkind: ChangeLedger\nmetadata: {name: reach.smartops.dev}\nspec: {}\n";
    admin.run_with(&create, Some(ledger))?.ok().context("nobody else's trial is asked about")?;

    // Its twin: where it is reached, everything is filled, and the trial is gone.
    Program::Webhook.kill(&cluster)?;
    let here = format!("--webhook-url={}", endpoints(&cluster)?.webhook_url());
    Program::Webhook.start(&cluster, &[&here])?;
    eventually(SECONDS, "everything is filled", || {
        let missing = install::unfilled(&admin.get(&[REGISTRATIONS])?);
        Ok(Seen::when(missing.is_empty(), format!("{missing:?}")))
    })?;
    let entries = asking(&cluster)?;
    ensure!(!entries.contains(&"reach.smartops.dev".to_owned()), "{entries:?}");
    eventually(SECONDS, "it is told that it is reached, and writes are judged", || {
        let outcome = beyond(&namespace, "developer")?;
        let is_judged = outcome.text().contains("SmartOps denies");
        Ok(Seen::when(is_judged && is_reached(&cluster)?, outcome.text()))
    })?;
    cluster.stop()
}
