//! Tables for what is held back for a while: said once, and gone when it is over.

use super::beginning::by_signal;
use super::*;
use crate::remediation::surroundings::{HELD, Surroundings, Traffic};

fn busy(traffic: Traffic) -> Surroundings {
    Surroundings { traffic, ..Surroundings::default() }
}

fn held(r: &Remediation) -> Option<(&str, &str)> {
    let conditions = &r.status.as_ref()?.conditions;
    let held = conditions.iter().find(|condition| condition.type_ == HELD)?;
    Some((held.status.as_str(), held.reason.as_str()))
}

const STORM: Traffic = Traffic { targets: 21, storm_left: SignedDuration::from_secs(40), ..CALM };
const CALM: Traffic = Traffic {
    targets: 20,
    storm_left: SignedDuration::ZERO,
    begun: 59,
    rate_left: SignedDuration::ZERO,
    in_flight: 9,
    in_namespace: 9,
    share: None,
    ahead: 0,
    waiting: 0,
};

#[test]
fn each_limit_holds_at_its_number_and_lets_its_neighbour_go() {
    let live = deployment(3);
    let signal = by_signal("a", SignalKind::Rca);
    for (traffic, expected) in [
        (CALM, None),
        (STORM, Some("Storm")),
        (Traffic { begun: 60, ..CALM }, Some("NamespaceRate")),
        (Traffic { in_flight: 10, ..CALM }, Some("InFlight")),
        (Traffic { ahead: 1, ..CALM }, Some("InFlight")),
        (Traffic { share: Some(9), ..CALM }, Some("InFlight")),
        (Traffic { share: Some(10), ..CALM }, None),
    ] {
        let surroundings = busy(traffic);
        let facts = Facts { surroundings: &surroundings, ..facts(Some(&live), &[], 10) };
        let next = recorded(&signal, step(&signal, facts));
        assert_eq!(held(&next), expected.map(|reason| ("True", reason)), "{traffic:?}");
        let phase = if expected.is_some() { Phase::Pending } else { Phase::Executing };
        assert_eq!(next.phase(), phase, "{traffic:?}");
        // Callers of the API and what is only tried out are held by nothing.
        let mut trial = signal.clone();
        trial.spec.dry_run = true;
        for free in [remediation("b", Action::restart()), trial] {
            assert_eq!(recorded(&free, step(&free, facts)).phase(), Phase::Executing);
        }
    }
}

#[test]
fn a_hold_is_said_once_for_each_reason_and_taken_back_when_it_begins() {
    let live = deployment(3);
    let (storm, full, calm) = (busy(STORM), busy(Traffic { in_flight: 10, ..CALM }), busy(CALM));
    let at = |surroundings, now| Facts { surroundings, ..facts(Some(&live), &[], now) };
    let signal = by_signal("a", SignalKind::Rca);
    let r = recorded(&signal, step(&signal, at(&storm, 10)));
    let words = &r.status.as_ref().unwrap().conditions[0].message;
    assert!(words.contains("21 targets") && words.contains("in 40 s"), "{words}");
    assert!(matches!(step(&r, at(&storm, 11)), Step::Wait(_)), "it is not said again");
    let r = recorded(&r, step(&r, at(&full, 12)));
    assert_eq!(held(&r), Some(("True", "InFlight")));
    let r = recorded(&r, step(&r, at(&calm, 13)));
    assert_eq!((r.phase(), held(&r)), (Phase::Executing, Some(("False", "Released"))));
    // So is one that ends while it is held.
    let r = recorded(&signal, step(&signal, at(&storm, 10)));
    let stale = recorded(&r, step(&r, at(&storm, 1000)));
    assert_eq!((stale.phase(), held(&stale)), (Phase::Skipped, Some(("False", "Released"))));
}

#[test]
fn a_signal_waits_a_moment_for_others_that_say_more_and_a_root_cause_does_not() {
    let live = deployment(3);
    let aged = |kind, debounce: Option<u32>, second| {
        let mut r = by_signal("a", kind);
        r.spec.handling.debounce_seconds = debounce;
        r.metadata.creation_timestamp = Some(Time(at(second)));
        r
    };
    for (r, is_held) in [
        (aged(SignalKind::Anomaly, None, 10), true),
        (aged(SignalKind::Alert, None, 10), true),
        (aged(SignalKind::Anomaly, None, 9), false),
        (aged(SignalKind::Rca, None, 10), false),
        (aged(SignalKind::Rca, Some(5), 6), true),
        (aged(SignalKind::Rca, Some(5), 5), false),
        (aged(SignalKind::Anomaly, Some(0), 10), false),
        // Made in what is the future here: nobody can tell how long ago.
        (aged(SignalKind::Anomaly, Some(300), 11), false),
    ] {
        let next = recorded(&r, step(&r, facts(Some(&live), &[], 10)));
        assert_eq!(held(&next).is_some(), is_held, "{:?}", r.spec);
        if is_held {
            assert_eq!(held(&next), Some(("True", "Debounce")));
        }
    }
}

#[test]
fn what_somebody_approved_passes_a_storm_and_finds_no_place_where_there_is_none() {
    let live = deployment(3);
    let mut waiting = approvals::awaiting(Action::scale_by(1));
    waiting.spec.source = Source::ClosedLoop;
    let status = waiting.status.clone().unwrap();
    let held = |traffic| {
        let surroundings = busy(traffic);
        let facts = Facts { surroundings: &surroundings, ..facts(Some(&live), &[], 10) };
        crate::remediation::machine::holding::held(&waiting, &status, facts)
    };
    assert_eq!(held(STORM), None);
    assert!(matches!(held(Traffic { in_flight: 10, ..CALM }), Some(Step::Wait(_))));
    // What waits to be put forward takes no place.
    let mut proposed = by_signal("a", SignalKind::Rca);
    proposed.spec.require_approval = true;
    let full = busy(Traffic { in_flight: 10, ..CALM });
    let facts = Facts { surroundings: &full, ..facts(Some(&live), &[], 10) };
    let next = recorded(&proposed, step(&proposed, facts));
    assert_eq!(next.phase(), Phase::AwaitingApproval);
}

#[test]
fn a_caller_does_not_wait_for_what_the_loop_holds_back_and_the_loop_keeps_its_order() {
    let live = deployment(3);
    let storm = busy(STORM);
    let older = by_signal("a", SignalKind::Anomaly);
    let stormy = Facts { surroundings: &storm, ..facts(Some(&live), &[], 10) };
    let older = recorded(&older, step(&older, stormy));
    let others = std::slice::from_ref(&older);
    let caller = remediation("b", Action::restart());
    let next = recorded(&caller, step(&caller, facts(Some(&live), others, 10)));
    assert_eq!(next.phase(), Phase::Executing);
    let younger = by_signal("b", SignalKind::Anomaly);
    assert_eq!(step(&younger, facts(Some(&live), others, 10)), Step::Wait(TURN_POLL));
}
