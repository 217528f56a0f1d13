//! What the webhook knows does not depend on its being there: a rollout from before its start still counts, and a CA
//! bundle that somebody takes out comes back.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use smartops_tests::http::Client;
use smartops_tests::metrics;
use smartops_tests::programs::Program;
use smartops_tests::sample;
use smartops_tests::wait::{Seen, eventually};

use crate::support::{Namespace, own};

/// Within seconds of somebody leading again: the Lease of a killed leader has to run out first.
const SECONDS: Duration = Duration::from_secs(30);

#[test]
fn a_restarted_webhook_still_knows_the_last_rollout_and_repairs_its_registrations() -> Result<()> {
    let cluster = own("memory")?;
    let namespace = Namespace::create(&cluster, "memory")?;
    for name in ["restarted", "untouched"] {
        sample::roll_out(&cluster.kubectl("admin"), &namespace.name, name, 1)?;
    }
    let restart = |name: &str, at: &str| {
        let annotations = json!({"kubectl.kubernetes.io/restartedAt": at});
        let patch = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
        namespace.run("agent", &["patch", &format!("deployment/{name}"), "-p", &patch.to_string()])
    };
    restart("restarted", "2026-01-01T00:00:01Z")?.ok()?;
    sample::wait_rolled_out(&cluster.kubectl("admin"), &namespace.name, "restarted")?;

    Program::Webhook.kill(&cluster)?;
    Program::Webhook.start(&cluster, &[])?;
    let again = restart("restarted", "2026-01-01T00:00:02Z")?;
    ensure!(!again.succeeded && again.text().contains("rule cooldown"), "{}", again.text());
    restart("untouched", "2026-01-01T00:00:02Z")?.ok()?;

    let text = Client::new(&Program::Webhook.health_url(&cluster)?).get("/metrics")?.text;
    let labels = [("rule", "cooldown"), ("decision", "deny"), ("audience", "automation")];
    let counted = metrics::sum(&text, "smartops_webhook_decisions_total", &labels);
    ensure!(counted.is_some_and(|n| n >= 1.0), "{text}");

    let admin = cluster.kubectl("admin");
    for (kind, name) in [
        ("validatingwebhookconfiguration", "smartops-people"),
        ("validatingwebhookconfiguration", "smartops-automation"),
    ] {
        let taken_out = json!([{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]);
        admin.run(&["patch", kind, name, "--type=json", "-p", &taken_out.to_string()])?.ok()?;
        eventually(SECONDS, &format!("the bundle of {name} is back"), || {
            let webhooks = admin.get(&[kind, name])?["webhooks"].clone();
            let webhooks: Vec<Value> = webhooks.as_array().cloned().unwrap_or_default();
            let filled = webhooks.iter().all(|w| w["clientConfig"]["caBundle"].is_string());
            Ok(Seen::when(filled && !webhooks.is_empty(), format!("{webhooks:?}")))
        })?;
    }
    cluster.stop()
}
