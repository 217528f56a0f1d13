//! Workloads that were deleted: whoever makes another under the same kind and name goes on with its history.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use smartops_guard::history::{LONGEST, Record};

use super::parent::{Labels, Named};

/// The most that are kept of a namespace: whoever may delete in one pushes out what was deleted there, and nothing of
/// anybody else.
const MOST_OF_ONE: usize = 512;
/// The most that are kept of all namespaces together: the one that has most makes room.
const MOST: usize = 8192;

/// A workload that was deleted.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tombstone {
    pub(super) uid: Arc<str>,
    pub(super) record: Record,
    pub(super) deleted: Timestamp,
    /// Its labels; `None` where it ended before anybody here saw it.
    pub(super) labels: Option<Labels>,
}

/// The workloads deleted in the last day.
#[derive(Debug, Default)]
pub(super) struct Tombstones(BTreeMap<Arc<str>, Graves>);

/// Those of one namespace.
#[derive(Debug, Default)]
struct Graves(BTreeMap<Arc<Named>, Tombstone>);

impl Tombstones {
    /// One was deleted.
    pub(super) fn add(&mut self, named: Arc<Named>, tombstone: Tombstone) {
        let now = tombstone.deleted;
        let graves = self.0.entry(Arc::clone(&named.namespace)).or_default();
        graves.add(named, tombstone);
        if graves.0.len() > MOST_OF_ONE {
            graves.make_room(MOST_OF_ONE, now);
        }
        if self.len() > MOST {
            for graves in self.0.values_mut() {
                graves.0.retain(|_, tombstone| stands(tombstone, now));
            }
            self.0.retain(|_, graves| !graves.0.is_empty());
        }
        while self.len() > MOST {
            let Some(largest) = self.0.values_mut().max_by_key(|graves| graves.0.len()) else {
                return;
            };
            largest.make_room(largest.0.len() - 1, now);
        }
    }

    /// The one of this name.
    pub(super) fn get(&self, named: &Named, now: Timestamp) -> Option<&Tombstone> {
        let graves = self.0.get(&named.namespace)?;
        graves.0.get(named).filter(|tombstone| stands(tombstone, now))
    }

    /// The one of this name, whose history another goes on with from now on.
    pub(super) fn take(&mut self, named: &Named, now: Timestamp) -> Option<Tombstone> {
        let graves = self.0.get_mut(&named.namespace)?;
        let taken = graves.0.remove(named);
        if graves.0.is_empty() {
            self.0.remove(&named.namespace);
        }
        taken.filter(|tombstone| stands(tombstone, now))
    }

    /// Those of a namespace.
    pub(super) fn of<'a>(
        &'a self,
        namespace: &str,
        now: Timestamp,
    ) -> impl Iterator<Item = (&'a Named, &'a Tombstone)> {
        let all = self.0.get(namespace).into_iter().flat_map(|graves| &graves.0);
        all.filter(move |(_, tombstone)| stands(tombstone, now))
            .map(|(named, tombstone)| (named.as_ref(), tombstone))
    }

    /// A namespace is gone, and they with it.
    pub(super) fn forget(&mut self, namespace: &str) {
        self.0.remove(namespace);
    }

    fn len(&self) -> usize {
        self.0.values().map(|graves| graves.0.len()).sum()
    }
}

impl Graves {
    fn add(&mut self, named: Arc<Named>, tombstone: Tombstone) {
        let known = self.0.get(&named).map(|known| known.deleted);
        if known.is_none_or(|known| known <= tombstone.deleted) {
            self.0.insert(named, tombstone);
        }
    }

    /// Lets go those that stand no more, then those deleted first, until so many are left.
    fn make_room(&mut self, most: usize, now: Timestamp) {
        self.0.retain(|_, tombstone| stands(tombstone, now));
        while self.0.len() > most {
            let oldest = self.0.iter().min_by_key(|(_, tombstone)| tombstone.deleted);
            let Some(named) = oldest.map(|(named, _)| Arc::clone(named)) else { return };
            self.0.remove(&named);
        }
    }
}

fn stands(tombstone: &Tombstone, now: Timestamp) -> bool {
    now.duration_since(tombstone.deleted) <= LONGEST
}

#[cfg(test)]
mod tests {
    use smartops_change::TemplateDigest;
    use smartops_guard::history::{Sight, Via, WorkloadKind};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn named(namespace: &str, name: &str) -> Arc<Named> {
        let kind = WorkloadKind::Deployment;
        Arc::new(Named { namespace: namespace.into(), kind, name: name.into() })
    }

    fn deleted(second: i64) -> Tombstone {
        let template = TemplateDigest::NOTHING;
        let sight = Sight { generation: second, template, replicas: Some(1) };
        let record = Record::after(None, sight, Via::List, at(second));
        Tombstone { uid: "u".into(), record, deleted: at(second), labels: None }
    }

    /// Deletes so many in a namespace, one a second.
    fn flood(tombstones: &mut Tombstones, namespace: &str, number: usize) {
        for second in 0..i64::try_from(number).unwrap() {
            tombstones.add(named(namespace, &second.to_string()), deleted(second));
        }
    }

    #[test]
    fn a_tombstone_stands_for_a_day_and_is_taken_once() {
        let mut tombstones = Tombstones::default();
        let web = named("shop", "web");
        tombstones.add(Arc::clone(&web), deleted(10));
        assert!(tombstones.get(&web, at(10) + LONGEST).is_some());
        assert!(tombstones.get(&web, at(11) + LONGEST).is_none());
        assert!(tombstones.get(&named("shop", "other"), at(11)).is_none());
        assert!(tombstones.take(&web, at(11)).is_some());
        assert!(tombstones.take(&web, at(11)).is_none());
    }

    #[test]
    fn of_two_under_one_name_the_later_deleted_stands() {
        let mut tombstones = Tombstones::default();
        let web = named("shop", "web");
        for second in [10, 30, 20] {
            tombstones.add(Arc::clone(&web), deleted(second));
        }
        assert_eq!(tombstones.get(&web, at(31)).map(|t| t.deleted), Some(at(30)));
    }

    #[test]
    fn where_a_namespace_has_too_many_those_deleted_there_first_go_first_and_no_other_namespaces() {
        let mut tombstones = Tombstones::default();
        tombstones.add(named("shop", "web"), deleted(0));
        flood(&mut tombstones, "noise", MOST_OF_ONE + 2);
        let now = at(10_000);
        for (namespace, name, stands) in
            [("noise", "1", false), ("noise", "2", true), ("shop", "web", true)]
        {
            assert_eq!(tombstones.get(&named(namespace, name), now).is_some(), stands, "{name}");
        }
        assert_eq!(tombstones.of("noise", now).count(), MOST_OF_ONE);
    }

    #[test]
    fn where_there_are_too_many_in_all_the_namespace_that_has_most_makes_room() {
        let mut tombstones = Tombstones::default();
        tombstones.add(named("shop", "web"), deleted(0));
        for namespace in 0..=MOST / MOST_OF_ONE {
            flood(&mut tombstones, &format!("noise-{namespace}"), MOST_OF_ONE);
        }
        let now = at(10_000);
        assert_eq!(tombstones.len(), MOST);
        assert!(tombstones.get(&named("shop", "web"), now).is_some());
        let last = format!("noise-{}", MOST / MOST_OF_ONE);
        assert!(tombstones.get(&named(&last, "511"), now).is_some(), "the newest stays");
    }

    #[test]
    fn what_is_older_than_a_day_makes_room_before_anything_that_counts() {
        let mut tombstones = Tombstones::default();
        flood(&mut tombstones, "shop", MOST_OF_ONE);
        tombstones.add(named("shop", "late"), deleted(LONGEST.as_secs() + 400));
        assert_eq!(tombstones.len(), MOST_OF_ONE - 400 + 1);
    }

    #[test]
    fn those_of_a_namespace_are_told_and_forgotten_by_themselves() {
        let mut tombstones = Tombstones::default();
        for (namespace, name) in [("shop", "web"), ("shop", "api"), ("shop-two", "web"), ("a", "a")]
        {
            tombstones.add(named(namespace, name), deleted(10));
        }
        let names = |tombstones: &Tombstones| -> Vec<String> {
            tombstones.of("shop", at(11)).map(|(named, _)| named.name.to_string()).collect()
        };
        assert_eq!(names(&tombstones), ["api", "web"]);
        tombstones.forget("shop");
        assert!(names(&tombstones).is_empty());
        assert!(tombstones.get(&named("shop-two", "web"), at(11)).is_some());
    }
}
