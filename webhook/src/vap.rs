//! Keeps what the API server judges by itself: SmartOps' own objects at all times, and while the configuration asks for
//! a backstop the rules of policies that can be written so. The leader writes it; what it holds is worked out in
//! `guard`.
//!
//! No replica waits for it to be ready: where it cannot be written the webhook judges all the same.

mod backing;
mod standing;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::api::{DeleteParams, Preconditions};
use kube::runtime::watcher;
use kube::{Api, Client};
use smartops_common::config::Outage;
use smartops_guard::exception::Exception;
use smartops_guard::policy::Flaw;
use smartops_guard::vap::{OWN_OBJECTS, Written, own_objects};
use smartops_process::BoxError;
use smartops_process::client::{Error, deadline};
use smartops_process::clock::Clock;
use smartops_process::health::{Handle, Readiness};
use smartops_process::lease::Leadership;
use smartops_process::shutdown::Shutdown;
use smartops_process::watch::{Watch, WatchMetrics};
use tokio::sync::watch;
use tokio::time::Instant;

pub use self::backing::{Backing, Lack, Lacking};
use self::standing::{Key, Kind, Object};
use self::work::{Brought, Step, Waiting, Why};
use crate::home::Ground;
use crate::metrics::WebhookMetrics;
use crate::snapshot::{Board, Snapshot};
use crate::told::Alarm;
use crate::upkeep::{self, Absences, CALL, Making, Repairs, Seen};

/// The pause after a pass that did not come to its end; it doubles with each that follows.
const RETRY: Duration = Duration::from_secs(1);
/// How often it doubles at most.
const DOUBLINGS: u32 = 3;
/// The longest it is waited for the next end of an exception; clocks are set meanwhile.
const LONGEST: Duration = Duration::from_mins(1);

/// What a keeper is given.
#[derive(Debug)]
pub struct Inputs {
    /// What is in force.
    pub board: Arc<Board>,
    /// What the registrations are told, and tell.
    pub backing: Arc<Backing>,
    /// Whether this replica leads.
    pub leadership: Leadership,
    /// Whether the webhook is here to stay.
    pub ground: watch::Receiver<Ground>,
}

/// Keeps the ValidatingAdmissionPolicies and their bindings.
pub struct Keeper {
    client: Client,
    board: Arc<Board>,
    backing: Arc<Backing>,
    leadership: Leadership,
    ground: watch::Receiver<Ground>,
    watched: [Handle; 2],
    seen: Arc<Seen<Object>>,
    alarm: Alarm,
    metrics: WebhookMetrics,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

/// What is remembered between passes.
#[derive(Debug, Default)]
struct Memory {
    /// As the leader.
    lead: Lead,
    absences: Absences<Key>,
    waiting: Waiting,
    told: Option<Flaw>,
}

/// What the leader remembers between passes.
#[derive(Debug, Default)]
struct Lead {
    brought: Brought,
    repairs: Repairs,
    /// Passes in a row that did not come to their end.
    failures: u32,
}

/// What should stand.
#[derive(Debug, Default)]
struct Wanted {
    objects: Vec<Object>,
    /// Names under which whatever stands is left alone, because what should cannot be told.
    kept: BTreeSet<String>,
    /// When it will be something else, because an exception ends.
    until: Option<Timestamp>,
}

impl Keeper {
    /// Writes through this client.
    pub fn new(client: Client, inputs: Inputs, alarm: Alarm, shutdown: &Shutdown) -> Self {
        let Inputs { board, backing, leadership, ground } = inputs;
        // Of its own, so that readiness does not hang on it.
        let listed = Readiness::new(shutdown.clone());
        let watched = ["admission-policies", "admission-bindings"].map(|name| listed.handle(name));
        let metrics = alarm.metrics.clone();
        let seen = Arc::default();
        Self { client, board, backing, leadership, ground, watched, seen, alarm, metrics }
    }

    /// Runs until the stop.
    pub async fn run(self, watches: WatchMetrics, shutdown: Shutdown) -> Result<(), BoxError> {
        let ours = watcher::Config::default().labels(&standing::selector());
        let policies = Watch::<ValidatingAdmissionPolicy> {
            name: "admission-policies",
            api: Api::all(self.client.clone()),
            config: ours.clone(),
            ready: self.watched[0].clone(),
            metrics: watches.clone(),
        };
        let bindings = Watch::<ValidatingAdmissionPolicyBinding> {
            name: "admission-bindings",
            api: Api::all(self.client.clone()),
            config: ours,
            ready: self.watched[1].clone(),
            metrics: watches,
        };
        let (one, two) = (Arc::clone(&self.seen), Arc::clone(&self.seen));
        tokio::try_join!(
            policies.run(shutdown.clone(), move |event| one.see(Kind::Policy, event)),
            bindings.run(shutdown.clone(), move |event| two.see(Kind::Binding, event)),
            async {
                self.keep(shutdown).await;
                Ok(())
            },
        )?;
        Ok(())
    }

    async fn keep(&self, shutdown: Shutdown) {
        let mut leading = self.leadership.changes();
        let mut ground = self.ground.clone();
        let mut changes = self.board.changes();
        let mut exceptions = self.board.exceptions().changes();
        let mut registered = self.backing.registered();
        let mut memory = Memory::default();
        loop {
            let leads = *leading.borrow_and_update();
            let stays = ground.borrow_and_update().clone();
            changes.mark_unchanged();
            exceptions.mark_unchanged();
            registered.mark_unchanged();
            if !leads {
                memory.lead = Lead::default();
                self.backing.tell_stands(false);
            }
            // Whoever leads next writes what would be written now.
            let is_draining = shutdown.is_draining() && !matches!(stays, Ground::Leaves(_));
            let again = self.pass(leads && !is_draining, &stays, &mut memory).await;
            let paused = async {
                match again {
                    Some(again) => tokio::time::sleep_until(again).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shutdown.stopping() => return,
                () = self.seen.changed() => {}
                told = leading.changed() => if told.is_err() { return; },
                told = ground.changed() => if told.is_err() { return; },
                told = changes.changed() => if told.is_err() { return; },
                told = registered.changed() => if told.is_err() { return; },
                told = exceptions.changed() => if told.is_err() { return; },
                () = paused => {}
            }
        }
    }

    /// Writes and removes what is due, where this replica leads, and tells what does not stand. When to look again, if
    /// nothing happens before.
    async fn pass(&self, leads: bool, ground: &Ground, memory: &mut Memory) -> Option<Instant> {
        if !self.watched.iter().all(Handle::is_ready) {
            return None;
        }
        memory.absences.look(self.seen.all().keys(), Instant::now());
        let may_restore = match ground {
            Ground::Unknown => return None,
            Ground::Leaves(_) => {
                // Nothing of it outlives the webhook that keeps it.
                self.backing.tell_stands(false);
                return if leads {
                    self.bring_about(&Wanted::default(), false, memory).await
                } else {
                    None
                };
            }
            Ground::Stands { may_restore, .. } => *may_restore,
        };
        let snapshot = self.board.snapshot()?;
        let is_asked_for = snapshot.config.people.outage == Outage::Backstop;
        if !is_asked_for {
            self.backing.tell_stands(false);
        }
        let now = Clock.now();
        let wanted = self.wanted(&snapshot, ground, now, memory);
        let mut again = wanted.until.map(|until| {
            let left = until.duration_since(now).max(SignedDuration::ZERO);
            Instant::now() + left.unsigned_abs().min(LONGEST)
        });
        if leads {
            let retry = self.bring_about(&wanted, may_restore, memory).await;
            again = again.into_iter().chain(retry).min();
        }
        let stands = self.seen.all();
        if leads && is_asked_for && wanted.objects.iter().all(|object| object.stands_in(&stands)) {
            self.backing.tell_stands(true);
        }
        let (lacking, next) = memory.waiting.told(&wanted.objects, &stands, Instant::now());
        self.backing.tell_lacking(lacking);
        again.into_iter().chain(next).min()
    }

    /// Writes and removes what is due, each for itself: what cannot be written stops nothing else. When to try again.
    async fn bring_about(
        &self,
        wanted: &Wanted,
        may_restore: bool,
        memory: &mut Memory,
    ) -> Option<Instant> {
        let Memory { lead, absences, .. } = memory;
        let stands = self.seen.all();
        for object in wanted.objects.iter().filter(|object| object.stands_in(&stands)) {
            lead.brought.note(object);
        }
        let mut due = lead.brought.due(&wanted.objects, &wanted.kept, &stands);
        let now = Instant::now();
        let mut deleted = None;
        due.retain(|step| {
            let key = step.object.key();
            if !step.is_write || stands.contains_key(&key) {
                return true;
            }
            let making = absences.making(&key, may_restore, now);
            if let Making::At(at) = making {
                deleted = deleted.into_iter().chain([at]).min();
            }
            making == Making::Now
        });
        let mut pause = None;
        if due.iter().any(|step| step.why != Why::Change) {
            pause = lead.repairs.pause(Instant::now());
            if pause.is_some() {
                due.retain(|step| step.why == Why::Change);
            } else {
                lead.repairs.note(Instant::now());
            }
        }
        let mut failed: BTreeSet<String> = BTreeSet::new();
        for step in &due {
            let (kind, name) = step.object.key();
            // No binding without its policy, and no policy taken from under its binding.
            if failed.contains(&name) {
                continue;
            }
            if !self.leadership.is_certain() {
                tracing::warn!(
                    "this replica is not certain any more that it leads: it writes nothing"
                );
                return Some(now + RETRY);
            }
            match self.take(*step, &stands).await {
                Ok(()) if step.is_write => lead.brought.note(step.object),
                Ok(()) => absences.forget(&(kind, name)),
                Err(error) => {
                    tracing::warn!(
                        %error,
                        name,
                        kind = kind.as_str(),
                        "what the API server judges by itself was not written: trying again"
                    );
                    failed.insert(name);
                }
            }
        }
        if !failed.is_empty() {
            let factor = 1 << lead.failures.min(DOUBLINGS);
            lead.failures = lead.failures.saturating_add(1);
            let retry = Instant::now() + RETRY * factor;
            return pause.into_iter().chain(deleted).chain([retry]).min();
        }
        lead.failures = 0;
        if pause.is_none() {
            lead.brought.settle(&wanted.objects, &wanted.kept, &stands);
        }
        pause.into_iter().chain(deleted).min()
    }

    /// Takes one step.
    async fn take(&self, step: Step<'_>, stands: &BTreeMap<Key, Object>) -> Result<(), Error> {
        let writers = self.tell(step, stands);
        if !step.is_write {
            return self.remove(step.object).await;
        }
        self.write(step.object).await?;
        if step.why == Why::Drift {
            self.note(step.object, &writers);
        }
        Ok(())
    }

    fn wanted(
        &self,
        snapshot: &Snapshot,
        ground: &Ground,
        now: Timestamp,
        memory: &mut Memory,
    ) -> Wanted {
        let mut wanted = Wanted::default();
        match own_objects(&snapshot.config) {
            Ok(own) => {
                let owner = ground.owner();
                wanted.objects.extend(objects(own).map(|object| object.owned_by(owner.as_ref())));
                memory.told = None;
            }
            Err(flaw) => {
                if memory.told.as_ref() != Some(&flaw) {
                    tracing::error!(
                        field = flaw.field,
                        reason = flaw.reason,
                        "who automation is cannot be said in a condition: what guards SmartOps' own objects stays as it is"
                    );
                    memory.told = Some(flaw);
                }
                wanted.kept.insert(OWN_OBJECTS.to_owned());
            }
        }
        let asked = snapshot.config.people.outage;
        if asked != Outage::Backstop {
            // What backs the registrations goes when they say so themselves.
            if *self.backing.registered().borrow() != Some(asked) {
                wanted.kept.extend(snapshot.backstops.iter().map(|backstop| backstop.name()));
            }
            return wanted;
        }
        let exceptions = self.board.exceptions().all();
        let ends = exceptions.iter().map(|exception: &Arc<Exception>| exception.expires_at());
        wanted.until = ends.filter(|end| *end > now).min();
        for backstop in snapshot.backstops.iter() {
            if backstop.is_blind() {
                wanted.kept.insert(backstop.name());
            } else if let Some(written) = backstop.write(&snapshot.config, &exceptions, now) {
                wanted.objects.extend(objects(written));
            }
        }
        wanted
    }

    /// Tells that one is written or removed, and why. Who wrote what stood there.
    fn tell(&self, step: Step<'_>, stands: &BTreeMap<Key, Object>) -> String {
        let (kind, name) = step.object.key();
        let why = step.why.as_str();
        self.metrics.backstop_writes.with_label_values(&[kind.as_str(), why]).inc();
        if step.why == Why::Change {
            tracing::info!(
                name,
                kind = kind.as_str(),
                "what the API server judges by itself changes"
            );
            return String::new();
        }
        let stands = stands.get(&(kind, name.clone())).map(Object::last_writers);
        let writers = stands.map_or_else(|| "it was deleted".to_owned(), |w| w.join(", "));
        tracing::warn!(
            name,
            kind = kind.as_str(),
            writers,
            "what the API server judges by itself was changed by somebody else: repaired"
        );
        writers
    }

    /// Leaves an Event on one that was repaired.
    fn note(&self, object: &Object, writers: &str) {
        let key = object.key();
        let stands = self.seen.all().get(&key).and_then(|stands| stands.metadata().uid.clone());
        let (named, uid) = ((key.0.as_str(), key.1.as_str()), stands.unwrap_or_default());
        upkeep::tell_of_repair(&self.alarm, standing::API_VERSION, named, &uid, writers);
    }

    /// Applies one; where something of others' remains in it, replaces it as a whole.
    async fn write(&self, wanted: &Object) -> Result<(), Error> {
        let applied: Object = match wanted {
            Object::Policy(policy) => upkeep::apply(&self.client, policy.as_ref()).await?.into(),
            Object::Binding(binding) => upkeep::apply(&self.client, binding.as_ref()).await?.into(),
        };
        self.seen.wrote(applied.clone());
        if applied.says_the_same(wanted) {
            return Ok(());
        }
        let replaced = match applied.with_content_of(wanted) {
            Object::Policy(policy) => {
                upkeep::replace(&self.client, *policy).await?.map(Object::from)
            }
            Object::Binding(binding) => {
                upkeep::replace(&self.client, *binding).await?.map(Object::from)
            }
        };
        if let Some(replaced) = replaced {
            self.seen.wrote(replaced);
        }
        Ok(())
    }

    async fn remove(&self, extra: &Object) -> Result<(), Error> {
        let (kind, name) = extra.key();
        // Only what was looked at, and not what took its place.
        let preconditions =
            Preconditions { uid: extra.metadata().uid.clone(), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let removed = match kind {
            Kind::Policy => self.delete::<ValidatingAdmissionPolicy>(&name, &params).await,
            Kind::Binding => self.delete::<ValidatingAdmissionPolicyBinding>(&name, &params).await,
        };
        match removed {
            Ok(()) => {}
            Err(error) if error.is_conflict() || error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        self.seen.removed(kind, &name);
        Ok(())
    }

    async fn delete<K: upkeep::Kept>(
        &self,
        name: &str,
        params: &DeleteParams,
    ) -> Result<(), Error> {
        let api: Api<K> = Api::all(self.client.clone());
        deadline("removing what the API server judged by", CALL, api.delete(name, params))
            .await
            .map(drop)
    }
}

/// What was worked out, in the order in which it is written: a binding without its policy would refuse everything.
fn objects(written: Written) -> [Object; 2] {
    [written.policy.into(), written.binding.into()]
}
