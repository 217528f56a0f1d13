//! Signals as callers post them: one file a source. A signal is a value; what it leads to is decided in the
//! controller (`intake::map`).

pub mod alert;
pub mod anomaly;
pub mod rca;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a signal came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SignalKind {
    /// An anomaly detector.
    Anomaly,
    /// A root-cause analysis.
    Rca,
    /// An alert of Prometheus, by way of Alertmanager.
    Alert,
}

impl SignalKind {
    /// The name in paths, replies and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anomaly => "anomaly",
            Self::Rca => "rca",
            Self::Alert => "alert",
        }
    }
}

impl std::fmt::Display for SignalKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
