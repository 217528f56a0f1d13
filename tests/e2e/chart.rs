//! The chart: rendered by helm for twelve sets of values and looked at by a real API server. That it runs is shown on
//! real nodes (`node`).

mod alerts;
mod cluster;
mod flags;
mod hooks;
mod network;
mod providers;
mod rights;
mod values;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use smartops_tests::chart::{self, RELEASE};
use smartops_tests::components::Helm;
use smartops_tests::helm::Runner;
use smartops_tests::kubectl::Outcome;
use smartops_tests::places;

use crate::support::folder;

/// Helm without a cluster.
fn helm() -> Result<Runner> {
    Ok(Runner::new(&Helm::ensure(&|_| {})?, &folder("helm")))
}

/// The sets of values: their files by their names.
fn sets() -> Result<BTreeMap<String, PathBuf>> {
    let folder = places::root().join("tests/fixtures/values");
    let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let mut sets = BTreeMap::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_stem().context("a set of values has no name")?;
        sets.insert(name.to_string_lossy().into_owned(), path);
    }
    ensure!(sets.len() == 12, "{sets:?}");
    Ok(sets)
}

/// What helm makes of the chart.
fn template(more: &[&str]) -> Result<Outcome> {
    helm()?.template(RELEASE, &chart::folder(), more)
}

/// The objects it comes to, those of hooks among them.
fn rendered(more: &[&str]) -> Result<Vec<Value>> {
    chart::objects(&template(&[&["--set", "hooks.render=always"], more].concat())?.ok()?)
}

fn file(path: &std::path::Path) -> Result<&str> {
    path.to_str().context("a path is no text")
}

/// The one object of this kind and name.
fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> Option<&'a Value> {
    objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
}

#[test]
fn helm_finds_nothing_to_complain_of_in_any_set_of_values() -> Result<()> {
    let helm = helm()?;
    for (name, path) in sets()? {
        let values = ["--namespace", chart::NAMESPACE, "-f", file(&path)?];
        let outcome = helm.lint(&chart::folder(), &values)?;
        ensure!(outcome.succeeded, "{name}: {}", outcome.text());
    }
    Ok(())
}

#[test]
fn the_manifest_for_people_without_helm_is_what_helm_renders() -> Result<()> {
    let text = chart::install_text(&Helm::ensure(&|_| {})?, &folder("helm"))?;
    let found = fs::read_to_string(chart::install_path())?;
    ensure!(found == text, "manifests/install.yaml is stale; run `cargo xtask codegen`");
    let objects = chart::objects(&found)?;
    // The namespace comes before what lies in it, and nothing is registered that nobody serves. There is no other, so that
    // a deletion of what the file names deletes nobody's workloads.
    let namespaces = objects.iter().enumerate().filter(|(_, object)| object["kind"] == "Namespace");
    let namespaces: Vec<_> = namespaces.map(|(at, o)| (at, &o["metadata"]["name"])).collect();
    ensure!(namespaces == [(0, &serde_json::json!(chart::NAMESPACE))], "{namespaces:?}");
    ensure!(objects.iter().any(|object| object["metadata"]["namespace"] == "smartops-dev"));
    let registrations: Vec<&Value> = objects
        .iter()
        .filter(|object| object["kind"].as_str().is_some_and(|kind| kind.contains("Webhook")))
        .collect();
    ensure!(registrations.len() == 6, "{registrations:?}");
    for registration in registrations {
        ensure!(registration["webhooks"] == serde_json::json!([]), "{registration}");
    }
    ensure!(objects.iter().all(|o| o["metadata"]["annotations"]["helm.sh/hook"].is_null()));
    Ok(())
}

#[test]
fn what_cannot_work_is_refused_with_what_can() -> Result<()> {
    let secret = "certificates.source=secret";
    for (values, told) in [
        ("stopping.drainSeconds=25", "must be less than stopping.graceSeconds"),
        ("stopping.terminationSeconds=27", "must be at least stopping.preStopSeconds"),
        ("stopping.preStopSeconds=0,stopping.drainSeconds=3", "must be at least 4"),
        ("webhook.port=8081", "where probes and metrics are"),
        (secret, "name it by certificates.secretName"),
        ("certificates.secretName=a", "is for certificates.source: secret"),
        ("certificates.lifetime=59s", "must be at least 60s"),
        ("certificates.caLifetime=179d", "must be at least twice certificates.lifetime"),
        (
            "monitoring.prometheusRule.certificateExpirySeconds=2592000",
            "must be less than a third of certificates.lifetime 90d",
        ),
        (
            "certificates.lifetime=24h,monitoring.prometheusRule.certificateExpirySeconds=1209600",
            "must be less than a third of certificates.lifetime 24h",
        ),
        ("controller.tls.source=secret", "name it by controller.tls.secretName"),
        ("controller.tls.secretName=a", "is for controller.tls.source: secret"),
        ("orchestrator-rbac.targetNamespaces=null", "name a namespace"),
        ("orchestrator-rbac.targetNamespaces={smartops-system}", "never remedies itself"),
        ("orchestrator-rbac.capabilities.podEviction={a}", "not among"),
        (
            "monitoring.serviceMonitor.enabled=true,monitoring.podMonitor.enabled=true",
            "scraped twice",
        ),
    ] {
        let outcome = template(&["--set", values])?;
        ensure!(
            !outcome.succeeded && outcome.errors.contains(told),
            "{values}: {}",
            outcome.errors
        );
    }
    // Their nearest twins.
    for values in [
        "stopping.drainSeconds=24",
        "stopping.terminationSeconds=28",
        "stopping.preStopSeconds=0,stopping.drainSeconds=4",
        "stopping.preStopSeconds=3,stopping.drainSeconds=1",
        "webhook.port=8082",
        "certificates.source=secret,certificates.secretName=a",
        "certificates.lifetime=60s,certificates.caLifetime=2m",
        "certificates.caLifetime=180d",
        "monitoring.prometheusRule.certificateExpirySeconds=2591999",
        // Nobody knows how long these are good for.
        "certificates.source=secret,certificates.secretName=a,controller.tls.source=off,\
         monitoring.prometheusRule.certificateExpirySeconds=2592000",
        "controller.tls.source=secret,controller.tls.secretName=a",
        "orchestrator-rbac.targetNamespaces={a},orchestrator-rbac.capabilities.podEviction={a}",
        "monitoring.serviceMonitor.enabled=true",
    ] {
        template(&["--set", values])?.ok().context(values)?;
    }
    let elsewhere = smartops_tests::helm::Release { name: "smartops", namespace: "elsewhere" };
    let outcome = helm()?.template(elsewhere, &chart::folder(), &[])?;
    ensure!(outcome.errors.contains("--namespace smartops-system"), "{}", outcome.errors);
    Ok(())
}

#[test]
fn images_are_named_by_registry_tag_and_digest() -> Result<()> {
    let digest = format!("sha256:{}", "c".repeat(64));
    for (values, image) in [
        ("webhook.image.tag=", "smartops-webhook:0.1.0".to_owned()),
        ("image.registry=localhost", "localhost/smartops-webhook:0.1.0".to_owned()),
        ("webhook.image.tag=7", "smartops-webhook:7".to_owned()),
        (&format!("webhook.image.digest={digest}"), format!("smartops-webhook@{digest}")),
    ] {
        let objects = rendered(&["--set-string", values])?;
        let webhook = find(&objects, "Deployment", "smartops-webhook").context("no webhook")?;
        let containers = &webhook["spec"]["template"]["spec"]["containers"];
        ensure!(containers[0]["image"] == image.as_str(), "{values}: {containers}");
        // What runs before an upgrade and an uninstall is the same image.
        let job = find(&objects, "Job", "smartops-removal").context("no Job")?;
        let containers = &job["spec"]["template"]["spec"]["containers"];
        ensure!(containers[0]["image"] == image.as_str(), "{values}: {containers}");
    }
    Ok(())
}
