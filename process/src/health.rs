//! Readiness by named handles, and the three routes every process answers: `/healthz`, `/readyz`, `/metrics`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use crate::metrics::{self, Metrics};
use crate::shutdown::Shutdown;

/// What a process waits for before it says it is ready. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Readiness {
    waiting: Arc<Mutex<BTreeMap<&'static str, Option<String>>>>,
    shutdown: Shutdown,
}

/// One thing waited for. Not ready until told so; may turn unready again.
#[derive(Debug, Clone)]
pub struct Handle {
    name: &'static str,
    readiness: Readiness,
}

impl Readiness {
    /// Nothing is waited for yet; not ready once `shutdown` drains.
    pub fn new(shutdown: Shutdown) -> Self {
        Self { waiting: Arc::default(), shutdown }
    }

    /// Adds something to wait for, not ready at first.
    pub fn handle(&self, name: &'static str) -> Handle {
        let handle = Handle { name, readiness: self.clone() };
        handle.not_ready("not yet");
        handle
    }

    /// What is missing, each as `name: why`; empty means ready.
    pub fn missing(&self) -> Vec<String> {
        let mut missing: Vec<String> = self
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .filter_map(|(name, why)| why.as_ref().map(|why| format!("{name}: {why}")))
            .collect();
        if self.shutdown.is_draining() {
            missing.push("shutdown: draining".into());
        }
        missing
    }

    /// Whether nothing is missing.
    pub fn is_ready(&self) -> bool {
        self.missing().is_empty()
    }
}

impl Handle {
    /// This is ready.
    pub fn ready(&self) {
        self.set(None);
    }

    /// This is not ready, and why.
    pub fn not_ready(&self, why: impl Into<String>) {
        self.set(Some(why.into()));
    }

    /// Whether this one is ready.
    pub fn is_ready(&self) -> bool {
        let waiting = self.readiness.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.get(self.name).is_some_and(Option::is_none)
    }

    fn set(&self, why: Option<String>) {
        let mut waiting = self.readiness.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let former = waiting.insert(self.name, why.clone());
        drop(waiting);
        if former.as_ref() != Some(&why) {
            match why {
                None => tracing::info!(part = self.name, "ready"),
                Some(why) => tracing::info!(part = self.name, %why, "not ready"),
            }
        }
    }
}

#[derive(Debug, Clone)]
struct Shared {
    service: &'static str,
    readiness: Readiness,
    metrics: Metrics,
}

/// `/healthz`, `/readyz` and `/metrics`. `service` stands in the body of `/healthz`.
pub fn router(service: &'static str, readiness: Readiness, metrics: Metrics) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(exposition))
        .with_state(Shared { service, readiness, metrics })
}

async fn healthz(State(shared): State<Shared>) -> Response {
    axum::Json(json!({ "status": "ok", "service": shared.service })).into_response()
}

async fn readyz(State(shared): State<Shared>) -> Response {
    let missing = shared.readiness.missing();
    let (code, status) = if missing.is_empty() {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    let body = json!({ "status": status, "service": shared.service, "missing": missing });
    (code, axum::Json(body)).into_response()
}

async fn exposition(State(shared): State<Shared>) -> Response {
    match shared.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn ask(router: Router, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn ready_only_when_every_handle_is_and_not_while_draining() {
        let shutdown = Shutdown::new();
        let readiness = Readiness::new(shutdown.clone());
        let (caches, certificate) = (readiness.handle("caches"), readiness.handle("certificate"));
        let router = router("orchestrator", readiness, Metrics::new("controller").unwrap());
        caches.ready();
        let (status, body) = ask(router.clone(), "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("certificate: not yet") && !body.contains("caches"), "{body}");
        certificate.ready();
        assert_eq!(ask(router.clone(), "/readyz").await.0, StatusCode::OK);
        shutdown.drain();
        let (status, body) = ask(router, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("draining"), "{body}");
    }

    #[tokio::test]
    async fn healthz_names_the_service() {
        let readiness = Readiness::new(Shutdown::new());
        let router = router("orchestrator", readiness, Metrics::new("controller").unwrap());
        let (status, body) = ask(router, "/healthz").await;
        assert_eq!(status, StatusCode::OK);
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body, json!({"status": "ok", "service": "orchestrator"}));
    }
}
