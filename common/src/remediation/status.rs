//! The status of a Remediation: its phase, its attempts with their intents, what came of them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::action::{Intent, PatchParameters};
use crate::denial::Denial;

/// Where a Remediation stands.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    Default,
)]
pub enum Phase {
    /// Accepted; nothing issued yet.
    #[default]
    Pending,
    /// What would be written is on record; somebody else has to approve it.
    AwaitingApproval,
    /// An attempt with its intent is recorded; it is being judged and written, or will be tried again.
    Executing,
    /// Written; the rollout is being watched.
    Verifying,
    /// Done, and verified where that was asked.
    Succeeded,
    /// The write or the rollout failed.
    Failed,
    /// A guardrail refused; never retried.
    Denied,
    /// Not begun, for the reason given (cooldown, busy target, target gone).
    Skipped,
    /// The rollout did not end in time: unknown, neither retried nor undone.
    TimedOut,
    /// Called off before it began.
    Cancelled,
    /// Tried out: the judged dry run is all that was asked.
    DryRun,
    /// Undone after it did not help.
    RolledBack,
}

impl Phase {
    /// Every phase, in the order of a life.
    pub const ALL: [Self; 12] = [
        Self::Pending,
        Self::AwaitingApproval,
        Self::Executing,
        Self::Verifying,
        Self::Succeeded,
        Self::Failed,
        Self::Denied,
        Self::Skipped,
        Self::TimedOut,
        Self::Cancelled,
        Self::DryRun,
        Self::RolledBack,
    ];

    /// Whether nothing more will happen.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::AwaitingApproval | Self::Executing | Self::Verifying)
    }

    /// The name in columns and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::AwaitingApproval => "AwaitingApproval",
            Self::Executing => "Executing",
            Self::Verifying => "Verifying",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Denied => "Denied",
            Self::Skipped => "Skipped",
            Self::TimedOut => "TimedOut",
            Self::Cancelled => "Cancelled",
            Self::DryRun => "DryRun",
            Self::RolledBack => "RolledBack",
        }
    }
}

/// What happened so far. Written by the controller only.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct RemediationStatus {
    /// Where it stands.
    #[serde(default)]
    pub phase: Phase,
    /// `Complete` (nothing more will happen) and `Verified`, with reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Signals that joined after the first, the newest last, at most 32; the first too once it was taken back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub signals: Vec<SignalReference>,
    /// How many signals joined in all, those no longer listed included.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub signal_count: u32,
    /// What waits for approval, or was approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<Proposal>,
    /// What was tried, in order; only ever added to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub attempts: Vec<Attempt>,
    /// The guardrails' refusal, where they refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denial: Option<Denial>,
    /// What was seen of the rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
    /// What Prometheus said before and after, one for each of the spec's checks that was asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub checks: Vec<CheckResult>,
    /// The target before the first write and at the end: never worse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// The trace in which it was asked for, 32 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 32, max = 32))]
    pub trace_id: Option<String>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's skip_serializing_if hands a reference"
)]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// A signal that joined.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SignalReference {
    /// The sender's id for it.
    pub id: String,
    /// When it was accepted.
    pub accepted_at: Time,
    /// When its sender took it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Time>,
}

/// What would be written once somebody approved it.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Proposal {
    /// The exact values.
    pub intent: Intent,
    /// The object they were worked out for.
    pub target: AttemptTarget,
    /// What an approval has to name: the [digest](super::intent_hash) of both. 64 hex digits.
    #[schemars(length(min = 64, max = 64))]
    pub hash: String,
    /// When it was put forward.
    pub proposed_at: Time,
    /// When the Remediation ends without one.
    pub expires_at: Time,
}

/// One try: recorded with its exact intent before anything is written.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// What it is for.
    pub kind: AttemptKind,
    /// The exact values to be written, and nothing else.
    pub intent: Intent,
    /// The object as read just before.
    pub target: AttemptTarget,
    /// What an undo would restore.
    pub former: FormerState,
    /// The controller process that owns the attempt.
    pub leader: String,
    /// When it was recorded; a cooldown starts here.
    pub started_at: Time,
    /// After this the attempt may not be written any more.
    pub deadline: Time,
    /// When it passed its dry run and was about to be sent; absent means that it never left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Time>,
    /// For a patch: what takes it back, worked out of its dry run. Set once, when it is about to be sent; absent where
    /// that would be too long to keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inverse: Option<PatchParameters>,
    /// What came of it; absent while it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<AttemptResult>,
    /// When the write was seen to have been committed. Like the two that follow set once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_at: Option<Time>,
    /// The target's generation after the write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_generation: Option<i64>,
    /// Digest of the pod template after the write: another one while verifying means that somebody else rolled
    /// the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub written_template: Option<String>,
    /// What went wrong, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What an attempt is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AttemptKind {
    /// Apply the remedy.
    Apply,
    /// Restore the former state.
    Undo,
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AttemptResult {
    /// The write was committed: the target shows it.
    Written,
    /// The object already was as intended; nothing was written.
    Unchanged,
    /// The dry run passed, and a dry run was all that was asked.
    DryRun,
    /// A guardrail refused.
    Denied,
    /// The object moved between reading and writing; planned anew.
    Conflict,
    /// The call failed.
    Failed,
    /// The deadline passed before the write.
    Expired,
}

/// The target as read just before the attempt was recorded.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AttemptTarget {
    /// Its uid.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// Its resourceVersion.
    pub resource_version: String,
}

/// What an undo would restore.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FormerState {
    /// `spec.replicas` before.
    pub replicas: i32,
    /// Digest of the pod template before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub template: Option<String>,
    /// `status.readyReplicas` before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// For `hpa-bounds`: the bounds before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounds: Option<Bounds>,
}

/// The bounds of an autoscaler.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Bounds {
    /// The lower one.
    pub min_replicas: i32,
    /// The upper one.
    pub max_replicas: i32,
}

/// The target before the first write and at the end.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// Before the first write.
    pub before: Standing,
    /// At the end.
    pub after: Standing,
    /// Whether fewer pods are ready than before, of those that are wanted now.
    pub is_worse: bool,
    /// A sentence for people.
    pub message: String,
}

/// How a target stands.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// `spec.replicas`.
    pub replicas: i32,
    /// `status.readyReplicas`.
    pub ready_replicas: i32,
    /// Digest of the pod template.
    #[schemars(length(max = 64))]
    pub template: String,
}

/// What Prometheus said to one of the checks. Numbers are texts, as quantities are.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CheckResult {
    /// The check's name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// The answer before the write; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub before: Option<String>,
    /// The answer after the rollout; absent where there was none, or it was not asked yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub after: Option<String>,
    /// The verdict; absent before the rollout has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<CheckVerdict>,
    /// A sentence for people.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// The verdict on a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CheckVerdict {
    /// Within its limits.
    Passed,
    /// Beyond a limit.
    Failed,
    /// Prometheus did not say: never a success.
    Inconclusive,
}

/// What was seen of the rollout.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// Its verdict; absent while it is being watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<VerificationStatus>,
    /// A sentence for people.
    pub message: String,
    /// The numbers last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<Observed>,
    /// Since when every look found the rollout healthy; absent where the last one did not. One look is not enough: a
    /// rollout may be healthy for a blink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy_since: Option<Time>,
    /// When watching began.
    pub started_at: Time,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
}

/// The verdict on a rollout, as callers spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum VerificationStatus {
    /// Every replica is updated, ready and available.
    Success,
    /// It cannot succeed any more, for the reason given.
    Failed,
    /// Time ran out: unknown.
    Timeout,
}

impl VerificationStatus {
    /// The name in replies and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::Failed => "FAILED",
            Self::Timeout => "TIMEOUT",
        }
    }
}

/// A Deployment's numbers as last seen. Callers read them in snake case, in the API and in the status alike.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Observed {
    /// `spec.replicas`.
    pub desired_replicas: i32,
    /// `status.replicas`: all pods, old ones included.
    pub total_replicas: i32,
    /// `status.updatedReplicas`.
    pub updated_replicas: i32,
    /// `status.readyReplicas`.
    pub ready_replicas: i32,
    /// `status.availableReplicas`.
    pub available_replicas: i32,
}

/// How it ended.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// CamelCase, stable for machines.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// When it ended.
    pub finished_at: Time,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_spelled_the_same_everywhere() {
        for phase in Phase::ALL {
            assert_eq!(serde_json::to_value(phase).unwrap(), phase.as_str());
        }
    }

    #[test]
    fn only_four_phases_are_open() {
        assert_eq!(Phase::ALL.into_iter().filter(|p| !p.is_final()).count(), 4);
    }
}
