//! A leader that was frozen between being certain that it leads and the write it was about to send.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use smartops_tests::process::{self, Signal};
use smartops_tests::programs::Program;
use smartops_tests::wait::{Seen, eventually};

use super::{SECONDS, VALIDATING, entries};
use crate::support::own;

#[test]
fn what_a_frozen_leader_sends_late_is_refused_and_it_looks_again() -> Result<()> {
    let cluster = own("late")?;
    let admin = cluster.kubectl("admin");
    let name = "smartops-automation";
    let patch =
        |patch: &str| admin.run(&["patch", VALIDATING, name, "--type=json", "-p", patch])?.ok();
    let should = entries(&cluster, VALIDATING, name);
    Program::Webhook.terminate(&cluster, SECONDS)?;
    Program::Webhook.start(&cluster, &["--failpoint=registration-before-sent=stop"])?;
    patch(&json!([{"op": "remove", "path": "/webhooks/0/rules"}]).to_string())?;
    process::wait_frozen(cluster.dir(), Program::Webhook.name(), SECONDS)?;

    // As the next leader would, while this one stands still.
    let bundle = should[0]["clientConfig"]["caBundle"].clone();
    ensure!(bundle.as_str().is_some_and(|bundle| !bundle.is_empty()), "{should}");
    let next = json!([{"op": "add", "path": "/metadata/annotations", "value": {"next": "wrote"}}]);
    patch(&next.to_string())?;
    process::signal(cluster.dir(), Program::Webhook.name(), Signal::Continue)?;
    eventually(SECONDS, "it says what it should", || {
        let stands = entries(&cluster, VALIDATING, name);
        Ok(Seen::when(stands == should, stands.to_string()))
    })?;
    let stands = admin.get(&[VALIDATING, name])?;
    ensure!(stands["metadata"]["annotations"]["next"] == "wrote", "{}", stands["metadata"]);
    let writes = cluster.writes()?;
    let mine = writes.iter().filter(|w| w.user.ends_with(":smartops-webhook") && w.name == name);
    let codes: Vec<u16> = mine.clone().map(|write| write.code).collect();
    let late =
        mine.clone().find(|write| write.code == 409).with_context(|| format!("{codes:?}"))?;
    ensure!(late.precondition().is_some(), "{late:?}");
    ensure!(codes.last() == Some(&200), "{codes:?}");
    cluster.stop()
}
