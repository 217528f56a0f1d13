//! Keeps SmartOps' registrations as configuration, policies and the certificate's authority ask for. The leader writes
//! them; every replica looks, and is not ready before it is trusted by all of them. What they should hold is worked
//! out in `guard`.

mod opening;
mod seen;
mod standing;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::runtime::watcher;
use kube::{Api, Client};
use prometheus::IntCounterVec;
use smartops_common::config::Outage;
use smartops_common::names;
use smartops_guard::policy::Flaw;
use smartops_guard::registration::{Demand, Reach, registrations};
use smartops_process::client::Error;
use smartops_process::health::{Handle, Readiness};
use smartops_process::shutdown::Shutdown;
use smartops_process::watch::{Watch, WatchMetrics};
use smartops_process::{BoxError, metrics};
use tokio::sync::watch;
use tokio::time::Instant;

use self::seen::Seen;
use self::standing::{Key, Kind, Standing};
use crate::metrics::WebhookMetrics;
use crate::snapshot::{Board, Snapshot};
use crate::told::Alarm;
use crate::upkeep::{self, Repairs};
use crate::vap::Backing;

/// The pause after a pass that did not come to its end.
const RETRY: Duration = Duration::from_secs(1);

/// What every part of a registrar is given.
#[derive(Debug)]
pub struct Inputs {
    /// What is in force.
    pub board: Arc<Board>,
    /// The CA, PEM, whenever it changes.
    pub authority: watch::Receiver<Option<Arc<str>>>,
    /// Whether this replica leads.
    pub leading: watch::Receiver<bool>,
    /// Whether anything holds of people's rules while no webhook answers.
    pub backing: Arc<Backing>,
    /// How the API server reaches the webhook; where nothing is said, what stands is kept.
    pub reach: Option<Reach>,
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
    repairs: Repairs,
    told: Option<Flaw>,
}

impl Memory {
    /// Takes note of what stands now.
    fn brought(&mut self, outage: Outage, wanted: Vec<Standing>) {
        self.wanted = Some(wanted);
        self.is_open = Some(outage != Outage::Fail);
    }
}

/// Why a pass is not the last.
#[derive(Debug)]
enum Unfinished {
    /// This has to come first; a watch or a channel tells when it does.
    Waits(&'static str),
    /// Look again then.
    Until(Instant),
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
        let mut leading = self.inputs.leading.clone();
        let mut changes = self.inputs.board.changes();
        let mut backed = self.inputs.backing.stands();
        let mut memory = Memory::default();
        loop {
            let ca = authority.borrow_and_update().clone();
            let leads = *leading.borrow_and_update();
            changes.mark_unchanged();
            backed.mark_unchanged();
            if !leads {
                memory = Memory::default();
                self.inputs.backing.tell_registered(None);
            }
            let again = self.pass(ca.as_deref(), leads, &mut memory).await;
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
                told = backed.changed() => if told.is_err() { return; },
                told = changes.changed() => if told.is_err() { return; },
                () = paused => {}
            }
        }
    }

    /// Writes what is due, and says whether the webhook is trusted. When to look again, if nothing happens before.
    async fn pass(&self, ca: Option<&str>, leads: bool, memory: &mut Memory) -> Option<Instant> {
        let unfinished = match self.write_due(ca, leads, memory).await {
            Ok(unfinished) => unfinished,
            Err(error) => {
                tracing::warn!(%error, "a registration was not written: trying again");
                Some(Unfinished::Until(Instant::now() + RETRY))
            }
        };
        // Once ready it stays so: a registration that somebody edits takes no healthy webhook out of service.
        if !self.trusted.is_ready() {
            match (self.untrusted(ca), &unfinished) {
                (None, _) => self.trusted.ready(),
                (Some(_), Some(Unfinished::Waits(why))) => self.trusted.not_ready(*why),
                (Some(why), _) => self.trusted.not_ready(why),
            }
        }
        match unfinished {
            Some(Unfinished::Until(again)) => Some(again),
            Some(Unfinished::Waits(_)) | None => None,
        }
    }

    /// Why the API server does not trust this webhook yet; `None` where it does.
    fn untrusted(&self, ca: Option<&str>) -> Option<String> {
        let Some(ca) = ca.map(str::as_bytes) else {
            return Some("no certificate yet".to_owned());
        };
        if !self.watched.iter().all(Handle::is_ready) {
            return Some("the registrations have not been read yet".to_owned());
        }
        let all = self.seen.all();
        let missing: Vec<String> = expected()
            .into_iter()
            .filter(|key| all.get(key).is_none_or(|standing| !standing.trusts(ca)))
            .map(|(kind, name)| format!("{name} ({kind:?})"))
            .collect();
        (!missing.is_empty()).then(|| format!("the leader has not written {}", missing.join(", ")))
    }

    async fn write_due(
        &self,
        ca: Option<&str>,
        leads: bool,
        memory: &mut Memory,
    ) -> Result<Option<Unfinished>, Error> {
        let Some(ca) = ca else { return Ok(Some(Unfinished::Waits("no certificate yet"))) };
        if !self.watched.iter().all(Handle::is_ready) {
            return Ok(Some(Unfinished::Waits("the registrations have not been read yet")));
        }
        if !leads {
            return Ok(None);
        }
        let Some(snapshot) = self.inputs.board.snapshot() else {
            return Ok(Some(Unfinished::Waits(
                "policies and configuration have not been read yet",
            )));
        };
        let Some((outage, wanted)) = self.wanted(&snapshot, ca, memory) else { return Ok(None) };
        let is_drift = memory.wanted.as_ref() == Some(&wanted);
        let due = standing::due(&wanted, &self.seen.all(), is_drift);
        if due.is_empty() {
            memory.brought(outage, wanted);
            self.inputs.backing.tell_registered(Some(outage));
            return Ok(None);
        }
        if is_drift {
            if let Some(pause) = memory.repairs.pause(Instant::now()) {
                return Ok(Some(Unfinished::Until(pause)));
            }
            memory.repairs.note(Instant::now());
        }
        let why = if is_drift { "drift" } else { "change" };
        for standing in &due {
            let writers = self.tell(standing, why);
            self.write(standing).await?;
            if is_drift {
                self.note(standing, &writers);
            }
        }
        memory.brought(outage, wanted);
        self.inputs.backing.tell_registered(Some(outage));
        Ok(None)
    }

    /// What should stand, and what it says of an outage; `None` where the configuration asks for more than can be said.
    fn wanted(
        &self,
        snapshot: &Snapshot,
        ca: &str,
        memory: &mut Memory,
    ) -> Option<(Outage, Vec<Standing>)> {
        let reach = self.inputs.reach.clone().or_else(|| memory.reach.clone());
        let reach = reach.unwrap_or_else(|| {
            let seen = self.seen.all();
            expected().iter().find_map(|key| seen.get(key)?.reach()).unwrap_or(Reach::Service)
        });
        memory.reach = Some(reach.clone());
        let is_open = memory.is_open.unwrap_or_else(|| {
            let key = (Kind::Validating, names::PEOPLE_REGISTRATION.to_owned());
            self.seen.all().get(&key).is_some_and(Standing::lets_pass)
        });
        let mut config = snapshot.config.clone();
        let is_backed = *self.inputs.backing.stands().borrow();
        config.people.outage = opening::outage(config.people.outage, is_open, is_backed);
        let outage = config.people.outage;
        let demands: Vec<&Demand> = snapshot.demands.iter().map(AsRef::as_ref).collect();
        match registrations(&config, &demands, &reach, Some(ca.as_bytes())) {
            Ok(wanted) => {
                memory.told = None;
                Some((outage, standing::all(&wanted)))
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

    /// Tells that one is written, and why. Who wrote what stood there.
    fn tell(&self, standing: &Standing, why: &'static str) -> String {
        let (kind, name) = standing.key();
        self.metrics.registration_writes.with_label_values(&[name.as_str(), why]).inc();
        if why == "drift" {
            let stands = self.seen.all().get(&(kind, name.clone())).map(Standing::last_writers);
            let writers = stands.map_or_else(|| "it was deleted".to_owned(), |w| w.join(", "));
            tracing::warn!(
                registration = name,
                ?kind,
                writers,
                "a registration was changed by somebody else: repaired"
            );
            return writers;
        }
        tracing::info!(registration = name, ?kind, "registration written");
        String::new()
    }

    /// Leaves an Event on one that was repaired.
    fn note(&self, standing: &Standing, writers: &str) {
        let key = standing.key();
        let stands = self.seen.all().get(&key).and_then(|stands| stands.metadata().uid.clone());
        let (named, uid) = ((key.0.as_str(), key.1.as_str()), stands.unwrap_or_default());
        upkeep::tell_of_repair(
            &self.alarm,
            "admissionregistration.k8s.io/v1",
            named,
            &uid,
            writers,
        );
    }

    /// Applies one registration; where others' entries or conditions remain in it, replaces it as a whole.
    async fn write(&self, wanted: &Standing) -> Result<(), Error> {
        let applied = match wanted {
            Standing::Validating(c) => upkeep::apply(&self.client, c.as_ref()).await?.into(),
            Standing::Mutating(c) => upkeep::apply(&self.client, c.as_ref()).await?.into(),
        };
        self.seen.wrote(Standing::clone(&applied));
        if applied.says_the_same(wanted) {
            return Ok(());
        }
        let replaced = match applied.with_entries_of(wanted) {
            Standing::Validating(c) => upkeep::replace(&self.client, *c).await?.map(Standing::from),
            Standing::Mutating(c) => upkeep::replace(&self.client, *c).await?.map(Standing::from),
        };
        if let Some(replaced) = replaced {
            self.seen.wrote(replaced);
        }
        Ok(())
    }
}

/// Every registration there should be.
fn expected() -> [Key; 6] {
    [
        (Kind::Validating, names::AUTOMATION_REGISTRATION.to_owned()),
        (Kind::Validating, names::PEOPLE_REGISTRATION.to_owned()),
        (Kind::Validating, names::OWN_REGISTRATION.to_owned()),
        (Kind::Mutating, names::AUTOMATION_REGISTRATION.to_owned()),
        (Kind::Mutating, names::PEOPLE_REGISTRATION.to_owned()),
        (Kind::Mutating, names::OWN_REGISTRATION.to_owned()),
    ]
}

/// The counter of written registrations.
pub fn counter(metrics: &metrics::Metrics) -> Result<IntCounterVec, metrics::Error> {
    metrics.counters(
        "smartops_webhook_registration_writes_total",
        "Registrations written: because what they should hold changed, or because somebody else changed them.",
        &["registration", "why"],
    )
}
