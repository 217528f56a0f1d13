//! How an attempt is sent: judged by a dry run, then written, and what an answer means where it does not say. What is
//! sent was decided before.

use smartops_common::action::{ActionType, PatchParameters};
use smartops_common::remediation::Remediation;
use smartops_process::failpoint;

use super::{Interrupted, Shell};
use crate::action::{Write, undo};
use crate::failure::Failure;
use crate::remediation::machine::{self, Written};
use crate::target::Live;

/// What the dry run of an attempt came to.
pub(super) enum Judged {
    /// There is nothing to send.
    Settled(Written),
    /// It may be sent.
    Ready {
        /// What is sent.
        write: Write,
        /// What takes it back, where that is not on record already.
        inverse: Option<PatchParameters>,
    },
}

impl Shell {
    /// Has the open attempt judged by a dry run of exactly what would be written.
    pub(super) async fn judged(
        &self,
        namespace: &str,
        remediation: &Remediation,
        live: &Live,
        write: Write,
    ) -> Result<Judged, Interrupted> {
        let status = remediation.status.as_ref();
        let Some(attempt) = status.and_then(|s| s.attempts.last()) else {
            return Ok(Judged::Settled(Written::Expired));
        };
        self.certain()?;
        failpoint::hit("before-dry-run");
        let tried = self.cluster.write(namespace, live.name(), &write, true).await;
        failpoint::hit("after-dry-run");
        Ok(match tried {
            Err(failure) => Judged::Settled(self.explain(namespace, live, failure).await?),
            Ok(Some(tried)) if tried.is_like(live) => {
                Judged::Settled(Written::Unchanged(Box::new(live.clone())))
            }
            Ok(_) if remediation.spec.dry_run => Judged::Settled(Written::Passed),
            Ok(_) if self.clock.now() >= attempt.deadline.0 => Judged::Settled(Written::Expired),
            Ok(tried) => {
                let is_patch = attempt.intent.type_ == ActionType::Patch;
                let inverse = tried
                    .filter(|_| is_patch)
                    .and_then(|tried| undo::inverse(live.stored(), tried.stored()));
                Judged::Ready { write, inverse }
            }
        })
    }

    /// Writes. `None` where the write got no answer: what became of it will be seen in the live object.
    pub(super) async fn send(
        &self,
        namespace: &str,
        live: &Live,
        write: &Write,
    ) -> Result<Option<Written>, Interrupted> {
        let name = live.name();
        self.certain()?;
        failpoint::hit("before-write");
        let written = self.cluster.write(namespace, name, write, false).await;
        failpoint::hit("after-write");
        match written {
            Ok(Some(live)) => Ok(Some(Written::Committed(Box::new(live)))),
            Ok(None) => {
                let live = self.cluster.deployment(namespace, name).await?;
                Ok(live.map(|live| Written::Committed(Box::new(live))))
            }
            Err(Failure::Unavailable(why)) => {
                tracing::warn!(%why, "the write got no answer: the live object will tell");
                Ok(None)
            }
            Err(failure) => Ok(Some(self.explain(namespace, live, failure).await?)),
        }
    }

    /// A JSON Patch whose leading test failed is refused like any that cannot be applied, and a write of an object that
    /// moved like one of another attempt: the object itself tells which it was.
    async fn explain(
        &self,
        namespace: &str,
        before: &Live,
        failure: Failure,
    ) -> Result<Written, Failure> {
        let message = match &failure {
            Failure::Rejected { code: 422, message } => Some(message),
            Failure::Denied(denial) if machine::is_transient(denial) => Some(&denial.message),
            _ => None,
        };
        if let Some(message) = message {
            let live = self.cluster.deployment(namespace, before.name()).await?;
            let moved =
                live.is_some_and(|live| live.resource_version() != before.resource_version());
            if moved {
                return Ok(Written::Failed(Failure::Conflict(message.clone())));
            }
        }
        Ok(Written::Failed(failure))
    }
}
