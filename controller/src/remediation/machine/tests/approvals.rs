//! Tables for what waits for somebody else's word, and for what is done with it.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;
use smartops_common::action::{Action, ActionType};
use smartops_common::approval::{Decision, RemediationApproval};
use smartops_common::remediation::{AttemptKind, AttemptResult, Phase, Proposal, Remediation};

use super::{
    Facts, Step, TURN_POLL, Written, after, begun, broken, facts, given_up_at, last, reason,
    reason_of, recorded, scaled, step, unavailable,
};
use crate::failure::Failure;
use crate::fixture::{approval, at, autoscaler, deployment, edited, remediation};
use crate::remediation::means::Means;
use crate::remediation::record;
use crate::target::Live;

fn guarded(action: Action) -> Remediation {
    let mut r = remediation("a", action);
    r.spec.require_approval = true;
    r
}

/// One that asks for approval at second 10, three replicas being live.
pub(super) fn awaiting(action: Action) -> Remediation {
    let r = guarded(action);
    let r = recorded(&r, step(&r, facts(Some(&deployment(3)), &[], 10)));
    assert_eq!(r.phase(), Phase::AwaitingApproval);
    r
}

fn proposal(r: &Remediation) -> &Proposal {
    r.status.as_ref().unwrap().proposal.as_ref().unwrap()
}

fn said(r: &Remediation, decision: Decision, second: i64) -> RemediationApproval {
    approval(r, &proposal(r).hash, decision, "carol", second)
}

fn step_with(r: &Remediation, live: &Live, word: &RemediationApproval, now: i64) -> Step {
    let approvals = std::slice::from_ref(word);
    step(r, Facts { approvals, ..facts(Some(live), &[], now) })
}

fn question(r: &Remediation) -> (&str, &str, &str) {
    let conditions = &r.status.as_ref().unwrap().conditions;
    let c = conditions.iter().find(|c| c.type_ == record::APPROVED).unwrap();
    (&c.status, &c.reason, &c.message)
}

#[test]
fn what_needs_approval_is_put_forward_exactly_and_not_begun() {
    let r = awaiting(Action::scale_by(2));
    assert!(r.status.as_ref().unwrap().attempts.is_empty());
    assert_eq!(proposal(&r).intent.replicas, Some(5));
    assert_eq!(proposal(&r).target.generation, 7);
    assert_eq!(proposal(&r).expires_at, Time(at(910)));
    let (status, reason, message) = question(&r);
    assert_eq!((status, reason), ("False", "AwaitingApproval"));
    assert!(message.contains("from 3 to 5") && message.contains(&proposal(&r).hash), "{message}");
    // The twins: without the wish it is begun at once, and a trial is asked for like the rest.
    begun(&remediation("a", Action::scale_by(2)), &deployment(3));
    let mut trial = guarded(Action::scale_by(2));
    trial.spec.dry_run = true;
    let trial = recorded(&trial, step(&trial, facts(Some(&deployment(3)), &[], 10)));
    assert_eq!(trial.phase(), Phase::AwaitingApproval);
}

#[test]
fn what_is_approved_is_begun_with_exactly_the_values_put_forward() {
    let live = deployment(3);
    for action in [Action::scale_by(2), Action::restart()] {
        let r = awaiting(action);
        assert_eq!(step(&r, facts(Some(&live), &[], 11)), Step::Wait(Duration::from_secs(5)));
        let busy = edited(3, |d| d["metadata"]["resourceVersion"] = json!("71"));
        let next = recorded(&r, step_with(&r, &busy, &said(&r, Decision::Approve, 20), 25));
        assert_eq!(next.phase(), Phase::Executing);
        assert_eq!(last(&next).intent, proposal(&r).intent);
        assert_eq!(last(&next).target.generation, proposal(&r).target.generation);
        assert_eq!(last(&next).target.resource_version, "71", "of the object as it is now");
        assert_eq!(question(&next), ("True", "Approved", "approved by carol"));
    }
}

#[test]
fn a_word_that_does_not_count_changes_nothing() {
    let r = awaiting(Action::scale_by(2));
    let hash = proposal(&r).hash.clone();
    let mut younger = r.clone();
    younger.metadata.uid = Some("other".into());
    let words = [
        approval(&r, &hash, Decision::Approve, "apikey:test", 20),
        approval(&r, &hash, Decision::Reject, &r.spec.created_by, 20),
        approval(&r, &"0".repeat(64), Decision::Approve, "carol", 20),
        approval(&younger, &hash, Decision::Approve, "carol", 20),
        approval(&r, &hash, Decision::Approve, "", 20),
        approval(&r, &hash, Decision::Approve, "carol", -900),
    ];
    for word in words {
        let next = step_with(&r, &deployment(3), &word, 25);
        assert_eq!(next, Step::Wait(Duration::from_secs(5)), "{:?}", word.spec);
    }
}

#[test]
fn a_rejection_ends_it_and_names_who_and_why() {
    let r = awaiting(Action::restart());
    let mut word = said(&r, Decision::Reject, 20);
    word.spec.reason = "not on a Friday".into();
    let ended = recorded(&r, step_with(&r, &deployment(3), &word, 25));
    assert_eq!((ended.phase(), reason_of(&ended)), (Phase::Cancelled, "ApprovalRejected"));
    assert_eq!(question(&ended).2, "rejected by carol: not on a Friday");
}

#[test]
fn nobody_waits_for_an_approval_for_ever_not_even_where_the_target_cannot_be_read() {
    let r = awaiting(Action::restart());
    let live = deployment(3);
    assert_eq!(step(&r, facts(Some(&live), &[], 909)), Step::Wait(Duration::from_secs(1)));
    let late = said(&r, Decision::Approve, 905);
    let ended = recorded(&r, step_with(&r, &live, &late, 910));
    assert_eq!((ended.phase(), reason_of(&ended)), (Phase::Cancelled, "ApprovalExpired"));
    let silent = Failure::Unavailable("no answer".into());
    assert_eq!(given_up_at(&r, &silent, 909), None);
    assert_eq!(given_up_at(&r, &silent, 910).unwrap().phase, Phase::Cancelled);
}

#[test]
fn a_target_that_moved_on_is_asked_about_anew_and_the_former_word_is_not_heard() {
    let r = awaiting(Action::scale_by(2));
    let word = said(&r, Decision::Approve, 20);
    for moved in [scaled(4), scaled(3)] {
        let next = recorded(&r, step_with(&r, &moved, &word, 25));
        assert_eq!(next.phase(), Phase::AwaitingApproval);
        assert_ne!(proposal(&next).hash, proposal(&r).hash);
        assert_eq!(proposal(&next).intent.replicas, Some(5), "the number stays what was asked");
        assert!(question(&next).2.contains("does not count any more"), "{:?}", question(&next));
        let deaf = step_with(&next, &moved, &word, 26);
        assert_eq!(deaf, Step::Wait(Duration::from_secs(5)));
        let new = said(&next, Decision::Approve, 26);
        let begun = recorded(&next, step_with(&next, &moved, &new, 27));
        assert_eq!(begun.phase(), Phase::Executing);
    }
}

#[test]
fn an_approval_lifts_none_of_the_usual_refusals() {
    let r = awaiting(Action::restart());
    let word = said(&r, Decision::Approve, 20);
    let paused = edited(3, |d| d["spec"]["paused"] = json!(true));
    let ended = recorded(&r, step_with(&r, &paused, &word, 25));
    assert_eq!((ended.phase(), reason_of(&ended)), (Phase::Skipped, reason::PAUSED));
    let live = deployment(3);
    let rival = begun(&remediation("b", Action::restart()), &live);
    let (approvals, others) = (std::slice::from_ref(&word), std::slice::from_ref(&rival));
    let waits = step(&r, Facts { approvals, ..facts(Some(&live), others, 25) });
    assert_eq!(waits, Step::Wait(TURN_POLL));
    let younger = remediation("b", Action::restart());
    let goes = step(&younger, facts(Some(&live), std::slice::from_ref(&r), 25));
    assert!(matches!(goes, Step::Record(_)), "one that waits for a word holds nobody up");
}

#[test]
fn a_further_attempt_at_what_was_approved_is_the_same_or_none() {
    let live = deployment(3);
    for action in [Action::scale_by(2), Action::restart()] {
        let r = awaiting(action);
        let yes = said(&r, Decision::Approve, 20);
        let tried = recorded(&r, step_with(&r, &live, &yes, 25));
        let failed = after(&tried, unavailable(), 26);
        let again = recorded(&failed, step_with(&failed, &live, &yes, 31));
        assert_eq!((again.phase(), last(&again).number), (Phase::Executing, 2));
        assert_eq!(last(&again).intent, proposal(&r).intent);
        let no = said(&r, Decision::Reject, 27);
        let own = approval(&r, &proposal(&r).hash, Decision::Approve, "apikey:test", 27);
        for (live, word, now, why) in [
            (&scaled(3), &yes, 31, "ApprovalStale"),
            (&live, &own, 31, "ApprovalStale"),
            (&live, &yes, 910, "ApprovalStale"),
            (&live, &no, 31, "ApprovalRejected"),
        ] {
            let ended = recorded(&failed, step_with(&failed, live, word, now));
            assert_eq!((ended.phase(), reason_of(&ended)), (Phase::Failed, why));
        }
    }
}

#[test]
fn what_was_approved_and_written_is_never_written_again() {
    let r = awaiting(Action::scale_by(1));
    let yes = said(&r, Decision::Approve, 20);
    let tried = recorded(&r, step_with(&r, &deployment(3), &yes, 25));
    let live = broken(4);
    let watched = after(&tried, Written::Committed(Box::new(live.clone())), 26);
    let back = recorded(&watched, step_with(&watched, &live, &yes, 30));
    let kinds: Vec<_> = back
        .status
        .as_ref()
        .unwrap()
        .attempts
        .iter()
        .map(|a| (a.kind, a.intent.replicas))
        .collect();
    // An approval covers taking back what it approved, and nothing is asked again.
    assert_eq!(kinds, [(AttemptKind::Apply, Some(4)), (AttemptKind::Undo, Some(3))]);
}

/// What the target's autoscaler is at, in this version.
fn scaled_by(min: i32, max: i32, version: &str) -> &'static Means {
    let mut autoscaler = autoscaler(min, max);
    autoscaler.resource_version = version.into();
    Box::leak(Box::new(Means { autoscaler: Some(autoscaler), ..Means::default() }))
}

#[test]
fn bounds_that_were_approved_are_written_to_the_version_there_is_and_asked_for_anew_once_they_moved()
 {
    let live = deployment(3);
    let asked = serde_json::from_value(json!({"maxDelta": 2})).unwrap();
    let r = guarded(Action { hpa_bounds: Some(asked), ..Action::of(ActionType::HpaBounds) });
    let seeing = |means, now| Facts { means, ..facts(Some(&live), &[], now) };
    let r = recorded(&r, step(&r, seeing(scaled_by(2, 5, "100"), 10)));
    assert!(question(&r).2.contains("from 2 and 5 to 2 and 7"), "{:?}", question(&r));
    let word = [said(&r, Decision::Approve, 20)];
    let heard = |means, now| Facts { approvals: &word, ..seeing(means, now) };
    let of = |r: &Remediation| last(r).intent.bounds.clone().unwrap();
    // Only its status moved, before the attempt and before its repeat.
    let begun = recorded(&r, step(&r, heard(scaled_by(2, 5, "101"), 25)));
    assert_eq!((of(&begun).resource_version.as_str(), of(&begun).max_replicas), ("101", 7));
    let met = recorded(&begun, step(&begun, heard(scaled_by(2, 5, "102"), 25)));
    assert_eq!(last(&met).result, Some(AttemptResult::Conflict));
    let again = recorded(&met, step(&met, heard(scaled_by(2, 5, "102"), 25)));
    assert_eq!((last(&again).number, of(&again).resource_version.as_str()), (2, "102"));
    assert!(matches!(step(&again, heard(scaled_by(2, 5, "102"), 25)), Step::Write(_)));
    // Somebody moved the bounds: less far than was asked, further, or the other one.
    for (min, max, becomes) in [(2, 6, 7), (2, 9, 9), (1, 5, 7)] {
        let since = scaled_by(min, max, "101");
        let anew = recorded(&r, step(&r, heard(since, 25)));
        assert_eq!(anew.phase(), Phase::AwaitingApproval, "{min} {max}");
        assert_ne!(proposal(&anew).hash, proposal(&r).hash);
        let bounds = proposal(&anew).intent.bounds.clone().unwrap();
        assert_eq!((bounds.min_replicas, bounds.max_replicas), (min, becomes));
        let stale = recorded(&met, step(&met, heard(since, 25)));
        assert_eq!((stale.phase(), reason_of(&stale)), (Phase::Failed, reason::APPROVAL_STALE));
    }
}
