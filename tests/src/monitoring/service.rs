//! A service whose traffic somebody sets: it tells of its requests what a web service tells, for a Prometheus to scrape.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Upper bounds of the histogram, in seconds.
const BOUNDS: [f64; 7] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// What a service has to do, from now on.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Requests a second.
    pub per_second: f64,
    /// The share of them that fail.
    pub failing: f64,
    /// How many seconds each takes.
    pub seconds: f64,
}

impl Load {
    /// As it should be.
    pub const GOOD: Self = Self { per_second: 50.0, failing: 0.0, seconds: 0.03 };
    /// Half of the requests fail.
    pub const FAILING: Self = Self { failing: 0.5, ..Self::GOOD };
}

/// What has happened so far.
#[derive(Debug)]
struct Traffic {
    load: Load,
    until: Instant,
    good: f64,
    failed: f64,
    within: [f64; BOUNDS.len()],
    seconds: f64,
}

impl Traffic {
    const fn new(now: Instant) -> Self {
        Self {
            load: Load::GOOD,
            until: now,
            good: 0.0,
            failed: 0.0,
            within: [0.0; BOUNDS.len()],
            seconds: 0.0,
        }
    }

    /// Lets the load have lasted until `now`.
    fn go_on(&mut self, now: Instant) {
        let requests = self.load.per_second * (now - self.until).as_secs_f64();
        self.until = now;
        self.failed += requests * self.load.failing;
        self.good += requests * (1.0 - self.load.failing);
        self.seconds += requests * self.load.seconds;
        for (bound, within) in BOUNDS.iter().zip(&mut self.within) {
            if self.load.seconds <= *bound {
                *within += requests;
            }
        }
    }

    fn text(&self, namespace: &str, deployment: &str) -> String {
        let of = format!("namespace=\"{namespace}\",deployment=\"{deployment}\"");
        let all = self.good + self.failed;
        let mut text = "# TYPE http_requests_total counter\n".to_owned();
        for (status, count) in [(200, self.good), (500, self.failed)] {
            _ = writeln!(text, "http_requests_total{{{of},status=\"{status}\"}} {count}");
        }
        text.push_str("# TYPE http_request_latency_seconds histogram\n");
        for (bound, within) in BOUNDS.iter().zip(self.within) {
            _ = writeln!(
                text,
                "http_request_latency_seconds_bucket{{{of},le=\"{bound}\"}} {within}"
            );
        }
        _ = writeln!(text, "http_request_latency_seconds_bucket{{{of},le=\"+Inf\"}} {all}");
        _ = writeln!(text, "http_request_latency_seconds_sum{{{of}}} {}", self.seconds);
        _ = writeln!(text, "http_request_latency_seconds_count{{{of}}} {all}");
        text
    }
}

/// A running service, as far as Prometheus sees it. It ends with this value.
#[derive(Debug)]
pub struct Service {
    address: String,
    traffic: Arc<Mutex<Traffic>>,
    _runtime: Runtime,
}

impl Service {
    /// Starts one with a good load; its metrics carry the labels `namespace` and `deployment`.
    pub fn start(namespace: &str, deployment: &str) -> Result<Self> {
        let traffic = Arc::new(Mutex::new(Traffic::new(Instant::now())));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("no runtime")?;
        let listener = runtime
            .block_on(TcpListener::bind(("127.0.0.1", 0)))
            .context("the service has no port")?;
        let address = listener.local_addr().context("no address")?.to_string();
        let shown = Arc::clone(&traffic);
        let (of, named) = (namespace.to_owned(), deployment.to_owned());
        runtime.spawn(serve(listener, move || {
            let mut traffic = shown.lock().unwrap_or_else(PoisonError::into_inner);
            traffic.go_on(Instant::now());
            traffic.text(&of, &named)
        }));
        Ok(Self { address, traffic, _runtime: runtime })
    }

    /// `host:port`, where `/metrics` is told.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Gives it another load from now on.
    pub fn set(&self, load: Load) {
        let mut traffic = self.traffic.lock().unwrap_or_else(PoisonError::into_inner);
        traffic.go_on(Instant::now());
        traffic.load = load;
    }
}

async fn serve(listener: TcpListener, tell: impl Fn() -> String + Clone + Send + 'static) {
    while let Ok((stream, _)) = listener.accept().await {
        let tell = tell.clone();
        tokio::spawn(async move {
            let service = service_fn(move |_| {
                let mut answer = Response::new(Full::new(Bytes::from(tell())));
                let text = HeaderValue::from_static("text/plain; version=0.0.4");
                answer.headers_mut().insert(CONTENT_TYPE, text);
                async move { Ok::<_, Infallible>(answer) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            // A connection that breaks off is Prometheus'; it will look again.
            drop(served.await);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn requests_are_counted_by_how_they_ended_and_how_long_they_took() {
        let start = Instant::now();
        let mut traffic = Traffic::new(start);
        traffic.go_on(start + Duration::from_secs(2));
        traffic.load = Load { per_second: 10.0, failing: 0.25, seconds: 0.3 };
        traffic.go_on(start + Duration::from_secs(6));
        let text = traffic.text("shop", "web");
        let of = "namespace=\"shop\",deployment=\"web\"";
        for line in [
            format!("http_requests_total{{{of},status=\"200\"}} 130"),
            format!("http_requests_total{{{of},status=\"500\"}} 10"),
            format!("http_request_latency_seconds_bucket{{{of},le=\"0.05\"}} 100"),
            format!("http_request_latency_seconds_bucket{{{of},le=\"0.25\"}} 100"),
            format!("http_request_latency_seconds_bucket{{{of},le=\"0.5\"}} 140"),
            format!("http_request_latency_seconds_bucket{{{of},le=\"+Inf\"}} 140"),
            format!("http_request_latency_seconds_sum{{{of}}} 15"),
            format!("http_request_latency_seconds_count{{{of}}} 140"),
        ] {
            assert!(text.lines().any(|told| told == line), "no {line} in:\n{text}");
        }
    }
}
