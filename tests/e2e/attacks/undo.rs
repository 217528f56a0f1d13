//! Taking a remedy back: spared what spares nobody else, and nothing beyond.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use smartops_tests::wait::{Seen, eventually};

use super::ground::{Ground, SECONDS, WEB, to, with_another};

const CONTROLLER: &str = "controller";

/// Settles the last attempt of a Remediation.
fn settled(ground: &Ground, remediation: &Value, with: &Value) -> Result<Value> {
    let mut status = remediation["status"].clone();
    super::ground::merge(&mut status["attempts"][0], with);
    ground.tells(remediation, &status)
}

#[test]
fn an_undo_is_spared_the_pause_and_the_same_number_as_a_remedy_is_not() -> Result<()> {
    let ground = Ground::new("taken-back")?;
    let scaling = ground.scaling("more")?;
    let outcome = ground.scale(CONTROLLER, WEB, 5)?;
    ensure!(outcome.succeeded, "{}", outcome.text());
    let generation = ground.get("web")?["metadata"]["generation"].clone();
    let written = json!({"result": "Written", "writtenGeneration": generation});
    let written = settled(&ground, &scaling, &written)?;

    ground.binds_automation(&json!({"cooldown": {"scaleSeconds": 600}}))?;
    let fewer = json!({"action": {"scale": {"replicas": 3}}});
    let back = ground.at_work("back", &fewer, &to(3), &json!({}))?;
    eventually(SECONDS, "a remedy has to wait", || {
        let patch = json!({"spec": {"replicas": 3}}).to_string();
        let dry = ["patch", WEB, "--subresource=scale", "--type=merge", "--dry-run=server"];
        let text = ground.kubectl(CONTROLLER, &[&dry[..], &["-p", &patch]].concat())?.text();
        let waits = text.contains("rule cooldown") && !text.contains("warrant");
        Ok(Seen::when(waits, text))
    })?;
    settled(&ground, &back, &json!({"result": "Failed"}))?;

    let mut undo = ground.attempt("web", &to(3))?;
    (undo["number"], undo["kind"]) = (json!(2), json!("Undo"));
    ground.tells(&written, &with_another(&written["status"], &undo))?;
    // Exactly back to what it was, and nowhere else.
    let text = ground.scale(CONTROLLER, WEB, 4)?.text();
    ensure!(text.contains("rule cooldown") && text.contains("/warrant"), "{text}");
    let outcome = ground.scale(CONTROLLER, WEB, 3)?;
    ensure!(outcome.succeeded, "{}", outcome.text());
    ensure!(ground.replicas("web")? == 3);
    ground.allowed("operator", &["delete", "gp", ground.name()]).map(drop)
}
