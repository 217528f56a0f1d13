//! Whether somebody else approved exactly what an attempt writes. Who may, and who did, was checked and stamped when the
//! approval was made.

use smartops_common::approval::{Decision, RemediationApproval};
use smartops_common::remediation::intent_hash;

use super::{Refusal, Warrant, described};
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

/// Whether the attempt was approved where that is asked: by the Remediation, or by the policy. An undo too: that the
/// attempt it undoes was ever written is the controller's word, and nobody is to gain a write by his own word.
///
/// # Errors
/// The approvals, where they have not been asked for.
pub(super) fn check(
    case: &Case<'_>,
    warrant: Warrant<'_>,
    by_policy: bool,
) -> Result<Approved, Needs> {
    let Warrant { remediation, attempt } = warrant;
    let is_asked = by_policy || remediation.spec.require_approval;
    if !is_asked {
        return Ok(Approved::Yes);
    }
    let approvals = match case.facts.approvals {
        Approvals::NotAsked => return Err(Needs::APPROVALS),
        Approvals::Unavailable => return Ok(Approved::Unknown),
        Approvals::Known(approvals) => approvals,
    };
    let uid = remediation.metadata.uid.as_deref().unwrap_or_default();
    let hash = intent_hash(uid, &attempt.target, &attempt.intent);
    let parties = [remediation.spec.requested_by.as_str(), remediation.spec.created_by.as_str()];
    let expiry = case.facts.approval_expiry;
    let counting = || {
        approvals.iter().filter(|approval| {
            approval.metadata.namespace.as_deref() == case.change.namespace()
                && approval.counts(uid, &hash, parties, expiry, case.now)
        })
    };
    let what = described(remediation, attempt);
    let no = |message: String| Approved::No(Refusal { message, ..Refusal::default() });
    let rejected = counting().filter(|a| a.spec.decision == Decision::Reject);
    if let Some(by) = rejected.map(approver).min() {
        return Ok(no(format!("{by} rejected what {what} would write; ask for something else")));
    }
    let proposal = remediation.status.as_ref().and_then(|status| status.proposal.as_ref());
    let ended = proposal.filter(|p| p.hash == hash && case.now >= p.expires_at.0);
    if let Some(proposal) = ended {
        return Ok(no(format!(
            "the time to approve what {what} would write ended at {}; ask again",
            proposal.expires_at.0
        )));
    }
    if counting().any(|approval| approval.spec.decision == Decision::Approve) {
        return Ok(Approved::Yes);
    }
    Ok(no(format!(
        "what {what} would write needs an approval, and none counts: have somebody who may, and neither asked for it nor made it, create a RemediationApproval with intentHash {hash}"
    )))
}

fn approver(approval: &RemediationApproval) -> &str {
    &approval.spec.approver
}
