//! Two replicas of the controller, of which one leads: killed and frozen at every step of a remedy it is followed by the
//! other, which does what was left, and what a frozen one still sends when it goes on is refused. What was written is
//! counted by the API server's own audit log.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use smartops_tests::audit::Write;
use smartops_tests::cluster::Cluster;
use smartops_tests::process::Signal;
use smartops_tests::replicas::Replica;
use smartops_tests::sample;
use smartops_tests::wait::{Seen, eventually};

use crate::crash::{FAILPOINTS, OF_SIGNALS_ONLY};
use crate::support::own;

/// A short lease, so that sixteen of them can run out.
const SHORT_LEASE: &str = "--lease-seconds=3";
/// How long a leader may take to come to its failpoint, and the other one to follow it.
const SOON: Duration = Duration::from_secs(30);
/// How long a remedy may take, its verification included.
const REMEDY: Duration = Duration::from_mins(1);
/// A Lease that nobody could wait for the end of: whoever leads within `AT_ONCE` was handed it.
const LONG_LEASE: &str = "--lease-seconds=60";
/// How long a hand-over may take.
const AT_ONCE: Duration = Duration::from_secs(10);

/// What happens to the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Killed,
    Frozen,
}

#[test]
fn whoever_follows_a_leader_that_was_killed_or_frozen_at_any_step_writes_what_was_left_and_nothing_twice()
-> Result<()> {
    let cluster = own("replicas")?;
    let leader = Replica::first(&cluster)?;
    let follower = Replica::further(&cluster, 2)?;
    leader.kill()?;
    // Of a remedy every step that others can see, each before and after.
    let of_remedies = &FAILPOINTS[OF_SIGNALS_ONLY..];
    let cases: Vec<(&str, Fate)> = [Fate::Killed, Fate::Frozen]
        .into_iter()
        .flat_map(|fate| of_remedies.iter().map(move |failpoint| (*failpoint, fate)))
        .collect();
    let targets: Vec<String> = cases.iter().map(|(at, fate)| target(at, *fate)).collect();
    let admin = cluster.kubectl("admin");
    let objects: Vec<Value> =
        targets.iter().map(|name| sample::deployment(sample::NAMESPACE, name, 2)).collect();
    admin.apply_all(&objects)?;
    for name in &targets {
        sample::wait_rolled_out(&admin, sample::NAMESPACE, name)?;
    }
    for (failpoint, fate) in cases {
        let name = target(failpoint, fate);
        follow(&cluster, (&leader, &follower), failpoint, fate, &name)
            .with_context(|| format!("{fate:?} at {failpoint}"))?;
    }
    // Whatever was still on its way has come to its end by now.
    for name in &targets {
        ensure!(sent(&cluster, name)?.iter().filter(|w| w.committed()).count() == 1, "{name}");
    }
    cluster.stop()
}

fn target(failpoint: &str, fate: Fate) -> String {
    format!("{failpoint}-{fate:?}").to_lowercase()
}

fn follow(
    cluster: &Cluster,
    (leader, follower): (&Replica<'_>, &Replica<'_>),
    failpoint: &str,
    fate: Fate,
    target: &str,
) -> Result<()> {
    follower.kill()?;
    let armed = match fate {
        Fate::Killed => format!("--failpoint={failpoint}"),
        Fate::Frozen => format!("--failpoint={failpoint}=stop"),
    };
    leader.start(&[SHORT_LEASE, &armed])?;
    leader.wait_leads(true, SOON)?;
    follower.start(&[SHORT_LEASE])?;
    ensure!(!follower.leads(), "two lead");

    // Taken in by the one that does not lead, and worked on by the one that does.
    let signal = json!({
        "windowId": target, "service": target, "isAnomaly": true, "score": 0.9,
        "type": "resource", "modelVersion": "v1",
    });
    let answer = follower.api().post("/v1/signals/anomaly", &signal)?;
    ensure!(answer.status == 202, "{} {}", answer.status, answer.text);
    match fate {
        Fate::Killed => leader.wait_ended(SOON)?,
        Fate::Frozen => leader.wait_frozen(SOON)?,
    }
    follower.wait_leads(true, SOON)?;
    let remedied = ended(cluster, target)?;
    ensure!(remedied["status"]["phase"] == "Succeeded", "{remedied}");

    if fate == Fate::Frozen {
        leader.signal(Signal::Continue)?;
        leader.wait_leads(false, SOON)?;
        if failpoint == "before-write" {
            let refused = eventually(SOON, "the late write was sent", || {
                let sent = sent(cluster, target)?;
                let late = sent.iter().find(|write| !write.dry_run && !write.committed());
                Ok(late.map_or_else(
                    || Seen::NotYet(format!("{sent:?}")),
                    |late| Seen::Done(late.code),
                ))
            })?;
            ensure!([403, 409].contains(&refused), "the late write was answered {refused}");
        }
    }
    let committed = sent(cluster, target)?.iter().filter(|w| w.committed()).count();
    ensure!(committed == 1, "{committed} writes: {remedied}");
    let live = cluster.kubectl("admin").get(&["deployment", target, "-n", sample::NAMESPACE])?;
    ensure!(live["spec"]["replicas"] == 3, "one more than two was meant: {}", live["spec"]);
    leader.kill()
}

/// Everything the controller asked the API server to write to a Deployment.
fn sent(cluster: &Cluster, target: &str) -> Result<Vec<Write>> {
    let ours = |write: &Write| {
        write.user.ends_with(":smartops-orchestrator")
            && write.is_for("deployments", sample::NAMESPACE, target)
    };
    Ok(cluster.writes()?.into_iter().filter(ours).collect())
}

/// The one Remediation of a target, once it has ended.
fn ended(cluster: &Cluster, target: &str) -> Result<Value> {
    eventually(REMEDY, "the remedy has ended", || {
        let list = cluster.kubectl("admin").get(&["remediations", "-n", sample::NAMESPACE])?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let mut found: Vec<Value> =
            items.into_iter().filter(|r| r["spec"]["target"]["name"] == target).collect();
        ensure!(found.len() <= 1, "one signal, and {} Remediations: {found:?}", found.len());
        Ok(match found.pop() {
            Some(found) if found["status"]["outcome"].is_object() => Seen::Done(found),
            other => Seen::NotYet(format!("{other:?}")),
        })
    })
}

/// Who holds the controller's Lease.
fn holder(cluster: &Cluster) -> Result<Value> {
    let name = ["lease", "smartops-orchestrator", "-n", "smartops-system"];
    Ok(cluster.kubectl("admin").get(&name)?["spec"]["holderIdentity"].clone())
}

#[test]
fn a_leader_that_stops_hands_over_at_once_and_whoever_does_not_lead_answers_like_the_one_that_does()
-> Result<()> {
    let cluster = own("hand-over")?;
    let (first, second) = (Replica::first(&cluster)?, Replica::further(&cluster, 2)?);
    first.wait_leads(true, SOON)?;
    first.signal(Signal::Terminate)?;
    first.wait_ended(SOON)?;
    ensure!(holder(&cluster)? == Value::Null, "whoever stops leaves the Lease to nobody");
    first.start(&[LONG_LEASE])?;
    first.wait_leads(true, SOON)?;
    ensure!(holder(&cluster)? != Value::Null, "it leads and does not hold the Lease");
    second.start(&[LONG_LEASE])?;
    ensure!(!second.leads(), "two lead");

    let scale = |replicas: u32| json!({"deployment": sample::DEPLOYMENT, "replicas": replicas});
    let answer = second.api().post("/v1/k8s/scale", &scale(sample::REPLICAS + 1))?;
    ensure!(answer.status == 200, "by the one that does not lead: {}", answer.text);
    ensure!(!second.leads() && first.leads(), "the leadership moved without a reason");

    let stopped = Instant::now();
    first.signal(Signal::Terminate)?;
    second.wait_leads(true, SOON)?;
    let took = stopped.elapsed();
    ensure!(took < AT_ONCE, "handed over after {took:?}");
    first.wait_ended(SOON)?;
    let answer = second.api().post("/v1/k8s/scale", &scale(sample::REPLICAS))?;
    ensure!(answer.status == 200, "by the one that leads now: {}", answer.text);
    let committed =
        sent(&cluster, sample::DEPLOYMENT)?.iter().filter(|write| write.committed()).count();
    ensure!(committed == 2, "{committed} writes for two calls");
    cluster.stop()
}
