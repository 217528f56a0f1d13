//! The two paths of the registration `smartops-own`.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use smartops_common::names::path;
use tokio::time::Instant;

use super::Checker;
use crate::admission::envelope::Envelope;
use crate::admission::{Half, http};

/// The routes of both halves.
pub fn router(checker: Arc<Checker>) -> Router {
    let route = |half| {
        post(move |State(checker): State<Arc<Checker>>, query, headers, body| async move {
            serve(&checker, half, query, headers, body).await
        })
    };
    Router::new()
        .route(path::VALIDATE_OWN, route(Half::Validating))
        .route(path::MUTATE_OWN, route(Half::Mutating))
        .with_state(checker)
}

async fn serve(
    checker: &Checker,
    half: Half,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let started = Instant::now();
    let bytes = match http::read(&headers, body).await {
        Ok(bytes) => bytes,
        Err(refusal) => return refusal,
    };
    let until = started + http::time(query.as_deref());
    match Envelope::read(&bytes) {
        Ok(envelope) => {
            let answer = checker.review(&envelope, half, until).await;
            http::respond(&envelope, &answer)
        }
        Err(error) => http::unreadable(&error),
    }
}
