//! Approvals by whoever may not give them, of what nobody asked about, or in another's name.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::ground::{CONTROLLER, Ground, WEB, merge, to};

/// A Remediation that `maker` asked for and that waits for somebody's word on scaling `web` to five.
fn waiting(ground: &Ground, maker: &str, name: &str) -> Result<Value> {
    let made = ground.made(maker, name, &json!({"spec": {"requireApproval": true}}))?;
    ground.put_forward(&made, &to(5))
}

/// Has the controller's token begin what was put forward.
fn begun(ground: &Ground, waiting: &Value) -> Result<Value> {
    let mut status = waiting["status"].clone();
    status["phase"] = json!("Executing");
    status["attempts"] = json!([ground.attempt("web", &to(5))?]);
    ground.tells(waiting, &status)
}

#[test]
fn an_approval_by_whoever_asked() -> Result<()> {
    let ground = Ground::new("own-word")?;
    let waiting = waiting(&ground, "approver", "more")?;
    let word = ground.word(&waiting, &json!({}));
    ground.denied_object("approver", &word, &["approver"])?;
    ground.allowed_object("deputy", &word)?;
    Ok(())
}

#[test]
fn an_approval_by_whoever_made_it_for_another() -> Result<()> {
    let ground = Ground::new("made-it")?;
    let edit = json!({"spec": {"requireApproval": true, "requestedBy": "developer"}});
    let made = ground.made("controller", "more", &edit)?;
    let waiting = ground.put_forward(&made, &to(5))?;
    let word = ground.word(&waiting, &json!({}));
    let file = ground.file(&word)?;
    ground.denied("admin", &[&["create", "-f", &file], &CONTROLLER[..]].concat(), &[])?;
    ground.allowed_object("approver", &word)?;
    Ok(())
}

#[test]
fn an_approval_by_an_agent() -> Result<()> {
    let ground = Ground::new("agents-word")?;
    let waiting = waiting(&ground, "developer", "more")?;
    let word = ground.word(&waiting, &json!({}));
    for actor in ["agent", "meddler"] {
        ground.denied_object(actor, &word, &[])?;
    }
    let file = ground.file(&word)?;
    let agent = [
        "--as=system:serviceaccount:smartops-dev:agent",
        "--as-group=approvers",
        "--as-group=system:masters",
    ];
    ground.denied("admin", &[&["create", "-f", &file], &agent[..]].concat(), &[])?;
    ground.allowed_object("approver", &word)?;
    Ok(())
}

#[test]
fn an_approval_by_somebody_of_no_group_that_may() -> Result<()> {
    let ground = Ground::new("no-group")?;
    let waiting = waiting(&ground, "developer", "more")?;
    let word = ground.word(&waiting, &json!({}));
    for actor in ["developer", "owner"] {
        ground.denied_object(actor, &word, &["approvers"])?;
    }
    ground.allowed_object("approver", &word)?;
    Ok(())
}

#[test]
fn an_approval_in_somebody_elses_name() -> Result<()> {
    let ground = Ground::new("other-name")?;
    let waiting = waiting(&ground, "approver", "more")?;
    let forged = ground.word(&waiting, &json!({"spec": {"approver": "deputy"}}));
    ground.denied_object("approver", &forged, &["approver"])?;
    let forged = ground.word(&waiting, &json!({"spec": {"approver": "boss"}}));
    let stored = ground.allowed_object("deputy", &forged)?;
    ensure!(stored["spec"]["approver"] == "deputy", "{stored}");
    Ok(())
}

#[test]
fn an_approval_that_is_changed_after_it_was_given() -> Result<()> {
    let ground = Ground::new("changed")?;
    let waiting = waiting(&ground, "developer", "more")?;
    let word = ground.word(&waiting, &json!({"spec": {"decision": "Reject"}}));
    let name = ground.allowed_object("approver", &word)?["metadata"]["name"].clone();
    let name = format!("rema/{}", name.as_str().unwrap_or_default());
    for spec in [json!({"decision": "Approve"}), json!({"approver": "boss"})] {
        let patch = json!({"spec": spec}).to_string();
        for actor in ["approver", "deputy", "owner"] {
            let patch = ["patch", &name, "--type=merge", "-p", &patch];
            let text = ground.kubectl(actor, &patch)?.text();
            ensure!(text.contains("an approval is never changed"), "{actor}: {text}");
        }
    }
    ground.allowed("approver", &["annotate", &name, "note=seen"])?;
    ground.allowed("approver", &["delete", &name])?;
    Ok(())
}

#[test]
fn an_approval_of_something_else_than_what_waits() -> Result<()> {
    let ground = Ground::new("other-hash")?;
    let waiting = waiting(&ground, "developer", "more")?;
    let hash = "0".repeat(64);
    let other = ground.word(&waiting, &json!({"spec": {"intentHash": hash}}));
    let present = waiting["status"]["proposal"]["hash"].as_str().unwrap_or_default();
    ground.denied_object("approver", &other, &["spec.intentHash", present])?;
    let uid = "00000000-0000-4000-8000-000000000000";
    let other = ground.word(&waiting, &json!({"spec": {"remediation": {"uid": uid}}}));
    ground.denied_object("approver", &other, &["spec.remediation"])?;
    ground.allowed_object("approver", &ground.word(&waiting, &json!({})))?;
    Ok(())
}

#[test]
fn an_approval_of_what_does_not_wait() -> Result<()> {
    let ground = Ground::new("not-waiting")?;
    let made = ground.made("developer", "more", &json!({"spec": {"requireApproval": true}}))?;
    let hash = json!({"spec": {"intentHash": "0".repeat(64)}});
    ground.denied_object(
        "approver",
        &ground.word(&made, &hash),
        &["does not wait for approval"],
    )?;
    let waiting = ground.put_forward(&made, &to(5))?;
    let word = ground.word(&waiting, &json!({}));
    ground.allowed_object("approver", &word)?;
    begun(&ground, &waiting)?;
    ground.denied_object("deputy", &word, &["does not wait for approval"])
}

#[test]
fn a_proposal_that_claims_another_hash_than_its_own() -> Result<()> {
    let ground = Ground::new("false-hash")?;
    let made = ground.made("developer", "more", &json!({"spec": {"requireApproval": true}}))?;
    let four = json!({"spec": {"requireApproval": true, "action": {"scale": {"replicas": 4}}}});
    let harmless = ground.made("developer", "harmless", &four)?;
    let harmless = ground.put_forward(&harmless, &to(4))?;
    let waiting = ground.put_forward(&made, &to(5))?;
    let mut status = waiting["status"].clone();
    merge(&mut status, &json!({"proposal": {"hash": harmless["status"]["proposal"]["hash"]}}));
    ground.lies(&waiting, &status, &["status.proposal.hash"])
}

#[test]
fn a_write_that_nobody_approved() -> Result<()> {
    let ground = Ground::new("unapproved")?;
    let one = waiting(&ground, "developer", "one")?;
    begun(&ground, &one)?;
    ground.unwarranted(&ground.scale("controller", WEB, 5)?, "approv")?;
    ground.allowed("developer", &["delete", "remediation/one"])?;
    let two = waiting(&ground, "developer", "two")?;
    ground.allowed_object("approver", &ground.word(&two, &json!({})))?;
    begun(&ground, &two)?;
    let outcome = ground.scale("controller", WEB, 5)?;
    ensure!(outcome.succeeded, "{}", outcome.text());
    Ok(())
}

#[test]
fn a_write_that_one_approved_and_another_rejected() -> Result<()> {
    let ground = Ground::new("rejected")?;
    let waiting = waiting(&ground, "developer", "more")?;
    ground.allowed_object("approver", &ground.word(&waiting, &json!({})))?;
    let no = json!({"spec": {"decision": "Reject", "reason": "not before the sale"}});
    ground.allowed_object("deputy", &ground.word(&waiting, &no))?;
    begun(&ground, &waiting)?;
    ground.unwarranted(&ground.scale("controller", WEB, 5)?, "reject")
}

#[test]
fn a_bigger_write_than_was_approved() -> Result<()> {
    let ground = Ground::new("more-than")?;
    let spec = json!({"spec": {"requireApproval": true, "action": {"scale": {"replicas": 4}}}});
    let made = ground.made("developer", "more", &spec)?;
    let waiting = ground.put_forward(&made, &to(4))?;
    ground.allowed_object("approver", &ground.word(&waiting, &json!({})))?;
    let mut status = waiting["status"].clone();
    status["phase"] = json!("Executing");
    status["attempts"] = json!([ground.attempt("web", &to(5))?]);
    ground.lies(&waiting, &status, &["status.attempts[0].intent", "put forward for approval"])?;
    status["attempts"] = json!([ground.attempt("web", &to(4))?]);
    ground.tells(&waiting, &status)?;
    ground.unwarranted(&ground.scale("controller", WEB, 5)?, "spec.replicas")?;
    let outcome = ground.scale("controller", WEB, 4)?;
    ensure!(outcome.succeeded, "{}", outcome.text());
    Ok(())
}
