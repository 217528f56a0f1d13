//! One review from its envelope to its answer: bytes → change → facts → judgement, with at most one round of live
//! reads for what the judgement lacks. What stays unknown is an input of the judgement; what cannot be judged at all
//! is a denial.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::value::RawValue;
use smartops_change::{Change, Operation, Request, Resource};
use smartops_guard::{Facts, Judgement, Needs, Outcome, Revisions, Subject, Watched, amend, judge};
use smartops_process::clock::Clock;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::admission::envelope::{self, Envelope};
use crate::admission::reply::Answer;
use crate::admission::{Audience, Half};
use crate::decisions::{self, Decision};
use crate::history::Histories;
use crate::live::Live;
use crate::metrics::WebhookMetrics;
use crate::snapshot::{Board, Snapshot};

/// Reviews under way at once; what is beyond waits for its turn.
const MAX_IN_FLIGHT: usize = 256;
/// The longest a review waits for its turn.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// How a review came, and until when its caller waits.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// By which path.
    pub audience: Audience,
    /// Which half.
    pub half: Half,
    /// When its head had been read.
    pub started: Instant,
    /// When its answer must be on the way.
    pub deadline: Instant,
}

/// Answers reviews.
#[derive(Debug)]
pub struct Reviewer {
    board: Arc<Board>,
    histories: Arc<Histories>,
    live: Live,
    metrics: WebhookMetrics,
    places: Semaphore,
}

/// What became of a review.
#[derive(Debug, Default)]
struct Reviewed {
    answer: Answer,
    outcomes: Vec<Outcome>,
    automation: bool,
}

/// What one pass of the judgement came to.
enum Pass {
    Done(Reviewed),
    /// The creation times of the ReplicaSets of the Deployment of this uid are lacking.
    NeedsRevisions(String),
}

impl Reviewer {
    /// Judges by what stands on the board.
    pub fn new(
        board: Arc<Board>,
        histories: Arc<Histories>,
        live: Live,
        metrics: WebhookMetrics,
    ) -> Self {
        Self { board, histories, live, metrics, places: Semaphore::new(MAX_IN_FLIGHT) }
    }

    /// Answers one review before its deadline, and tells the decision.
    pub async fn review(&self, envelope: &Envelope<'_>, asked: Asked) -> Answer {
        let _flight = Flight::begin(&self.metrics);
        let reviewed = match &envelope.request {
            Err(problem) => Reviewed::undecided(problem),
            Ok(request) => timeout_at(asked.deadline, self.decide(request, asked))
                .await
                .unwrap_or_else(|_| Reviewed::undecided("its time was over")),
        };
        decisions::tell(
            &Decision {
                envelope,
                audience: asked.audience,
                half: asked.half,
                automation: reviewed.automation,
                answer: &reviewed.answer,
                outcomes: &reviewed.outcomes,
                took: asked.started.elapsed(),
            },
            &self.metrics,
        );
        reviewed.answer
    }

    async fn decide(&self, request: &envelope::Request<'_>, asked: Asked) -> Reviewed {
        let turn = asked.deadline.min(Instant::now() + MAX_WAIT);
        let Ok(Ok(_place)) = timeout_at(turn, self.places.acquire()).await else {
            return Reviewed::undecided("too many reviews at once");
        };
        let Some(snapshot) = self.board.snapshot() else {
            return Reviewed::undecided("policies and configuration have not been read yet");
        };
        let uid = match self.pass(request, asked, &snapshot, Revisions::NotAsked) {
            Pass::Done(reviewed) => return reviewed,
            Pass::NeedsRevisions(uid) => uid,
        };
        let listed = self.revisions(request, &uid, asked.deadline).await;
        let revisions = listed.as_deref().map_or(Revisions::Unavailable, Revisions::Listed);
        match self.pass(request, asked, &snapshot, revisions) {
            Pass::Done(reviewed) => reviewed,
            Pass::NeedsRevisions(_) => {
                Reviewed::undecided("the judgement asked for the same twice")
            }
        }
    }

    /// One synchronous pass; a panic in it is a denial and ends nothing else.
    fn pass(
        &self,
        request: &envelope::Request<'_>,
        asked: Asked,
        snapshot: &Snapshot,
        revisions: Revisions<'_>,
    ) -> Pass {
        let now = Clock.now();
        let judgement = || self.judge(request, asked, snapshot, revisions, now);
        shielded(judgement).unwrap_or_else(|| {
            self.metrics.panics.inc();
            Pass::Done(Reviewed::undecided("the judgement broke down"))
        })
    }

    fn judge(
        &self,
        request: &envelope::Request<'_>,
        asked: Asked,
        snapshot: &Snapshot,
        revisions: Revisions<'_>,
        now: Timestamp,
    ) -> Pass {
        let change = match read(request) {
            Ok(change) => change,
            Err(problem) => return Pass::Done(Reviewed::undecided(&problem)),
        };
        let user = &request.user_info;
        let subject = Subject::new(&snapshot.config, &user.username, &user.groups);
        let subject = match asked.audience {
            Audience::Automation => subject.as_automation(),
            Audience::People => subject,
        };
        let uid = change.old().map(|old| old.uid.as_ref()).unwrap_or_default();
        let record = self.histories.record(uid);
        let facts = Facts {
            policies: snapshot.index.policies(change.namespace()),
            watched: record.as_ref().map_or(Watched::Unseen, Watched::Seen),
            revisions,
        };
        let mut reviewed = match asked.half {
            Half::Mutating => amended(&change, &subject, &facts),
            Half::Validating => match judge(&change, &subject, &facts, now) {
                Judgement::Final(verdict) => {
                    let outcomes = verdict.outcomes.clone();
                    Reviewed { answer: verdict.into(), outcomes, automation: false }
                }
                Judgement::Needs(Needs::Revisions) => return Pass::NeedsRevisions(uid.to_owned()),
            },
        };
        reviewed.automation = subject.is_automation();
        Pass::Done(reviewed)
    }

    /// When the ReplicaSets of the Deployment under review were made; `None` where that is not to be had in time.
    async fn revisions(
        &self,
        request: &envelope::Request<'_>,
        uid: &str,
        until: Instant,
    ) -> Option<Vec<Timestamp>> {
        // Half of what is left, so that the judgement still has its time when the reads had none.
        let now = Instant::now();
        let until = now + until.saturating_duration_since(now) / 2;
        let namespace = request.namespace.as_deref()?;
        let read = async {
            let deployment = self.live.deployment(namespace, &request.name, until).await?;
            match deployment.filter(|d| d.uid().as_deref() == Some(uid)) {
                Some(deployment) => self.live.replica_sets(&deployment, until).await,
                None => Ok(None),
            }
        };
        read.await.unwrap_or_else(|error| {
            tracing::warn!(namespace, name = %request.name, %error, "the revisions cannot be read");
            None
        })
    }
}

impl Reviewed {
    fn undecided(why: &str) -> Self {
        Self { answer: Answer::undecided(why), ..Self::default() }
    }
}

/// Runs a judgement; `None` where it panicked.
fn shielded<T>(judgement: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(judgement)).ok()
}

fn read<'a>(request: &'a envelope::Request<'_>) -> Result<Change<'a>, String> {
    let operation = Operation::parse(&request.operation).ok_or_else(|| {
        let known = Operation::ALL.map(Operation::as_str).join(", ");
        format!("the operation is {:?}, not one of {known}", request.operation)
    })?;
    Change::read(Request {
        operation,
        resource: Resource {
            group: &request.resource.group,
            version: &request.resource.version,
            resource: &request.resource.resource,
            subresource: &request.sub_resource,
        },
        namespace: request.namespace.as_deref().filter(|namespace| !namespace.is_empty()),
        name: &request.name,
        old: request.old_object.map(RawValue::get),
        new: request.object.map(RawValue::get),
    })
    .map_err(|error| error.to_string())
}

fn amended(change: &Change<'_>, subject: &Subject, facts: &Facts<'_>) -> Reviewed {
    let amendment = amend(change, subject, facts);
    if amendment.ops.is_empty() {
        return Reviewed::default();
    }
    match serde_json::to_string(&amendment.ops) {
        Ok(patch) => Reviewed {
            answer: Answer {
                patch: Some(patch),
                warnings: amendment.warnings,
                ..Answer::default()
            },
            outcomes: amendment.outcomes,
            automation: false,
        },
        Err(error) => Reviewed::undecided(&error.to_string()),
    }
}

/// Counts a review while it is under way.
struct Flight<'a>(&'a WebhookMetrics);

impl<'a> Flight<'a> {
    fn begin(metrics: &'a WebhookMetrics) -> Self {
        metrics.in_flight.inc();
        Self(metrics)
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_judgement_that_panics_is_caught_and_the_next_one_is_judged() {
        assert_eq!(shielded(|| -> u8 { panic!("on purpose") }), None);
        assert_eq!(shielded(|| 7), Some(7));
    }
}
