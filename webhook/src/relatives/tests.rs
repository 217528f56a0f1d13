//! What is read of an object's relatives, and what is made of those that cannot be.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ReplicationController;
use serde_json::{Value, json};
use smartops_change::Request;
use smartops_process::metrics::Metrics;
use smartops_process::watch::Event;

use super::*;
use crate::live::tests::{Server, pod, soon};
use crate::metrics::WebhookMetrics;
use crate::workload::Workload;

const REPLICA_SET: &str = "/apis/apps/v1/namespaces/shop/replicasets/web-1";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/shop/deployments/web";
const PODS: &str = "/api/v1/namespaces/shop/pods";

fn histories() -> Histories {
    let metrics = WebhookMetrics::new(&Metrics::new("webhook").unwrap()).unwrap();
    Histories::new(metrics)
}

fn request<'a>(
    operation: Operation,
    (group, resource): (&'a str, &'a str),
    object: &'a str,
) -> Request<'a> {
    let is_new = operation == Operation::Create;
    Request {
        operation,
        resource: Resource { group, version: "v1", resource, subresource: "" },
        namespace: Some("shop"),
        name: "web",
        old: (!is_new).then_some(object),
        new: is_new.then_some(object),
    }
}

fn controller(uid: &str) -> Workload<ReplicationController> {
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": uid, "generation": 1},
        "spec": {"selector": {"app": "web"}, "template": {}},
    }))
    .unwrap()
}

fn deployment(uid: &str) -> Workload {
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": uid, "generation": 1,
            "labels": {"tier": "gold"}},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {}},
    }))
    .unwrap()
}

/// What each relative is, and its tier: `None` where its labels may be any.
fn labels(relatives: &Relatives) -> Vec<(Relation, Option<&str>)> {
    let tier = |labels: &BTreeMap<_, String>| labels.get("tier").map_or("none", |_| "gold");
    let told = |o: &RelatedObject| (o.relation, o.labels.as_ref().map(tier));
    relatives.objects.iter().map(told).collect()
}

#[test]
fn what_is_made_anew_brings_the_labels_of_what_was_deleted_under_its_name() {
    let histories = histories();
    let object = r#"{"metadata":{"name":"web"},"spec":{"template":{}}}"#;
    let create = request(Operation::Create, ("apps", "deployments"), object);
    let create = Change::read(create).unwrap();
    let known = known(&create, &histories).unwrap();
    assert_eq!(labels(&known), [], "nothing was deleted, and nothing is to be read");
    histories.observe(Event::Apply(deployment("old")));
    histories.observe(Event::<Workload>::Delete(Box::new(deployment("old").metadata)));
    let known = super::known(&create, &histories).unwrap();
    assert_eq!(labels(&known), [(Relation::Predecessor, Some("gold"))]);
    let [predecessor] = &known.objects[..] else { panic!("{known:?}") };
    assert_eq!((predecessor.uid.as_str(), predecessor.kind.as_str()), ("old", "Deployment"));
    let other = request(Operation::Create, ("apps", "statefulsets"), object);
    let other = Change::read(other).unwrap();
    assert_eq!(labels(&super::known(&other, &histories).unwrap()), [], "of another kind");
}

#[tokio::test]
async fn what_is_made_anew_by_a_controller_brings_its_owner_and_its_predecessor() {
    let histories = histories();
    histories.observe(Event::Apply(deployment("old")));
    histories.observe(Event::<Workload>::Delete(Box::new(deployment("old").metadata)));
    let object = r#"{"metadata":{"name":"web","ownerReferences":[{"apiVersion":"example.com/v1",
        "kind":"App","name":"a","uid":"a","controller":true}]},"spec":{"template":{}}}"#;
    let create = request(Operation::Create, ("apps", "deployments"), object);
    let create = Change::read(create).unwrap();
    assert!(known(&create, &histories).is_none());
    let read = read(&create, &Server::default().live(), &histories, soon()).await;
    let expected = [(Relation::Owner, None), (Relation::Predecessor, Some("gold"))];
    assert_eq!(labels(&read.unwrap().unwrap()), expected);
}

#[tokio::test]
async fn the_labels_of_a_target_that_is_not_there_yet_or_of_a_kind_nobody_reads_may_be_any() {
    let target = |api_version: &str, kind: &str| {
        json!({"metadata": {"name": "web"}, "spec": {"maxReplicas": 3,
            "scaleTargetRef": {"apiVersion": api_version, "kind": kind, "name": "web"}}})
        .to_string()
    };
    let there = json!({"metadata": {"name": "web", "uid": "d", "labels": {"tier": "gold"}}});
    for (object, server, expected) in [
        (target("apps/v1", "Deployment"), there, Some("gold")),
        (target("apps/v1", "Deployment"), Value::Null, None),
        (target("example.com/v1", "Widget"), Value::Null, None),
    ] {
        let server = Server::default().object(DEPLOYMENT, server);
        let hpa = ("autoscaling", "horizontalpodautoscalers");
        let create = Change::read(request(Operation::Create, hpa, &object)).unwrap();
        let read = read(&create, &server.live(), &histories(), soon()).await.unwrap().unwrap();
        assert_eq!(labels(&read), [(Relation::Target, expected)], "{object}");
    }
}

fn owned(kind: &str, uid: &str) -> String {
    let api_version = if kind == "ReplicaSet" { "apps/v1" } else { "v1" };
    let name = if kind == "ReplicaSet" { "web-1" } else { "web" };
    json!({"metadata": {"name": "web-1-a", "labels": {"app": "web", "pod-template-hash": "1"},
        "ownerReferences": [{"apiVersion": api_version, "kind": kind, "name": name, "uid": uid,
            "controller": true}]}})
    .to_string()
}

fn replica_set() -> Value {
    json!({"metadata": {"name": "web-1", "uid": "rs", "labels": {"app": "web"},
        "creationTimestamp": "2026-01-01T11:00:00Z"}})
}

#[tokio::test]
async fn an_owner_that_is_gone_is_told_with_labels_that_may_be_any_and_one_that_is_there_with_its_own()
 {
    let object = owned("ReplicaSet", "rs");
    let end = request(Operation::Delete, ("", "pods"), &object);
    let end = Change::read(end).unwrap();
    for (set, expected) in [
        (replica_set(), (Relation::Owner, Some("none"))),
        (Value::Null, (Relation::Owner, None)),
        (json!({"metadata": {"name": "web-1", "uid": "another"}}), (Relation::Owner, None)),
    ] {
        let server = Server::default().object(REPLICA_SET, set).list(PODS, Vec::new());
        let read = read(&end, &server.live(), &histories(), soon()).await.unwrap().unwrap();
        assert_eq!(labels(&read), [expected]);
    }
}

#[tokio::test]
async fn where_a_pod_ends_the_newest_of_its_siblings_tells_and_too_many_pods_leave_all_unknown() {
    let object = owned("ReplicaSet", "rs");
    let end = request(Operation::Delete, ("", "pods"), &object);
    let end = Change::read(end).unwrap();
    for (others, expected) in [(600, Some(Some("2026-01-01T12:00:09Z"))), (5000, None)] {
        let mut pods = vec![pod("another", 59); others];
        pods.extend([pod("rs", 4), pod("rs", 9)]);
        let server = Server::default().object(REPLICA_SET, replica_set()).list(PODS, pods);
        let read = read(&end, &server.live(), &histories(), soon()).await.unwrap();
        let newest = read.map(|relatives| relatives.newest_pod.map(|at| at.to_string()));
        assert_eq!(newest.as_ref().map(Option::as_deref), expected, "{others}");
        assert!(server.asked()[1].contains("labelSelector=pod-template-hash%3D1"));
    }
}

#[tokio::test]
async fn the_pods_of_a_replication_controller_are_found_by_the_labels_it_selects_by() {
    let histories = histories();
    histories.observe(Event::Apply(controller("rc")));
    let path = "/api/v1/namespaces/shop/replicationcontrollers/web";
    let rc = json!({"metadata": {"name": "web", "uid": "rc"}});
    let server = Server::default().object(path, rc).list(PODS, vec![pod("rc", 9)]);
    let object = owned("ReplicationController", "rc");
    let end = request(Operation::Delete, ("", "pods"), &object);
    let end = Change::read(end).unwrap();
    let read = read(&end, &server.live(), &histories, soon()).await.unwrap().unwrap();
    assert!(read.newest_pod.is_some());
    assert!(server.asked()[1].contains("labelSelector=app%3Dweb"), "{:?}", server.asked());
}
