//! The shapes of requests that have no type of their own: they are read field by field, so that what is wrong is told by
//! the field. That these shapes are what is read, the tests show. Those of answers are `answers`'.
#![expect(dead_code, reason = "the fields are there to be described")]
#![expect(clippy::struct_field_names, reason = "the names are the callers'")]

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;
use smartops_common::action::ActionType;

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
