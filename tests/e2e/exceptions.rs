//! Exceptions and the broken glass: what an operator lifts passes at once, for that object alone and until its end; who
//! may break the glass does so in sight of everybody; automation can do neither.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use smartops_tests::http::Client;
use smartops_tests::programs::Program;
use smartops_tests::wait::{Seen, eventually};
use smartops_tests::{metrics, process};

use crate::scene::Scene;
use crate::support::shared;

/// Within which a written exception holds.
const AT_ONCE: Duration = Duration::from_secs(1);
const SECONDS: Duration = Duration::from_secs(20);
const WHY: &str = "smartops.dev/break-glass=the shop is down";

/// The admin, as a member of the group that may break the glass.
const MEMBER: [&str; 3] = ["--as=olga", "--as-group=oncall", "--as-group=system:masters"];
/// The controller, as if its ServiceAccount had been put into that group and into the one of those who may everything.
const CONTROLLER: [&str; 3] = [
    "--as=system:serviceaccount:smartops-system:smartops-orchestrator",
    "--as-group=oncall",
    "--as-group=system:masters",
];

/// So many seconds from now, as the cluster on this machine tells the time.
#[expect(clippy::disallowed_methods, reason = "an end is written as the time of day")]
fn at(seconds: i64) -> Result<String> {
    Ok(Timestamp::now().checked_add(SignedDuration::from_secs(seconds))?.to_string())
}

/// An exception from the baseline's replicas for a Deployment of the scene.
fn exception(scene: &Scene, target: &str, expires_at: &str) -> Value {
    json!({
        "apiVersion": "smartops.dev/v1alpha1", "kind": "GuardrailException",
        "metadata": {"namespace": scene.name(), "name": "sale"},
        "spec": {
            "policy": "smartops-baseline", "rules": ["replicas"],
            "target": {"group": "apps", "kind": "Deployment", "name": target},
            "reason": "the sale", "ticket": "T-1", "expiresAt": expires_at,
        },
    })
}

/// A Deployment of one replica, without waiting for its rollout.
fn deployments(scene: &Scene, names: &[&str]) -> Result<()> {
    names.iter().try_for_each(|name| scene.create(&scene.manifest(name, 1)))
}

fn scale<'a>(target: &'a str, replicas: &'a str) -> [&'a str; 3] {
    ["scale", target, replicas]
}

#[test]
fn an_exception_lets_one_object_past_one_rule_until_its_end() -> Result<()> {
    let scene = Scene::new("excepted")?;
    deployments(&scene, &["web", "api"])?;
    let eleven = scale("deployment/web", "--replicas=11");
    scene.denied("developer", &eleven, &["smartops-baseline", "rule replicas"])?;

    let file = scene.file(&exception(&scene, "web", &at(600)?))?;
    scene.allowed("operator", &["create", "-f", &file])?;
    eventually(AT_ONCE, "the exception holds", || {
        let outcome = scene.kubectl("developer", &eleven)?;
        let text = outcome.text();
        Ok(Seen::when(outcome.succeeded && text.contains("excepted by"), text))
    })?;
    ensure!(scene.replicas("web")? == 11);
    let again = scene.kubectl("developer", &scale("deployment/web", "--replicas=12"))?;
    let warning = format!("smartops-baseline/replicas: excepted by {}/sale until", scene.name());
    ensure!(again.succeeded && again.text().contains(&warning), "{}", again.text());
    let by = format!("smartops-baseline/replicas by {}/sale", scene.name());
    let noted = scene.noted("web", "excepted-by")?;
    ensure!(noted.len() == 2 && noted.iter().all(|note| *note == by), "{noted:?}");
    // Nobody else's, and nothing that another policy refuses.
    scene.denied("developer", &scale("deployment/api", "--replicas=11"), &["rule replicas"])?;
    scene.denied("agent", &scale("deployment/web", "--replicas=13"), &["smartops-automation"])?;
    let wait = ["wait", "--for=condition=Active", "gx/sale", "--timeout=10s"];
    scene.allowed("operator", &wait)?;
    let text = Client::new(&Program::Webhook.health_url(shared()?)?).get("/metrics")?.text;
    let labels = [("policy", "smartops-baseline"), ("decision", "except"), ("rule", "replicas")];
    let counted = metrics::sum(&text, "smartops_webhook_decisions_total", &labels);
    ensure!(counted.is_some_and(|n| n >= 2.0), "{text}");

    let end = json!({"spec": {"expiresAt": at(6)?}}).to_string();
    scene.allowed("operator", &["patch", "gx/sale", "--type=merge", "-p", &end])?;
    eventually(SECONDS, "the exception has ended", || {
        let up = [&scale("deployment/web", "--replicas=14")[..], &["--dry-run=server"]].concat();
        let outcome = scene.kubectl("developer", &up)?;
        let text = outcome.text();
        ensure!(outcome.succeeded || text.contains("rule replicas"), "{text}");
        Ok(Seen::when(!outcome.succeeded, text))
    })?;
    let wait = ["wait", "--for=condition=Active=False", "gx/sale", "--timeout=10s"];
    scene.allowed("operator", &wait)?;
    // What has ended is neither revived nor changed, and goes when somebody deletes it.
    let more = json!({"spec": {"expiresAt": at(600)?}}).to_string();
    let revive = ["patch", "gx/sale", "--type=merge", "-p", &more];
    scene.denied("operator", &revive, &["spec: has expired"])?;
    scene.allowed("operator", &["annotate", "gx/sale", "seen=yes"])?;
    scene.allowed("operator", &["delete", "gx/sale"])?;
    Ok(())
}

#[test]
fn an_exception_that_lifts_too_much_is_refused_and_automation_writes_none() -> Result<()> {
    let scene = Scene::new("unexcepted")?;
    let good = exception(&scene, "web", &at(600)?);
    let changed = |field: &str, value: Value| {
        let mut changed = good.clone();
        changed["spec"][field] = value;
        scene.file(&changed)
    };
    for (field, value) in [
        ("expiresAt", json!(at(-60)?)),
        ("expiresAt", json!(at(25 * 3600)?)),
        ("rules", json!(["replicas", "images"])),
        ("policy", json!("nobodys")),
    ] {
        let file = changed(field, value)?;
        let create = ["create", "-f", &file];
        scene.denied("operator", &create, &[&format!("spec.{field}: ")])?;
    }
    // What the schema can say it says itself.
    for (field, value) in
        [("rules", json!(["unnamed"])), ("rules", json!([])), ("ticket", json!(""))]
    {
        let file = changed(field, value)?;
        let outcome = scene.kubectl("operator", &["create", "-f", &file])?;
        ensure!(!outcome.succeeded && outcome.text().contains("spec."), "{}", outcome.text());
    }
    let file = scene.file(&good)?;
    let create = ["create", "-f", &file];
    scene.denied("meddler", &create, &["rule unnamed"])?;
    scene.denied("admin", &[&create[..], &CONTROLLER].concat(), &["rule unnamed"])?;
    scene.allowed("operator", &create)?;
    let other = json!({"spec": {"target": {"name": "api"}}}).to_string();
    let other = scene.kubectl("operator", &["patch", "gx/sale", "--type=merge", "-p", &other])?;
    let text = other.text();
    ensure!(!other.succeeded && text.contains("stays for one object"), "{text}");
    let delete = ["delete", "gx/sale"];
    scene.denied("meddler", &delete, &["rule unnamed"])?;
    scene.denied("admin", &[&delete[..], &CONTROLLER].concat(), &["rule unnamed"])?;
    scene.allowed("operator", &delete)?;
    Ok(())
}

#[test]
fn a_member_breaks_the_glass_with_a_reason_in_sight_of_everybody_and_nobody_else_can() -> Result<()>
{
    let scene = Scene::new("glass")?;
    deployments(&scene, &["web", "api"])?;
    let as_member = |arguments: &[&'static str]| [arguments, &MEMBER].concat();
    let eleven = scale("deployment/web", "--replicas=11");
    let member = as_member(&eleven);
    scene.denied("admin", &member, &["rule replicas", "you may break the glass"])?;
    scene.allowed("developer", &["annotate", "deployment/web", "smartops.dev/break-glass=now"])?;
    scene.denied("admin", &member, &["gives a reason of 3 characters"])?;
    scene.allowed("developer", &["annotate", "--overwrite", "deployment/web", WHY])?;
    // The reason alone opens nothing: not to others, and to automation not even as a member.
    scene.denied("developer", &eleven, &["rule replicas"])?;
    scene.denied("agent", &eleven, &["rule replicas"])?;
    scene.denied("admin", &[&eleven[..], &CONTROLLER].concat(), &["rule replicas"])?;
    scene.denied(
        "admin",
        &as_member(&scale("deployment/api", "--replicas=11")),
        &["rule replicas"],
    )?;

    let broken = || -> Result<f64> {
        let text = Client::new(&Program::Webhook.health_url(shared()?)?).get("/metrics")?.text;
        let labels = [("dry_run", "false")];
        Ok(metrics::sum(&text, "smartops_webhook_break_glass_total", &labels).unwrap_or(0.0))
    };
    let before = broken()?;
    let dry = [&member[..], &["--dry-run=server"]].concat();
    scene.allowed("admin", &dry)?;
    ensure!(broken()? <= before, "a dry run was counted as a write");
    let outcome = scene.kubectl("admin", &member)?;
    let warning = "smartops-baseline/replicas: the glass was broken";
    ensure!(outcome.succeeded && outcome.text().contains(warning), "{}", outcome.text());
    ensure!(scene.replicas("web")? == 11 && broken()? > before);
    // On the object itself as on its Scale.
    let patch = ["patch", "deployment/web", "-p", r#"{"spec":{"replicas":12}}"#];
    scene.allowed("admin", &as_member(&patch))?;
    let (by, why) = (scene.noted("web", "excepted-by")?, scene.noted("web", "break-glass")?);
    ensure!(by == vec!["smartops-baseline/replicas by break-glass"; 2], "{by:?}");
    ensure!(why == vec!["the shop is down"; 2], "{why:?}");
    let log = fs::read_to_string(process::log(shared()?.dir(), "webhook"))?;
    let told = |line: &&str| {
        let words = ["\"WARN\"", "the glass was broken", "\"user\":\"olga\"", scene.name()];
        words.iter().all(|word| line.contains(word)) && line.contains("\"dry_run\":false")
    };
    // One that met another writer is reviewed again, and told again.
    for subresource in [r#""subresource":"scale""#, r#""subresource":"""#] {
        let mut uses = log.lines().filter(told);
        ensure!(uses.any(|line| line.contains(subresource)), "{subresource} is not in the log");
    }
    let reviewed = log.lines().filter(told).count();
    let notes = eventually(SECONDS, "both uses are Events", || {
        let list = scene.allowed("admin", &["get", "events.events.k8s.io", "-o", "json"])?;
        let list: Value = serde_json::from_str(&list)?;
        let events = list["items"].as_array().cloned().unwrap_or_default();
        let uses: Vec<Value> =
            events.into_iter().filter(|event| event["reason"] == "BreakGlass").collect();
        let seen = format!("{uses:?}");
        Ok(if uses.len() >= reviewed { Seen::Done(uses) } else { Seen::NotYet(seen) })
    })?;
    ensure!(notes.len() == reviewed, "a dry run made an Event: {notes:?}");
    for event in notes {
        let (regarding, note) = (&event["regarding"], event["note"].as_str().unwrap_or_default());
        ensure!(regarding["kind"] == "Deployment" && regarding["name"] == "web", "{event}");
        ensure!(note.contains("olga") && note.contains("the shop is down"), "{event}");
    }
    Ok(())
}
