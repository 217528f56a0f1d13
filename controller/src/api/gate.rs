//! The way every request takes to its handler: a place in a line, credentials, a token of the caller's rate, a body that
//! can be read. And the list of routes, by which what is served and what is documented are the same.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, get, on};
use bytes::Bytes;
use serde_json::Value;
use smartops_common::remediation;
use smartops_process::body;
use smartops_process::telemetry::traces;
use tokio::sync::Semaphore;

use super::auth::Presented;
use super::problem::Problem;
use super::{Api, Incoming};
use crate::payload::{self, Invalid};

/// Largest body, in bytes.
pub(super) const BODY_LIMIT: usize = 1024 * 1024;
/// Largest delivery of alerts, in bytes: one that is refused for its size is refused each time it is sent again.
const ALERTS_LIMIT: usize = 8 * 1024 * 1024;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);
/// Longest `Idempotency-Key`.
const LONGEST_KEY: usize = 255;

/// Callers who wait for one another. Each line has places of its own: however many callers wait for a rollout, a signal
/// gets in, and whatever else is going on, the kill switch can be thrown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// Requests that wait for an end.
    Calls,
    /// Agents' signals.
    Signals,
    /// Deliveries of alerts.
    Alerts,
    /// The kill switch.
    Switch,
    /// Whoever looks at Remediations.
    Looks,
}

impl Line {
    const ALL: [Self; 5] = [Self::Calls, Self::Signals, Self::Alerts, Self::Switch, Self::Looks];

    /// Requests worked on at once.
    const fn places(self) -> usize {
        match self {
            Self::Calls | Self::Signals => 128,
            Self::Alerts | Self::Looks => 32,
            Self::Switch => 16,
        }
    }
}

/// What a route asks of its requests.
#[derive(Debug, Clone, Copy)]
pub struct Gate {
    line: Line,
    limit: usize,
    needs_body: bool,
}

impl Gate {
    /// A request that waits for an end.
    pub const CALL: Self = Self::of(Line::Calls);
    /// A delivery of alerts.
    pub const ALERTS: Self = Self { limit: ALERTS_LIMIT, ..Self::of(Line::Alerts) };

    /// One JSON object, in this line.
    pub const fn of(line: Line) -> Self {
        Self { line, limit: BODY_LIMIT, needs_body: true }
    }

    /// In this line; a body may be left out.
    pub const fn bodiless(line: Line) -> Self {
        Self { needs_body: false, ..Self::of(line) }
    }

    /// Alertmanager takes a 4xx for an end: there, whatever is worth another try is 503.
    fn told(self, problem: Problem) -> Problem {
        let again = [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT];
        if self.line == Line::Alerts && again.contains(&problem.status) {
            let seconds = problem.retry_after_seconds.or(Some(1));
            return Problem {
                status: StatusCode::SERVICE_UNAVAILABLE,
                retry_after_seconds: seconds,
                ..problem
            };
        }
        problem
    }
}

#[derive(Debug, Clone)]
struct Shared {
    api: Arc<Api>,
    lines: Arc<[Semaphore; 5]>,
}

/// Routes, and what they are.
#[derive(Debug, Default)]
#[must_use]
pub struct Routes {
    router: Router<Shared>,
    listed: Vec<(Method, &'static str)>,
}

impl Routes {
    /// `POST path`
    pub fn post<F>(
        self,
        path: &'static str,
        gate: Gate,
        handler: fn(Arc<Api>, Incoming) -> F,
    ) -> Self
    where
        F: Future<Output = Result<Response, Problem>> + Send + 'static,
    {
        self.add((Method::POST, MethodFilter::POST), path, gate, handler)
    }

    /// `PATCH path`
    pub fn patch<F>(
        self,
        path: &'static str,
        gate: Gate,
        handler: fn(Arc<Api>, Incoming) -> F,
    ) -> Self
    where
        F: Future<Output = Result<Response, Problem>> + Send + 'static,
    {
        self.add((Method::PATCH, MethodFilter::PATCH), path, gate, handler)
    }

    /// `GET path`
    pub fn get<F>(
        self,
        path: &'static str,
        gate: Gate,
        handler: fn(Arc<Api>, Incoming) -> F,
    ) -> Self
    where
        F: Future<Output = Result<Response, Problem>> + Send + 'static,
    {
        self.add((Method::GET, MethodFilter::GET), path, gate, handler)
    }

    /// `GET path`, for everybody.
    pub fn open(mut self, path: &'static str, answer: fn() -> Response) -> Self {
        self.listed.push((Method::GET, path));
        self.router = self.router.route(path, get(async move || answer()));
        self
    }

    fn add<F>(
        mut self,
        (method, filter): (Method, MethodFilter),
        path: &'static str,
        gate: Gate,
        handler: fn(Arc<Api>, Incoming) -> F,
    ) -> Self
    where
        F: Future<Output = Result<Response, Problem>> + Send + 'static,
    {
        self.listed.push((method, path));
        let serve = async move |State(shared): State<Shared>, request: Request| {
            handle(shared, gate, request, path, handler).await
        };
        self.router = self.router.route(path, on(filter, serve));
        self
    }

    /// Method and path of each.
    pub fn listed(&self) -> &[(Method, &'static str)] {
        &self.listed
    }

    /// To be served.
    pub(super) fn into_router(self, api: Arc<Api>) -> Router {
        let lines = Line::ALL.map(|line| Semaphore::new(line.places()));
        self.router.with_state(Shared { api, lines: Arc::new(lines) })
    }
}

/// Authenticates, reads the body (whatever it is declared to be: curl says form), and lets the handler finish even
/// when the client hangs up.
async fn handle<F>(
    shared: Shared,
    gate: Gate,
    request: Request,
    endpoint: &'static str,
    handler: fn(Arc<Api>, Incoming) -> F,
) -> Response
where
    F: Future<Output = Result<Response, Problem>> + Send + 'static,
{
    let invalid = shared.api.metrics.orchestrator.invalid_payloads.with_label_values(&[endpoint]);
    let work = async move {
        let [calls, signals, alerts, switch, looks] = &*shared.lines;
        let line = match gate.line {
            Line::Calls => calls,
            Line::Signals => signals,
            Line::Alerts => alerts,
            Line::Switch => switch,
            Line::Looks => looks,
        };
        let _place = line.try_acquire().map_err(|_| Problem::overloaded())?;
        let api = &shared.api;
        let incoming = incoming(api, gate, request).await?;
        handler(Arc::clone(api), incoming).await
    };
    match tokio::spawn(traces::here(work)).await {
        Ok(Ok(response)) => response,
        Ok(Err(problem)) => {
            if problem.is_invalid_payload() {
                invalid.inc();
            }
            let problem = gate.told(problem);
            tracing::info!(endpoint, status = problem.status.as_u16(), detail = %problem.detail, "refused");
            problem.into_response()
        }
        Err(error) => {
            tracing::error!(endpoint, %error, "a handler panicked");
            Problem::internal("the request could not be worked on").into_response()
        }
    }
}

async fn incoming(api: &Api, gate: Gate, request: Request) -> Result<Incoming, Problem> {
    let (parts, body) = request.into_parts();
    let presented =
        api.authenticator.authenticate(&parts.headers, &api.cluster, api.clock.now()).await?;
    let limited = |name: &str| {
        api.limits.take(name, Instant::now()).map_err(|wait| {
            let seconds = u32::try_from(wait.as_secs().saturating_add(1)).unwrap_or(u32::MAX);
            Problem::too_often(name, seconds)
        })
    };
    if let Presented::Caller(caller) = &presented {
        limited(&caller.name)?;
    }
    let bytes = body::read(body, gate.limit, BODY_TIME).await?;
    let caller = match presented {
        Presented::Caller(caller) => caller,
        Presented::Signed(claim, source) => {
            let now = api.clock.now();
            let caller = api.authenticator.verify((&claim, source), &parts, &bytes, now)?;
            limited(&caller.name)?;
            caller
        }
    };
    let idempotency = idempotency(&parts, &caller.name)?;
    Ok(Incoming { body: parsed(gate, &bytes)?, caller, idempotency, uri: parts.uri })
}

fn parsed(gate: Gate, bytes: &Bytes) -> Result<Value, Invalid> {
    if !gate.needs_body && bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Null);
    }
    payload::parse(bytes)
}

fn idempotency(parts: &Parts, caller: &str) -> Result<Option<String>, Invalid> {
    let headers: &HeaderMap = &parts.headers;
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let key = key.to_str().ok().filter(|key| (1..=LONGEST_KEY).contains(&key.len()));
    match key {
        Some(key) => Ok(Some(remediation::idempotency_key(caller, key))),
        None => Err(Invalid {
            field: "Idempotency-Key".into(),
            problem: "is no key".into(),
            allowed: "send 1 to 255 visible ASCII characters, another for each request".into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alertmanager_is_never_told_4xx_for_what_is_worth_another_try() {
        for (gate, problem, code) in [
            (Gate::ALERTS, Problem::overloaded(), 503),
            (Gate::ALERTS, Problem::too_often("x", 3), 503),
            (Gate::CALL, Problem::overloaded(), 429),
            (Gate::of(Line::Signals), Problem::too_often("x", 3), 429),
            (Gate::ALERTS, Problem::unauthenticated("x"), 401),
        ] {
            let told = gate.told(problem);
            assert_eq!(told.status.as_u16(), code, "{told:?}");
            assert_eq!(told.retry_after_seconds.is_some(), code != 401, "{told:?}");
        }
    }
}
