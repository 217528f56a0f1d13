//! The root-cause signal: `POST /v1/signals/rca`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A root-cause analysis of one window. Unknown fields are accepted: analysers grow.
#[derive(JsonSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RcaSignal {
    /// The window, unique for the sender; the signal's id.
    #[schemars(length(min = 1, max = 253))]
    pub window_id: String,
    /// The service, resolved to a Deployment by name, prefix or label.
    #[schemars(length(min = 1, max = 253))]
    pub service: String,
    /// Where the service lives; absent means the configured default namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: Option<String>,
    /// Causes, the sender's best first; absent or empty is only tried out (forced dry run).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub ranked_causes: Vec<RankedCause>,
    /// 0 to 1; absent is only tried out (forced dry run).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub confidence: Option<f64>,
}

/// One cause an analysis names.
#[derive(JsonSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RankedCause {
    /// The service the cause lies in.
    #[schemars(length(min = 1, max = 253))]
    pub svc: String,
    /// `memory_leak`, `cpu_saturation`, `high_error_rate`, `config_issue`, `config_bad` …
    #[schemars(length(min = 1, max = 200))]
    pub cause: String,
    /// 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    pub probability: f64,
}

impl RcaSignal {
    /// The most probable cause; the sender's order decides between equals.
    pub fn top_cause(&self) -> Option<&RankedCause> {
        self.ranked_causes.iter().rev().max_by(|a, b| a.probability.total_cmp(&b.probability))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_probable_cause_leads_and_the_senders_order_breaks_ties() {
        let signal: RcaSignal = serde_json::from_str(
            r#"{"windowId":"w","service":"s","confidence":0.8,"rankedCauses":[
                {"svc":"s","cause":"a","probability":0.2},
                {"svc":"s","cause":"b","probability":0.7},
                {"svc":"s","cause":"c","probability":0.7}]}"#,
        )
        .unwrap();
        assert_eq!(signal.top_cause().unwrap().cause, "b");
    }
}
