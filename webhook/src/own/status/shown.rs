//! Whether a target shows what an attempt meant to write. A patch is read piece by piece; of one that only takes items
//! out of lists no piece can be looked for, and it has to have made another pod template at least.

use serde_json::Value;
use smartops_change::Quantity;
use smartops_common::action::{ActionType, PatchFormat, PatchParameters};
use smartops_common::names;
use smartops_common::remediation::Attempt;

use crate::own::target::Target;

/// Most values that are compared for one patch.
const MOST: u32 = 1_000_000;

/// Why the target cannot be what an attempt wrote; `None` where it can.
pub(super) fn hidden(attempt: &Attempt, target: &Target) -> Option<String> {
    let intent = &attempt.intent;
    let differs = |path: &str, differs: bool| differs.then(|| format!("{path} differs"));
    match intent.type_ {
        ActionType::Scale => {
            differs("spec.replicas", intent.replicas != Some(target.spec.replicas))
        }
        ActionType::Restart => {
            let annotations = target.object.pointer("/spec/template/metadata/annotations");
            let live = annotations.and_then(|all| all.get(names::RESTARTED_AT)?.as_str());
            let stamp = intent.restarted_at.as_deref();
            differs("the annotation restartedAt", stamp.is_none() || stamp != live)
        }
        ActionType::Patch => {
            let Some(patch) = &intent.patch else { return Some("it has no patch".to_owned()) };
            let mut left = MOST;
            let seen = seen(patch, &target.object, &mut left);
            if left == 0 {
                return Some("the patch is too much to be compared".to_owned());
            }
            seen.map_or_else(Some, |looked| {
                let now = target.spec.template.to_string();
                let as_before = !looked && attempt.former.template.as_ref() == Some(&now);
                as_before.then(|| "the pod template is the one before".to_owned())
            })
        }
        ActionType::Rollback => {
            let wanted = intent.revision.as_ref().map(|revision| revision.template.as_str());
            differs("spec.template", wanted != Some(&target.spec.template.to_string()))
        }
        ActionType::Pause | ActionType::Resume => {
            let is_paused = target.object.pointer("/spec/paused") == Some(&Value::Bool(true));
            differs("spec.paused", is_paused != (intent.type_ == ActionType::Pause))
        }
        // They show on the pod and on the autoscaler.
        ActionType::EvictPod | ActionType::HpaBounds => None,
    }
}

/// Whether something of a patch was looked for and everything of that found.
fn seen(patch: &PatchParameters, live: &Value, left: &mut u32) -> Result<bool, String> {
    let body: Value =
        serde_json::from_str(&patch.body).map_err(|_| "the patch is no JSON".to_owned())?;
    match (patch.format, &body) {
        (PatchFormat::Strategic, body) => merged(body, live, left),
        (PatchFormat::Json, Value::Array(operations)) => operated(operations, live, left),
        (PatchFormat::Json, _) => Err("the patch is no list of operations".to_owned()),
    }
}

/// Of a merge patch: every value it names of what a write can change. One with directives gets no warrant, and so is
/// never found.
fn merged(body: &Value, live: &Value, left: &mut u32) -> Result<bool, String> {
    let mut looked = false;
    for part in ["/spec", "/metadata/labels", "/metadata/annotations"] {
        let Some(wanted) = body.pointer(part) else { continue };
        if !holds(live.pointer(part), wanted, left) {
            return Err(format!("something of {} differs", dotted(part)));
        }
        looked = true;
    }
    if looked { Ok(true) } else { Err("the patch changes nothing".to_owned()) }
}

/// Of a JSON Patch: the value of each operation that no later one writes over.
fn operated(operations: &[Value], live: &Value, left: &mut u32) -> Result<bool, String> {
    let path = |operation: &Value| operation["path"].as_str().unwrap_or_default().to_owned();
    let paths: Vec<String> = operations.iter().map(path).collect();
    let (mut looked, mut changes) = (false, false);
    for (place, operation) in operations.iter().enumerate() {
        let Some(path) = paths.get(place) else { break };
        let op = operation["op"].as_str().unwrap_or_default();
        changes |= op != "test";
        let mut later = paths.iter().skip(place + 1);
        let is_over = later
            .any(|other| is_within(path, list(other).unwrap_or(other)) || is_within(other, path));
        let value = &operation["value"];
        let is_there = match op {
            "test" => continue,
            "move" | "copy" => return Err(format!("no warrant is given of a {op}")),
            _ if is_over => continue,
            "remove" if list(path).is_some_and(|list| is_list(live, list)) => continue,
            "remove" => live.pointer(path).is_none_or(Value::is_null),
            _ => match list(path).filter(|list| is_list(live, list)) {
                // Where in a list it stands now, later operations and the API server decide.
                Some(list) => {
                    let items = live.pointer(list).and_then(Value::as_array);
                    items.is_some_and(|items| items.iter().any(|i| holds(Some(i), value, left)))
                }
                None => holds(live.pointer(path), value, left),
            },
        };
        if !is_there {
            return Err(format!("{} differs", dotted(path)));
        }
        looked = true;
    }
    if changes { Ok(looked) } else { Err("the patch changes nothing".to_owned()) }
}

/// Whether what is found has every value that is wanted. The API server adds defaults, drops what says nothing, and
/// writes quantities its own way; items of a list are looked for anywhere in it.
fn holds(found: Option<&Value>, wanted: &Value, left: &mut u32) -> bool {
    *left = left.saturating_sub(1);
    if *left == 0 {
        return false;
    }
    match (found, wanted) {
        (None, wanted) => says_nothing(wanted),
        (Some(found), Value::Null) => found.is_null(),
        (Some(Value::Object(found)), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, wanted)| !key.starts_with('$') && holds(found.get(key), wanted, left)),
        (Some(Value::Array(found)), Value::Array(wanted)) => {
            wanted.iter().all(|wanted| found.iter().any(|found| holds(Some(found), wanted, left)))
        }
        (Some(found), wanted) => found == wanted || is_same_quantity(found, wanted),
    }
}

/// Whether the API server leaves a value out.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(says_nothing),
    }
}

fn is_same_quantity(one: &Value, other: &Value) -> bool {
    let quantity = |value: &Value| match value {
        Value::String(text) => Quantity::parse(text),
        Value::Number(number) => Quantity::parse(&number.to_string()),
        _ => None,
    };
    quantity(one).is_some_and(|one| Some(one) == quantity(other))
}

/// The list that a pointer names an item of, going by the pointer alone.
fn list(path: &str) -> Option<&str> {
    let (list, item) = path.rsplit_once('/')?;
    (item == "-" || item.parse::<u32>().is_ok()).then_some(list)
}

fn is_list(live: &Value, path: &str) -> bool {
    live.pointer(path).is_none_or(Value::is_array)
}

/// Whether a pointer is another or leads below it.
fn is_within(path: &str, other: &str) -> bool {
    path.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A pointer as it is told, and not too much of it.
fn dotted(path: &str) -> String {
    path.trim_start_matches('/').replace('/', ".").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live() -> Value {
        json!({
            "metadata": {"uid": "u-1", "generation": 4, "resourceVersion": "8", "annotations": {"a": "b"}},
            "spec": {"replicas": 3, "template": {
                "metadata": {"annotations": {"team": "shop", "kubectl.kubernetes.io/restartedAt": "t1"}},
                "spec": {"containers": [
                    {"name": "proxy", "image": "proxy:1"},
                    {"name": "web", "image": "web:1", "terminationMessagePath": "/dev/termination-log",
                     "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
                     "env": [{"name": "A", "value": "1"}, {"name": "EMPTY"}]},
                ]},
            }},
        })
    }

    fn is_shown(intent: &Value, former: Option<&str>) -> bool {
        let target = Target::read(&live().to_string()).unwrap();
        let template = former.map_or_else(|| target.spec.template.to_string(), str::to_owned);
        let attempt = json!({
            "number": 1, "kind": "Apply", "intent": intent, "leader": "pod/1",
            "target": {"uid": "u-1", "generation": 3, "resourceVersion": "7"},
            "former": {"replicas": 2, "template": template},
            "startedAt": "2026-11-21T10:00:00Z", "deadline": "2026-11-21T10:01:00Z",
        });
        hidden(&serde_json::from_value(attempt).unwrap(), &target).is_none()
    }

    #[test]
    fn a_template_that_was_brought_back_and_a_pause_are_shown_or_not() {
        let live = Target::read(&live().to_string()).unwrap().spec.template.to_string();
        let back = |template: &str| {
            let revision =
                json!({"replicaSet": "web-1", "uid": "s", "number": 1, "template": template});
            json!({"type": "rollback", "revision": revision})
        };
        for (intent, expected) in [
            (back(&live), true),
            (back("another"), false),
            (json!({"type": "rollback"}), false),
            (json!({"type": "pause"}), false),
            (json!({"type": "resume"}), true),
        ] {
            assert_eq!(is_shown(&intent, None), expected, "{intent}");
        }
    }

    #[test]
    fn a_number_and_a_stamp_are_shown_or_not() {
        for (intent, expected) in [
            (json!({"type": "scale", "replicas": 3}), true),
            (json!({"type": "scale", "replicas": 4}), false),
            (json!({"type": "scale"}), false),
            (json!({"type": "restart", "restartedAt": "t1"}), true),
            (json!({"type": "restart", "restartedAt": "t2"}), false),
            (json!({"type": "restart"}), false),
            (json!({"type": "patch"}), false),
        ] {
            assert_eq!(is_shown(&intent, None), expected, "{intent}");
        }
    }

    #[test]
    fn of_a_merge_patch_every_value_is_looked_for_as_the_api_server_keeps_it() {
        let container = |members: Value| {
            let mut container = json!({"name": "web"});
            for (key, value) in members.as_object().unwrap() {
                container[key] = value.clone();
            }
            json!({"spec": {"template": {"spec": {"containers": [container]}}}})
        };
        for (body, expected) in [
            (container(json!({"image": "web:1"})), true),
            (container(json!({"image": "web:2"})), false),
            (
                container(json!({"resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}}})),
                true,
            ),
            (container(json!({"resources": {"limits": {"cpu": 1}}})), true),
            (container(json!({"resources": {"limits": {"cpu": "1001m"}}})), false),
            (container(json!({"env": [{"name": "EMPTY", "value": ""}]})), true),
            (container(json!({"env": [{"name": "A", "value": "2"}]})), false),
            (
                container(json!({"stdin": false, "securityContext": {}, "args": [], "tty": null})),
                true,
            ),
            (container(json!({"image": null})), false),
            (container(json!({"$patch": "delete"})), false),
            (json!({"metadata": {"resourceVersion": "1", "annotations": {"a": "b"}}}), true),
            (json!({"metadata": {"annotations": {"a": "c"}}}), false),
            (json!({"metadata": {"resourceVersion": "1"}}), false),
            (json!({}), false),
            (json!("text"), false),
        ] {
            let patch = json!({"format": "strategic", "body": body.to_string()});
            let intent = json!({"type": "patch", "patch": patch});
            assert_eq!(is_shown(&intent, None), expected, "{body}");
        }
    }

    #[test]
    fn of_a_json_patch_each_operation_is_looked_for_that_no_later_one_writes_over() {
        let (team, env) =
            ("/spec/template/metadata/annotations/team", "/spec/template/spec/containers/1/env");
        let op =
            |op: &str, path: &str, value: Value| json!({"op": op, "path": path, "value": value});
        let (first, last) = (format!("{env}/0"), format!("{env}/-"));
        for (body, expected) in [
            (json!([op("replace", team, json!("shop"))]), true),
            (json!([op("add", team, json!("shop"))]), true),
            (json!([op("replace", team, json!("other"))]), false),
            (
                json!([op("replace", team, json!("other")), op("replace", team, json!("shop"))]),
                true,
            ),
            (
                json!([op("replace", team, json!("shop")), op("replace", team, json!("other"))]),
                false,
            ),
            (json!([op("remove", "/spec/paused", Value::Null)]), true),
            (json!([op("remove", team, Value::Null)]), false),
            (json!([op("add", &last, json!({"name": "A", "value": "1"}))]), true),
            (json!([op("add", &first, json!({"name": "EMPTY", "value": ""}))]), true),
            (json!([op("add", &last, json!({"name": "B"}))]), false),
            (json!([op("test", team, json!("shop"))]), false),
            (json!([{"op": "copy", "from": team, "path": team}]), false),
            (json!([{"op": "move", "from": team, "path": team}]), false),
            (json!([]), false),
            (json!({}), false),
        ] {
            let patch = json!({"format": "json", "body": body.to_string()});
            assert_eq!(
                is_shown(&json!({"type": "patch", "patch": patch}), None),
                expected,
                "{body}"
            );
        }
    }

    #[test]
    fn what_only_takes_items_out_of_lists_has_made_another_pod_template_at_least() {
        let body = json!([{"op": "remove", "path": "/spec/template/spec/containers/1/env/0"}]);
        let patch = json!({"type": "patch", "patch": {"format": "json", "body": body.to_string()}});
        assert!(is_shown(&patch, Some("another")));
        assert!(!is_shown(&patch, None));
    }

    #[test]
    fn what_is_too_much_to_be_compared_is_not_found() {
        let many: Vec<String> = (0..2000).map(|n| format!("arg-{n}")).collect();
        let containers = |args: &[String]| json!([{"name": "web", "args": args}]);
        let mut live = live();
        live["spec"]["template"]["spec"]["containers"] = containers(&many);
        let backwards: Vec<String> = many.iter().rev().cloned().collect();
        for (args, expected) in [(&backwards[..], false), (&many[..500], true)] {
            let body = json!({"spec": {"template": {"spec": {"containers": containers(args)}}}});
            let patch = PatchParameters { format: PatchFormat::Strategic, body: body.to_string() };
            let mut left = MOST;
            assert_eq!(seen(&patch, &live, &mut left).is_ok(), expected);
            assert_eq!(left > 0, expected);
        }
    }
}
