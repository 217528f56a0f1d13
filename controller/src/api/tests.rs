//! The routes, asked as a client asks them, against a scripted API server: who gets in, what is refused before
//! anything is done, and that nothing is created for it.

use std::convert::Infallible;
use std::sync::Mutex;

use axum::body::{Body, to_bytes};
use axum::http::{Method, StatusCode, header};
use kube::Client;
use kube::runtime::reflector;
use serde_json::json;
use smartops_process::health::{self, Readiness};
use smartops_process::metrics::Metrics;
use smartops_process::shutdown::Shutdown;
use tower::{ServiceExt, service_fn};

use super::keys::Keys;
use super::*;
use crate::args::{Fallback, LatencyAction};

/// SHA-256 of `secret`.
const KEYS: &str = "tester 2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

/// A server whose cluster knows the token `good` (user `ann`, who may get but not patch) and these Deployments.
struct Server {
    router: Router,
    metrics: Metrics,
    calls: Arc<Mutex<Vec<String>>>,
}

fn server(deployments: &[(&str, &str)]) -> Server {
    let items: Vec<Value> = deployments
        .iter()
        .map(|(name, app)| {
            json!({"metadata": {"name": name, "uid": format!("uid-{name}"), "labels": {"app": app}}})
        })
        .collect();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&calls);
    let cluster = service_fn(move |request: axum::http::Request<kube::client::Body>| {
        let (items, log) = (items.clone(), Arc::clone(&log));
        async move {
            let (parts, body) = request.into_parts();
            log.lock().unwrap().push(format!("{} {}", parts.method, parts.uri.path()));
            let body = body.collect_bytes().await.unwrap_or_default();
            let sent = String::from_utf8_lossy(&body).into_owned();
            let (code, answer) = script(parts.uri.path(), &sent, &items);
            let response = axum::http::Response::builder()
                .status(code)
                .body(Body::from(answer.to_string()))
                .unwrap();
            Ok::<_, Infallible>(response)
        }
    });
    let metrics = Metrics::new("controller").unwrap();
    let ours = ControllerMetrics::new(&metrics).unwrap();
    let (store, _writer) = reflector::store();
    let api = Arc::new(Api {
        cluster: Cluster::new(Client::new(cluster, "default"), ours.clone()),
        remediations: store,
        authenticator: Authenticator::new(Keys::of(KEYS)),
        mapping: Mapping { latency: LatencyAction::Restart, fallback: Fallback::None },
        default_namespace: "smartops-dev".into(),
        prefix: "smartops-".into(),
        clock: Clock,
        metrics: ours,
    });
    let readiness = Readiness::new(Shutdown::new());
    let health = health::router("orchestrator", readiness, metrics.clone());
    Server { router: with_fallbacks(router(api).merge(health)), metrics, calls }
}

fn script(path: &str, sent: &str, items: &[Value]) -> (u16, Value) {
    match path {
        "/apis/authentication.k8s.io/v1/tokenreviews" => {
            let good = sent.contains("\"good\"");
            let status = json!({"authenticated": good, "user": {"username": "ann"}});
            (201, json!({"metadata": {}, "spec": {"token": ""}, "status": status}))
        }
        "/apis/authorization.k8s.io/v1/subjectaccessreviews" => {
            let allowed = sent.contains("\"verb\":\"get\"");
            (201, json!({"metadata": {}, "spec": {}, "status": {"allowed": allowed}}))
        }
        "/apis/apps/v1/namespaces/smartops-dev/deployments" => (
            200,
            json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList",
                "metadata": {}, "items": items}),
        ),
        _ => (
            404,
            json!({"kind": "Status", "code": 404, "message": "not here", "reason": "NotFound"}),
        ),
    }
}

struct Reply {
    status: StatusCode,
    kind: String,
    body: Value,
}

impl Server {
    async fn send(&self, request: Request) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let kind = response.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|k| k.to_str().ok()).unwrap_or_default().to_owned();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        Reply { status, kind, body: serde_json::from_slice(&bytes).unwrap_or_default() }
    }

    async fn post(&self, path: &str, body: impl Into<Body>) -> Reply {
        self.post_as(path, ("x-api-key", "secret"), body).await
    }

    async fn post_as(&self, path: &str, who: (&str, &str), body: impl Into<Body>) -> Reply {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .header(who.0, who.1)
            .body(body.into())
            .unwrap();
        self.send(request).await
    }

    fn created_nothing(&self) -> bool {
        !self.calls.lock().unwrap().iter().any(|c| c.contains("remediations"))
    }
}

const ROUTES: [&str; 7] = [
    "/v1/k8s/scale",
    "/v1/k8s/restart",
    "/v1/k8s/patch",
    "/v1/actions/execute",
    "/v1/signals/anomaly",
    "/v1/signals/rca",
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
    let request = Request::builder().uri("/healthz").body(Body::empty()).unwrap();
    let reply = server.send(request).await;
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
    let get = Request::builder().uri("/v1/k8s/scale").body(Body::empty()).unwrap();
    let reply = server.send(get).await;
    assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(reply.kind, "application/problem+json");
}

#[tokio::test]
async fn a_body_over_a_mebibyte_is_413_and_its_media_type_does_not_matter() {
    let server = server(&[]);
    let reply = server.post("/v1/k8s/scale", vec![b' '; BODY_LIMIT + 1]).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    let request = Request::builder()
        .method(Method::POST)
        .uri("/v1/k8s/scale")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header("x-api-key", "secret")
        .body(Body::from("{}"))
        .unwrap();
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
async fn a_tokens_holder_may_do_only_what_the_authorizer_lets_them() {
    let server = server(&[("a", "shop")]);
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
