//! The routes, asked as a client asks them, against a scripted API server: who gets in, what is refused before
//! anything is done, and that nothing is created for it. `contract` holds them against what callers rely on, `alerts`
//! tells them what Alertmanager sends, `credentials` tries keys, signatures and rates, `anything`
//! whatever else there is.

mod alerts;
mod anything;
mod contract;
mod credentials;
mod world;

use axum::http::{Method, StatusCode, header};
use serde_json::json;

use self::world::{Asked, just_begun, server};
use super::gate::BODY_LIMIT;
use super::limits::Rate;
use super::*;

const ROUTES: [&str; 8] = [
    "/v1/k8s/scale",
    "/v1/k8s/restart",
    "/v1/k8s/patch",
    "/v1/actions/execute",
    "/v1/signals/anomaly",
    "/v1/signals/rca",
    "/v1/alerts/alertmanager",
    "/v1/verify/deployment",
];

fn anomaly(service: &str, is_anomaly: bool) -> String {
    json!({"windowId": "w", "service": service, "isAnomaly": is_anomaly, "score": 0.9,
        "type": "resource", "modelVersion": "v1"})
    .to_string()
}

#[tokio::test]
async fn health_is_open_and_says_what_the_contract_says() {
    let server = server(&[]);
    let reply = server.send(Asked::new(Method::GET, "/healthz", "")).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.body, json!({"status": "ok", "service": "orchestrator"}));
}

#[tokio::test]
async fn no_route_answers_without_good_credentials() {
    let server = server(&[]);
    for path in ROUTES {
        for who in [
            ("x-nothing", "x"),
            ("x-api-key", "wrong"),
            ("authorization", "Bearer bad"),
            ("authorization", "Basic x"),
        ] {
            let reply = server.post_as(path, who, "{}").await;
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{path} {who:?}");
            assert_eq!(reply.kind, "application/problem+json");
        }
    }
    assert!(server.created_nothing());
}

#[tokio::test]
async fn malformed_bodies_are_400_counted_and_create_nothing() {
    let server = server(&[("smartops-erp", "erp")]);
    for path in ROUTES {
        for body in ["", "{", "[]", "{}"] {
            let reply = server.post(path, body).await;
            assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{path} {body:?}");
            assert!(reply.body["field"].is_string() && reply.body["allowed"].is_string(), "{path}");
        }
        let text = server.metrics.encode().unwrap();
        let line =
            format!("smartops_orchestrator_invalid_payloads_total{{endpoint=\"{path}\"}} 4\n");
        assert!(text.contains(&line), "{path}");
    }
    assert!(server.created_nothing());
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let server = server(&[]);
    let reply = server.post("/v2/anything", "{}").await;
    assert_eq!(
        (reply.status, reply.kind.as_str()),
        (StatusCode::NOT_FOUND, "application/problem+json")
    );
    let reply = server.send(Asked::new(Method::GET, "/v1/k8s/scale", "")).await;
    assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(reply.kind, "application/problem+json");
}

#[tokio::test]
async fn a_body_over_a_mebibyte_is_413_and_its_media_type_does_not_matter() {
    let server = server(&[]);
    let reply = server.post("/v1/k8s/scale", vec![b' '; BODY_LIMIT + 1]).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    let request = Asked::new(Method::POST, "/v1/k8s/scale", "{}")
        .with(header::CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded")
        .with("x-api-key", "secret");
    assert_eq!(server.send(request).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn unknown_and_ambiguous_targets_are_refused_before_any_202() {
    let server = server(&[("a", "shop"), ("b", "shop")]);
    let unknown = server.post("/v1/signals/anomaly", anomaly("erp", true)).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert_eq!(unknown.body["candidates"], json!(["a", "b"]));
    let ambiguous = server.post("/v1/signals/anomaly", anomaly("shop", true)).await;
    assert_eq!(ambiguous.status, StatusCode::CONFLICT);
    assert_eq!(ambiguous.body["candidates"], json!(["a", "b"]));
    assert!(server.created_nothing());
}

#[tokio::test]
async fn what_is_no_anomaly_is_accepted_counted_and_leads_to_nothing() {
    let server = server(&[("a", "shop")]);
    let reply = server.post("/v1/signals/anomaly", anomaly("shop", false)).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    assert_eq!(reply.body, json!({"accepted": true, "kind": "anomaly", "windowId": "w"}));
    let text = server.metrics.encode().unwrap();
    let line = "orchestrator_closed_loop_signals_total{kind=\"anomaly\",result=\"noop\"} 1\n";
    assert!(text.contains(line), "{text}");
    assert!(server.created_nothing());
}

#[tokio::test]
async fn before_everything_was_listed_whoever_asks_is_told_to_come_back_and_after_that_is_answered()
{
    let server = just_begun(&[("a", "shop")], Rate { per_second: 1000, burst: 1000 });
    server.world.lock().unwrap().end = world::End::Well;
    let alert = |status: &str| {
        let labels = json!({"alertname": "KubePodCrashLooping", "deployment": "a"});
        json!({"version": "4", "status": status, "truncatedAlerts": 0, "alerts": [
            {"status": status, "startsAt": "2026-03-01T10:00:00Z", "fingerprint": "f", "labels": labels}]})
        .to_string()
    };
    let post = Method::POST;
    let get = Method::GET;
    let asked = [
        (&post, "/v1/signals/anomaly", anomaly("shop", true)),
        (&post, "/v1/alerts/alertmanager", alert("firing")),
        (&post, "/v1/alerts/alertmanager", alert("resolved")),
        (&post, "/v1/k8s/restart", json!({"deployment": "a", "dry_run": true}).to_string()),
        (&get, "/v1/remediations", String::new()),
        (&get, "/v1/remediations/watch", String::new()),
    ];
    let send = async |(method, path, body): &(&Method, &str, String)| {
        let asked = Asked::new((*method).clone(), path, body.clone());
        server.send(asked.with("x-api-key", "secret")).await
    };
    for asked in &asked {
        let reply = send(asked).await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{asked:?}: {}", reply.body);
        assert_eq!(reply.headers[header::RETRY_AFTER], "1", "{asked:?}");
        assert!(reply.body["next"].is_string(), "{}", reply.body);
    }
    assert!(server.created_nothing());
    let line = "orchestrator_closed_loop_signals_total{kind=\"anomaly\",result=\"error\"} 1";
    assert!(server.metric(line));
    server.list_everything();
    for asked in &asked {
        let reply = send(asked).await;
        assert!(reply.status.is_success(), "{asked:?}: {} {}", reply.status, reply.body);
    }
}

#[tokio::test]
async fn a_tokens_holder_may_do_only_what_the_authorizer_lets_them() {
    let server = server(&[("a", "shop")]);
    server.world.lock().unwrap().end = world::End::Well;
    let ann = ("authorization", "Bearer good");
    let body = json!({"deployment": "a", "replicas": 2}).to_string();
    let refused = server.post_as("/v1/k8s/scale", ann, body.clone()).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(
        refused.body["detail"].as_str().unwrap().contains("ann may not patch deployments/scale")
    );
    let unknown = json!({"deployment": "zzz", "replicas": 2}).to_string();
    let refused = server.post_as("/v1/k8s/scale", ann, unknown).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "and learns no names");
    assert!(refused.body.get("candidates").is_none());
    assert!(server.created_nothing());
    let by_key = server.post("/v1/k8s/scale", body).await;
    assert_ne!(by_key.status, StatusCode::FORBIDDEN);
    assert!(!server.created_nothing());
}
