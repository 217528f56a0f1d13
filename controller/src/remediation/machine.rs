//! The phase machine: one Remediation and what is known of the world, and what is to be done next. Pure: no clock, no
//! call. A status it returns is recorded with the resourceVersion it was computed from, so of two who disagree only
//! one is heard.
//!
//! At most one write of a Remediation is ever committed: an attempt is written on condition of the resourceVersion it
//! recorded, that it is about to be sent is recorded too, and where the object has moved on since and does not show the
//! values, nobody can say what became of it: then it ends as unknown instead of being written again.

mod awaiting;
mod beginning;
mod executing;
mod holding;
mod paused;
mod refusing;
#[cfg(test)]
mod tests;
mod undoing;
mod unheard;
mod verifying;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use smartops_common::approval::RemediationApproval;
use smartops_common::remediation::{AttemptResult, Phase, Remediation, RemediationStatus};

pub use self::beginning::turn_key;
pub use self::executing::{after_write, is_transient};
pub use self::paused::paused;
pub use self::unheard::{unreadable, unrecorded};
pub use self::verifying::answered;
use crate::action::{self, Seen, Write};
use crate::failure::Failure;
use crate::remediation::gitops;
use crate::remediation::means::Means;
use crate::remediation::record::{self, MOST_ATTEMPTS};
use crate::remediation::surroundings::Surroundings;
use crate::target::Live;

/// Attempts that may fail, expire or not verify: the first and two repeats.
const TRIES: usize = 3;
/// The first pause before a repeat; it doubles each time.
const BACKOFF: SignedDuration = SignedDuration::from_secs(5);
/// How soon a Remediation whose turn has not come is looked at again.
const TURN_POLL: Duration = Duration::from_millis(250);
/// How long a signal waits for the Deployment controller to have seen the target's last change.
const UNSEEN_LIMIT: SignedDuration = SignedDuration::from_secs(30);

/// Reasons of outcomes, as machines read them.
pub mod reason {
    /// Written, and healthy.
    pub const VERIFIED: &str = "Verified";
    /// Written; verification was not asked for.
    pub const WRITTEN: &str = "Written";
    /// The target already was as asked.
    pub const UNCHANGED: &str = "Unchanged";
    /// The judged dry run is all that was asked.
    pub const DRY_RUN_PASSED: &str = "DryRunPassed";
    /// A guardrail refused.
    pub const GUARDRAIL: &str = "GuardrailDenied";
    /// The closed loop acted on this target a moment ago.
    pub const COOLDOWN: &str = "CooldownActive";
    /// The target is gone, or another object has its name.
    pub const TARGET_GONE: &str = "TargetGone";
    /// The rollout is paused.
    pub const PAUSED: &str = "RolloutPaused";
    /// A rollout is already on its way.
    pub const MOVING: &str = "RolloutInProgress";
    /// Somebody else changed what was being verified.
    pub const SUPERSEDED: &str = "Superseded";
    /// The target moved before every attempt.
    pub const CONTENDED: &str = "TargetKeepsMoving";
    /// The rollout did not end in time.
    pub const TIMED_OUT: &str = "VerificationTimedOut";
    /// The API server's authorizer, or somebody else's admission, said no.
    pub const FORBIDDEN: &str = "Forbidden";
    /// The API server cannot read the request.
    pub const MALFORMED: &str = "Malformed";
    /// The API server finds the result invalid.
    pub const REJECTED: &str = "Rejected";
    /// The write was sent and not answered, and the object has moved on: it may have been committed.
    pub const UNKNOWN: &str = "WriteUnknown";
    /// No attempt was answered.
    pub const UNAVAILABLE: &str = "Unavailable";
    /// Somebody who may approve said no.
    pub const REJECTED_BY_APPROVER: &str = "ApprovalRejected";
    /// Nobody approved in time.
    pub const APPROVAL_EXPIRED: &str = "ApprovalExpired";
    /// Admission would not have the record, time and again.
    pub const RECORD_REFUSED: &str = "RecordRefused";
    /// Every signal it rested on was taken back before it began.
    pub const SIGNAL_RESOLVED: &str = "SignalResolved";
    /// The closed loop is switched off.
    pub const LOOP_PAUSED: &str = "ClosedLoopPaused";
    /// The owner of the namespace or the target keeps the closed loop away.
    pub const LOOP_DISABLED: &str = "ClosedLoopDisabled";
    /// The RemediationPolicy that should have decided cannot be decided by.
    pub const POLICY_INVALID: &str = "PolicyInvalid";
    /// It waited so long that it is old news.
    pub const STALE: &str = "Stale";
    /// A root-cause analysis of the same target says more.
    pub const SUPERSEDED_BY_RCA: &str = "SupersededByRootCause";
    /// An autoscaler owns the number of replicas.
    pub const AUTOSCALER: &str = "AutoscalerOwnsReplicas";
    /// A GitOps tool or another controller would take it back.
    pub const GITOPS: &str = "ManagedByGitOps";
    /// Taken back after it did not help; what was there before is healthy.
    pub const UNDONE_AND_VERIFIED: &str = "UndoneAndVerified";
    /// Taken back after it did not help; what was there before is not healthy either.
    pub const UNDONE: &str = "Undone";
    /// It did not help, and could not be taken back.
    pub const UNDO_FAILED: &str = "UndoFailed";
    /// It did not help, and a guardrail refused to have it taken back.
    pub const UNDO_DENIED: &str = "UndoDenied";
    /// The rollout is healthy, and Prometheus says that it did not help.
    pub const CHECKS_FAILED: &str = "ChecksFailed";
    /// The rollout is healthy, and Prometheus does not say whether it helped.
    pub const CHECKS_INCONCLUSIVE: &str = "ChecksInconclusive";
    /// What was approved is not what a further attempt would be.
    pub const APPROVAL_STALE: &str = "ApprovalStale";
}

/// What is known of the world for one step.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The target as read just now; `None` where nothing has its name.
    pub live: Option<&'a Live>,
    /// Its pods, needed while verifying; `None` where they could not be read.
    pub pods: Option<&'a [Pod]>,
    /// All Remediations of the target as read just now; this one among them does no harm.
    pub others: &'a [Remediation],
    /// The time.
    pub now: Timestamp,
    /// Who is asking, for the record.
    pub leader: &'a str,
    /// The closed loop's cooldown of a target.
    pub cooldown: SignedDuration,
    /// Whatever was said of this Remediation, as read just now; needed where [`needs`] says so.
    pub approvals: &'a [RemediationApproval],
    /// How long one waits for an approval, and how long it counts.
    pub expiry: SignedDuration,
    /// What goes on around it; needed where [`needs`] says so.
    pub surroundings: &'a Surroundings,
    /// What its action works with; needed where [`needs`] says so.
    pub means: &'a Means,
}

impl<'a> Facts<'a> {
    /// The target, and what its action works with.
    fn seen(&self, live: &'a Live) -> Seen<'a> {
        Seen { live, means: self.means }
    }
}

/// What a step has to know besides its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is read or not, whatever the others")]
pub struct Needs {
    /// The target's pods.
    pub pods: bool,
    /// The other Remediations of the target.
    pub others: bool,
    /// What was said of this one, and how long one waits for that.
    pub approvals: bool,
    /// What goes on around it.
    pub surroundings: bool,
    /// Who owns its target's number of replicas, as part of that.
    pub autoscaler: bool,
    /// What its action works with.
    pub means: bool,
}

/// What the next step of a Remediation has to know besides its target.
pub fn needs(remediation: &Remediation) -> Needs {
    let status = remediation.status.as_ref();
    let means = action::needs_means(remediation.spec.action.type_);
    if status.is_some_and(is_watching) {
        return Needs { pods: true, means, ..Needs::default() };
    }
    // An open attempt rests on what was said before it was opened; the write itself is judged by what is said then.
    let approvals = remediation.spec.require_approval && !status.is_some_and(is_trying);
    // What was begun is gone through with, whoever owns the number since.
    let is_new = status.is_none_or(|status| status.attempts.is_empty());
    let autoscaler = is_new && gitops::writes_replicas(&remediation.spec.action);
    Needs { others: true, approvals, means, surroundings: true, autoscaler, ..Needs::default() }
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Look again after this long.
    Wait(Duration),
    /// Record this status, then look again.
    Record(Box<RemediationStatus>),
    /// Have this, the open attempt, judged and, unless a dry run is all that was asked, written.
    Write(Box<Write>),
    /// Ask Prometheus the Remediation's checks, and see [`answered`].
    Ask,
    /// Nothing: it has ended.
    Done,
}

/// What came of having the open attempt judged and written.
#[derive(Debug, Clone, PartialEq)]
pub enum Written {
    /// Committed; the object since.
    Committed(Box<Live>),
    /// The dry run showed that nothing would change; the object as it is.
    Unchanged(Box<Live>),
    /// The dry run passed, and the Remediation is one.
    Passed,
    /// The deadline passed between the dry run and the write.
    Expired,
    /// Refused or failed; nothing was committed.
    Failed(Failure),
}

impl Written {
    /// How long to wait before the same is sent again, where the API server asks for that.
    pub const fn pause(&self) -> Option<Duration> {
        match self {
            Self::Failed(failure) => failure.retry_after(),
            _ => None,
        }
    }
}

/// The next step of a Remediation. At every end after a write it is stated how the target stands beside before.
pub fn step(remediation: &Remediation, facts: Facts<'_>) -> Step {
    compared(remediation, next(remediation, facts), facts.live)
}

fn compared(remediation: &Remediation, step: Step, live: Option<&Live>) -> Step {
    match (step, live) {
        (Step::Record(mut status), Some(live)) if status.phase.is_final() => {
            if live.uid() == remediation.spec.target.uid {
                record::compare(&mut status, live);
            }
            Step::Record(status)
        }
        (step, _) => step,
    }
}

fn next(remediation: &Remediation, facts: Facts<'_>) -> Step {
    if !remediation.is_open() {
        return Step::Done;
    }
    let mut status = remediation.status.clone().unwrap_or_default();
    let target = &remediation.spec.target;
    let Some(live) = facts.live.filter(|l| l.uid() == target.uid) else {
        let gone = format!("Deployment {} (uid {}) is gone", target.name, target.uid);
        record::settle(&mut status, AttemptResult::Failed, Some(&gone));
        let phase = give_up_phase(&status);
        record::finish(&mut status, phase, reason::TARGET_GONE, gone, facts.now);
        return Step::Record(Box::new(status));
    };
    if let Some(end) = paused::kept_away(remediation, live, facts) {
        return Step::Record(Box::new(end));
    }
    if is_trying(&status) {
        executing::executing(remediation, status, live, facts)
    } else if is_watching(&status) {
        verifying::verifying(remediation, status, live, facts)
    } else if undoing::is_due(&status) {
        undoing::again(remediation, status, live, facts)
    } else if status.phase == Phase::AwaitingApproval {
        awaiting::awaiting(remediation, status, live, facts)
    } else {
        beginning::beginning(remediation, status, live, facts)
    }
}

/// The end where there were enough attempts. Where not, the phase stays: it never goes back, and a further attempt is
/// added once its pause is over.
fn fail_unless_retried(
    status: &mut RemediationStatus,
    reason: &str,
    message: &str,
    now: Timestamp,
) {
    let is_enough = tries(status) >= TRIES || status.attempts.len() >= MOST_ATTEMPTS;
    if is_enough && !undoing::is_undo(status) {
        record::finish(status, Phase::Failed, reason, message, now);
    }
}

/// How long ago that was. What the clock of another replica put into the future was just now.
fn elapsed(then: Timestamp, now: Timestamp) -> SignedDuration {
    now.duration_since(then).max(SignedDuration::ZERO)
}

/// Attempts that count as tries at what the last one is for.
fn tries(status: &RemediationStatus) -> usize {
    let kind = status.attempts.last().map(|attempt| attempt.kind);
    let alike = status.attempts.iter().filter(|a| Some(a.kind) == kind);
    alike.filter(|a| record::was_tried(a)).count()
}

/// `Skipped` as long as nothing was written, `Failed` after.
fn give_up_phase(status: &RemediationStatus) -> Phase {
    let tried = status.attempts.iter().any(record::was_tried);
    if tried { Phase::Failed } else { Phase::Skipped }
}

/// Whether an attempt is open.
fn is_trying(status: &RemediationStatus) -> bool {
    status.phase == Phase::Executing && status.attempts.last().is_some_and(|a| a.result.is_none())
}

/// Whether a rollout is being watched.
fn is_watching(status: &RemediationStatus) -> bool {
    status.phase == Phase::Verifying
        && status.verification.as_ref().is_some_and(|v| v.status.is_none())
}

/// Whether it has its target in hand. One that waits for its next try, or for an approval, has not; one that takes back
/// what it wrote has until that is over.
fn has_begun(remediation: &Remediation) -> bool {
    remediation
        .status
        .as_ref()
        .is_some_and(|status| is_trying(status) || is_watching(status) || undoing::is_due(status))
}

fn others_of<'a>(
    remediation: &'a Remediation,
    others: &'a [Remediation],
) -> impl Iterator<Item = &'a Remediation> {
    others.iter().filter(|o| {
        o.metadata.uid != remediation.metadata.uid
            && o.spec.target.uid == remediation.spec.target.uid
    })
}

type AgeKey<'a> = (Option<Timestamp>, &'a str);

fn age_key(r: &Remediation) -> AgeKey<'_> {
    (
        r.metadata.creation_timestamp.as_ref().map(|t| t.0),
        r.metadata.uid.as_deref().unwrap_or_default(),
    )
}
