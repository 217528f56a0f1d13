//! A namespace under policies for every kind, and the questions the attempts ask there.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use serde_json::{Value, json};
use smartops_tests::sample;
use smartops_tests::wait::{Seen, eventually};

use super::policies::{LABEL, definition, policies};
use crate::scene::Scene;
use crate::support::shared;

/// Whoever tries: somebody who may edit the namespace, somebody who rules it, an agent, and SmartOps' own controller.
pub(super) const EVERYBODY: [&str; 4] = ["developer", "owner", "agent", "controller"];
/// Those of them that are people.
const PEOPLE: [&str; 2] = ["developer", "owner"];
/// Those of them that are automation.
const AUTOMATION: [&str; 2] = ["agent", "controller"];

const SECONDS: Duration = Duration::from_secs(30);

/// A namespace of a test's own under the policies.
pub(super) struct Ground {
    scene: Scene,
}

impl std::ops::Deref for Ground {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.scene
    }
}

impl Ground {
    /// In a new namespace whose name begins with `prefix`.
    pub(super) fn new(prefix: &str) -> Result<Self> {
        let scene = Scene::new(prefix)?;
        let label = format!("{}={}", LABEL.0, LABEL.1);
        scene.allowed("admin", &["label", "namespace", scene.name(), &label])?;
        let ground = Self { scene };
        ground.policies_rule()?;
        Ok(ground)
    }

    /// With the Deployment `web` of three replicas, which nobody waits for.
    pub(super) fn with_web(prefix: &str) -> Result<Self> {
        let ground = Self::new(prefix)?;
        ground.create(&ground.manifest("web", 3))?;
        Ok(ground)
    }

    /// With the Deployment `web` of three replicas and this label.
    pub(super) fn with_labelled_web(prefix: &str, key: &str) -> Result<Self> {
        let ground = Self::new(prefix)?;
        ground.create_labelled("web", key)?;
        Ok(ground)
    }

    /// Creates a Deployment of three replicas that carries the label `KEY: yes`.
    pub(super) fn create_labelled(&self, name: &str, key: &str) -> Result<Value> {
        let mut manifest = self.manifest(name, 3);
        manifest["metadata"]["labels"][key] = json!("yes");
        self.create(&manifest)?;
        Ok(manifest)
    }

    /// Everybody tries and is refused: people by the webhook, in a sentence with all of the words; automation by the
    /// webhook in whatever words, or by its own rights before the webhook is asked.
    pub(super) fn refused(&self, arguments: &[&str], words: &[&str]) -> Result<()> {
        self.refused_to_people(arguments, words)?;
        self.refused_to_automation(arguments)
    }

    /// The same with an object in a file: `-f FILE` after the arguments.
    pub(super) fn refused_object(
        &self,
        arguments: &[&str],
        object: &Value,
        words: &[&str],
    ) -> Result<()> {
        let file = self.file(object)?;
        self.refused(&[arguments, &["-f", &file]].concat(), words)
    }

    /// People try and are refused by the webhook in these words.
    pub(super) fn refused_to_people(&self, arguments: &[&str], words: &[&str]) -> Result<()> {
        for actor in PEOPLE {
            self.denied(actor, arguments, words)?;
        }
        Ok(())
    }

    /// Automation tries and is refused.
    pub(super) fn refused_to_automation(&self, arguments: &[&str]) -> Result<()> {
        for actor in AUTOMATION {
            let outcome = self.kubectl(actor, arguments)?;
            let text = outcome.text();
            ensure!(
                !outcome.succeeded,
                "{actor} {arguments:?} should be refused but passed: {text}"
            );
            // The agent has every right an attempt needs; the controller has few.
            let by_rights = actor == "controller" && text.contains("is forbidden: User");
            ensure!(by_rights || text.contains("SmartOps denies"), "{actor} {arguments:?}: {text}");
        }
        Ok(())
    }

    /// A twin with an object in a file, which must pass.
    pub(super) fn allowed_object(
        &self,
        actor: &str,
        arguments: &[&str],
        object: &Value,
    ) -> Result<()> {
        let file = self.file(object)?;
        self.allowed(actor, &[arguments, &["-f", &file]].concat())?;
        Ok(())
    }

    /// A pod of a Deployment that runs.
    pub(super) fn pod_of(&self, name: &str) -> Result<String> {
        sample::wait_rolled_out(&shared()?.kubectl("admin"), self.name(), name)?;
        let selector = format!("app={name}");
        let path = "jsonpath={.items[0].metadata.name}";
        self.allowed("admin", &["get", "pods", "-l", &selector, "-o", path])
    }

    /// The ReplicaSet of a Deployment.
    pub(super) fn set_of(&self, name: &str) -> Result<String> {
        let selector = format!("app={name}");
        let path = "jsonpath={.items[0].metadata.name}";
        eventually(SECONDS, &format!("{name} has a ReplicaSet"), || {
            let outcome = self.kubectl("admin", &["get", "rs", "-l", &selector, "-o", path])?;
            let found = outcome.succeeded && !outcome.output.is_empty();
            Ok(if found { Seen::Done(outcome.output) } else { Seen::NotYet(outcome.errors) })
        })
    }

    /// Waits until the webhook has seen the newest version of a Deployment: an agent's restart is judged by what was
    /// observed, and is refused for a moment before.
    pub(super) fn observed(&self, name: &str) -> Result<()> {
        let target = format!("deployment/{name}");
        let template = json!({"metadata": {"annotations": {"proof": "observed"}}});
        let patch = json!({"spec": {"template": template}}).to_string();
        eventually(SECONDS, &format!("{name} is observed"), || {
            let restart = ["patch", &target, "-p", &patch, "--dry-run=server"];
            let text = self.kubectl("agent", &restart)?.text();
            Ok(Seen::when(!text.contains("still being observed"), text))
        })
    }

    /// Has the policies written once, and waits until all of them judge.
    fn policies_rule(&self) -> Result<()> {
        static WRITTEN: OnceLock<Result<(), String>> = OnceLock::new();
        let written =
            WRITTEN.get_or_init(|| self.write_policies().map_err(|error| format!("{error:#}")));
        written.clone().map_err(|error| anyhow!("the policies of the bypass suite: {error}"))
    }

    fn write_policies(&self) -> Result<()> {
        let admin = shared()?.kubectl("admin");
        admin.apply_all(&[definition()])?;
        let established =
            ["wait", "--for=condition=Established", "crd/caches.example.com", "--timeout=60s"];
        admin.run(&established)?.ok()?;
        let policies = policies();
        shared()?.kubectl("operator").apply_all(&policies)?;
        for policy in &policies {
            let name = format!("gp/{}", policy["metadata"]["name"].as_str().unwrap_or_default());
            admin.run(&["wait", "--for=condition=Accepted", &name, "--timeout=30s"])?.ok()?;
        }
        // The API server learns what is registered a moment after the policy is known: each kind shows that it has.
        let cache = json!({"apiVersion": "example.com/v1", "kind": "Cache",
            "metadata": {"namespace": self.name(), "name": "probe"}, "spec": {"size": 99}});
        let mut pod = self.bare_pod("probe", "elsewhere.example.com/probe:1");
        pod["metadata"]["namespace"] = json!(self.name());
        for (what, probe) in [("custom resources", cache), ("pods", pod)] {
            let file = self.file(&probe)?;
            eventually(SECONDS, &format!("{what} are judged"), || {
                let outcome =
                    self.kubectl("developer", &["create", "--dry-run=server", "-f", &file])?;
                let text = outcome.text();
                Ok(Seen::when(text.contains("SmartOps denies"), text))
            })?;
        }
        Ok(())
    }

    /// A pod that nobody owns.
    pub(super) fn bare_pod(&self, name: &str, image: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": self.name()},
            "spec": {"containers": [{"name": name, "image": image}]}})
    }

    /// A workload of group apps or core other than a Deployment.
    pub(super) fn workload(&self, kind: &str, name: &str, replicas: u32) -> Value {
        let mut object = self.manifest(name, replicas);
        object["kind"] = json!(kind);
        match kind {
            "StatefulSet" => object["spec"]["serviceName"] = json!(name),
            "ReplicationController" => {
                object["apiVersion"] = json!("v1");
                object["spec"]["selector"] = json!({"app": name});
            }
            "DaemonSet" => {
                if let Some(spec) = object["spec"].as_object_mut() {
                    spec.remove("replicas");
                }
            }
            _ => {}
        }
        object
    }

    /// A Job, or the CronJob around it, that never runs by itself.
    pub(super) fn job(&self, kind: &str, name: &str, parallelism: u32) -> Value {
        let image = format!("registry.smartops.dev/{name}:1");
        let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": name, "image": image}]}});
        let job = json!({"parallelism": parallelism, "suspend": true, "template": template});
        let spec = match kind {
            "Job" => job,
            _ => json!({"schedule": "0 0 31 12 *", "jobTemplate": {"spec": job}}),
        };
        json!({"apiVersion": "batch/v1", "kind": kind,
            "metadata": {"name": name, "namespace": self.name()}, "spec": spec})
    }

    /// A custom resource with a scale.
    pub(super) fn cache(&self, name: &str, size: u32) -> Value {
        json!({"apiVersion": "example.com/v1", "kind": "Cache",
            "metadata": {"namespace": self.name(), "name": name}, "spec": {"size": size}})
    }
}
