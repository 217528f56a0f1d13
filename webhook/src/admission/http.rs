//! The routes the API server posts reviews to, and their limits.
//!
//! Whatever can be answered is answered with 200 and a well-formed review; only bytes that hold no request are an
//! HTTP error, so that the registration's failurePolicy decides.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use smartops_common::names::path;
use smartops_process::body;
use tokio::time::Instant;

use super::envelope::{Envelope, Unreadable};
use super::reply::Answer;
use super::{Audience, Half};
use crate::review::{Asked, Reviewer};

/// The largest body read, in bytes.
pub const BODY_LIMIT: usize = 8 * 1024 * 1024;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// The time for a review whose caller does not say how long it waits.
const DEFAULT_TIME: Duration = Duration::from_secs(8);
/// The longest a registration may make the API server wait.
const LONGEST_TIME: Duration = Duration::from_secs(30);
/// What is kept of the caller's time for the way back.
const MARGIN: Duration = Duration::from_millis(500);

/// The four routes.
pub fn router(reviewer: Arc<Reviewer>) -> Router {
    let route = |audience, half| {
        post(move |State(reviewer): State<Arc<Reviewer>>, query, headers, body| async move {
            answer(&reviewer, audience, half, query, headers, body).await
        })
    };
    Router::new()
        .route(path::VALIDATE_AUTOMATION, route(Audience::Automation, Half::Validating))
        .route(path::VALIDATE_PEOPLE, route(Audience::People, Half::Validating))
        .route(path::MUTATE_AUTOMATION, route(Audience::Automation, Half::Mutating))
        .route(path::MUTATE_PEOPLE, route(Audience::People, Half::Mutating))
        .with_state(reviewer)
}

async fn answer(
    reviewer: &Reviewer,
    audience: Audience,
    half: Half,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let started = Instant::now();
    let bytes = match read(&headers, body).await {
        Ok(bytes) => bytes,
        Err(refusal) => return refusal,
    };
    let envelope = match Envelope::read(&bytes) {
        Ok(envelope) => envelope,
        Err(error) => return unreadable(&error),
    };
    let asked = Asked { audience, half, started, deadline: started + time(query.as_deref()) };
    let answer = reviewer.review(&envelope, asked).await;
    respond(&envelope, &answer)
}

/// The body of a review, or why there is none.
pub(crate) async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Response> {
    if !is_json(headers) {
        return Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json"));
    }
    body::read(body, BODY_LIMIT, BODY_TIMEOUT).await.map_err(|error| {
        let code = match error {
            body::Error::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            body::Error::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            body::Error::Broken => StatusCode::BAD_REQUEST,
        };
        refuse(code, &error.to_string())
    })
}

/// The answer to a body that holds no review.
pub(crate) fn unreadable(error: &Unreadable) -> Response {
    refuse(StatusCode::BAD_REQUEST, &error.to_string())
}

/// The answer in the review's own terms.
pub(crate) fn respond(envelope: &Envelope<'_>, answer: &Answer) -> Response {
    match answer.to_json(envelope.api_version, &envelope.uid) {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn refuse(code: StatusCode, why: &str) -> Response {
    tracing::warn!(code = code.as_u16(), why, "no review");
    (code, why.to_owned()).into_response()
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return true;
    };
    let media = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    media.trim().eq_ignore_ascii_case("application/json")
}

/// The time the caller waits, less the margin: the API server writes it as `?timeout=10s`.
pub(crate) fn time(query: Option<&str>) -> Duration {
    let asked = query
        .into_iter()
        .flat_map(|query| query.split('&'))
        .find_map(|pair| pair.strip_prefix("timeout="))
        .and_then(seconds);
    asked.map_or(DEFAULT_TIME, |asked| {
        let asked = asked.min(LONGEST_TIME);
        asked.saturating_sub(MARGIN).max(asked / 2)
    })
}

fn seconds(text: &str) -> Option<Duration> {
    if let Some(number) = text.strip_suffix("ms") {
        return number.parse().ok().map(Duration::from_millis);
    }
    text.strip_suffix('s')?.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_time_is_kept_with_a_margin() {
        let ms = Duration::from_millis;
        for (query, expected) in [
            (Some("timeout=10s"), ms(9500)),
            (Some("a=b&timeout=1s"), ms(500)),
            (Some("timeout=400ms"), ms(200)),
            (Some("timeout=1h"), DEFAULT_TIME),
            (Some("timeout=3600s"), ms(29500)),
            (Some("timeout="), DEFAULT_TIME),
            (None, DEFAULT_TIME),
        ] {
            assert_eq!(time(query), expected, "{query:?}");
        }
    }

    #[test]
    fn json_is_taken_with_or_without_a_charset() {
        let headers =
            |value: &str| HeaderMap::from_iter([(header::CONTENT_TYPE, value.parse().unwrap())]);
        assert!(is_json(&headers("application/json; charset=utf-8")));
        assert!(is_json(&HeaderMap::new()));
        assert!(!is_json(&headers("text/plain")));
    }
}
