//! Hooks: they are helm's to run when they are due, and nobody else is given them.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use smartops_tests::chart::{self, RELEASE};

use super::{find, helm, rendered, template};
use crate::support::bare;

fn hooks(objects: &[Value]) -> Vec<&str> {
    let is_hook = |object: &&Value| object["metadata"]["annotations"]["helm.sh/hook"].is_string();
    let runs = |object: &&Value| ["Job", "Pod"].iter().any(|kind| object["kind"] == *kind);
    let found = objects.iter().filter(is_hook).filter(runs);
    found.filter_map(|object| object["metadata"]["name"].as_str()).collect()
}

#[test]
fn what_is_rendered_without_a_cluster_and_applied_by_kubectl_runs_no_hook() -> Result<()> {
    let all = ["smartops-crds", "smartops-removal", "smartops-self-test"];
    let objects = chart::objects(&template(&[])?.ok()?)?;
    let of_hooks: Vec<&Value> = objects
        .iter()
        .filter(|object| !object["metadata"]["annotations"]["helm.sh/hook"].is_null())
        .collect();
    ensure!(of_hooks.is_empty(), "{of_hooks:?}");
    ensure!(find(&objects, "Deployment", "smartops-webhook").is_some());
    // The twins: where whatever renders is said to know hooks, and where helm has a cluster before it.
    let mut asked = hooks(&rendered(&[])?).into_iter().map(str::to_owned).collect::<Vec<_>>();
    asked.sort();
    ensure!(asked == all, "{asked:?}");
    let cluster = bare("hooks")?;
    let admin = cluster.kubectl("admin");
    let helm = helm()?.with_kubeconfig(admin.kubeconfig());
    let before = helm.template(RELEASE, &chart::folder(), &["--dry-run=server"])?.ok()?;
    let before = chart::objects(&before)?;
    let mut before = hooks(&before);
    before.sort_unstable();
    ensure!(before == all, "{before:?}");
    // What helm keeps of an install is what it uninstalls by.
    let install = ["--create-namespace", "--no-hooks"];
    helm.install(RELEASE, &chart::folder(), &install)?.ok()?;
    let kept = helm.text(&["get", "hooks", RELEASE.name, "--namespace", RELEASE.namespace])?;
    ensure!(hooks(&chart::objects(&kept)?).contains(&"smartops-removal"), "{kept}");
    cluster.stop()
}

/// Whether the Pod of `helm test` asks for a denial.
fn asks_for_a_denial(values: &str) -> Result<bool> {
    let objects = rendered(&["--set", values])?;
    let pod = find(&objects, "Pod", "smartops-self-test").context("no Pod")?;
    let arguments = pod["spec"]["containers"][0]["args"].as_array().context("no arguments")?;
    Ok(!arguments.iter().any(|argument| argument == "--without-policies"))
}

#[test]
fn a_denial_is_asked_for_where_the_policies_refuse_and_nowhere_else() -> Result<()> {
    let of_the_policy = |more: &str| format!("policies.overrides.smartops-baseline.{more}");
    for (values, asks) in [
        ("people.outage=Fail".to_owned(), true),
        ("policies.enabled=false".to_owned(), false),
        // As a policy is tried out.
        (of_the_policy("mode=Audit"), false),
        (of_the_policy("mode=Warn"), false),
        (of_the_policy("mode=Enforce"), true),
        ("policies.overrides.smartops-automation.mode=Audit".to_owned(), true),
        (of_the_policy("rules.replicas.max=98"), true),
        (of_the_policy("rules.replicas.max=99"), false),
        (of_the_policy("rules.replicas.onViolation=Clamp"), false),
        (of_the_policy("match.namespaces.exclude={shop}"), true),
        (of_the_policy("match.namespaces.exclude={smartops-dev}"), false),
        (of_the_policy("match.operations={UPDATE}"), false),
        ("config.spec.guarded.excludeNamespaces={shop}".to_owned(), true),
        ("config.spec.guarded.excludeNamespaces={smartops-dev}".to_owned(), false),
    ] {
        ensure!(asks_for_a_denial(&values)? == asks, "{values}");
    }
    Ok(())
}

#[test]
fn kinds_are_brought_up_to_date_before_an_install_too_by_an_account_that_is_there_first()
-> Result<()> {
    let objects = rendered(&[])?;
    for (kind, weight) in [
        ("ServiceAccount", "-10"),
        ("ClusterRole", "-10"),
        ("ClusterRoleBinding", "-10"),
        ("Job", "0"),
    ] {
        let found = find(&objects, kind, "smartops-crds").context(kind)?;
        let annotations = &found["metadata"]["annotations"];
        ensure!(annotations["helm.sh/hook"] == "pre-install,pre-upgrade", "{found}");
        ensure!(annotations["helm.sh/hook-weight"] == weight, "{found}");
    }
    Ok(())
}
