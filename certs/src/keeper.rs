//! Keeps one certificate good for as long as the process runs: reads the shared Secret, issues where that is due and this
//! replica leads, presents what is good, and tells what to trust to whoever hands that out. What to do is decided by
//! `look` and `overlap`; here it is done.

mod failure;
mod memory;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use smartops_process::clock::Clock;
use smartops_process::health::Handle;
use smartops_process::shutdown::Shutdown;
use smartops_process::{BoxError, failpoint};
use tokio::sync::watch;

pub use self::failure::Error;

use self::memory::Memory;
use crate::bundle::{Bundle, Names};
use crate::callers::Callers;
use crate::content::Content;
use crate::inspect::inspect;
use crate::issue::{self, Lifetimes};
use crate::look::{self, Ahead, Anew, Storing};
use crate::metrics::CertificateMetrics;
use crate::overlap::{Sightings, Turn};
use crate::resolver::Resolver;
use crate::rotate::{self, Reason, Wanted};
use crate::served::Served;
use crate::store::{Store, Stored, Written};

/// The pause after a failure.
const RETRY: Duration = Duration::from_secs(2);
/// How often a write that somebody else raced is tried again before that counts as a failure.
const RACES: usize = 8;

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
    /// Told ready while a certificate is presented that is valid.
    pub ready: Handle,
    /// Told what callers must trust, PEM, whenever it changes: the current CA first, then former ones still needed.
    /// Whatever is told here vouches for what is presented at that moment, unless nothing knows any more what does.
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
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), BoxError> {
        let mut memory = Memory::new();
        loop {
            let looked = self.look(&mut memory).await;
            let pause = self.tell(&mut memory, looked);
            let (leading, callers) = (&mut self.leading, &mut self.callers);
            tokio::select! {
                () = shutdown.stopping() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
                () = changes(Some(leading)) => {}
                () = changes(callers.as_mut().map(|callers| &mut callers.trusted)) => {}
            }
        }
    }

    /// Tells what came of a look, and how long to pause.
    fn tell(&self, memory: &mut Memory, looked: Result<Duration, Error>) -> Duration {
        let failure = looked.as_ref().err().map(ToString::to_string);
        if let Err(error) = &looked {
            self.metrics.errors.with_label_values(&[error.kind()]).inc();
            if memory.failure != failure {
                tracing::warn!(%error, "the certificate could not be looked after: trying again");
            }
        } else if memory.failure.is_some() {
            tracing::info!("the certificate is looked after again");
        }
        // What is presented stays good until it ends: an API server that is away for a moment, or a Secret that somebody
        // broke, must not take a replica out of service.
        if memory.presented.as_ref().is_some_and(|p| p.validity.holds(Clock.now())) {
            self.ready.ready();
        } else {
            self.ready.not_ready(
                failure.clone().unwrap_or_else(|| "the leader has not stored one yet".to_owned()),
            );
        }
        memory.failure = failure;
        looked.unwrap_or(RETRY)
    }

    /// Reads, decides, issues where that is due, and presents. How long to pause.
    async fn look(&mut self, memory: &mut Memory) -> Result<Duration, Error> {
        if let Some(callers) = &mut self.callers {
            let trusted = callers.trusted.borrow_and_update().clone();
            memory.trust.note(trusted.as_deref(), Clock.now());
        }
        match self.source {
            Source::SelfManaged(lifetimes) => {
                let wanted = Wanted { names: self.names.clone(), lifetimes };
                self.look_after_own(memory, &wanted).await
            }
            Source::Secret => self.look_at_foreign(memory).await,
        }
    }

    async fn look_after_own(
        &mut self,
        memory: &mut Memory,
        wanted: &Wanted,
    ) -> Result<Duration, Error> {
        // One write a look: what is stored is read back before anything is made of it, and never written in circles.
        let mut may_write = *self.leading.borrow_and_update();
        for _ in 0..RACES {
            let now = Clock.now();
            let stored = self.store.load().await?;
            let content = stored.content();
            let handed_out = if may_write { self.handed_out(&content).await? } else { Vec::new() };
            let known = (memory.presented.as_ref(), handed_out.as_slice());
            let storing = look::storing(&content, known, &memory.sightings, wanted, now);
            match storing
                .map_err(|why| Error::Foreign(format!("{:?}: {why}", self.store.name())))?
            {
                Some(storing) if may_write => {
                    if self.save(stored, storing, wanted, now).await? == Written::Stored {
                        may_write = false;
                    }
                }
                _ => return self.present_own(memory, &content, wanted).await,
            }
        }
        Err(Error::Raced(self.store.name().to_owned()))
    }

    /// The CAs callers trust, where what is stored is lost and does not tell.
    async fn handed_out(&self, content: &Content) -> Result<Vec<String>, Error> {
        match (content, &self.callers) {
            (Content::Empty | Content::Damaged(_), Some(callers)) => {
                Ok(callers.bundles.authorities().await?)
            }
            _ => Ok(Vec::new()),
        }
    }

    async fn present_own(
        &self,
        memory: &mut Memory,
        content: &Content,
        wanted: &Wanted,
    ) -> Result<Duration, Error> {
        let (now, lifetime) = (Clock.now(), wanted.lifetimes.certificate);
        let leads = *self.leading.borrow();
        let calm = Ahead { turn: Turn::Stands, due: None, is_sighting: false, lifetime };
        let kept = match content {
            Content::Ours(kept) => kept,
            // The leader makes it.
            Content::Empty if !leads => return Ok(look::pause(&calm, now)),
            Content::Empty => return Err(self.unusable("it is empty")),
            Content::Damaged(why) | Content::Foreign(why) => return Err(self.unusable(why)),
        };
        let served = Served::own(&kept.bundle, now).map_err(|why| self.unusable(&why))?;
        let turn = self.present(memory, &served, kept.bundle.trusted(), now)?;
        let is_sighting = leads
            && !kept.bundle.former.is_empty()
            && self.sight(memory, &served.authority, &kept.bundle.authority).await;
        let due = leads.then(|| rotate::due(&inspect(&kept.bundle), wanted)).flatten();
        Ok(look::pause(&Ahead { turn, due, is_sighting, lifetime }, now))
    }

    async fn look_at_foreign(&mut self, memory: &mut Memory) -> Result<Duration, Error> {
        let now = Clock.now();
        let leads = *self.leading.borrow_and_update();
        let kept = self.store.load().await?.foreign().map_err(|why| self.unusable(&why))?;
        let (served, others) =
            Served::foreign(&kept, &self.names, now).map_err(|why| self.unusable(&why))?;
        let lifetime = memory::FOREIGN_INTERVAL * 5;
        let former = memory.remember(&served, now);
        let mut beside = others;
        beside.extend(former.authorities.iter().cloned());
        let is_followed = !former.authorities.is_empty();
        let bundle = crate::bundle::trusted(&served.authority, &beside);
        let turn = self.present(memory, &served, bundle, now)?;
        let authority = served.authority.as_str();
        let is_sighting = leads && is_followed && self.sight(memory, authority, authority).await;
        Ok(look::pause(&Ahead { turn, due: None, is_sighting, lifetime }, now))
    }

    /// Looks whether every place serves under the current CA; false where nobody can tell.
    async fn sight(&self, memory: &mut Memory, presented: &str, current: &str) -> bool {
        let Some(callers) = &self.callers else { return false };
        if memory.presented.as_ref().is_none_or(|p| p.authority != presented) {
            return false;
        }
        let serving = callers.places.serve(presented).await;
        tracing::debug!(?serving, "looked whether every place serves under the current CA");
        memory.sightings.note(current, &serving, Clock.now());
        true
    }

    /// Issues and stores.
    async fn save(
        &self,
        before: Stored,
        storing: Storing,
        wanted: &Wanted,
        now: Timestamp,
    ) -> Result<Written, Error> {
        let (names, lifetimes) = (&wanted.names, wanted.lifetimes);
        let (bundle, issued): (Bundle, Vec<(&str, Reason)>) = match storing.anew {
            Anew::All(reason) => {
                let issued = vec![("ca", reason.clone()), ("serving", reason)];
                (issue::all(names, lifetimes, now)?, issued)
            }
            Anew::Certificate(reason, kept) => {
                let (authority, key) = (&kept.bundle.authority, &kept.bundle.authority_key);
                let bundle = issue::certificate(authority, key, names, lifetimes, now)?;
                (bundle, vec![("serving", reason)])
            }
            Anew::Nothing(kept) => (kept.bundle, Vec::new()),
        };
        let bundle = Bundle { former: storing.former.authorities, ..bundle };
        failpoint::hit("certificate-before-store");
        let written = self.store.save(before, &bundle, storing.former.until).await?;
        if written == Written::Stored {
            failpoint::hit("certificate-stored");
            let secret = self.store.name();
            for (certificate, reason) in &issued {
                self.metrics.rotations.with_label_values(&[*certificate, reason.label()]).inc();
                tracing::info!(secret, certificate, %reason, "certificate issued");
            }
            if issued.is_empty() {
                let former = bundle.former.len();
                tracing::info!(secret, former, "former CAs, or the mark, stored anew");
            }
        }
        Ok(written)
    }

    /// Presents what is stored when its turn has come, and tells what to trust.
    fn present(
        &self,
        memory: &mut Memory,
        stored: &Served,
        bundle: String,
        now: Timestamp,
    ) -> Result<Turn, Error> {
        let turn = memory.turn(stored, self.callers.is_some(), now);
        if turn == Turn::Now {
            self.resolver.present_chain(stored.chain.as_bytes(), stored.key.as_bytes())?;
            failpoint::hit("certificate-presented");
            let until = stored.validity.until;
            tracing::info!(secret = self.store.name(), %until, "certificate presented");
            let expiry = |certificate: &str, until: Timestamp| {
                self.metrics.expiry.with_label_values(&[certificate]).set(until.as_second());
            };
            expiry("ca", stored.authority_until);
            expiry("serving", until);
            memory.presented = Some(stored.clone());
            // What was seen before says nothing of a CA that was presented in between.
            memory.sightings = Sightings::default();
        }
        // Told last: what is handed out is to vouch for what is presented by then.
        self.authority.send_if_modified(|told| {
            let changed = told.as_deref() != Some(bundle.as_str());
            if changed {
                *told = Some(Arc::from(bundle));
            }
            changed
        });
        Ok(turn)
    }

    fn unusable(&self, why: &str) -> Error {
        Error::Unusable { name: self.store.name().to_owned(), why: why.to_owned() }
    }
}

/// Waits until something else is told; for ever where nothing is or can be.
async fn changes<T>(told: Option<&mut watch::Receiver<T>>) {
    if let Some(told) = told
        && told.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}
