//! Bringing the CustomResourceDefinitions up.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use smartops_tests::cluster::Cluster;
use smartops_tests::places;

use super::Hook;
use crate::support::bare;

/// The plurals of SmartOps' kinds, by the files that are shipped.
fn plurals() -> Result<BTreeSet<String>> {
    let folder = places::root().join("manifests/crds");
    let mut plurals = BTreeSet::new();
    for entry in std::fs::read_dir(&folder).context("no folder of CRDs")? {
        let path = entry?.path();
        plurals.insert(path.file_stem().context("no name")?.to_string_lossy().into_owned());
    }
    Ok(plurals)
}

/// A shipped CRD.
fn crd(cluster: &Cluster, plural: &str) -> Result<Value> {
    let path = places::root().join(format!("manifests/crds/{plural}.yaml")).display().to_string();
    let read = ["create", "--dry-run=client", "-o", "json", "-f", &path];
    let text = cluster.kubectl("admin").run(&read)?.ok()?;
    serde_json::from_str(&text).context("kubectl did not answer in JSON")
}

/// Creates an object as helm does, without saying what of it is whose.
fn create(cluster: &Cluster, object: &Value) -> Result<()> {
    let create = ["create", "--field-manager=helm", "-f", "-"];
    cluster.kubectl("admin").run_with(&create, Some(&object.to_string()))?.ok()?;
    Ok(())
}

/// The CRD as an older release may have had it: without the last column, without one field of its spec.
fn older(crd: &Value, field: &str) -> Result<Value> {
    let mut older = crd.clone();
    let version = &mut older["spec"]["versions"][0];
    version["additionalPrinterColumns"].as_array_mut().context("no columns")?.pop();
    let fields = &mut version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    fields.as_object_mut().context("no fields")?.remove(field).context("no such field")?;
    Ok(older)
}

fn stands(cluster: &Cluster, plural: &str) -> Result<Value> {
    let crd = cluster.kubectl("admin").get(&["crd", &format!("{plural}.smartops.dev")])?;
    Ok(crd["spec"]["versions"].clone())
}

/// Whether the versions of the exceptions' CRD know the field that an older one lacks.
fn has_ticket(versions: &Value) -> bool {
    versions[0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["ticket"]
        .is_object()
}

#[test]
fn an_older_kind_is_brought_up_a_missing_one_is_made_and_the_others_stay_as_they_are() -> Result<()>
{
    let cluster = bare("apply-crds")?;
    let hook = Hook::install(&cluster, "smartops-crds")?;
    let exceptions = crd(&cluster, "guardrailexceptions")?;
    let old = older(&exceptions, "ticket")?;
    create(&cluster, &old)?;
    create(&cluster, &crd(&cluster, "smartopsconfigs")?)?;
    let before = stands(&cluster, "guardrailexceptions")?;
    ensure!(!has_ticket(&before), "{before}");

    let told = hook.run(&cluster)?.ends(
        0,
        &[
            "guardrailexceptions.smartops.dev: upgraded",
            "remediations.smartops.dev: created",
            "all 7 are served",
        ],
    )?;
    ensure!(told.output.lines().count() == 8 && told.errors.is_empty(), "{}", told.text());
    let after = stands(&cluster, "guardrailexceptions")?;
    let (columns, wanted) = (
        &after[0]["additionalPrinterColumns"],
        &exceptions["spec"]["versions"][0]["additionalPrinterColumns"],
    );
    ensure!(columns == wanted && has_ticket(&after), "{after}");
    let names: BTreeSet<String> = plurals()?;
    for plural in &names {
        let count = cluster.kubectl("admin").run(&["get", plural, "-A"])?;
        ensure!(count.succeeded, "{plural} should be served: {}", count.text());
    }

    let told = hook.run(&cluster)?.ends(0, &["all 7 are served"])?;
    let unchanged = told.output.lines().filter(|line| line.ends_with(": unchanged")).count();
    ensure!(unchanged == names.len(), "{}", told.text());

    // Its rights end with SmartOps' kinds.
    let foreign = json!([{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]);
    create(
        &cluster,
        &json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "things.example.com"},
            "spec": {
                "group": "example.com", "scope": "Namespaced",
                "names": {"kind": "Thing", "plural": "things"},
                "versions": [{"name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object"}}}],
            },
        }),
    )?;
    let patch = ["patch", "crd/things.example.com", "--type=json", "-p", &foreign.to_string()];
    let refused = cluster.kubectl(hook.account).run(&patch)?;
    ensure!(!refused.succeeded && refused.errors.contains("forbidden"), "{}", refused.text());
    cluster.stop()
}

#[test]
fn a_version_that_is_served_is_never_taken_away_and_one_nobody_uses_is() -> Result<()> {
    let cluster = bare("keep-versions")?;
    let hook = Hook::install(&cluster, "smartops-crds")?;
    let mut newer = crd(&cluster, "remediations")?;
    let mut next = newer["spec"]["versions"][0].clone();
    next["name"] = json!("v1beta1");
    next["storage"] = json!(false);
    newer["spec"]["versions"].as_array_mut().context("no versions")?.push(next);
    create(&cluster, &newer)?;
    let old = older(&crd(&cluster, "guardrailexceptions")?, "ticket")?;
    create(&cluster, &old)?;

    hook.run(&cluster)?
        .ends(1, &["remediations.smartops.dev is served as v1beta1", "Upgrade to that release"])?;
    let others = stands(&cluster, "guardrailexceptions")?;
    ensure!(!has_ticket(&others), "where one is refused none is written");
    let versions = stands(&cluster, "remediations")?;
    ensure!(versions.as_array().is_some_and(|v| v.len() == 2), "{versions}");

    let withdraw = json!([{"op": "replace", "path": "/spec/versions/1/served", "value": false}]);
    let withdraw =
        ["patch", "crd/remediations.smartops.dev", "--type=json", "-p", &withdraw.to_string()];
    cluster.kubectl("admin").run(&withdraw)?.ok()?;
    hook.run(&cluster)?.ends(
        0,
        &[
            "remediations.smartops.dev: upgraded",
            "guardrailexceptions.smartops.dev: upgraded",
            "all 7 are served",
        ],
    )?;
    let versions = stands(&cluster, "remediations")?;
    ensure!(versions.as_array().is_some_and(|v| v.len() == 1), "{versions}");
    cluster.stop()
}
