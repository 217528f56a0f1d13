//! Patch: the forms callers send, brought to two (strategic merge, JSON Patch), and how each is written and
//! recognised. What a patch may touch is not decided here: the webhook judges its result.

use json_patch::PatchOperation;
use kube::api::Patch;
use serde_json::{Map, Value, json};
use smartops_common::action::{Action, Intent, PatchFormat, PatchParameters};

use super::{Malformed, Write};
use crate::target::Live;

/// Longest patch that is recorded, in bytes of JSON.
pub(super) const LONGEST: usize = 65_536;
const FORMS: &str = "give a merge-style object such as {\"spec\":{\"template\":{…}}}, a JSON Patch array, or one \
                     JSON Patch operation {\"op\",\"path\",\"value\"}";

/// Reads a caller's patch in any of the accepted forms: a merge-style object, the same wrapped once more under
/// `patch`, a JSON Patch array, or one JSON Patch operation.
pub fn parse(value: &Value) -> Result<Action, Malformed> {
    let value = match value {
        Value::Object(map) if map.len() == 1 => map.get("patch").unwrap_or(value),
        _ => value,
    };
    let action = match value {
        Value::Array(operations) if operations.is_empty() => {
            return Err(Malformed(format!("the JSON Patch is empty: {FORMS}")));
        }
        Value::Array(_) => {
            operations(value)?;
            Action::patch(PatchFormat::Json, value)
        }
        Value::Object(map) if map.contains_key("op") => {
            let list = Value::Array(vec![value.clone()]);
            operations(&list)?;
            Action::patch(PatchFormat::Json, &list)
        }
        Value::Object(map) if !map.is_empty() => {
            merge_object(map)?;
            Action::patch(PatchFormat::Strategic, value)
        }
        _ => return Err(Malformed(format!("the patch is empty or no object: {FORMS}"))),
    };
    match &action.patch {
        Some(patch) if patch.body.len() > LONGEST => Err(Malformed(format!(
            "the patch is {} bytes long; at most {LONGEST} are accepted",
            patch.body.len()
        ))),
        _ => Ok(action),
    }
}

fn merge_object(map: &Map<String, Value>) -> Result<(), Malformed> {
    for key in ["metadata", "spec"] {
        if map.get(key).is_some_and(|v| !v.is_object()) {
            return Err(Malformed(format!("{key} of a merge-style patch must be an object")));
        }
    }
    Ok(())
}

fn operations(list: &Value) -> Result<json_patch::Patch, Malformed> {
    serde_json::from_value(list.clone())
        .map_err(|e| Malformed(format!("not a JSON Patch (RFC 6902): {e}; {FORMS}")))
}

pub(super) fn plan(action: &Action) -> Result<Intent, Malformed> {
    let patch = action.patch.clone().ok_or_else(|| Malformed("a patch needs patch".into()))?;
    Ok(Intent::patch(patch))
}

pub(super) fn write(intent: &Intent, resource_version: &str) -> Result<Write, Malformed> {
    let (parameters, body) = recorded(intent)?;
    let patch = match parameters.format {
        PatchFormat::Strategic => {
            let mut body = body;
            let metadata = body
                .as_object_mut()
                .map(|b| b.entry("metadata").or_insert_with(|| Value::Object(Map::new())));
            let Some(metadata) = metadata.and_then(Value::as_object_mut) else {
                return Err(Malformed("metadata of a merge-style patch must be an object".into()));
            };
            metadata.insert("resourceVersion".into(), Value::String(resource_version.into()));
            Patch::Strategic(body)
        }
        PatchFormat::Json => {
            let test = json!([
                {"op": "test", "path": "/metadata/resourceVersion", "value": resource_version}
            ]);
            let mut all = operations(&test)?;
            all.0.extend(operations(&body)?.0);
            Patch::Json(all)
        }
    };
    Ok(Write::Deployment(patch))
}

pub(super) fn is_applied(intent: &Intent, live: &Live) -> bool {
    let Ok((parameters, body)) = recorded(intent) else { return false };
    let live = live.stored();
    match parameters.format {
        PatchFormat::Strategic => contains(live, &body),
        PatchFormat::Json => operations(&body)
            .is_ok_and(|all| !all.0.is_empty() && all.0.iter().all(|op| shows(live, op))),
    }
}

fn recorded(intent: &Intent) -> Result<(&PatchParameters, Value), Malformed> {
    let parameters = intent
        .patch
        .as_ref()
        .ok_or_else(|| Malformed("the recorded intent of a patch has no patch".into()))?;
    let body = serde_json::from_str(&parameters.body)
        .map_err(|e| Malformed(format!("the recorded patch is not JSON: {e}")))?;
    Ok((parameters, body))
}

/// Whether merging `patch` into `live` would leave it as it is. Directives (`$patch`, `$setElementOrder`) cannot be
/// told from the result and count as not applied.
fn contains(live: &Value, patch: &Value) -> bool {
    match (live, patch) {
        (Value::Object(live), Value::Object(patch)) => patch.iter().all(|(key, wanted)| {
            let found = live.get(key).unwrap_or(&Value::Null);
            !key.starts_with('$')
                && match wanted {
                    Value::Null => found.is_null(),
                    _ => contains(found, wanted),
                }
        }),
        (Value::Array(live), Value::Array(patch)) => {
            patch.iter().all(|wanted| live.iter().any(|found| contains(found, wanted)))
        }
        _ => live == patch,
    }
}

fn shows(live: &Value, operation: &PatchOperation) -> bool {
    match operation {
        PatchOperation::Add(op) => {
            let path = op.path.as_str();
            let found = match path.strip_suffix("/-") {
                Some(list) => live.pointer(list).and_then(Value::as_array).and_then(|l| l.last()),
                None => live.pointer(path),
            };
            found == Some(&op.value)
        }
        PatchOperation::Replace(op) => live.pointer(op.path.as_str()) == Some(&op.value),
        PatchOperation::Test(op) => live.pointer(op.path.as_str()) == Some(&op.value),
        PatchOperation::Remove(op) => live.pointer(op.path.as_str()).is_none(),
        PatchOperation::Move(_) | PatchOperation::Copy(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::restarted;

    fn body(value: &Value) -> (PatchFormat, Value) {
        let patch = parse(value).unwrap().patch.unwrap();
        (patch.format, serde_json::from_str(&patch.body).unwrap())
    }

    #[test]
    fn every_form_callers_send_comes_to_one_of_two() {
        let merge = json!({"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}});
        let op = json!({"op": "replace", "path": "/spec/replicas", "value": 2});
        let table = [
            (merge.clone(), (PatchFormat::Strategic, merge.clone())),
            (json!({"patch": merge}), (PatchFormat::Strategic, merge)),
            (json!([op]), (PatchFormat::Json, json!([op]))),
            (json!({"patch": [op]}), (PatchFormat::Json, json!([op]))),
            (op.clone(), (PatchFormat::Json, json!([op]))),
            (json!({"patch": op}), (PatchFormat::Json, json!([op]))),
        ];
        for (given, expected) in table {
            assert_eq!(body(&given), expected, "{given}");
        }
    }

    #[test]
    fn what_is_no_patch_is_refused_with_the_forms_that_are() {
        let bad = [
            json!(null),
            json!({}),
            json!([]),
            json!("x"),
            json!({"patch": {}}),
            json!([{"op": "jump", "path": "/spec"}]),
            json!({"op": "replace", "path": "/spec/replicas"}),
            json!({"spec": 3}),
            json!({"metadata": null, "spec": {}}),
        ];
        for given in bad {
            assert!(parse(&given).is_err(), "{given}");
        }
        assert!(parse(&json!({"spec": {"a": "x".repeat(LONGEST)}})).is_err());
    }

    #[test]
    fn a_callers_resource_version_cannot_replace_ours() {
        let action = parse(&json!({"metadata": {"resourceVersion": "1"}, "spec": {}})).unwrap();
        let write = write(&plan(&action).unwrap(), "42").unwrap();
        let expected = json!({"metadata": {"resourceVersion": "42"}, "spec": {}});
        assert_eq!(write, Write::Deployment(Patch::Strategic(expected)));
    }

    #[test]
    fn a_json_patch_leads_with_the_test_of_the_version() {
        let action = parse(&json!({"op": "remove", "path": "/spec/paused"})).unwrap();
        let write = write(&plan(&action).unwrap(), "42").unwrap();
        let Write::Deployment(Patch::Json(patch)) = write else { panic!("{write:?}") };
        assert_eq!(
            serde_json::to_value(patch).unwrap(),
            json!([
                {"op": "test", "path": "/metadata/resourceVersion", "value": "42"},
                {"op": "remove", "path": "/spec/paused"},
            ])
        );
    }

    #[test]
    fn an_applied_patch_is_recognised_and_its_neighbour_is_not() {
        let live = restarted("t1");
        let annotations = |v: &str| json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": v}}}}});
        let pointer = "/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt";
        let table = [
            (annotations("t1"), true),
            (annotations("t2"), false),
            (json!({"spec": {"paused": null}}), true),
            (json!({"spec": {"replicas": null}}), false),
            (json!({"spec": {"template": {"spec": {"containers": [{"name": "web"}]}}}}), true),
            (json!({"spec": {"template": {"spec": {"containers": [{"name": "other"}]}}}}), false),
            (json!({"spec": {"$retainKeys": []}}), false),
            (json!([{"op": "replace", "path": pointer, "value": "t1"}]), true),
            (json!([{"op": "replace", "path": pointer, "value": "t0"}]), false),
            (json!([{"op": "remove", "path": "/spec/paused"}]), true),
            (json!([{"op": "remove", "path": pointer}]), false),
            (json!([{"op": "copy", "from": pointer, "path": pointer}]), false),
        ];
        for (patch, expected) in table {
            let intent = plan(&parse(&patch).unwrap()).unwrap();
            assert_eq!(is_applied(&intent, &live), expected, "{patch}");
        }
    }
}
