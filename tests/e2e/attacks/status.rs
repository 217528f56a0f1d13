//! The audit trail rewritten: by whoever may not write it, and by whoever stole the token of the one who may.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::ground::{Ground, at, merge, to, with_another};

/// The controller's token records an attempt that is changed by `edit`, which the webhook refuses in these words; as it
/// is true, it is taken.
fn no_false_attempt(prefix: &str, edit: &Value, words: &[&str]) -> Result<()> {
    let ground = Ground::new(prefix)?;
    let made = ground.made("controller", "more", &json!({}))?;
    let mut attempt = ground.attempt("web", &to(5))?;
    let status = |attempt: &Value| json!({"phase": "Executing", "attempts": [attempt]});
    let mut other = attempt.clone();
    merge(&mut other, edit);
    ground.lies(&made, &status(&other), words)?;
    attempt["target"] = ground.attempt("web", &to(5))?["target"].clone();
    ground.tells(&made, &status(&attempt))?;
    Ok(())
}

/// The controller's token changes a recorded status by `edit`, which the schema refuses in these words.
fn no_rewriting(prefix: &str, edit: impl FnOnce(&mut Value), words: &str) -> Result<()> {
    let ground = Ground::new(prefix)?;
    let scaling = ground.scaling("more")?;
    let mut status = scaling["status"].clone();
    edit(&mut status);
    ground.breaks_the_schema(&scaling, &status, words)?;
    let mut status = scaling["status"].clone();
    status["attempts"][0]["message"] = json!("on its way");
    ground.tells(&scaling, &status)?;
    Ok(())
}

#[test]
fn a_status_written_by_anybody_but_the_controller() -> Result<()> {
    let ground = Ground::new("anybody")?;
    let made = ground.made("developer", "more", &json!({}))?;
    let status = json!({"phase": "Cancelled", "outcome": {
        "reason": "Bored", "message": "not today", "finishedAt": at(0)?}});
    for actor in ["developer", "owner", "approver", "agent", "meddler"] {
        let text = ground.told_by(actor, &made, &status)?.text();
        ensure!(text.contains("SmartOps denies"), "{actor}: {text}");
    }
    ground.tells(&made, &status)?;
    Ok(())
}

#[test]
fn a_status_that_is_taken_away() -> Result<()> {
    no_rewriting("taken-away", |status| *status = Value::Null, "cannot be removed")
}

#[test]
fn a_phase_that_goes_back() -> Result<()> {
    no_rewriting("back", |status| status["phase"] = json!("Pending"), "only move forward")
}

#[test]
fn an_intent_that_is_changed_after_it_was_recorded() -> Result<()> {
    let words = "never changes";
    no_rewriting("intent", |status| status["attempts"][0]["intent"]["replicas"] = json!(50), words)
}

#[test]
fn a_deadline_that_is_put_off() -> Result<()> {
    let later = at(86_400)?;
    let edit = |status: &mut Value| status["attempts"][0]["deadline"] = json!(later);
    no_rewriting("put-off", edit, "never changes")
}

#[test]
fn an_attempt_that_is_taken_away() -> Result<()> {
    no_rewriting("no-attempt", |status| status["attempts"] = json!([]), "only ever added")
}

#[test]
fn an_attempt_that_ended_and_is_opened_again() -> Result<()> {
    let ground = Ground::new("opened")?;
    let scaling = ground.scaling("more")?;
    let mut ended = scaling["status"].clone();
    ended["attempts"][0]["result"] = json!("Failed");
    ground.tells(&scaling, &ended)?;
    ground.breaks_the_schema(&scaling, &scaling["status"], "stays as it ended")
}

#[test]
fn a_remediation_that_ended_and_is_reopened() -> Result<()> {
    let ground = Ground::new("reopened")?;
    let scaling = ground.scaling("more")?;
    let mut ended = scaling["status"].clone();
    ended["attempts"][0]["result"] = json!("Failed");
    ended["phase"] = json!("Failed");
    ended["outcome"] = json!({"reason": "Failed", "message": "it failed", "finishedAt": at(0)?});
    let ended = ground.tells(&scaling, &ended)?;
    let mut again = ended["status"].clone();
    again["phase"] = json!("Executing");
    ground.breaks_the_schema(&ended, &again, "only move forward")?;
    let mut attempt = ground.attempt("web", &to(5))?;
    attempt["number"] = json!(2);
    let further = with_another(&ended["status"], &attempt);
    ground.breaks_the_schema(&ended, &further, "stays as it ended")
}

#[test]
fn two_attempts_at_once() -> Result<()> {
    let ground = Ground::new("two")?;
    let made = ground.made("controller", "more", &json!({}))?;
    let first = ground.attempt("web", &to(5))?;
    let mut second = first.clone();
    second["number"] = json!(2);
    let both = |first: &Value| json!({"phase": "Executing", "attempts": [first, second]});
    ground.breaks_the_schema(&made, &both(&first), "one attempt at a time")?;
    let mut ended = first.clone();
    ended["result"] = json!("Failed");
    ground.lies(&made, &both(&ended), &["status.attempts"])?;
    ground.tells(&made, &json!({"phase": "Executing", "attempts": [first]}))?;
    Ok(())
}

#[test]
fn an_attempt_that_lasts_a_year() -> Result<()> {
    let edit = json!({"deadline": at(365 * 86_400)?});
    no_false_attempt("year", &edit, &["status.attempts[0].deadline"])
}

#[test]
fn an_attempt_that_is_dated_back() -> Result<()> {
    let edit = json!({"startedAt": at(-3600)?});
    no_false_attempt("dated-back", &edit, &["status.attempts[0].startedAt"])
}

#[test]
fn an_end_that_is_dated_back() -> Result<()> {
    let ground = Ground::new("ended-back")?;
    let made = ground.made("controller", "more", &json!({}))?;
    let ended = |seconds| -> Result<Value> {
        let outcome = json!({"reason": "Cooldown", "message": "m", "finishedAt": at(seconds)?});
        Ok(json!({"phase": "Skipped", "outcome": outcome}))
    };
    for seconds in [-660, -120, 660] {
        ground.lies(&made, &ended(seconds)?, &["status.outcome.finishedAt"])?;
    }
    let told = ground.tells(&made, &ended(0)?)?;
    let moved = ground.told(&told, &ended(-660)?)?;
    ensure!(!moved.succeeded, "{}", moved.text());
    Ok(())
}

#[test]
fn an_attempt_with_a_former_number_that_never_was() -> Result<()> {
    let edit = json!({"former": {"replicas": 9}});
    no_false_attempt("former", &edit, &["status.attempts[0].former.replicas"])
}

#[test]
fn an_attempt_with_a_former_template_that_never_was() -> Result<()> {
    let edit = json!({"former": {"template": "0123456789abcdef"}});
    no_false_attempt("template", &edit, &["status.attempts[0].former.template"])
}

#[test]
fn an_attempt_on_an_object_that_has_moved_since() -> Result<()> {
    let edit = json!({"target": {"resourceVersion": "1"}});
    no_false_attempt("moved", &edit, &["status.attempts[0].target.resourceVersion"])
}

#[test]
fn an_attempt_to_do_something_else_than_was_asked() -> Result<()> {
    let restart = json!({"type": "restart", "replicas": null, "restartedAt": at(0)?});
    no_false_attempt("other-action", &json!({"intent": restart}), &["status.attempts[0].intent"])
}

#[test]
fn an_undo_of_what_was_never_done() -> Result<()> {
    let edit = json!({"kind": "Undo", "intent": {"replicas": 3}});
    no_false_attempt("undo", &edit, &["undoes nothing"])
}

#[test]
fn an_attempt_on_another_object_than_the_remediations() -> Result<()> {
    let ground = Ground::new("other-object")?;
    ground.create(&ground.manifest("api", 3))?;
    let made = ground.made("controller", "more", &json!({}))?;
    let attempt = |target: &str| -> Result<Value> {
        Ok(json!({"phase": "Executing", "attempts": [ground.attempt(target, &to(5))?]}))
    };
    ground.lies(&made, &attempt("api")?, &["status.attempts[0].target.uid"])?;
    ground.tells(&made, &attempt("web")?)?;
    Ok(())
}

#[test]
fn a_remediation_for_an_object_of_another_namespace() -> Result<()> {
    let (here, there) = (Ground::new("here")?, Ground::new("there")?);
    let uid = there.get("web")?["metadata"]["uid"].clone();
    let made = here.made("controller", "more", &json!({"spec": {"target": {"uid": uid}}}))?;
    let attempt = there.attempt("web", &to(5))?;
    let status = json!({"phase": "Executing", "attempts": [attempt]});
    here.lies(&made, &status, &["status.attempts[0].target"])?;
    let made = there.made("controller", "more", &json!({}))?;
    there.tells(&made, &status)?;
    Ok(())
}
