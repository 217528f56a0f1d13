//! What each sight of a workload makes of its record.

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn sized(generation: i64, template: &str, replicas: i64) -> Sight {
    let template = format!(r#"{{"metadata":{{"labels":{{"x":"{template}"}}}}}}"#);
    let template = serde_json::from_str(&template).unwrap();
    Sight { generation, template, replicas: Some(replicas) }
}

fn sight(generation: i64, template: &str) -> Sight {
    sized(generation, template, 3)
}

fn after(former: &Record, sight: Sight, via: Via, second: i64) -> Record {
    Record::after(Some(former), sight, via, at(second))
}

fn created() -> Record {
    Record::after(None, sight(1, "a"), Via::Event, at(1))
}

#[test]
fn a_creation_that_was_watched_is_no_restart() {
    let record = created();
    assert_eq!((record.rolled, record.scaled), (Rolled::Never, Rolled::Never));
    assert_eq!(after(&record, sight(2, "b"), Via::Event, 9).rolled, Rolled::At(at(9)));
}

#[test]
fn a_change_beside_template_and_number_is_no_change() {
    let record = after(&created(), sight(2, "a"), Via::Event, 9);
    assert_eq!((record.rolled, record.scaled), (Rolled::Never, Rolled::Never));
    assert_eq!(record.changes_since(at(0)), 0);
}

#[test]
fn template_and_number_are_dated_each_by_itself_and_counted_once_when_they_move_together() {
    for (next, rolled, scaled) in [
        (sized(2, "b", 3), Rolled::At(at(9)), Rolled::Never),
        (sized(2, "a", 4), Rolled::Never, Rolled::At(at(9))),
        (sized(2, "b", 4), Rolled::At(at(9)), Rolled::At(at(9))),
    ] {
        let record = after(&created(), next, Via::Event, 9);
        assert_eq!((record.rolled, record.scaled), (rolled, scaled), "{next:?}");
        assert_eq!(record.changes_since(at(0)), 1, "{next:?}");
    }
}

#[test]
fn a_number_that_falls_to_zero_ends_its_pods_and_counts_as_a_restart() {
    let record = created();
    assert_eq!(after(&record, sized(2, "a", 0), Via::Event, 9).rolled, Rolled::At(at(9)));
    let one_left = after(&record, sized(2, "a", 1), Via::Event, 9);
    assert_eq!(one_left.rolled, Rolled::Never);
    let stopped = after(&record, sized(2, "a", 0), Via::Event, 9);
    assert_eq!(after(&stopped, sized(3, "a", 3), Via::Event, 20).rolled, Rolled::At(at(9)));
}

#[test]
fn the_number_that_stood_at_a_moment_is_that_before_the_next_move() {
    let mut record = created();
    for (generation, replicas, second) in [(2, 5, 10), (3, 8, 20), (4, 2, 30)] {
        record = after(&record, sized(generation, "a", replicas), Via::Event, second);
    }
    for (second, expected) in [(5, 3), (9, 3), (10, 5), (19, 5), (20, 8), (29, 8), (30, 2)] {
        assert_eq!(record.replicas_at(at(second)), Some(expected), "{second}");
    }
    assert!(record.reaches(at(0)));
    assert_eq!(record.oldest_change_after(at(10)), Some(at(20)));
}

#[test]
fn a_kind_without_a_number_has_none_at_any_moment() {
    let without = |generation, template| Sight { replicas: None, ..sight(generation, template) };
    let record = Record::after(None, without(1, "a"), Via::Event, at(1));
    let record = after(&record, without(2, "b"), Via::Event, 9);
    assert_eq!((record.rolled, record.scaled), (Rolled::At(at(9)), Rolled::Never));
    let record = after(&record, without(9, "b"), Via::List, 19);
    let unsure = Rolled::Unsure { since: Some(at(9)) };
    assert_eq!((record.rolled, record.scaled), (unsure, Rolled::Never));
    assert_eq!(record.changes_since(at(9)), 1, "what nobody can count is one change");
    assert_eq!(record.replicas_at(at(0)), None);
}

#[test]
fn what_stood_in_the_first_list_is_told_by_its_replica_sets_until_it_changes() {
    let record = Record::after(None, sight(5, "a"), Via::List, at(1));
    assert_eq!((record.rolled, record.scaled), (Rolled::BeforeTheWatch, Rolled::BeforeTheWatch));
    assert_eq!(after(&record, sight(6, "b"), Via::Event, 9).rolled, Rolled::At(at(9)));
}

#[test]
fn a_gap_counts_as_a_change_where_something_may_have_changed_and_changed_back() {
    for (next, rolled, scaled) in [
        (sized(1, "a", 3), Rolled::Never, Rolled::Never),
        (sized(2, "a", 3), Rolled::Never, Rolled::Never),
        (sized(2, "b", 3), Rolled::At(at(9)), Rolled::Never),
        (sized(2, "a", 4), Rolled::Never, Rolled::At(at(9))),
        (sized(3, "b", 3), Rolled::At(at(9)), Rolled::At(at(9))),
        (sized(3, "a", 0), Rolled::At(at(9)), Rolled::At(at(9))),
        (sized(3, "a", 3), Rolled::Unsure { since: None }, Rolled::At(at(9))),
    ] {
        let record = after(&created(), next, Via::List, 9);
        assert_eq!((record.rolled, record.scaled), (rolled, scaled), "{next:?}");
    }
}

#[test]
fn the_same_generation_is_the_same_workload_however_its_digest_is_made() {
    let record = after(&created(), sight(1, "digested otherwise"), Via::List, 9);
    assert_eq!(record.rolled, Rolled::Never);
    let record = after(&record, sight(2, "digested otherwise"), Via::Event, 10);
    assert_eq!(record.rolled, Rolled::Never, "it is compared with the new digest from then on");
}

#[test]
fn an_older_event_changes_nothing_and_an_older_list_is_a_restored_cluster() {
    let record = Record::after(None, sight(5, "b"), Via::Event, at(1));
    assert_eq!(after(&record, sight(4, "a"), Via::Event, 9), record);
    let restored = after(&record, sight(4, "a"), Via::List, 9);
    assert_eq!((restored.generation, restored.rolled), (4, Rolled::At(at(9))));
    assert_eq!(after(&restored, sight(5, "c"), Via::Event, 20).rolled, Rolled::At(at(20)));
}

#[test]
fn a_workload_made_anew_inherits_the_changes_of_its_predecessor_and_counts_as_changed() {
    let former = after(&created(), sized(2, "b", 5), Via::Event, 10);
    let record = Record::successor_of(&former, sized(1, "b", 5), at(20));
    assert_eq!((record.rolled, record.scaled), (Rolled::At(at(20)), Rolled::At(at(20))));
    assert_eq!(record.generation, 1);
    assert_eq!(record.changes_since(at(0)), 2);
    assert_eq!(record.replicas_at(at(5)), Some(3), "steps over time span both");
    assert_eq!(record.replicas_at(at(15)), Some(5));
}

#[test]
fn of_a_gap_that_left_all_as_it_was_the_revisions_tell_and_no_earlier_than_what_was_known() {
    let known = after(&created(), sight(2, "b"), Via::Event, 5);
    let gap = after(&known, sight(4, "b"), Via::List, 9);
    assert_eq!(gap.rolled, Rolled::Unsure { since: Some(at(5)) });
    let wider = after(&gap, sight(7, "b"), Via::List, 20);
    assert_eq!(wider.rolled, Rolled::Unsure { since: Some(at(5)) });
    let restarted = after(&wider, sight(8, "c"), Via::Event, 30);
    assert_eq!(restarted.rolled, Rolled::At(at(30)));
    let same = after(&wider, sight(8, "b"), Via::Event, 30);
    assert_eq!(same.rolled, wider.rolled, "an annotation settles nothing");
}

#[test]
fn a_workload_without_revisions_changed_at_the_end_of_the_gap() {
    let gap = after(&created(), sight(4, "a"), Via::List, 9);
    assert_eq!(gap.without_revisions(at(9)).rolled, Rolled::At(at(9)));
    assert_eq!(created().without_revisions(at(9)), created());
}

#[test]
fn what_only_the_revisions_could_tell_of_a_workload_that_ended_happened_at_its_end() {
    let listed = Record::after(None, sight(5, "a"), Via::List, at(1));
    let unsure = after(&created(), sight(4, "a"), Via::List, 9);
    let restarted = after(&created(), sight(2, "b"), Via::Event, 9);
    for (record, expected) in [
        (listed, Rolled::At(at(20))),
        (unsure, Rolled::At(at(20))),
        (restarted, Rolled::At(at(9))),
        (created(), Rolled::Never),
    ] {
        assert_eq!(record.clone().ended(at(20)).rolled, expected, "{record:?}");
    }
}

#[test]
fn a_doubt_outlasts_every_other_account_and_keeps_the_later_time() {
    let unsure = |second: Option<i64>| Rolled::Unsure { since: second.map(at) };
    for (one, two, expected) in [
        (unsure(Some(5)), Rolled::At(at(9)), unsure(Some(9))),
        (unsure(Some(5)), Rolled::At(at(3)), unsure(Some(5))),
        (unsure(None), Rolled::Never, unsure(None)),
        (unsure(None), Rolled::BeforeTheWatch, unsure(None)),
        (unsure(None), unsure(Some(2)), unsure(Some(2))),
    ] {
        assert_eq!((one.latest(two), two.latest(one)), (expected, expected), "{one:?} {two:?}");
    }
}

#[test]
fn what_another_clock_dated_after_now_happened_now_and_the_rest_when_it_did() {
    let ahead = after(&created(), sized(2, "b", 5), Via::Event, 5);
    let ahead = after(&ahead, sized(3, "c", 6), Via::Event, 4000);
    let record = ahead.clone().no_later_than(at(40));
    assert_eq!((record.rolled, record.scaled), (Rolled::At(at(40)), Rolled::At(at(40))));
    let times: Vec<Timestamp> = record.recent.moves().map(|one| one.at).collect();
    assert_eq!(times, [at(5), at(40)]);
    assert_eq!(ahead.clone().no_later_than(at(4000)), ahead);
    let unsure = after(&ahead, sized(9, "c", 6), Via::List, 4001).no_later_than(at(40));
    assert_eq!(unsure.rolled, Rolled::Unsure { since: Some(at(40)) });
}

#[test]
fn a_workload_nothing_is_known_of_counts_as_changed_until_now() {
    let record = Record::unknown_until(sight(7, "a"), at(20));
    assert_eq!((record.rolled, record.scaled), (Rolled::At(at(20)), Rolled::At(at(20))));
    assert_eq!(record.changes_since(at(0)), 1);
}

#[test]
fn of_two_accounts_the_fuller_stands_with_the_later_times_and_changes_are_not_added_up() {
    let mine = after(&created(), sized(2, "b", 5), Via::Event, 10);
    let theirs = after(&created(), sized(2, "b", 5), Via::Event, 11);
    for merged in [mine.clone().merged(theirs.clone()), theirs.clone().merged(mine.clone())] {
        assert_eq!((merged.rolled, merged.scaled), (Rolled::At(at(11)), Rolled::At(at(11))));
        assert_eq!(merged.changes_since(at(0)), 1);
    }
    let ahead = after(&mine, sized(3, "b", 6), Via::Event, 12);
    for merged in [ahead.clone().merged(theirs.clone()), theirs.merged(ahead.clone())] {
        assert_eq!((merged.generation, merged.replicas), (3, Some(6)));
        assert_eq!(merged.changes_since(at(0)), 2);
    }
    let known = Record { rolled: Rolled::At(at(4)), ..Record::first(sight(5, "a"), Via::List) };
    let blind = Record::first(sight(5, "a"), Via::List);
    assert_eq!(blind.merged(known).rolled, Rolled::At(at(4)));
}
