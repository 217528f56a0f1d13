//! One review from its envelope to its answer: bytes → change → facts → judgement, with at most one round of live
//! reads for what the judgement lacks. What stays unknown is an input of the judgement; what cannot be judged at all
//! is a denial.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::value::RawValue;
use smartops_change::{Change, Operation, Request, Resource};
use smartops_common::config::{Outage, SmartOpsConfigSpec};
use smartops_guard::history::Record;
use smartops_guard::{
    Amendment, BreakGlass, Facts, Judgement, Needs, Outcome, Subject, Watched, amend, judge,
};
use smartops_process::clock::Clock;
use tokio::time::{Instant, timeout_at};

use crate::admission::envelope::{self, Envelope};
use crate::admission::reply::Answer;
use crate::admission::{Audience, Half};
use crate::decisions::{self, Decision};
use crate::gathered::{Gathered, Sources};
use crate::history::Histories;
use crate::live::Live;
use crate::metrics::WebhookMetrics;
use crate::own::{pruning, reach};
use crate::relatives;
use crate::snapshot::{Board, Snapshot};
use crate::told::Alarm;
use crate::turns::{Turns, shielded};

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

impl Asked {
    /// Who asks. Whoever automation's registration picked is automation.
    fn subject(&self, config: &SmartOpsConfigSpec, request: &envelope::Request<'_>) -> Subject {
        let user = &request.user_info;
        let subject = Subject::new(config, &user.username, &user.groups).in_pod(user.pod());
        match self.audience {
            Audience::Automation => subject.as_automation(),
            Audience::People => subject,
        }
    }
}

/// Answers reviews.
#[derive(Debug)]
pub struct Reviewer {
    board: Arc<Board>,
    histories: Arc<Histories>,
    live: Live,
    alarm: Alarm,
    metrics: WebhookMetrics,
    turns: Turns,
}

/// What became of a review.
#[derive(Debug, Default)]
struct Reviewed {
    answer: Answer,
    outcomes: Vec<Outcome>,
    automation: bool,
    broken: Option<Box<BreakGlass>>,
    /// Why nothing could be judged.
    undecided: Option<String>,
}

/// What one pass of the judgement came to.
enum Pass {
    Done(Reviewed),
    /// This is lacking.
    Needs(Needs),
}

impl Reviewer {
    /// Judges by what stands on the board.
    pub fn new(
        board: Arc<Board>,
        histories: Arc<Histories>,
        live: Live,
        alarm: Alarm,
        metrics: WebhookMetrics,
    ) -> Self {
        Self { board, histories, live, alarm, metrics, turns: Turns::default() }
    }

    /// Answers one review before its deadline, and tells the decision.
    pub async fn review(&self, envelope: &Envelope<'_>, asked: Asked) -> Answer {
        let _flight = Flight::begin(&self.metrics);
        let reviewed = match &envelope.request {
            Err(problem) => Reviewed::undecided(problem),
            Ok(request) => {
                let decided =
                    timeout_at(asked.deadline, self.decide(&envelope.uid, request, asked));
                let reviewed =
                    decided.await.unwrap_or_else(|_| Reviewed::undecided("its time was over"));
                self.unless_open(&envelope.uid, request, asked, reviewed)
            }
        };
        let decision = Decision {
            envelope,
            audience: asked.audience,
            half: asked.half,
            automation: reviewed.automation,
            answer: &reviewed.answer,
            outcomes: &reviewed.outcomes,
            took: asked.started.elapsed(),
        };
        decisions::tell(&decision, &self.metrics);
        if let (Some(broken), Ok(request)) = (&reviewed.broken, &envelope.request) {
            self.alarm.ring(&envelope.uid, request, broken);
        }
        if let (true, Ok(request)) = (reviewed.automation, &envelope.request) {
            self.alarm.attempted(&envelope.uid, request, asked.half, &reviewed.answer);
        }
        if !self.board.recent().note(&decision, Clock.now()) {
            self.metrics.dropped_decisions.inc();
        }
        reviewed.answer
    }

    /// What could not be judged is denied; but people's writes fare then as in any outage.
    fn unless_open(
        &self,
        uid: &str,
        request: &envelope::Request<'_>,
        asked: Asked,
        reviewed: Reviewed,
    ) -> Reviewed {
        let (Some(why), Some(snapshot)) = (&reviewed.undecided, self.board.snapshot()) else {
            return reviewed;
        };
        let config = &snapshot.config;
        if config.people.outage == Outage::Fail || asked.subject(config, request).is_automation() {
            return reviewed;
        }
        let outage = config.people.outage.as_str();
        tracing::warn!(uid, why, outage, "a write that could not be judged passes");
        Reviewed { answer: Answer::unjudged(why), ..Reviewed::default() }
    }

    async fn decide(&self, uid: &str, request: &envelope::Request<'_>, asked: Asked) -> Reviewed {
        let _turn = match self.turns.take(asked.deadline).await {
            Ok(turn) => turn,
            Err(why) => return Reviewed::undecided(why),
        };
        let Some(snapshot) = self.board.snapshot() else {
            return Reviewed::undecided("policies and configuration have not been read yet");
        };
        // No policy names what is SmartOps' own, so none is asked.
        let subject = asked.subject(&snapshot.config, request);
        let pruned = || pruning::answer(request, Clock.now());
        if let Some(answer) = reach::refusal(request, &subject).or_else(pruned) {
            return Reviewed { answer, automation: true, ..Reviewed::default() };
        }
        let mut gathered = Gathered::default();
        // What is lacking may show one after the other: a pass more than there are things to be read.
        for _ in 0..7 {
            let needs = match self.pass(request, asked, &snapshot, &gathered) {
                Pass::Done(reviewed) => return reviewed,
                Pass::Needs(needs) => needs,
            };
            let Ok(change) = read(request) else { break };
            // Half of the time that is left, so that the judgement still has its own when the reads had none.
            let now = Instant::now();
            let until = now + asked.deadline.saturating_duration_since(now) / 2;
            let (live, histories) = (&self.live, &*self.histories);
            let sources = Sources { live, histories, until, uid };
            gathered.gather(&change, needs, sources).await;
        }
        Reviewed::undecided("the judgement asked for the same twice")
    }

    /// One synchronous pass; a panic in it is a denial and ends nothing else.
    fn pass(
        &self,
        request: &envelope::Request<'_>,
        asked: Asked,
        snapshot: &Snapshot,
        gathered: &Gathered,
    ) -> Pass {
        let now = Clock.now();
        let judgement = || self.judge(request, asked, snapshot, gathered, now);
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
        gathered: &Gathered,
        now: Timestamp,
    ) -> Pass {
        let change = match read(request) {
            Ok(change) => change,
            Err(problem) => return Pass::Done(Reviewed::undecided(&problem)),
        };
        let subject = asked.subject(&snapshot.config, request);
        let past = self.past(&change);
        let namespace = change.namespace().map(|name| self.histories.namespace(name));
        let known = relatives::known(&change, &self.histories);
        let exceptions = self.board.exceptions().of(change.namespace());
        let facts = Facts {
            policies: snapshot.index.policies(change.namespace()),
            selecting: snapshot.index.selecting(change.name()),
            watched: match (&past, change.operation()) {
                (None, _) => Watched::Unseen,
                (Some(record), Operation::Create) => Watched::Replaced(record),
                (Some(record), _) => Watched::Seen(record),
            },
            namespace: namespace.as_deref(),
            revisions: gathered.revisions(),
            related: gathered.related(known.as_ref()),
            whole: gathered.whole(),
            exceptions: &exceptions,
            dry_run: request.is_dry_run(),
            warrants: gathered.warrants(),
            approvals: gathered.approvals(),
            origin: gathered.origin(),
            approval_expiry: SignedDuration::from_secs(
                snapshot.config.approval.expiry_seconds.into(),
            ),
        };
        let judged = match asked.half {
            Half::Mutating => amend(&change, &subject, &facts, now).map(amended),
            Half::Validating => match judge(&change, &subject, &facts, now) {
                Judgement::Final(mut verdict) => {
                    let outcomes = std::mem::take(&mut verdict.outcomes);
                    let broken = verdict.break_glass.take();
                    let answer = verdict.into();
                    Ok(Reviewed { answer, outcomes, broken, ..Reviewed::default() })
                }
                Judgement::Needs(needs) => Err(needs),
            },
        };
        match judged {
            Ok(reviewed) => {
                Pass::Done(Reviewed { automation: subject.is_automation(), ..reviewed })
            }
            Err(needs) => Pass::Needs(needs),
        }
    }

    /// What was observed of the object under review, or of the one of its name that was deleted.
    fn past(&self, change: &Change<'_>) -> Option<Record> {
        match (change.old(), change.operation(), change.namespace()) {
            (Some(old), ..) => self.histories.record(&old.uid),
            (None, Operation::Create, Some(namespace)) => {
                let Resource { group, resource, subresource, .. } = change.resource();
                let is_object = subresource.is_empty();
                is_object
                    .then(|| self.histories.predecessor(group, resource, namespace, change.name()))
                    .flatten()
                    .map(|predecessor| predecessor.record)
            }
            _ => None,
        }
    }
}

impl Reviewed {
    fn undecided(why: &str) -> Self {
        let undecided = Some(why.to_owned());
        Self { answer: Answer::undecided(why), undecided, ..Self::default() }
    }
}

pub(crate) fn read<'a>(request: &'a envelope::Request<'_>) -> Result<Change<'a>, String> {
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

fn amended(amendment: Amendment) -> Reviewed {
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
            ..Reviewed::default()
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
