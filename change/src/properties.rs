//! Properties that hold for any object, whatever the tables thought of.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::context::{Context, Notation};
use crate::diff::{self, DifferenceKind, Template};
use crate::digest::TemplateDigest;
use crate::quantity::Quantity;
use crate::raw::Object;
use crate::request::{Operation, Request, Resource};
use crate::review::Change;
use crate::review::tests::kinds::kinds;

fn found(old: &Value, new: &Value) -> Vec<(String, DifferenceKind)> {
    found_by(None, old, new)
}

fn found_by(template: Option<Template>, old: &Value, new: &Value) -> Vec<(String, DifferenceKind)> {
    let (old, new) = (old.to_string(), new.to_string());
    let (old, new) = (Object::read(&old).unwrap(), Object::read(&new).unwrap());
    diff::between(&old, &new, Context::Structure, template)
        .unwrap()
        .listed()
        .iter()
        .map(|d| (d.path.to_string(), d.kind))
        .collect()
}

fn digest(template: &Value) -> TemplateDigest {
    serde_json::from_value(template.clone()).unwrap()
}

fn container() -> impl Strategy<Value = Value> {
    let env = btree_map("[A-C]", "[0-9]{0,2}", 0..3);
    let limit = prop_oneof![
        Just("1"),
        Just("1000m"),
        Just("1Gi"),
        Just("1024Mi"),
        Just("1073741824"),
        Just("2")
    ];
    let extra = prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!([])),
        Just(json!([{}])),
        Just(json!({"a": null})),
        Just(json!({"runAsUser": 0})),
    ];
    ("[a-d]", "[x-z]", env, limit, extra, prop_oneof!["resources", "securityContext", "lifecycle"])
        .prop_map(|(name, image, env, limit, extra, key)| {
            let env: Vec<_> = env.iter().map(|(k, v)| json!({"name": k, "value": v})).collect();
            let mut container = json!({"name": name, "image": image, "env": env,
                "resources": {"limits": {"cpu": limit}}});
            container[key.as_str()] = extra;
            container
        })
}

fn template() -> impl Strategy<Value = Value> {
    let labels = btree_map("[a-c]|limits|a\\.b/c", "[0-9]m?", 0..3);
    (vec(container(), 0..4), labels).prop_map(|(containers, labels)| {
        json!({"metadata": {"creationTimestamp": null, "labels": labels}, "spec": {"containers": containers}})
    })
}

/// The containers with distinct names, as the API server admits them.
fn distinct(template: &Value) -> Vec<Value> {
    let mut seen = std::collections::BTreeSet::new();
    let containers = template["spec"]["containers"].as_array().unwrap();
    containers.iter().filter(|c| seen.insert(c["name"].to_string())).cloned().collect()
}

fn with_containers(template: &Value, containers: Vec<Value>) -> Value {
    let mut template = template.clone();
    template["spec"]["containers"] = Value::Array(containers);
    template
}

/// A template of at least two containers with distinct names.
fn of_several() -> impl Strategy<Value = Value> {
    (template(), vec(container(), 2..5)).prop_map(|(template, containers)| {
        let named =
            containers.into_iter().zip(["a", "b", "c", "d"]).map(|(mut container, name)| {
                container["name"] = json!(name);
                container
            });
        with_containers(&template, named.collect())
    })
}

/// A value as JSON, each object's keys backwards and white space wherever it may stand.
fn spaced(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members: Vec<_> = members
                .iter()
                .rev()
                .map(|(key, value)| format!("{} :\n{}", json!(key), spaced(value)))
                .collect();
            format!("{{ {} }}", members.join(" ,\t"))
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(spaced).collect();
            format!("[\r\n{} ]", items.join(", "))
        }
        scalar => scalar.to_string(),
    }
}

/// What is told of an update, in no order.
fn told(resource: Resource<'_>, old: &str, new: &str) -> Vec<String> {
    let change = Change::read(Request {
        operation: Operation::Update,
        resource,
        namespace: None,
        name: "x",
        old: Some(old),
        new: Some(new),
    })
    .unwrap();
    let listed = change.differences().listed().iter();
    let mut told: Vec<String> = listed.map(|d| format!("{} {}", d.path, d.kind.as_str())).collect();
    told.extend(change.images().iter().map(|i| format!("{} {:?} {:?}", i.path, i.old, i.new)));
    told.extend(change.images_after().unwrap().iter().map(|i| format!("{} {}", i.path, i.image)));
    let increases = change.resource_increases().unwrap_or_default();
    told.extend(increases.iter().map(|i| format!("{} {:?}", i.path, i.growth)));
    told.push(format!("{} {}", change.template_changed(), change.rolls_pods()));
    told.sort();
    told
}

proptest! {
    #[test]
    fn key_order_and_white_space_change_nothing_for_any_kind(x in template(), y in template()) {
        for (resource, around) in kinds() {
            let plain = |template: &Value| around(&template.to_string());
            let odd = |template: &Value| around(&spaced(template));
            let told_plainly = told(resource, &plain(&x), &plain(&y));
            prop_assert_eq!(&told_plainly, &told(resource, &odd(&x), &odd(&y)), "{}", resource);
            prop_assert_eq!(&told_plainly, &told(resource, &odd(&x), &plain(&y)), "{}", resource);
        }
    }

    #[test]
    fn permuting_both_objects_alike_changes_nothing_for_any_kind(x in of_several(), y in of_several(), by in 1_usize..4) {
        let (mut old, mut new) = (distinct(&x), distinct(&y));
        let shared = old.len().min(new.len());
        old.truncate(shared);
        new.truncate(shared);
        let pair = |old: &[Value], new: &[Value]| {
            (with_containers(&x, old.to_vec()).to_string(), with_containers(&y, new.to_vec()).to_string())
        };
        let (a, b) = pair(&old, &new);
        old.rotate_left(by % shared);
        new.rotate_left(by % shared);
        let (c, d) = pair(&old, &new);
        for (resource, around) in kinds() {
            let before = told(resource, &around(&a), &around(&b));
            prop_assert_eq!(before, told(resource, &around(&c), &around(&d)), "{}", resource);
        }
    }

    #[test]
    fn a_digest_as_written_differs_exactly_when_a_difference_as_written_is_found(x in template(), y in template()) {
        let as_written = Template { keys: &[], notation: Notation::AsWritten };
        let digest = |template: &Value| TemplateDigest::as_written(template).unwrap();
        prop_assert_eq!(found_by(Some(as_written), &x, &y).is_empty(), digest(&x) == digest(&y));
    }

    #[test]
    fn what_was_read_is_read_again_and_what_is_cut_short_is_refused(x in template(), cut in any::<prop::sample::Index>()) {
        let text = spaced(&x);
        prop_assert!(Object::read(&text).is_ok());
        let cut = cut.index(text.len());
        prop_assert!(text.get(..cut).is_none_or(|part| Object::read(part).is_err()));
    }

    #[test]
    fn nothing_differs_from_itself(x in template()) {
        prop_assert_eq!(found(&x, &x), vec![]);
    }

    #[test]
    fn the_digest_differs_exactly_when_the_difference_finds_something(x in template(), y in template()) {
        prop_assert_eq!(found(&x, &y).is_empty(), digest(&x) == digest(&y));
    }

    #[test]
    fn permuting_both_sides_alike_changes_nothing(x in template(), y in template(), by in 0_usize..4) {
        let (mut old, mut new) = (distinct(&x), distinct(&y));
        new.retain(|c| old.iter().any(|o| o["name"] == c["name"]));
        old.retain(|c| new.iter().any(|n| n["name"] == c["name"]));
        old.sort_by_key(|c| c["name"].to_string());
        new.sort_by_key(|c| c["name"].to_string());
        let mut before = found(&with_containers(&x, old.clone()), &with_containers(&y, new.clone()));
        if !old.is_empty() {
            let by = by % old.len();
            old.rotate_left(by);
            new.rotate_left(by);
        }
        let mut after = found(&with_containers(&x, old), &with_containers(&y, new));
        before.sort_by(|a, b| a.0.cmp(&b.0));
        after.sort_by(|a, b| a.0.cmp(&b.0));
        prop_assert_eq!(before, after);
    }

    #[test]
    fn an_order_that_differs_between_the_sides_is_reported(x in of_several()) {
        let containers = distinct(&x);
        let mut moved = containers.clone();
        moved.rotate_left(1);
        let found = found(&with_containers(&x, containers), &with_containers(&x, moved));
        prop_assert_eq!(found, vec![("spec.containers".to_owned(), DifferenceKind::Reordered)]);
    }

    #[test]
    fn a_leaf_that_changes_is_reported_at_its_path(x in of_several(), pick in any::<prop::sample::Index>()) {
        let mut containers = distinct(&x);
        let old = with_containers(&x, containers.clone());
        let place = pick.index(containers.len());
        containers[place]["image"] = json!("other");
        let name = containers[place]["name"].as_str().unwrap().to_owned();
        let new = with_containers(&x, containers);
        let path = format!("spec.containers[{name}].image");
        prop_assert_eq!(found(&old, &new), vec![(path, DifferenceKind::Changed)]);
    }

    #[test]
    fn a_quantity_is_the_same_in_thousandths(n in 0_i64..1_000_000_000) {
        let (whole, milli) = (n.to_string(), format!("{n}000m"));
        prop_assert_eq!(Quantity::parse(&whole), Quantity::parse(&milli));
        prop_assert_ne!(Quantity::parse(&whole), Quantity::parse(&format!("{n}001m")));
    }
}
