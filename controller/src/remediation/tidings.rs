//! What the watch of Remediations shows, told to whoever listens in this process. Whoever is too slow misses some and is
//! told so: the store has what there is.

use std::sync::Arc;

use smartops_common::remediation::Remediation;
use tokio::sync::{broadcast, watch};

/// Changes a listener may be behind.
const BEHIND: usize = 1024;

/// A change.
#[derive(Debug, Clone)]
pub enum Tiding {
    /// What a Remediation has become.
    Changed(Arc<Remediation>),
    /// One that is no more.
    Gone(Arc<Remediation>),
}

/// Where changes are told, and that all there was has been listed. Cheap to clone.
///
/// Readiness is told here and not asked of the store: of several who wait for a store, kube wakes the last who asked.
#[derive(Debug, Clone)]
pub struct Tidings {
    changes: broadcast::Sender<Tiding>,
    listed: watch::Sender<bool>,
}

impl Default for Tidings {
    fn default() -> Self {
        Self { changes: broadcast::Sender::new(BEHIND), listed: watch::Sender::new(false) }
    }
}

impl Tidings {
    /// Tells whoever listens; nobody listening is no failure.
    pub fn tell(&self, tiding: impl FnOnce() -> Tiding) {
        if self.changes.receiver_count() > 0 {
            let _listeners = self.changes.send(tiding());
        }
    }

    /// Everything told from now on.
    pub fn listen(&self) -> broadcast::Receiver<Tiding> {
        self.changes.subscribe()
    }

    /// Says that all there was has been listed.
    pub fn tell_listed(&self) {
        self.listed.send_replace(true);
    }

    /// Whether all there was has been listed: before, what is not in the store may well be there.
    pub fn is_listed(&self) -> bool {
        *self.listed.borrow()
    }

    /// Waits for that.
    pub async fn wait_listed(&self) {
        // This very value holds the sender, so it cannot be gone.
        let mut told = self.listed.subscribe();
        let _listed = told.wait_for(|listed| *listed).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_for_the_list_is_told_however_many_wait_and_ask() {
        let tidings = Tidings::default();
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let tidings = tidings.clone();
                tokio::spawn(async move { tidings.wait_listed().await })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(!tidings.is_listed());
        tidings.tell_listed();
        for waiting in waiting {
            waiting.await.unwrap();
        }
        assert!(tidings.is_listed());
    }
}
