//! GuardrailException: which rules of which policy are lifted for which object, why, and until when.

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube_core::CustomResourceExt;
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smartops_common::denial::Rule;

/// Which rules of which policy are lifted for which object of the exception's own namespace, why, and until when. It
/// lifts nothing of another policy.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[kube(
    group = "smartops.dev",
    version = "v1alpha1",
    kind = "GuardrailException",
    plural = "guardrailexceptions",
    shortname = "gx",
    category = "smartops",
    namespaced,
    status = "GuardrailExceptionStatus",
    derive = "PartialEq",
    crates(kube_core = "::kube_core"),
    printcolumn(name = "Policy", type_ = "string", json_path = ".spec.policy"),
    printcolumn(name = "Rules", type_ = "string", json_path = ".spec.rules"),
    printcolumn(name = "Kind", type_ = "string", json_path = ".spec.target.kind"),
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.target.name"),
    printcolumn(
        name = "Active",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Active\")].status"
    ),
    printcolumn(name = "Expires", type_ = "string", json_path = ".spec.expiresAt"),
    printcolumn(name = "Ticket", type_ = "string", json_path = ".spec.ticket", priority = 1),
    printcolumn(name = "Reason", type_ = "string", json_path = ".spec.reason", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = kube_core::Rule::new("self.policy == oldSelf.policy && self.target == oldSelf.target").message("an exception stays for one object of one policy: write another for another"),
    validation = kube_core::Rule::new("self.rules.all(r, self.rules.exists_one(s, s == r))").message("a rule stands in rules twice; once is enough")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GuardrailExceptionSpec {
    /// From which policy.
    #[schemars(length(min = 1, max = 253))]
    pub policy: String,
    /// Which of its rules are lifted.
    #[schemars(length(min = 1, max = 9))]
    pub rules: Vec<Liftable>,
    /// For which object.
    pub target: ExceptionTarget,
    /// For whom. Absent means whoever the policy means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subjects: Option<ExceptionSubjects>,
    /// Why, for whoever reads it afterwards.
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"\S"))]
    pub reason: String,
    /// Where it was asked for and granted.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"\S"))]
    pub ticket: String,
    /// Until when, as in `2026-11-27T18:00:00Z`. From that second on it lifts nothing.
    pub expires_at: Time,
}

impl GuardrailExceptionSpec {
    /// From when on it lifts nothing: `expiresAt` to the second, whatever fraction of one stands there.
    pub fn end(&self) -> Timestamp {
        let end = self.expires_at.0;
        Timestamp::from_second(end.as_second()).unwrap_or(end)
    }
}

/// The object an exception is for, its `/scale` included, and the neighbours through which the policy reaches it.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExceptionTarget {
    /// Its API group, empty for the core group.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub group: String,
    /// Its kind, as in `Deployment`.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Z][A-Za-z0-9]*$"))]
    pub kind: String,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Whoever fits any part.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = kube_core::Rule::new("has(self.users) || has(self.groups)").message("name users or groups, or leave subjects out")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExceptionSubjects {
    /// User names, exactly as the API server authenticates them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    pub users: Vec<String>,
    /// Groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    pub groups: Vec<String>,
}

/// The rules of a policy that an exception can lift. What no policy names, what cannot be decided, and leaving a policy
/// by a label are no rules of a policy's, and nothing lifts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Liftable {
    /// Images.
    Images,
    /// Bounds and steps of replicas.
    Replicas,
    /// Growth of requests and limits.
    Resources,
    /// Paths.
    Paths,
    /// Deletion.
    Deletion,
    /// All rules of the policy's own.
    Custom,
    /// Pauses between changes.
    Cooldown,
    /// Changes in a while.
    Budget,
    /// Freeze windows.
    Freeze,
}

impl Liftable {
    const ALL: [Self; 9] = [
        Self::Images,
        Self::Replicas,
        Self::Resources,
        Self::Paths,
        Self::Deletion,
        Self::Custom,
        Self::Cooldown,
        Self::Budget,
        Self::Freeze,
    ];

    /// Whether a rule is one of them.
    pub(crate) fn is(rule: Rule) -> bool {
        Self::ALL.into_iter().any(|liftable| Rule::from(liftable) == rule)
    }
}

impl From<Liftable> for Rule {
    fn from(rule: Liftable) -> Self {
        match rule {
            Liftable::Images => Self::Images,
            Liftable::Replicas => Self::Replicas,
            Liftable::Resources => Self::Resources,
            Liftable::Paths => Self::Paths,
            Liftable::Deletion => Self::Deletion,
            Liftable::Custom => Self::Custom,
            Liftable::Cooldown => Self::Cooldown,
            Liftable::Budget => Self::Budget,
            Liftable::Freeze => Self::Freeze,
        }
    }
}

/// What SmartOps says about an exception.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct GuardrailExceptionStatus {
    /// The generation the conditions speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Active`: it lifts what it says. What counts is `expiresAt`, which is looked at with every review.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// The CustomResourceDefinition.
pub fn crd() -> CustomResourceDefinition {
    GuardrailException::crd()
}
