//! The difference, a table a trap.

use super::*;

fn differences(old: &str, new: &str) -> Vec<String> {
    let (old, new) = (Object::read(old).unwrap(), Object::read(new).unwrap());
    between(&old, &new, Context::Root { status: false }, None)
        .unwrap()
        .listed()
        .iter()
        .map(|d| format!("{} {}", d.path, d.kind.as_str()))
        .collect()
}

#[test]
fn what_the_server_owns_is_no_difference() {
    let old = r#"{"metadata":{"generation":1,"resourceVersion":"1","managedFields":[{"a":1}],
        "annotations":{"deployment.kubernetes.io/revision":"1","kubectl.kubernetes.io/last-applied-configuration":"x"}},
        "status":{"replicas":1}}"#;
    let new = r#"{"metadata":{"generation":2,"resourceVersion":"2","managedFields":[]},"status":{"replicas":2}}"#;
    assert_eq!(differences(old, new), [] as [&str; 0]);
}

#[test]
fn an_annotation_somebody_keeps_his_books_in_is_kept_apart_and_told_only_where_it_says_something_else()
 {
    const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
    let with = |value: &str| format!(r#"{{"metadata":{{"annotations":{{"{APPLIED}":{value}}}}}}}"#);
    let told = |old: &str, new: &str| {
        let (old, new) = (Object::read(old).unwrap(), Object::read(new).unwrap());
        let found = between(&old, &new, Context::Root { status: false }, None).unwrap();
        assert_eq!(found.listed(), []);
        let told = |d: &Difference<'_>| format!("{} {}", d.path, d.kind.as_str());
        found.bookkeeping().iter().map(told).collect::<Vec<_>>()
    };
    let path = |kind: &str| vec![format!(r#"metadata.annotations["{APPLIED}"] {kind}"#)];
    for (old, new, expected) in [
        (with(r#""a""#), with(r#""b""#), path("changed")),
        (with(r#""a""#), with(r#""\u0061""#), vec![]),
        (with(r#""a""#), with("null"), path("removed")),
        (with(r#""a""#), "{}".to_owned(), path("removed")),
        ("{}".to_owned(), with(r#""a""#), path("added")),
        ("{}".to_owned(), with("null"), vec![]),
        (with(r#""a""#), with(r#"{"a":1}"#), path("changed")),
    ] {
        assert_eq!(told(&old, &new), expected, "{old} {new}");
    }
    let generations = |n: u8| {
        let fields = r#"{"metadata":{"managedFields":[N],"generation":N,"resourceVersion":"N"}}"#;
        fields.replace('N', &n.to_string())
    };
    assert_eq!(told(&generations(1), &generations(2)), [] as [&str; 0]);
}

#[test]
fn the_same_annotation_on_the_pod_template_is_a_difference() {
    let old = r#"{"spec":{"template":{"metadata":{"annotations":{"deployment.kubernetes.io/revision":"1"}}}}}"#;
    assert_eq!(
        differences(old, r#"{"spec":{"template":{}}}"#),
        [r#"spec.template.metadata.annotations["deployment.kubernetes.io/revision"] removed"#]
    );
}

#[test]
fn nothing_null_and_empty_say_the_same_where_kubernetes_holds_them_by_value() {
    let old = r#"{"spec":{"template":{"metadata":{"creationTimestamp":null,"labels":{}},"spec":{"containers":[{"name":"a","resources":{},"env":[]}]}}}}"#;
    let new = r#"{"spec":{"template":{"spec":{"containers":[{"name":"a"}]}}}}"#;
    assert_eq!(differences(old, new), [] as [&str; 0]);
}

#[test]
fn an_empty_object_held_by_pointer_is_a_difference() {
    let old = r#"{"spec":{"template":{"spec":{"containers":[{"name":"a"}]}}}}"#;
    let new =
        r#"{"spec":{"template":{"spec":{"containers":[{"name":"a","securityContext":{}}]}}}}"#;
    assert_eq!(differences(old, new), ["spec.template.spec.containers[a].securityContext added"]);
}

#[test]
fn quantities_are_compared_as_quantities_and_only_where_they_are_some() {
    let with = |limit: &str, label: &str| {
        format!(
            r#"{{"spec":{{"template":{{"metadata":{{"labels":{{"limits":"{label}"}}}},"spec":{{"containers":[{{"name":"a","resources":{{"limits":{{"cpu":{limit}}}}}}}]}}}}}}}}"#
        )
    };
    assert_eq!(differences(&with("\"1000m\"", "x"), &with("1", "x")), [] as [&str; 0]);
    assert_eq!(
        differences(&with("1", "1000m"), &with("2", "1")),
        [
            "spec.template.metadata.labels.limits changed",
            "spec.template.spec.containers[a].resources.limits.cpu changed"
        ]
    );
}

#[test]
fn an_order_that_differs_is_named_and_an_insertion_is_no_reordering() {
    let of = |names: &[&str]| {
        let items: Vec<_> = names.iter().map(|n| format!(r#"{{"name":"{n}"}}"#)).collect();
        format!(r#"{{"spec":{{"containers":[{}]}}}}"#, items.join(","))
    };
    assert_eq!(differences(&of(&["a", "b"]), &of(&["b", "a"])), ["spec.containers reordered"]);
    assert_eq!(differences(&of(&["a", "b"]), &of(&["a", "x", "b"])), ["spec.containers[x] added"]);
    assert_eq!(
        differences(&of(&["a", "a"]), &of(&["a", "b"])),
        ["spec.containers[1].name changed"]
    );
}

#[test]
fn ports_are_told_apart_by_number_and_protocol() {
    let old = r#"{"spec":{"ports":[{"containerPort":53,"protocol":"UDP"},{"containerPort":53}]}}"#;
    let new = r#"{"spec":{"ports":[{"containerPort":53,"protocol":"UDP","name":"x"},{"containerPort":53}]}}"#;
    assert_eq!(differences(old, new), ["spec.ports[53/UDP].name added"]);
}

#[test]
fn more_differences_than_are_listed_are_told() {
    let many: Vec<_> = (0..300).map(|i| format!(r#""k{i}":1"#)).collect();
    let new = format!("{{{}}}", many.join(","));
    let found = between(&Object::default(), &Object::read(&new).unwrap(), Context::Structure, None)
        .unwrap();
    assert_eq!(found.listed().len(), Differences::LISTED);
    assert!(found.is_truncated());
}

#[test]
fn what_lies_too_deep_to_look_into_differs_as_a_whole() {
    let deep = |leaf: &str| format!("{}{leaf}{}", r#"{"a":"#.repeat(100), "}".repeat(100));
    assert_eq!(differences(&deep("1"), &deep("2")).len(), 1);
}
