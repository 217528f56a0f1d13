//! What stands in the cluster of what the API server judges by itself, as the watches last told it or as it was last
//! written, and whether it is what should stand. Pure but for a lock.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::admissionregistration::v1::{
    MatchResources, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;
use smartops_common::names;

use crate::upkeep::{self, meaning};

/// In which API they are.
pub(super) const API_VERSION: &str = "admissionregistration.k8s.io/v1";
/// What every name of ours begins with.
const PREFIX: &str = "smartops-";

/// The two kinds of object. Bindings are removed before what they bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Binding,
    Policy,
}

impl Kind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Binding => "ValidatingAdmissionPolicyBinding",
            Self::Policy => "ValidatingAdmissionPolicy",
        }
    }
}

/// An object by kind and name.
pub(super) type Key = (Kind, String);

/// An object of either kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Object {
    Policy(Box<ValidatingAdmissionPolicy>),
    Binding(Box<ValidatingAdmissionPolicyBinding>),
}

impl From<ValidatingAdmissionPolicy> for Object {
    fn from(policy: ValidatingAdmissionPolicy) -> Self {
        Self::Policy(Box::new(policy))
    }
}

impl From<ValidatingAdmissionPolicyBinding> for Object {
    fn from(binding: ValidatingAdmissionPolicyBinding) -> Self {
        Self::Binding(Box::new(binding))
    }
}

impl Object {
    pub(super) fn key(&self) -> Key {
        let kind = match self {
            Self::Policy(_) => Kind::Policy,
            Self::Binding(_) => Kind::Binding,
        };
        (kind, self.metadata().name.clone().unwrap_or_default())
    }

    pub(super) fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Policy(policy) => &policy.metadata,
            Self::Binding(binding) => &binding.metadata,
        }
    }

    /// The same, gone when this owner is.
    pub(super) fn owned_by(mut self, owner: Option<&OwnerReference>) -> Self {
        let metadata = match &mut self {
            Self::Policy(policy) => &mut policy.metadata,
            Self::Binding(binding) => &mut binding.metadata,
        };
        metadata.owner_references = owner.map(|owner| vec![owner.clone()]);
        self
    }

    /// Whether it stands as it should.
    pub(super) fn stands_in(&self, stands: &BTreeMap<Key, Self>) -> bool {
        stands.get(&self.key()).is_some_and(|stands| stands.says_the_same(self))
    }

    /// Whether both mean the same to the API server and are found and owned alike.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        self.normal() == other.normal()
    }

    fn normal(&self) -> Self {
        match self {
            Self::Policy(policy) => {
                let mut spec = policy.spec.clone().unwrap_or_default();
                normalise(spec.match_constraints.get_or_insert_default());
                meaning::normalise_conditions(&mut spec.match_conditions);
                spec.variables.get_or_insert_default();
                spec.audit_annotations.get_or_insert_default();
                let metadata = kept(&policy.metadata);
                ValidatingAdmissionPolicy { metadata, spec: Some(spec), status: None }.into()
            }
            Self::Binding(binding) => {
                let mut spec = binding.spec.clone();
                normalise(spec.match_resources.get_or_insert_default());
                ValidatingAdmissionPolicyBinding { metadata: kept(&binding.metadata), spec }.into()
            }
        }
    }

    /// What should stand, in place of what stands here.
    pub(super) fn with_content_of(mut self, wanted: &Self) -> Self {
        let metadata = match (&mut self, wanted) {
            (Self::Policy(one), Self::Policy(wanted)) => {
                one.spec.clone_from(&wanted.spec);
                &mut one.metadata
            }
            (Self::Binding(one), Self::Binding(wanted)) => {
                one.spec.clone_from(&wanted.spec);
                &mut one.metadata
            }
            (Self::Policy(one), Self::Binding(_)) => &mut one.metadata,
            (Self::Binding(one), Self::Policy(_)) => &mut one.metadata,
        };
        metadata.owner_references.clone_from(&wanted.metadata().owner_references);
        metadata.labels.clone_from(&wanted.metadata().labels);
        self
    }

    /// Who wrote it last besides us, as far as it says so. The API server's own findings in its status are nobody's.
    pub(super) fn last_writers(&self) -> Vec<String> {
        let fields = self.metadata().managed_fields.iter().flatten();
        let fields = fields.filter(|entry| entry.subresource.is_none());
        let managers = fields.filter_map(|entry| entry.manager.clone());
        let others: BTreeSet<String> =
            managers.filter(|manager| manager != names::WEBHOOK_FIELD_MANAGER).collect();
        others.into_iter().collect()
    }

    /// Whether it was written here and by somebody else too.
    pub(super) fn is_meddled_with(&self) -> bool {
        self.is_ours() && !self.last_writers().is_empty()
    }

    /// Whether it was written here, at whatever time: by who wrote it or, where that was struck out, by whose it is.
    fn is_ours(&self) -> bool {
        let mut fields = self.metadata().managed_fields.iter().flatten();
        let mut owners = self.metadata().owner_references.iter().flatten();
        let group = |api_version: &str| api_version.split('/').next() == Some(names::GROUP);
        let is_ours = fields
            .any(|entry| entry.manager.as_deref() == Some(names::WEBHOOK_FIELD_MANAGER))
            || owners.any(|owner| owner.kind == "GuardrailPolicy" && group(&owner.api_version));
        self.key().1.starts_with(PREFIX) && is_ours
    }
}

/// An empty part of a match and none match everything alike.
fn normalise(matched: &mut MatchResources) {
    matched.match_policy.get_or_insert_with(|| "Equivalent".to_owned());
    matched.resource_rules.get_or_insert_default();
    matched.exclude_resource_rules.get_or_insert_default();
    for selector in [&mut matched.namespace_selector, &mut matched.object_selector] {
        meaning::normalise_selector(selector);
    }
}

/// Of the metadata only the label by which it is found and who owns it count.
fn kept(metadata: &ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        owner_references: Some(metadata.owner_references.clone().unwrap_or_default()),
        ..meaning::found_by(metadata)
    }
}

/// The selector by which ours are watched.
pub(super) fn selector() -> String {
    format!("{}={}", names::PART_OF, smartops_guard::registration::PRODUCT)
}

/// What was written here once and should not stand any more, bindings first.
pub(super) fn extra<'s>(
    stands: &'s BTreeMap<Key, Object>,
    wanted: &[Object],
    kept: &BTreeSet<String>,
) -> Vec<&'s Object> {
    let wanted: BTreeSet<Key> = wanted.iter().map(Object::key).collect();
    let is_extra = |(key, object): &(&Key, &Object)| {
        object.is_ours() && !wanted.contains(key) && !kept.contains(&key.1)
    };
    stands.iter().filter(is_extra).map(|(_, object)| object).collect()
}

impl upkeep::Standing for Object {
    type Kind = Kind;

    fn key(&self) -> Key {
        self.key()
    }

    fn version(&self) -> Option<u64> {
        self.metadata().resource_version.as_ref()?.parse().ok()
    }

    /// The watch is limited to ours by label.
    fn is_looked_at(_: &str) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use smartops_common::config::SmartOpsConfigSpec;
    use smartops_guard::vap::own_objects;

    use super::*;

    fn own() -> [Object; 2] {
        let written = own_objects(&SmartOpsConfigSpec::default()).unwrap();
        [written.policy.into(), written.binding.into()]
    }

    fn stored(object: &Object, manager: &str) -> Object {
        let mut object = object.clone();
        let metadata = match &mut object {
            Object::Policy(policy) => &mut policy.metadata,
            Object::Binding(binding) => &mut binding.metadata,
        };
        metadata.managed_fields =
            serde_json::from_value(serde_json::json!([{"manager": manager}])).unwrap();
        object
    }

    type Edit = fn(&mut ValidatingAdmissionPolicy);

    #[test]
    fn what_the_api_server_fills_in_is_no_difference_and_what_somebody_changes_is() {
        let [policy, binding] = own();
        let Object::Policy(mut filled) = policy.clone() else { panic!("{policy:?}") };
        filled.metadata.uid = Some("u".into());
        let spec = filled.spec.as_mut().unwrap();
        spec.variables = None;
        spec.match_conditions.as_mut().unwrap().reverse();
        let stands = BTreeMap::from([(policy.key(), Object::Policy(filled.clone()))]);
        assert!(policy.stands_in(&stands));
        assert!(!binding.stands_in(&stands), "not there at all");
        let edits: [(&str, Edit); 5] = [
            ("label", |p| p.metadata.labels = None),
            ("failurePolicy", |p| p.spec.as_mut().unwrap().failure_policy = Some("Ignore".into())),
            ("conditions", |p| p.spec.as_mut().unwrap().match_conditions = None),
            ("rules", |p| {
                p.spec.as_mut().unwrap().match_constraints.as_mut().unwrap().resource_rules = None;
            }),
            ("validations", |p| p.spec.as_mut().unwrap().validations = None),
        ];
        for (what, edit) in edits {
            let mut edited = filled.clone();
            edit(&mut edited);
            let edited = Object::Policy(edited);
            let stands = BTreeMap::from([(policy.key(), edited.clone())]);
            assert!(!policy.stands_in(&stands), "{what}");
            assert!(edited.with_content_of(&policy).says_the_same(&policy), "{what}");
        }
    }

    #[test]
    fn only_what_was_written_here_is_removed_and_bindings_before_what_they_bind() {
        let [policy, binding] = own();
        let stands: BTreeMap<Key, Object> = [&policy, &binding]
            .map(|object| (object.key(), stored(object, names::WEBHOOK_FIELD_MANAGER)))
            .into();
        let names =
            |extra: Vec<&Object>| extra.iter().map(|object| object.key().0).collect::<Vec<_>>();
        let nothing = BTreeSet::new();
        assert_eq!(names(extra(&stands, &[], &nothing)), [Kind::Binding, Kind::Policy]);
        assert_eq!(names(extra(&stands, &[policy.clone(), binding.clone()], &nothing)), []);
        let kept = BTreeSet::from([policy.key().1]);
        assert_eq!(names(extra(&stands, &[], &kept)), []);
        let foreign: BTreeMap<Key, Object> =
            [&policy, &binding].map(|object| (object.key(), stored(object, "kubectl"))).into();
        assert_eq!(names(extra(&foreign, &[], &nothing)), []);
    }
}
