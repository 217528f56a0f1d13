//! The ways out, in the right order and in wrong ones: afterwards writes pass, and nothing waits for somebody who is gone.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use smartops_tests::places;
use smartops_tests::wait::{Seen, eventually};

use super::report;
use super::site::{self, SYSTEM, Site, TARGET};

const LIMIT: Duration = Duration::from_mins(1);

/// What belongs to the cluster as a whole and SmartOps makes.
const CLUSTER_WIDE: &str = "validatingwebhookconfigurations,mutatingwebhookconfigurations,\
                            validatingadmissionpolicies,validatingadmissionpolicybindings,\
                            clusterroles,clusterrolebindings";
/// What asks the webhook.
const REGISTRATIONS: &str = "validatingwebhookconfigurations,mutatingwebhookconfigurations";
/// What belongs to a namespace.
const IN_NAMESPACE: &str = "all,serviceaccounts,roles,rolebindings,poddisruptionbudgets,\
                            networkpolicies,configmaps,secrets,leases,jobs";

/// What stays in SmartOps' own namespace until that goes: the certificates and leases that the programs wrote, where a
/// release that comes again finds them, and the pod of `helm test`, which helm never deletes.
const OWN: [&str; 5] = [
    "Pod/smartops-self-test",
    "Lease/smartops-orchestrator",
    "Secret/smartops-orchestrator-certificate",
    "Lease/smartops-webhook",
    "Secret/smartops-webhook-certificate",
];

#[test]
#[ignore = "needs real nodes: cargo xtask test --node"]
fn uninstall_leaves_crds_and_namespaces_and_these_go_cleanly() -> Result<()> {
    site::with(|site| {
        site.ready()?;
        site.test()?;
        report::took("helm uninstall --wait", site.uninstall(&[])?)?;
        // At once: nobody is waited for.
        assert_eq!(site.try_replicas(99)?, "");
        gone_but_for(site, &OWN)?;
        no_finalizers(site)?;
        for namespace in [TARGET, SYSTEM] {
            delete_namespace(site, namespace)?;
        }
        let left = ours(site, "crd", None)?;
        assert!(left.iter().all(|name| name.ends_with("smartops.dev")), "{left:?}");
        assert!(!left.is_empty(), "the CRDs went, and with them what people wrote");
        Ok(())
    })
}

#[test]
#[ignore = "needs real nodes: cargo xtask test --node"]
fn uninstall_without_its_hook_locks_nobody_out() -> Result<()> {
    site::with(|site| {
        site.ready()?;
        let begun = Instant::now();
        report::took("helm uninstall --wait --no-hooks", site.uninstall(&["--no-hooks"])?)?;
        wait_open(site, "  writes pass after", begun)?;
        eventually(LIMIT, "no registration is left", || {
            let left = ours(site, REGISTRATIONS, None)?;
            Ok(Seen::when(left.is_empty(), format!("{left:?}")))
        })?;
        no_finalizers(site)?;
        delete_namespace(site, SYSTEM)?;
        // What binds the controller alone belongs to the namespace, and goes with it.
        eventually(LIMIT, "nothing is left in the cluster as a whole", || {
            let left = ours(site, CLUSTER_WIDE, None)?;
            Ok(Seen::when(left.is_empty(), format!("{left:?}")))
        })
    })
}

#[test]
#[ignore = "needs real nodes: cargo xtask test --node"]
fn a_namespace_deleted_first_takes_its_registrations_with_it() -> Result<()> {
    site::with(|site| {
        site.ready()?;
        let begun = Instant::now();
        delete_namespace(site, SYSTEM)?;
        report::took("kubectl delete namespace smartops-system", begun.elapsed())?;
        wait_open(site, "  writes pass after", begun)?;
        no_finalizers(site)?;
        // helm kept its record there, so what is left of the release is taken away by hand.
        for line in by_hand()? {
            site.admin().run(&line.split(' ').collect::<Vec<_>>())?.ok()?;
        }
        let left = ours(site, IN_NAMESPACE, Some(TARGET))?;
        assert_eq!(left, Vec::<String>::new());
        let left = ours(site, CLUSTER_WIDE, None)?;
        assert_eq!(left, Vec::<String>::new());
        Ok(())
    })
}

#[test]
#[ignore = "needs real nodes: cargo xtask test --node"]
fn a_release_of_images_nobody_has_stops_no_write_and_goes_without_its_hook() -> Result<()> {
    site::with(|site| {
        // Once with the right images, so that there is a namespace to write in, and the CRDs are there.
        site.ready()?;
        site.uninstall(&[])?;
        eventually(LIMIT, "the pods of the release before are gone", || {
            let pods = site.programs()?;
            Ok(Seen::when(pods.is_empty(), format!("{} are left", pods.len())))
        })?;
        site.install_in_vain(&["--set", "crds.upgrade=false"])?.ok()?;
        eventually(LIMIT, "both programs wait for their images", || {
            let pods = site.programs()?;
            let waiting = pods.iter().filter(|pod| {
                let pod = pod.to_string();
                pod.contains("ErrImagePull") || pod.contains("ImagePullBackOff")
            });
            Ok(Seen::when(waiting.count() == 4, format!("{pods:?}")))
        })?;
        let registered = ours(site, REGISTRATIONS, None)?;
        assert_eq!(registered.len(), 6, "three names, each of two kinds: {registered:?}");
        open_by_registrations(site)?;
        site.uninstall(&["--no-hooks"])?;
        open_by_registrations(site)?;
        no_finalizers(site)?;
        let left = ours(site, CLUSTER_WIDE, None)?;
        assert_eq!(left, Vec::<String>::new());
        Ok(())
    })
}

#[test]
#[ignore = "needs real nodes: cargo xtask test --node"]
fn an_install_whose_first_job_cannot_run_stops_before_there_is_anything_to_undo() -> Result<()> {
    site::with(|site| {
        site.ready()?;
        site.uninstall(&[])?;
        let said = site.install_in_vain(&[])?;
        assert!(!said.succeeded, "{}", said.text());
        assert_eq!(ours(site, "deployments", Some(SYSTEM))?, Vec::<String>::new());
        assert_eq!(ours(site, REGISTRATIONS, None)?, Vec::<String>::new());
        open_by_registrations(site)?;
        site.uninstall(&["--no-hooks"])?;
        // The Job that failed is helm's to show why, and goes with the namespace.
        delete_namespace(site, SYSTEM)
    })
}

/// Fails when a registration asks the webhook, or a write does not pass that policies forbid.
fn open_by_registrations(site: &Site) -> Result<()> {
    let list = site.admin().get(&[REGISTRATIONS])?;
    for registration in list["items"].as_array().into_iter().flatten() {
        let asks = registration["webhooks"].as_array().is_some_and(|webhooks| !webhooks.is_empty());
        assert!(!asks, "filled, and nobody serves: {registration}");
    }
    site.grant()?;
    assert_eq!(site.try_replicas(99)?, "");
    Ok(())
}

/// What docs/uninstall.md has people say to kubectl where the namespace went first.
fn by_hand() -> Result<Vec<String>> {
    let document = fs::read_to_string(places::root().join("docs/uninstall.md"))?;
    let (_, section) = document
        .split_once("### Where the namespace went first")
        .context("docs/uninstall.md does not tell what to do where the namespace went first")?;
    let block = section.split("```").nth(1).context("it shows no command")?;
    let lines: Vec<String> = block
        .lines()
        .filter_map(|line| line.strip_prefix("kubectl "))
        .map(|line| line.split('#').next().unwrap_or(line).trim().to_owned())
        .collect();
    ensure!(!lines.is_empty(), "it shows no kubectl command: {block}");
    Ok(lines)
}

/// Waits until a write passes that policies forbade, and tells how long that took.
fn wait_open(site: &Site, what: &str, begun: Instant) -> Result<()> {
    eventually(LIMIT, "writes pass again", || {
        let said = site.try_replicas(99)?;
        Ok(Seen::when(said.is_empty(), said))
    })?;
    report::took(what, begun.elapsed())
}

/// Objects of these kinds that are ours, as `Kind/name`.
fn ours(site: &Site, kinds: &str, namespace: Option<&str>) -> Result<Vec<String>> {
    let mut arguments = vec![kinds];
    if let Some(namespace) = namespace {
        arguments.extend(["-n", namespace]);
    }
    let list = site.admin().get(&arguments)?;
    let names = list["items"].as_array().into_iter().flatten().filter_map(|object| {
        let name = object["metadata"]["name"].as_str()?;
        let labels = &object["metadata"]["labels"];
        let is_ours = name.contains("smartops")
            || labels["app.kubernetes.io/part-of"] == "smartops"
            || labels["app.kubernetes.io/name"] == "smartops";
        // Names of different kinds are the same: what is kept is told with its kind.
        let kind = object["kind"].as_str().unwrap_or_default();
        is_ours.then(|| format!("{kind}/{name}"))
    });
    Ok(names.collect())
}

/// Waits until nothing of ours is left but CRDs, namespaces, and what is named here.
fn gone_but_for(site: &Site, kept: &[&str]) -> Result<()> {
    eventually(LIMIT, "nothing is left but CRDs and namespaces", || {
        let mut left = ours(site, CLUSTER_WIDE, None)?;
        left.extend(ours(site, IN_NAMESPACE, Some(TARGET))?);
        let own = ours(site, IN_NAMESPACE, Some(SYSTEM))?;
        left.extend(own.into_iter().filter(|name| !kept.contains(&name.as_str())));
        Ok(Seen::when(left.is_empty(), format!("{left:?}")))
    })
}

/// Fails when an object of our own kinds, or anything in our namespaces, has a finalizer.
fn no_finalizers(site: &Site) -> Result<()> {
    let kinds = site.admin().run(&["api-resources", "--api-group=smartops.dev", "-o", "name"])?;
    let kinds = kinds.ok()?.split_whitespace().collect::<Vec<_>>().join(",");
    for arguments in [[kinds.as_str(), "-A"], [IN_NAMESPACE, "-A"]] {
        let list = site.admin().get(&arguments)?;
        for object in list["items"].as_array().into_iter().flatten() {
            let finalizers: &Value = &object["metadata"]["finalizers"];
            if finalizers.to_string().contains("smartops") {
                bail!("a finalizer outlives its controller: {object}");
            }
        }
    }
    Ok(())
}

/// Deletes a namespace, which must be gone soon.
fn delete_namespace(site: &Site, name: &str) -> Result<()> {
    site.admin().run(&["delete", "namespace", name, "--timeout=60s"])?.ok().map(|_| ())
}
