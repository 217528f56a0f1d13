//! How a status comes to be stored, and what it means where it is not. What it says was decided before.

use std::time::{Duration, Instant};

use smartops_common::action::PatchParameters;
use smartops_common::denial::Rule;
use smartops_common::remediation::{Remediation, RemediationStatus};
use smartops_process::failpoint;

use super::{Interrupted, Shell};
use crate::failure::Failure;
use crate::remediation::refusals::PATIENCE;
use crate::remediation::{machine, record, trace};

impl Shell {
    /// Records a status, on condition that nobody recorded another since. One that was refused for too long is given up
    /// with its Remediation: what admission does not believe is not done, and others may want the target.
    pub(super) async fn record(
        &self,
        namespace: &str,
        former: Remediation,
        mut status: RemediationStatus,
    ) -> Result<Remediation, Interrupted> {
        status.trace_id = status.trace_id.or_else(|| trace::id(&former));
        let attempts = |status: &RemediationStatus| status.attempts.len();
        let begins = attempts(&status) > former.status.as_ref().map_or(0, attempts);
        self.certain()?;
        failpoint::hit(if begins { "before-intent" } else { "before-status" });
        let wanted = Remediation { status: Some(status), ..former.clone() };
        let recorded = match self.store(namespace, &wanted).await {
            Err(Unstored { failure, refused_for: Some(lasting) }) if lasting >= PATIENCE => {
                let end = machine::unrecorded(&former, &failure, lasting, self.clock.now());
                let end = Remediation { status: Some(end), ..former.clone() };
                self.store(namespace, &end).await.map_err(|unstored| unstored.failure)?
            }
            stored => stored.map_err(|unstored| unstored.failure)?,
        };
        failpoint::hit(if begins { "after-intent" } else { "after-status" });
        self.teller.tell(former.status.as_ref(), &recorded).await;
        Ok(recorded)
    }

    /// Records that the open attempt is about to be sent: after a crash this tells what may have been written from
    /// what never left.
    pub(super) async fn mark_sent(
        &self,
        namespace: &str,
        remediation: Remediation,
        inverse: Option<PatchParameters>,
    ) -> Result<Remediation, Interrupted> {
        self.certain()?;
        let mut marked = remediation;
        if let Some(status) = &mut marked.status {
            record::send(status, inverse, self.clock.now());
        }
        Ok(self.store(namespace, &marked).await.map_err(|unstored| unstored.failure)?)
    }

    /// Stores a status. Where admission could not tell whether it is true, or saw the target move meanwhile, another
    /// look is all it takes.
    async fn store(&self, namespace: &str, wanted: &Remediation) -> Result<Remediation, Unstored> {
        let uid = wanted.metadata.uid.as_deref().unwrap_or_default();
        match self.cluster.replace_status(namespace, wanted).await {
            Ok(stored) => {
                self.refusals.forget(uid);
                Ok(stored)
            }
            Err(failure) => {
                let refused_for =
                    is_refusal(&failure).then(|| self.refusals.note(uid, Instant::now()));
                Err(Unstored { failure: of_a_status(failure), refused_for })
            }
        }
    }
}

/// A status that was not stored, and where it was refused for how long by now.
struct Unstored {
    failure: Failure,
    refused_for: Option<Duration>,
}

/// Whether a status was found untrue or impossible; one that could not be judged was not.
fn is_refusal(failure: &Failure) -> bool {
    match failure {
        Failure::Denied(denial) => denial.leading_rule() != Some(Rule::Undecided),
        Failure::Rejected { .. } | Failure::Forbidden { by_authorizer: false, .. } => true,
        _ => false,
    }
}

/// What a status that was not stored means for what happens next.
fn of_a_status(failure: Failure) -> Failure {
    match failure {
        Failure::Denied(denial) if denial.leading_rule() == Some(Rule::Undecided) => {
            Failure::Unavailable(denial.message.into())
        }
        Failure::Denied(denial) if machine::is_transient(&denial) => {
            Failure::Conflict(denial.message)
        }
        failure => failure,
    }
}
