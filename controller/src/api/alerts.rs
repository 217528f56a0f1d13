//! `POST /v1/alerts/alertmanager`: every alert of a delivery stands alone, and the whole is answered 2xx only when each
//! is on record or refused for good. The sender takes a 2xx as delivered and gives up on a 4xx, so whatever could not be
//! made durable is answered 503: it sends the same once more, and what is on record already is known again.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};
use smartops_common::remediation::{OriginatingSignal, Remediation};
use smartops_common::signal::SignalKind;
use smartops_common::signal::alert::{Alert, AlertState};
use tokio::time::{Instant, timeout_at};

use super::auth::Deed;
use super::deciding::Ordered;
use super::problem::Problem;
use super::remediations::location;
use super::{Api, Incoming, signals};
use crate::intake::alert::subject::{self, Subject};
use crate::intake::{self, Found, LookupError, Recalled, Submitted, alert as alerts, map, owner};
use crate::policy::decide::Told;

/// The path, as metrics name it.
pub const PATH: &str = "/v1/alerts/alertmanager";
/// Alerts of one delivery worked on at once.
const AT_ONCE: usize = 8;
/// How long one delivery may take: the sender waits for ten seconds or more.
const LIMIT: Duration = Duration::from_secs(8);
/// When a sender that was told 503 may come back, in seconds.
const COME_BACK: u32 = 5;

/// What became of one alert.
#[derive(Debug)]
struct Done {
    result: &'static str,
    remediations: Vec<Remediation>,
}

impl Done {
    const NOOP: Self = Self { result: "noop", remediations: Vec::new() };
}

/// `POST /v1/alerts/alertmanager`
pub async fn alertmanager(api: Arc<Api>, incoming: Incoming) -> Result<Response, Problem> {
    let group = alerts::read(&incoming.body)?;
    api.is_informed()?;
    if group.truncated > 0 {
        api.metrics.truncated_alerts.inc_by(group.truncated);
        tracing::warn!(
            truncated = group.truncated,
            sender = %incoming.caller.name,
            "Alertmanager left alerts out of a delivery, whose targets nobody sees: group them more finely or raise max_alerts"
        );
    }
    let until = Instant::now() + LIMIT;
    let (api, incoming) = (&*api, &incoming);
    let told: Vec<(Value, bool)> = futures::stream::iter(group.alerts)
        .map(|alert| async move {
            let described = described(alert.as_ref().ok());
            let worked = async { one(api, incoming, alert?).await };
            let done = timeout_at(until, worked).await.unwrap_or_else(|_| Err(late()));
            told(api, described, done)
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let is_durable = told.iter().all(|(_, is_settled)| *is_settled);
    let results: Vec<Value> = told.into_iter().map(|(told, _)| told).collect();
    if !is_durable {
        let detail =
            "not every alert could be put on record; what is on record already will be known again";
        let mut problem =
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Send it again", detail);
        problem.retry_after_seconds = Some(COME_BACK);
        problem.members.insert("results".into(), results.into());
        return Err(problem);
    }
    signals::before_answer();
    let reply = json!({
        "accepted": true,
        "kind": SignalKind::Alert.as_str(),
        "truncatedAlerts": group.truncated,
        "results": results,
    });
    Ok((StatusCode::ACCEPTED, Json(reply)).into_response())
}

/// What an answer says of an alert so that its sender knows it again.
fn described(alert: Option<&Alert>) -> Value {
    let Some(alert) = alert else { return json!({}) };
    json!({
        "alertname": alert.name(),
        "status": alert.status.as_str(),
        "fingerprint": alert.fingerprint,
        "startsAt": alert.starts_at,
    })
}

/// The answer about one alert, counted, and whether that is the last word on it.
fn told(api: &Api, mut described: Value, done: Result<Done, Problem>) -> (Value, bool) {
    let (result, is_settled) = match done {
        Ok(Done { result, remediations }) => {
            let locations: Vec<String> = remediations.iter().map(location).collect();
            if !locations.is_empty() {
                described["remediations"] = locations.into();
            }
            (result, true)
        }
        Err(problem) => {
            let is_settled = !problem.status.is_server_error();
            if problem.is_invalid_payload() {
                api.metrics.orchestrator.invalid_payloads.with_label_values(&[PATH]).inc();
            }
            described["problem"] = problem.body();
            (if is_settled { "rejected" } else { "error" }, is_settled)
        }
    };
    described["result"] = result.into();
    signals::count(api, SignalKind::Alert, result);
    (described, is_settled)
}

fn late() -> Problem {
    let detail = "the alert could not be put on record in time";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not in time", detail)
}

async fn one(api: &Api, incoming: &Incoming, alert: Alert) -> Result<Done, Problem> {
    let told = map::alert(&alert);
    match alert.status {
        AlertState::Firing if !api.policies.may_matter(&told)? => Ok(Done::NOOP),
        AlertState::Firing => firing(api, incoming, &alert, &told).await,
        AlertState::Resolved => resolved(api, incoming, &alert, &told).await,
    }
}

async fn firing(
    api: &Api,
    incoming: &Incoming,
    alert: &Alert,
    told: &Told<'_>,
) -> Result<Done, Problem> {
    let (namespace, named) = subject::subject(alert)?;
    let namespace = namespace.unwrap_or_else(|| api.default_namespace.clone());
    let (name, found) = look_up(api, &namespace, named).await;
    let signal = OriginatingSignal {
        kind: SignalKind::Alert,
        id: alerts::id(alert),
        began_at: alerts::began_at(alert).map(Time),
        score: None,
    };
    let place = (namespace.as_str(), name.as_str());
    let order = match api.order(&incoming.caller, place, found, (told, signal)).await? {
        Ordered::Order(order) => order,
        Ordered::Nothing(result) => return Ok(Done { result, remediations: Vec::new() }),
    };
    Ok(match intake::submit(&api.cluster, &order, api.clock.now()).await? {
        Submitted::Created(made) => Done { result: "accepted", remediations: vec![*made] },
        Submitted::Joined(open) | Submitted::Busy(open) | Submitted::Taken(open) => {
            Done { result: "joined", remediations: vec![*open] }
        }
    })
}

/// The Deployment an alert is about, and the name it was looked for by.
async fn look_up(
    api: &Api,
    namespace: &str,
    named: Subject,
) -> (String, Result<Found, LookupError>) {
    let cluster = &api.cluster;
    match named {
        Subject::Service(name) => {
            let found = intake::lookup(cluster, namespace, &name, &api.prefix).await;
            (name, found)
        }
        Subject::Deployment(name) => {
            let found = owner::of_deployment(cluster, namespace, &name).await;
            (name, found)
        }
        Subject::ReplicaSet(name) => {
            let found = owner::of_replica_set(cluster, namespace, &name).await;
            (name, found)
        }
        Subject::Pod(name) => {
            let found = owner::of_pod(cluster, namespace, &name).await;
            (name, found)
        }
    }
}

/// What rests on a resolved alert is found by the alert's id: its pod may be gone by now, and so may be the policy that
/// made something of it.
async fn resolved(
    api: &Api,
    incoming: &Incoming,
    alert: &Alert,
    told: &Told<'_>,
) -> Result<Done, Problem> {
    let cause = told.full_cause();
    let rests_on_it = |r: &Remediation| r.spec.cause == cause && r.is_open();
    let all = api.remediations()?;
    if !api.policies.may_matter(told)? && !all.iter().any(|r| rests_on_it(r)) {
        return Ok(Done::NOOP);
    }
    let namespace = subject::namespace(alert)?.unwrap_or_else(|| api.default_namespace.clone());
    let id = alerts::id(alert);
    let mut waiting = api.cluster.waiting_remediations(&namespace).await?;
    waiting.retain(|r| r.spec.cause == cause && intake::place::holds(r, &id));
    for remediation in &waiting {
        let deed = Deed::of(remediation.spec.action.type_);
        api.check(&incoming.caller, deed, &namespace, &remediation.spec.target.name).await?;
    }
    let now = api.clock.now();
    Ok(match intake::recall(&api.cluster, &namespace, waiting, &id, now).await? {
        Recalled::Cancelled(remediations) => Done { result: "cancelled", remediations },
        Recalled::Nothing => Done::NOOP,
    })
}
