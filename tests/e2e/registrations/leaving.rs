//! Registrations come when somebody serves them, come back when they were deleted, and go with the webhook: with its
//! Deployment, with its namespace, in whatever order it is taken away.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use smartops_tests::audit::Write;
use smartops_tests::cluster::Cluster;
use smartops_tests::install;
use smartops_tests::kubectl::Outcome;
use smartops_tests::process;
use smartops_tests::programs::Program;
use smartops_tests::sample;
use smartops_tests::wait::{Seen, eventually};

use super::behind::{address, deployment, launch_by_service, service, slice};
use super::{OURS, REGISTRATIONS, SECONDS, VALIDATING, entries};
use crate::support::{Namespace, bare, own};

/// So long what was deleted stays away.
const PAUSE: Duration = Duration::from_secs(3);
/// A namespace ends, and the garbage collector with what it owned.
const ENDED: Duration = Duration::from_mins(1);
const JUDGED: &str = "validatingadmissionpolicies,validatingadmissionpolicybindings";

/// What stands of ours of these kinds.
fn ours(cluster: &Cluster, kinds: &str) -> Result<Vec<Value>> {
    let list = cluster.kubectl("admin").get(&[kinds, "-l", OURS])?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

/// The names of the registrations that ask about anything.
fn filled(cluster: &Cluster) -> Result<Vec<String>> {
    let asking = ours(cluster, REGISTRATIONS)?.into_iter().filter(|registration| {
        registration["webhooks"].as_array().is_some_and(|entries| !entries.is_empty())
    });
    Ok(asking.map(|registration| registration["metadata"]["name"].to_string()).collect())
}

/// A write beyond a limit, by a person.
fn beyond(namespace: &Namespace<'_>) -> Result<Outcome> {
    let object = sample::deployment(&namespace.name, "beyond", 50).to_string();
    namespace
        .kubectl("developer")
        .run_with(&["create", "--dry-run=server", "-f", "-"], Some(&object))
}

#[test]
fn nothing_is_asked_about_before_somebody_serves_it_and_every_entry_comes_with_its_authority()
-> Result<()> {
    let mut cluster = bare("filled")?;
    install::install_base(&mut cluster, &|_| {})?;
    let namespace = Namespace::create(&cluster, "filled")?;
    cluster.kubectl("admin").apply(&install::render(&cluster, "registrations")?)?;
    beyond(&namespace)?.ok().context("nobody serves, so nobody is asked")?;
    install::start_webhook(&cluster, &|_| {})?;
    let denied = beyond(&namespace)?;
    ensure!(denied.text().contains("SmartOps denies"), "{}", denied.text());

    // Each write of a registration, as the API server took it.
    let written: Vec<Write> = cluster
        .writes()?
        .into_iter()
        .filter(|write| write.resource.ends_with("webhookconfigurations") && write.committed())
        .filter(|write| write.user.ends_with(":smartops-webhook"))
        .collect();
    ensure!(written.len() >= 6, "{written:?}");
    for write in written {
        let body = write.body.context("no body in the audit log")?;
        for entry in body["webhooks"].as_array().into_iter().flatten() {
            let bundle = entry["clientConfig"]["caBundle"].as_str().unwrap_or_default();
            ensure!(!bundle.is_empty(), "{} was written without a CA: {entry}", write.name);
        }
    }
    cluster.stop()
}

#[test]
fn what_is_deleted_stays_away_for_a_while_and_comes_back_owned_by_the_namespace() -> Result<()> {
    let cluster = own("deleted")?;
    let admin = cluster.kubectl("admin");
    let uid = admin.get(&["namespace", "smartops-system"])?["metadata"]["uid"].clone();
    let is_owned = |object: &Value| object["metadata"]["ownerReferences"][0]["uid"] == uid;
    let check = || {
        let all = [ours(&cluster, REGISTRATIONS)?, ours(&cluster, JUDGED)?].concat();
        ensure!(all.len() == 8, "{all:?}");
        let orphans: Vec<&Value> = all.iter().filter(|object| !is_owned(object)).collect();
        ensure!(orphans.is_empty(), "not owned by the namespace: {orphans:?}");
        Ok(())
    };
    check()?;
    for kinds in [REGISTRATIONS, JUDGED] {
        let should = ours(&cluster, kinds)?.len();
        let began = Instant::now();
        admin.run(&["delete", kinds, "-l", OURS])?.ok()?;
        eventually(SECONDS, "what was deleted is back", || {
            let stands = ours(&cluster, kinds)?.len();
            Ok(Seen::when(stands == should, format!("{stands} of {should}")))
        })?;
        let away = began.elapsed();
        ensure!(away >= PAUSE, "{kinds} were away for {away:?} alone");
        let mut missing = Vec::new();
        eventually(SECONDS, "they say what they said", || {
            missing = install::unfilled(&admin.get(&[REGISTRATIONS])?);
            Ok(Seen::when(missing.is_empty(), format!("{missing:?}")))
        })?;
        check()?;
    }
    cluster.stop()
}

#[test]
fn with_its_namespace_everything_of_smartops_goes_and_people_write_on() -> Result<()> {
    let cluster = own("homeless")?;
    let admin = cluster.kubectl("admin");
    let namespace = Namespace::create(&cluster, "homeless")?;
    ensure!(!beyond(&namespace)?.succeeded, "it is denied while SmartOps is there");
    admin.run(&["delete", "namespace", "smartops-system", "--wait=false"])?.ok()?;
    eventually(SECONDS, "people's writes pass", || {
        let outcome = beyond(&namespace)?;
        Ok(Seen::when(outcome.succeeded, outcome.text()))
    })?;
    ensure!(filled(&cluster)?.is_empty(), "emptied before anything ends");
    eventually(ENDED, "the namespace has ended, and what it owned", || {
        let left = [ours(&cluster, REGISTRATIONS)?, ours(&cluster, JUDGED)?].concat();
        let home =
            admin.run(&["get", "namespace", "smartops-system", "--ignore-not-found"])?.ok()?;
        let names: Vec<&Value> = left.iter().map(|object| &object["metadata"]["name"]).collect();
        Ok(Seen::when(left.is_empty() && home.trim().is_empty(), format!("{names:?} {home}")))
    })?;
    beyond(&namespace)?.ok()?;
    cluster.stop()
}

#[test]
fn behind_its_service_nothing_is_filled_before_it_is_reached_nor_left_when_the_deployment_goes()
-> Result<()> {
    let mut cluster = bare("service")?;
    install::install_base(&mut cluster, &|_| {})?;
    let admin = cluster.kubectl("admin");
    admin.apply(&install::render(&cluster, "registrations")?)?;
    let Some(address) = address(1)? else { return Ok(()) };
    admin.apply_all(&[deployment(), service(&address), slice(false)])?;
    launch_by_service(&cluster, &address)?;
    let log = || std::fs::read_to_string(process::log(cluster.dir(), "webhook"));
    eventually(SECONDS, "the leader waits until it is reached", || {
        let text = log().unwrap_or_default();
        Ok(Seen::when(text.contains("nobody is reached behind the Service yet"), text))
    })?;
    let standing = entries(&cluster, VALIDATING, "smartops-own");
    ensure!(
        standing[0]["name"] == "reach.smartops.dev",
        "ready, and asked about nothing: {standing}"
    );
    ensure!(filled(&cluster)?.len() == 1, "{:?}", filled(&cluster)?);
    admin.apply_all(&[slice(true)])?;
    all_filled(&cluster)?;
    let service = entries(&cluster, VALIDATING, "smartops-people")[0]["clientConfig"].clone();
    ensure!(service["service"]["name"] == "smartops-webhook", "{service}");

    // While the Deployment stands, what is deleted comes back; with it everything is emptied, and nothing comes back.
    admin.run(&["delete", VALIDATING, "smartops-people"])?.ok()?;
    all_filled(&cluster)?;
    admin.run(&["-n", "smartops-system", "delete", "deployment", "smartops-webhook"])?.ok()?;
    eventually(SECONDS, "everything is emptied", || {
        let (asking, judging) = (filled(&cluster)?, ours(&cluster, JUDGED)?);
        Ok(Seen::when(asking.is_empty() && judging.is_empty(), format!("{asking:?} {judging:?}")))
    })?;
    admin.run(&["delete", REGISTRATIONS, "-l", OURS])?.ok()?;
    away(&cluster)?;
    // Its twin: it is installed again, and fills what is there by name.
    admin.apply_all(&[deployment()])?;
    admin.apply(&install::render(&cluster, "registrations")?)?;
    all_filled(&cluster)?;
    cluster.stop()
}

pub(super) fn all_filled(cluster: &Cluster) -> Result<()> {
    eventually(SECONDS, "everything is filled", || {
        let missing = install::unfilled(&cluster.kubectl("admin").get(&[REGISTRATIONS])?);
        Ok(Seen::when(missing.is_empty(), format!("{missing:?}")))
    })
}

/// That for longer than what was deleted stays away nothing asks about anything.
fn away(cluster: &Cluster) -> Result<()> {
    let began = Instant::now();
    eventually(SECONDS, "longer than anything stays away", || {
        let asking = filled(cluster)?;
        ensure!(asking.is_empty(), "somebody asks again: {asking:?}");
        Ok(Seen::when(began.elapsed() > PAUSE * 2, ""))
    })
}

#[test]
fn in_whatever_order_smartops_is_deleted_no_registration_is_left_that_asks() -> Result<()> {
    let mut cluster = bare("orders")?;
    install::install_base(&mut cluster, &|_| {})?;
    let admin = cluster.kubectl("admin");
    let registrations = install::render(&cluster, "registrations")?;
    let Some(address) = address(2)? else { return Ok(()) };
    admin.apply_all(&[service(&address), slice(true)])?;
    let steps: [(&str, &[&str]); 3] = [
        ("registrations", &["delete", REGISTRATIONS, "-l", OURS]),
        ("rights", &["delete", "clusterrolebindings", "-l", OURS]),
        ("Deployment", &["-n", "smartops-system", "delete", "deployment", "smartops-webhook"]),
    ];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        admin.apply(&install::render(&cluster, "base")?)?;
        admin.apply(&registrations)?;
        admin.apply_all(&[deployment()])?;
        launch_by_service(&cluster, &address)?;
        all_filled(&cluster)?;
        for index in order {
            let (_, arguments) = steps[index];
            admin.run(arguments)?.ok()?;
        }
        let names = order.map(|index| steps[index].0);
        away(&cluster).with_context(|| format!("deleted in the order {names:?}"))?;
        Program::Webhook.kill(&cluster)?;
    }
    cluster.stop()
}
