//! The RemediationPolicy that is shipped: the table of causes every installation begins with, for all targets, at the
//! lowest priority, so that any other policy goes before it. Where no policy governs, the controller decides by the same
//! table.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{RemediationPolicy, RemediationPolicySpec, RemedyRule, When};
use crate::action::Action;
use crate::names;
use crate::signal::SignalKind;

/// Alerts after which new pods help.
const RESTARTS: [&str; 8] = [
    "ContainerOOMKilled",
    "HighErrorRate",
    "HighMemoryUsage",
    "KubePodCrashLooping",
    "KubePodNotReady",
    "KubernetesPodCrashLooping",
    "MemoryLeak",
    "PodCrashLooping",
];
/// Alerts after which one pod more helps.
const SCALES: [&str; 4] =
    ["CPUSaturation", "CPUThrottlingHigh", "HighCPUUsage", "KubernetesContainerHighCpuUtilization"];

/// The lowest priority there is.
const LAST: i32 = -1000;

/// The shipped policy.
pub fn shipped() -> RemediationPolicy {
    use SignalKind::{Alert, Anomaly, Rca};
    let rules = vec![
        rule("root-cause-cpu", Rca, &["cpu_saturation"], Action::scale_by(1)),
        // Whatever else an analysis names, new pods are the least that may help.
        rule("root-cause", Rca, &[], Action::restart()),
        rule("anomaly-resource", Anomaly, &["resource"], Action::scale_by(1)),
        // Option B is a scale here: `action: {type: scale, scale: {delta: 1}}`.
        rule("anomaly-latency", Anomaly, &["latency"], Action::restart()),
        rule("anomaly-errors", Anomaly, &["error", "jitter", "latency_jitter"], Action::restart()),
        rule("alert-restart", Alert, &RESTARTS, Action::restart()),
        rule("alert-scale", Alert, &SCALES, Action::scale_by(1)),
    ];
    RemediationPolicy {
        metadata: ObjectMeta {
            name: Some(names::SHIPPED_REMEDIATION_POLICY.to_owned()),
            ..ObjectMeta::default()
        },
        spec: RemediationPolicySpec { priority: LAST, rules, ..RemediationPolicySpec::default() },
        status: None,
    }
}

fn rule(name: &str, kind: SignalKind, causes: &[&str], action: Action) -> RemedyRule {
    let when = When {
        signals: vec![kind],
        causes: causes.iter().map(|cause| (*cause).to_owned()).collect(),
        min_score: None,
    };
    RemedyRule {
        name: name.to_owned(),
        when,
        action: Some(action),
        options: super::Options::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn the_shipped_policy_can_be_decided_by() {
        assert_eq!(check(&shipped().spec), []);
    }

    #[test]
    fn no_alert_has_two_actions() {
        let mut names: Vec<&str> = RESTARTS.iter().chain(&SCALES).copied().collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
