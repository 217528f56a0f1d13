//! The shell around the phase machine: it gathers facts, carries out what `machine` says, and records it; it decides
//! nothing. When a Remediation is looked at is `queue`'s. Only the replica that leads steps; it asks whether that is
//! certain just before whatever others could see (`writing`, `storing`).

mod means;
mod storing;
mod surroundings;
mod writing;

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use kube::runtime::controller::Action;
use smartops_common::config::ClosedLoop;
use smartops_common::remediation::Remediation;
use smartops_process::clock::Clock;
use smartops_process::lease::Leadership;
use smartops_process::shutdown::Shutdown;
use tracing::Instrument;

pub use self::surroundings::Crowd;
use self::writing::Judged;
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::remediation::machine::{self, Facts, Step};
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
            Action::requeue(failure.retry_after().unwrap_or(AFTER_FAILURE))
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
            let (live, next) = match self.cluster.deployment(namespace, &target.name).await {
                Ok(live) => {
                    let next = self.next(namespace, &remediation, live.as_ref(), switch).await;
                    (live, next)
                }
                Err(failure) => (None, Err(failure)),
            };
            let next = match next {
                Ok(next) => next,
                // Whatever cannot be read: nothing waits for it longer than was said.
                Err(failure) => {
                    let (limits, now) = (self.switch.limits(), self.clock.now());
                    let live = live.as_ref();
                    let end = machine::unreadable(&remediation, &failure, live, &limits, now);
                    let Some(status) = end else { return Err(failure.into()) };
                    self.record(namespace, remediation, status).await?;
                    return Ok(Action::await_change());
                }
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
        switch: ClosedLoop,
    ) -> Result<Step, Failure> {
        let (mut pods, mut others, mut approvals) = (Ok(Vec::new()), Vec::new(), Vec::new());
        let mut expiry = SignedDuration::ZERO;
        let (mut surroundings, mut means) = (Surroundings::default(), Means::default());
        if let Some(live) = live {
            let needs = machine::needs(remediation);
            surroundings.switch = switch;
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
                let read = self.surroundings(namespace, remediation, live, needs.autoscaler);
                surroundings = Surroundings { switch: surroundings.switch, ..read.await? };
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
}

#[cfg(test)]
mod tests;
