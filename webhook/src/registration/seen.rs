//! SmartOps' registrations among all there are, as they are looked at.

use smartops_common::names;

use super::standing::{Key, Kind, Standing};
use crate::upkeep;

/// The registrations that stand.
pub(super) type Seen = upkeep::Seen<Standing>;

impl upkeep::Standing for Standing {
    type Kind = Kind;

    fn key(&self) -> Key {
        self.key()
    }

    /// The version, where it is the number the API server makes of it.
    fn version(&self) -> Option<u64> {
        self.metadata().resource_version.as_ref()?.parse().ok()
    }

    fn is_looked_at(name: &str) -> bool {
        names::REGISTRATIONS.contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::admissionregistration::v1::{
        ValidatingWebhook, ValidatingWebhookConfiguration,
    };
    use kube::api::ObjectMeta;
    use smartops_process::watch::Event;

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

    #[test]
    fn while_a_list_is_under_way_what_stood_before_it_stands_and_what_it_does_not_tell_is_gone() {
        let seen = Seen::default();
        let [people, own, automation] =
            [names::PEOPLE_REGISTRATION, names::OWN_REGISTRATION, names::AUTOMATION_REGISTRATION];
        for name in [people, own, automation] {
            seen.see(Kind::Validating, Event::Apply(registration(name, "7", 1)));
        }
        let list = |event: Event<ValidatingWebhookConfiguration>| {
            seen.see(Kind::Validating, event);
            seen.all().into_keys().map(|(_, name)| name).collect::<Vec<_>>()
        };
        let unreadable = registration(own, "7", 1).metadata;
        let unreadable =
            Event::Unreadable { metadata: Box::new(unreadable), error: "no number".into() };
        for event in [Event::Init, Event::InitApply(registration(people, "8", 1)), unreadable] {
            assert_eq!(list(event).len(), 3, "the list is not complete");
        }
        assert_eq!(list(Event::InitDone), [own, people]);
    }
}
