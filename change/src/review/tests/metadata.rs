//! What is told of metadata: labels, owners, what an autoscaler scales, and updates of nothing else.

use super::*;

#[test]
fn labels_are_told_only_where_an_object_has_its_own() {
    let labelled = r#"{"metadata":{"labels":{"tier":"gold","a.b/c":"x"}}}"#;
    let change = update("", "{}", labelled).unwrap();
    assert!(change.labels_before().unwrap().unwrap().is_empty());
    let after = change.labels_after().unwrap().unwrap();
    assert_eq!((after.get("tier"), after.get("other")), (Some("gold"), None));
    assert_eq!(after.iter().collect::<Vec<_>>(), [("a.b/c", "x"), ("tier", "gold")]);
    assert_eq!(update("scale", "{}", labelled).unwrap().labels_after(), Ok(None));
    let evictions =
        Resource { group: "", resource: "pods", subresource: "eviction", ..DEPLOYMENTS };
    let eviction = read(evictions, Operation::Create, None, Some(labelled)).unwrap();
    assert_eq!(eviction.labels_after(), Ok(None));
    assert_eq!(eviction.labels_before(), Ok(None));
    let broken = update("", "{}", r#"{"metadata":{"labels":{"a":1}}}"#).unwrap();
    assert!(broken.labels_after().is_err());
}

#[test]
fn the_controller_is_the_one_before_the_write_or_the_one_that_adopts() {
    let owned = |name: &str| {
        format!(
            r#"{{"metadata":{{"ownerReferences":[{{"apiVersion":"v1","kind":"ConfigMap","name":"x","uid":"0"}},
                {{"apiVersion":"apps/v1","kind":"Deployment","name":"{name}","uid":"1","controller":true}}]}}}}"#
        )
    };
    let replica_sets = Resource { resource: "replicasets", ..DEPLOYMENTS };
    let (web, shop) = (owned("web"), owned("shop"));
    for (old, new, before, after) in [
        (web.as_str(), shop.as_str(), Some("web"), Some("shop")),
        ("{}", &shop, Some("shop"), Some("shop")),
        (&web, "{}", Some("web"), None),
        ("{}", "{}", None, None),
    ] {
        let change = read(replica_sets, Operation::Update, Some(old), Some(new)).unwrap();
        let name = |owner: Option<&Owner<'_>>| owner.map(|o| format!("{}/{}", o.group, o.name));
        let named = |name: Option<&str>| name.map(|name| format!("apps/{name}"));
        assert_eq!(name(change.controller()), named(before));
        assert_eq!(name(change.controller_after()), named(after));
    }
}

#[test]
fn an_autoscaler_names_what_it_scales_on_each_side() {
    let autoscalers = Resource {
        group: "autoscaling",
        version: "v2",
        resource: "horizontalpodautoscalers",
        subresource: "",
    };
    let of = |target: &str| format!(r#"{{"spec":{{"maxReplicas":5,"scaleTargetRef":{target}}}}}"#);
    let old = of(r#"{"apiVersion":"apps/v1","kind":"Deployment","name":"web"}"#);
    let new = of(r#"{"apiVersion":"v1","kind":"ReplicationController","name":"old"}"#);
    let change = read(autoscalers, Operation::Update, Some(&old), Some(&new)).unwrap();
    let target = |target: Option<&ScaleTarget<'_>>| {
        target.map(|t| format!("{}|{}|{}", t.group, t.kind, t.name))
    };
    assert_eq!(target(change.scale_target_before()).unwrap(), "apps|Deployment|web");
    assert_eq!(target(change.scale_target_after()).unwrap(), "|ReplicationController|old");
    let bare = r#"{"spec":{"maxReplicas":5}}"#;
    let change = read(autoscalers, Operation::Create, None, Some(bare)).unwrap();
    assert_eq!((change.scale_target_before(), change.scale_target_after()), (None, None));
}

#[test]
fn an_autoscalers_metrics_in_an_annotation_are_no_metadata() {
    let autoscalers = Resource {
        group: "autoscaling",
        version: "v1",
        resource: "horizontalpodautoscalers",
        subresource: "",
    };
    let of = |key: &str| {
        format!(r#"{{"metadata":{{"annotations":{{"{key}":"x"}}}},"spec":{{"maxReplicas":5}}}}"#)
    };
    for (key, expected) in [
        ("note", true),
        ("autoscaling.alpha.kubernetes.io/conditions", true),
        ("autoscaling.alpha.kubernetes.io/metrics", false),
        ("autoscaling.alpha.kubernetes.io/behavior", false),
    ] {
        let (old, new) = (of("other"), of(key));
        let change = read(autoscalers, Operation::Update, Some(&old), Some(&new)).unwrap();
        assert_eq!(change.only_metadata_changes(), expected, "{key}");
    }
}

#[test]
fn only_an_update_of_metadata_and_status_is_one_of_metadata_alone() {
    let old = r#"{"metadata":{"labels":{"a":"1"}},"spec":{"replicas":1}}"#;
    for (new, expected) in [
        (old, true),
        (r#"{"metadata":{"labels":{"a":"2"}},"spec":{"replicas":1}}"#, true),
        (r#"{"metadata":{"labels":{"a":"1"}},"spec":{"replicas":1},"status":{"x":1}}"#, true),
        (r#"{"metadata":{"labels":{"a":"2"}},"spec":{"replicas":2}}"#, false),
        (r#"{"metadata":{"labels":{"a":"1"}},"spec":{"replicas":1},"data":{"x":"1"}}"#, false),
    ] {
        for subresource in ["", "status"] {
            assert_eq!(update(subresource, old, new).unwrap().only_metadata_changes(), expected);
        }
    }
    let created = read(DEPLOYMENTS, Operation::Create, None, Some(old)).unwrap();
    assert!(!created.only_metadata_changes());
    let deleted = read(DEPLOYMENTS, Operation::Delete, Some(old), None).unwrap();
    assert!(!deleted.only_metadata_changes());
    let labels: Vec<_> = (0..400).map(|i| format!(r#""k{i}":"v""#)).collect();
    let many = format!(r#"{{"metadata":{{"labels":{{{}}}}}}}"#, labels.join(","));
    assert!(!update("", "{}", &many).unwrap().only_metadata_changes(), "something unknown changed");
}

#[test]
fn books_are_told_of_every_kind_but_those_that_the_server_keeps_itself() {
    let of = |key: &str| {
        format!(r#"{{"metadata":{{"annotations":{{"{key}":"x"}}}},"spec":{{"maxReplicas":5}}}}"#)
    };
    let apps = |resource| Resource { resource, ..DEPLOYMENTS };
    let autoscalers = Resource {
        group: "autoscaling",
        version: "v1",
        resource: "horizontalpodautoscalers",
        subresource: "",
    };
    let (applied, revision) =
        ("kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision");
    let (generation, metrics) = (
        "deprecated.daemonset.template.generation",
        "autoscaling.alpha.kubernetes.io/current-metrics",
    );
    for (resource, key, expected) in [
        (apps("deployments"), applied, 1),
        (apps("deployments"), revision, 1),
        (apps("deployments"), generation, 1),
        (apps("deployments"), metrics, 1),
        (apps("daemonsets"), applied, 1),
        (apps("daemonsets"), generation, 0),
        (autoscalers, applied, 1),
        (autoscalers, metrics, 0),
        // What nobody keeps books in is a difference like any other.
        (apps("deployments"), "a/b", 0),
    ] {
        let (old, new) = (of("other"), of(key));
        let change = read(resource, Operation::Update, Some(&old), Some(&new)).unwrap();
        assert_eq!(change.bookkeeping().count(), expected, "{} {key}", resource.resource);
    }
}
