//! What one policy asks of the registrations: which writes, by whom, and in which namespaces the API server must ask
//! the webhook. How the demands of all policies become entries is `entries`'.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use smartops_change::Operation;
use smartops_common::config::SmartOpsConfigSpec;

use crate::policy::{
    CompiledPolicy, Covered, GuardrailPolicySpec, Mode, NamespaceMatch, SubjectSet,
};

/// A kind, or a subresource of it, as registrations name them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The API group, empty for the core group.
    pub group: String,
    /// The plural.
    pub resource: String,
    /// Empty for the object itself.
    pub subresource: String,
    /// The API version it has to be in; `None` where any will do.
    pub version: Option<String>,
}

/// What a policy asks of the registrations.
#[derive(Debug, Clone, PartialEq)]
pub struct Demand {
    /// The writes it covers, its neighbours included.
    pub(super) covered: Vec<(Target, Operation)>,
    /// Updates that matter where they change labels.
    pub(super) relabelled: Vec<Target>,
    pub(super) namespaces: Option<NamespaceMatch>,
    pub(super) binds: Binds,
    /// Whether the mutating half has something to do.
    pub(super) clamps: bool,
    /// Whether a namespace can be relabelled out of it, and that is refused.
    pub(super) holds_namespaces: bool,
}

/// Whom a policy can bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Binds {
    /// Somebody who is not automation.
    pub(super) people: bool,
    /// Automation.
    pub(super) automation: bool,
}

impl Demand {
    /// What a policy asks, from its spec as written and what it covers once compiled.
    pub fn of(spec: &GuardrailPolicySpec, policy: &CompiledPolicy) -> Self {
        let enforces = spec.mode == Mode::Enforce;
        let include = spec.match_.subjects.as_ref().and_then(|s| s.include.as_ref());
        let namespaces = spec.match_.namespaces.clone();
        Self {
            covered: policy.covered().into_iter().flat_map(each).collect(),
            relabelled: policy.relabelled().into_iter().flat_map(each).map(|(t, _)| t).collect(),
            namespaces,
            binds: Binds {
                people: policy.means_people(),
                automation: include.is_none_or(|set| set.automation || names_people(set)),
            },
            clamps: policy.clamps(),
            holds_namespaces: enforces && policy.selects_namespaces(),
        }
    }

    /// Every kind it asks about in whichever way.
    pub(super) fn targets(&self) -> impl Iterator<Item = &Target> {
        self.covered.iter().map(|(target, _)| target).chain(&self.relabelled)
    }

    /// Where it reaches.
    pub(crate) fn place(&self, config: &SmartOpsConfigSpec) -> Place {
        let Some(namespaces) = &self.namespaces else {
            return Place { excluded: BTreeSet::new(), selector: None, is_namespaced: false };
        };
        let guarded = namespaces.guarded.then_some(&config.guarded.exclude_namespaces);
        Place {
            excluded: namespaces
                .exclude
                .iter()
                .chain(guarded.into_iter().flatten())
                .cloned()
                .collect(),
            selector: namespaces.selector.clone().filter(|s| *s != LabelSelector::default()),
            is_namespaced: true,
        }
    }
}

/// A kind by each operation covered of it.
fn each(covered: Covered) -> impl Iterator<Item = (Target, Operation)> {
    let Covered { group, resource, subresource, version, operations } = covered;
    let target = Target { group, resource, subresource, version };
    operations.into_iter().map(move |operation| (target.clone(), operation))
}

/// Whether a set can hold somebody who is not automation; who a name belongs to is not known here.
fn names_people(set: &SubjectSet) -> bool {
    !(set.users.is_empty() && set.groups.is_empty() && set.service_accounts.is_empty())
}

/// The namespaces a policy reaches.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    /// Not these, by name.
    pub(crate) excluded: BTreeSet<String>,
    /// Only those with such labels.
    pub(crate) selector: Option<LabelSelector>,
    /// Cluster-scoped objects are left out.
    pub(crate) is_namespaced: bool,
}
