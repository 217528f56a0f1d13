//! A registration as it stands or should stand: what of it counts, whether two say the same, and in which order
//! they are written. Pure; who reads and writes them is `registration`'s.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
    WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference};
use kube::api::ObjectMeta;
use smartops_common::names;
use smartops_guard::registration::{BY_AUTOMATION, PROBE, Reach, Registrations};

use super::trust::Authority;

/// Annotations by which somebody's injector keeps the CA bundles of a registration.
const INJECTED: [&str; 2] =
    ["cert-manager.io/inject-ca-from", "cert-manager.io/inject-ca-from-secret"];

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

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Validating(c) => &mut c.metadata,
            Self::Mutating(c) => &mut c.metadata,
        }
    }

    /// Its entries: name, and how each is called.
    fn calls(&self) -> Vec<(&str, &WebhookClientConfig)> {
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
            ..selected(self.metadata())
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

    /// How its entries reach the webhook; `None` where none of them does.
    pub(super) fn reach(&self) -> Option<Reach> {
        self.client_configs().into_iter().find_map(Reach::of)
    }

    /// The expression that says who automation is.
    fn by_automation(&self) -> Option<&str> {
        let Self::Validating(c) = self else { return None };
        let mut conditions =
            c.webhooks.iter().flatten().flat_map(|w| w.match_conditions.iter().flatten());
        conditions.find(|c| c.name == BY_AUTOMATION).map(|c| c.expression.as_str())
    }

    /// The same with this expression for who automation is.
    fn with_automation(mut self, expression: &str) -> Self {
        let Self::Validating(c) = &mut self else { return self };
        let conditions =
            c.webhooks.iter_mut().flatten().flat_map(|w| w.match_conditions.iter_mut().flatten());
        for condition in conditions.filter(|c| c.name == BY_AUTOMATION) {
            expression.clone_into(&mut condition.expression);
        }
        self
    }

    /// Whether what stands here means to the API server what is wanted, is found alike, and goes with whoever owns that.
    pub(super) fn says_the_same(&self, wanted: &Self) -> bool {
        let says = match (self, wanted) {
            (Self::Validating(one), Self::Validating(other)) => normal_v(one) == normal_v(other),
            (Self::Mutating(one), Self::Mutating(other)) => normal_m(one) == normal_m(other),
            _ => false,
        };
        let owners = self.metadata().owner_references.as_deref().unwrap_or_default();
        let is_owned = |owner: &OwnerReference| owners.iter().any(|stands| stands.uid == owner.uid);
        says && wanted.metadata().owner_references.iter().flatten().all(is_owned)
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

fn normal_v(c: &ValidatingWebhookConfiguration) -> ValidatingWebhookConfiguration {
    let mut webhooks = c.webhooks.clone().unwrap_or_default();
    webhooks.sort_by(|a, b| a.name.cmp(&b.name));
    for webhook in &mut webhooks {
        normalise_conditions(&mut webhook.match_conditions);
        normalise_selector(&mut webhook.namespace_selector);
        normalise_selector(&mut webhook.object_selector);
    }
    ValidatingWebhookConfiguration { metadata: selected(&c.metadata), webhooks: Some(webhooks) }
}

fn normal_m(c: &MutatingWebhookConfiguration) -> MutatingWebhookConfiguration {
    let mut webhooks = c.webhooks.clone().unwrap_or_default();
    webhooks.sort_by(|a, b| a.name.cmp(&b.name));
    for webhook in &mut webhooks {
        normalise_conditions(&mut webhook.match_conditions);
        normalise_selector(&mut webhook.namespace_selector);
        normalise_selector(&mut webhook.object_selector);
    }
    MutatingWebhookConfiguration { metadata: selected(&c.metadata), webhooks: Some(webhooks) }
}

/// Of the metadata only that by which one command selects everything of SmartOps counts.
fn selected(metadata: &ObjectMeta) -> ObjectMeta {
    let is_kept = |(key, _): &(&String, &String)| *key == names::PART_OF;
    let labels = metadata.labels.iter().flatten().filter(is_kept);
    let labels = labels.map(|(key, value)| (key.clone(), value.clone())).collect();
    ObjectMeta { labels: Some(labels), ..ObjectMeta::default() }
}

/// All must hold, so their order means nothing.
fn normalise_conditions(conditions: &mut Option<Vec<MatchCondition>>) {
    conditions.get_or_insert_default().sort_by(|a, b| a.name.cmp(&b.name));
}

/// An empty selector and none select everything alike.
fn normalise_selector(selector: &mut Option<LabelSelector>) {
    let selector = selector.get_or_insert_default();
    selector.match_labels.take_if(|labels| labels.is_empty());
    selector.match_expressions.take_if(|expressions| expressions.is_empty());
}

/// Every registration as it should stand, automation's first.
pub(super) fn all(wanted: &Registrations) -> Vec<Standing> {
    let validating = wanted.validating.iter().cloned().map(Standing::from);
    validating.chain(wanted.mutating.iter().cloned().map(Standing::from)).collect()
}

/// What has to be written until nothing stands but this trial.
pub(super) fn clearing(trial: &Standing, seen: &BTreeMap<Key, Standing>) -> Vec<Standing> {
    let others = seen.values().filter(|stands| stands.key() != trial.key() && stands.is_filled());
    let is_missing = seen.get(&trial.key()).is_none_or(|stands| !stands.says_the_same(trial));
    others.map(Standing::emptied).chain(is_missing.then(|| trial.clone())).collect()
}

/// What has to be written, in order, so that at no instant somebody is neither automation's nor people's: whoever
/// becomes automation is so before people's registration lets go of them, and whoever ceases to be is people's first.
///
/// `is_drift` tells that what should stand has not changed, only what does; then what stands is nobody's wish.
pub(super) fn due(
    wanted: &[Standing],
    seen: &BTreeMap<Key, Standing>,
    is_drift: bool,
) -> Vec<Standing> {
    let mut due: Vec<Standing> = wanted
        .iter()
        .filter(|w| seen.get(&w.key()).is_none_or(|stands| !stands.says_the_same(w)))
        .cloned()
        .collect();
    let automation = (Kind::Validating, names::AUTOMATION_REGISTRATION.to_owned());
    let people = (Kind::Validating, names::PEOPLE_REGISTRATION.to_owned());
    let place = |key: &Key| due.iter().position(|w| w.key() == *key);
    let (Some(first), Some(second)) = (place(&automation), place(&people)) else { return due };
    let stands = seen.get(&automation).and_then(Standing::by_automation);
    let (Some(old), Some(new)) = (stands, due[first].by_automation()) else { return due };
    if is_drift || old == new {
        return due;
    }
    let both = format!("({old}) || ({new})");
    let widened = due[first].clone().with_automation(&both);
    let narrowed = std::mem::replace(&mut due[first], widened);
    due.insert(second + 1, narrowed);
    due
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use smartops_common::config::SmartOpsConfigSpec;
    use smartops_guard::policy::{GuardrailPolicy, compile, shipped};
    use smartops_guard::registration::{Demand, probing, registrations};

    use super::super::trust::tests::pem;
    use super::*;

    fn wanted(users: &[&str]) -> Vec<Standing> {
        let mut config = SmartOpsConfigSpec::default();
        config.automation.users = users.iter().map(|u| (*u).to_owned()).collect();
        let demand = |p: GuardrailPolicy| Demand::of(&p.spec, &compile("p", &p.spec).unwrap());
        let demands: Vec<Demand> = shipped().into_iter().map(demand).collect();
        let demands: Vec<&Demand> = demands.iter().collect();
        all(&registrations(&config, &demands, &Reach::Service, Some(b"ca")).unwrap())
    }

    fn authority(pem: &str) -> Authority {
        Authority::read(&Arc::from(pem)).unwrap()
    }

    /// What stands by this bundle.
    fn trusting(bundle: &str) -> Standing {
        let config = SmartOpsConfigSpec::default();
        let found = registrations(&config, &[], &Reach::Service, Some(bundle.as_bytes())).unwrap();
        all(&found).remove(0)
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

    #[test]
    fn beside_the_trial_nothing_stands_and_by_the_trial_nobody_is_distrusted() {
        let (trial, former) = (pem("AAAA"), pem("BBBB"));
        let trial: Standing = probing(&Reach::Service, trial.as_bytes()).into();
        let all = wanted(&[]);
        let own: Vec<Standing> =
            all.iter().filter(|standing| standing.key().1 == trial.key().1).cloned().collect();
        assert!(own.len() == 2 && !own.iter().any(Standing::asks_about_others), "{own:?}");
        assert!(all.iter().any(Standing::asks_about_others));
        let written = clearing(&trial, &stand(&own));
        assert_eq!(written, [own[1].emptied(), trial.clone()]);
        let stands = BTreeMap::from([(trial.key(), trial.clone())]);
        assert_eq!(clearing(&trial, &stands), []);
        assert_eq!(clearing(&trial, &BTreeMap::new()), std::slice::from_ref(&trial));
        assert!(trial.is_filled() && !trial.asks_about_others());
        assert!(trial.trusts(&authority(&former)), "nobody's write hangs on it");
        assert!(!own[0].trusts(&authority(&former)));
    }

    fn stand(all: &[Standing]) -> BTreeMap<Key, Standing> {
        all.iter().map(|s| (s.key(), s.clone())).collect()
    }

    /// The names of what is written of the validating half, with whether `user` would be automation after the step.
    fn steps(due: &[Standing], user: &str) -> Vec<(String, bool)> {
        let quoted = format!("'{user}'");
        let holds = |s: &Standing| format!("{s:?}").contains(&quoted);
        let validating = due.iter().filter(|s| matches!(s, Standing::Validating(_)));
        validating.map(|s| (s.key().1, holds(s))).collect()
    }

    #[test]
    fn what_stands_as_it_should_is_left_alone_whatever_its_order() {
        let all = wanted(&[]);
        let mut seen = stand(&all);
        for standing in seen.values_mut() {
            if let Standing::Validating(c) = standing {
                c.webhooks.as_mut().unwrap().reverse();
                for webhook in c.webhooks.iter_mut().flatten() {
                    webhook.match_conditions.as_mut().unwrap().reverse();
                    webhook.object_selector = None;
                }
            }
        }
        assert_eq!(due(&all, &seen, false), []);
    }

    #[test]
    fn whoever_becomes_automation_is_so_before_people_let_go() {
        let all = wanted(&["ci"]);
        let due = due(&all, &stand(&wanted(&[])), false);
        let names = [
            ("smartops-automation", true),
            ("smartops-people", true),
            ("smartops-automation", true),
        ];
        assert_eq!(steps(&due, "ci"), names.map(|(n, h)| (n.to_owned(), h)));
    }

    #[test]
    fn whoever_ceases_to_be_automation_is_people_s_first() {
        let due = due(&wanted(&["new"]), &stand(&wanted(&["old"])), false);
        let names = [
            ("smartops-automation", true),
            ("smartops-people", false),
            ("smartops-automation", false),
        ];
        assert_eq!(steps(&due, "old"), names.map(|(n, h)| (n.to_owned(), h)));
    }

    #[test]
    fn what_somebody_else_wrote_is_not_taken_for_a_former_list() {
        let all = wanted(&[]);
        let mut seen = stand(&all);
        for standing in seen.values_mut() {
            *standing = standing.clone().with_automation("true");
        }
        let people = (Kind::Validating, names::PEOPLE_REGISTRATION.to_owned());
        seen.remove(&people);
        let due = due(&all, &seen, true);
        assert!(!format!("{due:?}").contains("(true)"));
        assert_eq!(due.len(), 2);
    }

    #[test]
    fn every_field_that_counts_is_missed_when_it_changes() {
        type Edit = fn(&mut k8s_openapi::api::admissionregistration::v1::ValidatingWebhook);
        let edits: [(&str, Edit); 9] = [
            ("rules", |w| w.rules = None),
            ("failurePolicy", |w| w.failure_policy = Some("Ignore".into())),
            ("conditions", |w| {
                w.match_conditions
                    .get_or_insert_default()
                    .push(MatchCondition { name: "never".into(), expression: "false".into() });
            }),
            ("bundle", |w| w.client_config.ca_bundle = None),
            ("path", |w| w.client_config.service.as_mut().unwrap().path = Some("/".into())),
            ("objectSelector", |w| {
                w.object_selector.get_or_insert_default().match_labels =
                    Some([("a".to_owned(), "b".to_owned())].into());
            }),
            ("namespaceSelector", |w| {
                w.namespace_selector.get_or_insert_default().match_labels =
                    Some([("a".to_owned(), "b".to_owned())].into());
            }),
            ("timeout", |w| w.timeout_seconds = Some(1)),
            ("matchPolicy", |w| w.match_policy = Some("Exact".into())),
        ];
        let all = wanted(&[]);
        for (what, edit) in edits {
            let mut seen = stand(&all);
            let key = (Kind::Validating, names::AUTOMATION_REGISTRATION.to_owned());
            let Some(Standing::Validating(c)) = seen.get_mut(&key) else { panic!("{what}") };
            edit(&mut c.webhooks.as_mut().unwrap()[0]);
            assert_eq!(due(&all, &seen, true).len(), 1, "{what}");
        }
        let mut seen = stand(&all);
        seen.remove(&(Kind::Mutating, names::PEOPLE_REGISTRATION.to_owned()));
        assert_eq!(due(&all, &seen, true).len(), 1, "deleted");
    }
}
