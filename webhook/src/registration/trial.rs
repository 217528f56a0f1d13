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

use super::leader::{Memory, State};
use super::reached::{self, Answer};
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
    /// Tries, where nothing of automation's or people's stands that anybody is asked about, or only what leads elsewhere,
    /// and so was not filled by anybody who is reached where this replica is. Otherwise that was waited for.
    pub(super) async fn way(
        &self,
        (authority, reach): (&Authority, &Reach),
        (ground, may_restore): (&Ground, bool),
        memory: &mut Memory,
        absences: &Absences<Key>,
    ) -> Result<Way, Unwritten> {
        let (seen, now) = (self.seen.all(), Instant::now());
        if reached::is_filled(&seen, reach, memory.has_filled()) || memory.reached.is_seen(now) {
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
        self.tell_trial(&answer, false, memory);
        if answer == Answer::Reached {
            return Ok(Way::Open);
        }
        Ok(Way::Waits(memory.reached.pause(Instant::now()).or_else(|| Some(Instant::now()))))
    }

    /// Until when it waits that the Service leads to a replica that is ready, and everywhere.
    async fn wait_open(&self, memory: &mut Memory) -> Result<Option<Instant>, Unwritten> {
        let is_open = self.inputs.doors.are_open().await?;
        if !is_open && !std::mem::replace(&mut memory.open.waits, true) {
            tracing::info!(
                "nobody is reached behind the Service yet: nothing is asked about until then"
            );
        }
        Ok(memory.open.until(is_open, Instant::now()))
    }

    /// Looks now and then, once all is filled, whether the API server still reaches a webhook, and tells it. Nothing is
    /// taken out where it does not: whoever fills has seen it, and what is refused meanwhile the configuration says. When
    /// to look next.
    pub(super) async fn look_again(
        &self,
        state: &State<'_>,
        memory: &mut Memory,
    ) -> Option<Instant> {
        let is_its_turn = state.leads && !state.is_draining;
        if !is_its_turn || !matches!(state.ground, Ground::Stands { .. }) {
            return None;
        }
        if !reached::is_looked_at(&self.seen.all()) {
            return None;
        }
        let now = Instant::now();
        if let Some(next) = memory.reached.next_look().filter(|next| now < *next) {
            return Some(next);
        }
        let answer = self.try_reach().await;
        self.tell_trial(&answer, true, memory);
        memory.reached.next_look()
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

    /// Tells what a trial came to; `is_filled`: it was no trial any more.
    fn tell_trial(&self, answer: &Answer, is_filled: bool, memory: &mut Memory) {
        self.metrics.reached.set(i64::from(*answer == Answer::Reached));
        if !memory.reached.note(answer.clone(), Instant::now()) {
            return;
        }
        let place = match &self.inputs.reach {
            Reach::Url(url) => url.as_str(),
            Reach::Service => "the Service smartops-webhook",
        };
        let follows = if is_filled {
            "and the registrations ask for it: automation's writes are refused, people's as people.outage says"
        } else {
            "so nothing is guarded"
        };
        match answer {
            Answer::Reached => tracing::info!(place, "the API server reaches the webhook"),
            Answer::Unreachable(why) => tracing::warn!(
                why,
                "the API server cannot reach the webhook at {place}, {follows}: open port 8443 from the control plane to \
                 the pods, or set webhook.port (outside a cluster: --webhook-url)"
            ),
            Answer::Unknown(why) => tracing::warn!(
                why,
                "it could not be tried whether the API server reaches the webhook at {place}: trying again"
            ),
            Answer::Unasked => tracing::warn!(
                "the API server asks nobody about the trial whether it reaches the webhook: {PROBE} in smartops-own asks \
                 about the account smartops-webhook alone; run as that account"
            ),
        }
    }
}

impl Open {
    /// Until when it waits, now that the way is open or is not. Once it was open long enough, it is so at once the next
    /// time.
    fn until(&mut self, is_open: bool, now: Instant) -> Option<Instant> {
        if !is_open {
            self.since = None;
            return Some(now + LOOK);
        }
        let settled = *self.since.get_or_insert(now) + SETTLE;
        (now < settled).then_some(settled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_open_for_a_second_is_waited_for_only_after_it_was_closed() {
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut open = Open::default();
        for (is_open, now, until) in [
            (false, 0, Some(500)),
            (true, 500, Some(1500)),
            (true, 1499, Some(1500)),
            (true, 1500, None),
            (true, 90_000, None),
            (false, 90_001, Some(90_501)),
            (true, 90_501, Some(91_501)),
        ] {
            assert_eq!(open.until(is_open, after(now)), until.map(after), "{is_open} {now}");
        }
    }
}
