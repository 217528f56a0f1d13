//! What RemediationPolicies are asked about a signal. What they make of it is `policy`'s. Pure.

use smartops_common::signal::SignalKind;
use smartops_common::signal::alert::Alert;
use smartops_common::signal::anomaly::AnomalySignal;
use smartops_common::signal::rca::RcaSignal;

use crate::policy::decide::Told;

/// The cause of an analysis that names none.
const UNKNOWN: &str = "unknown";

/// An anomaly; `None` where its window was none.
pub fn anomaly(signal: &AnomalySignal) -> Option<Told<'_>> {
    signal.is_anomaly.then(|| Told {
        kind: SignalKind::Anomaly,
        cause: &signal.type_,
        score: Some(signal.score),
        is_complete: signal.model_version.as_deref().is_some_and(|version| !version.is_empty()),
    })
}

/// A root-cause analysis, by its first cause.
pub fn rca(signal: &RcaSignal) -> Told<'_> {
    Told {
        kind: SignalKind::Rca,
        cause: signal.top_cause().map_or(UNKNOWN, |top| top.cause.as_str()),
        score: signal.confidence,
        is_complete: signal.confidence.is_some() && !signal.ranked_causes.is_empty(),
    }
}

/// An alert, by its name. What else it says of itself (annotations, labels) never chooses an action: whoever may write
/// an alerting rule is not whoever may write to the cluster.
pub fn alert(alert: &Alert) -> Told<'_> {
    Told { kind: SignalKind::Alert, cause: alert.name(), score: None, is_complete: true }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn signal(model_version: Option<&str>) -> AnomalySignal {
        serde_json::from_value(json!({
            "windowId": "w", "service": "s", "isAnomaly": true, "score": 0.9, "type": "error",
            "modelVersion": model_version,
        }))
        .unwrap()
    }

    #[test]
    fn what_is_no_anomaly_asks_for_nothing() {
        let calm = AnomalySignal { is_anomaly: false, ..signal(Some("v1")) };
        assert_eq!(anomaly(&calm), None);
        let told = signal(Some("v1"));
        let told = anomaly(&told).unwrap();
        assert_eq!((told.cause, told.score), ("error", Some(0.9)));
    }

    #[test]
    fn an_anomaly_without_its_model_is_incomplete() {
        for (version, is_complete) in [(Some("v1"), true), (Some(""), false), (None, false)] {
            assert_eq!(anomaly(&signal(version)).unwrap().is_complete, is_complete, "{version:?}");
        }
    }

    #[test]
    fn an_analysis_without_confidence_or_causes_is_incomplete_and_says_no_zero() {
        let causes = json!([{"svc": "s", "cause": "memory_leak", "probability": 0.9}]);
        for (body, cause, score, is_complete) in [
            (json!({"rankedCauses": causes}), "memory_leak", None, false),
            (json!({"confidence": 0.8}), UNKNOWN, Some(0.8), false),
            (json!({"confidence": 0.0, "rankedCauses": causes}), "memory_leak", Some(0.0), true),
        ] {
            let mut body = body;
            (body["windowId"], body["service"]) = (json!("w"), json!("s"));
            let signal: RcaSignal = serde_json::from_value(body).unwrap();
            let told = rca(&signal);
            assert_eq!((told.cause, told.score, told.is_complete), (cause, score, is_complete));
        }
    }
}
