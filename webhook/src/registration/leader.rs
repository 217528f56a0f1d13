//! What the leader does in a pass: works out what the registrations should hold and brings it about, or empties them
//! where the webhook leaves. When a pass is made is `registration`'s; how one registration is written, `writing`'s.

use std::collections::{BTreeMap, BTreeSet};

use smartops_common::config::Outage;
use smartops_common::names;
use smartops_guard::policy::Flaw;
use smartops_guard::registration::{Demand, Reach, registrations};
use tokio::time::Instant;

use super::reached::Reached;
use super::standing::{Key, Kind, Standing};
use super::trial::{Open, Way};
use super::trust::Authority;
use super::writing::Unwritten;
use super::{Registrar, opening, order, plan};
use crate::home::Ground;
use crate::snapshot::Snapshot;
use crate::upkeep::{Absences, Repairs};

/// What a pass goes by.
#[derive(Debug, Clone, Copy)]
pub(super) struct State<'g> {
    pub(super) leads: bool,
    pub(super) is_draining: bool,
    pub(super) ground: &'g Ground,
}

/// What the leader remembers between passes.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// What it last brought about.
    wanted: Option<Vec<Standing>>,
    /// Whether they let people's writes pass that nobody answers.
    is_open: Option<bool>,
    repairs: BTreeMap<Key, Repairs>,
    told: Option<Flaw>,
    pub(super) reached: Reached,
    pub(super) open: Open,
}

impl Memory {
    /// Whether it has filled them.
    pub(super) fn has_filled(&self) -> bool {
        self.wanted.is_some()
    }

    /// Takes note of what stands now.
    fn brought(&mut self, outage: Outage, wanted: Vec<Standing>) {
        self.wanted = Some(wanted);
        self.is_open = Some(outage != Outage::Fail);
    }
}

impl Registrar {
    /// Writes what the leader has to. When to look again, if nothing happens before.
    pub(super) async fn write_due(
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
        let reach = &self.inputs.reach;
        let standing = (state.ground, may_restore);
        match self.way((authority, reach), standing, memory, absences).await? {
            Way::Open => {}
            Way::Waits(until) => return Ok(until),
        }
        let Some((outage, wanted)) =
            self.wanted(&snapshot, (authority, reach), state.ground, memory)
        else {
            return Ok(None);
        };
        let is_drift = memory.wanted.as_ref() == Some(&wanted);
        let seen = self.seen.all();
        let written = wanted.iter().map(|standing| {
            standing.clone().leaving_injected(seen.get(&standing.key()), authority)
        });
        let due = order::due(&written.collect::<Vec<_>>(), &seen, is_drift);
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
                let all = order::all(&wanted).into_iter();
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
