//! The entries of each registration: which writes, in which namespaces. Few entries, and no write is asked about
//! twice where names of namespaces can tell its entries apart.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::admissionregistration::v1::{MatchCondition, RuleWithOperations};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use smartops_change::Operation;
use smartops_common::config::SmartOpsConfigSpec;
use smartops_common::names;

use super::demand::{Demand, Place, Target};
use super::who;

/// Groups in which automation may do only what a policy names.
const AUTOMATION_GROUPS: [&str; 7] = [
    "",
    "apps",
    "batch",
    "autoscaling",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
];
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// One entry of a registration, before it is made validating or mutating.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) rules: Vec<RuleWithOperations>,
    pub(super) conditions: Vec<MatchCondition>,
    pub(super) namespaces: LabelSelector,
}

/// Automation's: everything in its groups, and the custom resources of policies that bind it. People's registration
/// leaves automation out, so that what is not asked about here would be judged by no policy at all.
pub(super) fn automation(by_automation: &MatchCondition, demands: &[Demand]) -> Vec<Entry> {
    let custom: BTreeSet<(&str, &str)> = demands
        .iter()
        .filter(|demand| demand.binds.automation)
        .flat_map(|demand| &demand.covered)
        .map(|(target, _)| (target.group.as_str(), target.resource.as_str()))
        .filter(|(group, _)| !AUTOMATION_GROUPS.contains(group))
        .collect();
    let (mut objects, mut scales) = (
        vec![rule(&AUTOMATION_GROUPS, &["*/*"], "*")],
        vec![rule(&AUTOMATION_GROUPS, &["*/scale"], "*")],
    );
    for (group, resource) in custom {
        objects.push(rule(&[group], &[resource, &format!("{resource}/*")], "*"));
        scales.push(rule(&[group], &[&format!("{resource}/scale")], "*"));
    }
    let not = [
        who::condition("not-events", "request.resource.resource != 'events'".to_owned()),
        who::condition(
            "not-scale",
            "!has(request.subResource) || request.subResource != 'scale'".to_owned(),
        ),
    ];
    let conditions = std::iter::once(by_automation.clone()).chain(not).collect();
    vec![
        entry("objects.automation", objects, conditions, LabelSelector::default()),
        entry("scale.automation", scales, vec![by_automation.clone()], LabelSelector::default()),
    ]
}

/// People's: exactly what policies that can bind people cover, and the relabelling of namespaces out of one.
pub(super) fn people(
    config: &SmartOpsConfigSpec,
    by_people: &[MatchCondition],
    demands: &[Demand],
) -> Vec<Entry> {
    let binding: Vec<&Demand> = demands.iter().filter(|demand| demand.binds.people).collect();
    let mut wanted = Wanted::default();
    for demand in &binding {
        let place = demand.place(config);
        for (target, operation) in &demand.covered {
            wanted.add(target, *operation, &place);
        }
    }
    let mut entries = wanted.entries("people", by_people);
    entries.extend(relabelled(config, by_people, &binding));
    entries
}

/// Written policies and configuration: everybody's, everywhere.
pub(super) fn policies() -> Entry {
    let resources = ["guardrailpolicies", "smartopsconfigs"];
    let rule = RuleWithOperations {
        operations: Some(vec!["CREATE".to_owned(), "UPDATE".to_owned()]),
        ..rule(&[names::GROUP], &resources, "*")
    };
    entry("policies", vec![rule], Vec::new(), LabelSelector::default())
}

/// The mutating half of automation's.
pub(super) fn clamped_automation(by_automation: &MatchCondition, demands: &[Demand]) -> Vec<Entry> {
    let everywhere = Place { excluded: BTreeSet::new(), selector: None, is_namespaced: false };
    let mut wanted = Wanted::default();
    for demand in demands.iter().filter(|demand| demand.binds.automation) {
        for (target, operation) in clamped(demand) {
            wanted.add(target, operation, &everywhere);
        }
    }
    wanted.entries("automation", std::slice::from_ref(by_automation))
}

/// The mutating half of people's.
pub(super) fn clamped_people(
    config: &SmartOpsConfigSpec,
    by_people: &[MatchCondition],
    demands: &[Demand],
) -> Vec<Entry> {
    let mut wanted = Wanted::default();
    for demand in demands.iter().filter(|demand| demand.binds.people) {
        let place = demand.place(config);
        for (target, operation) in clamped(demand) {
            wanted.add(target, operation, &place);
        }
    }
    wanted.entries("people", by_people)
}

/// The writes of a demand whose numbers can be clamped.
fn clamped(demand: &Demand) -> impl Iterator<Item = (&Target, Operation)> {
    let numbered = |target: &Target| {
        ["", "scale"].contains(&target.subresource.as_str())
            && !["horizontalpodautoscalers", "pods", "daemonsets"]
                .contains(&target.resource.as_str())
    };
    let covered = demand.covered.iter().filter(|_| demand.clamps);
    covered
        .filter(move |(target, operation)| {
            numbered(target) && [Operation::Create, Operation::Update].contains(operation)
        })
        .map(|(target, operation)| (target, *operation))
}

/// An UPDATE of a namespace that could take it out of a policy which selects namespaces by label. By name, not by
/// label: the API server would look at the labels the namespace is about to have.
fn relabelled(
    config: &SmartOpsConfigSpec,
    by_people: &[MatchCondition],
    demands: &[&Demand],
) -> Option<Entry> {
    let holding = demands.iter().filter(|demand| demand.holds_namespaces);
    let excluded = holding.map(|demand| demand.place(config).excluded);
    let excluded = excluded.reduce(|one, other| &one & &other)?;
    let rule = RuleWithOperations {
        operations: Some(vec![Operation::Update.to_string()]),
        ..rule(&[""], &["namespaces"], "*")
    };
    Some(entry("namespaces.people", vec![rule], by_people.to_vec(), not_in(&excluded)))
}

/// Which writes are to be asked about, and where.
#[derive(Default)]
struct Wanted(BTreeMap<(Target, Operation), Vec<Place>>);

/// Where an entry applies: whether to objects in namespaces only, and to which. Selectors have no order of their own.
type Reach = (bool, String);

impl Wanted {
    fn add(&mut self, target: &Target, operation: Operation, place: &Place) {
        let places = self.0.entry((target.clone(), operation)).or_default();
        if !places.contains(place) {
            places.push(place.clone());
        }
    }

    /// As few entries as have a selector of their own, scales apart from objects.
    fn entries(self, audience: &str, conditions: &[MatchCondition]) -> Vec<Entry> {
        let mut selectors: BTreeMap<String, LabelSelector> = BTreeMap::new();
        let mut groups: BTreeMap<(bool, Reach), Kinds> = BTreeMap::new();
        for ((target, operation), places) in self.0 {
            for (is_namespaced, selector) in reached(&places) {
                let key = format!("{selector:?}");
                selectors.insert(key.clone(), selector);
                let kinds = groups
                    .entry((target.subresource == "scale", (is_namespaced, key)))
                    .or_default();
                kinds.entry(target.clone()).or_default().insert(operation);
            }
        }
        let mut numbers: BTreeMap<bool, usize> = BTreeMap::new();
        groups
            .into_iter()
            .map(|((is_scale, (is_namespaced, selector)), kinds)| {
                let number = numbers.entry(is_scale).or_default();
                *number += 1;
                let what = if is_scale { "scale" } else { "objects" };
                let name = match *number {
                    1 => format!("{what}.{audience}"),
                    number => format!("{what}-{number}.{audience}"),
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

/// One rule for all kinds of a group with the same operations.
fn rules(kinds: &Kinds, is_namespaced: bool) -> Vec<RuleWithOperations> {
    let mut rules: BTreeMap<(&str, &BTreeSet<Operation>), Vec<String>> = BTreeMap::new();
    for (target, operations) in kinds {
        let resource = match target.subresource.as_str() {
            "" => target.resource.clone(),
            subresource => format!("{}/{subresource}", target.resource),
        };
        rules.entry((&target.group, operations)).or_default().push(resource);
    }
    let scope = if is_namespaced { "Namespaced" } else { "*" };
    rules
        .into_iter()
        .map(|((group, operations), resources)| RuleWithOperations {
            api_groups: Some(vec![group.to_owned()]),
            api_versions: Some(vec!["*".to_owned()]),
            resources: Some(resources),
            operations: Some(operations.iter().map(ToString::to_string).collect()),
            scope: Some(scope.to_owned()),
        })
        .collect()
}

/// The selectors that together reach exactly these places. Those by label only add what those by name leave out.
fn reached(places: &[Place]) -> Vec<(bool, LabelSelector)> {
    let is_namespaced = places.iter().all(|place| place.is_namespaced);
    let by_name = places.iter().filter(|place| place.selector.is_none());
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

fn not_in(names: &BTreeSet<String>) -> LabelSelector {
    let requirement = requirement("NotIn", names);
    LabelSelector {
        match_expressions: requirement.map(|requirement| vec![requirement]),
        ..LabelSelector::default()
    }
}

/// A requirement on a namespace's name; `None` where there is no name.
fn requirement(operator: &str, names: &BTreeSet<String>) -> Option<LabelSelectorRequirement> {
    (!names.is_empty()).then(|| LabelSelectorRequirement {
        key: NAME_LABEL.to_owned(),
        operator: operator.to_owned(),
        values: Some(names.iter().cloned().collect()),
    })
}

fn entry(
    name: &str,
    rules: Vec<RuleWithOperations>,
    conditions: Vec<MatchCondition>,
    namespaces: LabelSelector,
) -> Entry {
    Entry { name: format!("{name}.{}", names::GROUP), rules, conditions, namespaces }
}

/// Every operation on these.
fn rule(groups: &[&str], resources: &[&str], scope: &str) -> RuleWithOperations {
    let owned = |items: &[&str]| Some(items.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
    RuleWithOperations {
        api_groups: owned(groups),
        api_versions: owned(&["*"]),
        resources: owned(resources),
        operations: owned(&Operation::ALL.map(Operation::as_str)),
        scope: Some(scope.to_owned()),
    }
}
