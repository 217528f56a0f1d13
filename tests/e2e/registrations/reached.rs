//! Nothing can fail closed before the API server was seen to reach the webhook: until then one entry stands that asks
//! about nothing but the webhook's own trial. By the same entry it is looked, once all is filled, whether it is still so.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use smartops_tests::cluster::Cluster;
use smartops_tests::http::Client;
use smartops_tests::kubectl::Outcome;
use smartops_tests::programs::{Program, endpoints};
use smartops_tests::wait::{Seen, eventually};
use smartops_tests::{install, metrics, process, sample};

use super::behind::{address, by_service, launch_by_service};
use super::leaving::all_filled;
use super::way::Way;
use super::{OURS, REGISTRATIONS, SECONDS};
use crate::support::{Namespace, bare};

/// It is looked twice a minute.
const LOOKED: Duration = Duration::from_secs(45);

/// All entries that stand.
fn entries(cluster: &Cluster) -> Result<Vec<Value>> {
    let list = cluster.kubectl("admin").get(&[REGISTRATIONS, "-l", OURS])?;
    let all = list["items"].as_array().into_iter().flatten();
    Ok(all.flat_map(|one| one["webhooks"].as_array().cloned().unwrap_or_default()).collect())
}

/// Their names.
fn asking(cluster: &Cluster) -> Result<Vec<String>> {
    let names = entries(cluster)?.into_iter();
    Ok(names.map(|entry| entry["name"].as_str().unwrap_or_default().to_owned()).collect())
}

fn log(cluster: &Cluster) -> String {
    std::fs::read_to_string(process::log(cluster.dir(), "webhook")).unwrap_or_default()
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
    eventually(SECONDS, "it says that it is not reached, and what to do", || {
        let text = log(&cluster);
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

    // Its twin: where it is reached, everything is filled.
    Program::Webhook.kill(&cluster)?;
    let here = format!("--webhook-url={}", endpoints(&cluster)?.webhook_url());
    Program::Webhook.start(&cluster, &[&here])?;
    eventually(SECONDS, "everything is filled", || {
        let missing = install::unfilled(&admin.get(&[REGISTRATIONS])?);
        Ok(Seen::when(missing.is_empty(), format!("{missing:?}")))
    })?;
    eventually(SECONDS, "it is told that it is reached, and writes are judged", || {
        let outcome = beyond(&namespace, "developer")?;
        let is_judged = outcome.text().contains("SmartOps denies");
        Ok(Seen::when(is_judged && is_reached(&cluster)?, outcome.text()))
    })?;
    cluster.stop()
}

/// Waits until it is told that it is reached, and a write beyond a limit is judged.
fn judged(cluster: &Cluster, namespace: &Namespace<'_>) -> Result<()> {
    eventually(SECONDS, "it is told that it is reached, and writes are judged", || {
        let outcome = beyond(namespace, "developer")?;
        let is_judged = outcome.text().contains("SmartOps denies");
        Ok(Seen::when(is_judged && is_reached(cluster)?, outcome.text()))
    })
}

#[test]
fn once_all_is_filled_it_is_told_when_nobody_is_reached_any_more_and_nothing_is_taken_out()
-> Result<()> {
    let mut cluster = bare("shut")?;
    install::install_base(&mut cluster, &|_| {})?;
    let namespace = Namespace::create(&cluster, "shut")?;
    cluster.kubectl("admin").apply(&install::render(&cluster, "registrations")?)?;
    let way = Way::to(endpoints(&cluster)?.webhook_port)?;
    Program::Webhook.start(&cluster, &[&format!("--webhook-url={}", way.url())])?;
    all_filled(&cluster)?;
    judged(&cluster, &namespace)?;
    let filled = entries(&cluster)?;
    way.shut();
    eventually(LOOKED, "it is told that it is not reached", || {
        let text = log(&cluster);
        let is_told = text.contains("and the registrations ask for it");
        Ok(Seen::when(is_told && !is_reached(&cluster)?, text))
    })?;
    let outcome = beyond(&namespace, "agent")?;
    ensure!(outcome.text().contains("failed calling webhook"), "{}", outcome.text());
    ensure!(entries(&cluster)? == filled, "{:?}", entries(&cluster)?);
    way.open();
    judged(&cluster, &namespace)?;
    cluster.stop()
}

#[test]
fn what_a_webhook_outside_the_cluster_left_behind_leads_to_the_service_once_that_is_reached()
-> Result<()> {
    let mut cluster = bare("moved-in")?;
    install::install_base(&mut cluster, &|_| {})?;
    let Some(address) = address(3)? else { return Ok(()) };
    let (admin, namespace) = (cluster.kubectl("admin"), Namespace::create(&cluster, "moved-in")?);
    let shipped = install::render(&cluster, "registrations")?;
    admin.apply(&shipped)?;
    admin.apply_all(&by_service(&address))?;
    Program::Webhook.start(&cluster, &[])?;
    all_filled(&cluster)?;
    Program::Webhook.terminate(&cluster, SECONDS)?;
    let url = endpoints(&cluster)?.webhook_url();
    let is_left = |entry: &Value| entry["clientConfig"]["url"].to_string().contains(&url);
    ensure!(entries(&cluster)?.iter().all(is_left), "{:?}", entries(&cluster)?);
    let outcome = beyond(&namespace, "agent")?;
    ensure!(outcome.text().contains("failed calling webhook"), "{}", outcome.text());

    admin.apply(&shipped)?;
    launch_by_service(&cluster, &address)?;
    eventually(SECONDS, "every entry names the Service", || {
        let stands = entries(&cluster)?;
        let is_moved =
            |entry: &Value| entry["clientConfig"]["service"]["name"] == "smartops-webhook";
        let is_whole = install::unfilled(&admin.get(&[REGISTRATIONS])?).is_empty();
        Ok(Seen::when(is_whole && stands.iter().all(is_moved), format!("{stands:?}")))
    })?;
    let text = log(&cluster);
    ensure!(text.contains("nothing is asked about until the API server was seen"), "{text}");
    judged(&cluster, &namespace)?;
    cluster.stop()
}
