//! A span for every request answered: what was asked, within which trace of the caller's, and how it ended.

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use super::traceparent;
use super::traces::{Kind, Origin, Span};

/// Answers a request within a span of its own.
pub async fn traced(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map(MatchedPath::as_str);
    let method = known(request.method());
    let caller = request.headers().get(traceparent::HEADER).and_then(|value| value.to_str().ok());
    let origin = Origin::Of(caller);
    let name = || route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
    let span = Span::begin(Kind::Server, name, origin);
    span.text("http.request.method", method);
    if let Some(route) = route {
        span.text("http.route", route);
    }
    let response = span.around(next.run(request)).await;
    let status = response.status();
    span.number("http.response.status_code", status.as_u16().into());
    if status.is_server_error() {
        span.failed(status.as_str(), status.canonical_reason().unwrap_or_default());
    }
    response
}

/// The method by a name of which there are few, whatever a caller may have come up with.
fn known(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] =
        ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|name| *name == method.as_str()).unwrap_or("_OTHER")
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;
    use crate::telemetry::traces;

    #[tokio::test]
    async fn a_request_is_answered_within_the_callers_trace() {
        const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let told = async || traces::current().unwrap_or_default();
        let router = Router::new().route("/a", get(told)).layer(axum::middleware::from_fn(traced));
        for (header, told) in [(CALLER, CALLER), ("nonsense", ""), ("\u{e9}", "")] {
            let request =
                Request::get("/a").header("traceparent", header.as_bytes()).body(Body::empty());
            let answer = router.clone().oneshot(request.unwrap()).await.unwrap();
            let body = axum::body::to_bytes(answer.into_body(), 1024).await.unwrap();
            assert_eq!(body, told, "{header}");
        }
    }

    #[test]
    fn a_method_nobody_knows_makes_no_name() {
        assert_eq!(known(&Method::PATCH), "PATCH");
        assert_eq!(known(&Method::from_bytes(b"BREW").unwrap()), "_OTHER");
    }
}
