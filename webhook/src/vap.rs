//! Keeps what the API server judges by itself: SmartOps' own objects at all times, and while the configuration asks for
//! a backstop the rules of policies that can be written so. The leader writes it; what it holds is worked out in
//! `guard`.
//!
//! No replica waits for it to be ready: where it cannot be written the webhook judges all the same.

mod backing;
mod leader;
mod standing;
mod wanted;
mod work;
mod writing;

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::runtime::watcher;
use kube::{Api, Client};
use smartops_common::config::Outage;
use smartops_guard::policy::Flaw;
use smartops_process::BoxError;
use smartops_process::clock::Clock;
use smartops_process::health::{Handle, Readiness};
use smartops_process::lease::Leadership;
use smartops_process::shutdown::Shutdown;
use smartops_process::watch::{Watch, WatchMetrics};
use tokio::sync::watch;
use tokio::time::Instant;

pub use self::backing::{Backing, Lack, Lacking};
use self::leader::Lead;
use self::standing::{Key, Kind, Object};
use self::wanted::Wanted;
use self::work::Waiting;
use crate::home::Ground;
use crate::metrics::WebhookMetrics;
use crate::snapshot::Board;
use crate::told::Alarm;
use crate::upkeep::{Absences, Seen};

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
}
