//! `/v1/signals/{anomaly,rca}`: a signal is answered 202 only once its Remediation stands in etcd.

use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use smartops_common::remediation::OriginatingSignal;
use smartops_common::signal::SignalKind;
use smartops_process::failpoint;

use super::deciding::Ordered;
use super::problem::Problem;
use super::{Api, Incoming};
use crate::intake::{self, Submitted, anomaly as anomalies, map, rca as causes};
use crate::policy::decide::Told;

/// What the two kinds of signal have in common.
struct Signal<'a> {
    kind: SignalKind,
    id: &'a str,
    service: &'a str,
    namespace: Option<&'a str>,
    /// What policies are asked about it; `None` where it says itself that there is nothing to do.
    told: Option<Told<'a>>,
}

/// `POST /v1/signals/anomaly`
pub async fn anomaly(api: Arc<Api>, incoming: Incoming) -> Result<Response, Problem> {
    let read = counted(&api, SignalKind::Anomaly, anomalies::read(&incoming.body))?;
    let signal = Signal {
        kind: SignalKind::Anomaly,
        id: &read.window_id,
        service: &read.service,
        namespace: read.namespace.as_deref(),
        told: map::anomaly(&read),
    };
    take(&api, &incoming, signal).await
}

/// `POST /v1/signals/rca`
pub async fn rca(api: Arc<Api>, incoming: Incoming) -> Result<Response, Problem> {
    let read = counted(&api, SignalKind::Rca, causes::read(&incoming.body))?;
    let signal = Signal {
        kind: SignalKind::Rca,
        id: &read.window_id,
        service: &read.service,
        namespace: read.namespace.as_deref(),
        told: Some(map::rca(&read)),
    };
    take(&api, &incoming, signal).await
}

async fn take(api: &Api, incoming: &Incoming, signal: Signal<'_>) -> Result<Response, Problem> {
    let kind = signal.kind;
    let result = match signal.told {
        Some(told) if counted(api, kind, api.policies.may_matter(&told))? => {
            counted(api, kind, submit(api, incoming, &signal, &told).await)?
        }
        Some(_) | None => "noop",
    };
    count(api, kind, result);
    before_answer();
    let reply = json!({"accepted": true, "kind": kind.as_str(), "windowId": signal.id});
    Ok((StatusCode::ACCEPTED, Json(reply)).into_response())
}

/// The failpoints around a 202.
pub(super) fn before_answer() {
    failpoint::hit("before-202");
    #[cfg(debug_assertions)]
    tokio::spawn(async {
        // Long enough for the answer to have left, which nothing here can see.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        failpoint::hit("after-202");
    });
}

/// What became of it, as metrics call it.
async fn submit(
    api: &Api,
    incoming: &Incoming,
    signal: &Signal<'_>,
    told: &Told<'_>,
) -> Result<&'static str, Problem> {
    let namespace = signal.namespace.unwrap_or(&api.default_namespace);
    let caller = &incoming.caller;
    let found = intake::lookup(&api.cluster, namespace, signal.service, &api.prefix).await;
    let origin = OriginatingSignal {
        kind: signal.kind,
        id: signal.id.to_owned(),
        began_at: None,
        score: told.score,
    };
    let place = (namespace, signal.service);
    let order = match api.order(caller, place, found, (told, origin)).await? {
        Ordered::Order(order) => order,
        Ordered::Nothing(result) => return Ok(result),
    };
    Ok(match intake::submit(&api.cluster, &order, api.clock.now()).await? {
        Submitted::Created(_) => "accepted",
        Submitted::Joined(_) | Submitted::Busy(_) | Submitted::Taken(_) => "joined",
    })
}

fn counted<T, E: Into<Problem>>(
    api: &Api,
    kind: SignalKind,
    result: Result<T, E>,
) -> Result<T, Problem> {
    result.map_err(|error| {
        let problem: Problem = error.into();
        let is_theirs = problem.status.is_client_error();
        count(api, kind, if is_theirs { "rejected" } else { "error" });
        problem
    })
}

pub(super) fn count(api: &Api, kind: SignalKind, result: &str) {
    api.metrics.closed_loop.signals.with_label_values(&[kind.as_str(), result]).inc();
}
