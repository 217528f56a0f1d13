//! What the watch of Remediations shows, told to whoever listens in this process. Whoever is too slow misses some and is
//! told so: the store has what there is.

use std::sync::Arc;

use smartops_common::remediation::Remediation;
use tokio::sync::broadcast;

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

/// Where changes are told. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tidings(broadcast::Sender<Tiding>);

impl Default for Tidings {
    fn default() -> Self {
        Self(broadcast::Sender::new(BEHIND))
    }
}

impl Tidings {
    /// Tells whoever listens; nobody listening is no failure.
    pub fn tell(&self, tiding: impl FnOnce() -> Tiding) {
        if self.0.receiver_count() > 0 {
            let _listeners = self.0.send(tiding());
        }
    }

    /// Everything told from now on.
    pub fn listen(&self) -> broadcast::Receiver<Tiding> {
        self.0.subscribe()
    }
}
