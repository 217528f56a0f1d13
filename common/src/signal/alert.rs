//! The alerts of Prometheus: what Alertmanager's webhook posts (version 4) to `POST /v1/alerts/alertmanager`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Whether an alert begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// It holds.
    Firing,
    /// It does not hold any more.
    Resolved,
}

impl AlertState {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// One alert of a group. Whatever else a sender says of it is left alone: annotations and links are for people, and
/// `endsAt` is a guess while an alert fires (the year 1 where nobody guessed).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// Whether it begins or ends.
    pub status: AlertState,
    /// What it is about.
    pub labels: BTreeMap<String, String>,
    /// When it began, as the sender writes it; the same on every delivery. Absent where the sender says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<String>,
    /// The sender's name for its labels: opaque, not always hexadecimal, sometimes absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

impl Alert {
    /// The label of this name, where it says anything.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The alert's name, empty where it has none.
    pub fn name(&self) -> &str {
        self.label("alertname").unwrap_or_default()
    }
}
