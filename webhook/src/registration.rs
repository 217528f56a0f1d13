//! Keeps SmartOps' registrations as configuration, policies and the certificate's authority ask for. The leader writes
//! them, once somebody serves them and no longer than the webhook is here to stay; every replica looks, and is not ready
//! while one of them distrusts it. What they should hold is worked out in `guard`.

mod opening;
mod plan;
mod reached;
mod seen;
mod standing;
mod trial;
mod trust;
mod writing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::runtime::watcher;
use kube::{Api, Client};
use smartops_common::config::Outage;
use smartops_common::names;
use smartops_guard::policy::Flaw;
use smartops_guard::registration::{Demand, Reach, registrations};
use smartops_process::BoxError;
use smartops_process::health::{Handle, Readiness};
use smartops_process::lease::Leadership;
use smartops_process::shutdown::Shutdown;
use smartops_process::watch::{Watch, WatchMetrics};
use tokio::sync::watch;
use tokio::time::Instant;

use self::reached::Reached;
use self::seen::Seen;
use self::standing::{Key, Kind, Standing};
use self::trial::Way;
use self::trust::Authority;
use self::writing::Unwritten;
pub use self::writing::counter;
use crate::home::Ground;
use crate::metrics::WebhookMetrics;
use crate::places::Doors;
use crate::snapshot::{Board, Snapshot};
use crate::told::Alarm;
use crate::upkeep::{Absences, Repairs};
use crate::vap::Backing;

/// The pause after a pass that did not come to its end.
const RETRY: Duration = Duration::from_secs(1);
/// How often it is looked whether the Service leads to a replica that is ready, before the first registration is filled.
const LOOK: Duration = Duration::from_millis(500);
/// So long after a replica is known to be reached the way to it is open everywhere: those who carry calls to a Service
/// learn of it one after the other.
const SETTLE: Duration = Duration::from_secs(1);

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
    /// How the API server reaches the webhook; where nothing is said, what stands is kept.
    pub reach: Option<Reach>,
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

/// What the leader remembers between passes.
#[derive(Debug, Default)]
struct Memory {
    reach: Option<Reach>,
    /// What it last brought about.
    wanted: Option<Vec<Standing>>,
    /// Whether they let people's writes pass that nobody answers.
    is_open: Option<bool>,
    repairs: BTreeMap<Key, Repairs>,
    told: Option<Flaw>,
    reached: Reached,
    open: Open,
}

/// Since when the Service leads to a replica that is ready.
#[derive(Debug, Default)]
struct Open {
    since: Option<Instant>,
    /// Whether it was told that it does not.
    waits: bool,
}

impl Memory {
    /// Takes note of what stands now.
    fn brought(&mut self, outage: Outage, wanted: Vec<Standing>) {
        self.wanted = Some(wanted);
        self.is_open = Some(outage != Outage::Fail);
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
        let (mut memory, mut absences) = (Memory::default(), Absences::default());
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
        again
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

    /// Writes what the leader has to. When to look again, if nothing happens before.
    async fn write_due(
        &self,
        authority: Option<&Authority>,
        state: &State<'_>,
        memory: &mut Memory,
        absences: &Absences<Key>,
    ) -> Result<Option<Instant>, Unwritten> {
        if !state.leads {
            return Ok(None);
        }
        let may_restore = match state.ground {
            Ground::Unknown => return Ok(None),
            Ground::Leaves(why) => return self.empty(why).await.map(|()| None),
            Ground::Stands { may_restore, .. } => *may_restore,
        };
        // Whoever leads next writes; what would be written now might outlive everybody who serves it.
        let Some(authority) = authority.filter(|_| !state.is_draining) else {
            return Ok(None);
        };
        let Some(snapshot) = self.inputs.board.snapshot() else { return Ok(None) };
        let reach = self.reach(memory);
        let standing = (state.ground, may_restore);
        match self.way((authority, &reach), standing, memory, absences).await? {
            Way::Open => {}
            Way::Waits(until) => return Ok(until),
        }
        let Some((outage, wanted)) =
            self.wanted(&snapshot, (authority, &reach), state.ground, memory)
        else {
            return Ok(None);
        };
        let is_drift = memory.wanted.as_ref() == Some(&wanted);
        let seen = self.seen.all();
        let written = wanted.iter().map(|standing| {
            standing.clone().leaving_injected(seen.get(&standing.key()), authority)
        });
        let due = standing::due(&written.collect::<Vec<_>>(), &seen, is_drift);
        let flags = (is_drift, may_restore);
        let plan = plan::plan(due, &seen, absences, &memory.repairs, flags, Instant::now());
        let (mut failed, mut error) = (BTreeSet::new(), None);
        for standing in &plan.now {
            let key = standing.key();
            if plan::waits_for_failed(&key, &plan.now, &failed) {
                continue;
            }
            let written = if is_drift {
                memory.repairs.entry(key.clone()).or_default().note(Instant::now());
                self.repair(standing).await
            } else {
                self.change(standing).await
            };
            if let Err(why) = written {
                failed.insert(key);
                error.get_or_insert(why);
            }
        }
        if let Some(error) = error {
            return Err(error);
        }
        memory.brought(outage, wanted);
        self.inputs.backing.tell_registered(Some(outage));
        Ok(plan.later)
    }

    /// Takes everything out of the registrations that stand: nobody will be left to answer them.
    async fn empty(&self, why: &'static str) -> Result<(), Unwritten> {
        let mut emptied = Ok(());
        for standing in self.seen.all().values().filter(|standing| standing.is_filled()) {
            emptied = emptied.and(self.clear(standing, why).await);
        }
        emptied
    }

    /// How the API server reaches the webhook.
    fn reach(&self, memory: &mut Memory) -> Reach {
        let reach = self.inputs.reach.clone().or_else(|| memory.reach.clone());
        let reach = reach.unwrap_or_else(|| {
            let seen = self.seen.all();
            expected().find_map(|key| seen.get(&key)?.reach()).unwrap_or(Reach::Service)
        });
        memory.reach = Some(reach.clone());
        reach
    }

    /// What should stand, and what it says of an outage; `None` where the configuration asks for more than can be said.
    fn wanted(
        &self,
        snapshot: &Snapshot,
        (authority, reach): (&Authority, &Reach),
        ground: &Ground,
        memory: &mut Memory,
    ) -> Option<(Outage, Vec<Standing>)> {
        let is_open = memory.is_open.unwrap_or_else(|| {
            let key = (Kind::Validating, names::PEOPLE_REGISTRATION.to_owned());
            self.seen.all().get(&key).is_some_and(Standing::lets_pass)
        });
        let mut config = snapshot.config.clone();
        let is_backed = *self.inputs.backing.stands().borrow();
        config.people.outage = opening::outage(config.people.outage, is_open, is_backed);
        let outage = config.people.outage;
        let demands: Vec<&Demand> = snapshot.demands.iter().map(AsRef::as_ref).collect();
        match registrations(&config, &demands, reach, Some(authority.bundle().as_bytes())) {
            Ok(wanted) => {
                memory.told = None;
                let owner = ground.owner();
                let all = standing::all(&wanted).into_iter();
                Some((outage, all.map(|standing| standing.owned_by(owner.as_ref())).collect()))
            }
            Err(flaw) => {
                if memory.told.as_ref() != Some(&flaw) {
                    tracing::error!(
                        field = flaw.field,
                        reason = flaw.reason,
                        "the SmartOpsConfig cannot be registered: the registrations stay as they are"
                    );
                    memory.told = Some(flaw);
                }
                None
            }
        }
    }
}

/// What a pass goes by.
#[derive(Debug, Clone, Copy)]
struct State<'g> {
    leads: bool,
    is_draining: bool,
    ground: &'g Ground,
}

/// Every registration there should be.
fn expected() -> impl Iterator<Item = Key> {
    let kinds = [Kind::Validating, Kind::Mutating].into_iter();
    kinds.flat_map(|kind| names::REGISTRATIONS.map(|name| (kind, name.to_owned())))
}
