//! What each policy did lately, until it stands in the policy's status: few decisions of each, none of a dry run, and
//! never in the way of a review.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use smartops_guard::policy::PolicyDecision;
use tokio::sync::Notify;

use super::Decision;
use crate::admission::envelope::Request;

/// How many decisions of a policy are kept.
pub const MOST: usize = 10;
/// How many policies decisions are kept of before they are written.
const MOST_POLICIES: usize = 4096;
/// Longest name or user kept. Characters.
const LONGEST: usize = 253;

/// What was decided and not written yet.
#[derive(Debug, Default)]
pub struct Recent {
    decided: Mutex<BTreeMap<Arc<str>, VecDeque<PolicyDecision>>>,
    changed: Notify,
}

impl Recent {
    /// Takes note of what policies did with a write. False where there was no place for it.
    pub fn note(&self, decision: &Decision<'_>, now: Timestamp) -> bool {
        let Ok(request) = &decision.envelope.request else { return true };
        if request.is_dry_run() {
            return true;
        }
        let mut noted = decision.outcomes.iter().filter(|o| !o.policy.is_empty()).peekable();
        if noted.peek().is_none() {
            return true;
        }
        // A reader holds it for a moment only; a decision that meets it is not worth waiting for.
        let Ok(mut decided) = self.decided.try_lock() else { return false };
        let mut has_place = true;
        for outcome in noted {
            if decided.len() >= MOST_POLICIES && !decided.contains_key(&outcome.policy) {
                has_place = false;
                continue;
            }
            let decision = PolicyDecision {
                time: Time(now),
                decision: outcome.effect.into(),
                rule: outcome.rule,
                operation: request.operation.to_string(),
                resource: resource(request),
                namespace: cut(request.namespace.as_deref().unwrap_or_default()),
                name: cut(&request.name),
                user: cut(&request.user_info.username),
            };
            let own = decided.entry(Arc::clone(&outcome.policy)).or_default();
            if own.front().is_some_and(|last| is_alike(last, &decision)) {
                own.pop_front();
            }
            own.push_front(decision);
            own.truncate(MOST);
        }
        drop(decided);
        self.changed.notify_one();
        has_place
    }

    /// What is to be written, by policy.
    pub fn pending(&self) -> BTreeMap<Arc<str>, Vec<PolicyDecision>> {
        let decided = self.decided.lock().unwrap_or_else(PoisonError::into_inner);
        decided
            .iter()
            .map(|(policy, own)| (Arc::clone(policy), own.iter().cloned().collect()))
            .collect()
    }

    /// Forgets what was written of a policy, or what can be written nowhere.
    pub fn written(&self, policy: &str, written: &[PolicyDecision]) {
        let mut decided = self.decided.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(own) = decided.get_mut(policy) else { return };
        own.retain(|decision| !written.contains(decision));
        if own.is_empty() {
            decided.remove(policy);
        }
    }

    /// Waits until something was decided.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// What stood and what is new, newest first, each of several alike in a row only once.
pub fn merged(standing: &[PolicyDecision], new: &[PolicyDecision]) -> Vec<PolicyDecision> {
    let mut all: Vec<PolicyDecision> = new.iter().chain(standing).cloned().collect();
    all.sort_by_key(|decision| std::cmp::Reverse(decision.time.0));
    all.dedup_by(|older, newer| is_alike(older, newer));
    all.truncate(MOST);
    all
}

fn is_alike(one: &PolicyDecision, other: &PolicyDecision) -> bool {
    PolicyDecision { time: one.time.clone(), ..other.clone() } == *one
}

fn resource(request: &Request<'_>) -> String {
    let of = &request.resource;
    smartops_change::Resource {
        group: &of.group,
        version: &of.version,
        resource: &of.resource,
        subresource: &request.sub_resource,
    }
    .to_string()
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use smartops_common::denial::Rule;
    use smartops_guard::policy::DecisionName;
    use smartops_guard::{Effect, Outcome};

    use super::*;
    use crate::admission::envelope::Envelope;
    use crate::admission::reply::Answer;
    use crate::admission::{Audience, Half};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn note(recent: &Recent, name: &str, dry_run: bool, second: i64) {
        let body = format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u",
            "resource":{{"group":"apps","version":"v1","resource":"deployments"}},"subResource":"scale",
            "operation":"UPDATE","namespace":"shop","name":"{name}","userInfo":{{"username":"alice"}},"dryRun":{dry_run}}}}}"#
        );
        let envelope = Envelope::read(body.as_bytes()).unwrap();
        let outcome = Outcome { policy: "p".into(), rule: Rule::Replicas, effect: Effect::Deny };
        let unnamed = Outcome { policy: "".into(), rule: Rule::Unnamed, effect: Effect::Deny };
        let decision = Decision {
            envelope: &envelope,
            audience: Audience::People,
            half: Half::Validating,
            automation: false,
            answer: &Answer::allowed(),
            outcomes: &[outcome, unnamed],
            took: Duration::ZERO,
        };
        assert!(recent.note(&decision, at(second)));
    }

    fn names(decisions: &[PolicyDecision]) -> Vec<&str> {
        decisions.iter().map(|d| d.name.as_str()).collect()
    }

    #[test]
    fn the_last_decisions_of_a_policy_are_kept_and_those_of_dry_runs_are_not() {
        let recent = Recent::default();
        note(&recent, "dry", true, 1);
        assert!(recent.pending().is_empty());
        for second in 0..20 {
            note(&recent, &format!("web-{second}"), false, second);
        }
        let pending = recent.pending();
        assert_eq!(pending.keys().map(AsRef::as_ref).collect::<Vec<_>>(), ["p"]);
        assert_eq!(pending["p"].len(), MOST);
        let newest = &pending["p"][0];
        assert_eq!(
            (newest.name.as_str(), newest.resource.as_str()),
            ("web-19", "deployments.apps/scale")
        );
        assert_eq!((newest.decision, newest.time.0), (DecisionName::Deny, at(19)));
    }

    #[test]
    fn a_write_that_is_sent_again_and_again_is_told_once() {
        let recent = Recent::default();
        for second in 0..4 {
            note(&recent, "web", false, second);
        }
        let pending = recent.pending();
        assert_eq!(pending["p"].len(), 1);
        assert_eq!(pending["p"][0].time.0, at(3));
    }

    #[test]
    fn what_was_written_is_forgotten_and_what_came_meanwhile_is_not() {
        let recent = Recent::default();
        note(&recent, "one", false, 1);
        let written = recent.pending()["p"].clone();
        note(&recent, "two", false, 2);
        recent.written("p", &written);
        assert_eq!(names(&recent.pending()["p"]), ["two"]);
    }

    #[test]
    fn decisions_of_two_replicas_stand_together_newest_first() {
        let (one, two) = (Recent::default(), Recent::default());
        note(&one, "a", false, 1);
        note(&one, "c", false, 3);
        note(&two, "b", false, 2);
        note(&two, "d", false, 4);
        let merged = merged(&one.pending()["p"], &two.pending()["p"]);
        assert_eq!(names(&merged), ["d", "c", "b", "a"]);
    }
}
