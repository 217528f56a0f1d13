//! Every metric of the controller, by the names dashboards rely on. Labels hold names of Deployments and namespaces
//! (bounded by what is remedied), never uids or messages.

use prometheus::{GaugeVec, IntGaugeVec};
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge};
use smartops_common::remediation::{Observed, Remediation};
use smartops_process::metrics::{Error, Metrics};

const CALL_SECONDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
const LOOP_SECONDS: [f64; 11] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 300.0];

/// Handles to all of them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ControllerMetrics {
    /// Calls to the Kubernetes API, and what they showed.
    pub calls: Calls,
    /// Actions, whoever asked for them.
    pub orchestrator: Orchestrator,
    /// The closed loop.
    pub closed_loop: ClosedLoop,
    /// `smartops_orchestrator_truncated_alerts_total`: alerts a sender left out of its deliveries.
    pub truncated_alerts: IntCounter,
    /// `smartops_orchestrator_closed_loop_enabled`: whether signals are acted on.
    pub loop_enabled: IntGauge,
}

/// `smartops_k8s_*`
#[derive(Debug, Clone)]
pub struct Calls {
    /// `smartops_k8s_api_calls_total{operation}`
    pub made: IntCounterVec,
    /// `smartops_k8s_api_errors_total{operation,code}`
    pub errors: IntCounterVec,
    /// `smartops_k8s_api_latency_seconds{operation}`
    pub latency: HistogramVec,
    /// `smartops_k8s_{scale,restart,patch}_total{namespace,deployment}`: writes committed.
    pub writes: Writes,
    /// `smartops_k8s_deployment_desired_replicas{namespace,deployment}`
    pub desired_replicas: IntGaugeVec,
    /// `smartops_k8s_deployment_ready_replicas{namespace,deployment}`
    pub ready_replicas: IntGaugeVec,
}

/// `smartops_orchestrator_*`
#[derive(Debug, Clone)]
pub struct Orchestrator {
    /// `smartops_orchestrator_actions_total{action_type,namespace,deployment,source,dry_run,status}`
    pub actions: IntCounterVec,
    /// `smartops_orchestrator_action_latency_seconds{action_type}`
    pub action_latency: HistogramVec,
    /// `smartops_orchestrator_last_action_timestamp{namespace,deployment}`, seconds since 1970.
    pub last_action: GaugeVec,
    /// `smartops_orchestrator_verification_latency_seconds{status}`
    pub verification_latency: HistogramVec,
    /// `smartops_orchestrator_guardrail_rejections_total{rule,action_type}`
    pub guardrail_rejections: IntCounterVec,
    /// `smartops_orchestrator_awaiting_approval`: Remediations that wait for somebody's word.
    pub awaiting: IntGauge,
    /// `smartops_orchestrator_leader`: whether this replica works on Remediations.
    pub leader: IntGauge,
    /// `smartops_orchestrator_pruned_total`: Remediations deleted, having ended long ago or being too many.
    pub pruned: IntCounter,
    /// `smartops_orchestrator_invalid_payloads_total{endpoint}`
    pub invalid_payloads: IntCounterVec,
    /// `smartops_orchestrator_rbac_denied_total{verb,resource}`
    pub rbac_denied: IntCounterVec,
}

/// `orchestrator_closed_loop_*`
#[derive(Debug, Clone)]
pub struct ClosedLoop {
    /// `orchestrator_closed_loop_signals_total{kind,result}`
    pub signals: IntCounterVec,
    /// `orchestrator_closed_loop_actions_total{type,status}`
    pub actions: IntCounterVec,
    /// `orchestrator_closed_loop_retries_total`
    pub retries: IntCounter,
    /// `orchestrator_closed_loop_queue_depth`: open Remediations of the closed loop.
    pub queue_depth: IntGauge,
    /// `orchestrator_closed_loop_duration_seconds`: from the signal to the end.
    pub duration: Histogram,
    /// `orchestrator_closed_loop_action_duration_seconds`: from the attempt to the end.
    pub action_duration: Histogram,
}

/// One counter an action.
#[derive(Debug, Clone)]
pub struct Writes {
    /// Scales.
    pub scale: IntCounterVec,
    /// Restarts.
    pub restart: IntCounterVec,
    /// Patches.
    pub patch: IntCounterVec,
}

const TARGET: [&str; 2] = ["namespace", "deployment"];

impl Calls {
    fn new(m: &Metrics) -> Result<Self, Error> {
        let writes = |name: &str, what: &str| {
            m.counters(name, &format!("{what} committed by the controller."), &TARGET)
        };
        Ok(Self {
            made: m.counters(
                "smartops_k8s_api_calls_total",
                "Calls to the Kubernetes API.",
                &["operation"],
            )?,
            errors: m.counters(
                "smartops_k8s_api_errors_total",
                "Calls to the Kubernetes API that failed, denials included.",
                &["operation", "code"],
            )?,
            latency: m.histograms(
                "smartops_k8s_api_latency_seconds",
                "How long calls to the Kubernetes API took.",
                &["operation"],
                &CALL_SECONDS,
            )?,
            writes: Writes {
                scale: writes("smartops_k8s_scale_total", "Scales")?,
                restart: writes("smartops_k8s_restart_total", "Restarts")?,
                patch: writes("smartops_k8s_patch_total", "Patches")?,
            },
            desired_replicas: m.gauges(
                "smartops_k8s_deployment_desired_replicas",
                "Replicas wanted, as last seen of a target.",
                &TARGET,
            )?,
            ready_replicas: m.gauges(
                "smartops_k8s_deployment_ready_replicas",
                "Replicas ready, as last seen of a target.",
                &TARGET,
            )?,
        })
    }
}

impl Orchestrator {
    fn new(m: &Metrics) -> Result<Self, Error> {
        Ok(Self {
            actions: m.counters(
                "smartops_orchestrator_actions_total",
                "Remediations that ended; status is the final phase.",
                &["action_type", "namespace", "deployment", "source", "dry_run", "status"],
            )?,
            action_latency: m.histograms(
                "smartops_orchestrator_action_latency_seconds",
                "From the creation of a Remediation to its end.",
                &["action_type"],
                &LOOP_SECONDS,
            )?,
            last_action: m.float_gauges(
                "smartops_orchestrator_last_action_timestamp",
                "When a target was last written, in seconds since 1970.",
                &TARGET,
            )?,
            verification_latency: m.histograms(
                "smartops_orchestrator_verification_latency_seconds",
                "How long rollouts were watched, by verdict.",
                &["status"],
                &LOOP_SECONDS,
            )?,
            guardrail_rejections: m.counters(
                "smartops_orchestrator_guardrail_rejections_total",
                "Actions a guardrail refused, by the leading rule.",
                &["rule", "action_type"],
            )?,
            awaiting: m.gauge(
                "smartops_orchestrator_awaiting_approval",
                "Remediations that wait for approval.",
            )?,
            leader: m.gauge(
                "smartops_orchestrator_leader",
                "Whether this replica works on Remediations: 1 on the one that leads.",
            )?,
            pruned: m.counter(
                "smartops_orchestrator_pruned_total",
                "Remediations deleted because they ended long ago, or were too many.",
            )?,
            invalid_payloads: m.counters(
                "smartops_orchestrator_invalid_payloads_total",
                "Requests whose body could not be understood.",
                &["endpoint"],
            )?,
            rbac_denied: m.counters(
                "smartops_orchestrator_rbac_denied_total",
                "Calls the API server's authorizer refused.",
                &["verb", "resource"],
            )?,
        })
    }
}

impl ClosedLoop {
    fn new(m: &Metrics) -> Result<Self, Error> {
        let histogram = |name: &str, help: &str| -> Result<Histogram, Error> {
            let options = HistogramOpts::new(name, help).buckets(LOOP_SECONDS.to_vec());
            let histogram = Histogram::with_opts(options)?;
            m.register(histogram.clone())?;
            Ok(histogram)
        };
        Ok(Self {
            signals: m.counters(
                "orchestrator_closed_loop_signals_total",
                "Signals, by what became of them.",
                &["kind", "result"],
            )?,
            actions: m.counters(
                "orchestrator_closed_loop_actions_total",
                "Remediations of the closed loop that ended; status is the final phase.",
                &["type", "status"],
            )?,
            retries: m.counter(
                "orchestrator_closed_loop_retries_total",
                "Attempts of the closed loop after the first.",
            )?,
            queue_depth: m.gauge(
                "orchestrator_closed_loop_queue_depth",
                "Remediations of the closed loop that have not ended.",
            )?,
            duration: histogram(
                "orchestrator_closed_loop_duration_seconds",
                "From the signal to the end of its Remediation.",
            )?,
            action_duration: histogram(
                "orchestrator_closed_loop_action_duration_seconds",
                "From the last attempt to the end of its Remediation.",
            )?,
        })
    }
}

impl ControllerMetrics {
    /// Registers them all.
    pub fn new(m: &Metrics) -> Result<Self, Error> {
        Ok(Self {
            calls: Calls::new(m)?,
            orchestrator: Orchestrator::new(m)?,
            closed_loop: ClosedLoop::new(m)?,
            truncated_alerts: m.counter(
                "smartops_orchestrator_truncated_alerts_total",
                "Alerts that Alertmanager left out of its deliveries: their targets nobody sees.",
            )?,
            loop_enabled: m.gauge(
                "smartops_orchestrator_closed_loop_enabled",
                "Whether signals are acted on: 0 while the kill switch is thrown.",
            )?,
        })
    }

    /// Shows the numbers just seen of a target.
    pub fn show(&self, namespace: &str, deployment: &str, observed: Observed) {
        let labels = [namespace, deployment];
        self.calls
            .desired_replicas
            .with_label_values(&labels)
            .set(observed.desired_replicas.into());
        self.calls.ready_replicas.with_label_values(&labels).set(observed.ready_replicas.into());
    }

    /// Counts a Remediation that just ended.
    pub fn count_end(&self, remediation: &Remediation, seconds: f64, attempt_seconds: Option<f64>) {
        let spec = &remediation.spec;
        let status = remediation.phase().as_str();
        let action = spec.action.type_.as_str();
        let namespace = remediation.metadata.namespace.as_deref().unwrap_or_default();
        self.orchestrator
            .actions
            .with_label_values(&[
                action,
                namespace,
                &spec.target.name,
                spec.source.as_str(),
                if spec.dry_run { "true" } else { "false" },
                status,
            ])
            .inc();
        self.orchestrator.action_latency.with_label_values(&[action]).observe(seconds);
        if spec.source == smartops_common::remediation::Source::ClosedLoop {
            self.closed_loop.actions.with_label_values(&[action, status]).inc();
            self.closed_loop.duration.observe(seconds);
            if let Some(seconds) = attempt_seconds {
                self.closed_loop.action_duration.observe(seconds);
            }
        }
    }
}

#[cfg(test)]
mod contract;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_registers_and_no_two_are_the_same() {
        let metrics = Metrics::new("controller").unwrap();
        let ours = ControllerMetrics::new(&metrics).unwrap();
        ours.closed_loop.retries.inc();
        let text = metrics.encode().unwrap();
        assert!(text.contains("orchestrator_closed_loop_retries_total 1"), "{text}");
        assert!(ControllerMetrics::new(&metrics).is_err());
    }
}
