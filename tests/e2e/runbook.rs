//! The runbook: its five lines at the top, run as they stand there while everything is denied, and every other command it
//! shows the output of. And the way to take SmartOps away by hand.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use smartops_tests::cluster::Cluster;
use smartops_tests::components::Helm;
use smartops_tests::helm::Runner;
use smartops_tests::programs::Program;
use smartops_tests::wait::{Seen, eventually};
use smartops_tests::{chart, process, sample};

use crate::documents::{Shell, deployments, read, steps};
use crate::support::{bare, own};

const RUNBOOK: &str = "docs/runbooks/orchestrator_runbook.md";
/// What people without helm install with.
const INSTALLED: &str = "manifests/install.yaml";
const A_WHILE: Duration = Duration::from_mins(1);

/// The commands of each of the five lines.
fn five_lines(text: &str) -> Result<Vec<Vec<String>>> {
    let mut lines = Vec::new();
    for number in 1..=5 {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{number}. ")));
        let line = line.with_context(|| format!("there is no line {number}"))?;
        let code = line.split('`').skip(1).step_by(2);
        let commands = code.filter(|code| code.starts_with("kubectl ")).map(str::to_owned);
        lines.push(commands.collect());
    }
    Ok(lines)
}

#[test]
fn the_five_lines_lead_out_of_a_dead_webhook_and_back_again() -> Result<()> {
    let cluster = own("runbook")?;
    let shell = Shell::new(&cluster);
    let text = read(RUNBOOK)?;
    let lines = five_lines(&text)?;
    let counts: Vec<usize> = lines.iter().map(Vec::len).collect();
    ensure!(counts == [1, 1, 1, 1, 2], "{lines:?}");
    let title = text.lines().position(|line| line.starts_with("## Everything is denied"));
    let first = text.lines().position(|line| line.starts_with("1. "));
    ensure!(title == Some(2) && first == Some(4), "they must be at the top");
    // Here the programs are no pods; what is restarted are Deployments by the names that an installation has.
    let admin = cluster.kubectl("admin");
    for name in deployments()? {
        admin.apply_all(&[sample::deployment("smartops-system", &name, 0)])?;
    }
    let who = &lines[0][0];
    ensure!(shell.run(who)?.contains("created (server dry run)"), "{}", shell.run(who)?);
    let by_rule = who.replace("--replicas=2", "--replicas=99");
    ensure!(shell.run(&by_rule)?.contains("SmartOps denies"), "{}", shell.run(&by_rule)?);

    Program::Webhook.kill(&cluster)?;
    ensure!(shell.run(who)?.contains("failed calling webhook"), "{}", shell.run(who)?);
    let restarted = shell.run(&lines[1][0])?;
    ensure!(restarted.contains("deployment.apps/smartops-webhook restarted"), "{restarted}");
    let deleted = shell.run(&lines[2][0])?;
    for (kind, name) in [
        ("clusterrolebinding", "smartops-webhook-cluster"),
        ("validatingwebhookconfiguration", "smartops-people"),
        ("validatingadmissionpolicybinding", "smartops-own-objects"),
    ] {
        let is_told = deleted.lines().any(|line| {
            line.starts_with(kind)
                && line.contains(&format!("\"{name}\""))
                && line.ends_with("deleted")
        });
        ensure!(is_told, "{kind} {name}: {deleted}");
    }
    let left = shell.run(&lines[3][0])?;
    ensure!(left.trim() == "No resources found", "{left}");
    ensure!(shell.run(who)?.contains("created (server dry run)"), "{}", shell.run(who)?);
    ensure!(shell.run(&by_rule)?.contains("created (server dry run)"), "nothing judges any more");

    // What this cluster was installed with.
    let again =
        lines[4][0].replace(INSTALLED, "manifests/rbac.yaml -f manifests/registrations.yaml");
    ensure!(again != lines[4][0], "{again}");
    let back = shell.run(&again)?;
    ensure!(back.contains("clusterrolebinding") && !back.contains("rror"), "{back}");
    // kubectl restarts nothing twice in a second, and a person is not that fast.
    eventually(A_WHILE, "both programs are restarted", || {
        let restarted = shell.run(&lines[4][1])?;
        Ok(Seen::when(restarted.matches(" restarted").count() == 2, restarted))
    })?;
    Program::Webhook.start(&cluster, &[])?;
    eventually(A_WHILE, "the policies hold again", || {
        let refused = shell.run(&by_rule)?;
        Ok(Seen::when(refused.contains("SmartOps denies"), refused))
    })?;
    ensure!(shell.run(who)?.contains("created (server dry run)"), "{}", shell.run(who)?);
    cluster.stop()
}

/// Of what SmartOps installs, the kinds that outlive its namespace.
const KINDS: &str = "roles,rolebindings,clusterroles,clusterrolebindings,validatingwebhookconfigurations,\
                     mutatingwebhookconfigurations,validatingadmissionpolicies,validatingadmissionpolicybindings,\
                     smartopsconfigs,guardrailpolicies,remediationpolicies";

/// Every role, with its labels and rules.
fn roles(cluster: &Cluster) -> Result<Vec<[Value; 3]>> {
    let ours = ["-A", "-l", "app.kubernetes.io/part-of=smartops", "roles,clusterroles"];
    let list = cluster.kubectl("admin").get(&ours)?;
    let roles = list["items"].as_array().into_iter().flatten();
    Ok(roles
        .map(|role| {
            [&role["metadata"]["name"], &role["metadata"]["labels"], &role["rules"]]
                .map(Value::clone)
        })
        .collect())
}

/// What the third line takes away and the fifth brings back, as kind/name.
fn judging(cluster: &Cluster) -> Result<BTreeSet<String>> {
    let kinds = "clusterrolebindings,validatingwebhookconfigurations,mutatingwebhookconfigurations";
    let ours = ["-l", "app.kubernetes.io/part-of=smartops", kinds];
    let list = cluster.kubectl("admin").get(&ours)?;
    let objects = list["items"].as_array().into_iter().flatten();
    Ok(objects.map(|o| format!("{}/{}", o["kind"], o["metadata"]["name"])).collect())
}

#[test]
fn helm_makes_again_what_the_third_line_took() -> Result<()> {
    let cluster = bare("helm-back")?;
    let helm = Runner::new(&Helm::ensure(&|_| {})?, &cluster.dir().join("helm"))
        .with_kubeconfig(&cluster.state.kubeconfig("admin"));
    // Nobody runs the pods of hooks here.
    let install = ["--create-namespace", "--no-hooks"];
    helm.install(chart::RELEASE, &chart::folder(), &install)?.ok()?;
    let before = judging(&cluster)?;
    ensure!(before.len() == 8, "six registrations, two bindings: {before:?}");
    let lines = five_lines(&read(RUNBOOK)?)?;
    let deleted = Shell::new(&cluster).run(&lines[2][0])?;
    ensure!(judging(&cluster)?.is_empty(), "{deleted}");
    let again = ["--reset-then-reuse-values", "--no-hooks"];
    helm.upgrade(chart::RELEASE, &chart::folder(), &again)?.ok()?;
    let after = judging(&cluster)?;
    ensure!(after == before, "{after:?}");
    cluster.stop()
}

#[test]
fn the_manifest_makes_again_what_the_third_line_took_and_changes_nothing_else() -> Result<()> {
    let cluster = bare("manifest-back")?;
    let shell = Shell::new(&cluster);
    for command in [
        "kubectl create namespace smartops-dev",
        "kubectl apply --server-side -f manifests/crds",
        "kubectl wait --for=condition=Established --timeout=60s -f manifests/crds",
        "kubectl apply --server-side -f manifests/install.yaml",
    ] {
        ensure!(read("docs/install.md")?.lines().any(|line| line == command), "{command}");
        ensure!(read("README.md")?.lines().any(|line| line == command), "{command}");
        let told = shell.run(command)?;
        ensure!(!told.contains("rror"), "{command}: {told}");
    }
    let before = (judging(&cluster)?, roles(&cluster)?);
    ensure!(before.0.len() == 8, "six registrations, two bindings: {before:?}");
    let lines = five_lines(&read(RUNBOOK)?)?;
    let deleted = shell.run(&lines[2][0])?;
    ensure!(judging(&cluster)?.is_empty(), "{deleted}");
    ensure!(lines[4][0].ends_with(INSTALLED), "{lines:?}");
    let told = shell.run(&lines[4][0])?;
    ensure!(!told.contains("rror"), "{told}");
    let after = (judging(&cluster)?, roles(&cluster)?);
    ensure!(after == before, "{after:?}");
    cluster.stop()
}

#[test]
fn where_the_namespace_went_first_the_rest_is_taken_away_by_the_commands_of_the_document()
-> Result<()> {
    let cluster = bare("helm-left")?;
    let helm = Runner::new(&Helm::ensure(&|_| {})?, &cluster.dir().join("helm"))
        .with_kubeconfig(&cluster.state.kubeconfig("admin"));
    let install = ["--create-namespace", "--no-hooks"];
    helm.install(chart::RELEASE, &chart::folder(), &install)?.ok()?;
    let admin = cluster.kubectl("admin");
    admin.run(&["delete", "namespace", "smartops-system", "--timeout=60s"])?.ok()?;
    let left = || {
        admin
            .run(&["get", "-A", "-l", "app.kubernetes.io/part-of=smartops", KINDS, "-o", "name"])?
            .ok()
    };
    let before = left()?;
    for kind in ["rolebinding.", "clusterrolebinding.", "validatingwebhookconfiguration."] {
        ensure!(before.lines().any(|line| line.starts_with(kind)), "{before}");
    }
    let text = read("docs/uninstall.md")?;
    let (_, below) =
        text.split_once("### Where the namespace went first").context("no such part")?;
    let block = below.split("```").nth(1).context("it has no commands")?;
    let commands: Vec<&str> = block.lines().filter(|line| !line.is_empty()).collect();
    ensure!(commands.len() == 2, "{commands:?}");
    for command in commands {
        let told = Shell::new(&cluster).run(command)?;
        ensure!(told.contains("deleted") && !told.contains("rror"), "{command}: {told}");
    }
    ensure!(left()?.is_empty(), "{}", left()?);
    cluster.stop()
}

#[test]
fn what_the_runbook_says_of_a_healthy_installation_is_what_one_says() -> Result<()> {
    let cluster = own("healthy")?;
    let steps = steps(&read(RUNBOOK)?);
    ensure!(steps.len() >= 8, "only {} commands were found", steps.len());
    Shell::new(&cluster).follow(&steps)?;
    cluster.stop()
}

#[test]
fn taken_away_by_hand_nothing_of_smartops_is_left_and_nothing_waits_for_it() -> Result<()> {
    let cluster = own("by-hand")?;
    let steps = steps(&read("docs/uninstall.md")?);
    ensure!(steps.len() >= 7, "only {} commands were found", steps.len());
    let mut shell = Shell::new(&cluster);
    // With both programs running all the while.
    shell.follow(&steps)?;
    for program in [Program::Webhook, Program::Controller] {
        process::check_runs(cluster.dir(), program.name())?;
    }
    // Whom the controller served is as he was.
    let admin = cluster.kubectl("admin");
    sample::wait_rolled_out(&admin, sample::NAMESPACE, sample::DEPLOYMENT)?;
    admin.run(&["delete", "namespace", sample::NAMESPACE, "--timeout=60s"])?.ok()?;
    cluster.stop()
}
