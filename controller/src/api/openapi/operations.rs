//! What the document says of each route beside its path: what it is for, what it takes, how it answers.

use axum::http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};
use smartops_common::config::ClosedLoop;
use smartops_common::signal::anomaly::AnomalySignal;
use smartops_common::signal::rca::RcaSignal;

use super::{answers, shapes};
use crate::api::alerts;
use crate::api::remediations::filter::Filter;
use crate::api::remediations::{LIST, WATCH};

/// Who gets in, and with it which refusals there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody.
    Open,
    /// Whoever is known, to have something done or looked at.
    Call,
    /// Whoever is known, to tell something.
    Signal,
    /// Alertmanager.
    Alerts,
    /// Whoever is known, about the kill switch.
    Switch,
    /// Whoever is known, to look at Remediations.
    Look,
}

impl Access {
    /// The codes of refusals.
    pub(super) const fn refusals(self) -> &'static [u16] {
        match self {
            Self::Open => &[],
            Self::Call | Self::Signal => &[400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 503],
            Self::Alerts => &[400, 401, 403, 413, 500, 503],
            Self::Look => &[400, 401, 403, 404, 408, 413, 422, 429, 500, 503],
            Self::Switch => &[400, 401, 403, 408, 409, 413, 422, 429, 500, 503],
        }
    }
}

/// What a refusal of this code means.
pub(super) const fn meaning(code: u16) -> &'static str {
    match code {
        400 => {
            "Malformed payload, or a path automation may not change; `field` and `allowed` say which and what."
        }
        401 => "No credentials, or none that are good.",
        403 => "The caller may not do that, or the controller may not.",
        404 => {
            "Unknown target, of which `candidates` names those there are, or unknown Remediation."
        }
        408 => "The body did not arrive in time.",
        409 => "Ambiguous or busy target, or an idempotency key used before.",
        413 => "The body is too large.",
        422 => "Replicas, images or another guardrail.",
        429 => "Cooldown, budget or rate; Retry-After says when to come back.",
        503 => "Could not be carried out now; the same request may pass later.",
        _ => "A defect of the controller.",
    }
}

/// How a schema is made.
pub(super) type Maker = fn(&mut SchemaGenerator) -> Schema;

/// What an answer holds.
#[derive(Debug)]
pub(super) enum Shape {
    /// JSON.
    Json(Maker),
    /// Text of this media type.
    Text(&'static str),
}

/// What a request holds.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) schema: Maker,
    pub(super) required: bool,
    pub(super) example: Value,
}

/// One method of one path.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) method: String,
    pub(super) summary: &'static str,
    pub(super) access: Access,
    pub(super) body: Option<Body>,
    /// What its query may hold: an object whose members are the parameters.
    pub(super) query: Option<Maker>,
    pub(super) good: Vec<(u16, &'static str, Shape)>,
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

fn takes<T: JsonSchema>(example: Value) -> Body {
    Body { schema: schema::<T>, required: true, example }
}

/// What is said of a route; `None` where nothing is.
#[expect(clippy::too_many_lines, reason = "a table of every route")]
pub(super) fn of(method: &Method, path: &str) -> Option<Operation> {
    let done = || {
        vec![
            (
                200,
                "Done, or tried out; `success` says how it ended.",
                Shape::Json(schema::<answers::Envelope>),
            ),
            (
                202,
                "Still going on, or waiting for approval: Location says where.",
                Shape::Json(schema::<answers::Envelope>),
            ),
        ]
    };
    let accepted = || {
        vec![(202, "On record, or nothing to do.", Shape::Json(schema::<answers::SignalAccepted>))]
    };
    let switched = || vec![(200, "How the switch stands.", Shape::Json(schema::<ClosedLoop>))];
    let text = |description, kind| vec![(200, description, Shape::Text(kind))];
    let (summary, access, body, good) = match (method.as_str(), path) {
        ("POST", "/v1/k8s/scale") => (
            "Scale one Deployment",
            Access::Call,
            Some(takes::<shapes::Scale>(
                json!({"namespace": "smartops-dev", "deployment": "erp-simulator", "replicas": 4, "dry_run": true}),
            )),
            done(),
        ),
        ("POST", "/v1/k8s/restart") => (
            "Restart one Deployment, pod by pod",
            Access::Call,
            Some(takes::<shapes::Restart>(
                json!({"namespace": "smartops-dev", "deployment": "erp-simulator", "dry_run": true}),
            )),
            done(),
        ),
        ("POST", "/v1/k8s/patch") => (
            "Patch one Deployment within the safelist",
            Access::Call,
            Some(takes::<shapes::Patch>(
                json!({"namespace": "smartops-dev", "deployment": "erp-simulator", "dry_run": true,
                "patch": {"spec": {"template": {"metadata": {"annotations": {"smartops/test-patch": "hello"}}}}}}),
            )),
            done(),
        ),
        ("POST", "/v1/actions/execute") => (
            "Any action, in one envelope",
            Access::Call,
            Some(takes::<shapes::Execute>(
                json!({"type": "scale", "dry_run": true, "verify": true, "verify_timeout_seconds": 60,
                "target": {"kind": "Deployment", "namespace": "smartops-dev", "name": "erp-simulator"},
                "scale": {"replicas": 4}}),
            )),
            done(),
        ),
        ("POST", "/v1/signals/anomaly") => (
            "Tell an anomaly",
            Access::Signal,
            Some(takes::<AnomalySignal>(
                json!({"windowId": "lat-001", "service": "erp-simulator", "isAnomaly": true, "score": 0.9,
                "type": "latency", "modelVersion": "v1", "metadata": {}}),
            )),
            accepted(),
        ),
        ("POST", "/v1/signals/rca") => (
            "Tell a root cause",
            Access::Signal,
            Some(takes::<RcaSignal>(
                json!({"windowId": "rca-003", "service": "erp-simulator", "confidence": 0.84,
                "rankedCauses": [{"svc": "erp-simulator", "cause": "high_error_rate", "probability": 0.94}]}),
            )),
            accepted(),
        ),
        ("POST", alerts::PATH) => (
            "Take a delivery of Alertmanager's webhook, version 4; each alert stands alone",
            Access::Alerts,
            Some(takes::<shapes::Delivery>(
                json!({"version": "4", "status": "firing", "truncatedAlerts": 0, "alerts": [{
                "status": "firing", "startsAt": "2026-03-01T10:00:00Z", "fingerprint": "6ca5f5d7a2d6b7c1",
                "labels": {"alertname": "KubePodCrashLooping", "namespace": "smartops-dev", "deployment": "smartops-erp-simulator"}}]}),
            )),
            vec![(
                202,
                "Every alert is on record, led to nothing, or was refused for good.",
                Shape::Json(schema::<answers::DeliveryAccepted>),
            )],
        ),
        ("POST", "/v1/verify/deployment") => (
            "Watch a rollout and say how it stands",
            Access::Call,
            Some(takes::<shapes::Verify>(
                json!({"namespace": "smartops-dev", "deployment": "erp-simulator", "timeout_seconds": 60,
                "poll_interval_seconds": 5}),
            )),
            vec![(200, "How the rollout stands.", Shape::Json(schema::<answers::Verified>))],
        ),
        ("GET", "/v1/closed-loop") => {
            ("How the kill switch stands", Access::Switch, None, switched())
        }
        ("PATCH", "/v1/closed-loop") => (
            "Turn the kill switch: while it is off, signals are recorded and skipped",
            Access::Switch,
            Some(takes::<shapes::Switch>(json!({"enabled": false, "reason": "maintenance"}))),
            switched(),
        ),
        ("PATCH", "/close-loop/disable") => (
            "Switch the closed loop off (an older name)",
            Access::Switch,
            Some(Body {
                schema: schema::<shapes::Disable>,
                required: false,
                example: json!({"reason": "maintenance"}),
            }),
            switched(),
        ),
        ("GET", LIST) => (
            "List Remediations, the newest first",
            Access::Look,
            None,
            vec![(200, "A page of them.", Shape::Json(schema::<answers::Listed>))],
        ),
        ("GET", WATCH) => (
            "What there is, then every change as it happens, as Server-Sent Events: `remediation` with what one has become, \
             `gone` for one that is no more",
            Access::Look,
            None,
            text("A stream, for an hour at most.", "text/event-stream"),
        ),
        ("GET", "/v1/remediations/{namespace}/{name}") => (
            "One Remediation as it stands this moment",
            Access::Look,
            None,
            vec![(200, "It.", Shape::Json(schema::<answers::Shown>))],
        ),
        ("GET", "/openapi.json") => (
            "This document",
            Access::Open,
            None,
            vec![(200, "OpenAPI 3.1.", Shape::Json(schema::<Value>))],
        ),
        ("GET", "/docs") => {
            ("This document, to read and to try", Access::Open, None, text("A page.", "text/html"))
        }
        ("GET", "/healthz") => (
            "Whether the process lives",
            Access::Open,
            None,
            vec![(200, "It does.", Shape::Json(schema::<answers::Health>))],
        ),
        ("GET", "/readyz") => (
            "Whether it is ready: everything it watches was seen",
            Access::Open,
            None,
            vec![
                (200, "It is.", Shape::Json(schema::<Value>)),
                (503, "Not yet, or not any more.", Shape::Json(schema::<Value>)),
            ],
        ),
        ("GET", "/metrics") => {
            ("Metrics", Access::Open, None, text("Prometheus' text format.", "text/plain"))
        }
        _ => return None,
    };
    let asks = [LIST, WATCH].contains(&path);
    let query = asks.then_some(schema::<Filter> as Maker);
    Some(Operation { method: method.as_str().to_lowercase(), summary, access, body, query, good })
}
