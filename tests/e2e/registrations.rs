//! The registrations follow policies and configuration, come back when somebody changes them, and leave nobody out
//! while the list of automation moves.

mod behind;
mod late;
mod leaving;
mod reached;
mod way;
mod wiped;

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use smartops_tests::cluster::Cluster;
use smartops_tests::http::Client;
use smartops_tests::metrics;
use smartops_tests::programs::Program;
use smartops_tests::sample;
use smartops_tests::wait::{Seen, eventually};

use crate::support::{Namespace, own};

/// "Within seconds", a few repairs one after the other included.
const SECONDS: Duration = Duration::from_secs(10);
const VALIDATING: &str = "validatingwebhookconfiguration";
const MUTATING: &str = "mutatingwebhookconfiguration";
/// Both kinds.
const REGISTRATIONS: &str = "validatingwebhookconfigurations,mutatingwebhookconfigurations";
/// What selects everything of SmartOps.
const OURS: &str = "app.kubernetes.io/part-of=smartops";

/// The entries of a registration, as they stand; null where there is none.
fn entries(cluster: &Cluster, kind: &str, name: &str) -> Value {
    let object = cluster.kubectl("admin").get(&[kind, name]);
    object.map(|object| object["webhooks"].clone()).unwrap_or_default()
}

/// Waits until the entries of a registration satisfy a condition.
fn entries_become(
    cluster: &Cluster,
    kind: &str,
    name: &str,
    what: &str,
    holds: impl Fn(&Value) -> bool,
) -> Result<()> {
    eventually(SECONDS, &format!("{kind} {name}: {what}"), || {
        let entries = entries(cluster, kind, name);
        Ok(Seen::when(holds(&entries), entries.to_string()))
    })
}

fn apply(cluster: &Cluster, actor: &str, object: &Value) -> Result<()> {
    cluster.kubectl(actor).apply_all(std::slice::from_ref(object)).map(drop)
}

fn policy(name: &str, kinds: &Value, more: &Value) -> Value {
    let mut spec = json!({
        "match": {
            "kinds": kinds, "operations": ["CREATE", "UPDATE"], "namespaces": {"guarded": true},
        },
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    json!({
        "apiVersion": "smartops.dev/v1alpha1", "kind": "GuardrailPolicy", "metadata": {"name": name},
        "spec": spec,
    })
}

#[test]
fn a_registration_that_somebody_changes_is_repaired_within_seconds() -> Result<()> {
    let cluster = own("drift")?;
    let admin = cluster.kubectl("admin");
    let patch = |kind: &str, name: &str, patch: &Value| {
        admin.run(&["patch", kind, name, "--type=json", "-p", &patch.to_string()])?.ok()
    };
    let automation = "smartops-automation";
    let should = entries(&cluster, VALIDATING, automation);
    ensure!(should.as_array().is_some_and(|entries| entries.len() == 2), "{should}");
    let intact = |name: &str, what: &str, should: &Value| {
        entries_become(&cluster, VALIDATING, name, what, |stands| stands == should)
    };

    patch(VALIDATING, automation, &json!([{"op": "remove", "path": "/webhooks/0/rules"}]))?;
    intact(automation, "its rules are back", &should)?;
    let never = json!({"name": "never", "expression": "false"});
    let add = json!([{"op": "add", "path": "/webhooks/0/matchConditions/-", "value": never}]);
    patch(VALIDATING, automation, &add)?;
    intact(automation, "the foreign condition is gone", &should)?;
    let ignore = json!([{"op": "replace", "path": "/webhooks/1/failurePolicy", "value": "Ignore"}]);
    patch(VALIDATING, automation, &ignore)?;
    intact(automation, "it fails closed again", &should)?;
    let labels = json!({"matchLabels": {"nobody": "has-this"}});
    let narrow = json!([{"op": "replace", "path": "/webhooks/0/objectSelector", "value": labels}]);
    patch(VALIDATING, automation, &narrow)?;
    intact(automation, "it asks about every object again", &should)?;
    patch(VALIDATING, automation, &json!([{"op": "replace", "path": "/webhooks", "value": []}]))?;
    intact(automation, "its entries are back", &should)?;
    let mut foreign = should[0].clone();
    foreign["name"] = json!("foreign.smartops.dev");
    let add = json!([{"op": "add", "path": "/webhooks/-", "value": foreign}]);
    patch(VALIDATING, automation, &add)?;
    intact(automation, "the foreign entry is gone", &should)?;

    for name in ["smartops-people", "smartops-own"] {
        let should = entries(&cluster, VALIDATING, name);
        admin.run(&["delete", VALIDATING, name])?.ok()?;
        intact(name, "it was made again", &should)?;
    }
    let text = Client::new(&Program::Webhook.health_url(&cluster)?).get("/metrics")?.text;
    let labels = [("registration", automation), ("why", "drift")];
    let counted = metrics::sum(&text, "smartops_webhook_registration_writes_total", &labels);
    ensure!(counted.is_some_and(|n| n >= 6.0), "{text}");
    cluster.stop()
}

#[test]
fn people_wait_for_exactly_what_the_policies_mean_and_no_longer_than_they_mean_it() -> Result<()> {
    let cluster = own("following")?;
    let namespace = Namespace::create(&cluster, "following")?;
    let jobs = |mode: &str| {
        let custom = json!([{"name": "small", "expression": "object.spec.parallelism <= 2",
            "message": "two pods at once are enough", "failurePolicy": "Fail"}]);
        let kinds = json!([{"group": "batch", "resource": "jobs"}]);
        policy("small-jobs", &kinds, &json!({"mode": mode, "rules": {"custom": custom}}))
    };
    let job = |parallelism: u32| {
        let container = json!({"name": "a", "image": "registry.smartops.dev/a:1"});
        let spec = json!({"containers": [container], "restartPolicy": "Never"});
        json!({"apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"namespace": namespace.name, "name": format!("job-{parallelism}")},
            "spec": {"parallelism": parallelism, "template": {"spec": spec}}})
    };
    let people = "smartops-people";
    let is_sent = |entries: &Value| entries.to_string().contains("\"jobs\"");
    ensure!(!is_sent(&entries(&cluster, VALIDATING, people)));
    let created = |parallelism: u32| {
        let arguments = ["create", "--dry-run=server", "-f", "-"];
        cluster.kubectl("developer").run_with(&arguments, Some(&job(parallelism).to_string()))
    };
    ensure!(created(5)?.succeeded);

    apply(&cluster, "operator", &jobs("Enforce"))?;
    entries_become(&cluster, VALIDATING, people, "jobs are asked about", is_sent)?;
    eventually(SECONDS, "five at once are denied", || {
        let outcome = created(5)?;
        Ok(Seen::when(outcome.text().contains("two pods at once are enough"), outcome.text()))
    })?;
    ensure!(created(2)?.succeeded);
    cluster.kubectl("operator").run(&["delete", "guardrailpolicy", "small-jobs"])?.ok()?;
    entries_become(&cluster, VALIDATING, people, "jobs are asked about no more", |e| !is_sent(e))?;
    eventually(SECONDS, "five at once are nobody's business any more", || {
        let outcome = created(5)?;
        Ok(Seen::when(outcome.succeeded, outcome.text()))
    })?;

    let mutating = entries(&cluster, MUTATING, people);
    ensure!(mutating.as_array().is_none_or(Vec::is_empty), "nothing is clamped yet: {mutating}");
    let kinds = json!([{"group": "apps", "resource": "deployments"}]);
    let replicas = json!({"replicas": {"max": 4, "onViolation": "Clamp"}});
    apply(&cluster, "operator", &policy("at-most-four", &kinds, &json!({"rules": replicas})))?;
    entries_become(
        &cluster,
        MUTATING,
        people,
        "Deployments and Scales can be clamped",
        |entries| {
            let text = entries.to_string();
            text.contains("\"deployments\"") && text.contains("\"deployments/scale\"")
        },
    )?;
    sample::roll_out(&cluster.kubectl("developer"), &namespace.name, "portal", 2)?;
    eventually(SECONDS, "a scale to six is clamped to four", || {
        let scale = ["scale", "deployment/portal", "--replicas=6"];
        let outcome = namespace.run("developer", &scale)?;
        let list =
            cluster.kubectl("admin").get(&["-n", &namespace.name, "deployment", "portal"])?;
        Ok(Seen::when(list["spec"]["replicas"] == 4, outcome.text()))
    })?;
    cluster.stop()
}

/// Writes the configuration with these further users as automation.
fn automation(cluster: &Cluster, users: &[&str]) -> Result<()> {
    let accounts = json!([{"namespace": "smartops-dev", "name": "agent"}]);
    apply(
        cluster,
        "operator",
        &json!({
            "apiVersion": "smartops.dev/v1alpha1", "kind": "SmartOpsConfig",
            "metadata": {"name": "default"},
            "spec": {"automation": {"serviceAccounts": accounts, "users": users}},
        }),
    )
}

#[test]
fn while_somebody_becomes_automation_or_ceases_to_be_no_write_of_theirs_goes_unasked() -> Result<()>
{
    let cluster = own("widening")?;
    let namespace = Namespace::create(&cluster, "widening")?;
    sample::roll_out(&cluster.kubectl("developer"), &namespace.name, "portal", 2)?;
    // Above the maximum: denied to people and to automation alike, so that any pass is a gap.
    let attempt = || {
        let scale = ["scale", "deployment/portal", "--replicas=50", "--dry-run=server"];
        let outcome = namespace.run("developer", &scale)?;
        if outcome.succeeded || !outcome.text().contains("SmartOps denies") {
            bail!("a write went unasked: {}", outcome.text());
        }
        Ok(outcome.text())
    };
    for (users, word) in [(["developer"].as_slice(), "smartops-automation"), (&[], "baseline")] {
        automation(&cluster, users)?;
        let quoted = "'developer'";
        let is_listed = !users.is_empty();
        eventually(SECONDS, "both registrations have followed", || {
            for _ in 0..3 {
                attempt()?;
            }
            let follows = |name: &str| {
                entries(&cluster, VALIDATING, name).to_string().contains(quoted) == is_listed
            };
            let done = follows("smartops-automation") && follows("smartops-people");
            Ok(Seen::when(done, format!("{users:?}")))
        })?;
        eventually(SECONDS, "the other policy speaks", || {
            let text = attempt()?;
            Ok(Seen::when(text.contains(word), text))
        })?;
    }
    let log = smartops_tests::process::log(cluster.dir(), "webhook");
    let log = std::fs::read_to_string(&log).context("the webhook has no log")?;
    ensure!(!log.contains("was changed by somebody else"), "a change of ours was taken for drift");
    cluster.stop()
}
