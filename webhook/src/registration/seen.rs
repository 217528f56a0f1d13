//! SmartOps' registrations as the watches last told them, or as they were last written, whichever is newer.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::{Resource, ResourceExt};
use smartops_common::names;
use smartops_process::watch::Event;
use tokio::sync::Notify;

use super::standing::{Key, Kind, Standing};

/// What stands.
#[derive(Debug, Default)]
pub(super) struct Seen {
    standing: Mutex<BTreeMap<Key, Standing>>,
    changed: Notify,
}

impl Seen {
    /// Takes an event of a watch of this kind.
    pub(super) fn see<K: Resource + Into<Standing>>(&self, kind: Kind, event: Event<K>) {
        let mut standing = self.lock();
        match event {
            Event::Init => standing.retain(|key, _| key.0 != kind),
            Event::InitApply(object) | Event::Apply(object) => {
                if is_ours(&object.name_any()) {
                    keep(&mut standing, object.into());
                }
            }
            Event::Delete(metadata) => {
                standing.remove(&(kind, metadata.name.unwrap_or_default()));
            }
            Event::InitDone | Event::Unreadable { .. } => {}
        }
        drop(standing);
        self.changed.notify_one();
    }

    /// Remembers what was written, before the watch tells it.
    pub(super) fn wrote(&self, standing: Standing) {
        keep(&mut self.lock(), standing);
    }

    /// What stands now.
    pub(super) fn all(&self) -> BTreeMap<Key, Standing> {
        self.lock().clone()
    }

    /// Waits until something changed.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Standing>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the newer of what is known and what is told: a watch may still tell what was before a write.
fn keep(standing: &mut BTreeMap<Key, Standing>, told: Standing) {
    let known = standing.get(&told.key()).and_then(Standing::version);
    if known.is_none() || told.version().is_none() || told.version() >= known {
        standing.insert(told.key(), told);
    }
}

fn is_ours(name: &str) -> bool {
    [names::PEOPLE_REGISTRATION, names::AUTOMATION_REGISTRATION, names::OWN_REGISTRATION]
        .contains(&name)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::admissionregistration::v1::{
        ValidatingWebhook, ValidatingWebhookConfiguration,
    };
    use kube::api::ObjectMeta;

    use super::*;

    fn registration(name: &str, version: &str, entries: usize) -> ValidatingWebhookConfiguration {
        ValidatingWebhookConfiguration {
            metadata: ObjectMeta {
                name: Some(name.into()),
                resource_version: Some(version.into()),
                ..ObjectMeta::default()
            },
            webhooks: Some(vec![ValidatingWebhook::default(); entries]),
        }
    }

    #[test]
    fn registrations_of_others_are_not_kept_and_a_deleted_one_is_gone() {
        let seen = Seen::default();
        for name in [names::PEOPLE_REGISTRATION, "somebody-else"] {
            seen.see(Kind::Validating, Event::Apply(registration(name, "7", 1)));
        }
        assert_eq!(seen.all().len(), 1);
        let gone = registration(names::PEOPLE_REGISTRATION, "8", 1).metadata;
        seen.see::<ValidatingWebhookConfiguration>(Kind::Validating, Event::Delete(Box::new(gone)));
        assert_eq!(seen.all().len(), 0);
    }

    #[test]
    fn what_was_written_is_not_undone_by_what_the_watch_tells_late() {
        let seen = Seen::default();
        let name = names::PEOPLE_REGISTRATION;
        seen.see(Kind::Validating, Event::Apply(registration(name, "9", 1)));
        seen.wrote(registration(name, "11", 2).into());
        seen.see(Kind::Validating, Event::Apply(registration(name, "10", 3)));
        assert_eq!(seen.all().into_values().next(), Some(registration(name, "11", 2).into()));
        seen.see(Kind::Validating, Event::Apply(registration(name, "12", 3)));
        assert_eq!(seen.all().into_values().next(), Some(registration(name, "12", 3).into()));
    }
}
