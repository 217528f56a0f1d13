//! A service whose traffic a test sets, under a real Prometheus, and what Prometheus sees of it.

use std::time::Duration;

use anyhow::Result;
use smartops_tests::cluster::Cluster;
use smartops_tests::components::Monitors;
use smartops_tests::monitoring::{Job, Load, Prometheus, Scraping, Service};
use smartops_tests::process;
use smartops_tests::wait::{Seen, eventually};

use crate::support::shared;

/// How soon Prometheus must have seen what was set: some scrapes, and the time a rate looks back.
const SEEN: Duration = Duration::from_mins(1);

/// The 95th percentile of the seconds a request takes, of each Deployment.
pub(crate) const P95: &str = "histogram_quantile(0.95, sum by (namespace, deployment, le) \
                              (rate(http_request_latency_seconds_bucket[10s])))";
/// The share of requests that fail, of each Deployment.
pub(crate) const ERROR_RATE: &str = "sum by (namespace, deployment) (rate(http_requests_total{status=~\"5..\"}[10s])) \
                                     / sum by (namespace, deployment) (rate(http_requests_total[10s]))";

/// A service under a Prometheus of its own.
#[derive(Debug)]
pub(crate) struct Watched {
    /// Which looks at it every second.
    pub(crate) prometheus: Prometheus,
    /// What it looks at.
    pub(crate) service: Service,
    namespace: String,
    deployment: String,
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
        let service = Service::start(namespace, deployment)?;
        let targets = vec![service.address().to_owned()];
        let scraping = Scraping {
            jobs: vec![Job { name: "services".to_owned(), targets }],
            rules: rules.to_vec(),
            alertmanagers: alertmanagers.to_vec(),
        };
        let monitors = Monitors::ensure(&|_| {})?;
        let prometheus = Prometheus::start(&monitors, cluster.dir(), namespace, &scraping)?;
        Ok(Self {
            prometheus,
            service,
            namespace: namespace.to_owned(),
            deployment: deployment.to_owned(),
        })
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

#[test]
fn prometheus_sees_of_a_service_what_was_set() -> Result<()> {
    let watched = Watched::start(shared()?, "watched", "web", &[], &[])?;
    watched.sees(ERROR_RATE, |share| share == 0.0)?;
    watched.sees(P95, |seconds| seconds <= 0.05)?;
    watched.service.set(Load { per_second: 40.0, failing: 0.25, seconds: 0.3 });
    watched.sees(ERROR_RATE, |share| (0.24..0.26).contains(&share))?;
    watched.sees(P95, |seconds| (0.45..=0.5).contains(&seconds))?;
    // Nothing is asked of it any more: that is no number, and no good one either.
    watched.service.set(Load { per_second: 0.0, ..Load::GOOD });
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
    assert!(
        text.contains("promtool refuses") && text.contains("unclosed left parenthesis"),
        "{text}"
    );
    assert_eq!(process::pid(shared()?.dir(), "prometheus-refused")?, None);
    Ok(())
}
