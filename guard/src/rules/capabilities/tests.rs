//! What each capability lets pass, what is said where it is off, and what holds beside it. The writes and the world they
//! are judged in are here.

mod bounds;
mod eviction;
mod rollbacks;
mod switches;

use serde_json::{Value, json};
use smartops_change::TemplateDigest;
use smartops_common::action::{BoundsIntent, Intent, PodIntent, RevisionIntent};
use smartops_common::remediation::{AttemptKind, AttemptResult, Remediation};

use super::*;
use crate::facts::{Facts, Origin, Related, RelatedObject, Relation, Warrants};
use crate::policy::{Applied, shipped};
use crate::sample::{self, Write};
use crate::warrant::sample as announced;

fn digest(template: &Value) -> String {
    serde_json::from_value::<TemplateDigest>(template.clone()).unwrap().to_string()
}

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": image}]}})
}

fn deployment(template: &Value, more: &Value) -> Value {
    let mut spec = json!({"replicas": 3, "template": template});
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    announced::object(&spec)
}

/// The ReplicaSet of the deployment whose pods have this template.
fn replica_set(template: &Value) -> Value {
    let mut template = template.clone();
    template["metadata"]["labels"]["pod-template-hash"] = json!("abc");
    json!({
        "metadata": {"name": "web-abc", "uid": "s1", "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "u1", "controller": true},
        ]},
        "spec": {"template": template},
    })
}

fn to_revision(template: &Value) -> Intent {
    let revision = RevisionIntent {
        replica_set: "web-abc".into(),
        uid: "s1".into(),
        number: 2,
        template: digest(template),
    };
    Intent { revision: Some(revision), ..Intent::of(ActionType::Rollback) }
}

fn rollback(from: &str, to: &Value) -> Write {
    announced::update("", &deployment(&template(from), &json!({})), &deployment(to, &json!({})))
}

fn evicted(name: &str, uid: &str) -> Intent {
    let pod = PodIntent { name: name.into(), uid: uid.into() };
    Intent { pod: Some(pod), ..Intent::of(ActionType::EvictPod) }
}

/// The eviction of the pod `web`, of uid `p1`, with these members.
fn eviction(members: &Value) -> Write {
    let mut object = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": "web", "namespace": "smartops-dev", "creationTimestamp": null},
        "deleteOptions": {"preconditions": {"uid": "p1"}},
    });
    for (key, value) in members.as_object().unwrap() {
        object[key] = value.clone();
    }
    let mut write = Write::of(Operation::Create, "", "pods");
    (write.subresource, write.old, write.new) = ("eviction", None, Some(object.to_string()));
    write
}

/// The pod, its ReplicaSet and its Deployment, of these uids.
fn owners(pod: &str, deployment: &str) -> Vec<RelatedObject> {
    let object = |relation, group, kind, uid: &str| RelatedObject {
        uid: uid.to_owned(),
        record: (kind == "Deployment").then_some(sample::QUIET),
        generation: Some(7),
        ..sample::relative(relation, group, kind)
    };
    vec![
        object(Relation::Parent, "", "Pod", pod),
        object(Relation::Owner, "apps", "ReplicaSet", "s1"),
        object(Relation::Owner, "apps", "Deployment", deployment),
    ]
}

fn bounds(min_replicas: i32, max_replicas: i32) -> Intent {
    let (name, uid, resource_version) = ("web".to_owned(), "h1".to_owned(), "51".to_owned());
    let bounds = BoundsIntent { name, uid, resource_version, min_replicas, max_replicas };
    Intent { bounds: Some(bounds), ..Intent::of(ActionType::HpaBounds) }
}

fn autoscaler((min, max): (i64, i64), target: &str) -> Value {
    json!({
        "metadata": {"name": "web", "uid": "h1", "resourceVersion": "51"},
        "spec": {
            "minReplicas": min, "maxReplicas": max,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
        },
    })
}

fn moved(from: (i64, i64), to: (i64, i64)) -> Write {
    let mut write = announced::update("", &autoscaler(from, "web"), &autoscaler(to, "web"));
    (write.group, write.resource) = ("autoscaling", "horizontalpodautoscalers");
    write
}

/// The shipped policies, with these capabilities of smartops-automation.
fn policies(capabilities: &Value) -> Vec<Applied> {
    let policies = shipped().into_iter().map(|mut policy| {
        let name = policy.metadata.name.clone().unwrap();
        if name == "smartops-automation" {
            policy.spec.rules.capabilities = serde_json::from_value(capabilities.clone()).unwrap();
        }
        sample::applied(&name, &policy.spec)
    });
    policies.collect()
}

/// What is known beside the write.
struct World {
    remediation: Remediation,
    set: Option<String>,
    objects: Vec<RelatedObject>,
}

impl World {
    fn of(intent: &Intent) -> Self {
        Self { remediation: announced::remediation(intent), set: None, objects: owners("p1", "u1") }
    }

    /// What is refused, by rule and sentence.
    fn refused(&self, write: &Write, capabilities: &Value) -> Vec<(Rule, String)> {
        let policies = policies(capabilities);
        let remediations = std::slice::from_ref(&self.remediation);
        let facts = Facts {
            warrants: Warrants::Known(remediations),
            origin: Origin::Known(self.set.as_deref()),
            ..sample::facts(&policies)
        };
        let facts = if write.subresource == "eviction" {
            Facts { related: Related::Known { objects: &self.objects, newest_pod: None }, ..facts }
        } else {
            facts
        };
        let verdict = sample::verdict_with(write, &announced::controller(), &facts);
        let causes = verdict.denial().into_iter().flat_map(|denial| &denial.causes);
        causes.map(|cause| (cause.rule, cause.message.clone())).collect()
    }
}

fn rules(refused: &[(Rule, String)]) -> Vec<Rule> {
    refused.iter().map(|(rule, _)| *rule).collect()
}

/// Every capability by its name, with a write that uses it and what announced that.
fn each() -> Vec<(&'static str, World, Write)> {
    let former = template("shop:1");
    let mut back = former.clone();
    back["metadata"]["annotations"] = json!({"note": "before"});
    let mut rolled = World::of(&to_revision(&back));
    rolled.set = Some(replica_set(&back).to_string());
    let (running, paused) =
        (deployment(&former, &json!({})), deployment(&former, &json!({"paused": true})));
    vec![
        ("rollback", rolled, rollback("shop:1", &back)),
        ("podEviction", World::of(&evicted("web", "p1")), eviction(&json!({}))),
        (
            "pause",
            World::of(&Intent::of(ActionType::Pause)),
            announced::update("", &running, &paused),
        ),
        (
            "pause",
            World::of(&Intent::of(ActionType::Resume)),
            announced::update("", &paused, &running),
        ),
        ("hpaBounds", World::of(&bounds(1, 8)), moved((1, 5), (1, 8))),
    ]
}
