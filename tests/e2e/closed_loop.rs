//! The kill switch, on a cluster of its own: it stops the loop of everybody.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use smartops_tests::cluster::down;
use smartops_tests::http::Client;
use smartops_tests::programs::{Program, controller_api};
use smartops_tests::wait::{Seen, eventually};

use crate::scene::Scene;
use crate::support::own;

const PATH: &str = "/v1/closed-loop";

fn turn(api: &Client, enabled: bool) -> Result<()> {
    let answer = api.patch(PATH, &json!({"enabled": enabled, "reason": "a test"}))?;
    ensure!(answer.status == 200 && answer.body["enabled"] == enabled, "{}", answer.text);
    Ok(())
}

fn signal(ns: &Scene, api: &Client, window: &str, kind: &str) -> Result<Value> {
    let answer = api.post("/v1/signals/anomaly", &ns.anomaly(window, kind))?;
    ensure!(answer.status == 202, "{}", answer.text);
    ns.ended(&format!("anomaly/{kind}"))
}

#[test]
fn while_the_switch_is_thrown_signals_are_skipped_calls_go_on_and_a_restart_forgets_nothing()
-> Result<()> {
    let cluster = Box::leak(Box::new(own("kill-switch")?));
    let ns = Scene::on(cluster, "switch")?;
    let api = controller_api(cluster)?;
    ns.deploy("web", 2)?;

    // By an operator's own hand the loop stops too, and within a second.
    let patch = |enabled: bool| json!({"status": {"closedLoop": {"enabled": enabled}}}).to_string();
    let by_hand = |enabled: bool| {
        let patch = patch(enabled);
        let arguments =
            ["patch", "soc/default", "--subresource=status", "--type=merge", "-p", &patch];
        ns.allowed("admin", &arguments).map(drop)
    };
    let shown = |line: &str| -> Result<Duration> {
        let begun = Instant::now();
        eventually(Duration::from_secs(10), line, || {
            let metrics = api.get("/metrics")?.text;
            Ok(Seen::when(metrics.contains(&format!("\n{line}\n")), "not yet".to_owned()))
        })?;
        Ok(begun.elapsed())
    };
    by_hand(false)?;
    let took = shown("smartops_orchestrator_closed_loop_enabled 0")?;
    ensure!(took < Duration::from_secs(1), "seen after {took:?}");
    by_hand(true)?;
    shown("smartops_orchestrator_closed_loop_enabled 1")?;

    turn(&api, false)?;
    shown("smartops_orchestrator_closed_loop_enabled 0")?;
    let skipped = signal(&ns, &api, "w-1", "resource")?;
    ensure!(skipped["status"]["phase"] == "Skipped", "{skipped}");
    ensure!(skipped["status"]["outcome"]["reason"] == "ClosedLoopPaused", "{skipped}");
    let scale = json!({"namespace": ns.name(), "deployment": "web", "replicas": 3});
    let called = api.post("/v1/k8s/scale", &scale)?;
    ensure!(called.status == 200, "calls of the API go on: {}", called.text);
    ns.rolled_out("web")?;

    Program::Controller.kill(cluster)?;
    Program::Controller.start(cluster, &[])?;
    let state = api.get(PATH)?;
    ensure!(state.body["enabled"] == false && state.body["reason"] == "a test", "{}", state.text);
    let skipped = signal(&ns, &api, "w-2", "error")?;
    ensure!(skipped["status"]["outcome"]["reason"] == "ClosedLoopPaused", "{skipped}");
    ensure!(ns.committed_writes("web")? == 1, "only the call was written");

    turn(&api, true)?;
    shown("smartops_orchestrator_closed_loop_enabled 1")?;
    let done = signal(&ns, &api, "w-3", "jitter")?;
    ensure!(done["status"]["phase"] == "Succeeded", "{done}");

    // The controller writes the switch and nothing else of that status.
    let forged = json!({
        "apiVersion": "smartops.dev/v1alpha1", "kind": "SmartOpsConfig",
        "metadata": {"name": "default"}, "status": {"observedGeneration": 99},
    });
    let file = ns.file(&forged)?;
    let flags = ["--server-side", "--force-conflicts", "--subresource=status", "--validate=false"];
    let outcome = ns.kubectl("controller", &[&["apply", "-f", &file], &flags[..]].concat())?;
    let told = outcome.text();
    ensure!(!outcome.succeeded && told.contains("status.closedLoop alone"), "{told}");
    down(cluster.dir()).map(drop)
}
