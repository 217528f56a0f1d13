//! The store behind the histories: synchronous, and told the time.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use smartops_guard::history::{NamespaceRecord, Record, Via, WorkloadKind};
use smartops_guard::ledger::{ChangeLedgerSpec, Entry};
use smartops_process::watch::Event;

use super::parent::{Interner, Labels, Named, Parent};
use super::tombstones::{Tombstone, Tombstones};
use crate::workload::{Watchable, Workload};

/// How soon something must be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Without it, a replica that starts anew knows less than it could, and takes that for changed.
    Whenever,
    /// It is what verdicts rest on.
    Soon,
}

/// Everything that is kept.
#[derive(Debug, Default)]
pub(super) struct Kept {
    objects: HashMap<Arc<str>, Object>,
    /// The uid of each, in the order of namespaces.
    by_name: BTreeMap<Arc<Named>, Arc<str>>,
    tombstones: Tombstones,
    records: HashMap<Arc<str>, Arc<NamespaceRecord>>,
    /// Namespaces whose ledger did not hold everything: what is new there may be old.
    incomplete: HashSet<Arc<str>>,
    due: BTreeMap<Arc<str>, Urgency>,
    listings: BTreeMap<WorkloadKind, Listing>,
    alive: Alive,
    texts: Interner,
}

#[derive(Debug)]
struct Object {
    named: Arc<Named>,
    record: Record,
    /// `None` for what a ledger told and no list yet.
    parent: Option<Arc<Parent>>,
}

/// A kind's list under way, or complete.
#[derive(Debug, Default)]
struct Listing {
    told: HashSet<Arc<str>>,
    is_complete: bool,
}

/// The namespaces that exist.
#[derive(Debug, Default)]
struct Alive {
    names: BTreeSet<Box<str>>,
    told: BTreeSet<Box<str>>,
    is_complete: bool,
}

impl Kept {
    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    pub(super) fn record(&self, uid: &str) -> Option<&Record> {
        self.objects.get(uid).map(|object| &object.record)
    }

    pub(super) fn parent(&self, uid: &str) -> Option<Arc<Parent>> {
        self.objects.get(uid)?.parent.clone()
    }

    pub(super) fn parents(&self) -> impl Iterator<Item = &Arc<Parent>> {
        self.objects.values().filter_map(|object| object.parent.as_ref())
    }

    pub(super) fn parents_in(&self, namespace: &str) -> Vec<(Arc<str>, Arc<Parent>)> {
        let of_uid = |(_, uid): (_, &Arc<str>)| Some((Arc::clone(uid), self.parent(uid)?));
        self.of(namespace).filter_map(of_uid).collect()
    }

    /// The uids of a namespace's objects, by name.
    fn of(&self, namespace: &str) -> impl Iterator<Item = (&Arc<Named>, &Arc<str>)> {
        let first = named(WorkloadKind::Deployment, namespace, "");
        let namespace = Arc::clone(&first.namespace);
        let from = self.by_name.range::<Named, _>(&first..);
        from.take_while(move |(named, _)| named.namespace == namespace)
    }

    pub(super) fn predecessor(
        &self,
        kind: WorkloadKind,
        namespace: &str,
        name: &str,
        now: Timestamp,
    ) -> Option<&Tombstone> {
        self.tombstones.get(&named(kind, namespace, name), now)
    }

    pub(super) fn namespace(&self, namespace: &str) -> Arc<NamespaceRecord> {
        self.records.get(namespace).cloned().unwrap_or_default()
    }

    /// Whether every kind's first list is complete.
    pub(super) fn is_complete(&self) -> bool {
        let complete = |kind| self.listings.get(&kind).is_some_and(|l| l.is_complete);
        WorkloadKind::ALL.into_iter().all(complete)
    }

    pub(super) fn observe<K: Watchable>(&mut self, event: Event<Workload<K>>, now: Timestamp) {
        match event {
            Event::Init => self.listing(K::KIND).told.clear(),
            Event::InitApply(workload) => {
                if let Some(uid) = self.see(workload, Via::List, now) {
                    self.listing(K::KIND).told.insert(uid);
                }
            }
            Event::InitDone => self.listed(K::KIND, now),
            Event::Apply(workload) => {
                self.see(workload, Via::Event, now);
            }
            Event::Delete(metadata) => self.bury(&metadata.uid.unwrap_or_default(), now),
            // It exists: what was seen of it stays, and its generation fences what was not.
            Event::Unreadable { metadata, .. } => {
                let uid = self.texts.text(&metadata.uid.unwrap_or_default());
                self.listing(K::KIND).told.insert(uid);
            }
        }
    }

    fn listing(&mut self, kind: WorkloadKind) -> &mut Listing {
        self.listings.entry(kind).or_default()
    }

    /// A sight of a workload; its uid.
    fn see<K: Watchable>(
        &mut self,
        workload: Workload<K>,
        via: Via,
        now: Timestamp,
    ) -> Option<Arc<str>> {
        let uid = workload.uid()?;
        let sight = workload.sight();
        if let Some(former) = self.objects.get(uid.as_str()) {
            let named = Arc::clone(&former.named);
            let record = seen::<K>(Record::after(Some(&former.record), sight, via, now), now);
            let has_changed = record.recent != former.record.recent;
            if has_changed {
                self.note(&named.namespace, now);
            } else if record != former.record {
                self.mark(&named.namespace, Urgency::Whenever);
            }
            return Some(self.keep(&uid, named, record, workload));
        }
        let named = Arc::new(Named {
            namespace: self.texts.text(&workload.namespace().unwrap_or_default()),
            kind: K::KIND,
            name: workload.name_any().into(),
        });
        // Another of the same name whose end was not told: it has ended.
        if let Some(former) = self.by_name.get(&named).cloned() {
            self.bury(&former, now);
        }
        let predecessor = self.tombstones.take(&named, now);
        let is_unknown = via == Via::List && self.incomplete.contains(&named.namespace);
        let record = match &predecessor {
            Some(tombstone) => Record::successor_of(&tombstone.record, sight, now),
            None if is_unknown => Record::unknown_until(sight, now),
            None => Record::after(None, sight, via, now),
        };
        if predecessor.is_some() {
            self.note(&named.namespace, now);
        } else {
            self.mark(&named.namespace, Urgency::Whenever);
        }
        Some(self.keep(&uid, named, record, workload))
    }

    fn keep<K: Watchable>(
        &mut self,
        uid: &str,
        named: Arc<Named>,
        record: Record,
        workload: Workload<K>,
    ) -> Arc<str> {
        let parent = Parent::of(workload, Arc::clone(&named), &mut self.texts);
        let parent = Some(Arc::new(parent));
        let uid = match self.by_name.get(&named) {
            Some(known) if known.as_ref() == uid => Arc::clone(known),
            _ => {
                let uid: Arc<str> = uid.into();
                self.by_name.insert(Arc::clone(&named), Arc::clone(&uid));
                uid
            }
        };
        self.objects.insert(Arc::clone(&uid), Object { named, record, parent });
        uid
    }

    /// A kind's list is complete: what it did not tell has ended.
    fn listed(&mut self, kind: WorkloadKind, now: Timestamp) {
        let listing = self.listing(kind);
        listing.is_complete = true;
        let told = std::mem::take(&mut listing.told);
        let ended: Vec<Arc<str>> = self
            .objects
            .iter()
            .filter(|(uid, object)| object.named.kind == kind && !told.contains(*uid))
            .map(|(uid, _)| Arc::clone(uid))
            .collect();
        for uid in ended {
            self.bury(&uid, now);
        }
        if self.is_complete() {
            // Everything that was there has been seen: what is new from now on is new.
            self.incomplete.clear();
        }
    }

    /// An object has ended.
    fn bury(&mut self, uid: &str, now: Timestamp) {
        let Some((uid, Object { named, record, parent })) = self.objects.remove_entry(uid) else {
            return;
        };
        if self.by_name.get(&named) == Some(&uid) {
            self.by_name.remove(&named);
        }
        if self.is_gone(&named.namespace) {
            return;
        }
        self.note(&named.namespace, now);
        let labels = parent.map(|parent| parent.labels.clone());
        self.tombstones
            .add(named, Tombstone { uid, record: record.ended(now), deleted: now, labels });
    }

    /// Something of a namespace changed.
    fn note(&mut self, namespace: &Arc<str>, now: Timestamp) {
        let record = self.records.entry(Arc::clone(namespace)).or_default();
        Arc::make_mut(record).note(now);
        self.mark(namespace, Urgency::Soon);
    }

    pub(super) fn observe_namespace(&mut self, event: &Event<Namespace>) {
        match event {
            Event::Init => self.alive.told.clear(),
            Event::InitApply(namespace) => {
                self.alive.told.insert(namespace.name_any().into());
            }
            Event::InitDone => {
                self.alive.names = std::mem::take(&mut self.alive.told);
                self.alive.is_complete = true;
                let mut gone: Vec<Arc<str>> = self.records.keys().cloned().collect();
                gone.retain(|namespace| self.is_gone(namespace));
                for namespace in gone {
                    self.forget(&namespace);
                }
            }
            Event::Apply(namespace) => {
                self.alive.names.insert(namespace.name_any().into());
            }
            Event::Delete(metadata) => {
                let name = metadata.name.as_deref().unwrap_or_default();
                self.alive.names.remove(name);
                self.forget(name);
            }
            Event::Unreadable { metadata, .. } => {
                let name: Box<str> = metadata.name.as_deref().unwrap_or_default().into();
                self.alive.told.insert(name.clone());
                self.alive.names.insert(name);
            }
        }
    }

    /// A namespace is gone, and what was deleted in it with it: another of its name begins anew. Its ledger is due, so
    /// that it is deleted.
    fn forget(&mut self, namespace: &str) {
        self.tombstones.forget(namespace);
        self.records.remove(namespace);
        self.incomplete.remove(namespace);
        self.mark(namespace, Urgency::Soon);
    }

    pub(super) fn is_gone(&self, namespace: &str) -> bool {
        self.alive.is_complete && !self.alive.names.contains(namespace)
    }

    pub(super) fn load(
        &mut self,
        namespace: &str,
        ledger: Option<&ChangeLedgerSpec>,
        now: Timestamp,
    ) {
        let namespace = self.texts.text(namespace);
        let Some(ledger) = ledger else {
            self.incomplete.insert(namespace);
            return;
        };
        if !ledger.is_complete() {
            self.incomplete.insert(Arc::clone(&namespace));
        }
        self.records.insert(Arc::clone(&namespace), Arc::new(ledger.namespace(now)));
        for entry in &ledger.workloads {
            let named = named_in(&namespace, entry);
            if let Some(tombstone) = self.tombstone(entry, now) {
                self.tombstones.add(named, tombstone);
            } else {
                let uid: Arc<str> = entry.uid.as_str().into();
                let record = entry.record(now);
                self.by_name.insert(Arc::clone(&named), Arc::clone(&uid));
                self.objects.insert(uid, Object { named, record, parent: None });
            }
        }
    }

    pub(super) fn merge(&mut self, namespace: &str, ledger: &ChangeLedgerSpec, now: Timestamp) {
        let namespace = self.texts.text(namespace);
        for entry in &ledger.workloads {
            if let Some(object) = self.objects.get_mut(entry.uid.as_str()) {
                object.record = object.record.clone().merged(entry.record(now));
                continue;
            }
            // What another saw end, under whose name nothing was seen since.
            let named = named_in(&namespace, entry);
            if !self.by_name.contains_key(&named)
                && self.tombstones.get(&named, now).is_none()
                && let Some(tombstone) = self.tombstone(entry, now)
            {
                self.tombstones.add(named, tombstone);
            }
        }
        let record = self.records.entry(namespace).or_default();
        let merged = NamespaceRecord::clone(record).merged(ledger.namespace(now));
        *record = Arc::new(merged);
    }

    /// What a ledger tells of a workload that was deleted; `None` of one that exists.
    fn tombstone(&mut self, entry: &Entry, now: Timestamp) -> Option<Tombstone> {
        let deleted = entry.deleted_at?.min(now);
        let labels = entry.labels.clone().map(|labels| self.texts.labels(Some(labels)));
        let record = entry.record(now).ended(deleted);
        Some(Tombstone { uid: entry.uid.as_str().into(), record, deleted, labels })
    }

    pub(super) fn ledger(&self, namespace: &str, now: Timestamp) -> ChangeLedgerSpec {
        let present = self.of(namespace).filter_map(|(named, uid)| {
            let record = &self.objects.get(uid)?.record;
            Some(Entry::new(named.kind, &named.name, uid, record))
        });
        let deleted = self.tombstones.of(namespace, now).map(|(named, tombstone)| {
            let labels = tombstone.labels.as_ref().map(Labels::to_map);
            Entry::new(named.kind, &named.name, &tombstone.uid, &tombstone.record)
                .deleted(tombstone.deleted, labels)
        });
        ChangeLedgerSpec::new(present.chain(deleted), &self.namespace(namespace))
    }

    pub(super) fn namespaces(&self) -> Vec<Arc<str>> {
        let named = self.by_name.keys().map(|named| Arc::clone(&named.namespace));
        let all: BTreeSet<Arc<str>> = named.chain(self.records.keys().cloned()).collect();
        all.into_iter().collect()
    }

    pub(super) fn mark(&mut self, namespace: &str, urgency: Urgency) {
        if let Some(known) = self.due.get_mut(namespace) {
            *known = urgency.max(*known);
        } else {
            let namespace = self.texts.text(namespace);
            self.due.insert(namespace, urgency);
        }
    }

    pub(super) fn take_due(&mut self, least: Urgency) -> Vec<Arc<str>> {
        let mut taken = Vec::new();
        self.due.retain(|namespace, urgency| {
            let is_due = *urgency >= least;
            if is_due {
                taken.push(Arc::clone(namespace));
            }
            !is_due
        });
        taken
    }
}

/// The record as it stands of this kind: where no revisions are kept there is nothing to be asked later.
fn seen<K: Watchable>(record: Record, now: Timestamp) -> Record {
    if K::KIND.has_revisions() { record } else { record.without_revisions(now) }
}

fn named(kind: WorkloadKind, namespace: &str, name: &str) -> Named {
    Named { namespace: namespace.into(), kind, name: name.into() }
}

fn named_in(namespace: &Arc<str>, entry: &Entry) -> Arc<Named> {
    let (namespace, name) = (Arc::clone(namespace), entry.name.as_str().into());
    Arc::new(Named { namespace, kind: entry.kind, name })
}

#[cfg(test)]
mod tests;
