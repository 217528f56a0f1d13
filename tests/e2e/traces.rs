//! Both programs under a collector that takes their spans over the wire: one trace leads from a caller's request to the
//! calls of the API server it led to, the log names it, and the Remediation keeps it.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use smartops_tests::cluster::Cluster;
use smartops_tests::collector::{Collector, Span};
use smartops_tests::process;
use smartops_tests::programs::{Program, controller_api};
use smartops_tests::sample;
use smartops_tests::wait::{Seen, eventually};

use crate::support::own;

/// The trace of a caller, and the span it was in.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
/// How soon spans must have come: they are gathered for half a second.
const DELIVERED: Duration = Duration::from_secs(20);
/// How long a stop may take: the drain, the last delivery, and what a busy machine needs.
const STOP: Duration = Duration::from_secs(8);

#[test]
fn one_trace_leads_from_a_request_to_each_call_it_led_to_and_a_collector_that_is_gone_harms_nobody()
-> Result<()> {
    let cluster = own("traces")?;
    let collector = Collector::start()?;
    for program in [Program::Webhook, Program::Controller] {
        program.terminate(&cluster, STOP)?;
        program.start(&cluster, &[&format!("--otlp-endpoint={}", collector.url())])?;
    }
    for name in ["scaled", "signalled"] {
        let admin = cluster.kubectl("admin");
        admin.apply_all(&[sample::deployment(sample::NAMESPACE, name, 2)])?;
        sample::wait_rolled_out(&admin, sample::NAMESPACE, name)?;
    }
    a_scale_by_the_api(&cluster, &collector)?;
    a_signal(&cluster, &collector)?;
    a_verification_that_a_caller_waits_for(&cluster, &collector)?;
    reviews(&collector)?;
    audit_records(&cluster)?;
    without_anybody_who_listens(&cluster)?;
    cluster.stop()
}

fn a_scale_by_the_api(cluster: &Cluster, collector: &Collector) -> Result<()> {
    let parent = format!("00-{TRACE}-{CALLER}-01");
    let body = json!({
        "type": "scale", "verify": true, "scale": {"replicas": 3},
        "target": {"kind": "Deployment", "namespace": sample::NAMESPACE, "name": "scaled"},
    });
    let api = controller_api(cluster)?.with_header("traceparent", &parent);
    let answer = api.post("/v1/actions/execute", &body)?;
    ensure!(answer.status == 200, "{} {}", answer.status, answer.text);

    let wanted = [
        "POST /v1/actions/execute",
        "intake",
        "remediation",
        "action scale",
        "verification",
        "kubernetes create remediations",
        "kubernetes patch deployments/scale",
        "kubernetes update remediations/status",
    ];
    let spans = all_of(collector, TRACE, &wanted)?;
    let endpoint = one(&spans, "POST /v1/actions/execute")?;
    ensure!(endpoint.kind == "Server" && endpoint.parent == CALLER, "{endpoint:?}");
    ensure!(endpoint.service == "smartops-controller", "{endpoint:?}");
    says(endpoint, "http.request.method", "POST")?;
    says(endpoint, "http.route", "/v1/actions/execute")?;
    says(endpoint, "http.response.status_code", "200")?;
    for name in ["POST /v1/actions/execute", "intake", "action scale", "verification"] {
        let span = one(&spans, name)?;
        says(span, "k8s.namespace.name", sample::NAMESPACE)?;
        says(span, "k8s.deployment.name", "scaled")?;
        says(span, "smartops.action.type", "scale")?;
        ensure!(!span.failed, "{span:?}");
    }
    let intake = one(&spans, "intake")?;
    ensure!(intake.parent == endpoint.id, "{intake:?} is not within {endpoint:?}");
    let action = one(&spans, "action scale")?;
    says(action, "smartops.attempt.result", "Written")?;
    says(action, "smartops.dry_run", "false")?;
    let step = spans.iter().find(|span| span.id == action.parent);
    let step = step.with_context(|| format!("nothing is around {action:?}"))?;
    ensure!(step.name == "remediation" && step.parent == intake.id, "{step:?}");
    // The dry run and the write.
    let writes = of(&spans, "kubernetes patch deployments/scale");
    let operations: BTreeSet<&str> =
        writes.iter().map(|span| span.said("smartops.k8s.operation")).collect();
    ensure!(operations == BTreeSet::from(["scale", "scale_dry_run"]), "{operations:?}");
    for write in writes {
        ensure!(write.kind == "Client" && write.parent == action.id, "{write:?}");
        says(write, "k8s.deployment.name", "scaled")?;
    }
    let verification = one(&spans, "verification")?;
    says(verification, "smartops.verification.status", "SUCCESS")?;
    let uid = remediation(cluster, "scaled")?;
    ensure!(uid["status"]["traceId"] == TRACE, "{}", uid["status"]);
    says(verification, "smartops.remediation.uid", uid["metadata"]["uid"].as_str().unwrap_or(""))?;

    let lines = log(cluster, "controller")?;
    let written = lines.iter().find(|line| line["message"] == "written" && line["replicas"] == 3);
    let written = written.context("the write is in no log line")?;
    ensure!(written["trace_id"] == TRACE, "{written}");
    Ok(())
}

fn a_signal(cluster: &Cluster, collector: &Collector) -> Result<()> {
    let body = json!({
        "windowId": "w-1", "service": "signalled", "namespace": sample::NAMESPACE, "isAnomaly": true,
        "score": 0.9, "type": "resource", "modelVersion": "v1",
    });
    let answer = controller_api(cluster)?.post("/v1/signals/anomaly", &body)?;
    ensure!(answer.status == 202, "{} {}", answer.status, answer.text);
    // Nobody said in which trace: it began one.
    let endpoint = eventually(DELIVERED, "the signal's span has come", || {
        let found = collector.spans().into_iter().find(|s| s.name == "POST /v1/signals/anomaly");
        Ok(found.map_or_else(|| Seen::NotYet("not yet".into()), Seen::Done))
    })?;
    ensure!(endpoint.parent.is_empty(), "{endpoint:?}");
    says(&endpoint, "smartops.signal.kind", "anomaly")?;
    let wanted = ["intake", "remediation", "action scale", "verification"];
    let spans = all_of(collector, &endpoint.trace, &wanted)?;
    for name in wanted {
        for span in of(&spans, name) {
            says(span, "smartops.signal.kind", "anomaly")?;
            says(span, "k8s.deployment.name", "signalled")?;
            says(span, "smartops.action.type", "scale")?;
        }
    }
    let kept = remediation(cluster, "signalled")?;
    ensure!(kept["status"]["traceId"] == endpoint.trace, "{}", kept["status"]);
    Ok(())
}

fn a_verification_that_a_caller_waits_for(cluster: &Cluster, collector: &Collector) -> Result<()> {
    let body =
        json!({"namespace": sample::NAMESPACE, "deployment": "scaled", "timeout_seconds": 10});
    let answer = controller_api(cluster)?.post("/v1/verify/deployment", &body)?;
    ensure!(answer.body["status"] == "SUCCESS", "{} {}", answer.status, answer.text);
    let endpoint = eventually(DELIVERED, "the verification's span has come", || {
        let found = collector.spans().into_iter().find(|s| s.name == "POST /v1/verify/deployment");
        Ok(found.map_or_else(|| Seen::NotYet("not yet".into()), Seen::Done))
    })?;
    let spans =
        all_of(collector, &endpoint.trace, &["verification", "kubernetes get deployments"])?;
    let verification = one(&spans, "verification")?;
    says(verification, "smartops.verification.status", "SUCCESS")?;
    says(verification, "k8s.deployment.name", "scaled")?;
    ensure!(verification.parent == endpoint.id, "{verification:?} is not within {endpoint:?}");
    Ok(())
}

fn reviews(collector: &Collector) -> Result<()> {
    let review = eventually(DELIVERED, "a review's span has come", || {
        let found = collector.spans().into_iter().find(|span| {
            span.name == "POST /validate/automation"
                && span.said("k8s.deployment.name") == "signalled"
        });
        Ok(found.map_or_else(|| Seen::NotYet("not yet".into()), Seen::Done))
    })?;
    ensure!(review.service == "smartops-webhook" && review.kind == "Server", "{review:?}");
    says(&review, "smartops.review.verdict", "allow")?;
    says(&review, "smartops.review.operation", "UPDATE")?;
    says(&review, "k8s.namespace.name", sample::NAMESPACE)
}

/// Exactly one for each of the two attempts, of exactly these members.
fn audit_records(cluster: &Cluster) -> Result<()> {
    const MEMBERS: [&str; 9] = [
        "action_type",
        "auditId",
        "dry_run",
        "requestedBy",
        "source",
        "target",
        "timestamp",
        "traceId",
        "verification_status",
    ];
    let lines = log(cluster, "controller")?;
    for (name, source) in [("scaled", "user"), ("signalled", "closed-loop")] {
        let target = format!("Deployment/{}/{name}", sample::NAMESPACE);
        let records: Vec<&Value> = lines.iter().filter(|line| line["target"] == target).collect();
        let [record] = records.as_slice() else { anyhow::bail!("{name}: {records:?}") };
        let members = record.as_object().context("no object")?;
        let found: BTreeSet<&str> = members.keys().map(String::as_str).collect();
        ensure!(found == BTreeSet::from(MEMBERS), "{record}");
        let remediation = remediation(cluster, name)?;
        let uid = remediation["metadata"]["uid"].as_str().unwrap_or_default();
        ensure!(record["auditId"] == format!("{uid}/1"), "{record}");
        ensure!(record["source"] == source && record["action_type"] == "scale", "{record}");
        ensure!(record["verification_status"] == "SUCCESS", "{record}");
        ensure!(record["dry_run"] == false, "{record}");
        ensure!(record["traceId"] == remediation["status"]["traceId"], "{record}");
    }
    Ok(())
}

/// One that accepts connections and never answers is the worst there is: whoever waits for it waits for ever.
fn without_anybody_who_listens(cluster: &Cluster) -> Result<()> {
    let mute = std::net::TcpListener::bind("127.0.0.1:0")?;
    let endpoint = format!("--otlp-endpoint=http://{}", mute.local_addr()?);
    Program::Controller.terminate(cluster, STOP)?;
    Program::Controller.start(cluster, &[&endpoint])?;
    let body = json!({"namespace": sample::NAMESPACE, "deployment": "scaled", "replicas": 2});
    let answer = controller_api(cluster)?.post("/v1/k8s/scale", &body)?;
    ensure!(answer.status == 200, "{} {}", answer.status, answer.text);
    Program::Controller.terminate(cluster, STOP)
}

/// The spans of a trace, once there is one of each of these names.
fn all_of(collector: &Collector, trace: &str, names: &[&str]) -> Result<Vec<Span>> {
    eventually(DELIVERED, "the spans of the trace have come", || {
        let mut spans = collector.spans();
        spans.retain(|span| span.trace == trace);
        let missing: Vec<_> = names.iter().filter(|name| of(&spans, name).is_empty()).collect();
        Ok(if missing.is_empty() {
            Seen::Done(spans)
        } else {
            Seen::NotYet(format!("no {missing:?} among {}", spans.len()))
        })
    })
}

fn of<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn one<'a>(spans: &'a [Span], name: &str) -> Result<&'a Span> {
    match of(spans, name).as_slice() {
        [span] => Ok(span),
        other => anyhow::bail!("not one {name}: {other:?}"),
    }
}

fn says(span: &Span, key: &str, value: &str) -> Result<()> {
    ensure!(span.said(key) == value, "{key} is not {value} in {span:?}");
    Ok(())
}

/// The one Remediation of a target.
fn remediation(cluster: &Cluster, target: &str) -> Result<Value> {
    let list = cluster.kubectl("admin").get(&["remediations", "-n", sample::NAMESPACE])?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let found = items.into_iter().find(|r| r["spec"]["target"]["name"] == target);
    found.with_context(|| format!("no Remediation of {target}"))
}

/// The lines of a program's log that are JSON.
fn log(cluster: &Cluster, program: &str) -> Result<Vec<Value>> {
    let text = fs::read_to_string(process::log(cluster.dir(), program))?;
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}
