//! RemediationPolicy: which signals lead to which remedies, and how these are handled, for the targets it selects. Of the
//! policies that select a target one governs: the one of the highest priority, of several the first by name.
//!
//! Lives here: the kind, what can be said to be wrong with it from itself alone, and the one that is shipped. Which policy
//! governs and what a signal leads to is the controller's.

mod check;
mod shipped;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube_core::CustomResourceExt;
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::check::{Wrong, check};
pub use self::shipped::shipped;
use crate::action::Action;
use crate::remediation::{Autoscaler, GitOps, MetricCheck, Undo};
use crate::schema;
use crate::signal::SignalKind;

/// Which signals lead to which remedies, for the targets it selects.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[kube(
    group = "smartops.dev",
    version = "v1alpha1",
    kind = "RemediationPolicy",
    plural = "remediationpolicies",
    shortname = "remp",
    category = "smartops",
    status = "RemediationPolicyStatus",
    derive = "PartialEq",
    crates(kube_core = "::kube_core"),
    printcolumn(name = "Priority", type_ = "integer", json_path = ".spec.priority"),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Accepted\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RemediationPolicySpec {
    /// Of the policies that select a target the one of the highest governs, of several the first by name.
    #[serde(default)]
    #[schemars(range(min = -1000, max = 1000))]
    pub priority: i32,
    /// Which targets it is for; empty means all.
    #[serde(default, rename = "match")]
    pub selects: Selects,
    /// What signals lead to: the first rule that fits. A signal no rule fits leads to nothing.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub rules: Vec<RemedyRule>,
    /// How remedies are handled where the rule does not say.
    #[serde(default)]
    pub defaults: Options,
}

/// Which targets a policy is for.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Selects {
    /// Labels of their namespace; `kubernetes.io/metadata.name` is its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<LabelSelector>,
    /// Their own labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<LabelSelector>,
}

/// What one sort of signal leads to.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RemedyRule {
    /// Its name, for whoever asks later which rule it was.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Which signals.
    #[serde(default)]
    pub when: When,
    /// What is done; absent means nothing, and the signal is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// How it is handled, where not as the policy's defaults say.
    #[serde(default)]
    pub options: Options,
}

/// Which signals a rule is for. What is empty asks nothing.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct When {
    /// By which route they came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub signals: Vec<SignalKind>,
    /// The type of an anomaly, the first cause of a root-cause analysis, the name of an alert: exactly one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub causes: Vec<String>,
    /// The least score of an anomaly or confidence of an analysis, 0 to 1, as a text; an alert has none and passes. One
    /// below leads to nothing, and no later rule is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    pub min_score: Option<String>,
}

/// How a remedy is handled. What is absent is as the level above says: the rule, the policy, the installation.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    /// Write nothing before somebody has approved exactly what would be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_approval: Option<bool>,
    /// Try it out, and write nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// What becomes of a signal that lacks what it takes to act on it: an anomaly without `modelVersion`, an analysis
    /// without `confidence` or `rankedCauses`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<Incomplete>,
    /// For how long the closed loop leaves the target alone after it acted on it. Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 86400))]
    pub cooldown_seconds: Option<u32>,
    /// How long a signal waits for others that say more about the same target. Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 300))]
    pub debounce_seconds: Option<u32>,
    /// How long the rollout may take before its end counts as unknown. Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3600))]
    pub verify_timeout_seconds: Option<u32>,
    /// What else has to hold for the remedy to have helped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub checks: Option<Vec<MetricCheck>>,
    /// Whether a remedy that failed its verification is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Undo>,
    /// What becomes of a scale where an autoscaler owns the number of replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaler: Option<Autoscaler>,
    /// What becomes of a change that a GitOps tool would take back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_ops: Option<GitOps>,
}

/// What becomes of a signal that lacks what it takes to act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Incomplete {
    /// Its remedy is only tried out.
    #[default]
    DryRun,
    /// It is acted on like any other.
    Act,
}

impl Options {
    /// These, and where they say nothing what `beyond` says.
    #[must_use]
    pub fn or(&self, beyond: &Self) -> Self {
        Self {
            require_approval: self.require_approval.or(beyond.require_approval),
            dry_run: self.dry_run.or(beyond.dry_run),
            incomplete: self.incomplete.or(beyond.incomplete),
            cooldown_seconds: self.cooldown_seconds.or(beyond.cooldown_seconds),
            debounce_seconds: self.debounce_seconds.or(beyond.debounce_seconds),
            verify_timeout_seconds: self.verify_timeout_seconds.or(beyond.verify_timeout_seconds),
            checks: self.checks.clone().or_else(|| beyond.checks.clone()),
            undo: self.undo.or(beyond.undo),
            autoscaler: self.autoscaler.or(beyond.autoscaler),
            git_ops: self.git_ops.or(beyond.git_ops),
        }
    }
}

/// What the controller says of a policy.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct RemediationPolicyStatus {
    /// The generation the conditions speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Accepted`: signals are decided by it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// The CustomResourceDefinition.
pub fn crd() -> CustomResourceDefinition {
    schema::with_root_rules(RemediationPolicy::crd(), &[])
}
