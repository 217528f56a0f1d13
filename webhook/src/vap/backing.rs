//! How the rules of policies change hands between the webhook and the API server without a gap: the registrations open
//! once what backs them stands, and what backs them goes once they are closed again. What each side told the others
//! last; who writes is `vap`'s and `registration`'s.

use std::collections::BTreeMap;
use std::sync::Arc;

use smartops_common::config::Outage;
use tokio::sync::watch;

/// What is written for a policy and does not stand as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// Nothing of it holds.
    Absent,
    /// What stands is something else, an older text for instance.
    Different,
}

/// By the name of what should stand.
pub type Lacking = BTreeMap<String, Lack>;

/// What the keeper, the registrar and the statuses tell each other.
#[derive(Debug)]
pub struct Backing {
    stands: watch::Sender<bool>,
    registered: watch::Sender<Option<Outage>>,
    lacking: watch::Sender<Arc<Lacking>>,
}

impl Backing {
    /// Nothing is known yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            stands: watch::Sender::new(false),
            registered: watch::Sender::new(None),
            lacking: watch::Sender::default(),
        })
    }

    /// Whether this replica, as the leader, has seen everything stand that backs the registrations.
    pub fn stands(&self) -> watch::Receiver<bool> {
        self.stands.subscribe()
    }

    /// Tells it.
    pub(super) fn tell_stands(&self, stands: bool) {
        self.stands.send_if_modified(|told| std::mem::replace(told, stands) != stands);
    }

    /// What the registrations say of an outage, where this replica, as the leader, has brought it about.
    pub(super) fn registered(&self) -> watch::Receiver<Option<Outage>> {
        self.registered.subscribe()
    }

    /// Tells it.
    pub fn tell_registered(&self, outage: Option<Outage>) {
        self.registered.send_if_modified(|told| std::mem::replace(told, outage) != outage);
    }

    /// What has not stood as it should for some time.
    pub fn lacking(&self) -> watch::Receiver<Arc<Lacking>> {
        self.lacking.subscribe()
    }

    /// Tells it.
    pub(super) fn tell_lacking(&self, lacking: Lacking) {
        self.lacking.send_if_modified(|told| {
            let is_new = **told != lacking;
            *told = Arc::new(lacking);
            is_new
        });
    }
}
