//! Remediation: one remedy from the moment it was asked for to its end. In etcd it is the queue, the state and
//! the audit trail at once; `spec` says what was asked and never changes, `status` says what happened and only
//! moves forward.

mod handling;
mod rules;
mod status;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube_core::CustomResourceExt;
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::handling::{Autoscaler, GitOps, Handling, MetricCheck, Undo};
use self::rules::RULES;
pub use self::status::{
    Attempt, AttemptKind, AttemptResult, AttemptTarget, Bounds, CheckResult, CheckVerdict,
    Comparison, FormerState, Observed, Outcome, Phase, Proposal, RemediationStatus,
    SignalReference, Standing, Verification, VerificationStatus,
};
use crate::action::{Action, Intent, PatchFormat};
use crate::schema;
use crate::signal::SignalKind;

/// What was asked for, of what, by whom and why. Immutable.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[kube(
    group = "smartops.dev",
    version = "v1alpha1",
    kind = "Remediation",
    plural = "remediations",
    shortname = "rem",
    category = "smartops",
    namespaced,
    status = "RemediationStatus",
    derive = "PartialEq",
    crates(kube_core = "::kube_core"),
    selectable = ".spec.target.uid",
    selectable = ".status.phase",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.target.name"),
    printcolumn(name = "Action", type_ = "string", json_path = ".spec.action.type"),
    printcolumn(name = "Cause", type_ = "string", json_path = ".spec.cause"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.outcome.reason"),
    printcolumn(
        name = "Approval",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Approved\")].reason"
    ),
    printcolumn(
        name = "Intent-hash",
        type_ = "string",
        json_path = ".status.proposal.hash",
        priority = 1
    ),
    printcolumn(name = "Dry-run", type_ = "boolean", json_path = ".spec.dryRun", priority = 1),
    printcolumn(
        name = "Requested-by",
        type_ = "string",
        json_path = ".spec.requestedBy",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = kube_core::Rule::new("self == oldSelf").message("spec is immutable: ask again with a new Remediation")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RemediationSpec {
    /// What the remedy is for: one workload in the Remediation's own namespace.
    pub target: Target,
    /// What was asked, perhaps relative ("one more replica").
    pub action: Action,
    /// Why, as `rca/memory_leak`, `anomaly/resource` or `api/scale`. Signals with the same target and cause join
    /// while the Remediation is open.
    #[schemars(length(min = 1, max = 253))]
    pub cause: String,
    /// Which one for this target and cause, from 1.
    #[serde(default = "first")]
    #[schemars(range(min = 1))]
    pub sequence: u32,
    /// Where the request came from.
    pub source: Source,
    /// The authenticated caller, not the controller: stamped by admission, unless the controller asks for somebody. A
    /// ServiceAccount's user name alone may take 339 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(min = 1, max = 1024))]
    pub requested_by: String,
    /// Who made the object: stamped by admission.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(min = 1, max = 1024))]
    pub created_by: String,
    /// The digest of the caller's name and `Idempotency-Key`, where one was sent: the same request once more is this
    /// one. 64 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 64, max = 64))]
    pub idempotency_key: Option<String>,
    /// The signal that began it, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<OriginatingSignal>,
    /// Try it out: the server-side dry run is judged, nothing is written.
    #[serde(default)]
    pub dry_run: bool,
    /// Write nothing before somebody else has approved exactly what would be written (a RemediationApproval).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_approval: bool,
    /// Wait for the rollout and judge it.
    #[serde(default = "yes")]
    pub verify: bool,
    /// How long the rollout may take before its end counts as unknown. Seconds.
    #[serde(default = "default_timeout")]
    #[schemars(range(min = 1, max = 3600))]
    pub verify_timeout_seconds: u32,
    /// Seconds between two looks at the rollout.
    #[serde(default = "default_poll")]
    #[schemars(range(min = 1, max = 300))]
    pub verify_poll_seconds: u32,
    /// What else has to hold for the remedy to have helped, asked of Prometheus.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub checks: Vec<MetricCheck>,
    /// How the RemediationPolicy that decided wants it done. Of a request nobody decided about, the defaults.
    #[serde(default, skip_serializing_if = "Handling::is_default")]
    pub handling: Handling,
}

const fn first() -> u32 {
    1
}

const fn yes() -> bool {
    true
}

const fn default_timeout() -> u32 {
    120
}

const fn default_poll() -> u32 {
    1
}

/// The workload a remedy is for.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// Its kind.
    pub kind: TargetKind,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its uid: a workload deleted and made anew is another target.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
}

/// Kinds of workload the controller may act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum TargetKind {
    /// apps/v1 Deployment.
    Deployment,
}

/// Where a request came from, as the audit record names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A signal, through the closed loop.
    ClosedLoop,
    /// A person or a program calling the API.
    User,
    /// A policy engine calling the API.
    PolicyEngine,
    /// An AI agent calling the API.
    AiAgent,
}

impl Source {
    /// The name in metrics and audit records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClosedLoop => "closed-loop",
            Self::User => "user",
            Self::PolicyEngine => "policy-engine",
            Self::AiAgent => "ai-agent",
        }
    }
}

/// The signal that began a Remediation; those that join later stand in `status.signals`.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OriginatingSignal {
    /// Which route it came by.
    pub kind: SignalKind,
    /// The sender's id for it: `windowId`, or fingerprint and start of an alert.
    #[schemars(length(max = 253))]
    pub id: String,
    /// When what it tells began, where the sender says so. Repeats of an alert are known by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_at: Option<Time>,
    /// The anomaly's score or the analysis' confidence, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}

/// The CustomResourceDefinition, with the transition rules that stand at the schema's root.
pub fn crd() -> CustomResourceDefinition {
    schema::with_root_rules(Remediation::crd(), &RULES)
}

/// What an approval has to name: a digest of exactly what would be written, of what. Another plan, another target or
/// another version of its spec is another digest; an autoscaler has no such version, of that the bounds it has stand for
/// it. 64 hex digits.
pub fn intent_hash(
    remediation_uid: &str,
    target: &AttemptTarget,
    intent: &Intent,
    bounds_before: Option<Bounds>,
) -> String {
    let exact = |number: Option<i32>| number.map(|n| n.to_string()).unwrap_or_default();
    let (format, body) = intent.patch.as_ref().map_or(("", ""), |patch| {
        let format = match patch.format {
            PatchFormat::Strategic => "strategic",
            PatchFormat::Json => "json",
        };
        (format, patch.body.as_str())
    });
    let revision = intent.revision.as_ref();
    let (pod, bounds) = (intent.pod.as_ref(), intent.bounds.as_ref());
    let (generation, replicas) = (target.generation.to_string(), exact(intent.replicas));
    let pair = |least: i32, most: i32| [least.to_string(), most.to_string()];
    let wanted = bounds.map(|wanted| pair(wanted.min_replicas, wanted.max_replicas));
    let wanted = wanted.unwrap_or_default();
    let before = bounds_before.map(|before| pair(before.min_replicas, before.max_replicas));
    let mut parts = vec![
        remediation_uid,
        &target.uid,
        &generation,
        intent.type_.as_str(),
        &replicas,
        intent.restarted_at.as_deref().unwrap_or_default(),
        format,
        body,
        revision.map_or("", |revision| &revision.uid),
        revision.map_or("", |revision| &revision.template),
        pod.map_or("", |pod| &pod.uid),
        bounds.map_or("", |bounds| &bounds.uid),
    ];
    parts.extend(wanted.iter().chain(before.iter().flatten()).map(String::as_str));
    hex(&parts, 64)
}

/// The name of the Remediation of this target, cause and sequence: the same request always means the same object,
/// so a create that is repeated finds its first self. `<target>-<16 hex digits>`, at most 253 characters.
pub fn name(target: &Target, cause: &str, sequence: u32) -> String {
    let digest = hex(&[target.uid.as_str(), cause, &sequence.to_string()], 16);
    let stem: String = target.name.chars().take(253 - 1 - digest.len()).collect();
    format!("{}-{digest}", stem.trim_end_matches(['-', '.']))
}

/// The label value that stands for a cause: causes may hold characters a label may not.
pub fn cause_label(cause: &str) -> String {
    hex(&[cause], 16)
}

/// What stands for an `Idempotency-Key` of this caller: keys of two callers never meet. 64 hex digits.
pub fn idempotency_key(caller: &str, key: &str) -> String {
    hex(&[caller, key], 64)
}

/// The first digits of the hexadecimal digest of several texts, kept apart.
pub fn hex(parts: &[&str], digits: usize) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // Length first: ("ab", "c") and ("a", "bc") are different requests.
        hash.update(part.len().to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    let nibbles = digest.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    nibbles.filter_map(|n| char::from_digit(n.into(), 16)).take(digits).collect()
}

/// How long after its end a Remediation stays at least.
pub const KEPT: SignedDuration = SignedDuration::from_mins(10);

impl Remediation {
    /// The phase, `Pending` before the controller has looked at it.
    pub fn phase(&self) -> Phase {
        self.status.as_ref().map_or(Phase::Pending, |s| s.phase)
    }

    /// Whether it has not ended yet.
    pub fn is_open(&self) -> bool {
        !self.phase().is_final()
    }

    /// Whether it ended so long ago that the controller may delete it; admission lets no other be deleted by it.
    pub fn may_be_pruned(&self, now: Timestamp) -> bool {
        let outcome = self.status.as_ref().and_then(|status| status.outcome.as_ref());
        let ended = outcome.map(|outcome| outcome.finished_at.0);
        !self.is_open() && ended.is_some_and(|ended| now.duration_since(ended) >= KEPT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target { kind: TargetKind::Deployment, name: "web".into(), uid: "u-1".into() }
    }

    #[test]
    fn the_same_request_has_the_same_name_and_any_other_another() {
        let one = name(&target(), "rca/memory_leak", 1);
        assert_eq!(one, name(&target(), "rca/memory_leak", 1));
        assert_ne!(one, name(&target(), "rca/memory_leak", 2));
        assert_ne!(one, name(&target(), "rca/cpu_saturation", 1));
        assert_ne!(one, name(&Target { uid: "u-2".into(), ..target() }, "rca/memory_leak", 1));
    }

    #[test]
    fn an_approval_is_for_one_intent_of_one_version_of_one_target() {
        let target = |uid: &str, generation, version: &str| AttemptTarget {
            uid: uid.into(),
            generation,
            resource_version: version.into(),
        };
        let scale = Intent::scale;
        let hash = intent_hash("r", &target("u", 1, "7"), &scale(5), None);
        assert_eq!(hash.len(), 64);
        assert_eq!(hash, intent_hash("r", &target("u", 1, "8"), &scale(5), None));
        for other in [
            intent_hash("r2", &target("u", 1, "7"), &scale(5), None),
            intent_hash("r", &target("u2", 1, "7"), &scale(5), None),
            intent_hash("r", &target("u", 2, "7"), &scale(5), None),
            intent_hash("r", &target("u", 1, "7"), &scale(6), None),
        ] {
            assert_ne!(hash, other);
        }
    }

    #[test]
    fn an_approval_of_bounds_is_for_the_bounds_there_are_and_not_for_the_autoscalers_version() {
        let target = AttemptTarget { uid: "u".into(), generation: 1, resource_version: "7".into() };
        let moved = |version: &str, max| {
            let bounds = serde_json::json!({
                "name": "web", "uid": "h", "resourceVersion": version, "minReplicas": 1, "maxReplicas": max,
            });
            let intent = serde_json::json!({"type": "hpa-bounds", "bounds": bounds});
            serde_json::from_value::<Intent>(intent).unwrap()
        };
        let of = |intent: &Intent, (min_replicas, max_replicas)| {
            intent_hash("r", &target, intent, Some(Bounds { min_replicas, max_replicas }))
        };
        let hash = of(&moved("1", 7), (1, 5));
        assert_eq!(hash, of(&moved("2", 7), (1, 5)), "its status moved");
        for other in
            [of(&moved("1", 8), (1, 5)), of(&moved("1", 7), (1, 6)), of(&moved("1", 7), (2, 5))]
        {
            assert_ne!(hash, other);
        }
        assert_ne!(hash, intent_hash("r", &target, &moved("1", 7), None));
    }

    #[test]
    fn a_name_fits_kubernetes_however_long_the_target() {
        let long = Target { name: "a".repeat(253), ..target() };
        assert!(name(&long, "c", 1).len() <= 253);
    }

    #[test]
    fn what_ended_ten_minutes_ago_may_be_pruned_and_nothing_else() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        for (phase, ended, expected) in [
            ("Succeeded", Some("2026-11-21T09:50:00Z"), true),
            ("Skipped", Some("2026-11-20T10:00:00Z"), true),
            ("Succeeded", Some("2026-11-21T09:50:01Z"), false),
            ("Succeeded", Some("2026-11-21T10:10:00Z"), false),
            ("Succeeded", None, false),
            ("Executing", Some("2026-11-20T10:00:00Z"), false),
            ("Verifying", None, false),
        ] {
            let mut object = serde_json::json!({
                "metadata": {"name": "x"},
                "spec": {"target": target(), "action": {"type": "restart"}, "cause": "c", "source": "user"},
                "status": {"phase": phase},
            });
            if let Some(ended) = ended {
                let outcome =
                    serde_json::json!({"reason": "R", "message": "m", "finishedAt": ended});
                object["status"]["outcome"] = outcome;
            }
            let remediation: Remediation = serde_json::from_value(object).unwrap();
            assert_eq!(remediation.may_be_pruned(now), expected, "{phase} {ended:?}");
        }
    }
}
