//! The anomaly signal: `POST /v1/signals/anomaly`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One window a detector looked at. Unknown fields are accepted: detectors grow.
#[derive(JsonSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnomalySignal {
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
    /// `false` is a no-op, counted.
    pub is_anomaly: bool,
    /// 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    pub score: f64,
    /// `resource`, `latency`, `error`, `jitter`, `latency_jitter`; anything else maps to the configured fallback.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 200))]
    pub type_: String,
    /// The detector's model; a signal without one is only tried out (forced dry run).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub model_version: Option<String>,
    /// Whatever the detector wants to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
}
