//! What an attempt is of beside its target, as it is now: the ReplicaSet a rollback goes back to, the pod that is evicted,
//! the autoscaler whose bounds move. Each has to be the target's. Who reads it is `reads`.

use serde_json::Value;
use smartops_common::action::{ActionType, BoundsIntent, Intent, PodIntent, RevisionIntent};
use smartops_common::remediation::{Attempt, Bounds, Target};
use smartops_guard::revision_flaw;

/// The annotation that numbers revisions, the Deployment controller's.
const NUMBER: &str = "deployment.kubernetes.io/revision";

/// What was read, as JSON; `None` in it where there is none of that name.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Beside {
    /// The intent is of the target alone.
    Nothing,
    ReplicaSet(Option<Value>),
    /// A pod, and the ReplicaSet that controls it.
    Pod(Option<Value>, Option<Value>),
    Autoscaler(Option<Value>),
}

/// Why an intent is of something else than it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Astray {
    /// It never was what the intent says.
    Wrong(String),
    /// It may have been, and moved.
    Moved(String),
}

/// Whether the values of an intent are worked out for the first time, or were before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Values {
    New,
    Recorded,
}

impl Beside {
    /// The bounds of the autoscaler that was read.
    pub(super) fn bounds(&self) -> Option<Bounds> {
        match self {
            Self::Autoscaler(Some(autoscaler)) => bounds(autoscaler),
            _ => None,
        }
    }

    /// Why an intent is not of what belongs to the target; `None` where it is.
    pub(super) fn astray(
        &self,
        intent: &Intent,
        target: &Target,
        values: Values,
    ) -> Option<Astray> {
        let Intent { revision, pod, bounds, .. } = intent;
        match (self, revision, pod, bounds) {
            (Self::ReplicaSet(set), Some(revision), ..) => {
                astray_revision(set.as_ref(), revision, target, values)
            }
            (Self::Pod(pod, set), _, Some(named), _) => {
                astray_pod((pod.as_ref(), set.as_ref()), named, target, values)
            }
            (Self::Autoscaler(autoscaler), .., Some(bounds)) => {
                astray_autoscaler(autoscaler.as_ref(), bounds, target)
            }
            (Self::Nothing, None, None, None) => None,
            _ => Some(Astray::Wrong("does not say what it is of".to_owned())),
        }
    }

    /// Why it cannot be what an attempt wrote; `None` where it can, or the target itself tells.
    pub(super) fn hides(&self, attempt: &Attempt) -> Option<Astray> {
        let Intent { type_, pod, bounds: wanted, .. } = &attempt.intent;
        match (type_, self) {
            (ActionType::EvictPod, Self::Pod(Some(live), _)) => {
                let uid = pod.as_ref().map(|pod| pod.uid.as_str());
                let is_leaving = !live["metadata"]["deletionTimestamp"].is_null();
                let is_there = text(live, "/metadata/uid") == uid && !is_leaving;
                is_there.then(|| Astray::Wrong("the pod is there".to_owned()))
            }
            (ActionType::EvictPod, Self::Pod(None, _)) => None,
            (ActionType::HpaBounds, Self::Autoscaler(Some(live))) => {
                let Some(wanted) = wanted else {
                    return Some(Astray::Wrong("it has none".to_owned()));
                };
                let said =
                    Bounds { min_replicas: wanted.min_replicas, max_replicas: wanted.max_replicas };
                let is_it = text(live, "/metadata/uid") == Some(&wanted.uid);
                if is_it && bounds(live) == Some(said) {
                    return None;
                }
                let differ = "the bounds differ".to_owned();
                let version = text(live, "/metadata/resourceVersion");
                let is_as_read = version == Some(&wanted.resource_version);
                Some(if is_as_read { Astray::Wrong(differ) } else { Astray::Moved(differ) })
            }
            (ActionType::EvictPod | ActionType::HpaBounds, _) => {
                Some(Astray::Moved("what it was written on is gone".to_owned()))
            }
            _ => None,
        }
    }
}

fn astray_revision(
    set: Option<&Value>,
    revision: &RevisionIntent,
    target: &Target,
    values: Values,
) -> Option<Astray> {
    let set_text = set.map(Value::to_string);
    if let Some(flaw) = revision_flaw(revision, set_text.as_deref(), &target.uid) {
        let name = &revision.replica_set;
        return Some(Astray::Wrong(format!("goes back to the ReplicaSet {name}, which {flaw}")));
    }
    // Numbers move when a revision is brought back.
    let annotations = set.and_then(|set| set.pointer("/metadata/annotations"));
    let number = annotations.and_then(|all| all.get(NUMBER)?.as_str());
    let is_numbered = number == Some(revision.number.to_string().as_str());
    (values == Values::New && !is_numbered)
        .then(|| Astray::Moved("says another number than that revision has".to_owned()))
}

fn astray_pod(
    (pod, set): (Option<&Value>, Option<&Value>),
    named: &PodIntent,
    target: &Target,
    values: Values,
) -> Option<Astray> {
    let name = &named.name;
    let Some(pod) = pod else {
        // What was evicted may be gone before that is on record.
        let is_gone = || Astray::Moved(format!("is of the pod {name}, which is gone"));
        return (values == Values::New).then(is_gone);
    };
    if text(pod, "/metadata/uid") != Some(&named.uid) {
        let other = || Astray::Moved(format!("is of the pod {name}, and that is another now"));
        return (values == Values::New).then(other);
    }
    let set = set.filter(|set| text(set, "/metadata/uid") == controller(pod, "ReplicaSet"));
    let is_its = set.is_some_and(|set| controller(set, "Deployment") == Some(&target.uid));
    if !is_its {
        return Some(Astray::Wrong(format!("is of the pod {name}, which is none of the target's")));
    }
    // One that has got ready since it was planned is still what somebody may have approved.
    let is_ready = || {
        Astray::Moved(format!("is of the pod {name}, which is ready, and only others are evicted"))
    };
    (values == Values::New && ready(pod)).then(is_ready)
}

/// Whether a pod is ready.
fn ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn astray_autoscaler(
    autoscaler: Option<&Value>,
    wanted: &BoundsIntent,
    target: &Target,
) -> Option<Astray> {
    let name = &wanted.name;
    let moved =
        |what: &str| Some(Astray::Moved(format!("is of the autoscaler {name}, which {what}")));
    let Some(autoscaler) = autoscaler else { return moved("is gone") };
    if text(autoscaler, "/metadata/uid") != Some(&wanted.uid) {
        return moved("is another now");
    }
    let of = |key: &str| autoscaler.pointer("/spec/scaleTargetRef")?.get(key)?.as_str();
    let is_of_apps = of("apiVersion").is_some_and(|version| version.starts_with("apps/"));
    if (of("kind"), of("name")) != (Some("Deployment"), Some(&target.name)) || !is_of_apps {
        return Some(Astray::Wrong(format!(
            "is of the autoscaler {name}, which does not scale the target"
        )));
    }
    if text(autoscaler, "/metadata/resourceVersion") != Some(&wanted.resource_version) {
        return moved("was written since");
    }
    None
}

/// The bounds of an autoscaler; the lower one is 1 where it says none.
fn bounds(autoscaler: &Value) -> Option<Bounds> {
    let number = |key: &str| i32::try_from(autoscaler["spec"][key].as_i64()?).ok();
    Some(Bounds {
        min_replicas: number("minReplicas").unwrap_or(1),
        max_replicas: number("maxReplicas")?,
    })
}

fn text<'v>(object: &'v Value, pointer: &str) -> Option<&'v str> {
    object.pointer(pointer)?.as_str()
}

/// The uid of what controls an object, where that is of this kind.
pub(super) fn controller<'v>(object: &'v Value, kind: &str) -> Option<&'v str> {
    owner(object, kind)?.get("uid")?.as_str()
}

/// The name of what controls an object, where that is of this kind.
pub(super) fn controller_name<'v>(object: &'v Value, kind: &str) -> Option<&'v str> {
    owner(object, kind)?.get("name")?.as_str()
}

fn owner<'v>(object: &'v Value, kind: &str) -> Option<&'v Value> {
    let owners = object.pointer("/metadata/ownerReferences")?.as_array()?;
    owners.iter().find(|owner| owner["controller"] == true && owner["kind"] == kind)
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;
    use smartops_change::TemplateDigest;

    use super::*;

    fn target() -> Target {
        serde_json::from_value(json!({"kind": "Deployment", "name": "web", "uid": "u-1"})).unwrap()
    }

    fn owned(kind: &str, uid: &str) -> Value {
        json!([{"apiVersion": "apps/v1", "kind": kind, "name": "x", "uid": uid, "controller": true}])
    }

    fn set() -> Value {
        json!({
            "metadata": {"name": "web-1", "uid": "s-1", "ownerReferences": owned("Deployment", "u-1"),
                         "annotations": {NUMBER: "2"}},
            "spec": {"template": {
                "metadata": {"labels": {"app": "web", "pod-template-hash": "1"}},
                "spec": {"containers": [{"name": "web", "image": "web:0"}]},
            }},
        })
    }

    fn pod() -> Value {
        json!({"metadata": {"name": "web-1-a", "uid": "p-1", "ownerReferences": owned("ReplicaSet", "s-1")}})
    }

    pub(in crate::own) fn autoscaler(min: i32, max: i32) -> Value {
        json!({
            "metadata": {"name": "web", "uid": "h-1", "resourceVersion": "51"},
            "spec": {"minReplicas": min, "maxReplicas": max,
                     "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
        })
    }

    fn intent(value: Value) -> Intent {
        serde_json::from_value(value).unwrap()
    }

    fn back(number: i64) -> Intent {
        let template = json!({
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "web:0"}]},
        });
        let digest: TemplateDigest = serde_json::from_value(template).unwrap();
        intent(json!({"type": "rollback", "revision": {
            "replicaSet": "web-1", "uid": "s-1", "number": number, "template": digest.to_string(),
        }}))
    }

    fn evict() -> Intent {
        intent(json!({"type": "evict-pod", "pod": {"name": "web-1-a", "uid": "p-1"}}))
    }

    pub(in crate::own) fn move_bounds(min: i32, max: i32) -> Intent {
        intent(json!({"type": "hpa-bounds", "bounds": {
            "name": "web", "uid": "h-1", "resourceVersion": "51", "minReplicas": min, "maxReplicas": max,
        }}))
    }

    /// Whether it is the target's, moved, or never was.
    fn told(beside: &Beside, intent: &Intent, values: Values) -> &'static str {
        match beside.astray(intent, &target(), values) {
            None => "its",
            Some(Astray::Moved(_)) => "moved",
            Some(Astray::Wrong(_)) => "wrong",
        }
    }

    fn with(mut object: Value, pointer: &str, value: Value) -> Value {
        *object.pointer_mut(pointer).unwrap() = value;
        object
    }

    #[test]
    fn a_rollback_is_to_a_replica_set_of_the_target_with_that_template_and_at_first_that_number() {
        use Values::{New, Recorded};
        for (set, intent, values, expected) in [
            (Some(set()), back(2), New, "its"),
            (Some(set()), back(1), New, "moved"),
            (Some(set()), back(1), Recorded, "its"),
            (None, back(2), New, "wrong"),
            (Some(with(set(), "/metadata/uid", json!("s-2"))), back(2), New, "wrong"),
            (
                Some(with(set(), "/metadata/ownerReferences", owned("Deployment", "u-2"))),
                back(2),
                Recorded,
                "wrong",
            ),
            (
                Some(with(set(), "/spec/template/spec/containers/0/image", json!("web:9"))),
                back(2),
                New,
                "wrong",
            ),
        ] {
            let beside = Beside::ReplicaSet(set);
            assert_eq!(told(&beside, &intent, values), expected, "{beside:?}");
        }
    }

    #[test]
    fn an_eviction_is_of_a_pod_of_a_replica_set_of_the_target_that_was_not_ready_when_planned() {
        use Values::{New, Recorded};
        let ready = |status: &str| {
            let mut pod = pod();
            let others = json!({"type": "Initialized", "status": "True"});
            pod["status"]["conditions"] = json!([others, {"type": "Ready", "status": status}]);
            pod
        };
        let other = || with(pod(), "/metadata/uid", json!("p-2"));
        let strange = with(set(), "/metadata/ownerReferences", owned("Deployment", "u-2"));
        for (pod, set, values, expected) in [
            (Some(pod()), Some(set()), New, "its"),
            (None, None, New, "moved"),
            (None, None, Recorded, "its"),
            (Some(other()), Some(set()), New, "moved"),
            (Some(other()), Some(set()), Recorded, "its"),
            (Some(ready("True")), Some(set()), New, "moved"),
            (Some(ready("True")), Some(set()), Recorded, "its"),
            (Some(ready("False")), Some(set()), New, "its"),
            (Some(ready("Unknown")), Some(set()), New, "its"),
            (Some(pod()), None, New, "wrong"),
            (Some(pod()), Some(strange), Recorded, "wrong"),
            (Some(pod()), Some(with(set(), "/metadata/uid", json!("s-2"))), New, "wrong"),
        ] {
            let beside = Beside::Pod(pod, set);
            assert_eq!(told(&beside, &evict(), values), expected, "{beside:?}");
        }
    }

    #[test]
    fn bounds_are_those_of_the_autoscaler_that_scales_the_target_in_the_version_that_was_read() {
        let edited =
            |pointer: &str, value: &str| Some(with(autoscaler(1, 5), pointer, json!(value)));
        for (live, expected) in [
            (Some(autoscaler(1, 5)), "its"),
            (None, "moved"),
            (edited("/metadata/uid", "h-2"), "moved"),
            (edited("/metadata/resourceVersion", "52"), "moved"),
            (edited("/spec/scaleTargetRef/name", "db"), "wrong"),
            (edited("/spec/scaleTargetRef/kind", "StatefulSet"), "wrong"),
            (edited("/spec/scaleTargetRef/apiVersion", "example.com/v1"), "wrong"),
        ] {
            let beside = Beside::Autoscaler(live);
            assert_eq!(told(&beside, &move_bounds(2, 8), Values::New), expected, "{beside:?}");
        }
        assert_eq!(told(&Beside::Nothing, &move_bounds(2, 8), Values::New), "wrong");
        assert_eq!(told(&Beside::Nothing, &Intent::scale(3), Values::New), "its");
    }

    #[test]
    fn an_eviction_shows_by_the_pod_that_is_gone_and_bounds_by_themselves() {
        let attempt = |intent: &Intent| -> Attempt {
            serde_json::from_value(json!({
                "number": 1, "kind": "Apply", "intent": intent,
                "target": {"uid": "u-1", "generation": 3, "resourceVersion": "7"},
                "former": {"replicas": 3}, "leader": "pod/1",
                "startedAt": "2026-11-21T10:00:00Z", "deadline": "2026-11-21T10:01:00Z",
            }))
            .unwrap()
        };
        let leaving =
            json!({"metadata": {"uid": "p-1", "deletionTimestamp": "2026-11-21T10:00:00Z"}});
        let read_since = with(autoscaler(1, 5), "/metadata/resourceVersion", json!("52"));
        let written = with(autoscaler(2, 8), "/metadata/resourceVersion", json!("52"));
        for (beside, intent, expected) in [
            (Beside::Pod(None, None), evict(), None),
            (Beside::Pod(Some(leaving), None), evict(), None),
            (Beside::Pod(Some(with(pod(), "/metadata/uid", json!("p-2"))), None), evict(), None),
            (Beside::Pod(Some(pod()), None), evict(), Some(false)),
            (Beside::Autoscaler(Some(written)), move_bounds(2, 8), None),
            (Beside::Autoscaler(Some(autoscaler(1, 5))), move_bounds(2, 8), Some(false)),
            (Beside::Autoscaler(Some(read_since)), move_bounds(2, 8), Some(true)),
            (Beside::Autoscaler(None), move_bounds(2, 8), Some(true)),
            (Beside::Nothing, Intent::scale(3), None),
        ] {
            let hidden = beside.hides(&attempt(&intent));
            let may_have_moved = hidden.map(|why| matches!(why, Astray::Moved(_)));
            assert_eq!(may_have_moved, expected, "{beside:?}");
        }
    }
}
