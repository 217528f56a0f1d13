//! What of the chart is generated: CRDs, the rules of its roles, its hooks' among them, the shipped policies; and, from its values and their
//! comments, the values' schema and reference. Its templates put names, labels and switches around them, and are written
//! by hand under `charts/`.

mod reference;
mod schema;
mod values;

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::grants::{Account, Scope};
use crate::output::{File, file, stream, yaml};
use crate::{rbac, render, roles};

/// The chart, below the repository's root.
pub const CHART: &str = "charts/smartops";
/// The chart inside it that holds the controller's rights.
pub const RIGHTS: &str = "charts/smartops/charts/orchestrator-rbac";

/// The generated files of the chart and of the chart inside it.
pub fn files() -> Result<Vec<File>> {
    let mut files = Vec::new();
    for crd in render::crds()? {
        let plural = crd.pointer("/spec/names/plural").and_then(Value::as_str);
        let plural = plural.context("a CRD has no plural name")?;
        files.push(file(&format!("{CHART}/crds/{plural}.yaml"), &stream([&crd])?));
    }
    for policy in render::policies()? {
        files.push(of_policy(&policy)?);
    }
    let mut folders = vec![
        (Account::Controller, format!("{RIGHTS}/files/rules")),
        (Account::Webhook, format!("{CHART}/files/rules")),
    ];
    for hook in Account::HOOKS {
        folders.push((hook, format!("{CHART}/files/hooks/{}", hook.service_account())));
    }
    for (account, folder) in folders {
        for (scope, name) in [
            (Scope::Cluster, "cluster"),
            (Scope::SystemNamespace, "system-namespace"),
            (Scope::TargetNamespaces, "target-namespaces"),
            (Scope::DefaultTargetNamespace, "default-target-namespace"),
        ] {
            let rules = rbac::rules(account, scope);
            if !rules.is_empty() {
                files.push(file(&format!("{folder}/{name}.yaml"), &yaml(&rules)?));
            }
        }
    }
    for role in rbac::optional_roles() {
        let name = role.metadata.name.context("a role has no name")?;
        files.push(file(&format!("{RIGHTS}/files/capabilities/{name}.yaml"), &yaml(&role.rules)?));
    }
    for role in roles::for_people() {
        let name = role.metadata.name.context("a role has no name")?;
        files.push(file(&format!("{CHART}/files/roles/{name}.yaml"), &yaml(&role.rules)?));
    }
    Ok(files)
}

/// What is made of the values below `root`: the schemas of both charts, and the page about them.
pub fn of_values(root: &Path) -> Result<[File; 3]> {
    let read = |chart: &str| {
        let path = root.join(chart).join("values.yaml");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        values::read(&text).with_context(|| path.display().to_string())
    };
    let (own, rights) = (read(CHART)?, read(RIGHTS)?);
    let json = |chart: &str, schema: &Value| {
        let path = format!("{chart}/values.schema.json").into();
        Ok::<_, anyhow::Error>(File { path, text: format!("{schema:#}\n") })
    };
    let inside: [(&str, &[_]); 1] = [("orchestrator-rbac", &rights)];
    Ok([
        json(CHART, &schema::of(&own, &inside)?)?,
        json(RIGHTS, &schema::of(&rights, &[])?)?,
        File {
            path: "docs/values.md".into(),
            text: reference::page(&[("", &own), ("orchestrator-rbac.", &rights)]),
        },
    ])
}

/// A policy's spec, in a folder named by its kind.
fn of_policy(policy: &Value) -> Result<File> {
    let kind = policy["kind"].as_str().context("a policy has no kind")?;
    let name = policy["metadata"]["name"].as_str().context("a policy has no name")?;
    Ok(file(&format!("{CHART}/files/policies/{kind}/{name}.yaml"), &yaml(&policy["spec"])?))
}
