//! Every route of the controller's API, good and bad, against the real control plane.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use smartops_tests::http::Answer;
use smartops_tests::programs::controller;

use crate::scene::{Scene, api, post};
use crate::support::shared;

fn scale(ns: &Scene, replicas: i64, dry_run: bool) -> Result<Answer> {
    let body = json!({"namespace": ns.name(), "deployment": "web", "replicas": replicas, "dry_run": dry_run});
    post("/v1/k8s/scale", &body)
}

#[test]
fn health_readiness_and_metrics_are_open_and_say_what_callers_rely_on() -> Result<()> {
    let api = api()?;
    let health = api.get("/healthz")?;
    assert_eq!(health.body, json!({"status": "ok", "service": "orchestrator"}));
    assert_eq!(api.get("/readyz")?.status, 200);
    let metrics = api.get("/metrics")?;
    assert_eq!(metrics.status, 200);
    assert!(metrics.text.contains("orchestrator_closed_loop_queue_depth"), "{}", metrics.text);
    Ok(())
}

#[test]
fn a_call_without_a_valid_key_is_refused_before_anything_else() -> Result<()> {
    let stranger = controller(shared()?)?;
    let body = json!({"namespace": "any", "deployment": "web", "replicas": 2});
    assert_eq!(stranger.post("/v1/k8s/scale", &body)?.status, 401);
    assert_eq!(stranger.with_key("wrong").post("/v1/k8s/scale", &body)?.status, 401);
    Ok(())
}

#[test]
fn scale_answers_with_the_whole_envelope() -> Result<()> {
    let ns = Scene::new("api-scale")?;
    ns.deploy("web", 3)?;
    let reply = scale(&ns, 4, false)?;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.body["success"], true);
    assert_eq!(reply.body["dry_run"], false);
    let runner = &reply.body["details"]["runner"];
    assert_eq!(runner["status"], "success");
    assert_eq!(runner["attempts"], 1);
    assert!(runner["duration_seconds"].is_number());
    assert_eq!(
        runner["result"],
        json!({"name": "web", "namespace": ns.name(), "replicas": 4, "dry_run": false})
    );
    assert_eq!(runner["error"], Value::Null);
    assert_eq!(reply.body["verification"], Value::Null);
    assert_eq!(reply.body["warnings"], Value::Null);
    assert_eq!(ns.replicas("web")?, 4);
    Ok(())
}

#[test]
fn a_dry_run_is_judged_and_writes_nothing() -> Result<()> {
    let ns = Scene::new("api-dry")?;
    ns.deploy("web", 3)?;
    let reply = scale(&ns, 4, true)?;
    assert_eq!((reply.status, &reply.body["dry_run"]), (200, &json!(true)), "{}", reply.text);
    assert_eq!(scale(&ns, 40, true)?.status, 422);
    assert_eq!(ns.replicas("web")?, 3);
    Ok(())
}

#[test]
fn a_guardrails_refusal_keeps_the_webhooks_words_and_writes_nothing() -> Result<()> {
    let ns = Scene::new("api-denied")?;
    ns.deploy("web", 3)?;
    let reply = scale(&ns, 40, false)?;
    assert_eq!(reply.status, 422, "{}", reply.text);
    assert_eq!(reply.content_type, "application/problem+json");
    let detail = reply.body["detail"].as_str().unwrap();
    assert!(detail.contains("smartops-automation") && detail.contains("40"), "{detail}");
    assert_eq!(ns.replicas("web")?, 3);
    assert_eq!(ns.committed_writes("web")?, 0);
    Ok(())
}

#[test]
fn a_second_restart_is_429_with_the_seconds_to_wait() -> Result<()> {
    let ns = Scene::new("api-restart")?;
    ns.deploy("web", 2)?;
    let body = json!({"namespace": ns.name(), "deployment": "web"});
    let first = post("/v1/k8s/restart", &body)?;
    assert_eq!(first.status, 200, "{}", first.text);
    ns.rolled_out("web")?;
    let second = post("/v1/k8s/restart", &body)?;
    assert_eq!(second.status, 429, "{}", second.text);
    let seconds = second.retry_after.context("no Retry-After")?;
    assert!((1..=120).contains(&seconds), "{seconds}");
    Ok(())
}

#[test]
fn every_tolerated_form_of_a_patch_is_understood() -> Result<()> {
    let forms: [fn(&str) -> Value; 4] = [
        |v| annotation(v),
        |v| json!({"patch": annotation(v)}),
        |v| json!([operation(v)]),
        |v| operation(v),
    ];
    let ns = Scene::new("api-patch")?;
    for (i, form) in forms.iter().enumerate() {
        // A Deployment each: a template change starts the restart cooldown.
        let name = format!("web-{i}");
        // JSON Patch adds a key only to a map that exists.
        let mut deployment = ns.manifest(&name, 1);
        deployment["spec"]["template"]["metadata"]["annotations"] = json!({"made": "by hand"});
        ns.create(&deployment)?;
        ns.rolled_out(&name)?;
        let value = format!("v{i}");
        let body = json!({"namespace": ns.name(), "deployment": name, "patch": form(&value)});
        let reply = post("/v1/k8s/patch", &body)?;
        assert_eq!(reply.status, 200, "form {i}: {}", reply.text);
        assert_eq!(ns.template_annotation(&name, "smartops/test-patch")?, Some(value));
    }
    Ok(())
}

fn annotation(value: &str) -> Value {
    json!({"spec": {"template": {"metadata": {"annotations": {"smartops/test-patch": value}}}}})
}

fn operation(value: &str) -> Value {
    json!({"op": "add", "path": "/spec/template/metadata/annotations/smartops~1test-patch", "value": value})
}

#[test]
fn a_forbidden_path_is_400_and_an_image_422() -> Result<()> {
    let ns = Scene::new("api-paths")?;
    ns.deploy("web", 1)?;
    let spec = |pod: Value| json!({"namespace": ns.name(), "deployment": "web", "patch": {"spec": {"template": {"spec": pod}}}});
    let reply = post("/v1/k8s/patch", &spec(json!({"nodeSelector": {"a": "b"}})))?;
    assert_eq!(reply.status, 400, "{}", reply.text);
    assert!(reply.text.contains("nodeSelector"), "{}", reply.text);
    let image = json!({"containers": [{"name": "app", "image": "x:2"}]});
    let reply = post("/v1/k8s/patch", &spec(image))?;
    assert_eq!(reply.status, 422, "{}", reply.text);
    assert_eq!(ns.committed_writes("web")?, 0);
    Ok(())
}

#[test]
fn execute_scales_and_verifies() -> Result<()> {
    let ns = Scene::new("api-execute")?;
    ns.deploy("web", 3)?;
    let body = json!({
        "type": "scale", "dry_run": false, "verify": true, "verify_timeout_seconds": 60,
        "target": {"kind": "Deployment", "namespace": ns.name(), "name": "web"},
        "scale": {"replicas": 5},
    });
    let reply = post("/v1/actions/execute", &body)?;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.body["verification"]["status"], "SUCCESS", "{}", reply.text);
    assert_eq!(ns.replicas("web")?, 5);
    Ok(())
}

#[test]
fn execute_restarts_and_patches_too() -> Result<()> {
    let ns = Scene::new("api-execute-more")?;
    ns.deploy("web", 1)?;
    ns.deploy("other", 1)?;
    let target = |name: &str| json!({"kind": "Deployment", "namespace": ns.name(), "name": name});
    let restart =
        post("/v1/actions/execute", &json!({"type": "restart", "target": target("web")}))?;
    assert_eq!(restart.status, 200, "{}", restart.text);
    let patch =
        json!({"type": "patch", "target": target("other"), "patch": {"patch": annotation("e")}});
    let patched = post("/v1/actions/execute", &patch)?;
    assert_eq!(patched.status, 200, "{}", patched.text);
    Ok(())
}

#[test]
fn a_rollout_that_crash_loops_fails_in_the_pods_own_words() -> Result<()> {
    let ns = Scene::new("api-crash")?;
    ns.deploy("web", 2)?;
    let labels = json!({"smartops.dev/crash-loop": "true"});
    let body = json!({
        "type": "patch", "verify": true,
        "target": {"kind": "Deployment", "namespace": ns.name(), "name": "web"},
        "patch": {"patch": {"spec": {"template": {"metadata": {"labels": labels}}}}},
    });
    let reply = post("/v1/actions/execute", &body)?;
    assert_eq!(reply.body["success"], false, "{}", reply.text);
    assert_eq!(reply.body["verification"]["status"], "FAILED", "{}", reply.text);
    assert!(reply.text.contains("CrashLoopBackOff"), "{}", reply.text);
    Ok(())
}

#[test]
fn verify_says_success_and_timeout() -> Result<()> {
    let ns = Scene::new("api-verify")?;
    ns.deploy("web", 2)?;
    let body = |name: &str, timeout: u32| json!({"namespace": ns.name(), "deployment": name, "timeout_seconds": timeout, "poll_interval_seconds": 1});
    let reply = post("/v1/verify/deployment", &body("web", 30))?;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.body["status"], "SUCCESS");
    assert_eq!(reply.body["observed"]["ready_replicas"], 2);
    let mut stuck = ns.manifest("stuck", 1);
    stuck["spec"]["template"]["spec"]["nodeSelector"] = json!({"no": "such-node"});
    ns.create(&stuck)?;
    let reply = post("/v1/verify/deployment", &body("stuck", 2))?;
    assert_eq!(reply.body["status"], "TIMEOUT", "{}", reply.text);
    let mut crash = ns.manifest("crash", 1);
    crash["spec"]["template"]["metadata"]["labels"]["smartops.dev/crash-loop"] = json!("true");
    ns.create(&crash)?;
    let reply = post("/v1/verify/deployment", &body("crash", 30))?;
    assert_eq!(reply.body["status"], "FAILED", "{}", reply.text);
    assert!(reply.text.contains("CrashLoopBackOff"), "{}", reply.text);
    Ok(())
}

#[test]
fn a_service_name_resolves_by_prefix_and_label_and_never_by_guess() -> Result<()> {
    let ns = Scene::new("api-names")?;
    ns.deploy("smartops-billing", 1)?;
    let scale = |name: &str| {
        post(
            "/v1/k8s/scale",
            &json!({"namespace": ns.name(), "deployment": name, "replicas": 2, "dry_run": true}),
        )
    };
    let reply = scale("billing")?;
    assert_eq!(
        reply.body["details"]["runner"]["result"]["name"], "smartops-billing",
        "{}",
        reply.text
    );
    assert_eq!(scale("nothing-like-it")?.status, 404);
    for name in ["one", "two"] {
        let mut deployment = ns.manifest(name, 1);
        deployment["metadata"]["labels"]["app.kubernetes.io/name"] = json!("shared");
        ns.create(&deployment)?;
    }
    let ambiguous = scale("shared")?;
    assert_eq!(ambiguous.status, 409, "{}", ambiguous.text);
    assert!(ambiguous.text.contains("one") && ambiguous.text.contains("two"), "{}", ambiguous.text);
    Ok(())
}

#[test]
fn a_wrong_payload_is_told_what_is_wrong() -> Result<()> {
    for (path, body, word) in [
        ("/v1/k8s/scale", json!({"deployment": "web"}), "replicas"),
        ("/v1/k8s/scale", json!({"deployment": "web", "replicas": "four"}), "replicas"),
        ("/v1/k8s/restart", json!({"namespace": "x"}), "deployment"),
        ("/v1/k8s/patch", json!({"deployment": "web"}), "patch"),
        ("/v1/k8s/patch", json!({"deployment": "web", "patch": 4}), "patch"),
        ("/v1/actions/execute", json!({"type": "explode", "target": {"name": "web"}}), "type"),
        (
            "/v1/signals/anomaly",
            json!({"windowId": "w", "isAnomaly": true, "score": 0.5, "type": "latency"}),
            "service",
        ),
        ("/v1/signals/rca", json!({"service": "s"}), "windowId"),
        ("/v1/verify/deployment", json!({}), "deployment"),
    ] {
        let reply = post(path, &body)?;
        assert_eq!(reply.status, 400, "{path} {body}: {}", reply.text);
        assert_eq!(reply.content_type, "application/problem+json");
        assert!(reply.text.contains(word), "{path}: no {word:?} in {}", reply.text);
    }
    assert_eq!(api()?.get("/v1/nothing")?.status, 404);
    assert_eq!(api()?.get("/v1/k8s/scale")?.status, 405);
    Ok(())
}
