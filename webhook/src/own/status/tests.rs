//! What the controller may say became of a Remediation, by subject. The attempt and the target they share are here.

mod claims;
mod compared;
mod proposals;
mod record;

use serde_json::{Value, json};

use super::super::remediation::tests::remediation;
use super::*;

fn now() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

/// An attempt to scale web from 3 to 5, with these members.
fn attempt(members: &Value) -> Value {
    let mut attempt = json!({
        "number": 1, "kind": "Apply", "intent": {"type": "scale", "replicas": 5},
        "target": {"uid": "u-1", "generation": 3, "resourceVersion": "7"},
        "former": {"replicas": 3, "template": template().to_string()}, "leader": "pod/1",
        "startedAt": "2026-11-21T10:00:00Z", "deadline": "2026-11-21T10:01:00Z",
    });
    for (key, value) in members.as_object().unwrap() {
        attempt[key] = value.clone();
    }
    attempt
}

fn with(attempts: &[Value]) -> Remediation {
    let mut remediation = remediation(&json!({}));
    let status = json!({"phase": "Executing", "attempts": attempts});
    remediation.status = Some(serde_json::from_value(status).unwrap());
    remediation
}

fn told(old: &Remediation, new: &Remediation) -> Vec<String> {
    let flaws = flaws(old, new, &Approval::default(), now());
    flaws.into_iter().map(|flaw| flaw.field).collect()
}

fn template() -> smartops_change::TemplateDigest {
    serde_json::from_value(json!({"spec": {"containers": [{"name": "web", "image": "web:1"}]}}))
        .unwrap()
}

/// The target as the attempt says it is, with these members in its metadata and its spec.
fn target(metadata: &Value, spec: &Value) -> Target {
    let mut live = json!({
        "metadata": {"uid": "u-1", "generation": 3, "resourceVersion": "7", "name": "web"},
        "spec": {"replicas": 3, "paused": false,
                 "template": {"spec": {"containers": [{"name": "web", "image": "web:1"}]}}},
    });
    for (part, members) in [("metadata", metadata), ("spec", spec)] {
        for (key, value) in members.as_object().unwrap() {
            live[part][key] = value.clone();
        }
    }
    Target::read(&live.to_string()).unwrap()
}
