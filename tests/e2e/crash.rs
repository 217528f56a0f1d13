//! The controller killed at every step of a remedy, three times each: every accepted signal ends in exactly one
//! Remediation in a final phase and at most one write, counted by the API server's own audit log.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use smartops_tests::cluster::Cluster;
use smartops_tests::programs::{Program, controller_api};
use smartops_tests::sample;
use smartops_tests::wait::{Seen, eventually};

use crate::support::own;

/// Every failpoint of the controller, in the order of a remedy.
pub(crate) const FAILPOINTS: [&str; 10] = [
    "before-202",
    "after-202",
    "before-intent",
    "after-intent",
    "before-dry-run",
    "after-dry-run",
    "before-write",
    "after-write",
    "before-status",
    "after-status",
];

/// Of these, how many come before a signal is answered: a call of the API goes by none of them.
pub(crate) const OF_SIGNALS_ONLY: usize = 2;

/// What is signalled in each round: two that scale and one that restarts.
const ROUNDS: [(&str, &str); 3] =
    [("anomaly", "resource"), ("rca", "memory_leak"), ("rca", "cpu_saturation")];

/// How long a remedy may take, its verification included.
const REMEDY: Duration = Duration::from_mins(1);
/// How soon the process must have died at its failpoint.
const DEATH: Duration = Duration::from_secs(30);

#[test]
fn killed_at_any_step_a_signal_ends_in_one_remediation_and_at_most_one_write() -> Result<()> {
    let cluster = own("crash")?;
    let mut targets: Vec<String> = FAILPOINTS
        .iter()
        .flat_map(|failpoint| (0..ROUNDS.len()).map(move |round| format!("{failpoint}-{round}")))
        .collect();
    let of_calls = &FAILPOINTS[OF_SIGNALS_ONLY..];
    targets.extend(of_calls.iter().map(|failpoint| format!("{failpoint}-call")));
    let admin = cluster.kubectl("admin");
    let objects: Vec<Value> =
        targets.iter().map(|name| sample::deployment(sample::NAMESPACE, name, 2)).collect();
    admin.apply_all(&objects)?;
    for name in &targets {
        sample::wait_rolled_out(&admin, sample::NAMESPACE, name)?;
    }
    for failpoint in FAILPOINTS {
        for (round, (kind, cause)) in ROUNDS.iter().enumerate() {
            let target = format!("{failpoint}-{round}");
            die_and_recover(&cluster, failpoint, &target, kind, cause)
                .with_context(|| format!("killed at {failpoint}, signal {kind}/{cause}"))?;
        }
    }
    for failpoint in of_calls {
        die_under_a_call(&cluster, failpoint, &format!("{failpoint}-call"))
            .with_context(|| format!("killed at {failpoint} under a patch by the API"))?;
    }
    cluster.stop()
}

/// A patch whose own test no longer holds once it is written: it cannot be recognised, only remembered as sent.
fn die_under_a_call(cluster: &Cluster, failpoint: &str, target: &str) -> Result<()> {
    Program::Controller.kill(cluster)?;
    Program::Controller.start(cluster, &[&format!("--failpoint={failpoint}")])?;
    let patch = json!([
        {"op": "test", "path": "/spec/replicas", "value": 2},
        {"op": "replace", "path": "/spec/replicas", "value": 3},
    ]);
    let body = json!({"deployment": target, "patch": patch});
    let answer = controller_api(cluster)?.post("/v1/k8s/patch", &body);
    ensure!(failpoint == "after-status" || answer.is_err(), "{answer:?}");
    Program::Controller.wait_ended(cluster, DEATH)?;
    Program::Controller.start(cluster, &[])?;
    let ended = ended(cluster, target)?;
    ensure!(ended.len() == 1, "{} Remediations: {ended:?}", ended.len());
    let (phase, writes) = (&ended[0]["status"]["phase"], committed_writes(cluster, target)?);
    // Written and not recorded as such: then nobody can tell, and that is what it says.
    let is_unknown = ["after-write", "before-status"].contains(&failpoint);
    let expected = if is_unknown { "TimedOut" } else { "Succeeded" };
    ensure!(
        phase == expected && writes == 1,
        "{writes} writes, and it ended {phase}: {}",
        ended[0]
    );
    Ok(())
}

fn die_and_recover(
    cluster: &Cluster,
    failpoint: &str,
    target: &str,
    kind: &str,
    cause: &str,
) -> Result<()> {
    Program::Controller.kill(cluster)?;
    Program::Controller.start(cluster, &[&format!("--failpoint={failpoint}")])?;
    // The answer may be lost with the process: what counts is what is in etcd.
    let (route, body) = (format!("/v1/signals/{kind}"), signal(kind, target, cause));
    let answer = controller_api(cluster)?.post(&route, &body);
    if let Ok(answer) = &answer {
        ensure!(answer.status == 202, "{} {}", answer.status, answer.text);
    }
    Program::Controller.wait_ended(cluster, DEATH)?;
    ensure!(failpoint != "before-202" || answer.is_err(), "the 202 came before {failpoint}");
    ensure!(failpoint != "after-202" || answer.is_ok(), "no 202 came before {failpoint}");
    Program::Controller.start(cluster, &[])?;
    if answer.is_err() {
        // A sender that lost its answer asks again, and it is still the same signal.
        let again = controller_api(cluster)?.post(&route, &body)?;
        ensure!(again.status == 202, "{} {}", again.status, again.text);
    }
    let remediations = ended(cluster, target)?;
    ensure!(remediations.len() == 1, "{} Remediations: {remediations:?}", remediations.len());
    let phase = &remediations[0]["status"]["phase"];
    ensure!(phase == "Succeeded", "ended {phase}: {}", remediations[0]);
    let writes = committed_writes(cluster, target)?;
    ensure!(writes == 1, "{writes} writes, and the remedy succeeded");
    Ok(())
}

/// The target's Remediations, once all have ended.
fn ended(cluster: &Cluster, target: &str) -> Result<Vec<Value>> {
    eventually(REMEDY, "the remedy has ended", || {
        let found = remediations(cluster, target)?;
        let ended = found.iter().all(|r| r["status"]["outcome"].is_object());
        Ok(if ended && !found.is_empty() {
            Seen::Done(found)
        } else {
            Seen::NotYet(format!("{found:?}"))
        })
    })
}

fn signal(kind: &str, service: &str, cause: &str) -> Value {
    let window = format!("{service}-{cause}");
    if kind == "anomaly" {
        json!({
            "windowId": window, "service": service, "isAnomaly": true, "score": 0.9, "type": cause,
            "modelVersion": "v1",
        })
    } else {
        json!({
            "windowId": window, "service": service, "confidence": 0.9,
            "rankedCauses": [{"svc": service, "cause": cause, "probability": 0.9}],
        })
    }
}

fn remediations(cluster: &Cluster, target: &str) -> Result<Vec<Value>> {
    let list = cluster.kubectl("admin").get(&["remediations", "-n", sample::NAMESPACE])?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    Ok(items.into_iter().filter(|r| r["spec"]["target"]["name"] == target).collect())
}

fn committed_writes(cluster: &Cluster, target: &str) -> Result<usize> {
    let by_controller = |w: &&smartops_tests::audit::Write| {
        w.user.ends_with(":smartops-orchestrator")
            && w.committed()
            && w.is_for("deployments", sample::NAMESPACE, target)
    };
    Ok(cluster.writes()?.iter().filter(by_controller).count())
}
