//! The target of a Remediation as it is now, as far as an attempt on record speaks of it.

use serde::Deserialize;
use smartops_change::TemplateDigest;

/// A Deployment, as far as it is looked at.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Target {
    pub(super) metadata: Metadata,
    pub(super) spec: Spec,
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
