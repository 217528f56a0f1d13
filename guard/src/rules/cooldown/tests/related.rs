//! By what the object under review belongs to: the object of a Scale, the owner of a pod.

use super::*;
use crate::facts::RelatedObject;

/// The object of a Scale, as it is read.
fn parent(record: Record, generation: i64) -> RelatedObject {
    RelatedObject {
        generation: Some(generation),
        record: Some(record),
        ..sample::relative(Relation::Parent, "apps", "Deployment")
    }
}

#[test]
fn a_number_that_changed_is_left_alone_for_a_while_on_the_object_and_on_its_scale() {
    let policies = [cooling(None, Some(60))];
    for (ago, expected) in [(20, Some(40)), (61, None)] {
        let record = Record { scaled: seconds_ago(ago), ..sample::QUIET };
        let objects = [parent(record.clone(), 7)];
        let facts = Facts {
            watched: Watched::Seen(&record),
            related: Related::Known { objects: &objects, newest_pod: None },
            ..sample::facts(&policies)
        };
        for write in [sample::scale(3, 4), sample::replicas(3, 4)] {
            let judged = judge(&write.change(), &sample::person(), &facts, sample::now());
            assert_eq!(retry_after(judged), expected, "{ago} {}", write.subresource);
        }
    }
}

#[test]
fn a_scale_asks_for_its_object_and_is_held_to_the_generation_it_is_based_on() {
    let policies = [cooling(None, Some(60))];
    let facts = Facts { related: Related::NotAsked, ..sample::facts(&policies) };
    let scale = sample::scale(3, 4);
    let judged = judge(&scale.change(), &sample::person(), &facts, sample::now());
    assert_eq!(judged, Judgement::Needs(Needs::RELATED));
    for (generation, warned) in [(7, false), (8, true)] {
        let objects = [parent(sample::QUIET, generation)];
        let related = Related::Known { objects: &objects, newest_pod: None };
        let facts = Facts { related, ..facts };
        let verdict = sample::verdict_with(&scale, &sample::person(), &facts);
        assert_eq!(!verdict.warnings.is_empty(), warned, "{generation}");
    }
}

#[test]
fn scaling_to_zero_is_a_restart_and_scaling_up_from_zero_is_none() {
    let policies = [cooling(Some(60), None)];
    let record = Record { rolled: seconds_ago(20), ..sample::QUIET };
    let objects = [parent(record, 7)];
    let facts = Facts {
        related: Related::Known { objects: &objects, newest_pod: None },
        ..sample::facts(&policies)
    };
    for (old, new, expected) in [(3, 0, Some(40)), (0, 3, None), (3, 1, None)] {
        let write = sample::scale(old, new);
        let judged = judge(&write.change(), &sample::person(), &facts, sample::now());
        assert_eq!(retry_after(judged), expected, "{old} {new}");
    }
}

#[test]
fn a_pod_that_ends_is_a_restart_of_what_owns_it() {
    let policies = [cooling(Some(60), None)];
    let mut eviction = Write::of(Operation::Create, "", "pods/eviction");
    eviction.new = Some(r#"{"metadata":{"name":"web"}}"#.to_owned());
    for write in [Write::of(Operation::Delete, "", "pods"), eviction] {
        let ends = |rolled: Rolled, newest_pod: Option<i64>| {
            let record = Record { rolled, ..sample::QUIET };
            let objects = [RelatedObject {
                generation: Some(7),
                record: Some(record),
                ..sample::relative(Relation::Owner, "apps", "Deployment")
            }];
            let newest_pod =
                newest_pod.map(|ago| sample::now() - jiff::SignedDuration::from_secs(ago));
            let related = Related::Known { objects: &objects, newest_pod };
            let facts = Facts { related, ..sample::facts(&policies) };
            retry_after(judge(&write.change(), &sample::person(), &facts, sample::now()))
        };
        assert_eq!(ends(seconds_ago(20), None), Some(40));
        assert_eq!(ends(Rolled::Never, Some(50)), Some(10));
        assert_eq!(ends(Rolled::Never, Some(61)), None);
        assert_eq!(ends(Rolled::Never, None), None);
    }
}

#[test]
fn a_pod_that_started_lately_is_told_as_such_and_a_workload_made_lately_never_rolled() {
    let policies = [cooling(Some(60), None)];
    let end = Write::of(Operation::Delete, "", "pods");
    let ago = |seconds| sample::now() - jiff::SignedDuration::from_secs(seconds);
    for (rolled, newest_pod, revision, expected) in [
        (
            Rolled::Never,
            Some(50),
            40,
            Some(
                "a pod of this workload last started 50 s ago and the next may end after 60 s; retry in 10 s",
            ),
        ),
        (seconds_ago(55), Some(50), 40, Some("a pod of this workload last started 50 s ago")),
        (seconds_ago(50), Some(55), 40, Some("the pod template last changed (restarted) 50 s ago")),
        (Rolled::BeforeTheWatch, None, 40, None),
        (
            Rolled::BeforeTheWatch,
            None,
            5,
            Some("the pod template last changed (restarted) 5 s ago"),
        ),
    ] {
        let owner = RelatedObject {
            generation: Some(7),
            created: Some(ago(41)),
            record: Some(Record { rolled, ..sample::QUIET }),
            ..sample::relative(Relation::Owner, "apps", "Deployment")
        };
        let related = Related::Known { objects: &[owner], newest_pod: newest_pod.map(ago) };
        let revisions = [ago(revision)];
        let revisions = Revisions::Listed(&revisions);
        let facts = Facts { revisions, related, ..sample::facts(&policies) };
        let verdict = sample::verdict_with(&end, &sample::person(), &facts);
        let message = verdict.denial().map(|denial| denial.message.clone());
        match (&message, expected) {
            (Some(message), Some(expected)) => assert!(message.contains(expected), "{message}"),
            _ => assert_eq!(message.as_deref(), expected, "{rolled:?}"),
        }
    }
}
