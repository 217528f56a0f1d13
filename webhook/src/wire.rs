//! Tests through the real server: TLS, HTTP/1.1, the four routes, with the shipped policies and no cluster behind. The
//! server and its client are here.

mod connections;
mod odd;
mod verdicts;

use crate::admission::http::router;
use crate::history::Histories;
use crate::live::Live;
use crate::metrics::WebhookMetrics;
use crate::review::Reviewer;
use crate::snapshot::Board;
use crate::told;
use crate::workload::Workload;
use axum::http::{Request, Response, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use smartops_certs::bundle::{Bundle, Names};
use smartops_certs::issue::{self, Lifetimes};
use smartops_certs::resolver::Resolver;
use smartops_certs::{pem, trust};
use smartops_common::config::{SmartOpsConfig, SmartOpsConfigSpec};
use smartops_common::names::path;
use smartops_guard::policy;
use smartops_process::BoxError;
use smartops_process::clock::Clock;
use smartops_process::metrics::Metrics;
use smartops_process::serve::{self, Options};
use smartops_process::shutdown::Shutdown;
use smartops_process::watch::Event;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

const PATHS: [&str; 4] = [
    path::VALIDATE_AUTOMATION,
    path::VALIDATE_PEOPLE,
    path::MUTATE_AUTOMATION,
    path::MUTATE_PEOPLE,
];

/// A server on a free port, and what its clients trust.
struct Server {
    address: SocketAddr,
    tls: TlsConnector,
    shutdown: Shutdown,
    task: JoinHandle<Result<(), BoxError>>,
}

/// An API server that answers with what stands under a path, and 404 for every other.
fn api(objects: Vec<(&'static str, Value)>) -> Client {
    let objects = Arc::new(objects);
    let answer = tower::service_fn(move |request: Request<kube::client::Body>| {
        let objects = Arc::clone(&objects);
        async move {
            let path = request.uri().path();
            let found = objects.iter().find(|(known, _)| *known == path);
            let none = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                "reason": "NotFound", "message": "not found", "code": 404});
            let body = found.map_or(&none, |(_, object)| object).to_string();
            let mut response = Response::new(Full::new(Bytes::from(body)));
            if found.is_none() {
                *response.status_mut() = StatusCode::NOT_FOUND;
            }
            Ok::<_, BoxError>(response)
        }
    });
    Client::new(answer, "default")
}

/// A board that has read the shipped policies, the default configuration and one namespace.
fn full_board(metrics: &WebhookMetrics) -> Arc<Board> {
    let board = Board::new(metrics.clone());
    board.config(Event::Init);
    board.config(Event::InitApply(SmartOpsConfig::new("default", SmartOpsConfigSpec::default())));
    board.config(Event::InitDone);
    board.namespace(Event::Init);
    let namespace =
        json!({"metadata": {"name": "shop", "labels": {"kubernetes.io/metadata.name": "shop"}}});
    board.namespace(Event::InitApply(serde_json::from_value::<Namespace>(namespace).unwrap()));
    board.namespace(Event::InitDone);
    board.policy(Event::Init);
    for policy in policy::shipped() {
        board.policy(Event::InitApply(policy.into()));
    }
    board.policy(Event::InitDone);
    board
}

async fn start(fill: impl Fn(&WebhookMetrics) -> Arc<Board>) -> Server {
    start_with(fill, Vec::new(), api(Vec::new())).await
}

/// A server whose first list of Deployments told `workloads`, and whose live reads go to `client`.
async fn start_with(
    fill: impl Fn(&WebhookMetrics) -> Arc<Board>,
    workloads: Vec<Workload>,
    client: Client,
) -> Server {
    let metrics = WebhookMetrics::new(&Metrics::new("webhook").unwrap()).unwrap();
    let histories = Arc::new(Histories::new(metrics.clone()));
    histories.observe(Event::<Workload>::Init);
    for workload in workloads {
        histories.observe(Event::InitApply(workload));
    }
    histories.observe(Event::<Workload>::InitDone);
    let live = Live::new(client, metrics.clone());
    let (alarm, _events) = told::alarm(&metrics);
    let reviewer = Reviewer::new(fill(&metrics), histories, live, alarm, metrics);
    let names = Names::new(["127.0.0.1"]).unwrap();
    let bundle = issue::all(&names, Lifetimes::default(), Clock.now()).unwrap();
    let resolver = Resolver::new();
    resolver.present_chain(bundle.certificate.as_bytes(), bundle.key.as_bytes()).unwrap();
    let listener = serve::bind("webhook", SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let (address, shutdown) = (listener.address(), Shutdown::new());
    let options =
        Options { tls: Some(Arc::new(resolver.server_config().unwrap())), max_connections: 64 };
    let router = router(Arc::new(reviewer));
    let task = tokio::spawn(listener.serve(router, options, shutdown.clone()));
    Server { address, tls: trusting(&bundle), shutdown, task }
}

fn trusting(bundle: &Bundle) -> TlsConnector {
    trust::connector([pem::first(bundle.authority.as_bytes()).unwrap()]).unwrap()
}

impl Server {
    async fn connect(&self) -> SendRequest<Full<Bytes>> {
        connect(self.address, &self.tls).await
    }

    /// One request on a connection of its own: status and body.
    async fn post(&self, path: &str, body: impl Into<Bytes>) -> (StatusCode, Bytes) {
        let response = self.connect().await.send_request(request(path, body)).await.unwrap();
        let status = response.status();
        (status, response.into_body().collect().await.unwrap().to_bytes())
    }

    /// The answer's `response`.
    async fn review(&self, path: &str, review: &Value) -> Value {
        let (status, body) = self.post(path, review.to_string()).await;
        assert_eq!(status, StatusCode::OK, "{body:?}");
        let reply: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(reply["kind"], "AdmissionReview");
        assert_eq!(reply["apiVersion"], review["apiVersion"]);
        reply["response"].clone()
    }
}

async fn connect(address: SocketAddr, tls: &TlsConnector) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let stream = tls.connect(name, stream).await.unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(path)
        .header(header::HOST, "127.0.0.1")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body.into()))
        .unwrap()
}

fn review(user: &str, old: i64, new: i64) -> Value {
    let object = |replicas| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop", "uid": "d1", "resourceVersion": "5", "generation": 2},
            "spec": {"replicas": replicas, "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}})
    };
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "0a1b", "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
        "operation": "UPDATE", "namespace": "shop", "name": "web",
        "userInfo": {"username": user, "groups": ["system:authenticated"]},
        "object": object(new), "oldObject": object(old)}})
}
