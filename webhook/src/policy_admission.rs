//! Written policies, exceptions and configuration, checked before they are stored: what cannot be judged by is denied with each
//! field and reason, and automation writes none of them. What makes one good is its own check in `guard` and `config`; what
//! the rules say of other writes is not asked here.

mod config;
mod exception;
mod policy;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use jiff::Timestamp;
use prometheus::IntCounterVec;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use smartops_common::denial::{Cause, Denial, Rule};
use smartops_common::names;
use smartops_common::names::path;
use smartops_guard::Subject;
use smartops_guard::policy::Flaw;
use smartops_process::clock::Clock;
use smartops_process::metrics;

use crate::admission::envelope::{Envelope, Request};
use crate::admission::http;
use crate::admission::reply::Answer;
use crate::metrics::WebhookMetrics;
use crate::snapshot::Board;

/// Longest warning. Characters.
const LONGEST_WARNING: usize = 120;
/// Most warnings about one policy.
const MOST_WARNINGS: usize = 4;
/// Most flaws a denial lists.
const MOST_FLAWS: usize = 32;

/// Checks what is written.
#[derive(Debug)]
pub struct Checker {
    board: Arc<Board>,
    metrics: WebhookMetrics,
}

/// What the check of a policy or a configuration came to.
#[derive(Debug, Default, PartialEq)]
struct Checked {
    flaws: Vec<Flaw>,
    warnings: Vec<String>,
}

/// An object as far as it is checked.
#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow, default)]
    spec: Option<&'a RawValue>,
}

impl Checker {
    /// Asks the board who automation is.
    pub fn new(board: Arc<Board>, metrics: WebhookMetrics) -> Self {
        Self { board, metrics }
    }

    /// Answers one review.
    pub fn review(&self, envelope: &Envelope<'_>) -> Answer {
        let answer = match &envelope.request {
            Err(problem) => Answer::undecided(problem),
            Ok(request) => self.decide(request, Clock.now()),
        };
        self.tell(envelope, &answer);
        answer
    }

    fn decide(&self, request: &Request<'_>, now: Timestamp) -> Answer {
        let Some(snapshot) = self.board.snapshot() else {
            return Answer::undecided("policies and configuration have not been read yet");
        };
        let user = &request.user_info;
        let writer = Subject::new(&snapshot.config, &user.username, &user.groups);
        if writer.is_automation() {
            return by_automation(request);
        }
        let (Ok(old), Ok(new)) = (spec(request.old_object), spec(request.object)) else {
            return Answer::undecided("the object cannot be read");
        };
        // A deletion carries no new object, and is not asked about.
        let Some(new) = new else { return Answer::allowed() };
        let stays = || old.is_some_and(|old| is_same(old, new));
        let checked = match request.resource.resource.as_ref() {
            "guardrailpolicies" => policy::check(&request.name, new.get()),
            "smartopsconfigs" => config::check(&request.name, new.get()),
            "guardrailexceptions" if stays() => return Answer::allowed(),
            "guardrailexceptions" => exception::check(request, (old, new), &writer, &snapshot, now),
            other => return Answer::undecided(&format!("{other} are not checked by this path")),
        };
        if checked.flaws.is_empty() {
            return Answer { warnings: shown(checked.warnings), ..Answer::allowed() };
        }
        if stays() {
            // Whoever lets go of a finaliser or adds a label makes nothing worse.
            let warning = format!("it cannot be judged by as it stands: {}", told(&checked.flaws));
            return Answer { warnings: shown(vec![warning]), ..Answer::allowed() };
        }
        invalid(request, checked.flaws)
    }

    fn tell(&self, envelope: &Envelope<'_>, answer: &Answer) {
        let decision = if answer.denial.is_some() { "deny" } else { "allow" };
        let request = envelope.request.as_ref().ok();
        let resource = match request.map(|r| r.resource.resource.as_ref()) {
            Some("guardrailpolicies") => "guardrailpolicies",
            Some("smartopsconfigs") => "smartopsconfigs",
            Some("guardrailexceptions") => "guardrailexceptions",
            _ => "other",
        };
        self.metrics.policy_checks.with_label_values(&[resource, decision]).inc();
        tracing::info!(
            uid = %envelope.uid,
            user = request.map(|r| r.user_info.username.as_ref()),
            operation = request.map(|r| r.operation.as_ref()),
            resource,
            name = request.map(|r| r.name.as_ref()),
            dry_run = request.is_some_and(Request::is_dry_run),
            decision,
            reason = answer.denial.as_ref().map(|d| d.message.as_str()),
            "a written policy, exception or configuration was checked"
        );
    }
}

/// The route.
pub fn router(checker: Arc<Checker>) -> Router {
    Router::new().route(path::VALIDATE_OWN, post(serve)).with_state(checker)
}

async fn serve(
    State(checker): State<Arc<Checker>>,
    RawQuery(_): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let bytes = match http::read(&headers, body).await {
        Ok(bytes) => bytes,
        Err(refusal) => return refusal,
    };
    match Envelope::read(&bytes) {
        Ok(envelope) => http::respond(&envelope, &checker.review(&envelope)),
        Err(error) => http::unreadable(&error),
    }
}

/// The counter of checks.
pub fn counter(metrics: &metrics::Metrics) -> Result<IntCounterVec, metrics::Error> {
    metrics.counters(
        "smartops_webhook_policy_checks_total",
        "Policies, exceptions and configurations checked before they were written.",
        &["resource", "decision"],
    )
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

fn by_automation(request: &Request<'_>) -> Answer {
    let message = "automation may write neither policies nor exceptions nor configuration, whatever a policy names; \
                   have an operator write it";
    denied(
        request,
        &format!("rule {}: {message}", Rule::Unnamed),
        vec![cause(request, Rule::Unnamed, String::new(), message.to_owned())],
    )
}

fn invalid(request: &Request<'_>, flaws: Vec<Flaw>) -> Answer {
    let message = told(&flaws);
    let causes = flaws
        .into_iter()
        .take(MOST_FLAWS)
        .map(|flaw| cause(request, Rule::Invalid, flaw.field, flaw.reason))
        .collect();
    denied(request, &message, causes)
}

fn denied(request: &Request<'_>, why: &str, causes: Vec<Cause>) -> Answer {
    let message = format!(
        "SmartOps denies {} of {}.{} {} by {}: {why}",
        request.operation,
        request.resource.resource,
        names::GROUP,
        request.name,
        request.user_info.username,
    );
    let denial = Denial { message, causes, retry_after_seconds: None };
    let audit = [("denied-by".to_owned(), denial.causes[0].rule.to_string())];
    Answer { denial: Some(denial), audit: audit.into(), ..Answer::default() }
}

fn cause(request: &Request<'_>, rule: Rule, path: String, message: String) -> Cause {
    let is_policy = request.resource.resource == "guardrailpolicies" && rule == Rule::Invalid;
    let policy = if is_policy { request.name.to_string() } else { String::new() };
    Cause { policy, rule, path, message }
}

/// Every flaw with its field, in one line.
fn told(flaws: &[Flaw]) -> String {
    let all: Vec<String> =
        flaws.iter().take(MOST_FLAWS).map(|f| format!("{}: {}", f.field, f.reason)).collect();
    all.join("; ")
}

/// Few and short.
fn shown(warnings: Vec<String>) -> Vec<String> {
    let short = |warning: String| {
        if warning.chars().count() <= LONGEST_WARNING {
            return warning;
        }
        let mut short: String = warning.chars().take(LONGEST_WARNING - 1).collect();
        short.push('…');
        short
    };
    warnings.into_iter().take(MOST_WARNINGS).map(short).collect()
}

#[cfg(test)]
mod tests;
