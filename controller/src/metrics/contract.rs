//! Part 4 of the contract, line by line: each metric has its name, its kind and the labels dashboards rely on.

use std::collections::BTreeSet;

use smartops_process::metrics::Metrics;

use super::ControllerMetrics;

/// Name, kind, labels, as dashboards rely on them.
const TABLE: [(&str, &str, &[&str]); 24] = [
    ("smartops_k8s_api_calls_total", "counter", &["operation"]),
    ("smartops_k8s_api_errors_total", "counter", &["operation", "code"]),
    ("smartops_k8s_scale_total", "counter", &["namespace", "deployment"]),
    ("smartops_k8s_restart_total", "counter", &["namespace", "deployment"]),
    ("smartops_k8s_patch_total", "counter", &["namespace", "deployment"]),
    ("smartops_k8s_api_latency_seconds", "histogram", &["operation"]),
    ("smartops_k8s_deployment_desired_replicas", "gauge", &["namespace", "deployment"]),
    ("smartops_k8s_deployment_ready_replicas", "gauge", &["namespace", "deployment"]),
    (
        "smartops_orchestrator_actions_total",
        "counter",
        &["action_type", "namespace", "deployment", "source", "dry_run", "status"],
    ),
    ("smartops_orchestrator_action_latency_seconds", "histogram", &["action_type"]),
    ("smartops_orchestrator_last_action_timestamp", "gauge", &["namespace", "deployment"]),
    ("smartops_orchestrator_verification_latency_seconds", "histogram", &["status"]),
    ("smartops_orchestrator_guardrail_rejections_total", "counter", &["rule", "action_type"]),
    ("smartops_orchestrator_invalid_payloads_total", "counter", &["endpoint"]),
    ("smartops_orchestrator_rbac_denied_total", "counter", &["verb", "resource"]),
    ("orchestrator_closed_loop_signals_total", "counter", &["kind", "result"]),
    ("orchestrator_closed_loop_actions_total", "counter", &["type", "status"]),
    ("orchestrator_closed_loop_retries_total", "counter", &[]),
    ("orchestrator_closed_loop_queue_depth", "gauge", &[]),
    ("orchestrator_closed_loop_duration_seconds", "histogram", &[]),
    ("orchestrator_closed_loop_action_duration_seconds", "histogram", &[]),
    // Beside the contract.
    ("smartops_orchestrator_awaiting_approval", "gauge", &[]),
    ("smartops_orchestrator_closed_loop_enabled", "gauge", &[]),
    ("smartops_orchestrator_truncated_alerts_total", "counter", &[]),
];

/// One series of each that has labels.
fn touched(ours: &ControllerMetrics) {
    let (calls, orchestrator, closed) = (&ours.calls, &ours.orchestrator, &ours.closed_loop);
    let counters = [
        (&calls.made, 1),
        (&calls.errors, 2),
        (&calls.writes.scale, 2),
        (&calls.writes.restart, 2),
        (&calls.writes.patch, 2),
        (&orchestrator.actions, 6),
        (&orchestrator.guardrail_rejections, 2),
        (&orchestrator.invalid_payloads, 1),
        (&orchestrator.rbac_denied, 2),
        (&closed.signals, 2),
        (&closed.actions, 2),
    ];
    for (counter, labels) in counters {
        counter.with_label_values(&vec!["x"; labels]).inc();
    }
    for histogram in
        [&calls.latency, &orchestrator.action_latency, &orchestrator.verification_latency]
    {
        histogram.with_label_values(&["x"]).observe(1.0);
    }
    for gauge in [&calls.desired_replicas, &calls.ready_replicas] {
        gauge.with_label_values(&["x", "x"]).set(1);
    }
    orchestrator.last_action.with_label_values(&["x", "x"]).set(1.0);
}

/// The labels of the first series of a metric in Prometheus' text, the bounds of a histogram's buckets left out.
fn labels<'t>(text: &'t str, name: &str) -> BTreeSet<&'t str> {
    let mut lines = text.lines().filter(|line| line.starts_with(name));
    let labels = lines.find_map(|line| Some(line.split_once('{')?.1.split_once('}')?.0));
    let names = labels.into_iter().flat_map(|labels| labels.split(','));
    names.filter_map(|label| Some(label.split_once('=')?.0)).filter(|name| *name != "le").collect()
}

#[test]
fn each_metric_of_the_table_has_its_name_its_kind_and_its_labels() {
    let metrics = Metrics::new("controller").unwrap();
    touched(&ControllerMetrics::new(&metrics).unwrap());
    let text = metrics.encode().unwrap();
    for (name, kind, expected) in TABLE {
        assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name} is no {kind}");
        assert_eq!(labels(&text, name), expected.iter().copied().collect(), "{name}");
    }
}
