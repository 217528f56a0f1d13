//! The chart before a real API server, which holds the namespace to the Pod Security level `restricted`.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use smartops_tests::chart::{self, NAMESPACE, RELEASE};
use smartops_tests::cluster::Cluster;
use smartops_tests::kubectl::Kubectl;
use smartops_tests::places;

use super::{file, helm, rendered, sets};
use crate::support::bare;

/// A registration.
const PEOPLE: &str = "validatingwebhookconfiguration/smartops-people";

/// A cluster with CRDs, namespaces and ServiceAccounts, so that a dry run finds what it refers to.
fn prepared(name: &str) -> Result<Cluster> {
    let cluster = bare(name)?;
    let admin = cluster.kubectl("admin");
    for folder in [chart::folder().join("crds"), places::root().join("tests/fixtures/crds")] {
        admin.run(&["apply", "--server-side", "-f", file(&folder)?])?.ok()?;
    }
    admin.run(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"])?.ok()?;
    let namespace = |name: &str, labels: Value| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
    let mut objects =
        vec![namespace(NAMESPACE, json!({"pod-security.kubernetes.io/enforce": "restricted"}))];
    objects.extend(["smartops-dev", "shop", "warehouse"].map(|name| namespace(name, json!({}))));
    admin.apply_all(&objects)?;
    let account = |name: &str| json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NAMESPACE}});
    let accounts = [
        "smartops-webhook",
        "smartops-orchestrator",
        "smartops-crds",
        "smartops-removal",
        "smartops-self-test",
    ];
    admin.apply_all(&accounts.map(account))?;
    Ok(cluster)
}

/// What the API server says to an object it is to try.
fn tried(kubectl: &Kubectl, objects: &[Value]) -> Result<smartops_tests::kubectl::Outcome> {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let arguments = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "--validate=strict",
        "-f",
        "-",
    ];
    kubectl.run_with(&arguments, Some(&list))
}

/// The pods that an object comes to.
fn pod(object: &Value) -> Option<Value> {
    let (metadata, spec) = match object["kind"].as_str()? {
        "Deployment" | "Job" => {
            let template = &object["spec"]["template"];
            (&template["metadata"], &template["spec"])
        }
        "Pod" => (&object["metadata"], &object["spec"]),
        _ => return None,
    };
    let name = format!("tried-{}", object["metadata"]["name"].as_str()?);
    Some(json!({
        "apiVersion": "v1", "kind": "Pod", "spec": spec,
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": metadata["labels"]},
    }))
}

#[test]
fn an_api_server_takes_every_object_and_every_pod_of_every_set_of_values() -> Result<()> {
    let cluster = prepared("chart")?;
    let admin = cluster.kubectl("admin");
    let (mut objects, mut pods) = (0, 0);
    for (name, path) in sets()? {
        let found = rendered(&["-f", file(&path)?])?;
        let outcome = tried(&admin, &found)?;
        ensure!(
            outcome.succeeded && !outcome.errors.contains("Warning"),
            "{name}: {}",
            outcome.text()
        );
        let made: Vec<Value> = found.iter().filter_map(pod).collect();
        let outcome = tried(&admin, &made)?;
        ensure!(
            outcome.succeeded && !outcome.errors.contains("Warning"),
            "{name}: {}",
            outcome.text()
        );
        (objects, pods) = (objects + found.len(), pods + made.len());
    }
    ensure!(objects > 400 && pods > 40, "{objects} objects, {pods} pods");
    // The twin: what asks for a little more is refused there.
    let found = rendered(&[])?;
    let mut pod = found.iter().find_map(pod).context("no pod")?;
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = true.into();
    let outcome = tried(&admin, &[pod])?;
    ensure!(outcome.errors.contains("violates PodSecurity \"restricted"), "{}", outcome.text());
    let mut unknown = found.iter().find(|o| o["kind"] == "Deployment").context("none")?.clone();
    unknown["spec"]["replica"] = 1.into();
    let outcome = tried(&admin, &[unknown])?;
    ensure!(!outcome.succeeded && outcome.errors.contains("replica"), "{}", outcome.text());
    cluster.stop()
}

#[test]
fn whoever_grants_the_rights_installs_them_into_a_new_cluster_and_the_chart_comes_after()
-> Result<()> {
    let cluster = bare("rights-first")?;
    let admin = cluster.kubectl("admin");
    let helm = helm()?.with_kubeconfig(admin.kubeconfig());
    let text = std::fs::read_to_string(places::root().join("docs/install.md"))?;
    let mut code = text.split('`').map(|code| code.split_whitespace().collect::<Vec<_>>());
    let command = code.find(|words| words.starts_with(&["helm", "install", "smartops-rbac"]));
    let command = command.context("the document has no such command")?;
    let (inner, whole) = ("charts/smartops/charts/orchestrator-rbac", chart::folder());
    ensure!(command.get(3) == Some(&inner), "{command:?}");
    let rights = smartops_tests::helm::Release { name: "smartops-rbac", namespace: NAMESPACE };
    ensure!(command.get(4..6) == Some(&["--namespace", NAMESPACE]), "{command:?}");
    helm.install(rights, &places::root().join(inner), command.get(6..).unwrap_or_default())?
        .ok()?;
    let rest = ["--wait", "--timeout=60s", "--no-hooks", "--set"];
    let values = "orchestrator-rbac.enabled=false,controller.defaultNamespace=smartops-dev";
    helm.install(RELEASE, &whole, &[&rest[..], &[values]].concat())?.ok()?;
    admin.run(&["-n", "smartops-dev", "get", "rolebinding", "smartops-orchestrator"])?.ok()?;
    cluster.stop()
}

#[test]
fn a_target_namespace_that_is_there_is_left_alone_and_none_is_deleted() -> Result<()> {
    let cluster = bare("release")?;
    let admin = cluster.kubectl("admin");
    admin.run(&["create", "namespace", "theirs"])?.ok()?;
    let helm = helm()?.with_kubeconfig(admin.kubeconfig());
    // The nodes are not real, so nobody runs the hooks' pods.
    let both = "orchestrator-rbac.targetNamespaces={theirs,made}";
    let install = ["--create-namespace", "--wait", "--timeout=60s", "--no-hooks", "--set", both];
    helm.install(RELEASE, &chart::folder(), &install)?.ok()?;
    let owner = |namespace: &str| {
        let found = admin.get(&["namespace", namespace])?;
        let owner = &found["metadata"]["annotations"]["meta.helm.sh/release-name"];
        Ok::<_, anyhow::Error>(owner.as_str().map(str::to_owned))
    };
    ensure!(owner("theirs")?.is_none() && owner("made")?.as_deref() == Some("smartops"));
    let uid = admin.get(&["namespace", "made"])?["metadata"]["uid"].clone();
    // An upgrade that names it no more takes the rights away and leaves the namespace.
    let one = [
        "--wait",
        "--timeout=60s",
        "--no-hooks",
        "--set",
        "orchestrator-rbac.targetNamespaces={theirs}",
    ];
    helm.upgrade(RELEASE, &chart::folder(), &one)?.ok()?;
    let role = admin.run(&["-n", "made", "get", "role", "smartops-orchestrator"])?;
    ensure!(!role.succeeded && role.errors.contains("NotFound"), "{}", role.text());
    let back = ["--wait", "--timeout=60s", "--no-hooks", "--set", both];
    helm.upgrade(RELEASE, &chart::folder(), &back)?.ok()?;
    admin.run(&["-n", "made", "get", "role", "smartops-orchestrator"])?.ok()?;
    helm.uninstall(RELEASE, &["--wait", "--timeout=60s", "--no-hooks"])?.ok()?;
    for namespace in ["theirs", "made"] {
        let found = admin.get(&["namespace", namespace])?;
        ensure!(found["status"]["phase"] == "Active", "{found}");
    }
    ensure!(admin.get(&["namespace", "made"])?["metadata"]["uid"] == uid);
    // What helm never deletes.
    let crds = admin.run(&["get", "crds", "-o", "name"])?.ok()?;
    ensure!(crds.lines().filter(|line| line.ends_with(".smartops.dev")).count() == 7, "{crds}");
    cluster.stop()
}

/// What the webhook's leader would make of a registration's name, in short.
fn fill(admin: &Kubectl) -> Result<()> {
    let filled = json!([{"op": "add", "path": "/webhooks", "value": [{
        "name": "a.example.org", "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "failurePolicy": "Ignore", "clientConfig": {"url": "https://127.0.0.1:1"}, "rules": [],
    }]}]);
    let patch = ["patch", PEOPLE, "--type=json", "-p", &filled.to_string()];
    admin.run(&patch)?.ok().map(|_| ())
}

fn is_filled(admin: &Kubectl) -> Result<bool> {
    Ok(admin.get(&[PEOPLE])?["webhooks"][0]["name"] == "a.example.org")
}

#[test]
fn an_upgrade_from_the_chart_before_and_a_rollback_leave_filled_registrations_filled() -> Result<()>
{
    let cluster = bare("upgrade")?;
    let admin = cluster.kubectl("admin");
    let helm = helm()?.with_kubeconfig(admin.kubeconfig());
    let before = places::root().join("tests/fixtures/charts/smartops-0.1.0.tgz");
    // The nodes are not real, so nobody runs the hooks' pods.
    let more = ["--wait", "--timeout=60s", "--no-hooks"];
    helm.install(RELEASE, &before, &[&more[..], &["--create-namespace"]].concat())?.ok()?;
    fill(&admin)?;
    helm.upgrade(RELEASE, &chart::folder(), &more)?.ok()?;
    ensure!(is_filled(&admin)?, "by the upgrade");
    helm.rollback(RELEASE, 1, &more)?.ok()?;
    ensure!(is_filled(&admin)?, "by the rollback");
    let history = helm.history(RELEASE)?;
    let charts: Vec<&str> =
        history.as_array().into_iter().flatten().filter_map(|r| r["chart"].as_str()).collect();
    ensure!(charts[0] == charts[2] && charts[0] != charts[1], "{charts:?}");
    cluster.stop()
}

#[test]
fn the_manifest_installs_without_helm_and_again_over_itself() -> Result<()> {
    let cluster = bare("manifest")?;
    let admin = cluster.kubectl("admin");
    let crds = places::root().join("manifests/crds");
    admin.run(&["apply", "--server-side", "-f", file(&crds)?])?.ok()?;
    admin.run(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"])?.ok()?;
    admin.run(&["create", "namespace", "smartops-dev"])?.ok()?;
    let install = chart::install_path();
    admin.run(&["apply", "--server-side", "-f", file(&install)?])?.ok()?;
    for deployment in ["smartops-webhook", "smartops-controller"] {
        let wait =
            ["-n", NAMESPACE, "rollout", "status", "deployment", deployment, "--timeout=60s"];
        admin.run(&wait)?.ok()?;
    }
    fill(&admin)?;
    admin.run(&["apply", "--server-side", "-f", file(&install)?])?.ok()?;
    ensure!(is_filled(&admin)?, "by applying it again");
    cluster.stop()
}
