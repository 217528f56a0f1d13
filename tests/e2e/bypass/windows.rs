//! Little by little, or at the wrong time: steps, budgets, freezes, resources.

use anyhow::Result;
use serde_json::json;

use super::ground::Ground;

const WEB: &str = "deployment/web";

fn scale(replicas: u32) -> Vec<String> {
    vec!["scale".to_owned(), WEB.to_owned(), format!("--replicas={replicas}")]
}

fn as_arguments(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

#[test]
fn a_large_step_taken_in_small_ones() -> Result<()> {
    let ground = Ground::with_labelled_web("steps", "slow")?;
    ground.observed("web")?;
    ground.allowed("developer", &as_arguments(&scale(4)))?;
    ground.observed("web")?;
    ground.refused(&as_arguments(&scale(5)), &["bypass-slow", "rule replicas"])?;
    // Back towards where it stood is no further step.
    ground.allowed("developer", &as_arguments(&scale(3)))?;
    Ok(())
}

#[test]
fn one_change_more_than_the_budget() -> Result<()> {
    let ground = Ground::with_labelled_web("budget", "thrifty")?;
    for replicas in [4, 5] {
        ground.observed("web")?;
        ground.allowed("developer", &as_arguments(&scale(replicas)))?;
    }
    ground.observed("web")?;
    ground.refused(&as_arguments(&scale(6)), &["bypass-thrifty", "rule budget"])?;
    ground.refused(&["set", "env", WEB, "A=b"], &["bypass-thrifty"])?;
    ground.allowed("developer", &["annotate", WEB, "note=spent"])?;
    Ok(())
}

#[test]
fn a_change_during_a_freeze() -> Result<()> {
    let ground = Ground::with_labelled_web("freeze", "frozen")?;
    ground.refused(&["set", "env", WEB, "A=b"], &["bypass-frozen", "stock-taking"])?;
    ground.refused(&as_arguments(&scale(4)), &["bypass-frozen"])?;
    ground.refused(&["label", WEB, "frozen-"], &["bypass-frozen"])?;
    ground.allowed("developer", &["annotate", WEB, "note=cold"])?;
    Ok(())
}

#[test]
fn a_request_or_limit_that_is_raised_beyond_measure() -> Result<()> {
    let ground = Ground::with_web("growth")?;
    let words = ["bypass-growth", "rule resources"];
    // The sample's limit is 128Mi.
    ground.refused(&["set", "resources", WEB, "--limits=memory=512Mi"], &words)?;
    ground.refused(&["set", "resources", WEB, "--limits=memory=0.5Gi"], &words)?;
    ground.allowed("developer", &["set", "resources", WEB, "--limits=memory=256Mi"])?;
    Ok(())
}

#[test]
fn a_limit_that_is_taken_away() -> Result<()> {
    let ground = Ground::with_web("unlimited")?;
    let without =
        json!([{"op": "remove", "path": "/spec/template/spec/containers/0/resources/limits"}]);
    ground
        .refused(&["patch", WEB, "--type=json", "-p", &without.to_string()], &["bypass-growth"])?;
    ground.allowed("developer", &["set", "resources", WEB, "--limits=memory=100Mi"])?;
    Ok(())
}
