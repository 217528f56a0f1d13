//! What is counted, and that of any that wait one may go on while no limit is exceeded.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use smartops_common::action::Action;
use smartops_common::config::{Rate, Storm};
use smartops_common::remediation::{OriginatingSignal, RemediationStatus, SignalReference};
use smartops_common::signal::SignalKind;

use super::*;
use crate::fixture::{at, deployment, remediation};
use crate::remediation::means::Means;
use crate::remediation::record;

fn signal(name: &str, namespace: &str, target: &str, second: i64) -> Remediation {
    let mut r = remediation(name, Action::restart());
    r.metadata.namespace = Some(namespace.into());
    r.metadata.creation_timestamp = Some(Time(at(second)));
    r.spec.source = Source::ClosedLoop;
    r.spec.target.uid = target.into();
    let (kind, id) = (SignalKind::Anomaly, name.to_owned());
    r.spec.signal = Some(OriginatingSignal { kind, id, began_at: None, score: None });
    r
}

fn begin(r: &mut Remediation, second: i64) {
    let live = deployment(3);
    let seen = crate::action::Seen { live: &live, means: Means::NONE };
    let intent = crate::action::plan(&r.spec.action, None, seen, at(second)).unwrap();
    let status = r.status.get_or_insert_default();
    record::begin(status, intent, seen, "me", at(second));
}

fn end(r: &mut Remediation, second: i64) {
    let status = r.status.get_or_insert_default();
    record::finish(status, Phase::Succeeded, "x", "", at(second));
}

fn limits(max_in_flight: u32, remedies: u32, targets: u32) -> Limits {
    Limits {
        max_in_flight,
        storm: Storm { targets, window_seconds: 60 },
        namespace_rate: Rate { remedies, window_seconds: 600 },
        stale_seconds: 900,
    }
}

fn of(r: &Remediation, all: &[Remediation], limits: &Limits, now: i64) -> Traffic {
    Traffic::around(r, all.iter(), &HashSet::new(), limits, at(now))
}

#[test]
fn a_storm_is_of_targets_that_signals_were_about_lately_and_says_when_it_may_be_over() {
    let limits = limits(10, 60, 2);
    let mut all: Vec<Remediation> =
        (0..4).map(|n| signal(&format!("r{n}"), "ns", &format!("t{n}"), 10 * n)).collect();
    let r = all[3].clone();
    let told = of(&r, &all, &limits, 30);
    assert_eq!((told.targets, told.storm_left.as_secs()), (4, 40));
    assert_eq!(of(&r, &all, &limits, 69).targets, 3);
    assert_eq!(of(&r, &all, &limits, 70).targets, 2);
    // Two about one target are one, and a signal that joined counts as the first did.
    all.push(signal("again", "ns", "t3", 31));
    assert_eq!(of(&r, &all, &limits, 31).targets, 4);
    let joined = |resolved: Option<i64>| SignalReference {
        id: "w".into(),
        accepted_at: Time(at(65)),
        resolved_at: resolved.map(|second| Time(at(second))),
    };
    let status = all[0].status.get_or_insert_default();
    status.signals.push(joined(None));
    assert_eq!(of(&r, &all, &limits, 70).targets, 3);
    all[0].status.as_mut().unwrap().signals[0] = joined(Some(66));
    assert_eq!(of(&r, &all, &limits, 70).targets, 2, "what was taken back does not count");
    let mut by_caller = signal("c", "ns", "t9", 69);
    by_caller.spec.source = Source::User;
    all.push(by_caller);
    assert_eq!(of(&r, &all, &limits, 70).targets, 2, "nor what callers ask for");
}

#[test]
fn what_was_begun_in_a_namespace_counts_there_for_the_window_and_a_future_start_as_now() {
    let limits = limits(10, 2, 20);
    let mut all = vec![signal("a", "ns", "t1", 0), signal("b", "ns", "t2", 0)];
    begin(&mut all[0], 5);
    end(&mut all[0], 9);
    begin(&mut all[1], 100);
    let waiting = signal("c", "ns", "t3", 0);
    let told = of(&waiting, &all, &limits, 200);
    assert_eq!((told.begun, told.rate_left.as_secs()), (2, 405));
    assert_eq!(of(&waiting, &all, &limits, 605).begun, 1);
    assert_eq!(of(&signal("d", "other", "t4", 0), &all, &limits, 200).begun, 0);
    begin(all.get_mut(0).unwrap(), 5);
    all[1].status.as_mut().unwrap().attempts[0].started_at = Time(at(90_000));
    assert_eq!(of(&waiting, &all, &limits, 604).begun, 2);
    // One that begins just now counts before it is on record.
    all.push(signal("e", "ns", "t5", 0));
    let begun = HashSet::from(["e".to_owned()]);
    let told = Traffic::around(&waiting, all.iter(), &begun, &limits, at(200));
    assert_eq!((told.begun, told.in_flight), (3, 3));
}

#[test]
fn a_namespace_takes_its_share_while_others_wait_and_all_of_it_while_none_does() {
    let limits = limits(4, 60, 20);
    let mut all: Vec<Remediation> =
        (0..6).map(|n| signal(&format!("a{n}"), "a", &format!("t{n}"), n)).collect();
    begin(&mut all[0], 9);
    begin(&mut all[1], 9);
    let next = all[2].clone();
    assert!(of(&next, &all, &limits, 10).has_place(&limits), "nobody else waits");
    all.push(signal("b0", "b", "t9", 8));
    assert!(!of(&next, &all, &limits, 10).has_place(&limits), "two of four are its share");
    let other = all.last().unwrap().clone();
    assert!(of(&other, &all, &limits, 10).has_place(&limits), "younger, and its turn");
    // One whose target is in somebody's hands, or that waits for further signals, takes no place: nobody waits for it.
    let mut caller = signal("c", "b", "t9", 1);
    caller.spec.source = Source::User;
    begin(&mut caller, 9);
    all.push(caller);
    assert!(of(&next, &all, &limits, 10).has_place(&limits));
}

#[test]
fn root_causes_take_a_free_place_before_older_anomalies() {
    let limits = limits(1, 60, 20);
    let older = signal("a", "ns", "t1", 1);
    let mut rca = signal("b", "ns", "t2", 5);
    rca.spec.signal.as_mut().unwrap().kind = SignalKind::Rca;
    let all = [older.clone(), rca.clone()];
    assert!(!of(&older, &all, &limits, 10).has_place(&limits));
    assert!(of(&rca, &all, &limits, 10).has_place(&limits));
}

/// A generator of numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// A world of Remediations in every state, by the dice.
fn world(dice: &mut Dice) -> Vec<Remediation> {
    let count = 1 + dice.roll(24);
    let one = |n: u64, dice: &mut Dice| {
        let namespace = format!("n{}", dice.roll(4));
        let target = format!("{namespace}/t{}", dice.roll(6));
        let second = i64::try_from(dice.roll(5)).unwrap();
        let mut r = signal(&format!("r{n}"), &namespace, &target, second);
        if dice.roll(3) == 0 {
            r.spec.signal.as_mut().unwrap().kind = SignalKind::Rca;
        }
        r
    };
    (0..count).map(|n| one(n, dice)).collect()
}

#[test]
fn of_any_that_wait_somebody_may_go_on_and_no_more_are_under_way_than_may_be() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for round in 0..100 {
        let mut all = world(&mut dice);
        let limits = limits(
            u32::try_from(1 + dice.roll(6)).unwrap(),
            u32::try_from(1 + dice.roll(5)).unwrap(),
            1000,
        );
        let flying = |all: &[Remediation]| {
            all.iter().filter(|r| r.is_open() && start_of(r).is_some()).count()
        };
        // Whoever may goes on, in any order; whoever is under way ends some time. It has to come to an end.
        for turn in 0..200 {
            let is_free = |r: &Remediation, all: &[Remediation]| {
                let same = |o: &&Remediation| o.spec.target.uid == r.spec.target.uid;
                let first = all.iter().filter(same).filter(|o| o.phase() == Phase::Pending);
                let in_hand = all.iter().filter(same).any(|o| o.is_open() && start_of(o).is_some());
                !in_hand
                    && first.min_by_key(|o| turn_key(o)).is_some_and(|o| uid_of(o) == uid_of(r))
            };
            let may = |r: &Remediation, all: &[Remediation]| {
                let told = of(r, all, &limits, 10);
                is_free(r, all)
                    && told.begun < usize::try_from(limits.namespace_rate.remedies).unwrap()
                    && told.has_place(&limits)
            };
            let waiting: Vec<usize> =
                (0..all.len()).filter(|n| all[*n].phase() == Phase::Pending).collect();
            let able: Vec<usize> =
                waiting.iter().copied().filter(|n| may(&all[*n], &all)).collect();
            let most = usize::try_from(limits.max_in_flight).unwrap();
            let could: Vec<usize> = waiting
                .iter()
                .copied()
                .filter(|n| {
                    let told = of(&all[*n], &all, &limits, 10);
                    let rate = usize::try_from(limits.namespace_rate.remedies).unwrap();
                    is_free(&all[*n], &all) && told.begun < rate
                })
                .collect();
            if !could.is_empty() && flying(&all) < most {
                assert!(!able.is_empty(), "round {round}, turn {turn}: all wait for one another");
            }
            if let Some(next) = able.first() {
                let at = usize::try_from(dice.roll(u64::try_from(able.len()).unwrap())).unwrap();
                begin(&mut all[*able.get(at).unwrap_or(next)], 10);
            } else if let Some(done) = all.iter().position(|r| r.is_open() && start_of(r).is_some())
            {
                end(&mut all[done], 10);
            } else {
                break;
            }
            assert!(flying(&all) <= most, "round {round}: {} under way", flying(&all));
        }
        assert_eq!(flying(&all), 0, "round {round} did not come to an end");
        let left = all.iter().filter(|r| r.phase() == Phase::Pending);
        for r in left {
            let told = of(r, &all, &limits, 10);
            let rate = usize::try_from(limits.namespace_rate.remedies).unwrap();
            assert!(told.begun >= rate, "round {round}: {r:?} waits for nothing");
        }
    }
}

#[test]
fn what_is_held_is_known_by_its_condition() {
    let mut r = signal("a", "ns", "t", 0);
    assert!(!is_held(&r));
    let mut status = RemediationStatus::default();
    record::hold(&mut status, Some("Storm"), "so".into(), at(1));
    r.status = Some(status.clone());
    assert!(is_held(&r) && !is_held_by(&r, Some(DEBOUNCE)));
    record::hold(&mut status, None, "over".into(), at(2));
    r.status = Some(status);
    assert!(!is_held(&r));
}
