//! Where each kind keeps its template, its images, its resources and its number.

use super::*;

/// An object around a pod template.
type Around = fn(&str) -> String;

/// Every kind with a pod template, as a review names it, and how its objects hold theirs.
pub(crate) fn kinds() -> Vec<(Resource<'static>, Around)> {
    let resource =
        |group, resource, subresource| Resource { group, version: "v1", resource, subresource };
    let plain: Around = |template| format!(r#"{{"spec":{{"template":{template}}}}}"#);
    vec![
        (DEPLOYMENTS, plain),
        (resource("apps", "statefulsets", ""), plain),
        (resource("apps", "daemonsets", ""), plain),
        (resource("apps", "replicasets", ""), plain),
        (resource("", "replicationcontrollers", ""), plain),
        (resource("batch", "jobs", ""), plain),
        (resource("batch", "cronjobs", ""), |template| {
            format!(r#"{{"spec":{{"jobTemplate":{{"spec":{{"template":{template}}}}}}}}}"#)
        }),
        (resource("", "pods", ""), str::to_owned),
        (resource("", "pods", "ephemeralcontainers"), str::to_owned),
        (resource("", "pods", "resize"), str::to_owned),
    ]
}

fn container(image: &str, resources: &str) -> String {
    format!(
        r#"{{"spec":{{"containers":[{{"name":"web","image":"{image}","resources":{resources}}}]}}}}"#
    )
}

#[test]
fn the_template_of_every_kind_is_compared_and_only_some_kinds_roll_by_it() {
    for (resource, of) in kinds() {
        let (old, new) = (of(&container("a", "{}")), of(&container("b", "{}")));
        let change = read(resource, Operation::Update, Some(&old), Some(&new)).unwrap();
        assert!(change.template_changed(), "{resource}");
        let rolls = matches!(change.kind(), Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet);
        assert_eq!(change.rolls_pods(), rolls, "{resource}");
        let same = read(resource, Operation::Update, Some(&old), Some(&old)).unwrap();
        assert!(!same.template_changed(), "{resource}");
    }
}

#[test]
fn a_label_of_a_pod_is_none_of_its_template_and_one_of_a_template_is() {
    let bare = r#"{"metadata":{"labels":{"a":"1"}},"spec":{}}"#;
    let labelled = r#"{"metadata":{"labels":{"a":"2"}},"spec":{}}"#;
    for (resource, of) in kinds() {
        let (old, new) = (of(bare), of(labelled));
        let change = read(resource, Operation::Update, Some(&old), Some(&new)).unwrap();
        assert_eq!(change.template_changed(), change.kind() != Kind::Pod, "{resource}");
        assert_eq!(change.only_metadata_changes(), change.kind() == Kind::Pod, "{resource}");
    }
}

#[test]
fn images_and_resources_are_read_at_the_path_of_each_kind() {
    for (resource, of) in kinds() {
        let old = of(&container("a", r#"{"limits":{"cpu":"1"}}"#));
        let new = of(&container("b", r#"{"limits":{"cpu":"1500m"}}"#));
        let change = read(resource, Operation::Update, Some(&old), Some(&new)).unwrap();
        let at = match change.kind() {
            Kind::Pod => "spec",
            Kind::CronJob => "spec.jobTemplate.spec.template.spec",
            _ => "spec.template.spec",
        };
        let image = format!("{at}.containers[web].image");
        assert_eq!(change.images()[0].path.to_string(), image);
        let after = change.images_after().unwrap();
        assert_eq!((after[0].path.to_string(), after[0].image.as_str()), (image, "b"));
        let increases = change.resource_increases().unwrap();
        assert_eq!(
            increases[0].path.to_string(),
            format!("{at}.containers[web].resources.limits.cpu")
        );
        let created = read(resource, Operation::Create, None, Some(&new)).unwrap();
        assert_eq!(created.images_after().unwrap(), after);
        assert!(created.images().is_empty() && created.resource_increases().unwrap().is_empty());
    }
}

#[test]
fn every_way_to_exchange_an_image_is_one() {
    let of = |spec: &str| format!(r#"{{"spec":{{"template":{{"spec":{{{spec}}}}}}}}}"#);
    let a = r#"{"name":"a","image":"x"}"#;
    let b = r#"{"name":"b","image":"x"}"#;
    let base = of(&format!(r#""containers":[{a},{b}]"#));
    for (new, expected) in [
        (format!(r#""containers":[{b},{a}]"#), 1),
        (format!(r#""containers":[{a}]"#), 1),
        (format!(r#""containers":[{a},{a}]"#), 2),
        (format!(r#""containers":[{a},{b}],"initContainers":[{a}]"#), 1),
        (
            format!(
                r#""containers":[{a},{b}],"volumes":[{{"name":"v","image":{{"reference":"y"}}}}]"#
            ),
            1,
        ),
        (format!(r#""containers":[{a},{b}],"volumes":[{{"name":"v","emptyDir":{{}}}}]"#), 0),
        (format!(r#""containers":[{a},{{"name":"b","image":"x","tty":true}}]"#), 0),
    ] {
        let new = of(&new);
        let change = update("", &base, &new).unwrap();
        assert_eq!(change.images().len(), expected, "{new}");
    }
}

#[test]
fn the_number_of_every_kind_stands_where_it_keeps_it() {
    for (group, plural, subresource, spec, absent, path) in [
        ("apps", "deployments", "", r#""replicas":4"#, Some(1), "spec.replicas"),
        ("apps", "statefulsets", "", r#""replicas":4"#, Some(1), "spec.replicas"),
        ("apps", "replicasets", "", r#""replicas":4"#, Some(1), "spec.replicas"),
        ("", "replicationcontrollers", "", r#""replicas":4"#, Some(1), "spec.replicas"),
        ("batch", "jobs", "", r#""parallelism":4"#, Some(1), "spec.parallelism"),
        (
            "batch",
            "cronjobs",
            "",
            r#""jobTemplate":{"spec":{"parallelism":4}}"#,
            Some(1),
            "spec.jobTemplate.spec.parallelism",
        ),
        ("apps", "statefulsets", "scale", r#""replicas":4"#, Some(0), "spec.replicas"),
        ("example.com", "widgets", "scale", r#""replicas":4"#, Some(0), "spec.replicas"),
        ("apps", "daemonsets", "", r#""replicas":4"#, None, ""),
        ("", "pods", "", r#""replicas":4"#, None, ""),
        ("apps", "deployments", "status", r#""replicas":4"#, None, ""),
    ] {
        let resource = Resource { group, version: "v1", resource: plural, subresource };
        let new = format!(r#"{{"spec":{{{spec}}}}}"#);
        let change = read(resource, Operation::Update, Some("{}"), Some(&new)).unwrap();
        let expected = absent.map(|n| ReplicasChange { old: Some(n), new: Some(4) });
        assert_eq!(change.replicas(), expected, "{resource}");
        assert_eq!(change.replicas_path().unwrap_or_default(), path, "{resource}");
        assert_eq!(change.kind().has_number(), expected.is_some(), "{resource}");
    }
}

#[test]
fn a_number_at_a_path_is_zero_where_only_one_side_has_it() {
    let widgets =
        Resource { group: "example.com", version: "v1", resource: "widgets", subresource: "" };
    let path: NumberPath = "spec.pool.size".parse().unwrap();
    let five = r#"{"spec":{"pool":{"size":5}}}"#;
    for (old, new, expected) in [
        (Some(five), Some(five), Some((Some(5), Some(5)))),
        (Some(five), Some("{}"), Some((Some(5), Some(0)))),
        (Some(r#"{"spec":{"pool":null}}"#), Some(five), Some((Some(0), Some(5)))),
        (Some("{}"), Some("{}"), None),
    ] {
        let change = read(widgets, Operation::Update, old, new).unwrap();
        let expected = expected.map(|(old, new)| ReplicasChange { old, new });
        assert_eq!(change.number_at(&path).unwrap(), expected, "{old:?} {new:?}");
    }
    let created = read(widgets, Operation::Create, None, Some(five)).unwrap();
    let expected = ReplicasChange { old: None, new: Some(5) };
    assert_eq!(created.number_at(&path).unwrap(), Some(expected));
    for odd in [r#"{"spec":{"pool":7}}"#, r#"{"spec":{"pool":{"size":"5"}}}"#] {
        let change = read(widgets, Operation::Create, None, Some(odd)).unwrap();
        assert!(change.number_at(&path).is_err(), "{odd}");
    }
}

#[test]
fn quantities_written_otherwise_roll_only_where_the_controller_compares_as_written() {
    let of = |memory: &str| {
        format!(
            r#"{{"spec":{{"template":{}}}}}"#,
            container("a", &format!(r#"{{"limits":{{"memory":"{memory}"}}}}"#))
        )
    };
    for (plural, new, expected) in [
        ("deployments", "1073741824", false),
        ("deployments", "2Gi", true),
        ("statefulsets", "1073741824", true),
        ("daemonsets", "1073741824", true),
        ("statefulsets", "1024Mi", false),
        ("daemonsets", "1024Mi", false),
    ] {
        let resource = Resource { resource: plural, ..DEPLOYMENTS };
        let (old, new) = (of("1Gi"), of(new));
        let change = read(resource, Operation::Update, Some(&old), Some(&new)).unwrap();
        assert_eq!(change.rolls_pods(), expected, "{plural} {new}");
    }
}

#[test]
fn what_the_server_adds_to_a_daemon_set_is_no_difference() {
    let daemon_sets = Resource { resource: "daemonsets", ..DEPLOYMENTS };
    let of = |n: u8| {
        format!(
            r#"{{"metadata":{{"annotations":{{"deprecated.daemonset.template.generation":"{n}"}}}},"spec":{{}}}}"#
        )
    };
    let (old, new) = (of(1), of(2));
    let change = read(daemon_sets, Operation::Update, Some(&old), Some(&new)).unwrap();
    assert!(change.differences().listed().is_empty());
}
