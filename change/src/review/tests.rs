//! Reviews as the API server sends them, and as it should not.

use super::*;
use crate::numbers::Bounds;

pub(crate) mod kinds;
mod metadata;

const DEPLOYMENTS: Resource<'_> =
    Resource { group: "apps", version: "v1", resource: "deployments", subresource: "" };

fn read<'a>(
    resource: Resource<'a>,
    operation: Operation,
    old: Option<&'a str>,
    new: Option<&'a str>,
) -> Result<Change<'a>, Error> {
    let request = Request { operation, resource, namespace: Some("ns"), name: "web", old, new };
    Change::read(request)
}

fn update<'a>(subresource: &'a str, old: &'a str, new: &'a str) -> Result<Change<'a>, Error> {
    let resource = Resource { subresource, ..DEPLOYMENTS };
    read(resource, Operation::Update, Some(old), Some(new))
}

#[test]
fn an_absent_number_is_zero_for_a_scale_and_one_for_a_deployment() {
    for (subresource, spec, expected) in [
        ("scale", r#"{"spec":{}}"#, 0),
        ("scale", "{}", 0),
        ("", r#"{"spec":{}}"#, 1),
        ("", r#"{"spec":{"replicas":null}}"#, 1),
        ("", r#"{"spec":{"replicas":0}}"#, 0),
    ] {
        let change = update(subresource, r#"{"spec":{"replicas":3}}"#, spec).unwrap();
        let replicas = ReplicasChange { old: Some(3), new: Some(expected) };
        assert_eq!(change.replicas(), Some(replicas), "{subresource} {spec}");
    }
}

#[test]
fn a_number_that_is_none_is_an_error() {
    for text in ["1.5", "\"3\"", "99999999999999999999", "{}", "[3]"] {
        let new = format!(r#"{{"spec":{{"replicas":{text}}}}}"#);
        assert!(update("", "{}", &new).is_err(), "{text}");
    }
}

#[test]
fn rolling_pods_is_any_difference_of_the_templates() {
    let of = |template: &str| format!(r#"{{"spec":{{"template":{template}}}}}"#);
    let plain = of(r#"{"spec":{"containers":[{"name":"a"}]}}"#);
    let stamped =
        of(r#"{"metadata":{"annotations":{"x":"1"}},"spec":{"containers":[{"name":"a"}]}}"#);
    let same = of(r#"{"metadata":{"annotations":{}},"spec":{"containers":[{"name":"a"}]}}"#);
    assert!(update("", &plain, &stamped).unwrap().rolls_pods());
    assert!(!update("", &plain, &same).unwrap().rolls_pods());
    assert!(
        !update("", r#"{"spec":{"replicas":1}}"#, r#"{"spec":{"replicas":2}}"#)
            .unwrap()
            .rolls_pods()
    );
}

#[test]
fn pods_roll_even_where_the_difference_is_beyond_what_is_listed() {
    let labels: Vec<_> = (0..400).map(|i| format!(r#""k{i}":"v""#)).collect();
    let new = format!(
        r#"{{"metadata":{{"labels":{{{}}}}},"spec":{{"template":{{"x":1}}}}}}"#,
        labels.join(",")
    );
    let change = update("", "{}", &new).unwrap();
    assert!(change.differences().is_truncated());
    assert!(change.rolls_pods());
}

#[test]
fn an_update_without_its_old_object_is_an_error() {
    let error = read(DEPLOYMENTS, Operation::Update, Some("null"), Some("{}")).unwrap_err();
    assert_eq!(error, Error::Missing("oldObject"));
}

#[test]
fn garbage_is_an_error_and_never_a_guess() {
    for text in ["", "[]", "3", "{", r#"{"spec":7}"#] {
        assert!(update("", "{}", text).is_err(), "{text}");
    }
}

#[test]
fn a_finaliser_that_lets_go_is_told_from_an_edit_of_a_dying_object() {
    let old = r#"{"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["a/b"]},"spec":{"replicas":1}}"#;
    let freed =
        r#"{"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z"},"spec":{"replicas":1}}"#;
    let scaled =
        r#"{"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z"},"spec":{"replicas":9}}"#;
    assert!(update("", old, freed).unwrap().is_finalising());
    assert!(!update("", old, scaled).unwrap().is_finalising());
}

#[test]
fn an_autoscaler_without_a_minimum_has_one() {
    let autoscalers = Resource {
        group: "autoscaling",
        version: "v2",
        resource: "horizontalpodautoscalers",
        subresource: "",
    };
    let new = r#"{"spec":{"maxReplicas":5}}"#;
    let change = read(autoscalers, Operation::Create, None, Some(new)).unwrap();
    let bounds = BoundsChange { old: None, new: Some(Bounds { min: 1, max: 5 }) };
    assert_eq!(change.bounds(), Some(bounds));
}

#[test]
fn the_texts_are_handed_out_as_they_came_and_null_is_none() {
    let change = read(DEPLOYMENTS, Operation::Create, Some("null"), Some(" {} ")).unwrap();
    assert_eq!((change.old_text(), change.new_text()), (None, Some("{}")));
    assert!(change.old().is_none() && change.new().is_some());
}
