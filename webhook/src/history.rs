//! What was committed to each workload and when, as the watches saw it, with a digest of the workload as it is. Kept by
//! uid; what a change is and what follows from it is the guard's.
//!
//! What was read from the ledgers at the start is known before the first lists are told, so that a list tells what
//! moved in the time when nobody watched, exactly as it does after a watch was interrupted.

mod kept;
mod parent;
mod tombstones;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use smartops_guard::history::{NamespaceRecord, Record, WorkloadKind};
use smartops_guard::ledger::ChangeLedgerSpec;
use smartops_process::clock::Clock;
use smartops_process::watch::Event;
use tokio::sync::watch;

use self::kept::Kept;
pub use self::kept::Urgency;
pub use self::parent::{Labels, Named, Parent, Selector};
use crate::metrics::WebhookMetrics;
use crate::workload::{Watchable, Workload};

/// A workload that was deleted, as far as another of its kind, namespace and name goes on with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Predecessor {
    /// What was observed of it.
    pub record: Record,
    /// Its labels; `None` where it ended before anybody here saw it.
    pub labels: Option<BTreeMap<String, String>>,
    /// Its uid.
    pub uid: Arc<str>,
}

/// The histories of all workloads that exist, and of those deleted in the last day.
#[derive(Debug)]
pub struct Histories {
    kept: RwLock<Kept>,
    ledgers_read: watch::Sender<bool>,
    metrics: WebhookMetrics,
}

impl Histories {
    /// Nothing has been seen yet.
    pub fn new(metrics: WebhookMetrics) -> Self {
        Self { kept: RwLock::default(), ledgers_read: watch::Sender::new(false), metrics }
    }

    /// What was seen of the object of this uid.
    pub fn record(&self, uid: &str) -> Option<Record> {
        self.read().record(uid).cloned()
    }

    /// The object of this uid as last seen.
    pub fn parent(&self, uid: &str) -> Option<Arc<Parent>> {
        self.read().parent(uid)
    }

    /// The objects of a namespace that would take these labels for those of their own pods, with their uids.
    pub fn selecting<'l>(
        &self,
        namespace: &str,
        label: impl Fn(&str) -> Option<&'l str>,
    ) -> Vec<(Arc<str>, Arc<Parent>)> {
        let kept = self.read();
        let selecting = kept.parents_in(namespace);
        selecting.into_iter().filter(|(_, parent)| parent.selector.selects(&label)).collect()
    }

    /// The last object of this kind, namespace and name, where it was deleted within a day.
    pub fn predecessor(
        &self,
        group: &str,
        resource: &str,
        namespace: &str,
        name: &str,
    ) -> Option<Predecessor> {
        let kind = WorkloadKind::of(group, resource)?;
        let kept = self.read();
        let tombstone = kept.predecessor(kind, namespace, name, now())?;
        Some(Predecessor {
            record: tombstone.record.clone(),
            labels: tombstone.labels.as_ref().map(Labels::to_map),
            uid: Arc::clone(&tombstone.uid),
        })
    }

    /// What was seen of a namespace.
    pub fn namespace(&self, namespace: &str) -> Arc<NamespaceRecord> {
        self.read().namespace(namespace)
    }

    /// How many objects are such.
    pub fn matching(&self, is_such: impl FnMut(&Parent) -> bool) -> usize {
        self.read().parents().map(AsRef::as_ref).filter(such(is_such)).count()
    }

    /// Whether the ledgers have been read and every first list is complete.
    pub fn is_loaded(&self) -> bool {
        *self.ledgers_read.borrow() && self.read().is_complete()
    }

    /// Waits until the ledgers have been read: the first lists are told after that.
    pub async fn ledgers_read(&self) {
        let mut read = self.ledgers_read.subscribe();
        // The sender lives as long as this does.
        let _closed = read.wait_for(|read| *read).await;
    }

    /// An event of the watch of a kind of workload.
    pub fn observe<K: Watchable>(&self, event: Event<Workload<K>>) {
        let mut kept = self.write();
        kept.observe(event, now());
        self.metrics.histories.set(i64::try_from(kept.len()).unwrap_or(i64::MAX));
    }

    /// An event of the watch of namespaces.
    pub fn observe_namespace(&self, event: &Event<Namespace>) {
        self.write().observe_namespace(event);
    }

    /// What the ledger of a namespace says, read at the start. `None` where it cannot be read: then all that is in the
    /// namespace counts as changed until now.
    pub fn load(&self, namespace: &str, ledger: Option<&ChangeLedgerSpec>) {
        self.write().load(namespace, ledger, now());
    }

    /// All ledgers have been told.
    pub fn loaded(&self) {
        self.ledgers_read.send_replace(true);
    }

    /// What another replica wrote meanwhile into the ledger of a namespace; of two accounts the fuller stands. Returns
    /// whether the ledger is not as it should be.
    pub fn merge(&self, namespace: &str, ledger: &ChangeLedgerSpec) -> bool {
        let mut kept = self.write();
        if kept.is_gone(namespace) {
            return true;
        }
        kept.merge(namespace, ledger, now());
        kept.ledger(namespace, now()) != *ledger
    }

    /// The ledger of a namespace as it should be; `None` where the namespace is gone.
    pub fn ledger(&self, namespace: &str) -> Option<ChangeLedgerSpec> {
        let kept = self.read();
        (!kept.is_gone(namespace)).then(|| kept.ledger(namespace, now()))
    }

    /// Every namespace of which there is something to write.
    pub fn namespaces(&self) -> Vec<Arc<str>> {
        self.read().namespaces()
    }

    /// Takes out the namespaces whose ledgers are to be written now: those of which something was observed that counts,
    /// and with [`Urgency::Whenever`] also those of which anything was.
    pub fn take_due(&self, least: Urgency) -> Vec<Arc<str>> {
        self.write().take_due(least)
    }

    /// The ledger of this namespace is to be written.
    pub fn mark(&self, namespace: &str, urgency: Urgency) {
        self.write().mark(namespace, urgency);
    }

    fn read(&self) -> RwLockReadGuard<'_, Kept> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Kept> {
        self.kept.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn such(mut is_such: impl FnMut(&Parent) -> bool) -> impl FnMut(&&Parent) -> bool {
    move |parent| is_such(parent)
}

/// Now, as precise as a ledger has it.
fn now() -> Timestamp {
    let now = Clock.now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}
