//! What holds of Remediations, approvals and policies while no webhook answers, and when none is registered any more.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use smartops_tests::cluster;
use smartops_tests::programs::Program;
use smartops_tests::wait::{Seen, eventually};

use super::ground::{Ground, SECONDS, at, to, with_another};
use crate::support::silent;

#[test]
fn the_audit_trail_holds_while_no_webhook_answers_and_when_none_is_registered() -> Result<()> {
    let cluster = Box::leak(Box::new(silent("schema")?));
    let ground = Ground::on(cluster, "schema")?;
    let scaling = ground.scaling("more")?;
    let asked = ground.made("developer", "asked", &json!({"spec": {"requireApproval": true}}))?;
    let waiting = ground.put_forward(&asked, &to(5))?;
    let word = ground.word(&waiting, &json!({"metadata": {"name": "yes"}}));
    ground.allowed_object("approver", &word)?;

    Program::Webhook.kill(cluster)?;
    let mut further = scaling["status"].clone();
    further["attempts"][0]["message"] = json!("on its way");
    let held = |text: &str| text.contains("failed calling webhook");
    let text = ground.told(&scaling, &further)?.text();
    ensure!(held(&text), "a status while nobody judges: {text}");
    for (actor, object) in [
        ("developer", ground.remediation("other", "web", &json!({}))?),
        ("controller", ground.remediation("other", "web", &json!({}))?),
        ("deputy", ground.word(&waiting, &json!({}))),
    ] {
        let text = ground.kubectl(actor, &["create", "-f", &ground.file(&object)?])?.text();
        ensure!(held(&text), "{actor} while nobody judges: {text}");
    }
    let text = ground.scale("controller", "deployment/web", 5)?.text();
    ensure!(held(&text), "the announced write while nobody judges: {text}");

    // Whoever may delete registrations may switch the webhook off; what is left is what the API server knows by itself.
    let kinds = "validatingwebhookconfigurations,mutatingwebhookconfigurations";
    ground.allowed("admin", &["delete", kinds, "--all"])?;
    eventually(SECONDS, "nobody is asked about a status any more", || {
        let outcome = ground.told(&scaling, &further)?;
        Ok(Seen::when(outcome.succeeded, outcome.text()))
    })?;
    no_way_back(&ground, &scaling)?;

    for object in [
        ground.remediation("unstamped", "web", &json!({"spec": {"requestedBy": null}}))?,
        ground.word(&waiting, &json!({})),
    ] {
        let text = ground.kubectl("admin", &["create", "-f", &ground.file(&object)?])?.text();
        ensure!(text.contains("stamped"), "{text}");
    }
    let patch = r#"{"spec":{"decision":"Reject"}}"#;
    let patch = ["patch", "rema/yes", "--type=merge", "-p", patch];
    let text = ground.kubectl("admin", &patch)?.text();
    ensure!(text.contains("an approval is never changed"), "{text}");
    for attempt in [&["delete", "gp/smartops-automation"], &["delete", "smartopsconfig/default"]] {
        let text = ground.kubectl("meddler", attempt)?.text();
        ensure!(text.contains("ValidatingAdmissionPolicy"), "{attempt:?}: {text}");
        ground.allowed("operator", &[&attempt[..], &["--dry-run=server"]].concat())?;
    }
    cluster::down(cluster.dir()).map(drop)
}

/// The controller's token rewrites a recorded attempt in every way, and the schema alone refuses each.
fn no_way_back(ground: &Ground, scaling: &Value) -> Result<()> {
    let changed = |edit: &dyn Fn(&mut Value)| {
        let mut status = scaling["status"].clone();
        edit(&mut status);
        status
    };
    let later = at(86_400)?;
    for (edit, words) in [
        (changed(&|status| *status = Value::Null), "cannot be removed"),
        (changed(&|status| status["phase"] = json!("Pending")), "only move forward"),
        (changed(&|status| status["attempts"] = json!([])), "only ever added"),
        (
            changed(&|status| status["attempts"][0]["intent"]["replicas"] = json!(50)),
            "never changes",
        ),
        (changed(&|status| status["attempts"][0]["deadline"] = json!(later)), "never changes"),
        (changed(&|status| status["attempts"][0]["leader"] = json!("me/1")), "never changes"),
        (
            with_another(&scaling["status"], &scaling["status"]["attempts"][0]),
            "one attempt at a time",
        ),
    ] {
        ground.breaks_the_schema(scaling, &edit, words)?;
    }
    let mut ended = scaling["status"].clone();
    ended["phase"] = json!("Failed");
    ended["attempts"][0]["result"] = json!("Failed");
    ended["outcome"] = json!({"reason": "Failed", "message": "it failed", "finishedAt": at(0)?});
    let ended = ground.tells(scaling, &ended)?;
    ground.breaks_the_schema(&ended, &scaling["status"], "stays as it ended")
}
