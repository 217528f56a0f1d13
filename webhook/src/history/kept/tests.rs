//! What the watches' events and the ledgers make of the store.

use k8s_openapi::api::apps::v1::{DaemonSet, StatefulSet};
use k8s_openapi::api::core::v1::ReplicationController;
use serde_json::json;
use smartops_guard::history::Rolled;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn workload(uid: &str, generation: i64, image: &str, replicas: i64) -> Workload {
    serde_json::from_value(json!({
        "metadata": {
            "name": "web", "namespace": "shop", "uid": uid, "generation": generation,
            "resourceVersion": format!("{generation}00"), "labels": {"app": "web"},
            "ownerReferences": [{"apiVersion": "example.com/v1", "kind": "App", "name": "a",
                "uid": "owner", "controller": true}],
        },
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {"spec": {"containers": [{"name": "c", "image": image}]}},
        },
    }))
    .unwrap()
}

fn web(uid: &str, generation: i64, image: &str) -> Workload {
    workload(uid, generation, image, 3)
}

fn gone(workload: &Workload) -> Event<Workload> {
    Event::Delete(Box::new(workload.metadata.clone()))
}

fn list(kept: &mut Kept, workloads: Vec<Workload>, second: i64) {
    kept.observe(Event::<Workload>::Init, at(second));
    for workload in workloads {
        kept.observe(Event::InitApply(workload), at(second));
    }
    kept.observe(Event::<Workload>::InitDone, at(second));
}

/// A store whose first list of Deployments told these, at second 1, and of the other kinds nothing.
fn listed(workloads: Vec<Workload>) -> Kept {
    let mut kept = Kept::default();
    complete_others(&mut kept);
    list(&mut kept, workloads, 1);
    kept
}

fn complete_others(kept: &mut Kept) {
    kept.observe(Event::<Workload<StatefulSet>>::InitDone, at(1));
    kept.observe(Event::<Workload<DaemonSet>>::InitDone, at(1));
    kept.observe(Event::<Workload<ReplicationController>>::InitDone, at(1));
}

fn rolled(kept: &Kept, uid: &str) -> Rolled {
    kept.record(uid).unwrap().rolled
}

fn namespaces(kept: &mut Kept, names: &[&str]) {
    kept.observe_namespace(&Event::Init);
    for name in names {
        let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        kept.observe_namespace(&Event::InitApply(namespace));
    }
    kept.observe_namespace(&Event::InitDone);
}

/// A store of a replica that started at this second with this ledger, and whose first list told these.
fn started(ledger: Option<&ChangeLedgerSpec>, workloads: Vec<Workload>, second: i64) -> Kept {
    let mut kept = Kept::default();
    kept.load("shop", ledger, at(second));
    complete_others(&mut kept);
    list(&mut kept, workloads, second);
    kept
}

fn due(kept: &mut Kept, least: Urgency) -> Vec<String> {
    kept.take_due(least).iter().map(ToString::to_string).collect()
}

#[test]
fn what_stood_there_first_was_before_the_watch_and_a_new_one_never_rolled() {
    let mut kept = listed(vec![web("old", 4, "a")]);
    assert_eq!(rolled(&kept, "old"), Rolled::BeforeTheWatch);
    let mut new = web("new", 1, "a");
    new.metadata.name = Some("other".into());
    kept.observe(Event::Apply(new), at(2));
    assert_eq!(rolled(&kept, "new"), Rolled::Never);
    assert_eq!(kept.record("unknown"), None);
}

#[test]
fn a_template_that_changes_is_dated_and_a_status_that_changes_is_not() {
    let mut kept = listed(vec![web("u", 4, "a")]);
    kept.observe(Event::Apply(web("u", 4, "a")), at(5));
    assert_eq!(rolled(&kept, "u"), Rolled::BeforeTheWatch);
    kept.observe(Event::Apply(web("u", 5, "b")), at(6));
    assert_eq!(rolled(&kept, "u"), Rolled::At(at(6)));
    assert_eq!(kept.namespace("shop").changes_since(at(0)), 1);
}

#[test]
fn every_kind_has_a_history_of_its_own_and_all_lists_must_be_complete() {
    let mut kept = Kept::default();
    list(&mut kept, Vec::new(), 1);
    assert!(!kept.is_complete());
    complete_others(&mut kept);
    assert!(kept.is_complete());
    let set: Workload<StatefulSet> = serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "s", "generation": 1},
        "spec": {"template": {}},
    }))
    .unwrap();
    kept.observe(Event::Apply(set), at(2));
    list(&mut kept, Vec::new(), 3);
    assert!(kept.record("s").is_some(), "a list of Deployments tells nothing of StatefulSets");
}

#[test]
fn the_digest_of_an_object_follows_it_and_is_found_by_uid() {
    let mut kept = listed(vec![web("u", 4, "a")]);
    kept.observe(Event::Apply(web("u", 5, "b")), at(6));
    let parent = kept.parent("u").unwrap();
    assert_eq!((parent.resource_version.as_ref(), parent.generation), ("500", 5));
    assert_eq!(parent.labels.get("app"), Some("web"));
    assert_eq!(parent.controller.as_deref(), Some("owner"));
    for (value, expected) in [("web", 1), ("api", 0)] {
        let label = |key: &str| (key == "app").then_some(value);
        let selecting = kept.parents_in("shop").into_iter();
        assert_eq!(selecting.filter(|(_, p)| p.selector.selects(label)).count(), expected);
    }
    assert!(kept.parents_in("sho").is_empty());
    assert_eq!(kept.parents().count(), 1);
}

#[test]
fn what_is_deleted_is_forgotten_but_for_whoever_comes_under_its_name() {
    let mut kept = listed(vec![web("old", 4, "a")]);
    kept.observe(Event::Apply(web("old", 5, "b")), at(10));
    kept.observe(gone(&web("old", 5, "b")), at(20));
    assert_eq!(kept.record("old"), None);
    let past = kept.predecessor(WorkloadKind::Deployment, "shop", "web", at(21)).unwrap();
    assert_eq!(past.record.rolled, Rolled::At(at(10)));
    assert_eq!(past.labels.as_ref().and_then(|labels| labels.get("app")), Some("web"));
    for (kind, namespace, name) in [
        (WorkloadKind::StatefulSet, "shop", "web"),
        (WorkloadKind::Deployment, "other", "web"),
        (WorkloadKind::Deployment, "shop", "api"),
    ] {
        assert!(kept.predecessor(kind, namespace, name, at(21)).is_none(), "{kind} {name}");
    }
    kept.observe(Event::Apply(web("new", 1, "b")), at(30));
    let record = kept.record("new").unwrap();
    assert_eq!((record.rolled, record.changes_since(at(0))), (Rolled::At(at(30)), 2));
    assert!(kept.predecessor(WorkloadKind::Deployment, "shop", "web", at(31)).is_none());
    assert_eq!(kept.namespace("shop").changes_since(at(0)), 3);
}

#[test]
fn one_replaced_while_nobody_watched_inherits_too_and_one_that_is_missing_has_ended() {
    let mut kept = listed(vec![web("old", 4, "a")]);
    list(&mut kept, vec![web("new", 2, "a")], 50);
    assert_eq!(rolled(&kept, "new"), Rolled::At(at(50)));
    assert_eq!(kept.record("old"), None);
    list(&mut kept, Vec::new(), 60);
    assert_eq!(kept.len(), 0);
    assert!(kept.predecessor(WorkloadKind::Deployment, "shop", "web", at(61)).is_some());
}

#[test]
fn an_object_that_cannot_be_read_stays_as_it_was_known() {
    let mut kept = listed(vec![web("u", 4, "a")]);
    let metadata = Box::new(web("u", 9, "a").metadata);
    kept.observe(Event::<Workload>::Init, at(5));
    kept.observe(Event::<Workload>::Unreadable { metadata, error: "no".into() }, at(5));
    kept.observe(Event::<Workload>::InitDone, at(5));
    assert_eq!(kept.record("u").unwrap().generation, 4);
}

#[test]
fn a_replica_that_starts_anew_knows_from_the_ledger_what_was_observed_before() {
    let mut kept = listed(vec![web("u", 4, "a")]);
    kept.observe(Event::Apply(web("u", 5, "b")), at(10));
    kept.observe(Event::Apply(workload("u", 6, "b", 5)), at(20));
    let ledger = kept.ledger("shop", at(21));
    let anew = started(Some(&ledger), vec![workload("u", 6, "b", 5)], 100);
    assert_eq!(anew.record("u"), kept.record("u"));
    assert_eq!(anew.namespace("shop"), kept.namespace("shop"));
    assert_eq!(anew.ledger("shop", at(101)), ledger);
}

#[test]
fn what_changed_in_the_last_second_and_was_not_written_counts_as_changed_when_the_replica_starts() {
    let kept = listed(vec![web("u", 4, "a")]);
    let ledger = kept.ledger("shop", at(2));
    // Restarted at second 3; every replica killed before that was written; started again at second 100.
    let anew = started(Some(&ledger), vec![web("u", 5, "b")], 100);
    assert_eq!(rolled(&anew, "u"), Rolled::At(at(100)));
    let untouched = started(Some(&ledger), vec![web("u", 4, "a")], 100);
    assert_eq!(rolled(&untouched, "u"), Rolled::BeforeTheWatch);
}

#[test]
fn what_was_replaced_while_every_replica_was_gone_inherits_from_the_ledger() {
    let mut kept = listed(vec![web("old", 4, "a")]);
    kept.observe(Event::Apply(web("old", 5, "b")), at(10));
    let ledger = kept.ledger("shop", at(11));
    let anew = started(Some(&ledger), vec![web("new", 1, "b")], 100);
    let record = anew.record("new").unwrap();
    assert_eq!((record.rolled, record.changes_since(at(0))), (Rolled::At(at(100)), 2));
    // Deleted and written down before, made anew after.
    kept.observe(gone(&web("old", 5, "b")), at(20));
    let ledger = kept.ledger("shop", at(21));
    let mut anew = started(Some(&ledger), Vec::new(), 100);
    assert!(anew.predecessor(WorkloadKind::Deployment, "shop", "web", at(101)).is_some());
    anew.observe(Event::Apply(web("new", 1, "b")), at(110));
    assert_eq!(rolled(&anew, "new"), Rolled::At(at(110)));
}

#[test]
fn what_a_clock_ahead_wrote_happened_when_it_is_read_and_holds_up_nobody_for_longer() {
    let mut ahead = listed(vec![web("u", 4, "a")]);
    let mut other = web("gone", 3, "a");
    other.metadata.name = Some("api".into());
    ahead.observe(Event::Apply(other.clone()), at(1));
    ahead.observe(Event::Apply(web("u", 5, "b")), at(9000));
    ahead.observe(gone(&other), at(9000));
    let ledger = ahead.ledger("shop", at(9000));
    let loaded = started(Some(&ledger), vec![web("u", 5, "b")], 100);
    let mut merged = listed(vec![web("u", 4, "a")]);
    merged.merge("shop", &ledger, at(100));
    for kept in [loaded, merged] {
        assert_eq!(rolled(&kept, "u"), Rolled::At(at(100)));
        assert_eq!(kept.record("u").unwrap().oldest_change_after(at(0)), Some(at(100)));
        assert_eq!(kept.namespace("shop").changes().max(), Some(at(100)));
        let kind = WorkloadKind::Deployment;
        let past = kept.predecessor(kind, "shop", "api", at(101)).unwrap();
        assert_eq!((past.deleted, past.record.rolled), (at(100), Rolled::At(at(100))));
    }
}

#[test]
fn after_a_gap_that_left_all_as_it_was_revisions_are_asked_where_there_are_any() {
    let mut kept = listed(vec![web("u", 4, "a")]);
    let controller = |generation| -> Workload<ReplicationController> {
        serde_json::from_value(json!({
            "metadata": {"name": "rc", "namespace": "shop", "uid": "rc", "generation": generation},
            "spec": {"template": {}},
        }))
        .unwrap()
    };
    kept.observe(Event::Apply(controller(4)), at(2));
    kept.observe(Event::<Workload<ReplicationController>>::Init, at(50));
    kept.observe(Event::InitApply(controller(6)), at(50));
    kept.observe(Event::<Workload<ReplicationController>>::InitDone, at(50));
    list(&mut kept, vec![web("u", 6, "a")], 50);
    assert_eq!(rolled(&kept, "u"), Rolled::Unsure { since: None });
    assert_eq!(rolled(&kept, "rc"), Rolled::At(at(50)), "it has none that could tell");
}

#[test]
fn the_labels_of_what_was_deleted_are_written_down_and_those_nobody_here_saw_may_be_any() {
    let mut kept = listed(vec![web("old", 4, "a")]);
    let before = kept.ledger("shop", at(2));
    assert_eq!(before.workloads[0].labels, None, "it exists: whoever lists it sees its labels");
    kept.observe(gone(&web("old", 4, "a")), at(10));
    let after = kept.ledger("shop", at(11));
    // The one starts after it was deleted and written down, the other after it went in a gap.
    for (ledger, expected) in [(after, Some(Some("web"))), (before, None)] {
        let anew = started(Some(&ledger), Vec::new(), 100);
        let past = anew.predecessor(WorkloadKind::Deployment, "shop", "web", at(101)).unwrap();
        assert_eq!(past.labels.as_ref().map(|labels| labels.get("app")), expected);
    }
}

#[test]
fn what_was_there_before_the_watch_and_is_deleted_ended_its_pods_then() {
    let mut kept = listed(vec![web("old", 4, "a")]);
    kept.observe(gone(&web("old", 4, "a")), at(10));
    let past = kept.predecessor(WorkloadKind::Deployment, "shop", "web", at(11)).unwrap();
    assert_eq!(past.record.rolled, Rolled::At(at(10)), "its revisions went with it");
}

#[test]
fn where_the_ledger_lacks_something_what_it_does_not_tell_counts_as_changed() {
    let whole = ChangeLedgerSpec::default();
    let cut = ChangeLedgerSpec { omitted: 1, ..ChangeLedgerSpec::default() };
    for (ledger, expected) in [
        (Some(&whole), Rolled::BeforeTheWatch),
        (Some(&cut), Rolled::At(at(100))),
        (None, Rolled::At(at(100))),
    ] {
        let mut kept = started(ledger, vec![web("u", 4, "a")], 100);
        assert_eq!(rolled(&kept, "u"), expected, "{ledger:?}");
        // Once everything has been listed, what is new is new.
        let mut later = web("later", 7, "a");
        later.metadata.name = Some("other".into());
        list(&mut kept, vec![web("u", 4, "a"), later], 200);
        assert_eq!(rolled(&kept, "later"), Rolled::BeforeTheWatch);
    }
}

#[test]
fn a_new_leader_takes_over_what_the_former_one_wrote_and_adds_nothing_up() {
    let mut former = listed(vec![web("u", 4, "a")]);
    former.observe(Event::Apply(web("u", 5, "b")), at(10));
    let mut other = web("gone", 3, "a");
    other.metadata.name = Some("api".into());
    former.observe(Event::Apply(other.clone()), at(11));
    former.observe(gone(&other), at(12));
    let ledger = former.ledger("shop", at(13));
    // Started later, saw the same change by a clock of its own, and never saw the other one.
    let mut kept = listed(vec![web("u", 4, "a")]);
    kept.observe(Event::Apply(web("u", 5, "b")), at(9));
    kept.merge("shop", &ledger, at(14));
    let record = kept.record("u").unwrap();
    assert_eq!((record.rolled, record.changes_since(at(0))), (Rolled::At(at(10)), 1));
    assert!(kept.predecessor(WorkloadKind::Deployment, "shop", "api", at(15)).is_some());
    assert_eq!(kept.namespace("shop").changes_since(at(0)), 2);
}

#[test]
fn what_counts_is_due_soon_and_a_mere_generation_whenever() {
    let mut kept = listed(vec![web("u", 4, "a")]);
    due(&mut kept, Urgency::Whenever);
    kept.observe(Event::Apply(web("u", 4, "a")), at(5));
    assert!(due(&mut kept, Urgency::Whenever).is_empty(), "only its status changed");
    kept.observe(Event::Apply(web("u", 5, "a")), at(6));
    assert!(due(&mut kept, Urgency::Soon).is_empty());
    assert_eq!(due(&mut kept, Urgency::Whenever), ["shop"]);
    kept.observe(Event::Apply(web("u", 6, "b")), at(7));
    assert_eq!(due(&mut kept, Urgency::Soon), ["shop"]);
    kept.observe(gone(&web("u", 6, "b")), at(8));
    assert_eq!(due(&mut kept, Urgency::Soon), ["shop"]);
    assert!(due(&mut kept, Urgency::Whenever).is_empty());
}

#[test]
fn with_a_namespace_goes_what_was_deleted_in_it_and_another_of_its_name_begins_anew() {
    let mut kept = listed(vec![web("u", 4, "a")]);
    namespaces(&mut kept, &["shop", "other"]);
    kept.observe(gone(&web("u", 4, "a")), at(10));
    let metadata = serde_json::from_value(json!({"name": "shop"})).unwrap();
    kept.observe_namespace(&Event::Delete(metadata));
    assert!(kept.is_gone("shop") && !kept.is_gone("other"));
    assert_eq!(due(&mut kept, Urgency::Soon), ["shop"], "its ledger is to be deleted");
    assert!(kept.predecessor(WorkloadKind::Deployment, "shop", "web", at(11)).is_none());
    assert!(kept.namespaces().is_empty());
}

#[test]
fn a_workload_whose_end_is_told_after_its_namespaces_leaves_nothing_behind() {
    let mut kept = listed(vec![web("u", 4, "a")]);
    namespaces(&mut kept, &["shop"]);
    namespaces(&mut kept, &[]);
    due(&mut kept, Urgency::Whenever);
    kept.observe(gone(&web("u", 4, "a")), at(10));
    assert!(kept.predecessor(WorkloadKind::Deployment, "shop", "web", at(11)).is_none());
    assert!(due(&mut kept, Urgency::Whenever).is_empty());
}
