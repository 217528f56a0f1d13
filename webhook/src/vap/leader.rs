//! What the leader does in a pass: takes every step there is to take, each for itself, and says when to try again. When a
//! pass is made is `vap`'s, which steps there are `work`'s, and how one is taken `writing`'s.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::wanted::Wanted;
use super::work::{Brought, Why};
use super::{Keeper, Memory};
use crate::upkeep::{Making, Repairs};

/// The pause after a pass that did not come to its end; it doubles with each that follows.
const RETRY: Duration = Duration::from_secs(1);
/// How often it doubles at most.
const DOUBLINGS: u32 = 3;

/// What the leader remembers between passes.
#[derive(Debug, Default)]
pub(super) struct Lead {
    brought: Brought,
    repairs: Repairs,
    /// Passes in a row that did not come to their end.
    failures: u32,
}

impl Keeper {
    /// Writes and removes what is due, each for itself: what cannot be written stops nothing else. When to try again.
    pub(super) async fn bring_about(
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
}
