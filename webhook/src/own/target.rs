//! The target of a Remediation as it is now, as far as an attempt on record speaks of it.

use serde::Deserialize;
use serde_json::Value;
use smartops_change::TemplateDigest;

/// A Deployment: what every check looks at, and the whole for those that look further.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Target {
    pub(super) metadata: Metadata,
    pub(super) spec: Spec,
    pub(super) object: Value,
}

/// As far as every check looks at it.
#[derive(Deserialize)]
struct Read {
    metadata: Metadata,
    spec: Spec,
}

/// Which one, in which version.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) uid: String,
    #[serde(default)]
    pub(super) generation: i64,
    pub(super) resource_version: String,
}

/// What an undo would restore.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Spec {
    #[serde(default = "one")]
    pub(super) replicas: i32,
    pub(super) template: TemplateDigest,
}

const fn one() -> i32 {
    1
}

impl Target {
    /// Reads one from its JSON.
    pub(super) fn read(text: &str) -> serde_json::Result<Self> {
        let Read { metadata, spec } = serde_json::from_str(text)?;
        Ok(Self { metadata, spec, object: serde_json::from_str(text)? })
    }
}
