//! Keeps SmartOps' registrations as configuration, policies and the certificate's authority ask for. The leader writes
//! them, once somebody serves them and no longer than the webhook is here to stay; every replica looks, and is not ready
//! while one of them distrusts it. What they should hold is worked out in `guard`.

mod bundles;
mod leader;
mod opening;
mod order;
mod plan;
mod reached;
mod seen;
mod standing;
mod trial;
mod trust;
mod writing;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::runtime::watcher;
use kube::{Api, Client};
use smartops_guard::registration::Reach;
use smartops_process::BoxError;
use smartops_process::health::{Handle, Readiness};
use smartops_process::lease::Leadership;
use smartops_process::shutdown::Shutdown;
use smartops_process::watch::{Watch, WatchMetrics};
use tokio::sync::watch;
use tokio::time::Instant;

use self::leader::{Memory, State};
use self::seen::Seen;
use self::standing::{Key, Kind, Standing};
use self::trust::Authority;
pub use self::writing::counter;
use crate::home::Ground;
use crate::metrics::WebhookMetrics;
use crate::places::Doors;
use crate::snapshot::Board;
use crate::told::Alarm;
use crate::upkeep::Absences;
use crate::vap::Backing;

/// The pause after a pass that did not come to its end.
const RETRY: Duration = Duration::from_secs(1);

/// What every part of a registrar is given.
#[derive(Debug)]
pub struct Inputs {
    /// What is in force.
    pub board: Arc<Board>,
    /// What callers must trust, PEM, whenever it changes. Whatever is told here vouches for what is presented.
    pub authority: watch::Receiver<Option<Arc<str>>>,
    /// Told what of that every caller trusts by now.
    pub trusted: watch::Sender<Option<Arc<str>>>,
    /// Whether this replica leads, and whether that is certain when something is written.
    pub leadership: Leadership,
    /// Whether the webhook is here to stay.
    pub ground: watch::Receiver<Ground>,
    /// Whether anything holds of people's rules while no webhook answers.
    pub backing: Arc<Backing>,
    /// How the API server reaches the webhook, whatever stands.
    pub reach: Reach,
    /// Where it comes out.
    pub doors: Arc<Doors>,
}

/// Keeps the registrations.
pub struct Registrar {
    client: Client,
    inputs: Inputs,
    trusted: Handle,
    watched: [Handle; 2],
    seen: Arc<Seen>,
    alarm: Alarm,
    metrics: WebhookMetrics,
}

impl std::fmt::Debug for Registrar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registrar").finish_non_exhaustive()
    }
}

impl Registrar {
    /// Writes through this client.
    pub fn new(client: Client, inputs: Inputs, readiness: &Readiness, alarm: Alarm) -> Self {
        let metrics = alarm.metrics.clone();
        Self {
            client,
            inputs,
            trusted: readiness.handle("ca-bundles"),
            watched: [
                readiness.handle("validating-registrations"),
                readiness.handle("mutating-registrations"),
            ],
            seen: Arc::default(),
            alarm,
            metrics,
        }
    }

    /// Runs until the stop.
    pub async fn run(self, watches: WatchMetrics, shutdown: Shutdown) -> Result<(), BoxError> {
        let validating = Watch::<ValidatingWebhookConfiguration> {
            name: "validating-registrations",
            api: Api::all(self.client.clone()),
            config: watcher::Config::default(),
            ready: self.watched[0].clone(),
            metrics: watches.clone(),
        };
        let mutating = Watch::<MutatingWebhookConfiguration> {
            name: "mutating-registrations",
            api: Api::all(self.client.clone()),
            config: watcher::Config::default(),
            ready: self.watched[1].clone(),
            metrics: watches,
        };
        let (one, two) = (Arc::clone(&self.seen), Arc::clone(&self.seen));
        tokio::try_join!(
            validating.run(shutdown.clone(), move |event| one.see(Kind::Validating, event)),
            mutating.run(shutdown.clone(), move |event| two.see(Kind::Mutating, event)),
            async {
                self.keep(shutdown).await;
                Ok(())
            },
        )?;
        Ok(())
    }

    async fn keep(&self, shutdown: Shutdown) {
        let mut authority = self.inputs.authority.clone();
        let mut leading = self.inputs.leadership.changes();
        let mut ground = self.inputs.ground.clone();
        let mut changes = self.inputs.board.changes();
        let mut backed = self.inputs.backing.stands();
        let (mut memory, mut absences) = (Memory::default(), Absences::of_installed());
        loop {
            let bundle = authority.borrow_and_update().clone();
            let stays = ground.borrow_and_update().clone();
            let leads = *leading.borrow_and_update();
            changes.mark_unchanged();
            backed.mark_unchanged();
            if !leads || matches!(stays, Ground::Leaves(_)) {
                memory = Memory::default();
                self.metrics.reached.set(0);
                self.inputs.backing.tell_registered(None);
            }
            let state = State { leads, is_draining: shutdown.is_draining(), ground: &stays };
            let again = self.pass(bundle.as_ref(), &state, &mut memory, &mut absences).await;
            let paused = async {
                match again {
                    Some(again) => tokio::time::sleep_until(again).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shutdown.stopping() => return,
                () = self.seen.changed() => {}
                told = authority.changed() => if told.is_err() { return; },
                told = leading.changed() => if told.is_err() { return; },
                told = ground.changed() => if told.is_err() { return; },
                told = backed.changed() => if told.is_err() { return; },
                told = changes.changed() => if told.is_err() { return; },
                () = paused => {}
            }
        }
    }

    /// Writes what is due, and says whether the webhook is trusted. When to look again, if nothing happens before.
    async fn pass(
        &self,
        bundle: Option<&Arc<str>>,
        state: &State<'_>,
        memory: &mut Memory,
        absences: &mut Absences<Key>,
    ) -> Option<Instant> {
        if !self.watched.iter().all(Handle::is_ready) {
            self.tell_trust(Some("the registrations have not been read yet".to_owned()));
            return None;
        }
        absences.look(self.seen.all().keys(), Instant::now());
        let authority = match bundle.map(Authority::read).transpose() {
            Ok(authority) => authority,
            Err(error) => {
                tracing::error!(error, "the registrations stay as they are");
                None
            }
        };
        let again = match self.write_due(authority.as_ref(), state, memory, absences).await {
            Ok(again) => again,
            Err(error) => {
                tracing::warn!(%error, "a registration was not written: trying again");
                Some(Instant::now() + RETRY)
            }
        };
        if let Some(authority) = &authority {
            self.tell_trusted(authority);
        }
        self.tell_trust(match &authority {
            Some(authority) => self.distrusting(authority),
            None => Some("no certificate yet".to_owned()),
        });
        // Last, because it waits for the API server's patience where nobody is reached.
        let look = self.look_again(state, memory).await;
        again.into_iter().chain(look).min()
    }

    /// Which registrations do not trust this authority, and so what is presented under it; `None` where all that ask do.
    /// One that is not there, or asks about nothing, calls nobody.
    fn distrusting(&self, authority: &Authority) -> Option<String> {
        let all = self.seen.all();
        let distrusts = all.values().filter(|standing| !standing.trusts(authority));
        let names: Vec<String> =
            distrusts.map(Standing::key).map(|(kind, name)| format!("{name} ({kind:?})")).collect();
        if names.is_empty() {
            return None;
        }
        Some(format!("the leader has not put the CA into {}", names.join(", ")))
    }

    /// Tells what of the bundle stands in every entry: what is not in one of them is not trusted by whoever calls by it.
    fn tell_trusted(&self, authority: &Authority) {
        let all = self.seen.all();
        let trusted = authority.shared(all.values().flat_map(Standing::bundles));
        self.inputs.trusted.send_if_modified(|told| {
            let is_new = *told != trusted;
            *told = trusted;
            is_new
        });
    }

    /// Says whether it is ready. Once it is it stays so: a registration that somebody edits takes no healthy webhook out
    /// of service.
    fn tell_trust(&self, missing: Option<String>) {
        match missing {
            _ if self.trusted.is_ready() => {}
            None => self.trusted.ready(),
            Some(why) => self.trusted.not_ready(why),
        }
    }
}
