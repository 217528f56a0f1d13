//! Histories written down and read back, with and without a gap in which nobody watched.

use std::collections::BTreeMap;

use smartops_change::TemplateDigest;

use super::*;
use crate::history::{Recent, Record, Rolled, Sight, Via, WorkloadKind};

fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(1_700_000_000_000 + milliseconds).unwrap()
}

/// When it is read: after everything that was written.
fn later() -> Timestamp {
    at(200_000)
}

fn template(text: &str) -> TemplateDigest {
    serde_json::from_str(&format!(r#"{{"metadata":{{"labels":{{"x":"{text}"}}}}}}"#)).unwrap()
}

fn sight(generation: i64, text: &str, replicas: i64) -> Sight {
    Sight { generation, template: template(text), replicas: Some(replicas) }
}

/// A workload created and watched, then restarted at 10 ms and scaled at 20 ms.
fn busy() -> Record {
    let record = Record::after(None, sight(1, "a", 3), Via::Event, at(0));
    let record = Record::after(Some(&record), sight(2, "b", 3), Via::Event, at(10));
    Record::after(Some(&record), sight(3, "b", 5), Via::Event, at(20))
}

fn quiet() -> Record {
    Record::after(None, sight(4, "a", 3), Via::List, at(0))
}

fn entry(name: &str, record: &Record) -> Entry {
    Entry::new(WorkloadKind::Deployment, name, &format!("uid-of-{name}"), record)
}

/// What is left of a ledger after it went through the API server.
fn stored(ledger: &ChangeLedgerSpec) -> ChangeLedgerSpec {
    serde_json::from_str(&serde_json::to_string(ledger).unwrap()).unwrap()
}

#[test]
fn a_record_comes_back_as_it_was_to_the_millisecond() {
    let unsure = |since| Record { rolled: Rolled::Unsure { since }, ..busy() };
    let without = Record { replicas: None, ..quiet() };
    for record in [busy(), quiet(), without, unsure(None), unsure(Some(at(7)))] {
        let ledger = ChangeLedgerSpec::new([entry("web", &record)], &NamespaceRecord::new());
        assert_eq!(stored(&ledger).workloads[0].record(later()), record);
    }
}

#[test]
fn the_changes_of_the_namespace_come_back_too() {
    let mut namespace = NamespaceRecord::new();
    (0..300).for_each(|n| namespace.note(at(n)));
    let ledger = ChangeLedgerSpec::new([], &namespace);
    assert_eq!(stored(&ledger).namespace(later()), namespace);
    assert_eq!(ledger.last_change_at, Some(at(299)));
}

#[test]
fn after_a_gap_in_which_nothing_moved_the_record_stands_as_it_was_written() {
    let read = entry("web", &busy()).record(later());
    let listed = Record::after(Some(&read), sight(3, "b", 5), Via::List, at(90_000));
    assert_eq!(listed, busy());
}

#[test]
fn what_moved_while_nobody_watched_counts_as_changed_at_the_end_of_the_gap() {
    let end = at(90_000);
    let (was, now) = (Rolled::At(at(10)), Rolled::At(end));
    let unsure = Rolled::Unsure { since: Some(at(10)) };
    for (sight, rolled, why) in [
        (sight(4, "b", 5), was, "an annotation: one write, and neither template nor number moved"),
        (sight(4, "c", 5), now, "a restart in the second before the kill, never written down"),
        (sight(5, "c", 5), now, "the same, with the revision noted by its controller"),
        (sight(5, "b", 5), unsure, "it may have been changed and changed back: its revisions tell"),
        (sight(4, "b", 0), now, "scaled to nothing"),
    ] {
        let read = entry("web", &busy()).record(later());
        assert_eq!(Record::after(Some(&read), sight, Via::List, end).rolled, rolled, "{why}");
    }
}

#[test]
fn a_digest_of_another_build_changes_nothing_by_itself_and_counts_as_changed_with_the_next_write() {
    let mut entry = entry("web", &busy());
    entry.template = "made otherwise".into();
    let end = at(90_000);
    let same = Record::after(Some(&entry.record(later())), sight(3, "b", 5), Via::List, end);
    assert_eq!(same, busy());
    let moved = Record::after(Some(&entry.record(later())), sight(4, "b", 5), Via::List, end);
    assert_eq!(moved.rolled, Rolled::At(end));
}

#[test]
fn a_deleted_workload_is_kept_with_its_time_and_its_labels_where_they_are_known() {
    let shop = BTreeMap::from([("app".to_owned(), "shop".to_owned())]);
    for labels in [Some(shop), Some(BTreeMap::new()), None] {
        let deleted = entry("web", &busy()).deleted(at(30), labels.clone());
        let ledger = ChangeLedgerSpec::new([deleted], &NamespaceRecord::new());
        let entry = &stored(&ledger).workloads[0];
        assert_eq!((entry.deleted_at, entry.record(later())), (Some(at(30)), busy()));
        assert_eq!(entry.labels, labels, "that it had none is not that they are unknown");
        assert_eq!(ledger.last_change_at, Some(at(30)));
    }
}

#[test]
fn what_a_clock_ahead_wrote_happened_when_it_is_read() {
    let mut namespace = NamespaceRecord::new();
    (0..300).for_each(|n| namespace.note(at(n)));
    let ledger = stored(&ChangeLedgerSpec::new([entry("web", &busy())], &namespace));
    let record = ledger.workloads[0].record(at(15));
    assert_eq!((record.rolled, record.scaled), (Rolled::At(at(10)), Rolled::At(at(15))));
    assert_eq!(record.recent.moves().map(|one| one.at).max(), Some(at(15)));
    assert_eq!(ledger.namespace(at(15)).changes().max(), Some(at(15)));
    assert_eq!(ledger.namespace(at(15)).forgotten(), Some(at(15)));
}

#[test]
fn where_there_is_no_room_for_all_those_that_changed_last_are_kept_and_the_rest_is_counted() {
    let full = |second: i64| {
        let moves = (0..64).map(|n| crate::history::Move { at: at(second + n), from: Some(1000) });
        let rolled = Rolled::At(at(second + 63));
        Record { rolled, recent: Recent::stored(moves, Some(at(0))), ..busy() }
    };
    for (quiet_ones, full_ones, kept) in [(4000, 0, 4000), (0, 200, 200)] {
        let quiet_ones = (0..quiet_ones).map(|n| entry(&format!("{n:0>30}"), &quiet()));
        let full_ones = (0..full_ones).map(|n| entry(&format!("{n:0>63}"), &full(n)));
        let ledger = ChangeLedgerSpec::new(quiet_ones.chain(full_ones), &NamespaceRecord::new());
        assert_eq!((ledger.workloads.len(), ledger.kept, ledger.omitted), (kept, ledger.kept, 0));
        assert!(ledger.is_complete());
    }
    let names: Vec<String> = (0..6000).map(|n| format!("workload-{n:04}")).collect();
    let quiet_ones = names.iter().map(|name| entry(name, &quiet()));
    let all = quiet_ones.chain([entry("busy", &busy()), entry("full", &full(99))]);
    let ledger = ChangeLedgerSpec::new(all, &NamespaceRecord::new());
    let text = serde_json::to_string(&ledger).unwrap();
    assert!(text.len() < MOST + 16 * 1024 && text.len() > MOST / 2, "{} bytes", text.len());
    assert_eq!(ledger.kept + ledger.omitted, 6002);
    assert!(!ledger.is_complete());
    for name in ["busy", "full"] {
        assert!(ledger.workloads.iter().any(|entry| entry.name == name), "{name}");
    }
}

#[test]
fn entries_stand_in_one_order_whatever_order_they_come_in() {
    let (a, b) = (entry("a", &quiet()), entry("b", &busy()));
    let one = ChangeLedgerSpec::new([a.clone(), b.clone()], &NamespaceRecord::new());
    assert_eq!(one, ChangeLedgerSpec::new([b, a], &NamespaceRecord::new()));
}

#[test]
fn a_time_that_is_none_is_named_with_what_is_allowed() {
    let mut json = serde_json::to_string(&entry("web", &quiet())).unwrap();
    json = json.replace("Unknown", "yesterday");
    let error = serde_json::from_str::<Entry>(&json).unwrap_err().to_string();
    assert!(error.contains("yesterday") && error.contains("Never, Unknown"), "{error}");
}

#[test]
fn the_schema_says_who_writes_it_and_is_structural() {
    let crd = serde_json::to_string(&crd()).unwrap();
    assert!(crd.contains("Written by the webhook's leader and by nobody else"), "{crd}");
    assert!(crd.contains(r#""scope":"Namespaced""#));
    assert!(!crd.contains("x-kubernetes-preserve-unknown-fields"), "{crd}");
}
