//! GuardrailPolicy: which writes it means, how strictly, and what they may not do.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};
use kube_core::CustomResourceExt;
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smartops_change::Operation;
use smartops_common::config::ServiceAccount;
use smartops_common::denial::Rule;

use super::allowance::ExceptionsSpec;
use crate::rules::RulesSpec;
use crate::verdict::Effect;

/// Which writes a policy means, how strictly, and what they may not do. All policies that fit a write apply and the
/// strictest wins; none loosens another.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[kube(
    group = "smartops.dev",
    version = "v1alpha1",
    kind = "GuardrailPolicy",
    plural = "guardrailpolicies",
    shortname = "gp",
    category = "smartops",
    status = "GuardrailPolicyStatus",
    derive = "PartialEq",
    crates(kube_core = "::kube_core"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Accepted\")].status"
    ),
    printcolumn(name = "Matches", type_ = "integer", json_path = ".status.matches"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GuardrailPolicySpec {
    /// Which writes.
    #[serde(rename = "match")]
    pub match_: Match,
    /// How strictly.
    #[serde(default)]
    pub mode: Mode,
    /// What they may not do. A policy without rules still names its writes for the automation it includes.
    #[serde(default)]
    pub rules: RulesSpec,
    /// Which exceptions from it there may be.
    #[serde(default)]
    pub exceptions: ExceptionsSpec,
}

/// Which writes a policy means. Every part must fit.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Match {
    /// Of which kinds; any of them.
    #[schemars(length(min = 1, max = 32))]
    pub kinds: Vec<KindMatch>,
    /// By which operations; any of them.
    #[schemars(length(min = 1, max = 4))]
    pub operations: Vec<OperationName>,
    /// In which namespaces. Absent means everywhere, cluster-scoped objects included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<NamespaceMatch>,
    /// Of which objects, by label. Absent means all. The labels before or after the write may fit; a Scale fits by its
    /// object's labels, an owned object also by its owners', an autoscaler also by its target's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<LabelSelector>,
    /// By whom. Absent means everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subjects: Option<SubjectMatch>,
    /// Under which further conditions, in CEL: all must hold. One that cannot be evaluated counts as holding, so that
    /// an error never loosens a policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub conditions: Vec<ConditionSpec>,
}

/// A kind by its resource, as a review names it.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KindMatch {
    /// The API group, empty for the core group.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub group: String,
    /// The plural, with the subresource where one is meant: `deployments`, `deployments/scale`.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9.-]+(/[a-z0-9]+)?$"))]
    pub resource: String,
    /// The API version, as `v1`, in which the policy reads the kind: writes in its other versions are converted to it
    /// before they are judged. Needed beside `replicasPath`, which holds for one version; absent means whichever was
    /// written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z]([a-z0-9-]*[a-z0-9])?$"))]
    pub version: Option<String>,
    /// Where a custom resource keeps its number of replicas in that version, as `spec.size`: its definition's
    /// `specReplicasPath`. The kinds of Kubernetes need none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub replicas_path: Option<String>,
}

/// A condition in CEL.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConditionSpec {
    /// What it is called in messages.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub name: String,
    /// An expression that is true or false, over `object`, `oldObject` and `request`.
    #[schemars(length(min = 1, max = 2048))]
    pub expression: String,
}

/// What a write does to the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum OperationName {
    /// It comes into being.
    Create,
    /// It changes, whether by PUT, patch or apply.
    Update,
    /// It goes.
    Delete,
    /// A stream is opened to it.
    Connect,
}

impl From<OperationName> for Operation {
    fn from(name: OperationName) -> Self {
        match name {
            OperationName::Create => Self::Create,
            OperationName::Update => Self::Update,
            OperationName::Delete => Self::Delete,
            OperationName::Connect => Self::Connect,
        }
    }
}

/// In which namespaces. Every part given must fit; cluster-scoped objects never do.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamespaceMatch {
    /// Only those SmartOpsConfig guards.
    #[serde(default)]
    pub guarded: bool,
    /// Not these, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 63)))]
    pub exclude: Vec<String>,
    /// Only those with such labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// By whom.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubjectMatch {
    /// Only these; absent means everybody. A policy names writes only for automation it includes here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include: Option<SubjectSet>,
    /// Not these, even where they are included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclude: Option<SubjectSet>,
}

/// A set of subjects: whoever fits any part.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubjectSet {
    /// Everyone SmartOpsConfig calls automation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automation: bool,
    /// User names, exactly as the API server authenticates them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    pub users: Vec<String>,
    /// Groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    pub groups: Vec<String>,
    /// ServiceAccounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub service_accounts: Vec<ServiceAccount>,
}

/// How strictly a policy is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// What breaks a rule is refused.
    #[default]
    Enforce,
    /// What breaks a rule passes with a warning to whoever asked.
    Warn,
    /// What breaks a rule passes and stands in the audit log.
    Audit,
}

/// What SmartOps says about a policy.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct GuardrailPolicyStatus {
    /// The generation the conditions speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Accepted`: the webhook judges by this policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// How many of the workloads whose history is kept are of a kind it names, in a namespace it reaches, with labels
    /// it selects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<i64>,
    /// What it last did, newest first; dry runs are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub last_decisions: Vec<PolicyDecision>,
}

/// What a policy did with one write.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PolicyDecision {
    /// When; of several alike in a row, when the last was.
    pub time: Time,
    /// What it did.
    pub decision: DecisionName,
    /// By which rule.
    pub rule: Rule,
    /// What was asked: `CREATE`, `UPDATE`, `DELETE`, `CONNECT`.
    pub operation: String,
    /// Of which resource, as in `deployments.apps/scale`.
    pub resource: String,
    /// In which namespace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Of which object; empty where the server was to make up a name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// By whom.
    pub user: String,
}

/// What a policy did with a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DecisionName {
    /// It refused it.
    Deny,
    /// It changed the number asked for.
    Clamp,
    /// It let it pass with a warning.
    Warn,
    /// It noted it.
    Audit,
    /// It let it pass because of an exception or a broken glass.
    Except,
}

impl From<Effect> for DecisionName {
    fn from(effect: Effect) -> Self {
        match effect {
            Effect::Deny => Self::Deny,
            Effect::Clamp => Self::Clamp,
            Effect::Warn => Self::Warn,
            Effect::Audit => Self::Audit,
            Effect::Except => Self::Except,
        }
    }
}

/// The CustomResourceDefinition.
pub fn crd() -> CustomResourceDefinition {
    GuardrailPolicy::crd()
}
