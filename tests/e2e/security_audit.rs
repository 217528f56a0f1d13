//! Every command of docs/security_audit.md, run as it stands there on a new installation, prints what stands there. The
//! installation is the harness' own, so its bindings are held to those of the manifest that people install.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use smartops_tests::chart;

use crate::documents::{Shell, read, steps};
use crate::support::own;

#[test]
fn every_command_of_the_audit_prints_what_the_document_says() -> Result<()> {
    let cluster = own("audit")?;
    let steps = steps(&read("docs/security_audit.md")?);
    ensure!(steps.len() >= 15, "only {} commands were found", steps.len());
    Shell::new(&cluster).follow(&steps)?;
    cluster.stop()
}

/// The bindings of a manifest: kind, namespace, name, the name of the role, and to whom.
fn bindings(path: &str) -> Result<BTreeSet<[String; 5]>> {
    let objects = chart::objects(&read(path)?)?;
    let bindings = objects
        .iter()
        .filter(|o| ["RoleBinding", "ClusterRoleBinding"].iter().any(|kind| o["kind"] == *kind));
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    Ok(bindings
        .map(|o| {
            let metadata = &o["metadata"];
            [
                &o["kind"],
                &metadata["namespace"],
                &metadata["name"],
                &o["roleRef"]["name"],
                &o["subjects"][0]["name"],
            ]
            .map(text)
        })
        .collect())
}

#[test]
fn what_is_bound_where_the_audit_is_run_is_what_the_manifest_binds() -> Result<()> {
    let (here, installed) = (bindings("manifests/rbac.yaml")?, bindings("manifests/install.yaml")?);
    ensure!(installed.len() == 6, "{installed:?}");
    ensure!(here == installed, "here {here:?}, and installed {installed:?}");
    Ok(())
}
