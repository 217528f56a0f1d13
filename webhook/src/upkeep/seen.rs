//! What stands in the cluster of what SmartOps keeps, as the watches last told it or as it was last written, whichever is
//! newer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::Resource;
use smartops_process::watch::Event;
use tokio::sync::Notify;

/// An object of one of a few kinds that are kept together.
pub(crate) trait Standing: Clone + std::fmt::Debug {
    /// Which of the kinds.
    type Kind: Copy + Ord + std::fmt::Debug;

    /// Its kind and name.
    fn key(&self) -> (Self::Kind, String);

    /// Which version of it this is.
    fn version(&self) -> Option<u64>;

    /// Whether one of this name is looked at.
    fn is_looked_at(name: &str) -> bool;
}

/// What stands, by kind and name.
pub(crate) type Standings<S> = BTreeMap<(<S as Standing>::Kind, String), S>;

/// What stands.
#[derive(Debug)]
pub(crate) struct Seen<S: Standing> {
    known: Mutex<Known<S>>,
    changed: Notify,
}

/// What is known to stand.
#[derive(Debug)]
struct Known<S: Standing> {
    standing: Standings<S>,
    /// What the lists under way have told so far. Until one is complete, what was known before goes on standing.
    listed: BTreeSet<(S::Kind, String)>,
}

impl<S: Standing> Default for Seen<S> {
    fn default() -> Self {
        let known = Known { standing: Standings::<S>::new(), listed: BTreeSet::new() };
        Self { known: Mutex::new(known), changed: Notify::default() }
    }
}

impl<S: Standing> Seen<S> {
    /// Takes an event of a watch of this kind.
    pub(crate) fn see<K: Resource + Into<S>>(&self, kind: S::Kind, event: Event<K>) {
        let mut known = self.lock();
        match event {
            Event::Init => known.listed.retain(|key| key.0 != kind),
            Event::InitApply(object) | Event::Apply(object) => known.keep(object.into()),
            Event::Unreadable { metadata, .. } => {
                known.listed.insert((kind, metadata.name.unwrap_or_default()));
            }
            Event::InitDone => {
                let Known { standing, listed } = &mut *known;
                standing.retain(|key, _| key.0 != kind || listed.contains(key));
            }
            Event::Delete(metadata) => {
                known.standing.remove(&(kind, metadata.name.unwrap_or_default()));
            }
        }
        drop(known);
        self.changed.notify_one();
    }

    /// Remembers what was written, before the watch tells it.
    pub(crate) fn wrote(&self, standing: S) {
        self.lock().keep(standing);
    }

    /// Remembers what was removed.
    pub(crate) fn removed(&self, kind: S::Kind, name: &str) {
        self.lock().standing.remove(&(kind, name.to_owned()));
    }

    /// What stands now.
    pub(crate) fn all(&self) -> Standings<S> {
        self.lock().standing.clone()
    }

    /// Waits until something changed.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Known<S>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Standing> Known<S> {
    /// Keeps the newer of what is known and what is told: a watch may still tell what was before a write.
    fn keep(&mut self, told: S) {
        let key = told.key();
        if !S::is_looked_at(&key.1) {
            return;
        }
        self.listed.insert(key.clone());
        let known = self.standing.get(&key).and_then(Standing::version);
        if known.is_none() || told.version().is_none() || told.version() >= known {
            self.standing.insert(key, told);
        }
    }
}
