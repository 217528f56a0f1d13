//! What is in force after each event of the watch.

use serde_json::{Value, json};
use smartops_common::signal::SignalKind;

use super::*;

fn policy(name: &str, rule: &Value) -> RemediationPolicy {
    serde_json::from_value(json!({"metadata": {"name": name}, "spec": {"rules": [rule]}})).unwrap()
}

fn restart() -> Value {
    json!({"name": "all", "action": {"type": "restart"}})
}

fn bad() -> Value {
    json!({"name": "all", "when": {"minScore": "high"}, "action": {"type": "restart"}})
}

/// A signal no built-in rule knows.
const TOLD: Told<'static> =
    Told { kind: SignalKind::Anomaly, cause: "weather", score: Some(0.9), is_complete: true };

/// Tells an empty list.
pub(crate) fn list(keeper: &mut Keeper) {
    keeper.tell(Event::Init);
    keeper.tell(Event::InitDone);
}

fn listed() -> (Policies, Keeper) {
    let (policies, mut keeper) = policies();
    list(&mut keeper);
    (policies, keeper)
}

/// Which policy decides about it, and whether it can.
fn decides(policies: &Policies) -> Option<(String, bool)> {
    match policies.decide(&TOLD, &Labels::new(), &Labels::new()).unwrap() {
        Decision::Remedy(remedy) => {
            let handling = remedy.handling;
            Some((handling.decided_by?, handling.policy_invalid.is_none()))
        }
        Decision::Nothing | Decision::BelowThreshold => None,
    }
}

fn by(rule: &str) -> (String, bool) {
    (rule.to_owned(), true)
}

#[test]
fn policies_are_in_force_as_they_are_written_changed_and_taken_away() {
    let (policies, mut keeper) = listed();
    assert_eq!(decides(&policies), None);
    keeper.tell(Event::Init);
    keeper.tell(Event::InitApply(policy("b", &restart())));
    assert_eq!(decides(&policies), None, "a list is taken whole");
    keeper.tell(Event::InitDone);
    assert_eq!(decides(&policies), Some(by("b/all")));
    keeper.tell(Event::Apply(policy("a", &restart())));
    assert_eq!(decides(&policies), Some(by("a/all")));
    let gone = policy("a", &restart()).metadata;
    keeper.tell(Event::Delete(Box::new(gone)));
    assert_eq!(decides(&policies), Some(by("b/all")));
    keeper.tell(Event::Init);
    keeper.tell(Event::InitDone);
    assert_eq!(decides(&policies), None, "what a new list does not tell is gone");
}

#[test]
fn the_last_form_that_could_be_used_stays_in_force() {
    let (policies, mut keeper) = listed();
    keeper.tell(Event::Apply(policy("a", &restart())));
    keeper.tell(Event::Apply(policy("a", &bad())));
    assert_eq!(decides(&policies), Some(by("a/all")));
    keeper.tell(Event::Unreadable {
        metadata: Box::new(policy("a", &bad()).metadata),
        error: "unknown field".into(),
    });
    assert_eq!(decides(&policies), Some(by("a/all")));
    // The twin: where there was none, its targets are held.
    let (policies, mut keeper) = listed();
    keeper.tell(Event::Apply(policy("a", &bad())));
    assert_eq!(decides(&policies), Some(("a/all".to_owned(), false)));
    keeper.tell(Event::Apply(policy("a", &restart())));
    assert_eq!(decides(&policies), Some(by("a/all")), "and mended it is in force at once");
}

#[test]
fn nothing_is_decided_before_the_policies_were_listed_and_everything_is_once_they_were() {
    let (policies, mut keeper) = policies();
    let none = Labels::new();
    let asked = |policies: &Policies| {
        (
            policies.decide(&TOLD, &none, &none).err(),
            policies.may_matter(&TOLD).err(),
            policies.governed(&none, &none).err(),
        )
    };
    let unknown = (Some(NotListed), Some(NotListed), Some(NotListed));
    assert_eq!(asked(&policies), unknown);
    keeper.tell(Event::Init);
    keeper.tell(Event::InitApply(policy("a", &restart())));
    assert_eq!(asked(&policies), unknown, "half a list");
    // An error of the watch ends a list half way; the next one begins anew.
    keeper.tell(Event::Apply(policy("b", &restart())));
    assert_eq!(asked(&policies), unknown, "one of an unknown number");
    list(&mut keeper);
    assert_eq!(asked(&policies), (None, None, None), "there are none, and that is known");
    assert_eq!(decides(&policies), None);
}
