//! The policies and the custom resource that the attempts are made against, beside the shipped policies.

use serde_json::{Value, json};

/// The label of the namespaces the policies are for.
pub(super) const LABEL: (&str, &str) = ("proof", "bypass");

/// The custom resource of the attempts: its number stands elsewhere than a Deployment's.
pub(super) fn definition() -> Value {
    let size = json!({"type": "object", "properties": {"size": {"type": "integer"}}});
    let schema = json!({"type": "object", "properties": {"spec": size, "status": size}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "caches.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "caches", "singular": "cache", "kind": "Cache"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
                "subresources": {"status": {},
                    "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}}}],
        },
    })
}

/// The policies beside the shipped ones. Each that not every test needs is for objects with a label of its own.
pub(super) fn policies() -> Vec<Value> {
    let apps = |resource: &str| json!({"group": "apps", "resource": resource});
    let core = |resource: &str| json!({"resource": resource});
    let batch = |resource: &str| json!({"group": "batch", "resource": resource});
    let deployments = [apps("deployments"), apps("deployments/scale")];
    let templates = [
        apps("deployments"),
        apps("statefulsets"),
        apps("daemonsets"),
        apps("replicasets"),
        core("replicationcontrollers"),
        batch("jobs"),
        batch("cronjobs"),
        core("pods"),
        core("pods/ephemeralcontainers"),
    ];
    let custom = json!({"group": "example.com", "resource": "caches", "version": "v1", "replicasPath": "spec.size"});
    let sessions = [core("pods/exec"), core("pods/attach"), core("pods/portforward")];
    let restarts = [apps("deployments"), core("pods"), core("pods/eviction")];
    let always = json!([{"cron": "* * * * *", "timeZone": "UTC", "durationSeconds": 3600, "reason": "stock-taking"}]);
    let closed = json!([{"name": "closed", "expression": "request.userInfo.username == 'warden'",
        "message": "sessions are closed here", "failurePolicy": "Fail"}]);
    let tidy = json!([{"name": "tidy", "failurePolicy": "Fail",
        "expression": "object == null || !has(object.metadata.annotations) || !('untidy' in object.metadata.annotations)",
        "message": "leave no annotation untidy"}]);
    vec![
        policy(
            "numbers",
            None,
            &[batch("jobs"), batch("cronjobs"), custom],
            &["CREATE", "UPDATE"],
            &json!({"replicas": {"min": 1, "max": 10}}),
        ),
        policy(
            "images",
            None,
            &templates,
            &["CREATE", "UPDATE"],
            &json!({"images": {"registries": ["registry.smartops.dev"], "forbidTags": ["latest"]}}),
        ),
        policy("sessions", None, &sessions, &["CONNECT"], &json!({"custom": closed})),
        policy(
            "growth",
            None,
            &[apps("deployments"), core("pods/resize")],
            &["UPDATE"],
            &json!({"resources": {"maxIncreaseRatio": 2.0}}),
        ),
        policy(
            "tidy",
            None,
            &[apps("deployments")],
            &["CREATE", "UPDATE"],
            &json!({"custom": tidy}),
        ),
        policy(
            "pinned",
            Some("pinned"),
            &[apps("deployments"), core("pods")],
            &["UPDATE"],
            &json!({"images": {"change": "Deny"}}),
        ),
        policy(
            "pair",
            Some("pair"),
            &deployments,
            &["CREATE", "UPDATE"],
            &json!({"replicas": {"min": 2}}),
        ),
        policy(
            "slow",
            Some("slow"),
            &deployments,
            &["UPDATE"],
            &json!({"replicas": {"maxStep": 1, "stepWindowSeconds": 3600}}),
        ),
        policy(
            "steady",
            Some("steady"),
            &restarts,
            &["UPDATE", "DELETE", "CREATE"],
            &json!({"cooldown": {"restartSeconds": 600}}),
        ),
        policy(
            "thrifty",
            Some("thrifty"),
            &deployments,
            &["UPDATE"],
            &json!({"budget": {"perTarget": {"changes": 2, "windowSeconds": 3600}}}),
        ),
        policy("frozen", Some("frozen"), &deployments, &["UPDATE"], &json!({"freeze": always})),
        policy(
            "keep",
            Some("keep"),
            &[apps("deployments")],
            &["DELETE"],
            &json!({"deletion": {"allow": "Never"}}),
        ),
    ]
}

fn policy(
    name: &str,
    label: Option<&str>,
    kinds: &[Value],
    operations: &[&str],
    rules: &Value,
) -> Value {
    let mut spec = json!({
        "match": {
            "kinds": kinds,
            "operations": operations,
            "namespaces": {"selector": {"matchLabels": {LABEL.0: LABEL.1}}},
        },
        "rules": rules,
    });
    if let Some(label) = label {
        spec["match"]["objects"] = json!({"matchLabels": {label: "yes"}});
    }
    json!({
        "apiVersion": "smartops.dev/v1alpha1",
        "kind": "GuardrailPolicy",
        "metadata": {"name": format!("bypass-{name}")},
        "spec": spec,
    })
}
