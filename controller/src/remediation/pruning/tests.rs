//! Which are kept and which are not, by a table of neighbours: each that is deleted stands beside one that differs in one
//! thing and stays.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use smartops_common::action::Action;
use smartops_common::remediation::{OriginatingSignal, Phase};

use super::*;
use crate::action;
use crate::fixture::{at, deployment, remediation};
use crate::remediation::record;

const HOUR: i64 = 3600;
const NOW: i64 = 1_000_000;

/// Two hours, and at most three of one target.
fn keep() -> Keep {
    Keep {
        retention: Retention { max_age_hours: 2, max_per_target: 3 },
        limits: Limits::default(),
        cooldown: SignedDuration::from_secs(300),
    }
}

fn now() -> Timestamp {
    at(NOW)
}

/// One that ended so many seconds ago, without an attempt.
fn ended(name: &str, sequence: u32, seconds_ago: i64) -> Remediation {
    let mut made = remediation(name, Action::restart());
    made.spec.sequence = sequence;
    let status = made.status.get_or_insert_default();
    record::finish(status, Phase::Skipped, "Stale", "", at(NOW - seconds_ago));
    made
}

/// The same of the closed loop, after an attempt.
fn acted(name: &str, sequence: u32, seconds_ago: i64) -> Remediation {
    let mut made = remediation(name, Action::restart());
    made.spec.sequence = sequence;
    made.spec.source = Source::ClosedLoop;
    let (live, then) = (deployment(3), at(NOW - seconds_ago));
    let intent = action_of(&made, then);
    let status = made.status.get_or_insert_default();
    record::begin(status, intent, &live, "me", then);
    record::settle(status, AttemptResult::Written, None);
    record::finish(status, Phase::Succeeded, "Verified", "", then);
    made
}

fn action_of(made: &Remediation, then: Timestamp) -> smartops_common::action::Intent {
    action::plan(&made.spec.action, None, &deployment(3), then).unwrap()
}

fn of_cause(cause: &str, mut r: Remediation) -> Remediation {
    r.spec.cause = cause.into();
    r
}

/// One that nobody has looked at for a day.
fn open(name: &str) -> Remediation {
    let mut made = remediation(name, Action::restart());
    made.metadata.creation_timestamp = Some(Time(at(NOW - 24 * HOUR)));
    made
}

fn pruned(all: Vec<Remediation>, gone: &[&str]) -> Vec<String> {
    let all: Vec<Arc<Remediation>> = all.into_iter().map(Arc::new).collect();
    let gone = gone.iter().map(|uid| (*uid).to_owned()).collect();
    let names = prunable(&all, &keep(), &gone, now());
    names.into_iter().filter_map(|r| r.metadata.name.clone()).collect()
}

#[test]
fn what_ended_long_ago_or_is_one_too_many_is_kept_no_longer_and_its_neighbour_is() {
    let newest = || ended("newest", 9, 0);
    let table = [
        ("old", vec![ended("a", 1, 2 * HOUR), newest()], vec!["a"]),
        ("not old yet", vec![ended("a", 1, 2 * HOUR - 1), newest()], vec![]),
        ("open", vec![open("a"), newest()], vec![]),
        (
            "more than three, the oldest first",
            vec![
                ended("c", 4, 1600),
                ended("a", 1, 1900),
                ended("b", 2, 1800),
                ended("d", 5, 1500),
                newest(),
            ],
            vec!["a", "b"],
        ),
        ("three", vec![ended("a", 1, 1900), ended("b", 2, 1800), newest()], vec![]),
    ];
    for (what, all, expected) in table {
        assert_eq!(pruned(all, &[]), expected, "{what}");
    }
}

#[test]
fn what_something_else_is_decided_by_stays_as_long_as_it_is() {
    // Three newer ones, so that each is one too many.
    let with = |r: Remediation| vec![r, ended("x", 7, 0), ended("y", 8, 0), ended("z", 9, 0)];
    let keyed = |seconds| {
        let mut keyed = ended("a", 1, seconds);
        keyed.spec.idempotency_key = Some("k".into());
        keyed
    };
    let cooled = |seconds| {
        let mut cooled = acted("a", 1, seconds);
        cooled.spec.handling.cooldown_seconds = Some(3000);
        cooled
    };
    let of_a_call = |seconds| {
        let mut call = acted("a", 1, seconds);
        call.spec.source = Source::User;
        call
    };
    // It counts for the namespace's rate for 600 s, as long as admission keeps any.
    let table = [
        ("only just ended", with(ended("a", 1, 599)), true),
        ("ended ten minutes ago", with(ended("a", 1, 600)), false),
        ("its key is answered by it", with(keyed(HOUR - 1)), true),
        ("its key is free again", with(keyed(HOUR)), false),
        ("its cooldown goes on", with(cooled(2999)), true),
        ("its cooldown is over", with(cooled(3000)), false),
        ("a call starts no cooldown", with(of_a_call(600)), false),
    ];
    for (what, all, stays) in table {
        assert_eq!(pruned(all, &[]).is_empty(), stays, "{what}");
    }
}

#[test]
fn the_latest_of_a_cause_outlives_its_age_as_long_as_the_target_does() {
    let all = || {
        vec![
            ended("first", 1, 7 * HOUR),
            ended("last", 2, 6 * HOUR),
            of_cause("another", ended("other", 1, 5 * HOUR)),
        ]
    };
    assert_eq!(pruned(all(), &[]), ["first"]);
    assert_eq!(pruned(all(), &["another-target"]), ["first"]);
    assert_eq!(pruned(all(), &["u-1"]), ["first", "last", "other"]);
}

#[test]
fn however_many_causes_there_are_no_more_are_kept_than_may_be_of_one_target() {
    let name = |n: u32| format!("rca/{n}");
    let of = |n: u32, seconds| of_cause(&name(n), ended(&name(n), 1, seconds));
    // Each is the latest of its cause; the three newest stay, and what something is decided by yet.
    let all: Vec<Remediation> = (0..200_u32).map(|n| of(n, 5 * HOUR - i64::from(n))).collect();
    let left = pruned(all.clone(), &[]);
    assert_eq!(left, (0..197).map(name).collect::<Vec<_>>());
    let mut with_a_recent_one = all;
    with_a_recent_one.push(of(200, 10));
    assert_eq!(pruned(with_a_recent_one, &[]).len(), 198);
}

#[test]
fn the_last_that_acted_on_an_alert_outlives_any_number_of_others_and_one_that_did_nothing_does_not()
{
    let with = |mut r: Remediation| {
        r.metadata.name = Some("alert".into());
        r.metadata.uid = Some("alert".into());
        let others = ["x", "y", "z"].map(|name| ended(name, 9, HOUR));
        others.into_iter().chain([of_cause("alert/down", r)]).collect::<Vec<_>>()
    };
    let alerted = |mut r: Remediation, kind| {
        let signal = OriginatingSignal { kind, id: "f".into(), began_at: None, score: None };
        r.spec.signal = Some(signal);
        r
    };
    let (alert, rca) = (SignalKind::Alert, SignalKind::Rca);
    let table = [
        ("acted on an alert", alerted(acted("a", 1, 9 * HOUR), alert), true),
        ("did nothing", alerted(ended("a", 1, 9 * HOUR), alert), false),
        ("acted on an analysis", alerted(acted("a", 1, 9 * HOUR), rca), false),
        ("acted for a caller", acted("a", 1, 9 * HOUR), false),
    ];
    for (what, r, stays) in table {
        let expected: &[&str] = if stays { &[] } else { &["alert"] };
        assert_eq!(pruned(with(r.clone()), &[]), expected, "{what}");
        assert!(pruned(with(r), &["u-1"]).contains(&"alert".to_owned()), "{what}: target gone");
    }
    // Of one alert the last, and of alerts as many as may be kept.
    let many = |n: u32, cause: &str| {
        let r = alerted(acted(&format!("{n}"), n, 9 * HOUR - i64::from(n)), alert);
        of_cause(cause, r)
    };
    let mut all = with(ended("w", 9, HOUR));
    all.extend([many(1, "alert/a"), many(2, "alert/a"), many(3, "alert/b"), many(4, "alert/c")]);
    assert_eq!(pruned(all.clone(), &[]), ["1", "alert"]);
    all.push(many(5, "alert/d"));
    assert_eq!(pruned(all, &[]), ["1", "2", "alert"]);
}

#[test]
fn what_another_clock_puts_into_the_future_ended_just_now() {
    let ahead = || vec![ended("a", 1, -9 * HOUR), ended("b", 2, 0)];
    assert_eq!(pruned(ahead(), &[]), Vec::<String>::new());
    let old = Arc::new(ended("a", 1, -9 * HOUR));
    assert_eq!(age(&old, now()), Some(SignedDuration::ZERO));
}

#[test]
fn targets_are_looked_for_only_where_something_outlived_its_age() {
    let all: Vec<Arc<Remediation>> =
        vec![Arc::new(ended("a", 1, 2 * HOUR - 1)), Arc::new(open("b"))];
    assert!(doubtful(&all, &keep(), now()).is_empty());
    let all = vec![Arc::new(ended("a", 1, 2 * HOUR))];
    assert_eq!(doubtful(&all, &keep(), now()), BTreeSet::from(["ns"]));
}
