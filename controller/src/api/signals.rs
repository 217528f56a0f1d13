//! `/v1/signals/{anomaly,rca}`: a signal is answered 202 only once its Remediation stands in etcd.

use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use smartops_common::remediation::{OriginatingSignal, Source};
use smartops_common::signal::SignalKind;
use smartops_process::failpoint;

use super::auth::Deed;
use super::problem::Problem;
use super::{Api, Incoming};
use crate::intake::map::{self, Decided};
use crate::intake::place::Order;
use crate::intake::{self, Submitted, anomaly as anomalies, rca as causes};

/// How long the loop watches a rollout, and how often it looks, in seconds.
pub(super) const VERIFY_TIMEOUT_SECONDS: u32 = 120;
pub(super) const VERIFY_POLL_SECONDS: u32 = 1;

/// What the two kinds of signal have in common.
struct Signal {
    kind: SignalKind,
    id: String,
    service: String,
    namespace: Option<String>,
    score: Option<f64>,
}

/// `POST /v1/signals/anomaly`
pub async fn anomaly(api: Arc<Api>, incoming: Incoming) -> Result<Response, Problem> {
    let read = counted(&api, SignalKind::Anomaly, anomalies::read(&incoming.body))?;
    let decided = map::anomaly(&read, api.mapping);
    let signal = Signal {
        kind: SignalKind::Anomaly,
        id: read.window_id,
        service: read.service,
        namespace: read.namespace,
        score: Some(read.score),
    };
    take(&api, &incoming, signal, decided).await
}

/// `POST /v1/signals/rca`
pub async fn rca(api: Arc<Api>, incoming: Incoming) -> Result<Response, Problem> {
    let read = counted(&api, SignalKind::Rca, causes::read(&incoming.body))?;
    let decided = Some(map::rca(&read));
    let signal = Signal {
        kind: SignalKind::Rca,
        id: read.window_id,
        service: read.service,
        namespace: read.namespace,
        score: read.confidence,
    };
    take(&api, &incoming, signal, decided).await
}

async fn take(
    api: &Api,
    incoming: &Incoming,
    signal: Signal,
    decided: Option<Decided>,
) -> Result<Response, Problem> {
    let (kind, id) = (signal.kind, signal.id.clone());
    let result = match decided {
        Some(decided) => {
            let submitted = submit(api, incoming, signal, decided).await;
            match counted(api, kind, submitted)? {
                Submitted::Created(_) => "accepted",
                Submitted::Joined(_) | Submitted::Busy(_) | Submitted::Taken(_) => "joined",
            }
        }
        None => "noop",
    };
    count(api, kind, result);
    before_answer();
    let reply = json!({"accepted": true, "kind": kind.as_str(), "windowId": id});
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

async fn submit(
    api: &Api,
    incoming: &Incoming,
    signal: Signal,
    decided: Decided,
) -> Result<Submitted, Problem> {
    let namespace = signal.namespace.unwrap_or_else(|| api.default_namespace.clone());
    let caller = &incoming.caller;
    let deed = Deed::of(decided.action.type_);
    let target = api.target(caller, deed, &namespace, &signal.service).await?;
    let order = Order {
        namespace,
        target,
        action: decided.action,
        cause: decided.cause,
        source: Source::ClosedLoop,
        requested_by: caller.name.clone(),
        idempotency: None,
        signal: Some(OriginatingSignal {
            kind: signal.kind,
            id: signal.id,
            began_at: None,
            score: signal.score,
        }),
        dry_run: decided.dry_run,
        require_approval: false,
        verify: true,
        verify_timeout_seconds: VERIFY_TIMEOUT_SECONDS,
        verify_poll_seconds: VERIFY_POLL_SECONDS,
    };
    Ok(intake::submit(&api.cluster, &order, api.clock.now()).await?)
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
