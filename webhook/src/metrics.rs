//! Every metric of the webhook.

use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGauge};
use smartops_process::metrics::{Error, Metrics};

use crate::{own, registration};

/// Upper bounds of the decision's duration, in seconds: most decisions take well under a millisecond.
const BUCKETS: [f64; 15] = [
    0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
    2.5, 10.0,
];

/// Handles to the webhook's metrics. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WebhookMetrics {
    /// Decisions, by what was decided about what; no label grows with the number of objects.
    pub decisions: IntCounterVec,
    /// How long a decision took, in seconds.
    pub duration: HistogramVec,
    /// Live reads a review had to make.
    pub live_reads: IntCounterVec,
    /// Judgements that panicked.
    pub panics: IntCounter,
    /// Reviews under way.
    pub in_flight: IntGauge,
    /// Policies that judge now.
    pub policies: IntGauge,
    /// Policies that could not be compiled, each time that was tried.
    pub rejected_policies: IntCounter,
    /// Workloads of which a history is kept.
    pub histories: IntGauge,
    /// Whether this replica leads.
    pub leader: IntGauge,
    /// Writes of ledgers, by what came of them.
    pub ledger_writes: IntCounterVec,
    /// Decisions left out of a policy's status because there was no place for them.
    pub dropped_decisions: IntCounter,
    /// Objects of SmartOps' own kinds checked before they were written.
    pub own_checks: IntCounterVec,
    /// Writes by automation of what is SmartOps' own.
    pub own_object_attempts: IntCounterVec,
    /// Writes that passed because the glass was broken.
    pub break_glass: IntCounterVec,
    /// Events about that, or about writes by automation of what is SmartOps' own, which were not written.
    pub dropped_events: IntCounter,
    /// Registrations written, and why.
    pub registration_writes: IntCounterVec,
    /// Whether the API server is known to reach a webhook, where this replica leads.
    pub reached: IntGauge,
    /// ValidatingAdmissionPolicies and their bindings written or removed, and why.
    pub backstop_writes: IntCounterVec,
}

impl WebhookMetrics {
    /// Registers them all.
    pub fn new(metrics: &Metrics) -> Result<Self, Error> {
        Ok(Self {
            decisions: metrics.counters(
                "smartops_webhook_decisions_total",
                "Decisions about reviews.",
                &[
                    "policy",
                    "rule",
                    "decision",
                    "operation",
                    "resource",
                    "subresource",
                    "audience",
                    "dry_run",
                ],
            )?,
            duration: metrics.histograms(
                "smartops_webhook_decision_duration_seconds",
                "Time from a review's head to its decision.",
                &["audience", "decision"],
                &BUCKETS,
            )?,
            live_reads: metrics.counters(
                "smartops_webhook_live_reads_total",
                "Reads from the API server that a review had to wait for.",
                &["what", "result"],
            )?,
            panics: metrics.counter(
                "smartops_webhook_panics_total",
                "Judgements that panicked; each was answered as undecided.",
            )?,
            in_flight: metrics.gauge("smartops_webhook_in_flight", "Reviews under way.")?,
            policies: metrics.gauge("smartops_webhook_policies", "Policies that judge now.")?,
            rejected_policies: metrics.counter(
                "smartops_webhook_rejected_policies_total",
                "Policies that could not be compiled; the last good version of each goes on judging.",
            )?,
            histories: metrics.gauge(
                "smartops_webhook_histories",
                "Workloads of which a history is kept.",
            )?,
            leader: metrics
                .gauge("smartops_webhook_leader", "1 where this replica leads, else 0.")?,
            ledger_writes: metrics.counters(
                "smartops_webhook_ledger_writes_total",
                "Writes of ChangeLedgers by this replica while it led.",
                &["result"],
            )?,
            dropped_decisions: metrics.counter(
                "smartops_webhook_dropped_decisions_total",
                "Decisions that do not stand in their policy's status because there was no place for them.",
            )?,
            break_glass: metrics.counters(
                "smartops_webhook_break_glass_total",
                "Writes that passed against policies because their author broke the glass.",
                &["dry_run"],
            )?,
            dropped_events: metrics.counter(
                "smartops_webhook_dropped_events_total",
                "Events about a broken glass, or about automation at SmartOps' own objects, that were not written.",
            )?,
            own_checks: own::counter(metrics)?,
            own_object_attempts: metrics.counters(
                "smartops_webhook_own_object_attempts_total",
                "Writes by automation of what is SmartOps' own: its kinds, its namespace, its rights.",
                &["resource", "operation", "decision"],
            )?,
            registration_writes: registration::counter(metrics)?,
            reached: metrics.gauge(
                "smartops_webhook_reached",
                "1 where this replica leads and the API server is known to reach a webhook, else 0.",
            )?,
            backstop_writes: metrics.counters(
                "smartops_webhook_backstop_writes_total",
                "What the API server judges by itself, written or removed: because what should stand changed, or because somebody else changed it.",
                &["object", "why"],
            )?,
        })
    }
}
