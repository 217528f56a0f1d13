//! Tests through the real server: TLS, HTTP/1.1, the four routes, with the shipped policies and no cluster behind.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use smartops_certs::bundle::{Bundle, Names};
use smartops_certs::issue::{self, Lifetimes};
use smartops_certs::resolver::Resolver;
use smartops_common::config::{Outage, People, SmartOpsConfig, SmartOpsConfigSpec};
use smartops_common::names::path;
use smartops_guard::policy;
use smartops_process::BoxError;
use smartops_process::clock::Clock;
use smartops_process::metrics::Metrics;
use smartops_process::serve::{self, Options};
use smartops_process::shutdown::Shutdown;
use smartops_process::watch::Event;
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use crate::admission::http::{BODY_LIMIT, router};
use crate::history::Histories;
use crate::live::Live;
use crate::metrics::WebhookMetrics;
use crate::review::Reviewer;
use crate::snapshot::Board;
use crate::told;
use crate::workload::Workload;

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
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(bundle.authority.as_bytes()).unwrap()).unwrap();
    let config =
        rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    TlsConnector::from(Arc::new(config))
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

#[tokio::test]
async fn a_person_may_scale_within_the_range_and_not_beyond_it() {
    let server = start(full_board).await;
    let allowed = server.review(path::VALIDATE_PEOPLE, &review("alice", 3, 5)).await;
    assert_eq!(allowed, json!({"uid": "0a1b", "allowed": true}));
    let denied = server.review(path::VALIDATE_PEOPLE, &review("alice", 3, 50)).await;
    assert_eq!((&denied["uid"], &denied["allowed"]), (&json!("0a1b"), &json!(false)));
    assert_eq!(denied["status"]["code"], 403);
    let cause = &denied["status"]["details"]["causes"][0];
    assert_eq!(cause["reason"], "smartops-baseline/replicas");
    assert_eq!(cause["field"], "spec.replicas");
}

#[tokio::test]
async fn who_is_automation_is_told_by_the_user_and_by_automations_path() {
    let controller = "system:serviceaccount:smartops-system:smartops-orchestrator";
    let client = api(vec![(REMEDIATIONS, announcing(6))]);
    let server = start_with(full_board, Vec::new(), client).await;
    for path in [path::VALIDATE_PEOPLE, path::VALIDATE_AUTOMATION] {
        let denied = server.review(path, &review(controller, 3, 6)).await;
        let causes = denied.pointer("/status/details/causes").unwrap().as_array().unwrap();
        assert_eq!(causes.len(), 1, "a step of three is one too many, though announced: {denied}");
        let agent = server.review(path, &review("system:serviceaccount:agents:bot", 3, 6)).await;
        assert_eq!(agent["allowed"], path == path::VALIDATE_PEOPLE, "{agent}");
    }
    // The API server has called somebody automation whom the configuration does not (any more) name.
    let denied = server.review(path::VALIDATE_AUTOMATION, &review("alice", 3, 6)).await;
    assert_eq!(denied["allowed"], false, "{denied}");
}

/// The shipped policies, and one that names SmartOps' own kinds and a secret for automation.
fn generous_board(metrics: &WebhookMetrics) -> Arc<Board> {
    let board = full_board(metrics);
    let kinds = [("smartops.dev", "guardrailpolicies"), ("", "secrets")];
    let kinds = kinds.map(|(group, resource)| json!({"group": group, "resource": resource}));
    let spec = json!({
        "match": {"kinds": kinds, "operations": ["UPDATE", "DELETE"],
            "subjects": {"include": {"automation": true}}},
        "rules": {},
    });
    let policy = json!({"metadata": {"name": "generous"}, "spec": spec});
    board.policy(Event::Apply(serde_json::from_value(policy).unwrap()));
    board
}

#[tokio::test]
async fn no_policy_gives_automation_what_is_smartops_own_and_what_is_not_passes() {
    let server = start(generous_board).await;
    for (group, resource, namespace, passes) in [
        ("smartops.dev", "guardrailpolicies", "", false),
        ("", "secrets", "smartops-system", false),
        ("", "secrets", "shop", true),
    ] {
        let mut review = review("system:serviceaccount:agents:bot", 3, 3);
        review["request"]["resource"] =
            json!({"group": group, "version": "v1", "resource": resource});
        review["request"]["namespace"] = json!(namespace);
        for path in [path::MUTATE_AUTOMATION, path::VALIDATE_AUTOMATION] {
            let response = server.review(path, &review).await;
            assert_eq!(response["allowed"], passes, "{path} {resource} {namespace}: {response}");
        }
    }
}

const REMEDIATIONS: &str = "/apis/smartops.dev/v1alpha1/namespaces/shop/remediations";

/// The Remediation of which an open attempt announces this number for the object that is reviewed.
fn announcing(replicas: i64) -> Value {
    let ends = Clock.now().checked_add(SignedDuration::from_secs(30)).unwrap();
    let attempt = json!({
        "number": 1, "kind": "Apply", "intent": {"type": "scale", "replicas": replicas},
        "target": {"uid": "d1", "generation": 2, "resourceVersion": "5"},
        "former": {"replicas": 3}, "leader": "orchestrator-1/1",
        "startedAt": Clock.now(), "deadline": ends,
    });
    let remediation = json!({
        "metadata": {"name": "r", "namespace": "shop", "uid": "r"},
        "spec": {"target": {"kind": "Deployment", "name": "web", "uid": "d1"},
            "action": {"type": "scale", "scale": {"replicas": replicas}}, "cause": "api/scale", "source": "user"},
        "status": {"phase": "Executing", "attempts": [attempt]},
    });
    json!({"metadata": {}, "items": [remediation]})
}

#[tokio::test]
async fn what_the_controller_announced_is_looked_up_live_and_no_other_write_of_its_passes() {
    let controller = "system:serviceaccount:smartops-system:smartops-orchestrator";
    let nothing = json!({"metadata": {}, "items": []});
    for (client, denied_by) in [
        (api(vec![(REMEDIATIONS, announcing(5))]), None),
        (api(vec![(REMEDIATIONS, announcing(4))]), Some("smartops-controller/warrant")),
        (api(vec![(REMEDIATIONS, nothing)]), Some("smartops-controller/warrant")),
        (api(Vec::new()), Some("smartops-automation/undecided")),
    ] {
        let server = start_with(full_board, Vec::new(), client).await;
        let response = server.review(path::VALIDATE_AUTOMATION, &review(controller, 3, 5)).await;
        assert_eq!(response["allowed"], denied_by.is_none(), "{response}");
        let reason = response.pointer("/status/details/causes/0/reason").and_then(Value::as_str);
        assert_eq!(reason, denied_by);
    }
}

#[tokio::test]
async fn a_restart_from_before_the_watch_is_dated_by_its_replica_sets_and_not_known_is_denied() {
    const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/shop/deployments/web";
    const REPLICA_SETS: &str = "/apis/apps/v1/namespaces/shop/replicasets";
    let mut restart = review("system:serviceaccount:agents:bot", 3, 3);
    let deployment = restart["request"]["oldObject"].clone();
    restart["request"]["object"]["spec"]["template"]["metadata"] =
        json!({"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-11-21T10:00:00Z"}});
    let revisions = |ages: &[i64]| {
        let set = |age: &i64| {
            json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {
                "name": format!("web-{age}"), "namespace": "shop",
                "creationTimestamp": Clock.now().checked_sub(SignedDuration::from_secs(*age)).unwrap(),
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web",
                    "uid": "d1", "controller": true}]}})
        };
        let items: Vec<_> = ages.iter().map(set).collect();
        json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList",
            "metadata": {}, "items": items})
    };
    let known =
        |ages: &[i64]| api(vec![(DEPLOYMENT, deployment.clone()), (REPLICA_SETS, revisions(ages))]);
    for (client, denied_by) in [
        (known(&[9000, 3600]), None),
        (known(&[9000, 10]), Some("smartops-automation/cooldown")),
        (api(Vec::new()), Some("smartops-automation/undecided")),
    ] {
        let workload = serde_json::from_value(deployment.clone()).unwrap();
        let server = start_with(full_board, vec![workload], client).await;
        let response = server.review(path::VALIDATE_AUTOMATION, &restart).await;
        assert_eq!(response["allowed"], denied_by.is_none(), "{response}");
        let reason = response.pointer("/status/details/causes/0/reason").and_then(Value::as_str);
        assert_eq!(reason, denied_by);
    }
}

#[tokio::test]
async fn both_versions_of_the_review_are_judged_alike() {
    let server = start(full_board).await;
    for version in ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"] {
        let mut review = review("alice", 3, 5);
        review["apiVersion"] = json!(version);
        assert_eq!(server.review(path::VALIDATE_PEOPLE, &review).await["allowed"], true);
    }
}

#[tokio::test]
async fn an_odd_review_gets_a_well_formed_denial_on_every_path() {
    let server = start(full_board).await;
    let mut no_uid = review("alice", 3, 5);
    no_uid["request"].as_object_mut().unwrap().remove("uid");
    let mut wrong_kind = review("alice", 3, 5);
    wrong_kind["kind"] = json!("Pod");
    let mut operation = review("alice", 3, 5);
    operation["request"]["operation"] = json!("OBLITERATE");
    let mut mistyped = review("alice", 3, 5);
    mistyped["request"]["userInfo"] = json!(7);
    let mut replicas = review("alice", 3, 5);
    replicas["request"]["object"]["spec"]["replicas"] = json!("many");
    for path in PATHS {
        for (review, uid) in [
            (&no_uid, ""),
            (&wrong_kind, "0a1b"),
            (&operation, "0a1b"),
            (&mistyped, "0a1b"),
            (&replicas, "0a1b"),
        ] {
            let response = server.review(path, review).await;
            assert_eq!(response["uid"], uid, "{path} {review}");
            assert_eq!(response["allowed"], false, "{path} {review}");
            assert_eq!(response["status"]["code"], 403);
            assert_eq!(response["status"]["details"]["causes"][0]["reason"], "undecided");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_judged_fares_for_people_as_the_outage_mode_says_and_is_denied_to_automation()
 {
    for (outage, passes) in
        [(Outage::Fail, false), (Outage::Backstop, true), (Outage::Ignore, true)]
    {
        let server = start(move |metrics| {
            let board = full_board(metrics);
            let people = People { outage };
            let config = SmartOpsConfigSpec { people, ..SmartOpsConfigSpec::default() };
            board.config(Event::Apply(SmartOpsConfig::new("default", config)));
            board
        })
        .await;
        let mut odd = review("alice", 3, 5);
        odd["request"]["operation"] = json!("OBLITERATE");
        for path in [path::VALIDATE_PEOPLE, path::MUTATE_PEOPLE] {
            let response = server.review(path, &odd).await;
            assert_eq!(response["allowed"], passes, "{outage:?} {path} {response}");
            assert_eq!(response.get("warnings").is_some(), passes, "{outage:?} {response}");
        }
        let denied = server.review(path::VALIDATE_AUTOMATION, &odd).await;
        assert_eq!(denied["allowed"], false, "{outage:?} {denied}");
        odd["request"]["userInfo"]["username"] =
            json!("system:serviceaccount:smartops-system:smartops-orchestrator");
        let denied = server.review(path::VALIDATE_PEOPLE, &odd).await;
        assert_eq!(denied["allowed"], false, "{outage:?} {denied}");
        // What can be judged is judged all the same.
        let denied = server.review(path::VALIDATE_PEOPLE, &review("alice", 3, 50)).await;
        assert_eq!(denied["allowed"], false, "{outage:?} {denied}");
    }
}

#[tokio::test]
async fn bytes_that_hold_no_review_are_an_http_error() {
    let server = start(full_board).await;
    assert_eq!(server.post(PATHS[0], "garbage").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(server.post(PATHS[0], "{}").await.0, StatusCode::BAD_REQUEST);
    let large = vec![b' '; BODY_LIMIT + 1024 * 1024];
    assert_eq!(server.post(PATHS[0], large).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(server.post("/elsewhere", "{}").await.0, StatusCode::NOT_FOUND);
    let mut text = request(PATHS[0], "{}");
    text.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    let response = server.connect().await.send_request(text).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn before_anything_is_read_every_write_is_undecided() {
    let server = start(|metrics| Board::new(metrics.clone())).await;
    let response = server.review(path::VALIDATE_PEOPLE, &review("alice", 3, 5)).await;
    assert_eq!(response["allowed"], false);
    assert_eq!(response["status"]["details"]["causes"][0]["reason"], "undecided");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_clients_are_all_answered_through_the_drain_and_asked_to_close() {
    const CLIENTS: usize = 16;
    const REQUESTS: usize = 20;
    let server = start(full_board).await;
    let review = Bytes::from(review("alice", 3, 5).to_string());
    let warm = Arc::new(Barrier::new(CLIENTS + 1));
    let draining = Arc::new(Barrier::new(CLIENTS + 1));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (tls, address) = (server.tls.clone(), server.address);
            let (warm, draining) = (Arc::clone(&warm), Arc::clone(&draining));
            let review = review.clone();
            tokio::spawn(async move {
                let mut sender = connect(address, &tls).await;
                let response = sender
                    .send_request(request(path::VALIDATE_PEOPLE, review.clone()))
                    .await
                    .unwrap();
                assert!(!response.headers().contains_key(header::CONNECTION));
                response.into_body().collect().await.unwrap();
                warm.wait().await;
                draining.wait().await;
                for _ in 0..REQUESTS {
                    let response = sender
                        .send_request(request(path::VALIDATE_PEOPLE, review.clone()))
                        .await
                        .unwrap();
                    assert_eq!(response.status(), StatusCode::OK);
                    assert_eq!(response.headers()[header::CONNECTION], "close");
                    response.into_body().collect().await.unwrap();
                    sender = connect(address, &tls).await;
                }
                sender
            })
        })
        .collect();
    warm.wait().await;
    server.shutdown.drain();
    draining.wait().await;
    let mut idle = Vec::new();
    for client in clients {
        idle.push(client.await.unwrap());
    }
    server.shutdown.stop();
    let ended = tokio::time::timeout(Duration::from_secs(5), server.task).await;
    ended.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn the_certificate_presented_is_the_one_the_authority_vouches_for() {
    let server = start(full_board).await;
    let names = Names::new(["127.0.0.1"]).unwrap();
    let other = issue::all(&names, Lifetimes::default(), Clock.now()).unwrap();
    let stream = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    assert!(trusting(&other).connect(name, stream).await.is_err());
}
