//! What callers rely on, line by line: each test is named after the line it holds the routes against.

use smartops_common::denial::Rule;

use super::world::{End, Server};
use super::*;

const SIMULATOR: (&str, &str) = ("smartops-erp-simulator", "erp");

fn ending(end: End) -> Server {
    let server = server(&[SIMULATOR]);
    server.world.lock().unwrap().end = end;
    server
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn made(server: &Server) -> Value {
    server.world.lock().unwrap().remediations.last().cloned().unwrap_or_default()
}

#[tokio::test]
async fn every_method_and_path_of_the_table_is_served() {
    let server = server(&[SIMULATOR]);
    for (method, path) in [
        (Method::GET, "/healthz"),
        (Method::GET, "/readyz"),
        (Method::GET, "/metrics"),
        (Method::GET, "/docs"),
        (Method::GET, "/openapi.json"),
        (Method::POST, "/v1/k8s/scale"),
        (Method::POST, "/v1/k8s/restart"),
        (Method::POST, "/v1/k8s/patch"),
        (Method::POST, "/v1/actions/execute"),
        (Method::POST, "/v1/signals/anomaly"),
        (Method::POST, "/v1/signals/rca"),
        (Method::POST, "/v1/alerts/alertmanager"),
        (Method::POST, "/v1/verify/deployment"),
        (Method::PATCH, "/v1/closed-loop"),
        (Method::GET, "/v1/closed-loop"),
        (Method::PATCH, "/close-loop/disable"),
    ] {
        let reply = server.send(Asked::new(method.clone(), path, "")).await;
        assert!(![404, 405].contains(&reply.status.as_u16()), "{method} {path}: {}", reply.status);
    }
}

#[tokio::test]
async fn scale_is_answered_with_the_envelope() {
    let server = ending(End::Well);
    let body = json!({"namespace": "smartops-dev", "deployment": "erp-simulator", "replicas": 4, "dry_run": false});
    let reply = server.tell("/v1/k8s/scale", &body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    let envelope = &reply.body;
    let mut names = keys(envelope);
    names.sort_unstable();
    assert_eq!(names, ["details", "dry_run", "message", "success", "verification", "warnings"]);
    assert_eq!((&envelope["success"], &envelope["dry_run"]), (&json!(true), &json!(false)));
    assert_eq!((&envelope["verification"], &envelope["warnings"]), (&Value::Null, &Value::Null));
    let runner = &envelope["details"]["runner"];
    assert_eq!(
        (&runner["status"], &runner["attempts"], &runner["error"]),
        (&json!("success"), &json!(1), &Value::Null)
    );
    assert!(runner["duration_seconds"].is_number());
    let result = json!({"name": "smartops-erp-simulator", "namespace": "smartops-dev", "replicas": 4, "dry_run": false});
    assert_eq!(runner["result"], result);
}

#[tokio::test]
async fn restart_is_answered_with_the_same_envelope_and_is_the_template_annotation() {
    let server = ending(End::Well);
    let body =
        json!({"namespace": "smartops-dev", "deployment": "erp-simulator", "dry_run": false});
    let reply = server.tell("/v1/k8s/restart", &body).await;
    assert_eq!((reply.status, &reply.body["success"]), (StatusCode::OK, &json!(true)));
    assert!(reply.body["details"]["runner"]["result"]["restartedAt"].is_string());
    assert_eq!(smartops_common::names::RESTARTED_AT, "kubectl.kubernetes.io/restartedAt");
}

#[tokio::test]
async fn a_patch_is_taken_in_every_form_by_both_routes() {
    let merge = json!({"spec": {"template": {"metadata": {"annotations": {"smartops/test-patch": "hello"}}}}});
    let operation =
        json!({"op": "replace", "path": "/spec/template/metadata/annotations/a", "value": "b"});
    let (array, wrapped) = (json!([operation]), json!({"patch": merge}));
    for (form, format) in
        [(&merge, "strategic"), (&wrapped, "strategic"), (&array, "json"), (&operation, "json")]
    {
        let direct = json!({"namespace": "smartops-dev", "deployment": "erp-simulator", "patch": form, "dry_run": false});
        let envelope = json!({"type": "patch", "target": {"kind": "Deployment", "name": "erp-simulator"}, "patch": form});
        let nested =
            json!({"type": "patch", "target": {"name": "erp-simulator"}, "patch": {"patch": form}});
        for (path, body) in [
            ("/v1/k8s/patch", direct),
            ("/v1/actions/execute", envelope),
            ("/v1/actions/execute", nested),
        ] {
            let server = ending(End::Well);
            let reply = server.tell(path, &body).await;
            // Wrapped twice and once more is a Deployment's field called patch, and nothing here knows one.
            if form.get("patch").is_some() && body["patch"]["patch"].get("patch").is_some() {
                continue;
            }
            assert_eq!(reply.status, StatusCode::OK, "{path} {body}: {}", reply.body);
            assert_eq!(made(&server)["spec"]["action"]["patch"]["format"], format, "{body}");
        }
    }
}

#[tokio::test]
async fn execute_takes_every_action_in_one_envelope_and_fills_verification_when_asked() {
    let target =
        json!({"kind": "Deployment", "namespace": "smartops-dev", "name": "erp-simulator"});
    for (body, action) in [
        (
            json!({"type": "scale", "dry_run": false, "verify": true, "verify_timeout_seconds": 60, "target": target, "scale": {"replicas": 6}}),
            "scale",
        ),
        (json!({"type": "restart", "verify": true, "target": target}), "restart"),
        (
            json!({"type": "patch", "verify": true, "target": target, "patch": {"patch": {"spec": {"replicas": 2}}}}),
            "patch",
        ),
    ] {
        let server = ending(End::Well);
        let reply = server.tell("/v1/actions/execute", &body).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
        assert_eq!(reply.body["verification"]["status"], "SUCCESS", "{body}");
        assert_eq!(made(&server)["spec"]["action"]["type"], action);
    }
}

#[tokio::test]
async fn signals_are_answered_202_with_kind_and_window() {
    let server = server(&[SIMULATOR]);
    let anomaly = json!({"windowId": "lat-001", "service": "erp-simulator", "isAnomaly": true, "score": 0.90, "type": "latency", "modelVersion": "v1", "metadata": {}});
    let reply = server.tell("/v1/signals/anomaly", &anomaly).await;
    assert_eq!(
        (reply.status.as_u16(), reply.body),
        (202, json!({"accepted": true, "kind": "anomaly", "windowId": "lat-001"}))
    );
    assert_eq!(made(&server)["spec"]["action"]["type"], "restart");
    let rca = json!({"windowId": "rca-003", "service": "erp-simulator", "rankedCauses": [{"svc": "erp-simulator", "cause": "high_error_rate", "probability": 0.94}], "confidence": 0.84});
    let reply = server.tell("/v1/signals/rca", &rca).await;
    assert_eq!(
        (reply.status.as_u16(), reply.body),
        (202, json!({"accepted": true, "kind": "rca", "windowId": "rca-003"}))
    );
    assert_eq!(made(&server)["spec"]["cause"], "rca/high_error_rate");
}

#[tokio::test]
async fn verify_is_answered_with_status_and_observed_numbers() {
    let server = server(&[SIMULATOR]);
    let body = json!({"namespace": "smartops-dev", "deployment": "erp-simulator", "timeout_seconds": 60, "poll_interval_seconds": 5});
    let reply = server.tell("/v1/verify/deployment", &body).await;
    assert_eq!((reply.status, &reply.body["status"]), (StatusCode::OK, &json!("SUCCESS")));
    assert_eq!(reply.body["message"], "Deployment healthy");
    let observed = &reply.body["observed"];
    assert_eq!(
        (&observed["updated_replicas"], &observed["ready_replicas"]),
        (&json!(3), &json!(3))
    );
}

#[tokio::test]
async fn a_name_is_the_exact_one_then_the_prefixed_one_then_a_label_and_never_a_guess() {
    let all = [
        ("erp", "x"),
        ("smartops-erp", "y"),
        ("smartops-shop", "z"),
        ("till", "cash"),
        ("a", "twice"),
        ("b", "twice"),
    ];
    for (asked, expected) in [
        ("erp", "erp"),
        ("shop", "smartops-shop"),
        ("cash", "till"),
        ("smartops-erp", "smartops-erp"),
    ] {
        let server = server(&all);
        server.world.lock().unwrap().end = End::Well;
        // A missing namespace is the configured default.
        let reply =
            server.tell("/v1/k8s/scale", &json!({"deployment": asked, "replicas": 2})).await;
        assert_eq!(reply.status, StatusCode::OK, "{asked}: {}", reply.body);
        let result = &reply.body["details"]["runner"]["result"];
        assert_eq!(
            (&result["name"], &result["namespace"]),
            (&json!(expected), &json!("smartops-dev")),
            "{asked}"
        );
    }
    let server = server(&all);
    for (asked, code, candidates) in [
        ("twice", 409, json!(["a", "b"])),
        ("nobody", 404, json!(["a", "b", "erp", "smartops-erp", "smartops-shop", "till"])),
    ] {
        let reply =
            server.tell("/v1/k8s/scale", &json!({"deployment": asked, "replicas": 2})).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.body["candidates"]),
            (code, &candidates),
            "{asked}"
        );
    }
    assert!(server.created_nothing());
}

#[tokio::test]
async fn codes_400_to_429_mean_what_the_table_says() {
    let scale = json!({"deployment": "erp-simulator", "replicas": 4});
    let patch = json!({"deployment": "erp-simulator", "patch": {"spec": {"paused": true}}});
    for (path, body, end, code) in [
        ("/v1/k8s/scale", json!({"deployment": "erp-simulator"}), End::Well, 400),
        ("/v1/k8s/patch", patch, End::Refused(Rule::Paths, None), 400),
        ("/v1/k8s/scale", json!({"deployment": "nobody", "replicas": 4}), End::Well, 404),
        (
            "/v1/k8s/scale",
            json!({"namespace": "nowhere", "deployment": "x", "replicas": 4}),
            End::Well,
            404,
        ),
        ("/v1/k8s/scale", scale.clone(), End::Refused(Rule::Replicas, None), 422),
        ("/v1/k8s/scale", scale.clone(), End::Refused(Rule::Images, None), 422),
        ("/v1/k8s/restart", scale.clone(), End::Refused(Rule::Cooldown, Some(87)), 429),
    ] {
        let server = ending(end);
        let reply = server.tell(path, &body).await;
        assert_eq!(reply.status.as_u16(), code, "{path} {body}: {}", reply.body);
        assert_eq!(reply.kind, "application/problem+json");
        assert_eq!(reply.headers.contains_key("retry-after"), code == 429);
    }
    // 409: busy, naming the open Remediation.
    let server = server(&[SIMULATOR]);
    let rca = json!({"windowId": "w", "service": "erp-simulator", "confidence": 0.8, "rankedCauses": [{"svc": "s", "cause": "memory_leak", "probability": 0.9}]});
    server.tell("/v1/signals/rca", &rca).await;
    let busy = server.tell("/v1/k8s/scale", &scale).await;
    assert_eq!(
        (busy.status.as_u16(), &busy.body["remediation"]),
        (409, &made(&server)["metadata"]["name"])
    );
}

#[tokio::test]
async fn an_error_is_problem_json_that_names_the_field_what_is_allowed_and_what_to_do() {
    let server = server(&[SIMULATOR]);
    for (path, body, field) in [
        ("/v1/k8s/scale", json!({"deployment": "x", "replicas": "4"}), "replicas"),
        (
            "/v1/k8s/scale",
            json!({"deployment": "x", "replicas": 4, "namespace": "a/../b"}),
            "namespace",
        ),
        ("/v1/k8s/restart", json!({"deployment": ""}), "deployment"),
        ("/v1/k8s/patch", json!({"deployment": "x", "patch": 3}), "patch"),
        ("/v1/actions/execute", json!({"type": "explode"}), "type"),
        (
            "/v1/actions/execute",
            json!({"type": "restart", "target": {"kind": "Pod", "name": "x"}}),
            "target.kind",
        ),
        (
            "/v1/signals/anomaly",
            json!({"windowId": "w", "service": "s", "isAnomaly": 1, "score": 0.5, "type": "x"}),
            "isAnomaly",
        ),
        (
            "/v1/signals/rca",
            json!({"windowId": "w", "service": "s", "rankedCauses": [3]}),
            "rankedCauses[0]",
        ),
        (
            "/v1/verify/deployment",
            json!({"deployment": "x", "timeout_seconds": 0}),
            "timeout_seconds",
        ),
        ("/v1/alerts/alertmanager", json!({"alerts": "none"}), "alerts"),
    ] {
        let reply = server.tell(path, &body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(
            (reply.kind.as_str(), &reply.body["field"]),
            ("application/problem+json", &json!(field))
        );
        assert!(
            reply.body["allowed"].as_str().is_some_and(|text| text.len() > 5),
            "{}",
            reply.body
        );
    }
    let reply = server.post_as("/v1/k8s/scale", ("x-nothing", "x"), "{}").await;
    assert!(reply.body["next"].as_str().unwrap().contains("X-API-Key"), "{}", reply.body);
    assert!(server.created_nothing());
}

#[tokio::test]
async fn what_the_document_requires_of_a_body_is_exactly_what_is_required() {
    let server = ending(End::Well);
    let document = server.send(Asked::new(Method::GET, "/openapi.json", "")).await.body;
    for path in ROUTES {
        let content =
            &document["paths"][path]["post"]["requestBody"]["content"]["application/json"];
        let reference = content["schema"]["$ref"].as_str().unwrap();
        let schema = document.pointer(reference.strip_prefix('#').unwrap()).unwrap();
        let example = &content["example"];
        let reply = server.tell(path, example).await;
        assert!(reply.status.is_success(), "{path} {example}: {}", reply.body);
        let required = schema["required"].as_array().unwrap();
        for name in keys(example) {
            let mut lacking = example.clone();
            lacking.as_object_mut().unwrap().remove(name);
            // A scale without its number is no scale, and the schema cannot say so.
            if path.ends_with("/execute") && name == "scale" {
                continue;
            }
            let reply = server.tell(path, &lacking).await;
            let expected =
                if required.contains(&name.into()) { 400 } else { reply.status.as_u16() };
            assert_eq!(reply.status.as_u16(), expected, "{path} without {name}");
            assert_ne!(
                (required.contains(&name.into()), reply.status.as_u16()),
                (false, 400),
                "{path} without {name}"
            );
        }
    }
}

async fn switch(
    server: &Server,
    method: Method,
    path: &str,
    body: &str,
    who: (&str, &str),
) -> world::Reply {
    server.send(Asked::new(method, path, body.to_owned()).with(who.0, who.1)).await
}

#[tokio::test]
async fn patch_closed_loop_pauses_the_loop_get_shows_it_and_the_old_path_is_an_alias() {
    let server = server(&[SIMULATOR]);
    let key = ("x-api-key", "secret");
    let shown = async || switch(&server, Method::GET, "/v1/closed-loop", "", key).await.body;
    assert_eq!(shown().await["enabled"], true);
    let body = r#"{"enabled": false, "reason": "maintenance"}"#;
    let reply = switch(&server, Method::PATCH, "/v1/closed-loop", body, key).await;
    assert_eq!((reply.status, &reply.body["enabled"]), (StatusCode::OK, &json!(false)));
    let state = shown().await;
    assert_eq!(
        (&state["enabled"], &state["changedBy"], &state["reason"]),
        (&json!(false), &json!("apikey:tester"), &json!("maintenance"))
    );
    switch(&server, Method::PATCH, "/v1/closed-loop", r#"{"enabled": true}"#, key).await;
    assert_eq!((&shown().await["enabled"], shown().await.get("reason")), (&json!(true), None));
    for body in ["", r#"{"reason": "by the runbook"}"#] {
        switch(&server, Method::PATCH, "/v1/closed-loop", r#"{"enabled": true}"#, key).await;
        let reply = switch(&server, Method::PATCH, "/close-loop/disable", body, key).await;
        assert_eq!(
            (reply.status, &shown().await["enabled"]),
            (StatusCode::OK, &json!(false)),
            "{body}"
        );
    }
    for body in ["", "{}", r#"{"enabled": "no"}"#] {
        let reply = switch(&server, Method::PATCH, "/v1/closed-loop", body, key).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{body}");
    }
}

#[tokio::test]
async fn only_who_may_patch_the_configurations_status_throws_the_switch_and_everybody_known_sees_it()
 {
    let server = server(&[SIMULATOR]);
    let off = r#"{"enabled": false}"#;
    for (who, code) in [("Bearer good", 403), ("Bearer root", 200), ("Bearer bad", 401)] {
        let who = ("authorization", who);
        let reply = switch(&server, Method::PATCH, "/v1/closed-loop", off, who).await;
        assert_eq!(reply.status.as_u16(), code, "{who:?}");
    }
    let ann = ("authorization", "Bearer good");
    let seen = switch(&server, Method::GET, "/v1/closed-loop", "", ann).await;
    assert_eq!((seen.status, &seen.body["changedBy"]), (StatusCode::OK, &json!("root")));
}
