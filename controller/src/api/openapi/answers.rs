//! The shapes of answers that have no type of their own. That these are what is answered, the tests show. Those of
//! requests are `shapes`'.
#![expect(dead_code, reason = "the fields are there to be described")]

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value};
use smartops_common::remediation::{Observed, Phase};
use smartops_common::signal::SignalKind;

use super::shapes::State;

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
