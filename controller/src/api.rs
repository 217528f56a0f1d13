//! The HTTP API: it routes, authenticates, reads and answers. Which action a signal means, which target a name
//! means, what is done and how it ends are decided elsewhere.

pub mod actions;
pub mod answer;
pub mod auth;
pub mod keys;
pub mod problem;
pub mod signals;
pub mod verification;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use kube::runtime::reflector::Store;
use serde_json::Value;
use smartops_common::remediation::{Remediation, Target};
use smartops_process::body;
use smartops_process::clock::Clock;
use tokio::sync::Semaphore;

use self::auth::{Authenticator, Caller};
use self::problem::Problem;
use crate::cluster::Cluster;
use crate::intake;
use crate::intake::map::Mapping;
use crate::metrics::ControllerMetrics;
use crate::payload;

/// Largest body, in bytes.
const BODY_LIMIT: usize = 1024 * 1024;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);
/// Calls worked on at once; one that waits for its end counts.
const MOST_CALLS: usize = 128;
/// Signals worked on at once. A pool of their own: however many callers wait for a rollout, a signal gets in.
const MOST_SIGNALS: usize = 128;

/// What handlers work with.
#[derive(Debug)]
pub struct Api {
    /// The API server.
    pub cluster: Cluster,
    /// The Remediations as last watched, to wait for their ends.
    pub remediations: Store<Remediation>,
    /// Who is calling.
    pub authenticator: Authenticator,
    /// What signals mean.
    pub mapping: Mapping,
    /// The namespace meant where none is named.
    pub default_namespace: String,
    /// The prefix tried on names.
    pub prefix: String,
    /// The wall clock.
    pub clock: Clock,
    /// Counters.
    pub metrics: ControllerMetrics,
}

#[derive(Debug, Clone)]
struct Shared {
    api: Arc<Api>,
    calls: Arc<Semaphore>,
    signals: Arc<Semaphore>,
}

/// The `/v1` routes; every other path and method is answered as problem+json too.
pub fn router(api: Arc<Api>) -> Router {
    let pool = |places| Arc::new(Semaphore::new(places));
    let shared = Shared { api, calls: pool(MOST_CALLS), signals: pool(MOST_SIGNALS) };
    Router::new()
        .route("/v1/k8s/scale", post(scale))
        .route("/v1/k8s/restart", post(restart))
        .route("/v1/k8s/patch", post(patch))
        .route("/v1/actions/execute", post(execute))
        .route("/v1/signals/anomaly", post(anomaly))
        .route("/v1/signals/rca", post(rca))
        .route("/v1/verify/deployment", post(verify))
        .with_state(shared)
}

/// Answers for paths and methods that do not exist, for the whole server.
pub fn with_fallbacks(router: Router) -> Router {
    router
        .fallback(async |request: Request| Problem::no_route(request.uri().path()).into_response())
        .method_not_allowed_fallback(async |request: Request| {
            Problem::no_method(request.method().as_str(), request.uri().path()).into_response()
        })
}

async fn scale(State(shared): State<Shared>, request: Request) -> Response {
    handle(shared.api, shared.calls, request, "/v1/k8s/scale", actions::scale).await
}

async fn restart(State(shared): State<Shared>, request: Request) -> Response {
    handle(shared.api, shared.calls, request, "/v1/k8s/restart", actions::restart).await
}

async fn patch(State(shared): State<Shared>, request: Request) -> Response {
    handle(shared.api, shared.calls, request, "/v1/k8s/patch", actions::patch).await
}

async fn execute(State(shared): State<Shared>, request: Request) -> Response {
    handle(shared.api, shared.calls, request, "/v1/actions/execute", actions::execute).await
}

async fn anomaly(State(shared): State<Shared>, request: Request) -> Response {
    handle(shared.api, shared.signals, request, "/v1/signals/anomaly", signals::anomaly).await
}

async fn rca(State(shared): State<Shared>, request: Request) -> Response {
    handle(shared.api, shared.signals, request, "/v1/signals/rca", signals::rca).await
}

async fn verify(State(shared): State<Shared>, request: Request) -> Response {
    handle(shared.api, shared.calls, request, "/v1/verify/deployment", verification::deployment)
        .await
}

/// A request as handlers get it.
#[derive(Debug)]
pub struct Incoming {
    /// Who is calling.
    pub caller: Caller,
    /// The body, one JSON object.
    pub body: Value,
}

/// Authenticates, reads the body (whatever it is declared to be: curl says form), and lets the handler finish even
/// when the client hangs up.
async fn handle<F>(
    api: Arc<Api>,
    places: Arc<Semaphore>,
    request: Request,
    endpoint: &'static str,
    handler: impl FnOnce(Arc<Api>, Incoming) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = Result<Response, Problem>> + Send + 'static,
{
    let Ok(place) = places.try_acquire_owned() else {
        return Problem::overloaded().into_response();
    };
    let invalid = api.metrics.orchestrator.invalid_payloads.with_label_values(&[endpoint]);
    let (parts, body) = request.into_parts();
    let work = async move {
        let _place = place;
        let caller = api.authenticator.authenticate(&parts.headers, &api.cluster).await?;
        let bytes = body::read(body, BODY_LIMIT, BODY_TIME).await?;
        let body = payload::parse(&bytes).map_err(Problem::from)?;
        handler(Arc::clone(&api), Incoming { caller, body }).await
    };
    match tokio::spawn(work).await {
        Ok(Ok(response)) => response,
        Ok(Err(problem)) => {
            if problem.is_invalid_payload() {
                invalid.inc();
            }
            tracing::info!(endpoint, status = problem.status.as_u16(), detail = %problem.detail, "refused");
            problem.into_response()
        }
        Err(error) => {
            tracing::error!(endpoint, %error, "a handler panicked");
            Problem::internal("the request could not be worked on").into_response()
        }
    }
}

impl Api {
    /// Finds the Deployment a caller's name means and makes sure the caller may touch it. A caller who may not is
    /// told so before being told which Deployments there are.
    pub async fn target(
        &self,
        caller: &Caller,
        verb: &str,
        subresource: Option<&str>,
        namespace: &str,
        name: &str,
    ) -> Result<Target, Problem> {
        let found = intake::lookup(&self.cluster, namespace, name, &self.prefix).await;
        let meant = found.as_ref().map_or(name, |t| t.name.as_str());
        let allowed =
            self.authenticator.may(caller, &self.cluster, verb, subresource, namespace, meant);
        if !allowed.await? {
            return Err(Problem::not_allowed(&caller.name, verb, subresource, namespace, meant));
        }
        found.map_err(Problem::from)
    }
}

#[cfg(test)]
mod tests;
