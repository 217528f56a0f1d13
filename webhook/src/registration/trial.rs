//! The leader's trial whether the API server reaches the webhook, before anything of automation's or people's is filled:
//! with one entry that asks about nothing else, a ledger is made that never is. Whoever is reached refuses it in words of
//! its own, whichever replica that is; where nobody is, nothing stands that could fail closed.

use std::time::Duration;

use kube::Api;
use kube::api::PostParams;
use smartops_common::names;
use smartops_guard::ledger::{ChangeLedger, ChangeLedgerSpec};
use smartops_guard::registration::{PROBE, Reach, probing};
use smartops_process::client::deadline;
use tokio::time::Instant;

use super::leader::Memory;
use super::reached::{Answer, Reached};
use super::standing::{Key, Kind, Standing};
use super::trust::Authority;
use super::writing::Unwritten;
use super::{Registrar, order};
use crate::home::Ground;
use crate::upkeep::{Absences, CALL, Making};

/// How often it is looked whether the Service leads to a replica that is ready, before the first registration is filled.
const LOOK: Duration = Duration::from_millis(500);
/// So long after a replica is known to be reached the way to it is open everywhere: those who carry calls to a Service
/// learn of it one after the other.
const SETTLE: Duration = Duration::from_secs(1);

/// Whether the registrations may be filled.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Yes.
    Open,
    /// Not yet; when to look again, if nothing happens before.
    Waits(Option<Instant>),
}

/// Since when the Service leads to a replica that is ready.
#[derive(Debug, Default)]
pub(super) struct Open {
    since: Option<Instant>,
    /// Whether it was told that it does not.
    waits: bool,
}

impl Registrar {
    /// Tries, where nothing of automation's or people's stands that anybody is asked about. Where something does, that
    /// was waited for.
    pub(super) async fn way(
        &self,
        (authority, reach): (&Authority, &Reach),
        (ground, may_restore): (&Ground, bool),
        memory: &mut Memory,
        absences: &Absences<Key>,
    ) -> Result<Way, Unwritten> {
        let (seen, now) = (self.seen.all(), Instant::now());
        if seen.values().any(Standing::asks_about_others) {
            self.metrics.reached.set(1);
            memory.reached = Reached::default();
            memory.open = Open::default();
            return Ok(Way::Open);
        }
        if memory.reached.is_seen(now) {
            return Ok(Way::Open);
        }
        self.metrics.reached.set(0);
        if let Some(until) = memory.reached.pause(now) {
            return Ok(Way::Waits(Some(until)));
        }
        let own = (Kind::Validating, names::OWN_REGISTRATION.to_owned());
        if !seen.contains_key(&own) {
            match absences.making(&own, may_restore, now) {
                Making::Now => {}
                Making::At(at) => return Ok(Way::Waits(Some(at))),
                Making::Not => return Ok(Way::Waits(None)),
            }
        }
        // First of all, so that no replica stays unready because of an entry that would be written only then.
        let trial: Standing = probing(reach, authority.bundle().as_bytes()).into();
        let trial = trial.owned_by(ground.owner().as_ref());
        let trial = trial.leaving_injected(seen.get(&own), authority);
        for standing in order::clearing(&trial, &seen) {
            self.prepare(&standing).await?;
        }
        if *reach == Reach::Service
            && let Some(until) = self.wait_open(memory).await?
        {
            return Ok(Way::Waits(Some(until)));
        }
        let answer = self.try_reach().await;
        self.tell_trial(&answer, reach, memory);
        if answer == Answer::Reached {
            return Ok(Way::Open);
        }
        Ok(Way::Waits(memory.reached.pause(Instant::now()).or_else(|| Some(Instant::now()))))
    }

    /// Until when it waits that the Service leads to a replica that is ready, and everywhere.
    async fn wait_open(&self, memory: &mut Memory) -> Result<Option<Instant>, Unwritten> {
        let is_open = self.inputs.doors.are_open().await?;
        let now = Instant::now();
        if !is_open {
            if !std::mem::replace(&mut memory.open.waits, true) {
                tracing::info!(
                    "nobody is reached behind the Service yet: nothing is asked about until then"
                );
            }
            memory.open.since = None;
            return Ok(Some(now + LOOK));
        }
        let settled = *memory.open.since.get_or_insert(now) + SETTLE;
        Ok((now < settled).then_some(settled))
    }

    async fn try_reach(&self) -> Answer {
        let api: Api<ChangeLedger> = Api::namespaced(self.client.clone(), names::SYSTEM_NAMESPACE);
        let ledger = ChangeLedger::new(PROBE, ChangeLedgerSpec::default());
        let params = PostParams {
            dry_run: true,
            field_manager: Some(names::WEBHOOK_FIELD_MANAGER.to_owned()),
        };
        let call = api.create(&params, &ledger);
        let tried = deadline("trying whether the API server reaches the webhook", CALL, call).await;
        Answer::of(tried.map(drop).map_err(|error| error.to_string()))
    }

    fn tell_trial(&self, answer: &Answer, reach: &Reach, memory: &mut Memory) {
        let is_told = memory.reached.note(answer.clone(), Instant::now());
        let place = match reach {
            Reach::Url(url) => url.as_str(),
            Reach::Service => "the Service smartops-webhook",
        };
        match answer {
            Answer::Reached => {
                self.metrics.reached.set(1);
                tracing::info!(place, "the API server reaches the webhook");
            }
            Answer::Unreachable(why) if is_told => tracing::warn!(
                why,
                "the API server cannot reach the webhook at {place}, so nothing is guarded: open port 8443 from the \
                 control plane to the pods, or set webhook.port (outside a cluster: --webhook-url)"
            ),
            Answer::Unknown(why) if is_told => tracing::warn!(
                why,
                "it could not be tried whether the API server reaches the webhook at {place}, so nothing is guarded: \
                 trying again"
            ),
            Answer::Unasked | Answer::Unreachable(_) | Answer::Unknown(_) => {}
        }
    }
}
