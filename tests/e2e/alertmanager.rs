//! The whole way of an alert with real parts: a service's requests fail, Prometheus sees it by a rule, Alertmanager
//! delivers it, the controller remedies it. And what becomes of it when it ends early, or when no controller is there.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use smartops_tests::cluster::Cluster;
use smartops_tests::components::Monitors;
use smartops_tests::monitoring::{Alertmanager, Deliveries, Load, Proof, Receiver};
use smartops_tests::programs::{Program, alert_receiver, endpoints};
use smartops_tests::sample;
use smartops_tests::wait::{Seen, eventually};

use crate::prometheus::{ERROR_RATE, Watched};
use crate::scene::Scene;
use crate::support::own;

const CAUSE: &str = "alert/HighErrorRate";
/// How soon an alert must have gone from one part to the next: the time a rate looks back, and some rounds of each.
const PASSED_ON: Duration = Duration::from_mins(1);
/// How long a remedy may take, its verification included.
const REMEDY: Duration = Duration::from_secs(90);

/// The rule by which too many failing requests are an alert.
fn rules() -> String {
    json!({"groups": [{
        "name": "services",
        "rules": [{
            "alert": "HighErrorRate",
            "expr": format!("{ERROR_RATE} > 0.2"),
            "labels": {"severity": "critical"},
            "annotations": {"summary": "{{ $labels.deployment }} fails too often."},
        }],
    }]})
    .to_string()
}

/// A service under a Prometheus that tells an Alertmanager, and that delivers to the controller.
struct Chain {
    watched: Watched,
    alertmanager: Alertmanager,
}

impl Chain {
    fn start(cluster: &Cluster, namespace: &str, deployment: &str, proof: Proof) -> Result<Self> {
        let monitors = Monitors::ensure(&|_| {})?;
        let receiver = Receiver { proof, ..alert_receiver(cluster)? };
        let alertmanager = Alertmanager::start(&monitors, cluster.dir(), namespace, &receiver)?;
        let told = [alertmanager.server.address()];
        let watched = Watched::start(cluster, namespace, deployment, &[rules()], &told)?;
        Ok(Self { watched, alertmanager })
    }

    fn on(ns: &Scene) -> Result<Self> {
        let key = endpoints(ns.cluster())?.api_key.clone();
        Self::start(ns.cluster(), ns.name(), "web", Proof::Key(key))
    }

    /// Waits until what became of the Alertmanager's deliveries fits.
    fn delivered(&self, what: &str, fits: impl Fn(Deliveries) -> bool) -> Result<()> {
        eventually(PASSED_ON, what, || {
            let deliveries = self.alertmanager.deliveries()?;
            Ok(Seen::when(fits(deliveries), format!("{deliveries:?}")))
        })
    }

    /// Waits until no alert is active any more, for Prometheus and for the Alertmanager.
    fn calm(&self) -> Result<()> {
        eventually(PASSED_ON, "the alert is over", || {
            let (seen, known) = (self.watched.prometheus.alerts()?, self.alertmanager.alerts()?);
            Ok(Seen::when(seen.is_empty() && known.is_empty(), format!("{seen:?} {known:?}")))
        })
    }

    fn stop(self) -> Result<()> {
        self.watched.prometheus.server.stop()?;
        self.alertmanager.server.stop()
    }
}

#[test]
fn requests_that_fail_are_an_alert_and_the_alert_one_verified_remedy_however_often_it_is_told()
-> Result<()> {
    let ns = Scene::new("chain")?;
    ns.deploy("web", 2)?;
    let chain = Chain::on(&ns)?;
    chain.watched.sees(ERROR_RATE, |share| share == 0.0)?;
    assert_eq!(ns.remediations()?.len(), 0);

    chain.watched.service.set(Load::FAILING);
    let remediation = ns.ended(CAUSE)?;
    assert_eq!(remediation["status"]["phase"], "Succeeded", "{remediation}");
    assert_eq!(remediation["status"]["verification"]["status"], "SUCCESS", "{remediation}");
    assert_eq!(remediation["spec"]["target"]["name"], "web", "{remediation}");
    assert_eq!(remediation["spec"]["requestedBy"], "apikey:harness", "{remediation}");
    assert!(ns.template_annotation("web", "kubectl.kubernetes.io/restartedAt")?.is_some());
    // It is told again for as long as it fires, and each time taken.
    chain.delivered("told thrice", |d| d.taken >= 3.0 && d.failed < 1.0)?;

    chain.watched.service.set(Load::GOOD);
    chain.calm()?;
    assert_eq!(ns.remediations()?.len(), 1);
    assert_eq!(ns.committed_writes("web")?, 1);
    chain.stop()
}

#[test]
fn requests_that_no_longer_fail_call_off_the_remedy_that_waits() -> Result<()> {
    let ns = Scene::new("chain-over")?;
    // Pods that no node takes keep the first remedy open, so that the next one waits.
    let mut stuck = ns.manifest("web", 3);
    stuck["spec"]["template"]["spec"]["nodeSelector"] = json!({"no": "such-node"});
    ns.create(&stuck)?;
    let chain = Chain::on(&ns)?;
    ns.accepted("/v1/signals/anomaly", &ns.anomaly("w-1", "resource"))?;
    ns.scaled_to("web", 4)?;

    chain.watched.service.set(Load::FAILING);
    eventually(PASSED_ON, "the alert's Remediation waits", || {
        let all = ns.remediations()?;
        let waits = all.iter().any(|r| r["spec"]["cause"] == CAUSE);
        Ok(Seen::when(waits, format!("{all:?}")))
    })?;
    chain.watched.service.set(Load::GOOD);
    let remediation = ns.ended(CAUSE)?;
    assert_eq!(remediation["status"]["phase"], "Cancelled", "{remediation}");
    assert_eq!(remediation["status"]["outcome"]["reason"], "SignalResolved", "{remediation}");
    assert_eq!(ns.committed_writes("web")?, 1);
    chain.stop()
}

#[test]
fn an_alert_that_fires_while_no_controller_answers_is_remedied_once_one_does() -> Result<()> {
    let cluster = own("alertmanager")?;
    let admin = cluster.kubectl("admin");
    let remediations = || -> Result<Vec<Value>> {
        let list = admin.get(&["remediations", "-n", sample::NAMESPACE])?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    };
    let token = ["create", "token", "agent", "-n", sample::NAMESPACE, "--duration", "1h"];
    let token = Proof::Token(admin.run(&token)?.ok()?.trim().to_owned());
    Program::Controller.terminate(&cluster, Duration::from_secs(30))?;

    let chain = Chain::start(&cluster, sample::NAMESPACE, sample::DEPLOYMENT, token)?;
    chain.watched.service.set(Load::FAILING);
    chain.delivered("told in vain, twice", |d| d.failed >= 2.0 && d.taken < 1.0)?;
    assert_eq!(remediations()?, Vec::<Value>::new());

    Program::Controller.start(&cluster, &[])?;
    let remediation = eventually(REMEDY, "the remedy has ended", || {
        let all = remediations()?;
        let ended = all.iter().find(|r| r["status"]["outcome"].is_object());
        Ok(ended.cloned().map_or_else(|| Seen::NotYet(format!("{all:?}")), Seen::Done))
    })
    .with_context(|| chain.alertmanager.server.last_words())?;
    assert_eq!(remediation["spec"]["cause"], CAUSE, "{remediation}");
    assert_eq!(remediation["status"]["phase"], "Succeeded", "{remediation}");
    let asked = "system:serviceaccount:smartops-dev:agent";
    assert_eq!(remediation["spec"]["requestedBy"], asked, "{remediation}");
    chain.delivered("told once more, and taken", |d| d.taken >= 2.0)?;
    assert_eq!(remediations()?.len(), 1);
    chain.stop()?;
    cluster.stop()
}
