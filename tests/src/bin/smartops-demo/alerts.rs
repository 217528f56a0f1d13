//! An alert on its whole way: a service's requests fail, a real Prometheus judges so by a rule, a real Alertmanager
//! delivers it, and the controller remedies the Deployment behind it.

use anyhow::Result;
use serde_json::json;
use smartops_tests::cluster::Cluster;
use smartops_tests::components::Monitors;
use smartops_tests::monitoring::{Alertmanager, Job, Load, Prometheus, Scraping, Service};
use smartops_tests::programs::alert_receiver;
use smartops_tests::sample::{self, NAMESPACE};
use smartops_tests::wait::Seen;

use crate::signals::remediation;
use crate::story::{Story, line};

/// A Deployment of its own, so that the other stories' cooldowns do not hold it.
const CHECKOUT: &str = "smartops-checkout";

/// The rule by which too many failing requests are an alert.
fn rules() -> String {
    let rate = |which: &str| {
        format!("sum by (namespace, deployment) (rate(http_requests_total{which}[10s]))")
    };
    let share = format!("{} / {} > 0.2", rate("{status=~\"5..\"}"), rate(""));
    json!({"groups": [{
        "name": "services",
        "rules": [{"alert": "HighErrorRate", "expr": share, "labels": {"severity": "critical"}}],
    }]})
    .to_string()
}

/// From the first failing request to the verified remedy.
pub(crate) fn tell(story: &mut Story, cluster: &Cluster) -> Result<()> {
    let monitors = Monitors::ensure(&|text| line(&format!("  {text}")))?;
    let developer = cluster.kubectl("developer");
    sample::roll_out(&developer, NAMESPACE, CHECKOUT, sample::REPLICAS)?;
    let service = Service::start(NAMESPACE, CHECKOUT)?;
    let alertmanager =
        Alertmanager::start(&monitors, cluster.dir(), "demo", &alert_receiver(cluster)?)?;
    let scraping = Scraping {
        jobs: vec![Job { name: "services".into(), targets: vec![service.address().to_owned()] }],
        rules: vec![rules()],
        alertmanagers: vec![alertmanager.server.address()],
    };
    let prometheus = Prometheus::start(&monitors, cluster.dir(), "demo", &scraping)?;
    service.set(Load::FAILING);
    story.check(("Prometheus", "find that too many of the checkout's requests fail"), || {
        let firing = prometheus.alerts()?;
        Ok(when(!firing.is_empty(), "HighErrorRate", "nothing fires yet"))
    });
    story.check(("Alertmanager", "tell SmartOps, and be taken at its word"), || {
        let deliveries = alertmanager.deliveries()?;
        Ok(when(deliveries.taken >= 1.0, "HTTP 202", &format!("{deliveries:?}")))
    });
    story.sees("its Remediation", || remediation(cluster, CHECKOUT, "alert/HighErrorRate"));
    service.set(Load::GOOD);
    story.check(("Prometheus", "find the checkout well again"), || {
        let firing = prometheus.alerts()?;
        Ok(when(firing.is_empty(), "no alert", &format!("{firing:?}")))
    });
    prometheus.server.stop()?;
    alertmanager.server.stop()
}

fn when(holds: bool, told: &str, otherwise: &str) -> Seen<String> {
    if holds { Seen::Done(told.to_owned()) } else { Seen::NotYet(otherwise.to_owned()) }
}
