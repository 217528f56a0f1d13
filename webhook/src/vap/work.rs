//! What there is to do in a pass, object by object, and why: because something else should stand than before, or because
//! somebody changed what was brought about. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::backing::{Lack, Lacking};
use super::standing::{self, Key, Kind, Object};

/// So long something may be on its way before it is told that it does not stand.
const ON_ITS_WAY: Duration = Duration::from_secs(5);

/// Why something is written or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Something else should stand than before.
    Change,
    /// Somebody changed it.
    Drift,
    /// Somebody else made it in our name.
    Extra,
}

impl Why {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Drift => "drift",
            Self::Extra => "extra",
        }
    }
}

/// What is to be done with one object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Step<'o> {
    pub(super) object: &'o Object,
    /// Whether it is written; otherwise it is removed.
    pub(super) is_write: bool,
    pub(super) why: Why,
}

/// What a leader has brought about.
#[derive(Debug, Default)]
pub(super) struct Brought {
    objects: BTreeMap<Key, Object>,
    /// Whether a pass came to its end.
    is_settled: bool,
}

impl Brought {
    /// What is due: policies before what binds them, and removals last.
    pub(super) fn due<'o>(
        &self,
        wanted: &'o [Object],
        kept: &BTreeSet<String>,
        stands: &'o BTreeMap<Key, Object>,
    ) -> Vec<Step<'o>> {
        let writes = wanted.iter().filter(|object| !object.stands_in(stands));
        let writes = writes.map(|object| {
            let why = if self.is_drift(object, stands) { Why::Drift } else { Why::Change };
            Step { object, is_write: true, why }
        });
        let removals = standing::extra(stands, wanted, kept).into_iter().map(|object| {
            let is_extra = self.is_settled && !self.objects.contains_key(&object.key());
            let why = if is_extra { Why::Extra } else { Why::Change };
            Step { object, is_write: false, why }
        });
        writes.chain(removals).collect()
    }

    /// Whether somebody else made it what it is. A leader that has not written it yet goes by who wrote it last.
    fn is_drift(&self, wanted: &Object, stands: &BTreeMap<Key, Object>) -> bool {
        let key = wanted.key();
        match self.objects.get(&key) {
            Some(brought) => brought == wanted,
            None => stands.get(&key).is_some_and(Object::is_meddled_with),
        }
    }

    /// Takes note of what stands now as it should.
    pub(super) fn note(&mut self, object: &Object) {
        self.objects.insert(object.key(), object.clone());
    }

    /// Takes note of the end of a pass: of these nothing is left to do. What was left alone is nobody else's either.
    pub(super) fn settle(
        &mut self,
        wanted: &[Object],
        kept: &BTreeSet<String>,
        stands: &BTreeMap<Key, Object>,
    ) {
        let kept = stands.values().filter(|object| kept.contains(&object.key().1));
        self.objects = kept.chain(wanted).map(|object| (object.key(), object.clone())).collect();
        self.is_settled = true;
    }
}

/// Since when something has not stood as it should.
#[derive(Debug, Default)]
pub(super) struct Waiting(BTreeMap<String, Instant>);

impl Waiting {
    /// What has not stood for so long that it is told, and when the next is.
    pub(super) fn told(
        &mut self,
        wanted: &[Object],
        stands: &BTreeMap<Key, Object>,
        now: Instant,
    ) -> (Lacking, Option<Instant>) {
        let mut lacking = Lacking::new();
        for object in wanted.iter().filter(|object| !object.stands_in(stands)) {
            let name = object.key().1;
            let has = |kind| stands.contains_key(&(kind, name.clone()));
            let is_there = has(Kind::Policy) && has(Kind::Binding);
            lacking.insert(name, if is_there { Lack::Different } else { Lack::Absent });
        }
        self.0.retain(|name, _| lacking.contains_key(name));
        for name in lacking.keys() {
            self.0.entry(name.clone()).or_insert(now);
        }
        let mut next: Option<Instant> = None;
        lacking.retain(|name, _| {
            let at = self.0.get(name).map_or(now, |since| *since + ON_ITS_WAY);
            if at > now {
                next = next.into_iter().chain([at]).min();
            }
            at <= now
        });
        (lacking, next)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
    use smartops_common::config::SmartOpsConfigSpec;
    use smartops_common::names;
    use smartops_guard::vap::own_objects;

    use super::*;

    fn own() -> [Object; 2] {
        let written = own_objects(&SmartOpsConfigSpec::default()).unwrap();
        [written.policy.into(), written.binding.into()]
    }

    /// The policy as it stands after these managers wrote it, opened.
    fn opened(policy: &Object, managers: &serde_json::Value) -> BTreeMap<Key, Object> {
        let Object::Policy(policy) = policy else { panic!("{policy:?}") };
        let mut stands = ValidatingAdmissionPolicy::clone(policy);
        stands.spec.as_mut().unwrap().failure_policy = Some("Ignore".to_owned());
        stands.metadata.managed_fields = serde_json::from_value(managers.clone()).unwrap();
        let stands = Object::from(stands);
        [(stands.key(), stands)].into()
    }

    fn why(brought: &Brought, wanted: &[Object], stands: &BTreeMap<Key, Object>) -> Vec<Why> {
        brought.due(wanted, &BTreeSet::new(), stands).iter().map(|step| step.why).collect()
    }

    #[test]
    fn what_was_brought_about_and_stands_no_more_was_changed_and_anything_new_is_a_change() {
        let [policy, binding] = own();
        let wanted = [policy.clone(), binding.clone()];
        let nothing = BTreeMap::new();
        let mut brought = Brought::default();
        assert_eq!(why(&brought, &wanted, &nothing), [Why::Change, Why::Change]);
        // One could be written and the other could not.
        brought.note(&policy);
        assert_eq!(why(&brought, &wanted, &nothing), [Why::Drift, Why::Change]);
        brought.settle(&wanted, &BTreeSet::new(), &nothing);
        let all: BTreeMap<Key, Object> =
            wanted.iter().map(|object| (object.key(), object.clone())).collect();
        assert_eq!(why(&brought, &wanted, &all), []);
    }

    #[test]
    fn a_new_leader_tells_what_somebody_changed_from_what_an_older_program_wrote() {
        let [policy, _] = own();
        let wanted = [policy.clone()];
        let (ours, other) = (names::WEBHOOK_FIELD_MANAGER, "kubectl-edit");
        let rows = [
            (serde_json::json!([{"manager": ours}]), Why::Change),
            (
                serde_json::json!([
                    {"manager": ours},
                    {"manager": "kube-controller-manager", "subresource": "status"},
                ]),
                Why::Change,
            ),
            (serde_json::json!([{"manager": other}]), Why::Change),
            (serde_json::json!([{"manager": ours}, {"manager": other}]), Why::Drift),
        ];
        for (managers, expected) in rows {
            let stands = opened(&policy, &managers);
            assert_eq!(why(&Brought::default(), &wanted, &stands), [expected], "{managers}");
        }
    }

    #[test]
    fn what_should_not_stand_was_made_by_somebody_else_once_everything_was_brought_about() {
        let [policy, _] = own();
        let stands =
            opened(&policy, &serde_json::json!([{"manager": names::WEBHOOK_FIELD_MANAGER}]));
        let mut brought = Brought::default();
        assert_eq!(why(&brought, &[], &stands), [Why::Change], "by a leader before");
        brought.settle(&[], &BTreeSet::new(), &stands);
        assert_eq!(why(&brought, &[], &stands), [Why::Extra]);
        let nothing = BTreeSet::new();
        brought.settle(std::slice::from_ref(&policy), &nothing, &stands);
        assert_eq!(why(&brought, &[], &stands), [Why::Change], "it is wanted no more");
        brought.settle(&[], &BTreeSet::from([policy.key().1]), &stands);
        assert_eq!(why(&brought, &[], &stands), [Why::Change], "it was left alone for a while");
    }

    #[test]
    fn what_does_not_stand_is_told_after_a_while_and_no_more_once_it_does() {
        let [policy, binding] = own();
        let wanted = [policy.clone(), binding.clone()];
        let (mut waiting, now, nothing) = (Waiting::default(), Instant::now(), BTreeMap::new());
        let name = policy.key().1;
        let later = now + ON_ITS_WAY;
        assert_eq!(waiting.told(&wanted, &nothing, now), (Lacking::new(), Some(later)));
        let absent = Lacking::from([(name.clone(), Lack::Absent)]);
        assert_eq!(waiting.told(&wanted, &nothing, later), (absent, None));
        let mut stands = opened(&policy, &serde_json::json!([]));
        stands.insert(binding.key(), binding.clone());
        let different = Lacking::from([(name, Lack::Different)]);
        assert_eq!(waiting.told(&wanted, &stands, later), (different, None));
        stands.insert(policy.key(), policy);
        assert_eq!(waiting.told(&wanted, &stands, later), (Lacking::new(), None));
        assert_eq!(
            waiting.told(&wanted, &nothing, later),
            (Lacking::new(), Some(later + ON_ITS_WAY))
        );
    }
}
