//! The control plane itself: RBAC is on, nodes are ready, identities hold exactly what they should, and nothing is
//! left behind by a killed harness.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use smartops_tests::authority::Authority;
use smartops_tests::http::Client;
use smartops_tests::wait::{Seen, eventually};
use smartops_tests::{cluster, process, sample};

use crate::support::{Namespace, bare, folder, harness, shared};

const CONTROLLER: &str = "system:serviceaccount:smartops-system:smartops-orchestrator";

/// Asks the API server what the controller may do, as an auditor would.
fn may(namespace: &Namespace<'_>, verb: &str, resource: &str) -> Result<bool> {
    can_i(namespace, "admin", verb, resource, &[&format!("--as={CONTROLLER}")])
}

/// Asks as an actor; a subresource stands after a slash.
fn can_i(
    namespace: &Namespace<'_>,
    actor: &str,
    verb: &str,
    resource: &str,
    more: &[&str],
) -> Result<bool> {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let subresource = format!("--subresource={subresource}");
    let arguments = [&["auth", "can-i", verb, resource, &subresource], more].concat();
    let outcome = namespace.run(actor, &arguments)?;
    match outcome.output.trim() {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => bail!("kubectl auth can-i: {}", outcome.text()),
    }
}

#[test]
fn the_controller_may_do_what_the_contract_says_and_nothing_more() -> Result<()> {
    let namespace = Namespace::create(shared()?, "rights")?;
    let granted = [
        ("get", "deployments.apps"),
        ("list", "deployments.apps"),
        ("watch", "deployments.apps"),
        ("patch", "deployments.apps"),
        ("get", "deployments.apps/scale"),
        ("patch", "deployments.apps/scale"),
        ("get", "pods"),
        ("list", "pods"),
        ("list", "events"),
        ("watch", "events"),
        ("create", "events"),
        // Those that ended long ago are deleted, one by one.
        ("delete", "remediations.smartops.dev"),
    ];
    for (verb, resource) in granted {
        ensure!(may(&namespace, verb, resource)?, "{verb} {resource} should be granted");
    }
    let refused = [
        ("create", "deployments.apps"),
        ("update", "deployments.apps"),
        ("delete", "deployments.apps"),
        ("update", "deployments.apps/scale"),
        ("delete", "pods"),
        ("create", "pods"),
        ("create", "pods/exec"),
        ("create", "pods/eviction"),
        ("get", "configmaps"),
        ("get", "secrets"),
        ("patch", "statefulsets.apps"),
        ("patch", "cronjobs.batch"),
        ("patch", "nodes"),
        ("create", "rolebindings.rbac.authorization.k8s.io"),
        ("impersonate", "users"),
        ("create", "serviceaccounts/token"),
        ("patch", "guardrailpolicies.smartops.dev"),
        ("update", "smartopsconfigs.smartops.dev"),
        ("deletecollection", "remediations.smartops.dev"),
        ("update", "remediations.smartops.dev"),
        ("create", "remediationapprovals.smartops.dev"),
        ("patch", "horizontalpodautoscalers.autoscaling"),
    ];
    for (verb, resource) in refused {
        ensure!(!may(&namespace, verb, resource)?, "{verb} {resource} should be refused");
    }
    Ok(())
}

#[test]
fn the_controller_may_write_only_where_it_was_bound() -> Result<()> {
    let bound = Namespace::create(shared()?, "bound")?;
    let elsewhere = Namespace { cluster: bound.cluster, name: "kube-system".to_owned() };
    ensure!(may(&bound, "patch", "deployments.apps")?);
    ensure!(!may(&elsewhere, "patch", "deployments.apps")?);
    Ok(())
}

#[test]
fn the_agent_can_edit_but_become_nobody_else() -> Result<()> {
    let namespace = Namespace::create(shared()?, "agent")?;
    let can = |verb, resource| can_i(&namespace, "agent", verb, resource, &[]);
    ensure!(can("update", "deployments.apps")? && can("delete", "configmaps")?);
    ensure!(!can("impersonate", "serviceaccounts")? && !can("create", "serviceaccounts/token")?);
    Ok(())
}

#[test]
fn a_stranger_with_a_valid_token_may_do_nothing() -> Result<()> {
    let namespace = Namespace::create(shared()?, "stranger")?;
    let outcome = namespace.run("webhook", &["delete", "pod", "any"])?;
    ensure!(!outcome.succeeded && outcome.errors.contains("cannot"), "{}", outcome.text());
    Ok(())
}

#[test]
fn both_nodes_are_ready_and_pods_start_or_crash_as_their_label_says() -> Result<()> {
    let cluster = bare("nodes")?;
    let admin = cluster.kubectl("admin");
    let nodes = admin.run(&["get", "nodes", "--no-headers"])?.ok()?;
    ensure!(nodes.lines().filter(|line| line.contains(" Ready ")).count() == 2, "{nodes}");
    sample::roll_out(&admin, "default", "steady", 2)?;
    let mut crashing = sample::deployment("default", "crashing", 1);
    crashing["spec"]["template"]["metadata"]["labels"]["smartops.dev/crash-loop"] = "true".into();
    admin.apply_all(&[crashing])?;
    eventually(Duration::from_secs(30), "the pod is in a crash loop", || {
        let pods = admin.get(&["-n", "default", "pods", "-l", "app=crashing"])?;
        let status = &pods["items"][0]["status"];
        let reason = &status["containerStatuses"][0]["state"]["waiting"]["reason"];
        let crashing = status["phase"] == "Running" && reason == "CrashLoopBackOff";
        Ok(Seen::when(crashing, status.to_string()))
    })?;
    let writes = cluster.writes()?;
    let created = writes
        .iter()
        .any(|write| write.committed() && write.is_for("deployments", "default", "steady"));
    ensure!(created, "the audit log lacks the Deployment's creation: {writes:?}");
    cluster.stop()
}

#[test]
fn a_killed_harness_leaves_no_process_behind() -> Result<()> {
    let dir = folder("killed");
    let mut child = Command::new(harness()?)
        .args(["up", "--bare", "--foreground", "--dir"])
        .arg(&dir)
        .env_remove("SMARTOPS_KUBECONFIG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start smartops-cluster")?;
    let output = child.stdout.take().context("no output")?;
    let first = BufReader::new(output).lines().next().context("it ended without a word")??;
    ensure!(first.starts_with("export KUBECONFIG="), "{first}");
    let dir = dir.canonicalize()?;
    ensure!(process::running(&dir)?.len() == 5, "{:?}", process::running(&dir)?);
    child.kill()?;
    child.wait()?;
    eventually(Duration::from_mins(1), "every process has ended", || {
        let running = process::running(&dir)?;
        Ok(Seen::when(running.is_empty(), format!("{running:?}")))
    })
}

#[test]
fn down_ends_a_cluster_of_which_a_part_was_killed_or_frozen() -> Result<()> {
    let cluster = bare("broken")?;
    let dir = cluster.dir().to_path_buf();
    process::signal(&dir, "etcd", process::Signal::Kill)?;
    process::signal(&dir, "kube-scheduler", process::Signal::Stop)?;
    ensure!(cluster::down(&dir)?, "something should have run");
    ensure!(process::running(&dir)?.is_empty());
    ensure!(!cluster::down(&dir)?, "nothing should run any more");
    Ok(())
}

#[test]
fn scripts_get_every_path_and_address_in_one_object() -> Result<()> {
    let cluster = shared()?;
    let summary = cluster.state.summary()?.context("both programs should run")?;
    for actor in ["admin", "controller", "agent", "developer", "operator"] {
        let path = summary["kubeconfigs"][actor].as_str().context("no kubeconfig")?;
        let who = cluster.kubectl(actor).run(&["auth", "whoami", "-o", "json"])?.ok()?;
        let who: Value = serde_json::from_str(&who)?;
        ensure!(std::path::Path::new(path).is_file(), "{path}");
        let name = who["status"]["userInfo"]["username"].as_str().unwrap_or_default();
        let expected = match actor {
            "controller" => CONTROLLER,
            "agent" => "system:serviceaccount:smartops-dev:agent",
            other => other,
        };
        ensure!(name == expected, "{actor} is {name}");
    }
    for key in ["bin", "controllerUrl", "apiKey", "controllerMetricsUrl", "webhookMetricsUrl"] {
        ensure!(summary[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {summary}");
    }
    for key in ["controllerMetricsUrl", "webhookMetricsUrl"] {
        let url = summary[key].as_str().unwrap_or_default();
        let answer = Client::new(url).trusting(Authority::of(cluster)).get("")?;
        ensure!(answer.status == 200 && answer.text.contains("# TYPE"), "{url}: {}", answer.text);
    }
    ensure!(summary["pids"]["controller"].is_u64() && summary["pids"]["webhook"].is_u64());
    Ok(())
}
