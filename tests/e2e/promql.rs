//! Whether a remedy helped, by what a real Prometheus says: before the first write, and until the rollout's time is up.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use smartops_tests::monitoring::Load;
use smartops_tests::programs::Program;
use smartops_tests::wait::{Seen, eventually};

use crate::prometheus::{P95, Watched};
use crate::scene::Scene;
use crate::support::own;

/// How long a remedy may take that is tried three times and taken back.
const REMEDY: Duration = Duration::from_mins(2);

/// Makes a Remediation of `web` with one check, and waits for its end.
fn remedied(ns: &Scene, name: &str, query: &str) -> Result<Value> {
    let uid = ns.get("web")?["metadata"]["uid"].clone();
    let object = json!({
        "apiVersion": "smartops.dev/v1alpha1", "kind": "Remediation",
        "metadata": {"namespace": ns.name(), "name": name},
        "spec": {
            "target": {"kind": "Deployment", "name": "web", "uid": uid},
            "action": {"type": "scale", "scale": {"delta": 1}},
            "cause": format!("manual/{name}"), "source": "user",
            "verify": true, "verifyTimeoutSeconds": 8,
            "checks": [{"name": "p95 latency", "query": query, "max": "0.5"}],
        },
    });
    let file = ns.file(&object)?;
    ns.allowed("developer", &["create", "-f", &file])?;
    eventually(REMEDY, &format!("{name} has ended"), || {
        let found = ns.remediations()?.into_iter().find(|r| r["metadata"]["name"] == name);
        Ok(match found {
            Some(r) if r["status"]["outcome"].is_object() => Seen::Done(r),
            other => Seen::NotYet(format!("{other:?}")),
        })
    })
}

fn ends(remediation: &Value, phase: &str, reason: &str) -> Result<()> {
    let status = &remediation["status"];
    let found = (status["phase"].as_str(), status["outcome"]["reason"].as_str());
    ensure!(found == (Some(phase), Some(reason)), "{phase} {reason} expected: {status:#}");
    Ok(())
}

#[test]
fn a_remedy_succeeds_where_prometheus_says_so_is_taken_back_where_it_does_not_help_and_unknown_where_it_is_silent()
-> Result<()> {
    // It lives as long as the tests: a scene borrows it.
    let cluster = Box::leak(Box::new(own("promql")?));
    let ns = Scene::on(cluster, "promql")?;
    let watched = Watched::start(cluster, ns.name(), "web", &[], &[])?;
    Program::Controller.terminate(cluster, Duration::from_secs(30))?;
    let flag = format!("--prometheus-url={}", watched.prometheus.server.url());
    Program::Controller.start(cluster, &[&flag])?;
    ns.deploy("web", 2)?;
    watched.sees(P95, |seconds| seconds < 0.5)?;
    let latency = "histogram_quantile(0.95, sum by (le) (rate(http_request_latency_seconds_bucket{namespace=\"$namespace\",deployment=\"$deployment\"}[10s])))";

    let helped = remedied(&ns, "helped", latency)?;
    ends(&helped, "Succeeded", "Verified")?;
    let check = &helped["status"]["checks"][0];
    ensure!(check["verdict"] == "Passed" && check["before"].is_string(), "{check}");
    ensure!(ns.replicas("web")? == 3);

    let silent = remedied(&ns, "silent", "no_such_metric{namespace=\"$namespace\"}")?;
    ends(&silent, "TimedOut", "ChecksInconclusive")?;
    ensure!(silent["status"]["attempts"].as_array().map(Vec::len) == Some(1), "not repeated");
    ensure!(ns.replicas("web")? == 4, "and not taken back: nobody knows");

    watched.service.set(Load { seconds: 2.0, ..Load::GOOD });
    watched.sees(P95, |seconds| seconds > 0.5)?;
    let useless = remedied(&ns, "useless", latency)?;
    ends(&useless, "RolledBack", "UndoneAndVerified")?;
    let words = useless["status"]["outcome"]["message"].as_str().unwrap_or_default();
    ensure!(words.contains("ChecksFailed") && words.contains("p95 latency"), "{words}");
    ensure!(ns.replicas("web")? == 4, "what it added is gone again");
    watched.prometheus.server.stop()
}
