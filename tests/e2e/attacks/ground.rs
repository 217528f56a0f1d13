//! A namespace in which nobody remedies anything but the attacker: he has the controller's token, and the controller
//! itself is not there to come between.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use smartops_tests::cluster::Cluster;
use smartops_tests::http::Client;
use smartops_tests::kubectl::Outcome;
use smartops_tests::metrics;
use smartops_tests::programs::Program;
use smartops_tests::wait::{Seen, eventually};

use crate::scene::Scene;
use crate::support::quiet;

pub(crate) const SECONDS: Duration = Duration::from_secs(20);
/// The Deployment of every ground.
pub(crate) const WEB: &str = "deployment/web";
/// The controller, as if somebody had put its ServiceAccount into every group that may do something.
pub(crate) const CONTROLLER: [&str; 4] = [
    "--as=system:serviceaccount:smartops-system:smartops-orchestrator",
    "--as-group=approvers",
    "--as-group=oncall",
    "--as-group=system:masters",
];

/// So many seconds from now, as the cluster on this machine tells the time.
#[expect(clippy::disallowed_methods, reason = "an attempt says when it began and when it ends")]
pub(crate) fn at(seconds: i64) -> Result<String> {
    Ok(Timestamp::now().checked_add(SignedDuration::from_secs(seconds))?.to_string())
}

/// A namespace with the Deployment `web` of three replicas.
pub(crate) struct Ground {
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
    pub(crate) fn new(prefix: &str) -> Result<Self> {
        Self::on(quiet()?, prefix)
    }

    /// In a new namespace of this cluster.
    pub(crate) fn on(cluster: &'static Cluster, prefix: &str) -> Result<Self> {
        let ground = Self { scene: Scene::on(cluster, prefix)? };
        ground.create(&ground.manifest("web", 3))?;
        Ok(ground)
    }

    /// A Remediation for a Deployment as its maker writes it, changed by `edit`.
    pub(crate) fn remediation(&self, name: &str, target: &str, edit: &Value) -> Result<Value> {
        let uid = self.get(target)?["metadata"]["uid"].clone();
        let mut object = json!({
            "apiVersion": "smartops.dev/v1alpha1", "kind": "Remediation",
            "metadata": {"namespace": self.name(), "name": name},
            "spec": {
                "target": {"kind": "Deployment", "name": target, "uid": uid},
                "action": {"type": "scale", "scale": {"replicas": 5}},
                "cause": "manual/attack", "source": "user", "requestedBy": "somebody",
            },
        });
        merge(&mut object, edit);
        Ok(object)
    }

    /// Makes a Remediation for `web` as an actor, and hands out what is stored.
    pub(crate) fn made(&self, actor: &str, name: &str, edit: &Value) -> Result<Value> {
        let object = self.remediation(name, "web", edit)?;
        let file = self.file(&object)?;
        read(&self.allowed(actor, &["create", "-o", "json", "-f", &file])?)
    }

    /// The stored object.
    pub(crate) fn stored(&self, what: &str) -> Result<Value> {
        read(&self.allowed("admin", &["get", what, "-o", "json"])?)
    }

    /// A true attempt to do this to a Deployment as it stands.
    pub(crate) fn attempt(&self, target: &str, intent: &Value) -> Result<Value> {
        let live = self.get(target)?;
        let (metadata, spec) = (&live["metadata"], &live["spec"]);
        Ok(json!({
            "number": 1, "kind": "Apply", "intent": intent,
            "target": {
                "uid": metadata["uid"], "generation": metadata["generation"],
                "resourceVersion": metadata["resourceVersion"],
            },
            "former": {"replicas": spec["replicas"]}, "leader": "controller-0/1",
            "startedAt": at(0)?, "deadline": at(300)?,
        }))
    }

    /// Writes a status with the controller's token, as one more version of the object.
    pub(crate) fn told(&self, remediation: &Value, status: &Value) -> Result<Outcome> {
        self.told_by("controller", remediation, status)
    }

    /// The same as an actor.
    pub(crate) fn told_by(
        &self,
        actor: &str,
        remediation: &Value,
        status: &Value,
    ) -> Result<Outcome> {
        let name = remediation["metadata"]["name"].as_str().context("no name")?;
        let present = self.stored(&format!("remediation/{name}"))?;
        let mut object = remediation.clone();
        object["metadata"]["resourceVersion"] = present["metadata"]["resourceVersion"].clone();
        object["status"] = status.clone();
        let file = self.file(&object)?;
        self.kubectl(actor, &["replace", "--subresource=status", "-o", "json", "-f", &file])
    }

    /// The same, which must be taken; what is stored.
    pub(crate) fn tells(&self, remediation: &Value, status: &Value) -> Result<Value> {
        let outcome = self.told(remediation, status)?;
        ensure!(outcome.succeeded, "the status should be taken: {}", outcome.text());
        read(&outcome.output)
    }

    /// The same, which the webhook must refuse in these words.
    pub(crate) fn lies(&self, remediation: &Value, status: &Value, words: &[&str]) -> Result<()> {
        let text = self.told(remediation, status)?.text();
        let is_refused = text.contains("SmartOps denies");
        ensure!(is_refused && words.iter().all(|word| text.contains(word)), "{words:?}: {text}");
        Ok(())
    }

    /// The same, which the schema must refuse in these words, before anybody is asked.
    pub(crate) fn breaks_the_schema(
        &self,
        remediation: &Value,
        status: &Value,
        words: &str,
    ) -> Result<()> {
        let text = self.told(remediation, status)?.text();
        let is_refused = text.contains("is invalid") && !text.contains("SmartOps denies");
        ensure!(is_refused && text.contains(words), "{words:?}: {text}");
        Ok(())
    }

    /// A Remediation of the controller's that is at work on `web`, its attempt changed by `edit`. It asks for the number
    /// the intent says, unless `spec` asks for something else.
    pub(crate) fn at_work(
        &self,
        name: &str,
        spec: &Value,
        intent: &Value,
        edit: &Value,
    ) -> Result<Value> {
        let mut asked = spec.clone();
        if spec["action"].is_null() {
            asked["action"] = json!({"scale": {"replicas": intent["replicas"]}});
        }
        let made = self.made("controller", name, &json!({"spec": asked}))?;
        let mut attempt = self.attempt("web", intent)?;
        merge(&mut attempt, edit);
        self.tells(&made, &json!({"phase": "Executing", "attempts": [attempt]}))
    }

    /// One that is to scale `web` to five.
    pub(crate) fn scaling(&self, name: &str) -> Result<Value> {
        self.at_work(name, &json!({}), &to(5), &json!({}))
    }

    /// Puts forward what a Remediation would write to `web`, and hands out what is stored.
    pub(crate) fn put_forward(&self, remediation: &Value, intent: &Value) -> Result<Value> {
        self.tells(remediation, &self.proposed(remediation, intent)?)
    }

    /// The status of one that puts this forward.
    pub(crate) fn proposed(&self, remediation: &Value, intent: &Value) -> Result<Value> {
        let target = self.attempt("web", intent)?["target"].clone();
        let uid = remediation["metadata"]["uid"].as_str().context("no uid")?;
        let proposal = json!({
            "intent": intent, "target": target, "hash": intent_hash(uid, &target, intent),
            "proposedAt": at(0)?, "expiresAt": at(600)?,
        });
        Ok(json!({"phase": "AwaitingApproval", "proposal": proposal}))
    }

    /// Somebody's word on a Remediation that waits, changed by `edit`.
    pub(crate) fn word(&self, remediation: &Value, edit: &Value) -> Value {
        let (metadata, proposal) = (&remediation["metadata"], &remediation["status"]["proposal"]);
        let mut object = json!({
            "apiVersion": "smartops.dev/v1alpha1", "kind": "RemediationApproval",
            "metadata": {"namespace": self.name(), "generateName": "word-"},
            "spec": {
                "remediation": {"name": metadata["name"], "uid": metadata["uid"]},
                "intentHash": proposal["hash"], "decision": "Approve",
            },
        });
        merge(&mut object, edit);
        object
    }

    /// The controller's token scales a Deployment, as the controller does.
    pub(crate) fn scale(&self, actor: &str, target: &str, replicas: u32) -> Result<Outcome> {
        let patch = json!({"spec": {"replicas": replicas}}).to_string();
        let arguments = ["patch", target, "--subresource=scale", "--type=merge", "-p", &patch];
        self.kubectl(actor, &arguments)
    }

    /// That a write has no warrant, in these words.
    pub(crate) fn unwarranted(&self, outcome: &Outcome, words: &str) -> Result<()> {
        let text = outcome.text();
        let is_refused = !outcome.succeeded && text.contains("rule warrant");
        ensure!(is_refused && text.contains(words), "{}: {words:?}: {text}", self.name());
        Ok(())
    }

    /// An actor is refused by the webhook, with an object in a file.
    pub(crate) fn denied_object(&self, actor: &str, object: &Value, words: &[&str]) -> Result<()> {
        let file = self.file(object)?;
        self.denied(actor, &["create", "-f", &file], words)
    }

    /// A twin with an object in a file, which must pass; what is stored.
    pub(crate) fn allowed_object(&self, actor: &str, object: &Value) -> Result<Value> {
        let file = self.file(object)?;
        read(&self.allowed(actor, &["create", "-o", "json", "-f", &file])?)
    }

    /// A policy of these rules for automation in this namespace alone, under its name, in force.
    pub(crate) fn binds_automation(&self, rules: &Value) -> Result<()> {
        let name = self.name();
        let kinds =
            ["deployments", "deployments/scale"].map(|r| json!({"group": "apps", "resource": r}));
        let policy = json!({
            "apiVersion": "smartops.dev/v1alpha1", "kind": "GuardrailPolicy", "metadata": {"name": name},
            "spec": {
                "match": {
                    "kinds": kinds, "operations": ["UPDATE"],
                    "namespaces": {"selector": {"matchLabels": {"kubernetes.io/metadata.name": name}}},
                    "subjects": {"include": {"automation": true}},
                },
                "rules": rules,
            },
        });
        self.allowed("operator", &["apply", "-f", &self.file(&policy)?])?;
        let accepted = ["wait", "--for=condition=Accepted", &format!("gp/{name}"), "--timeout=20s"];
        self.allowed("admin", &accepted).map(drop)
    }

    /// Attempts of automation on our own objects that the webhook has counted.
    pub(crate) fn counted(&self, resource: &str) -> Result<f64> {
        let text = Client::new(&Program::Webhook.health_url(self.cluster())?).get("/metrics")?.text;
        let name = "smartops_webhook_own_object_attempts_total";
        Ok(metrics::sum(&text, name, &[("resource", resource)]).unwrap_or_default())
    }

    /// Waits until an Event in this namespace tells of an attempt on the object of this name.
    pub(crate) fn attempt_is_told(&self, namespace: &str, name: &str) -> Result<()> {
        let get = ["-n", namespace, "events.events.k8s.io"];
        eventually(SECONDS, &format!("an Event tells of the attempt on {name}"), || {
            let list = self.cluster().kubectl("admin").get(&get)?;
            let events = list["items"].as_array().cloned().unwrap_or_default();
            let tells = |event: &Value| {
                event["reason"] == "AutomationDenied" && event["regarding"]["name"] == name
            };
            Ok(Seen::when(events.iter().any(tells), format!("{} Events", events.len())))
        })
    }
}

/// The intent to scale to this many.
pub(crate) fn to(replicas: u32) -> Value {
    json!({"type": "scale", "replicas": replicas})
}

/// A status with one attempt more.
pub(crate) fn with_another(status: &Value, attempt: &Value) -> Value {
    let mut status = status.clone();
    if let Some(attempts) = status["attempts"].as_array_mut() {
        attempts.push(attempt.clone());
    }
    status
}

/// Puts the members of `edit` into an object; null takes one away.
pub(crate) fn merge(object: &mut Value, edit: &Value) {
    let Some(members) = edit.as_object() else { return };
    for (key, value) in members {
        if value.is_object() && object[key].is_object() {
            merge(&mut object[key], value);
        } else if value.is_null() {
            object.as_object_mut().and_then(|object| object.remove(key));
        } else {
            object[key] = value.clone();
        }
    }
}

fn read(text: &str) -> Result<Value> {
    match serde_json::from_str(text) {
        Ok(value) => Ok(value),
        Err(error) => bail!("no JSON ({error}): {text}"),
    }
}

/// What an approval names, worked out as an approver could: SHA-256 over the parts, each after its length.
fn intent_hash(uid: &str, target: &Value, intent: &Value) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let parts = [
        uid.to_owned(),
        text(&target["uid"]),
        text(&target["generation"]),
        text(&intent["type"]),
        text(&intent["replicas"]),
        text(&intent["restartedAt"]),
        text(&intent["patch"]["format"]),
        text(&intent["patch"]["body"]),
        text(&intent["revision"]["uid"]),
        text(&intent["revision"]["template"]),
        text(&intent["pod"]["uid"]),
        text(&intent["bounds"]["uid"]),
        text(&intent["bounds"]["minReplicas"]),
        text(&intent["bounds"]["maxReplicas"]),
    ];
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    let nibbles = hash.finalize().into_iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    nibbles.filter_map(|nibble| char::from_digit(nibble.into(), 16)).collect()
}
