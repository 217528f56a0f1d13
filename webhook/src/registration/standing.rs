//! A registration as it stands or should stand: its parts, what they amount to, and whether two say the same. Pure. Whom
//! its entries trust is `bundles`', in which order several are written `order`'s, and who reads and writes them
//! `registration`'s.

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;
use smartops_common::names;
use smartops_guard::registration::Reach;

use crate::upkeep::meaning;

/// The two kinds of registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Validating,
    Mutating,
}

impl Kind {
    /// The kind's name.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Validating => "ValidatingWebhookConfiguration",
            Self::Mutating => "MutatingWebhookConfiguration",
        }
    }
}

/// A registration by kind and name.
pub(super) type Key = (Kind, String);

/// A registration of either kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Standing {
    Validating(Box<ValidatingWebhookConfiguration>),
    Mutating(Box<MutatingWebhookConfiguration>),
}

impl From<ValidatingWebhookConfiguration> for Standing {
    fn from(configuration: ValidatingWebhookConfiguration) -> Self {
        Self::Validating(Box::new(configuration))
    }
}

impl From<MutatingWebhookConfiguration> for Standing {
    fn from(configuration: MutatingWebhookConfiguration) -> Self {
        Self::Mutating(Box::new(configuration))
    }
}

impl Standing {
    pub(super) fn key(&self) -> Key {
        let kind = match self {
            Self::Validating(_) => Kind::Validating,
            Self::Mutating(_) => Kind::Mutating,
        };
        (kind, self.metadata().name.clone().unwrap_or_default())
    }

    pub(super) fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Validating(c) => &c.metadata,
            Self::Mutating(c) => &c.metadata,
        }
    }

    pub(super) fn metadata_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Validating(c) => &mut c.metadata,
            Self::Mutating(c) => &mut c.metadata,
        }
    }

    /// Its entries: name, and how each is called.
    pub(super) fn calls(&self) -> Vec<(&str, &WebhookClientConfig)> {
        match self {
            Self::Validating(c) => {
                c.webhooks.iter().flatten().map(|w| (w.name.as_str(), &w.client_config)).collect()
            }
            Self::Mutating(c) => {
                c.webhooks.iter().flatten().map(|w| (w.name.as_str(), &w.client_config)).collect()
            }
        }
    }

    fn client_configs(&self) -> Vec<&WebhookClientConfig> {
        self.calls().into_iter().map(|(_, client_config)| client_config).collect()
    }

    /// Whether it asks about anything at all.
    pub(super) fn is_filled(&self) -> bool {
        !self.client_configs().is_empty()
    }

    /// Whether it asks about what automation or people write.
    pub(super) fn asks_about_others(&self) -> bool {
        self.is_filled() && self.metadata().name.as_deref() != Some(names::OWN_REGISTRATION)
    }

    /// The same, gone when this owner is.
    pub(super) fn owned_by(mut self, owner: Option<&OwnerReference>) -> Self {
        self.metadata_mut().owner_references = owner.map(|owner| vec![owner.clone()]);
        self
    }

    /// The same without entries: it asks about nothing, and still goes when its owner does.
    pub(super) fn emptied(&self) -> Self {
        let metadata = ObjectMeta {
            name: self.metadata().name.clone(),
            owner_references: self.metadata().owner_references.clone(),
            ..meaning::found_by(self.metadata())
        };
        match self {
            Self::Validating(_) => {
                ValidatingWebhookConfiguration { metadata, webhooks: Some(Vec::new()) }.into()
            }
            Self::Mutating(_) => {
                MutatingWebhookConfiguration { metadata, webhooks: Some(Vec::new()) }.into()
            }
        }
    }

    /// Whether any of its entries leads there.
    pub(super) fn leads_to(&self, reach: &Reach) -> bool {
        self.client_configs().into_iter().any(|client_config| reach.leads(client_config))
    }

    /// Whether what stands here means to the API server what is wanted, is found alike, and goes with whoever owns that.
    pub(super) fn says_the_same(&self, wanted: &Self) -> bool {
        let owners = self.metadata().owner_references.as_deref().unwrap_or_default();
        let is_owned = |owner: &OwnerReference| owners.iter().any(|stands| stands.uid == owner.uid);
        self.normal() == wanted.normal()
            && wanted.metadata().owner_references.iter().flatten().all(is_owned)
    }

    /// What of it means something, said in one way. Its entries are asked independently of each other.
    fn normal(&self) -> Self {
        let metadata = meaning::found_by(self.metadata());
        match self {
            Self::Validating(c) => {
                let mut webhooks = c.webhooks.clone().unwrap_or_default();
                webhooks.sort_by(|a, b| a.name.cmp(&b.name));
                for webhook in &mut webhooks {
                    meaning::normalise_conditions(&mut webhook.match_conditions);
                    meaning::normalise_selector(&mut webhook.namespace_selector);
                    meaning::normalise_selector(&mut webhook.object_selector);
                }
                ValidatingWebhookConfiguration { metadata, webhooks: Some(webhooks) }.into()
            }
            Self::Mutating(c) => {
                let mut webhooks = c.webhooks.clone().unwrap_or_default();
                webhooks.sort_by(|a, b| a.name.cmp(&b.name));
                for webhook in &mut webhooks {
                    meaning::normalise_conditions(&mut webhook.match_conditions);
                    meaning::normalise_selector(&mut webhook.namespace_selector);
                    meaning::normalise_selector(&mut webhook.object_selector);
                }
                MutatingWebhookConfiguration { metadata, webhooks: Some(webhooks) }.into()
            }
        }
    }

    /// The entries of `wanted` under the metadata that stand here: what replaces it as a whole.
    pub(super) fn with_entries_of(mut self, wanted: &Self) -> Self {
        match (&mut self, wanted) {
            (Self::Validating(one), Self::Validating(wanted)) => {
                one.webhooks.clone_from(&wanted.webhooks);
            }
            (Self::Mutating(one), Self::Mutating(wanted)) => {
                one.webhooks.clone_from(&wanted.webhooks);
            }
            _ => {}
        }
        self
    }

    /// Whether it holds up no write that nobody answers; not where it has no entries.
    pub(super) fn lets_pass(&self) -> bool {
        let policies: Vec<Option<&str>> = match self {
            Self::Validating(c) => {
                c.webhooks.iter().flatten().map(|w| w.failure_policy.as_deref()).collect()
            }
            Self::Mutating(c) => {
                c.webhooks.iter().flatten().map(|w| w.failure_policy.as_deref()).collect()
            }
        };
        !policies.is_empty() && policies.iter().all(|policy| *policy == Some("Ignore"))
    }

    /// Who wrote it last, as far as it says so.
    pub(super) fn last_writers(&self) -> Vec<String> {
        let fields = self.metadata().managed_fields.as_deref().unwrap_or_default();
        let others = fields.iter().filter_map(|entry| {
            let manager = entry.manager.clone()?;
            (manager != names::WEBHOOK_FIELD_MANAGER)
                .then(|| (entry.time.as_ref().map(|t| t.0), manager))
        });
        let others: Vec<_> = others.collect();
        let newest = others.iter().map(|(time, _)| *time).max().flatten();
        let mut last: Vec<String> = others
            .into_iter()
            .filter(|(time, _)| *time == newest)
            .map(|(_, manager)| manager)
            .collect();
        last.sort_unstable();
        last.dedup();
        last
    }
}

#[cfg(test)]
pub(super) mod tests {
    use smartops_common::config::SmartOpsConfigSpec;
    use smartops_guard::registration::registrations;

    use super::super::order;
    use super::*;

    /// What stands by this bundle.
    pub(in super::super) fn trusting(bundle: &str) -> Standing {
        let config = SmartOpsConfigSpec::default();
        let found = registrations(&config, &[], &Reach::Service, Some(bundle.as_bytes())).unwrap();
        order::all(&found).remove(0)
    }

    #[test]
    fn the_namespace_owns_what_stands_beside_whoever_else_does_and_still_when_it_is_emptied() {
        let owner = |uid: &str| OwnerReference { uid: uid.to_owned(), ..OwnerReference::default() };
        let plain = trusting("");
        let wanted = plain.clone().owned_by(Some(&owner("home")));
        assert!(!plain.says_the_same(&wanted));
        assert!(!plain.clone().owned_by(Some(&owner("other"))).says_the_same(&wanted));
        let mut shared = wanted.clone();
        shared.metadata_mut().owner_references.as_mut().unwrap().push(owner("other"));
        assert!(shared.says_the_same(&wanted));
        assert!(wanted.says_the_same(&plain), "what is owned besides is nobody's drift");
        assert!(wanted.says_the_same(&wanted.clone()));
        assert_eq!(wanted.emptied().metadata().owner_references, Some(vec![owner("home")]));
    }
}
