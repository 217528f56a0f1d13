//! Keeps one certificate good for as long as the process runs: reads the shared Secret, issues where that is due,
//! presents what is good, and tells the CA to whoever hands it out.

use std::sync::Arc;
use std::time::Duration;

use smartops_process::BoxError;
use smartops_process::client;
use smartops_process::clock::Clock;
use smartops_process::health::Handle;
use smartops_process::shutdown::Shutdown;
use tokio::sync::watch;

use crate::bundle::{Bundle, Inspection, Names, inspect, verify};
use crate::callers::Callers;
use crate::issue::{self, Lifetimes};
use crate::metrics::CertificateMetrics;
use crate::resolver::{self, Resolver};
use crate::rotate::{Decision, decide};
use crate::store::{Store, Written};

/// How often the Secret is read and decided about. Reading one object costs less than the right to watch Secrets.
/// For this long after another replica renewed, both certificates are presented; they have the same CA, unless that
/// was issued anew as well.
const INTERVAL: Duration = Duration::from_secs(10);
/// The pause after a failure.
const RETRY: Duration = Duration::from_secs(2);
/// How often a write that somebody else raced is tried again before that counts as a failure.
const RACES: usize = 8;

/// Why no good certificate is presented.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// Issuing.
    #[error(transparent)]
    Issue(#[from] issue::Error),
    /// TLS.
    #[error(transparent)]
    Resolver(#[from] resolver::Error),
    /// A caller would not accept it.
    #[error("the certificate does not verify against its CA: {0}")]
    Verify(String),
    /// Others kept writing in between.
    #[error("the Secret {0:?} was written by others each time: trying again")]
    Raced(String),
}

/// Whence the certificate comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// It is issued here, by the replica that leads, for this long.
    SelfManaged(Lifetimes),
    /// Somebody else keeps it in the Secret, which is only read.
    Secret,
}

/// What a keeper works with.
#[derive(Debug)]
pub struct Keeper {
    /// The Secret.
    pub store: Store,
    /// Who fills it.
    pub source: Source,
    /// The names wanted.
    pub names: Names,
    /// Where the certificate is presented.
    pub resolver: Arc<Resolver>,
    /// Told ready while a certificate is presented that verifies.
    pub ready: Handle,
    /// Told what callers must trust, PEM, whenever it changes: the current CA first, then former ones still needed.
    /// Whatever is told here vouches for what is presented at that moment.
    pub authority: watch::Sender<Option<Arc<str>>>,
    /// Whether this replica leads: only the leader writes.
    pub leading: watch::Receiver<bool>,
    /// Those who must trust the certificate before it is presented. None: they look the CA up by themselves.
    pub callers: Option<Callers>,
    /// What is counted.
    pub metrics: CertificateMetrics,
}

impl Keeper {
    /// Runs until the stop.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), BoxError> {
        loop {
            let pause = match self.ensure().await {
                Ok(()) => {
                    self.ready.ready();
                    INTERVAL
                }
                Err(error) => {
                    tracing::warn!(%error, "no good certificate: trying again");
                    // What is presented stays good until it is replaced: an API server that is away for a moment must
                    // not take every replica out of service.
                    if self.authority.borrow().is_none() {
                        self.ready.not_ready(error.to_string());
                    }
                    RETRY
                }
            };
            tokio::select! {
                () = shutdown.stopping() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Reads, decides, issues where due, and presents.
    async fn ensure(&self) -> Result<(), Error> {
        let lifetimes = match self.source {
            Source::SelfManaged(lifetimes) => lifetimes,
            Source::Secret => Lifetimes::default(),
        };
        for _ in 0..RACES {
            let now = Clock.now();
            let stored = self.store.load().await?;
            let bundle = stored.as_ref().and_then(|s| s.bundle.as_ref().ok());
            let inspection = stored.as_ref().map(|s| match &s.bundle {
                Ok(bundle) => inspect(bundle),
                Err(damage) => Inspection::unreadable(damage),
            });
            let decision = decide(inspection.as_ref(), &self.names, now);
            let (fresh, reason) = match (decision, bundle) {
                (Decision::Keep, Some(bundle)) => return self.present(bundle),
                (Decision::Certificate(reason), Some(former)) => {
                    (issue::certificate(former, &self.names, lifetimes, now)?, reason)
                }
                (Decision::All(reason) | Decision::Certificate(reason), _) => {
                    (issue::all(&self.names, lifetimes, now)?, reason)
                }
                // `Keep` is only ever decided about a bundle.
                (Decision::Keep, None) => continue,
            };
            if self.store.save(stored.as_ref(), &fresh).await? == Written::Stored {
                tracing::info!(secret = self.store.name(), %reason, "certificate issued");
                return self.present(&fresh);
            }
        }
        Err(Error::Raced(self.store.name().to_owned()))
    }

    fn present(&self, bundle: &Bundle) -> Result<(), Error> {
        verify(bundle, &self.names, Clock.now()).map_err(Error::Verify)?;
        self.resolver.present(bundle)?;
        self.authority.send_if_modified(|former| {
            let changed = former.as_deref() != Some(bundle.authority.as_str());
            if changed {
                *former = Some(Arc::from(bundle.authority.as_str()));
            }
            changed
        });
        Ok(())
    }
}
