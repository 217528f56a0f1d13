//! The entries for exactly the writes that policies cover, where they cover them. Few entries, and no write is asked
//! about twice where names of namespaces can tell its entries apart.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::admissionregistration::v1::{MatchCondition, RuleWithOperations};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use smartops_change::Operation;

use super::demand::{Place, Target};
use super::entries::{Entry, entry, numbered};
use super::versions::{ANY_VERSION, Versions};
use super::{outage, who};

/// Most selectors that tell the places of one kind of write apart. Beyond that the places are taken together: more is
/// asked about than has to be, and a registration stays small enough to be stored.
const MOST_SELECTORS: usize = 32;
pub(super) const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Which writes are to be asked about, and where.
#[derive(Default)]
pub(super) struct Wanted(BTreeMap<(Target, Operation), BTreeMap<String, Place>>);

/// Where an entry applies: whether to objects in namespaces only, and to which. Selectors have no order of their own.
type Reach = (bool, String);

/// What an entry has of its own: what it is for, where it applies, and which of several versions of one kind it holds.
type Apart = (Sort, Reach, usize);

/// What an entry is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    Objects,
    Scales,
    /// Kinds by which nobody may be locked out of a cluster, which never hold up the others.
    Spared,
}

impl Sort {
    fn of(target: &Target) -> Self {
        match target.subresource.as_str() {
            _ if outage::is_spared(&target.group, &target.resource) => Self::Spared,
            "scale" => Self::Scales,
            _ => Self::Objects,
        }
    }
}

impl Wanted {
    pub(super) fn add(&mut self, target: &Target, operation: Operation, place: &Place) {
        let places = self.0.entry((target.clone(), operation)).or_default();
        places.entry(format!("{place:?}")).or_insert_with(|| place.clone());
    }

    /// As few entries as have a selector of their own, scales apart from objects.
    pub(super) fn entries(
        self,
        objects: &str,
        audience: &str,
        conditions: &[MatchCondition],
    ) -> Vec<Entry> {
        let versions = Versions::of(self.0.keys().map(|(target, _)| target));
        let mut selectors: BTreeMap<String, LabelSelector> = BTreeMap::new();
        let mut groups: BTreeMap<Apart, Kinds> = BTreeMap::new();
        for ((target, operation), places) in &self.0 {
            let (version, round) = versions.read(target);
            let target = Target { version: Some(version.to_owned()), ..target.clone() };
            let places: Vec<&Place> = places.values().collect();
            for (is_namespaced, selector) in reached(&places) {
                let key = format!("{selector:?}");
                selectors.insert(key.clone(), selector);
                let apart = (Sort::of(&target), (is_namespaced, key), round);
                let kinds = groups.entry(apart).or_default();
                kinds.entry(target.clone()).or_default().insert(*operation);
            }
        }
        let mut numbers: BTreeMap<Sort, usize> = BTreeMap::new();
        groups
            .into_iter()
            .map(|((sort, (is_namespaced, selector), _), kinds)| {
                let number = numbers.entry(sort).or_default();
                *number += 1;
                let name = match sort {
                    Sort::Objects => numbered(objects, *number, audience),
                    Sort::Scales => numbered("scale", *number, audience),
                    Sort::Spared => numbered(&format!("spared-{objects}"), *number, audience),
                };
                let mut conditions = conditions.to_vec();
                if kinds.keys().any(|target| target.group.is_empty() && target.resource == "pods") {
                    conditions.push(who::not_by_a_node());
                }
                let namespaces = selectors.get(&selector).cloned().unwrap_or_default();
                entry(&name, rules(&kinds, is_namespaced), conditions, namespaces)
            })
            .collect()
    }
}

type Kinds = BTreeMap<Target, BTreeSet<Operation>>;

/// One rule for all kinds of a group with the same version and operations.
fn rules(kinds: &Kinds, is_namespaced: bool) -> Vec<RuleWithOperations> {
    let mut rules: BTreeMap<(&str, &str, &BTreeSet<Operation>), Vec<String>> = BTreeMap::new();
    for (target, operations) in kinds {
        let resource = match target.subresource.as_str() {
            "" => target.resource.clone(),
            subresource => format!("{}/{subresource}", target.resource),
        };
        let version = target.version.as_deref().unwrap_or(ANY_VERSION);
        rules.entry((&target.group, version, operations)).or_default().push(resource);
    }
    let scope = if is_namespaced { "Namespaced" } else { "*" };
    rules
        .into_iter()
        .map(|((group, version, operations), resources)| RuleWithOperations {
            api_groups: Some(vec![group.to_owned()]),
            api_versions: Some(vec![version.to_owned()]),
            resources: Some(resources),
            operations: Some(operations.iter().map(ToString::to_string).collect()),
            scope: Some(scope.to_owned()),
        })
        .collect()
}

/// The selectors that together reach exactly these places. Those by label only add what those by name leave out.
fn reached(places: &[&Place]) -> Vec<(bool, LabelSelector)> {
    let is_namespaced = places.iter().all(|place| place.is_namespaced);
    let by_label = places.iter().filter(|place| place.selector.is_some()).count();
    let by_name = places.iter().filter(|p| p.selector.is_none() || by_label > MOST_SELECTORS);
    let left_out = by_name.map(|place| place.excluded.clone()).reduce(|one, other| &one & &other);
    let mut reached = Vec::new();
    if let Some(left_out) = &left_out {
        reached.push((is_namespaced, not_in(left_out)));
    }
    for place in places {
        let Some(labels) = &place.selector else { continue };
        let requirement = match &left_out {
            None => requirement("NotIn", &place.excluded),
            Some(left_out) => {
                let more: BTreeSet<String> = left_out - &place.excluded;
                if more.is_empty() {
                    continue;
                }
                requirement("In", &more)
            }
        };
        let mut selector = labels.clone();
        selector.match_expressions.get_or_insert_default().extend(requirement);
        selector.match_expressions.take_if(|expressions| expressions.is_empty());
        reached.push((is_namespaced, selector));
    }
    reached
}

/// All namespaces but these.
pub(super) fn not_in(names: &BTreeSet<String>) -> LabelSelector {
    let requirement = requirement("NotIn", names);
    LabelSelector {
        match_expressions: requirement.map(|requirement| vec![requirement]),
        ..LabelSelector::default()
    }
}

/// A requirement on a namespace's name; `None` where there is no name.
pub(super) fn requirement(
    operator: &str,
    names: &BTreeSet<String>,
) -> Option<LabelSelectorRequirement> {
    (!names.is_empty()).then(|| LabelSelectorRequirement {
        key: NAME_LABEL.to_owned(),
        operator: operator.to_owned(),
        values: Some(names.iter().cloned().collect()),
    })
}
