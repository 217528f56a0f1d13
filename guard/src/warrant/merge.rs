//! A strategic merge patch of a Deployment, carried out as the API server does: objects merge, null removes, lists whose
//! items have a merge key merge by it, all other lists are replaced. Directives (`$patch` and the like) are refused: what
//! they announce is not a value.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

/// The lists of a Deployment that merge, and by which key.
const KEYS: [(&str, &str); 14] = [
    ("containers", "name"),
    ("initContainers", "name"),
    ("ephemeralContainers", "name"),
    ("volumes", "name"),
    ("env", "name"),
    ("imagePullSecrets", "name"),
    ("resourceClaims", "name"),
    ("schedulingGates", "name"),
    ("ports", "containerPort"),
    ("volumeMounts", "mountPath"),
    ("volumeDevices", "devicePath"),
    ("hostAliases", "ip"),
    ("topologySpreadConstraints", "topologyKey"),
    ("ownerReferences", "uid"),
];

/// Most items of a list that is merged.
const MOST_ITEMS: usize = 1024;

/// The one list of texts that merges.
const MERGING_TEXTS: &str = "finalizers";

/// Merges a patch into an object.
pub(super) fn merge(
    object: &mut Map<String, Value>,
    patch: &Map<String, Value>,
) -> Result<(), String> {
    for (key, wanted) in patch {
        if key.starts_with('$') {
            return Err(format!(
                "the patch it announces has the directive {key}, of which no warrant can be given; write the values themselves"
            ));
        }
        match (object.get_mut(key), wanted) {
            (_, Value::Null) => {
                object.remove(key);
            }
            (Some(Value::Object(found)), Value::Object(wanted)) => merge(found, wanted)?,
            (Some(Value::Array(found)), Value::Array(wanted)) if key == MERGING_TEXTS => {
                bounded(key, found)?;
                bounded(key, wanted)?;
                found.extend(wanted.iter().cloned());
                let mut seen = HashSet::new();
                found.retain(|text| seen.insert(text.to_string()));
            }
            (Some(Value::Array(found)), Value::Array(wanted)) if merge_key(key).is_some() => {
                let by = merge_key(key).unwrap_or_default();
                *found = merged(key, by, std::mem::take(found), wanted)?;
            }
            (_, wanted) => {
                without_directives(wanted)?;
                object.insert(key.clone(), wanted.clone());
            }
        }
    }
    Ok(())
}

fn merge_key(list: &str) -> Option<&'static str> {
    KEYS.iter().find(|(name, _)| *name == list).map(|(_, key)| *key)
}

/// What comes anew is taken as it is, so it may hold no directive either.
fn without_directives(value: &Value) -> Result<(), String> {
    match value {
        Value::Object(object) => merge(&mut Map::new(), object),
        Value::Array(items) => items.iter().try_for_each(without_directives),
        _ => Ok(()),
    }
}

/// A list merged by the key of its items. Those the patch names come in its order, the others in theirs; where nothing
/// says which of two is first, it is the one that the patch names.
fn merged(list: &str, by: &str, found: Vec<Value>, wanted: &[Value]) -> Result<Vec<Value>, String> {
    let formerly = Places::of(list, by, &found)?;
    let named = Places::of(list, by, wanted)?;
    let mut places = formerly.0.clone();
    let mut items: Vec<Value> = found;
    for item in wanted {
        let patch = item.as_object().ok_or_else(|| format!("an item of {list} is no object"))?;
        let place = *places.entry(id(list, by, item)?).or_insert(items.len());
        match items.get_mut(place) {
            Some(Value::Object(known)) => merge(known, patch)?,
            Some(_) => return Err(format!("an item of {list} is no object")),
            None => {
                without_directives(item)?;
                items.push(item.clone());
            }
        }
    }
    let mut patched: Vec<(usize, Option<usize>, Value)> = Vec::new();
    let mut others: Vec<(Option<usize>, Value)> = Vec::new();
    for item in items {
        let id = id(list, by, &item)?;
        let former = formerly.0.get(&id).copied();
        match named.0.get(&id) {
            Some(place) => patched.push((*place, former, item)),
            None => others.push((former, item)),
        }
    }
    patched.sort_by_key(|(place, ..)| *place);
    let (mut patched, mut others) = (patched.into_iter().peekable(), others.into_iter().peekable());
    let mut ordered = Vec::new();
    loop {
        let other_is_first = match (others.peek(), patched.peek()) {
            (None, None) => return Ok(ordered),
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some((other, _)), Some((_, patched, _))) => {
                other.zip(*patched).is_some_and(|(other, patched)| other < patched)
            }
        };
        let next = if other_is_first {
            others.next().map(|(_, item)| item)
        } else {
            patched.next().map(|(.., item)| item)
        };
        ordered.extend(next);
    }
}

/// What an item merges by, as its JSON text.
fn id(list: &str, by: &str, item: &Value) -> Result<String, String> {
    match item.get(by) {
        Some(id) if !id.is_object() && !id.is_array() => Ok(id.to_string()),
        _ => Err(format!("an item of {list} has no {by} to merge by")),
    }
}

/// Where in a list each item first stands, by what it merges by.
struct Places(HashMap<String, usize>);

impl Places {
    fn of(list: &str, by: &str, items: &[Value]) -> Result<Self, String> {
        bounded(list, items)?;
        let mut places = HashMap::with_capacity(items.len());
        for (place, item) in items.iter().enumerate() {
            places.entry(id(list, by, item)?).or_insert(place);
        }
        Ok(Self(places))
    }
}

/// Refuses a list to merge that no Deployment has.
fn bounded(list: &str, items: &[Value]) -> Result<(), String> {
    if items.len() > MOST_ITEMS {
        return Err(format!(
            "{list} has {} items, and of a merge of more than {MOST_ITEMS} no warrant can be given; write the list with a JSON Patch",
            items.len()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merge(object: Value, patch: Value) -> Result<Value, String> {
        let (Value::Object(mut object), Value::Object(patch)) = (object, patch) else {
            panic!("two objects")
        };
        super::merge(&mut object, &patch).map(|()| Value::Object(object))
    }

    #[test]
    fn objects_merge_null_removes_and_lists_merge_by_their_key_or_are_replaced() {
        for (object, patch, expected) in [
            (
                json!({"a": {"b": 1, "c": 2}}),
                json!({"a": {"b": 3}}),
                json!({"a": {"b": 3, "c": 2}}),
            ),
            (json!({"a": 1, "b": 2}), json!({"a": null, "c": null}), json!({"b": 2})),
            (json!({"a": 1}), json!({"a": {"b": 2}}), json!({"a": {"b": 2}})),
            (json!({"args": ["a", "b"]}), json!({"args": ["c"]}), json!({"args": ["c"]})),
            (
                json!({"containers": [{"name": "web", "image": "a"}, {"name": "log"}]}),
                json!({"containers": [{"name": "web", "image": "b"}]}),
                json!({"containers": [{"name": "web", "image": "b"}, {"name": "log"}]}),
            ),
            (
                json!({"ports": [{"containerPort": 80}]}),
                json!({"ports": [{"containerPort": 80, "name": "http"}]}),
                json!({"ports": [{"containerPort": 80, "name": "http"}]}),
            ),
            (
                json!({"finalizers": ["a", "b"]}),
                json!({"finalizers": ["c", "a"]}),
                json!({"finalizers": ["a", "b", "c"]}),
            ),
            (json!({}), json!({"env": [{"name": "A"}]}), json!({"env": [{"name": "A"}]})),
        ] {
            assert_eq!(merge(object, patch.clone()), Ok(expected), "{patch}");
        }
    }

    #[test]
    fn a_merged_list_keeps_the_order_of_the_patch_and_puts_what_is_new_first() {
        let list = |names: &[&str]| {
            let items: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
            json!({"env": items})
        };
        for (found, patch, expected) in [
            (&["a", "b"][..], &["c"][..], &["c", "a", "b"][..]),
            (&["a", "b"], &["b"], &["a", "b"]),
            (&["a", "b"], &["b", "a"], &["b", "a"]),
            (&["a", "b", "c"], &["c", "a"], &["b", "c", "a"]),
            (&["a", "b"], &["b", "c"], &["a", "b", "c"]),
            (&["a", "b", "c"], &["b", "d"], &["a", "b", "d", "c"]),
            (&["a", "b", "c"], &["b", "a", "e"], &["b", "a", "e", "c"]),
            (&["a", "b", "c"], &["e", "c"], &["e", "a", "b", "c"]),
        ] {
            let merged = merge(list(found), list(patch)).unwrap();
            assert_eq!(merged, list(expected), "{found:?} {patch:?}");
        }
    }

    #[test]
    fn directives_and_items_without_a_key_are_refused_wherever_they_stand() {
        let object = json!({"spec": {"env": [{"name": "A"}], "strategy": {"type": "Recreate"}}});
        for patch in [
            json!({"$patch": "replace"}),
            json!({"spec": {"env": [{"name": "A", "$patch": "delete"}]}}),
            json!({"spec": {"env": [{"name": "B", "$patch": "delete"}]}}),
            json!({"spec": {"$setElementOrder/env": [{"name": "A"}]}}),
            json!({"spec": {"strategy": {"$retainKeys": ["type"]}}}),
            json!({"spec": {"fresh": [{"deep": {"$patch": "replace"}}]}}),
            json!({"spec": {"env": [{"value": "x"}]}}),
            json!({"spec": {"env": ["A"]}}),
        ] {
            assert!(merge(object.clone(), patch.clone()).is_err(), "{patch}");
        }
    }

    #[test]
    fn a_list_of_as_many_items_as_a_deployment_has_merges_and_a_longer_one_is_refused() {
        let env = |numbers: std::ops::Range<usize>| {
            let items = numbers.map(|n| json!({"name": n.to_string()}));
            json!({"env": items.collect::<Vec<_>>()})
        };
        let finalizers = |count: usize| json!({"finalizers": (0..count).collect::<Vec<_>>()});
        let most = MOST_ITEMS;
        assert_eq!(merge(env(0..most), env(0..most)), Ok(env(0..most)));
        assert_eq!(merge(finalizers(most), finalizers(most)), Ok(finalizers(most)));
        for (object, patch) in [
            (env(0..most + 1), env(0..1)),
            (env(0..1), env(0..most + 1)),
            (finalizers(most + 1), finalizers(1)),
            (finalizers(1), finalizers(most + 1)),
        ] {
            let refusal = merge(object, patch).unwrap_err();
            assert!(refusal.contains("has 1025 items"), "{refusal}");
        }
    }

    #[test]
    fn of_items_that_share_a_key_the_first_is_merged_and_the_others_stay() {
        let ports = |ports: &[(u16, &str)]| {
            let port = |(n, name): &(u16, &str)| json!({"containerPort": n, "name": name});
            json!({"ports": ports.iter().map(port).collect::<Vec<_>>()})
        };
        let found = ports(&[(53, "dns"), (53, "tcp"), (80, "http")]);
        let merged = merge(found, ports(&[(53, "new")])).unwrap();
        assert_eq!(merged, ports(&[(53, "new"), (53, "tcp"), (80, "http")]));
    }
}
