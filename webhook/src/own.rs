//! SmartOps' own objects, checked before they are stored, whoever writes them. The mutating half stamps who asks and who
//! decides; the validating half refuses what cannot be judged by, what is not what was stamped, and a record that is not
//! true. What makes each of them good is its own file's; what the rules say of other writes is not asked here.

mod answer;
mod approval;
pub mod attempts;
mod beside;
mod config;
mod exception;
mod ledger;
mod policy;
pub mod pruning;
pub mod reach;
mod reads;
mod remediation;
mod remediation_policy;
mod routes;
mod stamps;
mod status;
mod switch;
mod target;

use std::sync::Arc;

use jiff::Timestamp;
use prometheus::IntCounterVec;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use smartops_common::names::is_controller;
use smartops_common::remediation::Remediation;
use smartops_guard::Subject;
use smartops_process::clock::Clock;
use smartops_process::metrics;
use tokio::time::{Instant, timeout_at};

use self::answer::Checked;
pub use self::reads::Reads;
pub use self::routes::router;
use crate::admission::Half;
use crate::admission::envelope::{Envelope, Request};
use crate::admission::reply::Answer;
use crate::metrics::WebhookMetrics;
use crate::snapshot::{Board, Snapshot};
use crate::told::Alarm;
use crate::turns::{Turns, shielded_while};

/// Checks what is written.
#[derive(Debug)]
pub struct Checker {
    board: Arc<Board>,
    reads: Reads,
    alarm: Alarm,
    metrics: WebhookMetrics,
    turns: Turns,
}

/// What a review is checked by.
struct Case<'a> {
    request: &'a Request<'a>,
    writer: &'a Subject,
    snapshot: &'a Snapshot,
    now: Timestamp,
    until: Instant,
}

/// An object as far as it is checked.
#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow, default)]
    spec: Option<&'a RawValue>,
}

impl Checker {
    /// Asks the board who automation is, and the API server what only it knows.
    pub fn new(board: Arc<Board>, reads: Reads, alarm: Alarm, metrics: WebhookMetrics) -> Self {
        Self { board, reads, alarm, metrics, turns: Turns::default() }
    }

    /// Answers one review before its deadline, and tells the decision.
    pub async fn review(&self, envelope: &Envelope<'_>, half: Half, until: Instant) -> Answer {
        let answer = match &envelope.request {
            Err(problem) => Answer::undecided(problem),
            Ok(request) => {
                let decided = timeout_at(until, self.decide(&envelope.uid, request, half, until));
                match shielded_while(decided).await {
                    Some(Ok(answer)) => answer,
                    Some(Err(_)) => Answer::undecided("its time was over"),
                    None => {
                        self.metrics.panics.inc();
                        Answer::undecided("the check broke down")
                    }
                }
            }
        };
        self.tell(envelope, half, &answer);
        answer
    }

    async fn decide(&self, uid: &str, request: &Request<'_>, half: Half, until: Instant) -> Answer {
        let _turn = match self.turns.take(until).await {
            Ok(turn) => turn,
            Err(why) => return Answer::undecided(why),
        };
        let Some(snapshot) = self.board.snapshot() else {
            return Answer::undecided("policies and configuration have not been read yet");
        };
        let user = &request.user_info;
        let writer = Subject::new(&snapshot.config, &user.username, &user.groups);
        let answer = match (reach::refusal(request, &writer), half) {
            (Some(refusal), _) => refusal,
            (None, Half::Mutating) => stamps::stamped(request),
            (None, Half::Validating) => {
                let (writer, snapshot, now) = (&writer, &*snapshot, Clock.now());
                let case = Case { request, writer, snapshot, now, until };
                self.check(&case).await.unwrap_or_else(|why| Answer::undecided(&why))
            }
        };
        if writer.is_automation() {
            self.alarm.attempted(uid, request, half, &answer);
        }
        answer
    }

    /// The answer, or why there is none.
    async fn check(&self, case: &Case<'_>) -> Result<Answer, String> {
        let request = case.request;
        // A deletion carries no new object, and is not asked about.
        if request.object.is_none_or(|object| object.get() == "null") {
            return Ok(Answer::allowed());
        }
        let is_new = request.operation == "CREATE";
        let place = (request.resource.resource.as_ref(), request.sub_resource.as_ref());
        let checked = match place {
            ("remediations", "") if is_new => self.made(case).await?,
            ("remediations", "") => {
                remediation::flaws_of_update(&old(request)?, &new(request)?).into()
            }
            ("remediations", "status") => self.recorded(case).await?,
            ("smartopsconfigs", "status") => {
                let (old, new) = (old(request)?, new(request)?);
                switch::flaws(&request.user_info.username, &old, &new).into()
            }
            ("remediationpolicies", "status") => {
                let is_its_own = is_controller(&request.user_info.username);
                let refused = (!is_its_own).then(remediation_policy::not_the_controllers);
                Vec::from_iter(refused).into()
            }
            ("remediationapprovals", "") if is_new => self.approved(case).await?,
            // Its spec never changes, by its schema.
            ("remediationapprovals", "") => Checked::default(),
            (_, "") => return spec_checked(case),
            (resource, below) => {
                return Err(format!("{resource}/{below} are not checked by this path"));
            }
        };
        Ok(checked.answer(request))
    }

    /// A Remediation that comes into being.
    async fn made(&self, case: &Case<'_>) -> Result<Checked, String> {
        let Case { request, writer, snapshot, until, .. } = *case;
        let (new, user) = (new::<Remediation>(request)?, &request.user_info);
        let mut flaws = remediation::flaws_of_new(&new, &user.username);
        flaws.extend(remediation::goes_past(snapshot, namespace(request), writer));
        if flaws.is_empty()
            && let Some(deed) = remediation::deed(&new, namespace(request), &user.username)
            && !self.reads.may(user, &deed, until).await?
        {
            flaws.push(remediation::not_allowed(&deed, &user.username));
        }
        Ok(flaws.into())
    }

    /// What the controller says became of a Remediation.
    async fn recorded(&self, case: &Case<'_>) -> Result<Checked, String> {
        let Case { request, snapshot, now, until, .. } = *case;
        if !is_controller(&request.user_info.username) {
            return Ok(vec![status::not_the_controllers()].into());
        }
        let (old, new) = (old::<Remediation>(request)?, new::<Remediation>(request)?);
        let flaws = status::flaws(&old, &new, &snapshot.config.approval, now);
        let (attempt, claimed) = (status::to_compare(&old, &new), status::claimed(&old, &new));
        let proposal = status::put_forward(&old, &new);
        let is_told = attempt.is_none() && claimed.is_empty() && proposal.is_none();
        if !flaws.is_empty() || is_told {
            return Ok(flaws.into());
        }
        let place = namespace(request);
        let target = self.reads.target(place, &new.spec.target.name, until).await?;
        let target = target.as_ref();
        for claim in claimed {
            let beside = self.reads.beside(place, &claim.intent, until).await?;
            if let Some(disproved) = status::disproved(claim, target, &beside) {
                return Ok(disproved);
            }
        }
        if let Some(attempt) = attempt {
            let beside = self.reads.beside(place, &attempt.intent, until).await?;
            let checked = status::compared(&new, attempt, target, &beside);
            if !checked.flaws.is_empty() {
                return Ok(checked);
            }
        }
        let Some(proposal) = proposal else { return Ok(Checked::default()) };
        let beside = self.reads.beside(place, &proposal.intent, until).await?;
        Ok(status::meant(&old, &new, proposal, target, &beside))
    }

    /// Somebody's word on a Remediation.
    async fn approved(&self, case: &Case<'_>) -> Result<Checked, String> {
        let Case { request, snapshot, now, until, .. } = *case;
        let (approval, user) = (new(request)?, &request.user_info);
        let flaws =
            approval::flaws_of_approver(&approval, &snapshot.config, &user.username, &user.groups);
        if !flaws.is_empty() {
            return Ok(flaws.into());
        }
        let name = &approval.spec.remediation.name;
        let remediation = self.reads.remediation(namespace(request), name, until).await?;
        Ok(approval::flaws_about(&approval, remediation.as_ref(), now).into())
    }

    fn tell(&self, envelope: &Envelope<'_>, half: Half, answer: &Answer) {
        let decision = if answer.denial.is_some() { "deny" } else { "allow" };
        let request = envelope.request.as_ref().ok();
        // It comes now and then for as long as the webhook runs, and nobody wrote anything.
        if request.is_some_and(ledger::is_trial) {
            return;
        }
        let resource = request.map_or("other", attempts::label);
        // The validating half decides; the mutating half is counted only where it refuses.
        if half == Half::Validating || answer.denial.is_some() {
            self.metrics.own_checks.with_label_values(&[resource, decision]).inc();
        }
        tracing::info!(
            uid = %envelope.uid,
            half = half.as_str(),
            user = request.map(|r| r.user_info.username.as_ref()),
            operation = request.map(|r| r.operation.as_ref()),
            resource,
            namespace = request.and_then(|r| r.namespace.as_deref()),
            name = request.map(|r| r.name.as_ref()),
            dry_run = request.is_some_and(Request::is_dry_run),
            decision,
            reason = answer.denial.as_ref().map(|d| d.message.as_str()),
            "an object of SmartOps' own was checked"
        );
    }
}

/// The check of what is told by the spec alone.
fn spec_checked(case: &Case<'_>) -> Result<Answer, String> {
    let Case { request, writer, snapshot, now, .. } = *case;
    let unreadable = |error| format!("the object cannot be read: {error}");
    let old = spec(request.old_object).map_err(unreadable)?;
    let Some(new) = spec(request.object).map_err(unreadable)? else {
        return Ok(Answer::allowed());
    };
    let stays = || old.is_some_and(|old| is_same(old, new));
    let checked = match request.resource.resource.as_ref() {
        "guardrailpolicies" => policy::check(&request.name, new.get()),
        "smartopsconfigs" => config::check(&request.name, new.get()),
        "remediationpolicies" => remediation_policy::check(new.get()),
        "guardrailexceptions" | "changeledgers" if stays() => return Ok(Answer::allowed()),
        "guardrailexceptions" => exception::check(request, (old, new), writer, snapshot, now),
        "changeledgers" => ledger::check(request),
        other => return Err(format!("{other} are not checked by this path")),
    };
    let bad_as_before = !checked.flaws.is_empty() && stays();
    Ok(if bad_as_before { checked.answer_to_the_same(request) } else { checked.answer(request) })
}

/// The counter of checks.
pub fn counter(metrics: &metrics::Metrics) -> Result<IntCounterVec, metrics::Error> {
    metrics.counters(
        "smartops_webhook_own_checks_total",
        "Objects of SmartOps' own kinds checked before they were written.",
        &["resource", "decision"],
    )
}

fn namespace<'a>(request: &'a Request<'_>) -> &'a str {
    request.namespace.as_deref().unwrap_or_default()
}

fn old<T: DeserializeOwned>(request: &Request<'_>) -> Result<T, String> {
    object(request.old_object)
}

fn new<T: DeserializeOwned>(request: &Request<'_>) -> Result<T, String> {
    object(request.object)
}

fn object<T: DeserializeOwned>(raw: Option<&RawValue>) -> Result<T, String> {
    let text = raw.map_or("null", RawValue::get);
    serde_json::from_str(text).map_err(|error| format!("the object cannot be read: {error}"))
}

/// The spec of an object; `None` where there is none.
fn spec(object: Option<&RawValue>) -> Result<Option<&RawValue>, serde_json::Error> {
    match object.map(RawValue::get).filter(|text| *text != "null") {
        Some(text) => serde_json::from_str::<Written<'_>>(text).map(|written| written.spec),
        None => Ok(None),
    }
}

fn is_same(old: &RawValue, new: &RawValue) -> bool {
    let value = |raw: &RawValue| serde_json::from_str::<Value>(raw.get()).ok();
    old.get() == new.get() || value(old).is_some_and(|old| Some(old) == value(new))
}

#[cfg(test)]
mod tests;
