//! What stands beside SmartOps' own Deployments and decides how many pods they have: autoscalers, budgets, quotas and limits.
//! The API server keeps automation from it by itself, whether a webhook answers or not.

use anyhow::Result;
use serde_json::{Value, json};

use super::ground::{CONTROLLER, Ground};
use super::own::{AGENT, SYSTEM};

/// Who refuses, by its own name: the webhook need not be there.
const BY_ITSELF: [&str; 1] = ["ValidatingAdmissionPolicy 'smartops-own-objects'"];

/// An agent and the controller, each with every right, make this object in SmartOps' namespace, change it in each of these
/// ways, and delete it, and are refused each time; a person is not.
fn only_people(prefix: &str, mut object: Value, changes: &[Value]) -> Result<()> {
    let ground = Ground::new(prefix)?;
    object["metadata"] = json!({"namespace": SYSTEM, "name": ground.name()});
    let file = ground.file(&object)?;
    let create = ["-n", SYSTEM, "create", "-f", &file];
    let tried = |attempt: &[&str]| -> Result<()> {
        for who in [&AGENT[..], &CONTROLLER[..]] {
            ground.denied("admin", &[attempt, who].concat(), &BY_ITSELF)?;
        }
        ground.allowed("admin", &[attempt, &["--dry-run=server"]].concat()).map(drop)
    };
    tried(&create)?;
    ground.allowed("admin", &create)?;
    for change in changes {
        let text = change.to_string();
        let patch = ["-n", SYSTEM, "patch", "--type=merge", "-p", &text, "-f", &file];
        let place: &[&str] =
            if change["status"].is_null() { &[] } else { &["--subresource=status"] };
        tried(&[&patch[..], place].concat())?;
    }
    let delete = ["-n", SYSTEM, "delete", "-f", &file];
    tried(&delete)?;
    ground.allowed("admin", &delete).map(drop)
}

#[test]
fn an_autoscaler_by_which_automation_scales_the_webhook() -> Result<()> {
    let target = |name: &str| json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name});
    let autoscaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "spec": {"scaleTargetRef": target("nobody"), "minReplicas": 1, "maxReplicas": 1},
    });
    let aimed = json!({"spec": {"scaleTargetRef": target("smartops-webhook")}});
    only_people("own-hpa", autoscaler, &[aimed, json!({"status": {"desiredReplicas": 1}})])
}

#[test]
fn a_budget_by_which_automation_lets_every_replica_go_or_none() -> Result<()> {
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "nobody"}}},
    });
    let at_once = |number: Value| json!({"spec": {"maxUnavailable": number}});
    // An eviction is let go by the status.
    let allowed = json!({"status": {"disruptionsAllowed": 9}});
    only_people("own-pdb", budget, &[at_once(json!(0)), at_once(json!("100%")), allowed])
}

#[test]
fn a_quota_or_a_limit_by_which_automation_leaves_smartops_no_pod() -> Result<()> {
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "spec": {"hard": {"pods": "1000"}},
    });
    let none = json!({"hard": {"pods": "0"}});
    only_people("own-quota", quota, &[json!({"spec": none}), json!({"status": none})])?;
    let limit = |most: &str| json!([{"type": "Container", "max": {"memory": most}}]);
    let limits = json!({
        "apiVersion": "v1", "kind": "LimitRange", "spec": {"limits": limit("1000Gi")},
    });
    only_people("own-limit", limits, &[json!({"spec": {"limits": limit("1Mi")}})])
}
