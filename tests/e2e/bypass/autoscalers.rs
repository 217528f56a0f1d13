//! An autoscaler as the hand that writes the number.

use anyhow::Result;
use serde_json::{Value, json};

use super::ground::Ground;

const WORDS: [&str; 1] = ["rule replicas"];

fn autoscaler(ground: &Ground, version: &str, bounds: (u32, u32)) -> Value {
    let mut spec = json!({
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "minReplicas": bounds.0,
        "maxReplicas": bounds.1,
    });
    if version == "v1" {
        spec["targetCPUUtilizationPercentage"] = json!(80);
    }
    json!({"apiVersion": format!("autoscaling/{version}"), "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": ground.name()}, "spec": spec})
}

#[test]
fn an_autoscaler_that_may_go_to_fifty() -> Result<()> {
    let ground = Ground::with_web("hpa-v2")?;
    ground.refused_object(&["create"], &autoscaler(&ground, "v2", (1, 50)), &WORDS)?;
    ground.allowed_object("developer", &["create"], &autoscaler(&ground, "v2", (1, 10)))
}

#[test]
fn an_autoscaler_of_the_old_version_that_may_go_to_fifty() -> Result<()> {
    let ground = Ground::with_web("hpa-v1")?;
    ground.refused_object(&["create"], &autoscaler(&ground, "v1", (1, 50)), &WORDS)?;
    ground.allowed_object("developer", &["create"], &autoscaler(&ground, "v1", (1, 10)))
}

#[test]
fn an_autoscaler_that_is_widened_later() -> Result<()> {
    let ground = Ground::with_web("hpa-wider")?;
    ground.allowed_object("developer", &["create"], &autoscaler(&ground, "v2", (1, 5)))?;
    let patch = |text| ["patch", "hpa/web", "--type=merge", "-p", text];
    ground.refused(&patch(r#"{"spec":{"maxReplicas":50}}"#), &WORDS)?;
    ground.allowed("developer", &patch(r#"{"spec":{"maxReplicas":10}}"#))?;
    Ok(())
}

#[test]
fn an_autoscaler_that_is_widened_by_the_old_version() -> Result<()> {
    let ground = Ground::with_web("hpa-old")?;
    ground.allowed_object("developer", &["create"], &autoscaler(&ground, "v2", (1, 5)))?;
    ground.refused_object(&["replace"], &autoscaler(&ground, "v1", (1, 50)), &WORDS)?;
    ground.allowed_object("developer", &["replace"], &autoscaler(&ground, "v1", (1, 10)))
}

#[test]
fn an_autoscaler_whose_least_is_more_than_there_may_be() -> Result<()> {
    let ground = Ground::with_web("hpa-least")?;
    ground.refused_object(&["create"], &autoscaler(&ground, "v2", (11, 12)), &WORDS)?;
    ground.allowed_object("developer", &["create"], &autoscaler(&ground, "v2", (9, 10)))
}
