//! How one registration is written, and what is told of it. Which, and when, is `registration`'s.

use prometheus::IntCounterVec;
use smartops_process::client::Error;
use smartops_process::{failpoint, metrics};

use super::Registrar;
use super::standing::Standing;
use crate::upkeep;

/// Why one was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwritten {
    /// Another replica may lead by now.
    #[error("this replica is not certain any more that it leads")]
    Uncertain,
    /// The API server did not take it.
    #[error(transparent)]
    Call(#[from] Error),
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
        if !self.inputs.leadership.is_certain() {
            return Err(Unwritten::Uncertain);
        }
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

/// The counter of written registrations.
pub fn counter(metrics: &metrics::Metrics) -> Result<IntCounterVec, metrics::Error> {
    metrics.counters(
        "smartops_webhook_registration_writes_total",
        "Registrations written: because what they should hold changed, because somebody else changed them, because the webhook is being removed, or because it was not yet seen that the API server reaches it.",
        &["registration", "why"],
    )
}
