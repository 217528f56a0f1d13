//! A service whose traffic a test sets, under a real Prometheus: what it tells of its requests is what a web service
//! tells, and comes to Prometheus by a scrape.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use smartops_tests::cluster::Cluster;
use smartops_tests::components::Monitors;
use smartops_tests::monitoring::{Job, Prometheus, Scraping};
use smartops_tests::process;
use smartops_tests::wait::{Seen, eventually};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::support::shared;

/// Upper bounds of the histogram, in seconds.
const BOUNDS: [f64; 7] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// How soon Prometheus must have seen what was set: some scrapes, and the time a rate looks back.
const SEEN: Duration = Duration::from_mins(1);

/// The 95th percentile of the seconds a request takes, and the share of requests that fail, of each Deployment.
pub(crate) const P95: &str = "histogram_quantile(0.95, sum by (namespace, deployment, le) \
                              (rate(http_request_latency_seconds_bucket[10s])))";
pub(crate) const ERROR_RATE: &str = "sum by (namespace, deployment) (rate(http_requests_total{status=~\"5..\"}[10s])) \
                                     / sum by (namespace, deployment) (rate(http_requests_total[10s]))";

/// What a service has to do, from now on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Requests a second.
    pub(crate) per_second: f64,
    /// The share of them that fail.
    pub(crate) failing: f64,
    /// How many seconds each takes.
    pub(crate) seconds: f64,
}

impl Load {
    /// As it should be.
    pub(crate) const GOOD: Self = Self { per_second: 50.0, failing: 0.0, seconds: 0.03 };
    /// Half of the requests fail.
    pub(crate) const FAILING: Self = Self { failing: 0.5, ..Self::GOOD };
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

/// A service under a Prometheus of its own.
#[derive(Debug)]
pub(crate) struct Watched {
    /// Which looks at it every second.
    pub(crate) prometheus: Prometheus,
    namespace: String,
    deployment: String,
    traffic: Arc<Mutex<Traffic>>,
    _runtime: Runtime,
}

impl Watched {
    /// Starts both, with a good load. Prometheus judges by `rules` and tells `alertmanagers`.
    pub(crate) fn start(
        cluster: &Cluster,
        namespace: &str,
        deployment: &str,
        rules: &[String],
        alertmanagers: &[String],
    ) -> Result<Self> {
        let traffic = Arc::new(Mutex::new(Traffic {
            load: Load::GOOD,
            until: Instant::now(),
            good: 0.0,
            failed: 0.0,
            within: [0.0; BOUNDS.len()],
            seconds: 0.0,
        }));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("no runtime")?;
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
        let address = listener.local_addr()?.to_string();
        let shown = Arc::clone(&traffic);
        let (of, named) = (namespace.to_owned(), deployment.to_owned());
        runtime.spawn(serve(listener, move || {
            let mut traffic = shown.lock().unwrap_or_else(PoisonError::into_inner);
            traffic.go_on(Instant::now());
            traffic.text(&of, &named)
        }));
        let scraping = Scraping {
            jobs: vec![Job { name: "services".to_owned(), targets: vec![address] }],
            rules: rules.to_vec(),
            alertmanagers: alertmanagers.to_vec(),
        };
        let monitors = Monitors::ensure(&|_| {})?;
        let prometheus = Prometheus::start(&monitors, cluster.dir(), namespace, &scraping)?;
        Ok(Self {
            prometheus,
            namespace: namespace.to_owned(),
            deployment: deployment.to_owned(),
            traffic,
            _runtime: runtime,
        })
    }

    /// Gives the service another load.
    pub(crate) fn set(&self, load: Load) {
        let mut traffic = self.traffic.lock().unwrap_or_else(PoisonError::into_inner);
        traffic.go_on(Instant::now());
        traffic.load = load;
    }

    /// What Prometheus answers to an expression that has one sample for each Deployment; none while it has no sample, or
    /// no number, for this one.
    pub(crate) fn number(&self, expression: &str) -> Result<Option<f64>> {
        let samples = self.prometheus.query(expression)?;
        let own = samples.iter().find(|sample| {
            let labels = &sample["metric"];
            labels["namespace"] == *self.namespace && labels["deployment"] == *self.deployment
        });
        let number: Option<f64> = own.and_then(|own| own["value"][1].as_str()?.parse().ok());
        Ok(number.filter(|number| number.is_finite()))
    }

    /// Waits until Prometheus sees a number that fits.
    pub(crate) fn sees(&self, expression: &str, fits: impl Fn(f64) -> bool) -> Result<()> {
        eventually(SEEN, &format!("Prometheus sees a fitting {expression}"), || {
            let number = self.number(expression)?;
            Ok(Seen::when(number.is_some_and(&fits), format!("{number:?}")))
        })
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

#[test]
fn prometheus_sees_of_a_service_what_was_set() -> Result<()> {
    let watched = Watched::start(shared()?, "watched", "web", &[], &[])?;
    watched.sees(ERROR_RATE, |share| share == 0.0)?;
    watched.sees(P95, |seconds| seconds <= 0.05)?;
    watched.set(Load { per_second: 40.0, failing: 0.25, seconds: 0.3 });
    watched.sees(ERROR_RATE, |share| (0.24..0.26).contains(&share))?;
    watched.sees(P95, |seconds| (0.45..=0.5).contains(&seconds))?;
    // Nothing is asked of it any more: that is no number, and no good one either.
    watched.set(Load { per_second: 0.0, ..Load::GOOD });
    eventually(SEEN, "there is no latency without a request", || {
        let seen = watched.number(P95)?;
        Ok(Seen::when(seen.is_none(), format!("{seen:?}")))
    })?;
    watched.prometheus.server.stop()
}

#[test]
fn a_prometheus_whose_rules_promtool_refuses_is_not_started() -> Result<()> {
    let rules = r#"{"groups": [{"name": "a", "rules": [{"alert": "A", "expr": "sum by (b"}]}]}"#;
    let refused = Watched::start(shared()?, "refused", "web", &[rules.to_owned()], &[]);
    let text = format!("{:#}", refused.unwrap_err());
    assert!(text.contains("promtool refuses") && text.contains("unclosed left parenthesis"), "{text}");
    assert_eq!(process::pid(shared()?.dir(), "prometheus-refused")?, None);
    Ok(())
}
