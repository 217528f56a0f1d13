//! A scripted API server that keeps what is written to it, and the controller's routes in front of it. Whatever they
//! answer is held against the document they publish.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use kube::Client;
use kube::runtime::reflector::{self, store::Writer};
use kube::runtime::watcher;
use serde_json::{Value, json};
use smartops_common::denial::{Cause, Denial, Rule};
use smartops_common::remediation::{
    Observed, Phase, Remediation, RemediationStatus, VerificationStatus,
};
use smartops_process::clock::Clock;
use smartops_process::health::{self, Readiness};
use smartops_process::metrics::Metrics;
use smartops_process::shutdown::Shutdown;
use tower::{ServiceExt, service_fn};

use crate::api::auth::Authenticator;
use crate::api::keys::Keys;
use crate::api::limits::{Limits, Rate};
use crate::api::openapi::tests::documented;
use crate::api::remediations::watch::Watches;
use crate::api::{Api, router, with_fallbacks};
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::fixture::{at, deployment};
use crate::metrics::ControllerMetrics;
use crate::policy;
use crate::remediation::machine::{Written, after_write};
use crate::remediation::record;
use crate::remediation::tidings::Tidings;

/// SHA-256 of `secret`; `narrow` is a key for scaling in `shop`, `signer` signs with 16 times `s`.
pub(super) const KEYS: &str = "tester 2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b
    narrow 5eda958e9ddee7721fb71e7a7618c64dbf20cc77b06ba4e4d2269d6c3e50655b namespaces=shop actions=scale
    signer sign:73737373737373737373737373737373";

/// What becomes of a Remediation that was just made.
#[derive(Debug, Clone)]
pub(super) enum End {
    /// It stays as it is.
    Waits,
    /// Written, and healthy where that was asked.
    Well,
    /// A guardrail refuses.
    Refused(Rule, Option<u32>),
}

/// What the API server holds.
#[derive(Debug)]
pub(super) struct World {
    /// Deployments by namespace, name and `app`.
    pub(super) deployments: Vec<(String, String, String)>,
    /// Paths of other objects, and what they hold.
    pub(super) objects: Vec<(String, Value)>,
    /// Remediations as last written.
    pub(super) remediations: Vec<Value>,
    /// The status of the SmartOpsConfig.
    pub(super) config: Value,
    /// Creates that fail with 503 before one passes.
    pub(super) failing_creates: usize,
    /// What becomes of what is made.
    pub(super) end: End,
    calls: Vec<String>,
    writer: Writer<Remediation>,
    keeper: policy::Keeper,
    tidings: Tidings,
}

/// The controller in front of a world.
#[derive(Clone)]
pub(super) struct Server {
    router: Router,
    pub(super) metrics: Metrics,
    pub(super) world: Arc<Mutex<World>>,
}

/// A server whose cluster knows the token `good` (user `ann`, who may get but not patch), the token `root` (who may do
/// everything) and these Deployments of smartops-dev.
pub(super) fn server(deployments: &[(&str, &str)]) -> Server {
    limited(deployments, Rate { per_second: 1000, burst: 1000 })
}

/// The same, with this rate.
pub(super) fn limited(deployments: &[(&str, &str)], rate: Rate) -> Server {
    let server = just_begun(deployments, rate);
    server.list_everything();
    server
}

/// The same, but it has listed neither policies nor Remediations yet.
pub(super) fn just_begun(deployments: &[(&str, &str)], rate: Rate) -> Server {
    let (store, writer) = reflector::store();
    let (policies, keeper) = policy::policies();
    let tidings = Tidings::default();
    let world = Arc::new(Mutex::new(World {
        deployments: deployments
            .iter()
            .map(|(name, app)| ("smartops-dev".into(), (*name).into(), (*app).into()))
            .collect(),
        objects: Vec::new(),
        remediations: Vec::new(),
        config: json!({}),
        failing_creates: 0,
        end: End::Waits,
        calls: Vec::new(),
        writer,
        keeper,
        tidings: tidings.clone(),
    }));
    let seen = Arc::clone(&world);
    let cluster = service_fn(move |request: axum::http::Request<kube::client::Body>| {
        let seen = Arc::clone(&seen);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await.unwrap_or_default();
            let sent = serde_json::from_slice(&body).unwrap_or_default();
            let (code, answer) = seen.lock().unwrap().answer(&parts.method, &parts.uri, &sent);
            let response = axum::http::Response::builder()
                .status(code)
                .body(Body::from(answer.to_string()))
                .unwrap();
            Ok::<_, Infallible>(response)
        }
    });
    let metrics = Metrics::new("controller").unwrap();
    let ours = ControllerMetrics::new(&metrics).unwrap();
    // A stream of changes ends with what there is: here nothing changes.
    let over = Shutdown::new();
    over.stop();
    let api = Arc::new(Api {
        cluster: Cluster::new(Client::new(cluster, "default"), ours.clone()),
        remediations: store,
        authenticator: Authenticator::new(Keys::of(KEYS)),
        policies,
        watches: Watches::new(tidings, over),
        limits: Limits::new(rate),
        default_namespace: "smartops-dev".into(),
        prefix: "smartops-".into(),
        clock: Clock,
        metrics: ours,
    });
    let readiness = Readiness::new(Shutdown::new());
    let health = health::router("orchestrator", readiness, metrics.clone());
    Server { router: with_fallbacks(router(api).merge(health)), metrics, world }
}

fn status(code: u16, reason: &str) -> (u16, Value) {
    (
        code,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": code, "message": reason, "reason": reason}),
    )
}

fn list(items: &[Value]) -> (u16, Value) {
    (200, json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}))
}

impl World {
    fn answer(&mut self, method: &Method, uri: &axum::http::Uri, sent: &Value) -> (u16, Value) {
        let path = uri.path();
        self.calls.push(format!("{method} {path}"));
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (method.as_str(), parts.as_slice()) {
            ("POST", ["apis", "authentication.k8s.io", "v1", "tokenreviews"]) => {
                let token = sent["spec"]["token"].as_str().unwrap_or_default();
                let user = if token == "root" { "root" } else { "ann" };
                let good = ["good", "root"].contains(&token);
                let status = json!({"authenticated": good, "user": {"username": user}});
                (201, json!({"metadata": {}, "spec": {"token": ""}, "status": status}))
            }
            ("POST", ["apis", "authorization.k8s.io", "v1", "subjectaccessreviews"]) => {
                let spec = &sent["spec"];
                let allowed = spec["user"] == "root" || spec["resourceAttributes"]["verb"] == "get";
                (201, json!({"metadata": {}, "spec": {}, "status": {"allowed": allowed}}))
            }
            ("GET", ["api", "v1", "namespaces", name]) => {
                if self.deployments.iter().any(|d| d.0 == *name) || *name == "smartops-dev" {
                    (200, json!({"metadata": {"name": name}}))
                } else {
                    status(404, "NotFound")
                }
            }
            ("GET", ["apis", "apps", "v1", "namespaces", namespace, "deployments"]) => {
                let of = self.deployments.iter().filter(|d| d.0 == *namespace);
                let items: Vec<Value> = of.map(metadata).collect();
                list(&items)
            }
            ("GET", ["apis", "apps", "v1", "namespaces", namespace, "deployments", name]) => {
                match self.deployments.iter().find(|d| d.0 == *namespace && d.1 == *name) {
                    Some(known) => {
                        let mut live = deployment(3).stored().clone();
                        live["metadata"]["name"] = known.1.clone().into();
                        live["metadata"]["uid"] = metadata(known)["metadata"]["uid"].clone();
                        (200, live)
                    }
                    None => status(404, "NotFound"),
                }
            }
            ("GET", ["api", "v1", "namespaces", _, "pods"]) => list(&[]),
            ("GET", ["apis", "smartops.dev", "v1alpha1", "smartopsconfigs", "default"]) => {
                (200, self.config())
            }
            (
                "PATCH",
                ["apis", "smartops.dev", "v1alpha1", "smartopsconfigs", "default", "status"],
            ) => {
                let turned = sent["status"]["closedLoop"].as_object().unwrap();
                let kept = turned.clone().into_iter().filter(|(_, value)| !value.is_null());
                self.config = json!({"closedLoop": kept.collect::<serde_json::Map<_, _>>()});
                (200, self.config())
            }
            (
                _,
                [
                    "apis",
                    "smartops.dev",
                    "v1alpha1",
                    "namespaces",
                    namespace,
                    "remediations",
                    of @ ..,
                ],
            ) => self.remediation(method, uri.query().unwrap_or_default(), namespace, of, sent),
            _ => match self.objects.iter().find(|(known, _)| known == path) {
                Some((_, object)) => (200, object.clone()),
                None => status(404, "NotFound"),
            },
        }
    }

    fn remediation(
        &mut self,
        method: &Method,
        query: &str,
        namespace: &str,
        of: &[&str],
        sent: &Value,
    ) -> (u16, Value) {
        let place = |all: &[Value], name: &Value| {
            all.iter().position(|r| {
                r["metadata"]["name"] == *name && r["metadata"]["namespace"] == namespace
            })
        };
        match (method.as_str(), of) {
            ("GET", []) => {
                let uid = query.split("spec.target.uid%3D").nth(1);
                let of = |r: &&Value| {
                    let phase = r["status"]["phase"].as_str().unwrap_or("Pending");
                    let is_meant = match uid {
                        Some(uid) => r["spec"]["target"]["uid"] == uid.split('&').next().unwrap(),
                        None => ["Pending", "AwaitingApproval"].contains(&phase),
                    };
                    is_meant && r["metadata"]["namespace"] == namespace
                };
                let items: Vec<Value> = self.remediations.iter().filter(of).cloned().collect();
                list(&items)
            }
            ("POST", []) => {
                if self.failing_creates > 0 {
                    self.failing_creates -= 1;
                    return status(503, "Unavailable");
                }
                if place(&self.remediations, &sent["metadata"]["name"]).is_some() {
                    return status(409, "AlreadyExists");
                }
                let mut made = sent.clone();
                made["metadata"]["namespace"] = namespace.into();
                made["metadata"]["uid"] = format!("uid-{}", self.remediations.len()).into();
                made["metadata"]["creationTimestamp"] = json!("2026-03-01T12:00:00Z");
                self.remediations.push(made.clone());
                self.end_of(made.clone());
                (201, made)
            }
            ("GET", [name]) => match place(&self.remediations, &(*name).into()) {
                Some(index) => (200, self.remediations[index].clone()),
                None => status(404, "NotFound"),
            },
            ("PUT", [name, "status"]) => match place(&self.remediations, &(*name).into()) {
                Some(index) => {
                    self.remediations[index]["status"] = sent["status"].clone();
                    (200, self.remediations[index].clone())
                }
                None => status(404, "NotFound"),
            },
            _ => status(405, "MethodNotAllowed"),
        }
    }

    fn config(&self) -> Value {
        json!({"apiVersion": "smartops.dev/v1alpha1", "kind": "SmartOpsConfig",
            "metadata": {"name": "default"}, "spec": {}, "status": self.config})
    }

    /// Plays the worker.
    fn end_of(&mut self, made: Value) {
        let mut ended: Remediation = serde_json::from_value(made).unwrap();
        let live = deployment(3);
        let mut status = RemediationStatus::default();
        match crate::action::plan(&ended.spec.action, None, &live, at(10)) {
            Ok(intent) => record::begin(&mut status, intent, &live, "me", at(10)),
            Err(error) => {
                let reason = crate::remediation::machine::reason::MALFORMED;
                record::finish(&mut status, Phase::Failed, reason, error.to_string(), at(10));
                ended.status = Some(status);
                return self.store(ended);
            }
        }
        ended.status = Some(status);
        let outcome = match &self.end {
            End::Waits => return,
            End::Well if ended.spec.dry_run => Written::Passed,
            End::Well => Written::Committed(Box::new(live)),
            End::Refused(rule, retry_after_seconds) => Written::Failed(Failure::Denied(Denial {
                message: "the webhook's words".into(),
                causes: vec![Cause {
                    policy: "p".into(),
                    rule: *rule,
                    path: "spec.replicas".into(),
                    message: "why".into(),
                }],
                retry_after_seconds: *retry_after_seconds,
            })),
        };
        let mut status = after_write(&ended, outcome, at(10));
        if status.phase == Phase::Verifying {
            let observed =
                Observed { ready_replicas: 4, updated_replicas: 4, ..Observed::default() };
            let verdict = VerificationStatus::Success;
            record::end_verification(&mut status, verdict, "Deployment healthy", observed, at(12));
            record::finish(&mut status, Phase::Succeeded, "Verified", "healthy", at(12));
        }
        ended.status = Some(status);
        self.store(ended);
    }

    fn store(&mut self, ended: Remediation) {
        self.remediations.pop();
        self.keep(ended);
    }

    /// Has it stand in etcd, and seen.
    pub(super) fn keep(&mut self, ended: Remediation) {
        self.remediations.push(serde_json::to_value(&ended).unwrap());
        self.writer.apply_watcher_event(&watcher::Event::Apply(ended));
    }
}

fn metadata((namespace, name, app): &(String, String, String)) -> Value {
    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
        "metadata": {"name": name, "namespace": namespace, "uid": format!("uid-{name}"), "labels": {"app": app}}})
}

/// A reply.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) kind: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

/// A request in the making.
pub(super) struct Asked<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) headers: Vec<(&'a str, String)>,
    pub(super) body: Body,
}

impl<'a> Asked<'a> {
    pub(super) fn new(method: Method, path: &'a str, body: impl Into<Body>) -> Self {
        Self { method, path, headers: Vec::new(), body: body.into() }
    }

    pub(super) fn with(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl Server {
    /// Has it see what there is: no policies, no Remediations.
    pub(super) fn list_everything(&self) {
        let mut world = self.world.lock().unwrap();
        world.tidings.tell_listed();
        policy::tests::list(&mut world.keeper);
    }

    /// Sends a request; what comes back must be documented.
    pub(super) async fn send(&self, asked: Asked<'_>) -> Reply {
        let mut request = Request::builder().method(asked.method.clone()).uri(asked.path);
        for (name, value) in &asked.headers {
            request = request.header(*name, value);
        }
        let request = request.body(asked.body).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let kind = headers.get(header::CONTENT_TYPE);
        let kind = kind.and_then(|k| k.to_str().ok()).unwrap_or_default().to_owned();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        if let Err(problem) = documented(&asked.method, asked.path, status, &kind, &body) {
            panic!("{} {} answered {status} {body}: {problem}", asked.method, asked.path);
        }
        Reply { status, kind, headers, body }
    }

    pub(super) async fn post(&self, path: &str, body: impl Into<Body>) -> Reply {
        self.post_as(path, ("x-api-key", "secret"), body).await
    }

    pub(super) async fn post_as(
        &self,
        path: &str,
        who: (&str, &str),
        body: impl Into<Body>,
    ) -> Reply {
        let asked = Asked::new(Method::POST, path, body);
        self.send(asked.with("content-type", "application/json").with(who.0, who.1)).await
    }

    pub(super) async fn tell(&self, path: &str, body: &Value) -> Reply {
        self.post(path, body.to_string()).await
    }

    pub(super) fn created_nothing(&self) -> bool {
        self.world.lock().unwrap().remediations.is_empty()
    }

    pub(super) fn metric(&self, line: &str) -> bool {
        self.metrics.encode().unwrap().lines().any(|known| known == line)
    }
}
