//! What admission writes into SmartOps' own objects when they come into being: who makes them, who asks, who decides.
//! Whatever the writer claimed is overwritten; `remediation` and `approval` look that it stayed so.

use serde_json::{Map, Value, json};
use smartops_common::names::{is_controller, label};
use smartops_common::remediation::cause_label;

use crate::admission::envelope::Request;
use crate::admission::reply::Answer;

/// The answer of the mutating half: the stamps that the object lacks, as a JSON Patch.
pub(super) fn stamped(request: &Request<'_>) -> Answer {
    let object = request.object.map(|object| serde_json::from_str::<Value>(object.get()));
    let object = match object {
        Some(Ok(object)) if request.operation == "CREATE" => object,
        Some(Err(_)) => return Answer::undecided("the object cannot be read"),
        // Only what comes into being is stamped.
        Some(Ok(_)) | None => return Answer::allowed(),
    };
    let user = request.user_info.username.as_ref();
    let ops = match (request.resource.resource.as_ref(), request.sub_resource.as_ref()) {
        ("remediations", "") => remediation(&object, user),
        ("remediationapprovals", "") => approval(&object, user),
        _ => Vec::new(),
    };
    let patch = (!ops.is_empty()).then(|| Value::Array(ops).to_string());
    Answer { patch, ..Answer::allowed() }
}

/// Who makes it; who asks, unless the controller asks for somebody; and by which labels it is found.
fn remediation(object: &Value, user: &str) -> Vec<Value> {
    let Some(spec) = object.get("spec").and_then(Value::as_object) else { return Vec::new() };
    let mut ops = Vec::new();
    set(&mut ops, "/spec", spec, "createdBy", user);
    if !is_controller(user) {
        set(&mut ops, "/spec", spec, "requestedBy", user);
    }
    let uid = spec.get("target").and_then(|target| target.get("uid")).and_then(Value::as_str);
    let cause = spec.get("cause").and_then(Value::as_str).map(cause_label);
    let labels = [(label::TARGET_UID, uid.map(str::to_owned)), (label::CAUSE, cause)];
    let wanted = labels.into_iter().filter_map(|(key, value)| Some((key, value?)));
    let none = Map::new();
    let present = object.pointer("/metadata/labels").and_then(Value::as_object);
    if present.is_none() {
        let metadata = object.get("metadata").is_some_and(Value::is_object);
        if !metadata {
            ops.push(json!({"op": "add", "path": "/metadata", "value": {}}));
        }
        ops.push(json!({"op": "add", "path": "/metadata/labels", "value": {}}));
    }
    for (key, value) in wanted {
        set(&mut ops, "/metadata/labels", present.unwrap_or(&none), key, &value);
    }
    ops
}

/// Who decides.
fn approval(object: &Value, user: &str) -> Vec<Value> {
    let mut ops = Vec::new();
    if let Some(spec) = object.get("spec").and_then(Value::as_object) {
        set(&mut ops, "/spec", spec, "approver", user);
    }
    ops
}

/// Has a member say this, unless it does.
fn set(ops: &mut Vec<Value>, below: &str, object: &Map<String, Value>, key: &str, value: &str) {
    if object.get(key).and_then(Value::as_str) != Some(value) {
        let key = key.replace('~', "~0").replace('/', "~1");
        ops.push(json!({"op": "add", "path": format!("{below}/{key}"), "value": value}));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::envelope::Envelope;

    const CONTROLLER: &str = "system:serviceaccount:smartops-system:smartops-orchestrator";

    /// The operations, as `path=value`, each once.
    fn stamps(resource: &str, operation: &str, user: &str, object: &Value) -> Vec<String> {
        let body =
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
                "uid": "u", "operation": operation, "name": "", "namespace": "shop",
                "resource": {"group": "smartops.dev", "version": "v1alpha1", "resource": resource},
                "userInfo": {"username": user}, "object": object,
            }})
            .to_string();
        let envelope = Envelope::read(body.as_bytes()).unwrap();
        let answer = stamped(envelope.request.as_ref().unwrap());
        assert_eq!(answer.denial, None);
        let ops: Vec<Value> =
            answer.patch.map(|patch| serde_json::from_str(&patch).unwrap()).unwrap_or_default();
        let shown = |op: &Value| {
            assert_eq!(op["op"], "add");
            let value = op["value"].as_str().map_or_else(|| op["value"].to_string(), str::to_owned);
            format!("{}={value}", op["path"].as_str().unwrap())
        };
        ops.iter().map(shown).collect()
    }

    fn spec() -> Value {
        json!({"target": {"uid": "u-1"}, "cause": "manual/scale"})
    }

    fn labels() -> [String; 2] {
        [
            "/metadata/labels/smartops.dev~1target-uid=u-1".to_owned(),
            format!("/metadata/labels/smartops.dev~1cause={}", cause_label("manual/scale")),
        ]
    }

    #[test]
    fn a_person_is_stamped_as_maker_and_asker_whatever_was_claimed() {
        let mut claimed = spec();
        claimed["createdBy"] = json!("bob");
        claimed["requestedBy"] = json!("bob");
        for spec in [spec(), claimed] {
            let object = json!({"metadata": {"generateName": "r-"}, "spec": spec});
            let [uid, cause] = labels();
            let expected = [
                "/spec/createdBy=alice".to_owned(),
                "/spec/requestedBy=alice".to_owned(),
                "/metadata/labels={}".to_owned(),
                uid,
                cause,
            ];
            assert_eq!(stamps("remediations", "CREATE", "alice", &object), expected);
        }
    }

    #[test]
    fn the_controller_asks_for_somebody_and_is_stamped_as_maker_alone() {
        let mut spec = spec();
        spec["requestedBy"] = json!("apikey:detector");
        let object = json!({"metadata": {"labels": {"a": "b"}}, "spec": spec});
        let [uid, cause] = labels();
        let expected = [format!("/spec/createdBy={CONTROLLER}"), uid, cause];
        assert_eq!(stamps("remediations", "CREATE", CONTROLLER, &object), expected);
    }

    #[test]
    fn what_is_stamped_already_is_not_stamped_again() {
        let mut spec = spec();
        spec["requestedBy"] = json!("alice");
        spec["createdBy"] = json!("alice");
        let labels = json!({"smartops.dev/target-uid": "u-1", "smartops.dev/cause": cause_label("manual/scale")});
        let object = json!({"metadata": {"labels": labels}, "spec": spec});
        assert_eq!(stamps("remediations", "CREATE", "alice", &object), [] as [&str; 0]);
        let approval = json!({"metadata": {}, "spec": {"approver": "carol"}});
        assert_eq!(stamps("remediationapprovals", "CREATE", "carol", &approval), [] as [&str; 0]);
    }

    #[test]
    fn an_approver_is_stamped_whatever_was_claimed() {
        for spec in [json!({}), json!({"approver": "bob"}), json!({"approver": null})] {
            let stamps = stamps("remediationapprovals", "CREATE", "carol", &json!({"spec": spec}));
            assert_eq!(stamps, ["/spec/approver=carol"]);
        }
    }

    #[test]
    fn odd_objects_are_stamped_as_far_as_they_can_be_and_left_to_the_schema() {
        for odd in [json!({}), json!({"spec": null}), json!({"spec": 5}), json!([]), json!("x")] {
            for resource in ["remediations", "remediationapprovals"] {
                assert_eq!(stamps(resource, "CREATE", "alice", &odd), [] as [&str; 0], "{odd}");
            }
        }
        for metadata in [json!({"labels": null}), json!({"labels": 5}), json!({}), json!(null)] {
            let object = json!({"metadata": metadata, "spec": spec()});
            let stamps = stamps("remediations", "CREATE", "alice", &object);
            assert!(stamps.contains(&"/metadata/labels={}".to_owned()), "{metadata}");
            assert!(stamps.ends_with(&labels()), "{metadata}");
        }
        for spec in [json!({"target": 5, "cause": 5}), json!({"target": {}})] {
            let object = json!({"metadata": {"labels": {}}, "spec": spec});
            let expected = ["/spec/createdBy=alice", "/spec/requestedBy=alice"];
            assert_eq!(stamps("remediations", "CREATE", "alice", &object), expected);
        }
    }

    #[test]
    fn nothing_but_what_comes_into_being_is_stamped() {
        let object = json!({"metadata": {}, "spec": spec()});
        assert_eq!(stamps("remediations", "UPDATE", "alice", &object), [] as [&str; 0]);
        assert_eq!(stamps("guardrailpolicies", "CREATE", "alice", &object), [] as [&str; 0]);
    }
}
