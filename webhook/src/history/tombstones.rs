//! Workloads that were deleted: whoever makes another under the same kind and name goes on with its history.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use smartops_guard::history::{LONGEST, Record};

use super::parent::Named;

/// The most that are kept; those deleted first go first.
const MOST: usize = 4096;

/// A workload that was deleted.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tombstone {
    pub(super) uid: Arc<str>,
    pub(super) record: Record,
    pub(super) deleted: Timestamp,
}

/// The workloads deleted in the last day.
#[derive(Debug, Default)]
pub(super) struct Tombstones(BTreeMap<Arc<Named>, Tombstone>);

impl Tombstones {
    /// One was deleted.
    pub(super) fn add(&mut self, named: Arc<Named>, tombstone: Tombstone) {
        let now = tombstone.deleted;
        let known = self.0.get(&named).map(|known| known.deleted);
        if known.is_none_or(|known| known <= now) {
            self.0.insert(named, tombstone);
        }
        if self.0.len() > MOST {
            self.0.retain(|_, tombstone| stands(tombstone, now));
        }
        while self.0.len() > MOST {
            let oldest = self.0.iter().min_by_key(|(_, tombstone)| tombstone.deleted);
            let Some(named) = oldest.map(|(named, _)| Arc::clone(named)) else { return };
            self.0.remove(&named);
        }
    }

    /// The one of this name.
    pub(super) fn get(&self, named: &Named, now: Timestamp) -> Option<&Tombstone> {
        self.0.get(named).filter(|tombstone| stands(tombstone, now))
    }

    /// The one of this name, whose history another goes on with from now on.
    pub(super) fn take(&mut self, named: &Named, now: Timestamp) -> Option<Tombstone> {
        self.0.remove(named).filter(|tombstone| stands(tombstone, now))
    }

    /// Those of a namespace.
    pub(super) fn of<'a>(
        &'a self,
        first: &Named,
        now: Timestamp,
    ) -> impl Iterator<Item = (&'a Named, &'a Tombstone)> {
        let namespace = Arc::clone(&first.namespace);
        let range = self.0.range::<Named, _>(first..);
        range
            .take_while(move |(named, _)| named.namespace == namespace)
            .filter(move |(_, tombstone)| stands(tombstone, now))
            .map(|(named, tombstone)| (named.as_ref(), tombstone))
    }

    /// A namespace is gone, and they with it.
    pub(super) fn forget(&mut self, namespace: &str) {
        self.0.retain(|named, _| named.namespace.as_ref() != namespace);
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
        Tombstone { uid: "u".into(), record, deleted: at(second) }
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
    fn where_there_are_too_many_those_deleted_first_go_first() {
        let mut tombstones = Tombstones::default();
        let most = i64::try_from(MOST).unwrap();
        for second in 0..most + 2 {
            tombstones.add(named("shop", &second.to_string()), deleted(second));
        }
        let now = at(most + 2);
        assert_eq!(tombstones.0.len(), MOST);
        assert!(tombstones.get(&named("shop", "1"), now).is_none());
        assert!(tombstones.get(&named("shop", "2"), now).is_some());
    }

    #[test]
    fn those_of_a_namespace_are_told_and_forgotten_by_themselves() {
        let mut tombstones = Tombstones::default();
        for (namespace, name) in [("shop", "web"), ("shop", "api"), ("shop-two", "web"), ("a", "a")]
        {
            tombstones.add(named(namespace, name), deleted(10));
        }
        let first =
            Named { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: "".into() };
        let names = |tombstones: &Tombstones| -> Vec<String> {
            tombstones.of(&first, at(11)).map(|(named, _)| named.name.to_string()).collect()
        };
        assert_eq!(names(&tombstones), ["api", "web"]);
        tombstones.forget("shop");
        assert!(names(&tombstones).is_empty());
        assert!(tombstones.get(&named("shop-two", "web"), at(11)).is_some());
    }
}
