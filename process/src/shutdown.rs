//! The two moments of a stop: draining (everything still works, clients are asked to go) and stopping (finish what
//! is in flight, take nothing new).

use tokio_util::sync::CancellationToken;

/// Both moments, as tokens that everybody may wait for. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    draining: CancellationToken,
    stopping: CancellationToken,
}

impl Shutdown {
    /// Neither has come.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serving goes on, but every answer asks its client to close.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// Nothing new is taken; implies [`Shutdown::drain`].
    pub fn stop(&self) {
        self.draining.cancel();
        self.stopping.cancel();
    }

    /// Whether the drain has begun.
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Whether the stop has begun.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Waits for the stop to begin.
    pub async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// The token of the stop, for what wants one.
    pub fn stopping_token(&self) -> CancellationToken {
        self.stopping.clone()
    }
}
