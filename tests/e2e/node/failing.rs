//! What nobody asked for: a replica that dies, a node that is lost. Here writes may fail, for as long as the API server
//! still believes in what is gone; which ones, and how long, is counted.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use smartops_tests::node::Machine;
use smartops_tests::stream::{Failure, Stream, Tally};
use smartops_tests::wait::{Seen, eventually};

use super::report;
use super::site::{self, NODES, Site};

const LIMIT: Duration = Duration::from_mins(2);
/// From the EndpointSlice that says so until an API server that watches it knows.
const TOLD: Duration = Duration::from_secs(1);
/// How long the API server waits for the webhook, by the registrations.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
#[ignore = "needs real nodes: cargo xtask test --node"]
fn a_killed_replica_costs_writes_in_flight_and_those_dialled_before_its_endpoint_went() -> Result<()>
{
    site::with(|site| {
        site.ready()?;
        let (mut killed, mut gone) = (Duration::ZERO, Duration::ZERO);
        let tally = site.under_writes(|stream| {
            let pod = site.webhooks()?.into_iter().next().context("there is no webhook")?;
            let uid = pod["metadata"]["uid"].as_str().context("a pod without uid")?;
            let address = pod["status"]["podIP"].as_str().context("a pod without address")?;
            killed = stream.elapsed();
            site.machine.kill_in_pod(uid, "smartops-webhook")?;
            gone = withdrawn(site, stream, address)?;
            site.wait_whole()
        })?;
        report::stream("kill -9 of one replica of two", &tally)?;
        tell(&tally, killed, gone)?;
        for failure in &tally.failures {
            let Some(kind) = kind(failure) else { bail!("not by the killed replica: {failure:?}") };
            assert_ne!(kind, "dialled, no answer", "{failure:?}");
            assert!(failure.ended >= killed && failure.began <= gone + TOLD, "{failure:?}");
        }
        Ok(())
    })
}

#[test]
#[ignore = "needs real nodes: cargo xtask test --node"]
fn a_lost_node_costs_writes_until_its_endpoint_goes_and_none_after() -> Result<()> {
    site::with(|site| {
        site.ready()?;
        let (mut lost, mut gone) = (Duration::ZERO, Duration::ZERO);
        let tally = site.under_writes(|stream| {
            let node = Machine::node(NODES - 1);
            let pods = site.webhooks()?;
            let on_it = pods.iter().find(|pod| pod["spec"]["nodeName"] == node.as_str());
            let pod = on_it.with_context(|| format!("no webhook runs on {node}"))?;
            let address = pod["status"]["podIP"].as_str().context("a pod without address")?;
            lost = stream.elapsed();
            site.machine.lose(NODES - 1)?;
            gone = withdrawn(site, stream, address)?;
            let after = stream.calls() + site::WRITES;
            eventually(LIMIT, "writes go on", || {
                Ok(Seen::when(stream.calls() >= after, stream.calls().to_string()))
            })
        })?;
        report::stream("loss of one node of two", &tally)?;
        tell(&tally, lost, gone)?;
        for failure in &tally.failures {
            assert!(kind(failure).is_some(), "not by the lost node: {failure:?}");
            assert!(
                failure.ended >= lost && failure.began <= gone + TOLD + PATIENCE,
                "lost at {lost:?}, withdrawn at {gone:?}: {failure:?}"
            );
        }
        site.machine.join(NODES - 1)?;
        site.machine.wait_ready(NODES)?;
        site.wait_whole()
    })
}

/// Waits until the API server is told that nobody answers at an address. When that was, by the stream's clock.
fn withdrawn(site: &Site, stream: &Stream, address: &str) -> Result<Duration> {
    eventually(LIMIT, "the endpoint is withdrawn", || {
        let addresses = site.addresses()?;
        let listed = addresses.iter().any(|known| known == address);
        Ok(Seen::when(!listed, format!("{addresses:?}")))
    })?;
    Ok(stream.elapsed())
}

/// Which way a write failed by a webhook that is gone; none for any other way.
fn kind(failure: &Failure) -> Option<&'static str> {
    let says = |words: &[&str]| words.iter().any(|word| failure.text.contains(word));
    if !failure.text.contains("failed calling webhook") {
        return None;
    }
    if says(&["connection refused"]) {
        return Some("dialled, refused");
    }
    if says(&["EOF", "connection reset", "broken pipe", "closed"]) {
        return Some("in flight");
    }
    // Not by "timeout" alone: each call's URL says how long it may take.
    let unanswered = ["no route to host", "i/o timeout", "deadline exceeded", "Client.Timeout"];
    says(&unanswered).then_some("dialled, no answer")
}

/// Tells how many failed which way, and how long that was possible.
fn tell(tally: &Tally, begun: Duration, gone: Duration) -> Result<()> {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for failure in &tally.failures {
        *kinds.entry(kind(failure).unwrap_or("otherwise")).or_default() += 1;
    }
    let last = tally.failures.iter().map(|failure| failure.ended).max().unwrap_or(begun);
    report::line(&format!(
        "  {kinds:?}; endpoint withdrawn after {:.1} s, last failure after {:.1} s",
        gone.saturating_sub(begun).as_secs_f32(),
        last.saturating_sub(begun).as_secs_f32(),
    ))
}
