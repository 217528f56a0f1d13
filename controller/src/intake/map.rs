//! Which action a signal means: the default table, with the two choices the configuration leaves open. Pure.

use smartops_common::action::Action;
use smartops_common::signal::anomaly::AnomalySignal;
use smartops_common::signal::rca::RcaSignal;

use crate::args::{Fallback, LatencyAction};

/// The choices the configuration leaves open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// What a latency anomaly leads to.
    pub latency: LatencyAction,
    /// What an anomaly of an unknown type leads to.
    pub fallback: Fallback,
}

/// What a signal leads to.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// The action; relative where the table says so.
    pub action: Action,
    /// The cause, as it stands in the Remediation.
    pub cause: String,
    /// The signal lacks what it would take to act on it: it is only tried out.
    pub dry_run: bool,
}

/// Maps an anomaly; `None` is a no-op.
pub fn anomaly(signal: &AnomalySignal, mapping: Mapping) -> Option<Decided> {
    if !signal.is_anomaly {
        return None;
    }
    let action = match (signal.type_.as_str(), mapping.latency, mapping.fallback) {
        ("resource", ..) | ("latency", LatencyAction::Scale, _) => Action::scale_by(1),
        ("latency" | "error" | "jitter" | "latency_jitter", ..) | (_, _, Fallback::Restart) => {
            Action::restart()
        }
        (_, _, Fallback::None) => return None,
    };
    Some(Decided {
        action,
        cause: format!("anomaly/{}", signal.type_),
        dry_run: signal.model_version.as_deref().is_none_or(str::is_empty),
    })
}

/// Maps a root cause: anything unknown is a restart.
pub fn rca(signal: &RcaSignal) -> Decided {
    let cause = signal.top_cause().map_or("unknown", |c| c.cause.as_str());
    let action = match cause {
        "cpu_saturation" => Action::scale_by(1),
        _ => Action::restart(),
    };
    Decided {
        action,
        cause: format!("rca/{cause}"),
        dry_run: signal.confidence.is_none() || signal.ranked_causes.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DEFAULT: Mapping = Mapping { latency: LatencyAction::Restart, fallback: Fallback::None };

    fn signal(type_: &str) -> AnomalySignal {
        serde_json::from_value(json!({
            "windowId": "w", "service": "s", "isAnomaly": true, "score": 0.9, "type": type_,
            "modelVersion": "v1",
        }))
        .unwrap()
    }

    #[test]
    fn each_anomaly_leads_to_the_tables_action() {
        let restart = Some(Action::restart());
        let scale = Some(Action::scale_by(1));
        let option_b = Mapping { latency: LatencyAction::Scale, ..DEFAULT };
        let fallback = Mapping { fallback: Fallback::Restart, ..DEFAULT };
        let table = [
            ("resource", DEFAULT, scale.clone()),
            ("latency", DEFAULT, restart.clone()),
            ("latency", option_b, scale),
            ("latency_jitter", option_b, restart.clone()),
            ("error", DEFAULT, restart.clone()),
            ("jitter", DEFAULT, restart.clone()),
            ("latency_jitter", DEFAULT, restart.clone()),
            ("weather", DEFAULT, None),
            ("weather", fallback, restart),
            ("Resource", DEFAULT, None),
        ];
        for (type_, mapping, expected) in table {
            let decided = anomaly(&signal(type_), mapping).map(|d| d.action);
            assert_eq!(decided, expected, "{type_} {mapping:?}");
        }
    }

    #[test]
    fn what_is_no_anomaly_leads_to_nothing_even_with_a_fallback() {
        let calm = AnomalySignal { is_anomaly: false, ..signal("resource") };
        let mapping = Mapping { fallback: Fallback::Restart, ..DEFAULT };
        assert_eq!(anomaly(&calm, mapping), None);
    }

    #[test]
    fn a_signal_without_its_model_is_only_tried_out() {
        assert!(!anomaly(&signal("error"), DEFAULT).unwrap().dry_run);
        for model_version in [None, Some(String::new())] {
            let bare = AnomalySignal { model_version, ..signal("error") };
            assert!(anomaly(&bare, DEFAULT).unwrap().dry_run);
        }
    }

    #[test]
    fn each_root_cause_leads_to_the_tables_action() {
        let table = [
            ("memory_leak", Action::restart()),
            ("cpu_saturation", Action::scale_by(1)),
            ("high_error_rate", Action::restart()),
            ("config_issue", Action::restart()),
            ("config_bad", Action::restart()),
            ("gremlins", Action::restart()),
        ];
        for (cause, expected) in table {
            let signal: RcaSignal = serde_json::from_value(json!({
                "windowId": "w", "service": "s", "confidence": 0.8,
                "rankedCauses": [{"svc": "s", "cause": cause, "probability": 0.9}],
            }))
            .unwrap();
            let decided = rca(&signal);
            assert_eq!(decided.action, expected, "{cause}");
            assert_eq!(decided.cause, format!("rca/{cause}"));
            assert!(!decided.dry_run);
        }
    }

    #[test]
    fn a_root_cause_without_confidence_or_causes_is_only_tried_out() {
        let causes = json!([{"svc": "s", "cause": "memory_leak", "probability": 0.9}]);
        for (body, dry_run) in [
            (json!({"windowId": "w", "service": "s", "rankedCauses": causes}), true),
            (json!({"windowId": "w", "service": "s", "confidence": 0.8}), true),
            (
                json!({"windowId": "w", "service": "s", "rankedCauses": causes, "confidence": 0.8}),
                false,
            ),
        ] {
            let signal: RcaSignal = serde_json::from_value(body).unwrap();
            assert_eq!(rca(&signal).dry_run, dry_run);
        }
    }
}
