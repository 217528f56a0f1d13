//! A namespace of a test's own on the shared cluster, with the questions the tests ask: what passed, what was refused
//! and in which words, what was really committed.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use smartops_tests::cluster::Cluster;
use smartops_tests::http::{Answer, Client};
use smartops_tests::kubectl::Outcome;
use smartops_tests::programs::controller_api;
use smartops_tests::wait::{Seen, eventually};
use smartops_tests::{metrics, sample};

use crate::support::{Namespace, shared};

/// How long a Remediation may take to end: a verification that times out takes 60 s.
const REMEDY: Duration = Duration::from_secs(90);
/// How long after what is on record it may take to be counted.
const COUNTED: Duration = Duration::from_secs(10);

/// A namespace and the cluster around it.
pub(crate) struct Scene {
    namespace: Namespace<'static>,
}

/// The controller's API with a valid key.
pub(crate) fn api() -> Result<Client> {
    controller_api(shared()?)
}

/// A POST with a valid key.
pub(crate) fn post(path: &str, body: &Value) -> Result<Answer> {
    api()?.post(path, body)
}

impl Scene {
    /// In a new namespace of the shared cluster.
    pub(crate) fn new(prefix: &str) -> Result<Self> {
        Self::on(shared()?, prefix)
    }

    /// In a new namespace of this cluster.
    pub(crate) fn on(cluster: &'static Cluster, prefix: &str) -> Result<Self> {
        Ok(Self { namespace: Namespace::create(cluster, prefix)? })
    }

    /// The cluster around it.
    pub(crate) const fn cluster(&self) -> &'static Cluster {
        self.namespace.cluster
    }

    /// The namespace's name.
    pub(crate) fn name(&self) -> &str {
        &self.namespace.name
    }

    /// kubectl as an actor, whatever comes of it. A controller that writes between kubectl's read and its write makes it
    /// begin again, as a person would.
    pub(crate) fn kubectl(&self, actor: &str, arguments: &[&str]) -> Result<Outcome> {
        let mut outcome = self.namespace.run(actor, arguments)?;
        for _ in 0..5 {
            if outcome.succeeded || !outcome.errors.contains("the object has been modified") {
                break;
            }
            outcome = self.namespace.run(actor, arguments)?;
        }
        Ok(outcome)
    }

    /// kubectl as an actor, which must pass.
    pub(crate) fn allowed(&self, actor: &str, arguments: &[&str]) -> Result<String> {
        let outcome = self.kubectl(actor, arguments)?;
        ensure!(outcome.succeeded, "{actor} {arguments:?} should pass but: {}", outcome.text());
        Ok(outcome.output)
    }

    /// kubectl as an actor, which the webhook must refuse in a sentence that holds each of the words.
    pub(crate) fn denied(&self, actor: &str, arguments: &[&str], words: &[&str]) -> Result<()> {
        let outcome = self.kubectl(actor, arguments)?;
        let text = outcome.text();
        ensure!(!outcome.succeeded, "{actor} {arguments:?} should be denied but passed: {text}");
        ensure!(
            text.contains("SmartOps denies"),
            "{arguments:?}: not refused by the webhook: {text}"
        );
        for word in words {
            ensure!(text.contains(word), "{arguments:?}: no {word:?} in: {text}");
        }
        Ok(())
    }

    /// The manifest of a Deployment with one container of its own name.
    pub(crate) fn manifest(&self, name: &str, replicas: u32) -> Value {
        sample::deployment(self.name(), name, replicas)
    }

    /// Creates it as a developer and waits until it has rolled out.
    pub(crate) fn deploy(&self, name: &str, replicas: u32) -> Result<Value> {
        let manifest = self.manifest(name, replicas);
        self.create(&manifest)?;
        self.rolled_out(name)?;
        Ok(manifest)
    }

    /// Creates an object as a developer, without waiting for anything.
    pub(crate) fn create(&self, object: &Value) -> Result<()> {
        let file = self.file(object)?;
        self.allowed("developer", &["apply", "-f", &file])?;
        Ok(())
    }

    /// Waits until a Deployment has rolled out.
    pub(crate) fn rolled_out(&self, name: &str) -> Result<()> {
        sample::wait_rolled_out(&self.namespace.kubectl("developer"), self.name(), name)
    }

    /// A file that holds the object, for `kubectl -f`.
    pub(crate) fn file(&self, object: &Value) -> Result<String> {
        let folder = self.namespace.cluster.dir().join("manifests");
        fs::create_dir_all(&folder)?;
        let text = object.to_string();
        let path = folder.join(format!("{}-{:x}.json", self.name(), digest(&text)));
        fs::write(&path, text)?;
        path.to_str().map(str::to_owned).context("the folder's name is no text")
    }

    /// The stored Deployment.
    pub(crate) fn get(&self, name: &str) -> Result<Value> {
        let target = format!("deployment/{name}");
        let text = self.allowed("developer", &["get", &target, "-o", "json"])?;
        Ok(serde_json::from_str(&text)?)
    }

    /// `spec.replicas` as stored.
    pub(crate) fn replicas(&self, name: &str) -> Result<u64> {
        self.get(name)?["spec"]["replicas"].as_u64().context("no replicas")
    }

    /// Waits until `spec.replicas` is this.
    pub(crate) fn scaled_to(&self, name: &str, replicas: u64) -> Result<()> {
        eventually(REMEDY, &format!("{name} is scaled to {replicas}"), || {
            let present = self.replicas(name)?;
            Ok(Seen::when(present == replicas, format!("{present} replicas")))
        })
    }

    /// An annotation of the stored pod template.
    pub(crate) fn template_annotation(&self, name: &str, key: &str) -> Result<Option<String>> {
        let annotations = &self.get(name)?["spec"]["template"]["metadata"]["annotations"];
        Ok(annotations[key].as_str().map(str::to_owned))
    }

    /// A running pod of the namespace.
    pub(crate) fn pod(&self) -> Result<String> {
        self.allowed("developer", &["get", "pods", "-o", "jsonpath={.items[0].metadata.name}"])
    }

    /// How many writes the controller committed on a Deployment, by the API server's own audit log.
    pub(crate) fn committed_writes(&self, name: &str) -> Result<usize> {
        let writes = self.namespace.cluster.writes()?;
        let by_controller = |w: &&smartops_tests::audit::Write| {
            w.user.ends_with(":smartops-orchestrator")
                && w.committed()
                && w.is_for("deployments", self.name(), name)
        };
        Ok(writes.iter().filter(by_controller).count())
    }

    /// What the webhook noted under a key of the committed writes to a Deployment and its Scale, in the API server's
    /// own audit log.
    pub(crate) fn noted(&self, name: &str, key: &str) -> Result<Vec<String>> {
        let writes = self.namespace.cluster.writes()?;
        let own =
            writes.iter().filter(|w| w.committed() && w.is_for("deployments", self.name(), name));
        Ok(own.filter_map(|write| write.noted(key).map(str::to_owned)).collect())
    }

    /// Every Remediation of the namespace.
    pub(crate) fn remediations(&self) -> Result<Vec<Value>> {
        let text = self.allowed("admin", &["get", "remediations", "-o", "json"])?;
        let list: Value = serde_json::from_str(&text)?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// The Remediation of this cause, once it has ended.
    pub(crate) fn ended(&self, cause: &str) -> Result<Value> {
        eventually(REMEDY, &format!("the Remediation for {cause} has ended"), || {
            let all = self.remediations()?;
            let found = all.into_iter().find(|r| r["spec"]["cause"] == cause);
            Ok(match found {
                Some(r) if r["status"]["outcome"].is_object() => Seen::Done(r),
                other => Seen::NotYet(format!("{other:?}")),
            })
        })
    }

    /// Has an operator write a policy for replicas in this namespace alone, and waits until the webhook has taken it in.
    pub(crate) fn limit_replicas(&self, rule: &Value) -> Result<()> {
        let name = self.name();
        let policy = json!({
            "apiVersion": "smartops.dev/v1alpha1", "kind": "GuardrailPolicy",
            "metadata": {"name": name},
            "spec": {
                "match": {
                    "kinds": [
                        {"group": "apps", "resource": "deployments"},
                        {"group": "apps", "resource": "deployments/scale"},
                    ],
                    "operations": ["UPDATE"],
                    "namespaces": {"selector": {"matchLabels": {"kubernetes.io/metadata.name": name}}},
                },
                "rules": {"replicas": rule},
            },
        });
        let file = self.file(&policy)?;
        self.allowed("operator", &["apply", "-f", &file])?;
        let condition = "--for=condition=Accepted";
        self.allowed("admin", &["wait", condition, &format!("gp/{name}"), "--timeout=10s"])?;
        Ok(())
    }

    /// What the controller counts under this name in the series with these labels.
    pub(crate) fn counted(&self, metric: &str, labels: &[(&str, &str)]) -> Result<f64> {
        let told = controller_api(self.cluster())?.get("/metrics")?;
        Ok(metrics::sum(&told.text, metric, labels).unwrap_or_default())
    }

    /// Waits until the controller counts at least so many there, and hands out how many.
    pub(crate) fn counts(
        &self,
        metric: &str,
        labels: &[(&str, &str)],
        at_least: f64,
    ) -> Result<f64> {
        eventually(COUNTED, &format!("{metric}{labels:?} is {at_least}"), || {
            let counted = self.counted(metric, labels)?;
            Ok(if counted >= at_least {
                Seen::Done(counted)
            } else {
                Seen::NotYet(counted.to_string())
            })
        })
    }

    /// Posts a signal, which must be accepted.
    pub(crate) fn accepted(&self, path: &str, body: &Value) -> Result<Answer> {
        let answer = controller_api(self.cluster())?.post(path, body)?;
        if answer.status != 202 {
            bail!("{path} in {}: {} {}", self.name(), answer.status, answer.text);
        }
        Ok(answer)
    }

    /// An anomaly signal for the Deployment `web`.
    pub(crate) fn anomaly(&self, window: &str, kind: &str) -> Value {
        json!({
            "windowId": window, "service": "web", "namespace": self.name(), "isAnomaly": true,
            "score": 0.9, "type": kind, "modelVersion": "v1", "metadata": {},
        })
    }

    /// A root-cause signal for the Deployment `web`.
    pub(crate) fn rca(&self, window: &str, cause: &str) -> Value {
        json!({
            "windowId": window, "service": "web", "namespace": self.name(), "confidence": 0.84,
            "rankedCauses": [{"svc": "web", "cause": cause, "probability": 0.94}],
        })
    }
}

fn digest(text: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
