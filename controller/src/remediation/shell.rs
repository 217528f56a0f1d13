//! The shell around the phase machine: it gathers facts, carries out what `machine` says, and records it; it decides
//! nothing. When a Remediation is looked at is `queue`'s. Only the replica that leads steps; it asks whether that is
//! certain just before whatever others could see.

mod means;
mod storing;
mod surroundings;

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use kube::runtime::controller::Action;
use smartops_common::action::{ActionType, PatchParameters};
use smartops_common::remediation::Remediation;
use smartops_process::clock::Clock;
use smartops_process::failpoint;
use smartops_process::lease::Leadership;
use smartops_process::shutdown::Shutdown;
use tracing::Instrument;

pub use self::surroundings::Crowd;
use crate::action::{Write, undo};
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::remediation::machine::{self, Facts, Step, Written};
use crate::remediation::means::Means;
use crate::remediation::refusals::Refusals;
use crate::remediation::surroundings::Surroundings;
use crate::remediation::telling::Teller;
use crate::remediation::trace;
use crate::switch::Switch;
use crate::target::Live;
use crate::verify::prometheus::Prometheus;

/// Steps taken in a row before other Remediations get their turn.
const STEPS_IN_A_ROW: usize = 16;
/// How soon a Remediation is looked at again after a call failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// How soon after somebody else recorded something.
const AFTER_CONFLICT: Duration = Duration::from_millis(50);

/// Everything a step needs besides its Remediation.
#[derive(Debug)]
pub struct Shell {
    /// The API server.
    pub cluster: Cluster,
    /// The wall clock.
    pub clock: Clock,
    /// This process, as attempts name it.
    pub leader: String,
    /// The closed loop's cooldown of a target.
    pub cooldown: SignedDuration,
    /// The kill switch, and how much may be done.
    pub switch: Switch,
    /// Every Remediation, as watched.
    pub crowd: Crowd,
    /// What is told.
    pub teller: Teller,
    /// Statuses that admission would not have.
    pub refusals: Refusals,
    /// Whether this replica leads.
    pub leadership: Leadership,
    /// Who says whether a remedy helped.
    pub prometheus: Prometheus,
    /// After the stop no step begins.
    pub shutdown: Shutdown,
}

/// Why a step was not taken to its end.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Interrupted {
    /// A call failed.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// Somebody else may lead by now: what was about to be sent was not.
    #[error("this replica is no longer certain that it leads: whichever does goes on")]
    NotLeading,
}

/// When to look again after a step was interrupted.
#[expect(clippy::needless_pass_by_value, reason = "the signature is the library's")]
pub fn retry_later(remediation: Arc<Remediation>, why: &Interrupted, shell: Arc<Shell>) -> Action {
    let uid = remediation.metadata.uid.as_deref().unwrap_or_default();
    let failure = match why {
        Interrupted::Failed(failure) => failure,
        Interrupted::NotLeading => {
            tracing::info!(uid, "not sent: {why}");
            return Action::requeue(AFTER_FAILURE);
        }
    };
    match failure {
        // Somebody recorded something since, or the target moved: look at it at once.
        Failure::Conflict(_) => {
            Action::requeue(shell.refusals.pause(uid, AFTER_CONFLICT).min(AFTER_FAILURE))
        }
        Failure::Denied(_) | Failure::Rejected { .. } | Failure::Forbidden { .. } => {
            tracing::error!(uid, refusal = %failure, "a step was refused and will be repeated");
            Action::requeue(shell.refusals.pause(uid, AFTER_FAILURE))
        }
        _ => {
            tracing::warn!(uid, error = %failure, "a step failed and will be repeated");
            Action::requeue(AFTER_FAILURE)
        }
    }
}

/// Takes a Remediation as far as it goes now, where this replica leads. Where it does not it will be told to look once it
/// does.
pub async fn reconcile(seen: Arc<Remediation>, shell: Arc<Shell>) -> Result<Action, Interrupted> {
    if !seen.is_open() || !shell.leadership.is_leader() || shell.shutdown.is_stopping() {
        return Ok(Action::await_change());
    }
    let span = tracing::info_span!(
        "remediation",
        uid = seen.metadata.uid.as_deref().unwrap_or_default(),
        namespace = seen.metadata.namespace.as_deref().unwrap_or_default(),
        remediation = seen.metadata.name.as_deref().unwrap_or_default(),
        deployment = %seen.spec.target.name,
    );
    let step = trace::step(&seen);
    let work = step.around(Box::pin(shell.work(&seen)));
    let worked = work.instrument(span).await;
    worked.inspect_err(|why| {
        if let Interrupted::Failed(failure) = why {
            trace::failed(&step, failure);
        }
    })
}

/// What the dry run of an attempt came to.
enum Judged {
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
    /// Takes steps until there is something to wait for. What the watch showed may be old: the first look is fresh.
    async fn work(&self, seen: &Remediation) -> Result<Action, Interrupted> {
        let namespace = seen.metadata.namespace.as_deref().unwrap_or_default();
        let name = seen.metadata.name.as_deref().unwrap_or_default();
        let Some(mut remediation) = self.cluster.remediation(namespace, name).await? else {
            return Ok(Action::await_change());
        };
        for _ in 0..STEPS_IN_A_ROW {
            if self.shutdown.is_stopping() {
                return Ok(Action::await_change());
            }
            let Some(switch) = self.switch.state() else {
                return Ok(Action::requeue(AFTER_CONFLICT));
            };
            if let Some(status) = machine::paused(&remediation, &switch, self.clock.now()) {
                self.record(namespace, remediation, status).await?;
                return Ok(Action::await_change());
            }
            let target = &remediation.spec.target;
            let live = match self.cluster.deployment(namespace, &target.name).await {
                Ok(live) => live,
                Err(failure) => {
                    let end = machine::unreadable(&remediation, &failure, self.clock.now());
                    let Some(status) = end else { return Err(failure.into()) };
                    self.record(namespace, remediation, status).await?;
                    return Ok(Action::await_change());
                }
            };
            let next = match self.next(namespace, &remediation, live.as_ref()).await {
                Ok(next) => next,
                // Whatever cannot be read: nobody waits for an approval longer than was said.
                Err(failure) => match machine::overdue(&remediation, self.clock.now()) {
                    Some(status) => Step::Record(Box::new(status)),
                    None => return Err(failure.into()),
                },
            };
            match next {
                Step::Done => return Ok(Action::await_change()),
                Step::Wait(pause) => return Ok(Action::requeue(pause)),
                Step::Record(status) => {
                    remediation = self.record(namespace, remediation, *status).await?;
                }
                Step::Write(write) => {
                    let Some(live) = live else { continue };
                    let attempt = trace::attempt(&remediation);
                    let judged = self.judged(namespace, &remediation, &live, *write);
                    let outcome = match attempt.around(judged).await? {
                        Judged::Settled(outcome) => outcome,
                        Judged::Ready { write, inverse } => {
                            let marked = self.mark_sent(namespace, remediation, inverse);
                            remediation = attempt.around(marked).await?;
                            let sent = attempt.around(self.send(namespace, &live, &write)).await?;
                            let Some(outcome) = sent else {
                                return Ok(Action::requeue(AFTER_FAILURE));
                            };
                            outcome
                        }
                    };
                    let pause = outcome.pause();
                    let status = machine::after_write(&remediation, outcome, self.clock.now());
                    trace::settled(&attempt, &status);
                    drop(attempt);
                    if remediation.status.as_ref() == Some(&status) {
                        return Ok(Action::requeue(pause.unwrap_or(AFTER_CONFLICT)));
                    }
                    remediation = self.record(namespace, remediation, status).await?;
                    if let Some(pause) = pause {
                        return Ok(Action::requeue(pause));
                    }
                }
                Step::Ask => {
                    let spec = &remediation.spec;
                    let asked = self.prometheus.ask(&spec.checks, namespace, &spec.target.name);
                    let answers = asked.await;
                    let now = self.clock.now();
                    let Some(status) = machine::answered(&remediation, &answers, now) else {
                        let poll = Duration::from_secs(spec.verify_poll_seconds.into());
                        return Ok(Action::requeue(poll));
                    };
                    remediation = self.record(namespace, remediation, status).await?;
                }
            }
        }
        Ok(Action::requeue(Duration::ZERO))
    }

    async fn next(
        &self,
        namespace: &str,
        remediation: &Remediation,
        live: Option<&Live>,
    ) -> Result<Step, Failure> {
        let (mut pods, mut others, mut approvals) = (Ok(Vec::new()), Vec::new(), Vec::new());
        let mut expiry = SignedDuration::ZERO;
        let (mut surroundings, mut means) = (Surroundings::default(), Means::default());
        if let Some(live) = live {
            let needs = machine::needs(remediation);
            if needs.pods {
                pods = self.cluster.pods(namespace, live).await.map_err(|failure| {
                    tracing::warn!(%failure, "the pods cannot be read: the rollout stays unverified");
                });
            }
            if needs.others {
                others =
                    self.cluster.remediations_of(namespace, &remediation.spec.target.uid).await?;
            }
            if needs.approvals {
                let uid = remediation.metadata.uid.as_deref().unwrap_or_default();
                expiry = self.cluster.approval_expiry().await?;
                approvals = self.cluster.approvals_of(namespace, uid).await?;
            }
            if needs.surroundings {
                surroundings = self.surroundings(namespace, remediation, live).await?;
            }
            if needs.means {
                let type_ = remediation.spec.action.type_;
                means = self.means(namespace, live, type_).await?;
            }
        }
        let now = self.clock.now();
        Ok(self.crowd.decide(remediation, &mut surroundings, now, |surroundings| {
            let facts = Facts {
                live,
                pods: pods.as_deref().ok(),
                others: &others,
                now,
                leader: &self.leader,
                cooldown: self.cooldown,
                approvals: &approvals,
                expiry,
                surroundings,
                means: &means,
            };
            machine::step(remediation, facts)
        }))
    }

    /// Nothing that others could see is sent without this.
    fn certain(&self) -> Result<(), Interrupted> {
        if self.leadership.is_certain() { Ok(()) } else { Err(Interrupted::NotLeading) }
    }

    /// Has the open attempt judged by a dry run of exactly what would be written.
    async fn judged(
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
    async fn send(
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

#[cfg(test)]
mod tests;
