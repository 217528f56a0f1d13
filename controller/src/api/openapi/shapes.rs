//! The shapes of requests and answers that have no type of their own: requests are read field by field, so that what is
//! wrong is told by the field. That these shapes are what is read and answered, the tests show.
#![expect(dead_code, reason = "the fields are there to be described")]
#![expect(clippy::struct_field_names, reason = "the names are the callers'")]

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value};
use smartops_common::action::ActionType;
use smartops_common::remediation::{Observed, Phase};
use smartops_common::signal::SignalKind;

/// A name: 1 to 253 characters.
type Name = String;

/// Scale one Deployment.
#[derive(JsonSchema)]
pub(super) struct Scale {
    /// The namespace; the configured default where it is absent.
    namespace: Option<Namespace>,
    /// The Deployment, or the service it runs.
    #[schemars(length(min = 1, max = 253))]
    deployment: Name,
    /// How many pods there shall be.
    #[schemars(range(min = 0, max = 2_147_483_647))]
    replicas: i32,
    /// Only try it out.
    dry_run: Option<bool>,
    /// Write nothing before somebody else has approved it.
    require_approval: Option<bool>,
}

/// A namespace's name.
#[derive(JsonSchema)]
pub(super) struct Namespace(
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    Name,
);

/// Restart one Deployment.
#[derive(JsonSchema)]
pub(super) struct Restart {
    /// The namespace; the configured default where it is absent.
    namespace: Option<Namespace>,
    /// The Deployment, or the service it runs.
    #[schemars(length(min = 1, max = 253))]
    deployment: Name,
    /// Only try it out.
    dry_run: Option<bool>,
    /// Write nothing before somebody else has approved it.
    require_approval: Option<bool>,
}

/// Patch one Deployment.
#[derive(JsonSchema)]
pub(super) struct Patch {
    /// The namespace; the configured default where it is absent.
    namespace: Option<Namespace>,
    /// The Deployment, or the service it runs.
    #[schemars(length(min = 1, max = 253))]
    deployment: Name,
    /// What to change.
    #[schemars(schema_with = "patch")]
    patch: Value,
    /// Only try it out.
    dry_run: Option<bool>,
    /// Write nothing before somebody else has approved it.
    require_approval: Option<bool>,
}

fn patch(_: &mut SchemaGenerator) -> Schema {
    let pointer = serde_json::json!({"type": "string", "pattern": "^(/([^~]|~[01])*)?$"});
    let operation = serde_json::json!({"anyOf": [
        {"type": "object", "required": ["op", "path", "value"],
            "properties": {"op": {"enum": ["add", "replace", "test"]}, "path": pointer}},
        {"type": "object", "required": ["op", "path"], "properties": {"op": {"const": "remove"}, "path": pointer}},
        {"type": "object", "required": ["op", "path", "from"],
            "properties": {"op": {"enum": ["move", "copy"]}, "path": pointer, "from": pointer}},
    ]});
    let merge = serde_json::json!({
        "type": "object", "minProperties": 1,
        "properties": {"op": false, "patch": false, "spec": {"type": "object"}, "metadata": {"type": "object"}},
    });
    let operations = serde_json::json!({"type": "array", "minItems": 1, "items": operation});
    let forms = serde_json::json!([merge, operations, operation]);
    schemars::json_schema!({
        "description": "A merge-style object, the same wrapped once more as `patch`, a JSON Patch (RFC 6902), or one operation of one.",
        "anyOf": [
            merge, operations, operation,
            {"type": "object", "required": ["patch"], "maxProperties": 1, "properties": {"patch": {"anyOf": forms}}},
        ],
    })
}

/// Any action.
#[derive(JsonSchema)]
#[schemars(extend("allOf" = [
    {"if": {"properties": {"type": {"const": "scale"}}},
        "then": {"required": ["scale"], "properties": {"scale": {"type": "object"}}}},
    {"if": {"properties": {"type": {"const": "patch"}}}, "then": {"required": ["patch"]}},
]))]
pub(super) struct Execute {
    /// Which.
    r#type: ActionType,
    /// Of what.
    target: Target,
    /// For `scale`.
    scale: Option<ScaleTo>,
    /// For `patch`, in any of the forms `/v1/k8s/patch` takes.
    #[schemars(schema_with = "patch")]
    #[serde(default)]
    patch: Value,
    /// For `rollback`; absent means the latest earlier revision with another pod template.
    rollback: Option<RollbackTo>,
    /// For `evict-pod`; absent means the unhealthy pod that restarted most.
    evict_pod: Option<Evicted>,
    /// For `hpa-bounds`: at least one of the two.
    hpa_bounds: Option<HpaBounds>,
    /// Only try it out.
    dry_run: Option<bool>,
    /// Write nothing before somebody else has approved it.
    require_approval: Option<bool>,
    /// Watch the rollout, and answer with what was seen.
    verify: Option<bool>,
    /// For how long.
    #[schemars(range(min = 1, max = 3600))]
    verify_timeout_seconds: Option<u32>,
}

/// Which revision.
#[derive(JsonSchema)]
pub(super) struct RollbackTo {
    /// Its number in `kubectl rollout history`.
    #[schemars(range(min = 1, max = 2_147_483_647))]
    to_revision: Option<i32>,
}

/// Which pod.
#[derive(JsonSchema)]
pub(super) struct Evicted {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pod: Option<String>,
}

/// Where the bounds of the autoscaler go; what is not given stays.
#[derive(JsonSchema)]
#[schemars(extend("anyOf" = [{"required": ["min_replicas"]}, {"required": ["max_replicas"]}]))]
pub(super) struct HpaBounds {
    /// The lower one.
    #[schemars(range(min = 1, max = 2_147_483_647))]
    min_replicas: Option<i32>,
    /// The upper one.
    #[schemars(range(min = 1, max = 2_147_483_647))]
    max_replicas: Option<i32>,
}

/// What an action is of.
#[derive(JsonSchema)]
pub(super) struct Target {
    /// `Deployment`.
    #[schemars(schema_with = "deployment")]
    #[serde(default)]
    kind: Value,
    /// The namespace; the configured default where it is absent.
    namespace: Option<Namespace>,
    /// The Deployment, or the service it runs.
    #[schemars(length(min = 1, max = 253))]
    name: Name,
}

fn deployment(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({"enum": ["Deployment", null]})
}

/// How many.
#[derive(JsonSchema)]
pub(super) struct ScaleTo {
    /// How many pods there shall be.
    #[schemars(range(min = 0, max = 2_147_483_647))]
    replicas: i32,
}

/// A rollout to watch.
#[derive(JsonSchema)]
pub(super) struct Verify {
    /// The namespace; the configured default where it is absent.
    namespace: Option<Namespace>,
    /// The Deployment, or the service it runs.
    #[schemars(length(min = 1, max = 253))]
    deployment: Name,
    /// For how long.
    #[schemars(range(min = 1, max = 300))]
    timeout_seconds: Option<u32>,
    /// Seconds between two looks.
    #[schemars(range(min = 1, max = 60))]
    poll_interval_seconds: Option<u32>,
}

/// How the switch shall stand.
#[derive(JsonSchema)]
pub(super) struct Switch {
    /// Whether signals are acted on.
    enabled: bool,
    /// Why.
    #[schemars(length(min = 1, max = 253))]
    reason: Option<String>,
}

/// Why the loop is switched off.
#[derive(JsonSchema)]
pub(super) struct Disable {
    /// Why.
    #[schemars(length(min = 1, max = 253))]
    reason: Option<String>,
}

/// A delivery of Alertmanager's webhook. Fields not listed here are left alone.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Delivery {
    /// The state of alerts that do not tell their own: `firing` or `resolved`.
    #[serde(default)]
    status: Value,
    /// How many alerts were left out.
    #[serde(default)]
    truncated_alerts: Value,
    /// The alerts, each for itself.
    alerts: Vec<Value>,
}

/// Whether an alert begins or ends.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// It holds.
    Firing,
    /// It does not hold any more.
    Resolved,
}

/// There, and perhaps null.
fn nullable<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Option<T>>()
}

/// What became of a request.
#[derive(JsonSchema)]
pub(super) struct Envelope {
    /// Whether it ended well.
    success: bool,
    /// In words.
    message: String,
    /// Whether it was only tried out.
    dry_run: bool,
    /// How.
    details: Details,
    /// What was seen of the rollout, where that was asked for.
    #[schemars(schema_with = "nullable::<Seen>")]
    verification: Value,
    /// What else there is to know.
    #[schemars(schema_with = "nullable::<Vec<String>>")]
    warnings: Value,
    /// The Remediation's phase, where it goes on.
    state: Option<String>,
    /// What waits for approval, and how to give it.
    approval: Option<Map<String, Value>>,
}

/// How a request was carried out.
#[derive(JsonSchema)]
pub(super) struct Details {
    /// The run.
    runner: Runner,
    /// The Remediation's name.
    remediation: String,
}

/// The run.
#[derive(JsonSchema)]
pub(super) struct Runner {
    /// How it stands.
    status: RunnerStatus,
    /// How often it was tried.
    attempts: u32,
    /// How long it took.
    duration_seconds: f64,
    /// What was written.
    result: Written,
    /// What went wrong.
    #[schemars(schema_with = "nullable::<String>")]
    error: Value,
}

/// How a run stands.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RunnerStatus {
    /// Written.
    Success,
    /// Not written.
    Failed,
    /// Going on.
    Running,
    /// Waiting for approval.
    Waiting,
}

/// What was written.
#[derive(JsonSchema)]
pub(super) struct Written {
    /// The Deployment.
    name: String,
    /// Its namespace.
    namespace: String,
    /// Whether it was only tried out.
    dry_run: bool,
    /// The number of pods, of a scale.
    replicas: Option<i32>,
    /// The value of the restart annotation, of a restart.
    #[serde(rename = "restartedAt")]
    restarted_at: Option<String>,
}

/// What was seen of a rollout; `status` is null while it is being watched.
#[derive(JsonSchema)]
pub(super) struct Seen {
    /// How it ended.
    #[schemars(schema_with = "nullable::<Verdict>")]
    status: Value,
    /// In words.
    message: String,
    /// The numbers.
    #[schemars(schema_with = "nullable::<Observed>")]
    observed: Value,
}

/// How a rollout stands.
#[derive(JsonSchema)]
pub(super) struct Verified {
    /// How it stands.
    status: Verdict,
    /// In words.
    message: String,
    /// The numbers.
    observed: Observed,
}

/// How a rollout ended.
#[derive(JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Verdict {
    /// Well.
    Success,
    /// Badly.
    Failed,
    /// Not in time: nobody knows.
    Timeout,
}

/// A signal on record.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SignalAccepted {
    /// Always true.
    accepted: bool,
    /// Which kind.
    kind: SignalKind,
    /// The sender's id.
    window_id: String,
}

/// A delivery on record.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeliveryAccepted {
    /// Always true.
    accepted: bool,
    /// `alert`.
    kind: SignalKind,
    /// How many alerts the sender left out.
    truncated_alerts: u64,
    /// What became of each alert, in order.
    results: Vec<AlertResult>,
}

/// What became of an alert.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AlertResult {
    /// In one word.
    result: Word,
    /// Its name.
    alertname: Option<String>,
    /// Its state.
    status: Option<State>,
    /// Its fingerprint.
    fingerprint: Option<String>,
    /// When it began.
    starts_at: Option<String>,
    /// The Remediations it made, joined or called off.
    remediations: Option<Vec<String>>,
    /// Why it was refused.
    problem: Option<Problem>,
}

/// What became of an alert, in one word.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Word {
    /// A Remediation of its own.
    Accepted,
    /// Part of one that was there.
    Joined,
    /// It called off what had not begun.
    Cancelled,
    /// It led to nothing.
    Noop,
    /// Refused for good.
    Rejected,
    /// Could not be put on record.
    Error,
}

/// A refusal (RFC 9457): what was wrong, what is allowed, what to do next.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Problem {
    /// The kind of problem.
    r#type: String,
    /// A heading.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What happened, in full.
    detail: String,
    /// The field that is wrong.
    field: Option<String>,
    /// What it may hold.
    allowed: Option<String>,
    /// What to do next.
    next: Option<String>,
    /// Seconds until the same request could pass.
    retry_after_seconds: Option<u32>,
    /// The Deployments the name could mean, or those there are.
    candidates: Option<Vec<String>>,
    /// The Remediation it is about.
    remediation: Option<String>,
    /// The guardrail that refused.
    rule: Option<String>,
    /// Everything the guardrails found.
    causes: Option<Vec<BTreeMap<String, Value>>>,
    /// What became of each alert of a delivery.
    results: Option<Vec<AlertResult>>,
}

/// That the process lives.
#[derive(JsonSchema)]
pub(super) struct Health {
    /// `ok`.
    status: String,
    /// `orchestrator`.
    service: String,
}

/// A Remediation as it is shown.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub(super) struct Shown {
    /// Its namespace, the target's.
    namespace: String,
    /// Its name.
    name: String,
    /// Its uid.
    uid: String,
    /// When it was made, RFC 3339.
    created_at: Option<String>,
    /// Where it stands.
    phase: Phase,
    /// What was asked, as in etcd (`kubectl explain remediation.spec`).
    spec: Map<String, Value>,
    /// What became of it, as in etcd (`kubectl explain remediation.status`).
    status: Map<String, Value>,
    /// Where it is found.
    location: String,
}

/// A page of Remediations.
#[derive(JsonSchema)]
pub(super) struct Listed {
    /// The newest first.
    items: Vec<Shown>,
    /// What to ask for the next page with.
    r#continue: Option<String>,
}
