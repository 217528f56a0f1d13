//! The CA bundles of a registration's entries: whom they trust, and which of them somebody else keeps. Pure; what is to
//! be trusted is `trust`'s.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::WebhookClientConfig;
use smartops_guard::registration::PROBE;

use super::standing::Standing;
use super::trust::Authority;

/// Annotations by which somebody's injector keeps the CA bundles of a registration.
const INJECTED: [&str; 2] =
    ["cert-manager.io/inject-ca-from", "cert-manager.io/inject-ca-from-secret"];

impl Standing {
    /// The CA bundle of every entry that anybody's write hangs on: the trial alone hangs on nothing.
    pub(super) fn bundles(&self) -> impl Iterator<Item = &[u8]> {
        let calls = self.calls().into_iter().filter(|(name, _)| *name != PROBE);
        calls.map(|(_, call)| call.ca_bundle.as_ref().map_or(&[][..], |bundle| &bundle.0))
    }

    /// Whether every entry trusts this authority; one that asks about nothing trusts whomever.
    pub(super) fn trusts(&self, authority: &Authority) -> bool {
        self.bundles().all(|bundle| authority.is_in(bundle))
    }

    /// Whether somebody's injector keeps its CA bundles.
    fn is_injected(&self) -> bool {
        let mut annotations = self.metadata().annotations.iter().flatten();
        annotations.any(|(key, _)| INJECTED.contains(&key.as_str()))
    }

    /// What should stand, with the CA bundles an injector has put where this stands now: those that hold the current
    /// authority are its business alone.
    pub(super) fn leaving_injected(mut self, stands: Option<&Self>, authority: &Authority) -> Self {
        let Some(stands) = stands.filter(|stands| stands.is_injected()) else { return self };
        let kept: BTreeMap<String, ByteString> = stands
            .calls()
            .into_iter()
            .filter_map(|(name, call)| Some((name.to_owned(), call.ca_bundle.clone()?)))
            .filter(|(_, bundle)| authority.is_in(&bundle.0))
            .collect();
        let keep = |name: &str, call: &mut WebhookClientConfig| {
            if let Some(bundle) = kept.get(name) {
                call.ca_bundle = Some(bundle.clone());
            }
        };
        match &mut self {
            Self::Validating(c) => {
                c.webhooks.iter_mut().flatten().for_each(|w| keep(&w.name, &mut w.client_config));
            }
            Self::Mutating(c) => {
                c.webhooks.iter_mut().flatten().for_each(|w| keep(&w.name, &mut w.client_config));
            }
        }
        self
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use super::super::standing::tests::trusting;
    use super::super::trust::tests::pem;
    use super::*;

    pub(in super::super) fn authority(pem: &str) -> Authority {
        Authority::read(&Arc::from(pem)).unwrap()
    }

    fn annotated(mut standing: Standing, key: &str) -> Standing {
        standing.metadata_mut().annotations = Some([(key.to_owned(), "a/b".to_owned())].into());
        standing
    }

    #[test]
    fn every_entry_must_hold_the_current_authority_and_none_asks_for_nothing() {
        let (current, former) = (pem("AAAA"), pem("BBBB"));
        let authority = authority(&format!("{current}{former}"));
        assert!(trusting(&format!("{former}{current}")).trusts(&authority));
        assert!(!trusting(&former).trusts(&authority));
        let mut half = trusting(&current);
        let Standing::Validating(c) = &mut half else { panic!("{half:?}") };
        c.webhooks.as_mut().unwrap()[1].client_config.ca_bundle = None;
        assert!(!half.trusts(&authority));
        assert!(half.emptied().trusts(&authority) && !half.emptied().is_filled());
    }

    #[test]
    fn an_injectors_bundle_is_left_alone_while_it_holds_the_current_authority_and_nobody_elses_is()
    {
        let (current, further) = (pem("AAAA"), pem("CCCC"));
        let (authority, wanted) = (authority(&current), trusting(&current));
        let both = format!("{further}{current}");
        let [from, from_secret] = INJECTED;
        for (stands, left) in [
            (annotated(trusting(&both), from), true),
            (annotated(trusting(&both), from_secret), true),
            (annotated(trusting(&further), from), false),
            (annotated(trusting(""), from), false),
            (annotated(trusting(&both), "example.com/other"), false),
            (trusting(&both), false),
        ] {
            let kept = wanted.clone().leaving_injected(Some(&stands), &authority);
            assert_eq!(stands.says_the_same(&kept), left, "{stands:?}");
            assert!(left || kept == wanted);
        }
        assert_eq!(wanted.clone().leaving_injected(None, &authority), wanted);
    }
}
