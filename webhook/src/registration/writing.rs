//! How one registration is written, in the place of what was seen there and of nothing else, and what is told of it.
//! Which, and when, is `leader`'s.

use kube::ResourceExt as _;
use prometheus::IntCounterVec;
use smartops_process::client::Error;
use smartops_process::{failpoint, metrics};

use super::Registrar;
use super::standing::Standing;
use crate::upkeep::{self, Kept};

/// Why one was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwritten {
    /// Another replica may lead by now.
    #[error("this replica is not certain any more that it leads")]
    Uncertain,
    /// What stands is not what was seen: the watch tells what is due then.
    #[error("somebody else wrote {0} in between")]
    Moved(String),
    /// The API server did not take it.
    #[error(transparent)]
    Call(#[from] Error),
}

/// A version no object has: the store counts its writes, and begins before the first.
const NOBODYS: &str = "1";

/// The same, to be taken only in the place of what was seen, or where nothing was seen only where nothing is. So what a
/// leader sends late, who was frozen after he was certain to lead, undoes nothing that the next one wrote.
fn in_place_of(mut wanted: Standing, seen: Option<&Standing>) -> Standing {
    let metadata = wanted.metadata_mut();
    (metadata.uid, metadata.resource_version) = match seen.map(Standing::metadata) {
        Some(seen) => (seen.uid.clone(), seen.resource_version.clone()),
        None => (None, Some(NOBODYS.to_owned())),
    };
    wanted
}

impl Registrar {
    /// Writes one that should say something else than before.
    pub(super) async fn change(&self, wanted: &Standing) -> Result<(), Unwritten> {
        self.write(wanted).await?;
        self.count(wanted, "change");
        let (kind, name) = wanted.key();
        tracing::info!(registration = name, ?kind, "registration written");
        Ok(())
    }

    /// Writes one so that nothing but the trial is asked about.
    pub(super) async fn prepare(&self, wanted: &Standing) -> Result<(), Unwritten> {
        self.write(wanted).await?;
        self.count(wanted, "probe");
        let (kind, name) = wanted.key();
        tracing::info!(
            registration = name,
            ?kind,
            "nothing is asked about until the API server was seen to reach the webhook"
        );
        Ok(())
    }

    /// Writes one that somebody else changed, and leaves an Event on it.
    pub(super) async fn repair(&self, wanted: &Standing) -> Result<(), Unwritten> {
        let key = wanted.key();
        let stands = self.seen.all().get(&key).map(Standing::last_writers);
        let writers = stands.map_or_else(|| "it was deleted".to_owned(), |w| w.join(", "));
        self.write(wanted).await?;
        self.count(wanted, "drift");
        tracing::warn!(
            registration = key.1,
            kind = ?key.0,
            writers,
            "a registration was changed by somebody else: repaired"
        );
        let uid = self.seen.all().get(&key).and_then(|stands| stands.metadata().uid.clone());
        let (named, uid) = ((key.0.as_str(), key.1.as_str()), uid.unwrap_or_default());
        upkeep::tell_of_repair(
            &self.alarm,
            "admissionregistration.k8s.io/v1",
            named,
            &uid,
            &writers,
        );
        Ok(())
    }

    /// Takes every entry out of one that stands.
    pub(super) async fn clear(
        &self,
        stands: &Standing,
        why: &'static str,
    ) -> Result<(), Unwritten> {
        self.write(&stands.emptied()).await?;
        self.count(stands, "leaving");
        let (kind, name) = stands.key();
        tracing::warn!(
            registration = name,
            ?kind,
            why,
            "a registration was emptied: nobody will serve it"
        );
        Ok(())
    }

    fn count(&self, standing: &Standing, why: &'static str) {
        let name = standing.key().1;
        self.metrics.registration_writes.with_label_values(&[name.as_str(), why]).inc();
    }

    /// Applies one registration; where others' entries or conditions remain in it, replaces it as a whole.
    async fn write(&self, wanted: &Standing) -> Result<(), Unwritten> {
        failpoint::hit("registration-before-write");
        let key = wanted.key();
        let sent = in_place_of(wanted.clone(), self.seen.all().get(&key));
        if !self.inputs.leadership.is_certain() {
            return Err(Unwritten::Uncertain);
        }
        failpoint::hit("registration-before-sent");
        let applied = match &sent {
            Standing::Validating(c) => self.apply(c.as_ref()).await?,
            Standing::Mutating(c) => self.apply(c.as_ref()).await?,
        };
        self.seen.wrote(applied.clone());
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

    async fn apply<K: Kept + Into<Standing>>(&self, sent: &K) -> Result<Standing, Unwritten> {
        match upkeep::apply(&self.client, sent).await {
            Ok(applied) => Ok(applied.into()),
            Err(error) if error.is_conflict() => Err(Unwritten::Moved(sent.name_any())),
            Err(error) => Err(error.into()),
        }
    }
}

/// The counter of written registrations.
pub fn counter(metrics: &metrics::Metrics) -> Result<IntCounterVec, metrics::Error> {
    metrics.counters(
        "smartops_webhook_registration_writes_total",
        "Registrations written: because what they should hold changed, because somebody else changed them, because the webhook is being removed, or because it was not yet seen that the API server reaches it.",
        &["registration", "why"],
    )
}

#[cfg(test)]
mod tests;
