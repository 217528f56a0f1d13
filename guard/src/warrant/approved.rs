//! Whether somebody else approved exactly what an attempt writes. Who may, and who did, was checked and stamped when the
//! approval was made.

use jiff::Timestamp;
use smartops_common::action::ActionType;
use smartops_common::approval::{Decision, RemediationApproval};
use smartops_common::remediation::{Attempt, Remediation, intent_hash};

use super::{Refusal, Warrant, described, undo};
use crate::facts::Approvals;
use crate::judge::Needs;
use crate::rules::Case;

/// Whether an attempt was approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Approved {
    /// It was, or need not be.
    Yes,
    /// It was not.
    No(Refusal),
    /// That could not be read in time.
    Unknown,
}

/// Whether the attempt was approved where that is asked: by the Remediation, or by the policy; and where a rollback brings
/// back other images, always, whether it is the remedy or takes one back. An undo that leaves everything as it was
/// recorded before the attempt it undoes needs no approval of its own, but that the attempt was approved: nothing comes out
/// of it that was not there before, and what is said to have been written the target showed.
///
/// # Errors
/// The approvals, where they have not been asked for.
pub(super) fn check(
    case: &Case<'_>,
    warrant: Warrant<'_>,
    by_policy: bool,
) -> Result<Approved, Needs> {
    let Warrant { remediation, attempt } = warrant;
    let what = described(remediation, attempt);
    let no = |message: String| Approved::No(Refusal { message, ..Refusal::default() });
    let undone = undo::undone(case.change, warrant);
    let brings_images =
        attempt.intent.type_ == ActionType::Rollback && !case.change.images().is_empty();
    let is_asked = by_policy || remediation.spec.require_approval;
    if brings_images && !is_asked {
        return Ok(no(format!(
            "{what} brings back other images, which somebody has to approve: ask for it with requireApproval"
        )));
    }
    if !is_asked {
        return Ok(Approved::Yes);
    }
    let approvals = match case.facts.approvals {
        Approvals::NotAsked => return Err(Needs::APPROVALS),
        Approvals::Unavailable => return Ok(Approved::Unknown),
        Approvals::Known(approvals) => approvals,
    };
    let own = decided(case, remediation, attempt, approvals, case.now);
    // What was approved had to be when it began: it may be taken back long after.
    let began = |applied: &Attempt| applied.started_at.0;
    let of_undone =
        undone.map(|applied| decided(case, remediation, applied, approvals, began(applied)));
    Ok(of_undone.filter(|decided| *decided == Approved::Yes).unwrap_or(own))
}

/// What was decided over an attempt, as of this moment.
fn decided(
    case: &Case<'_>,
    remediation: &Remediation,
    attempt: &Attempt,
    approvals: &[RemediationApproval],
    at: Timestamp,
) -> Approved {
    let what = described(remediation, attempt);
    let no = |message: String| Approved::No(Refusal { message, ..Refusal::default() });
    let uid = remediation.metadata.uid.as_deref().unwrap_or_default();
    let hash = intent_hash(uid, &attempt.target, &attempt.intent, attempt.former.bounds);
    let parties = [remediation.spec.requested_by.as_str(), remediation.spec.created_by.as_str()];
    let expiry = case.facts.approval_expiry;
    let counting = || {
        approvals.iter().filter(|approval| {
            approval.metadata.namespace.as_deref() == case.change.namespace()
                && approval.counts(uid, &hash, parties, expiry, at)
        })
    };
    let rejected = counting().filter(|a| a.spec.decision == Decision::Reject);
    if let Some(by) = rejected.map(approver).min() {
        return no(format!("{by} rejected what {what} would write; ask for something else"));
    }
    let proposal = remediation.status.as_ref().and_then(|status| status.proposal.as_ref());
    if let Some(proposal) = proposal.filter(|p| p.hash == hash && at >= p.expires_at.0) {
        return no(format!(
            "the time to approve what {what} would write ended at {}; ask again",
            proposal.expires_at.0
        ));
    }
    if counting().any(|approval| approval.spec.decision == Decision::Approve) {
        return Approved::Yes;
    }
    no(format!(
        "what {what} would write needs an approval, and none counts: have somebody who may, and neither asked for it nor made it, create a RemediationApproval with intentHash {hash}"
    ))
}

fn approver(approval: &RemediationApproval) -> &str {
    &approval.spec.approver
}
