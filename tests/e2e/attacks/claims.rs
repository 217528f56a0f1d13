//! Writes that are claimed and never were, and intents that are not what was asked for: an undo and an approval rest on
//! both.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::ground::{Ground, WEB, at, merge, to, with_another};

const CONTROLLER: &str = "controller";

/// The status of one whose first attempt was written, by the write that made this generation.
fn written(remediation: &Value, generation: &Value) -> Value {
    let mut status = remediation["status"].clone();
    let write = json!({"result": "Written", "writtenGeneration": generation});
    merge(&mut status["attempts"][0], &write);
    status
}

fn generation(ground: &Ground) -> Result<Value> {
    Ok(ground.get("web")?["metadata"]["generation"].clone())
}

fn annotated(key: &str, value: &str) -> Value {
    json!({"spec": {"template": {"metadata": {"annotations": {key: value}}}}})
}

/// A patch of the pod template as a Remediation asks for it, and as an attempt announces it.
fn patch(body: &Value) -> (Value, Value) {
    let patch = json!({"format": "strategic", "body": body.to_string()});
    let action = json!({"action": {"type": "patch", "scale": null, "patch": patch}});
    (action, json!({"type": "patch", "patch": patch}))
}

/// An attempt is announced and never sent, somebody else changes the object, and that is claimed: refused, where what was
/// sent passes.
fn no_false_claim(prefix: &str, action: &Value, intent: &Value, body: &Value) -> Result<()> {
    let ground = Ground::new(prefix)?;
    let idle = ground.at_work("idle", action, intent, &json!({}))?;
    ground.allowed("developer", &["scale", WEB, "--replicas=4"])?;
    let words = ["status.attempts[0].result", "does not show it"];
    ground.lies(&idle, &written(&idle, &generation(&ground)?), &words)?;
    let mut failed = idle["status"].clone();
    failed["attempts"][0]["result"] = json!("Conflict");
    ground.tells(&idle, &failed)?;

    let busy = ground.at_work("busy", action, intent, &json!({}))?;
    let outcome = ground.kubectl(CONTROLLER, &["patch", WEB, "-p", &body.to_string()])?;
    ensure!(outcome.succeeded, "{}", outcome.text());
    ground.tells(&busy, &written(&busy, &generation(&ground)?))?;
    Ok(())
}

#[test]
fn an_undo_of_what_somebody_else_did() -> Result<()> {
    let ground = Ground::new("not-his")?;
    let idle = ground.at_work("idle", &json!({}), &to(4), &json!({}))?;
    ground.allowed("developer", &["scale", WEB, "--replicas=9"])?;
    let (early, live) =
        (&idle["status"]["attempts"][0]["target"]["generation"], generation(&ground)?);
    for (claimed, word) in
        [(&json!(1), "writtenGeneration"), (early, "writtenGeneration"), (&live, "result")]
    {
        let word = format!("status.attempts[0].{word}");
        ground.lies(&idle, &written(&idle, claimed), &[&word])?;
    }
    let mut undo = ground.attempt("web", &to(3))?;
    (undo["number"], undo["kind"]) = (json!(2), json!("Undo"));
    let mut status = with_another(&idle["status"], &undo);
    status["attempts"][0]["result"] = json!("Conflict");
    ground.lies(&idle, &status, &["undoes nothing"])?;
    ensure!(ground.replicas("web")? == 9);

    let busy = ground.at_work("busy", &json!({}), &to(8), &json!({}))?;
    let outcome = ground.scale(CONTROLLER, WEB, 8)?;
    ensure!(outcome.succeeded, "{}", outcome.text());
    ground.tells(&busy, &written(&busy, &generation(&ground)?))?;
    Ok(())
}

#[test]
fn a_restart_that_is_claimed_and_was_somebody_elses_change() -> Result<()> {
    let stamp = at(0)?;
    let action = json!({"action": {"type": "restart", "scale": null}});
    let intent = json!({"type": "restart", "restartedAt": stamp});
    let body = annotated("kubectl.kubernetes.io/restartedAt", &stamp);
    no_false_claim("no-restart", &action, &intent, &body)
}

#[test]
fn a_patch_that_is_claimed_and_was_somebody_elses_change() -> Result<()> {
    let body = annotated("team", "shop");
    let (action, intent) = patch(&body);
    no_false_claim("no-patch", &action, &intent, &body)
}

#[test]
fn a_written_attempt_that_is_said_to_be_another_write() -> Result<()> {
    let ground = Ground::new("other-write")?;
    let scaling = ground.scaling("more")?;
    let outcome = ground.scale(CONTROLLER, WEB, 5)?;
    ensure!(outcome.succeeded, "{}", outcome.text());
    let mut status = written(&scaling, &generation(&ground)?);
    status["attempts"][0]["writtenAt"] = json!(at(0)?);
    let told = ground.tells(&scaling, &status)?;
    ground.allowed("developer", &["scale", WEB, "--replicas=6"])?;
    for (member, value) in [
        ("writtenGeneration", generation(&ground)?),
        ("writtenGeneration", Value::Null),
        ("writtenAt", json!(at(60)?)),
    ] {
        let mut other = told["status"].clone();
        merge(&mut other["attempts"][0], &json!({member: value}));
        ground.breaks_the_schema(&told, &other, "is said once")?;
    }
    let mut noted = told["status"].clone();
    noted["attempts"][0]["message"] = json!("healthy");
    ground.tells(&told, &noted)?;
    Ok(())
}

#[test]
fn an_attempt_at_more_than_was_asked_for() -> Result<()> {
    let ground = Ground::new("asked-for")?;
    let made = ground.made("controller", "more", &json!({}))?;
    let status = |replicas: u32| -> Result<Value> {
        Ok(json!({"phase": "Executing", "attempts": [ground.attempt("web", &to(replicas))?]}))
    };
    ground.lies(&made, &status(9)?, &["status.attempts[0].intent", "5 was asked for"])?;
    ground.tells(&made, &status(5)?)?;

    let step = json!({"spec": {"action": {"scale": {"replicas": null, "delta": 1}}}});
    let made = ground.made("controller", "step", &step)?;
    ground.lies(&made, &status(5)?, &["status.attempts[0].intent", "+1"])?;
    ground.tells(&made, &status(4)?)?;
    Ok(())
}

#[test]
fn an_attempt_at_another_patch_than_was_asked_for() -> Result<()> {
    let ground = Ground::new("other-patch")?;
    let ((action, intent), (_, other)) =
        (patch(&annotated("team", "shop")), patch(&annotated("team", "other")));
    let made = ground.made("controller", "team", &json!({"spec": action}))?;
    let status = |intent: &Value| -> Result<Value> {
        Ok(json!({"phase": "Executing", "attempts": [ground.attempt("web", intent)?]}))
    };
    ground.lies(&made, &status(&other)?, &["status.attempts[0].intent"])?;
    ground.tells(&made, &status(&intent)?)?;
    Ok(())
}

#[test]
fn a_proposal_of_something_else_than_was_asked_for() -> Result<()> {
    let ground = Ground::new("other-plan")?;
    let step = json!({"spec": {
        "requireApproval": true, "action": {"scale": {"replicas": null, "delta": 1}}}});
    let made = ground.made("controller", "step", &step)?;
    let proposed = |replicas: u32| ground.proposed(&made, &to(replicas));
    ground.lies(&made, &proposed(9)?, &["status.proposal.intent", "+1"])?;
    ground.tells(&made, &proposed(4)?)?;
    Ok(())
}

#[test]
fn a_proposal_that_reads_as_something_else_than_it_would_write() -> Result<()> {
    let ground = Ground::new("reads-as")?;
    let body = json!({"spec": {"replicas": 9}});
    let (mut spec, intent) = patch(&body);
    spec["requireApproval"] = json!(true);
    let made = ground.made("controller", "patched", &json!({"spec": spec}))?;
    for disguise in [json!({"replicas": 4}), json!({"restartedAt": at(0)?}), json!({"patch": null})]
    {
        let mut disguised = intent.clone();
        merge(&mut disguised, &disguise);
        let status = ground.proposed(&made, &disguised)?;
        ground.breaks_the_schema(&made, &status, "exactly the values of the action's type")?;
    }
    ground.tells(&made, &ground.proposed(&made, &intent)?)?;
    Ok(())
}
