//! Which of the registrations that are due are written now, and when the others are. Pure.

use std::collections::{BTreeMap, BTreeSet};

use smartops_common::names;
use tokio::time::Instant;

use super::standing::{Key, Kind, Standing};
use crate::upkeep::{Absences, Making, Repairs};

/// What becomes of those that are due.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// Written now, in this order.
    pub(super) now: Vec<Standing>,
    /// When to look again after those that wait.
    pub(super) later: Option<Instant>,
}

impl Plan {
    fn wait(&mut self, until: Instant) {
        self.later = self.later.into_iter().chain([until]).min();
    }
}

/// Works it out. What was deleted stays away for a while, and for good where the webhook is not known to stay
/// (`may_restore`). `is_drift`: somebody else changed them, and whoever goes on doing so is not raced, each
/// registration by itself.
pub(super) fn plan(
    due: Vec<Standing>,
    seen: &BTreeMap<Key, Standing>,
    absences: &Absences<Key>,
    repairs: &BTreeMap<Key, Repairs>,
    (is_drift, may_restore): (bool, bool),
    now: Instant,
) -> Plan {
    let mut plan = Plan::default();
    for standing in due {
        let key = standing.key();
        if !seen.contains_key(&key) {
            match absences.making(&key, may_restore, now) {
                Making::Now => {}
                Making::At(at) => {
                    plan.wait(at);
                    continue;
                }
                Making::Not => continue,
            }
        }
        let pause = repairs.get(&key).and_then(|repairs| repairs.pause(now));
        match pause.filter(|_| is_drift) {
            Some(until) => plan.wait(until),
            None => plan.now.push(standing),
        }
    }
    plan
}

/// Whether one of those written now waits because another could not be: where the list of automation moves, people's
/// registration and automation's follow each other, and without the one before the next would leave somebody out.
pub(super) fn waits_for_failed(key: &Key, now: &[Standing], failed: &BTreeSet<Key>) -> bool {
    let automation = (Kind::Validating, names::AUTOMATION_REGISTRATION.to_owned());
    let people = (Kind::Validating, names::PEOPLE_REGISTRATION.to_owned());
    let moves = now.iter().filter(|standing| standing.key() == automation).count() > 1;
    let both = [automation, people];
    moves && both.contains(key) && both.iter().any(|key| failed.contains(key))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
    use kube::api::ObjectMeta;

    use super::*;

    fn registration(name: &str) -> Standing {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        ValidatingWebhookConfiguration { metadata, webhooks: None }.into()
    }

    fn names(plan: &Plan) -> Vec<String> {
        plan.now.iter().map(|standing| standing.key().1).collect()
    }

    #[test]
    fn a_fight_over_one_registration_holds_up_no_other() {
        let now = Instant::now();
        let (one, other) = (registration("a"), registration("b"));
        let seen = BTreeMap::from([&one, &other].map(|s| (s.key(), s.clone())));
        let mut fought = Repairs::default();
        fought.note(now);
        let repairs = BTreeMap::from([(one.key(), fought)]);
        let work_out = |is_drift, now| {
            let due = vec![one.clone(), other.clone()];
            plan(due, &seen, &Absences::default(), &repairs, (is_drift, true), now)
        };
        let first = work_out(true, now);
        assert_eq!(names(&first), ["b"]);
        let later = first.later.unwrap();
        assert!(later > now);
        assert_eq!(
            work_out(true, later),
            Plan { now: vec![one.clone(), other.clone()], later: None }
        );
        assert_eq!(names(&work_out(false, now)), ["a", "b"], "a change waits for nobody");
    }

    #[test]
    fn what_was_deleted_is_made_again_after_a_while_and_not_where_the_webhook_may_be_going() {
        let now = Instant::now();
        let (there, deleted, never) = (registration("a"), registration("b"), registration("c"));
        let mut absences = Absences::default();
        absences.look([&there, &deleted].map(Standing::key).iter(), now);
        absences.look([there.key()].iter(), now);
        let seen = BTreeMap::from([(there.key(), there.clone())]);
        let work_out = |may_restore, now| {
            let due = vec![there.clone(), deleted.clone(), never.clone()];
            plan(due, &seen, &absences, &BTreeMap::new(), (true, may_restore), now)
        };
        let first = work_out(true, now);
        assert_eq!(names(&first), ["a", "c"]);
        let later = first.later.unwrap();
        assert_eq!(later, now + Duration::from_secs(3));
        assert_eq!(names(&work_out(true, later)), ["a", "b", "c"]);
        let gone = work_out(false, later);
        assert_eq!((names(&gone), gone.later), (vec!["a".to_owned(), "c".to_owned()], None));
    }

    #[test]
    fn one_that_cannot_be_written_stops_no_other_but_the_next_step_of_a_moving_list() {
        let [automation, people, own] =
            ["smartops-automation", "smartops-people", "smartops-own"].map(registration);
        let still = vec![automation.clone(), people.clone(), own.clone()];
        let moving = vec![automation.clone(), people.clone(), automation.clone(), own.clone()];
        for (now, failed, key, waits) in [
            (&still, &automation, &people, false),
            (&still, &people, &own, false),
            (&moving, &automation, &people, true),
            (&moving, &people, &automation, true),
            (&moving, &automation, &own, false),
            (&moving, &own, &people, false),
        ] {
            let failed = BTreeSet::from([failed.key()]);
            let found = waits_for_failed(&key.key(), now, &failed);
            assert_eq!(found, waits, "{now:?} {failed:?} {key:?}");
        }
    }
}
