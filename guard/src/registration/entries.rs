//! The entries of each registration: which writes, in which namespaces, under which conditions. How the writes that
//! policies cover become few entries is `wanted`'s.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::admissionregistration::v1::{MatchCondition, RuleWithOperations};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use smartops_change::Operation;
use smartops_common::config::SmartOpsConfigSpec;
use smartops_common::names;

use super::demand::{Demand, Place, Target};
use super::versions::{ANY_VERSION, Versions};
use super::wanted::{Wanted, not_in};
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
/// SmartOps' own kinds, of which automation may write none. Remediations are the controller's to write.
const OWN_KINDS: [&str; 8] = [
    "guardrailpolicies",
    "guardrailpolicies/*",
    "guardrailexceptions",
    "guardrailexceptions/*",
    "smartopsconfigs",
    "smartopsconfigs/*",
    "changeledgers",
    "changeledgers/*",
];
/// One entry of a registration, before it is made validating or mutating.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) rules: Vec<RuleWithOperations>,
    pub(super) conditions: Vec<MatchCondition>,
    pub(super) namespaces: LabelSelector,
}

/// Automation's: everything in its groups, SmartOps' own kinds, and the custom resources of policies that bind it.
/// People's registration leaves automation out, so that what is not asked about here would be judged by no policy at all.
pub(super) fn automation(by_automation: &MatchCondition, demands: &[&Demand]) -> Vec<Entry> {
    let binding = demands.iter().filter(|demand| demand.binds.automation);
    let targets: Vec<&Target> = binding
        .flat_map(|demand| demand.targets())
        .filter(|t| !AUTOMATION_GROUPS.contains(&t.group.as_str()))
        .collect();
    let versions = Versions::of(targets.iter().copied());
    let custom: BTreeSet<(usize, &str, &str, &str)> = targets
        .into_iter()
        .map(|t| {
            let (version, round) = versions.read(t);
            (round, t.group.as_str(), t.resource.as_str(), version)
        })
        .collect();
    let everything = Parts {
        objects: vec![
            rule(&AUTOMATION_GROUPS, &["*/*"], ANY_VERSION, "*"),
            rule(&[names::GROUP], &OWN_KINDS, ANY_VERSION, "*"),
        ],
        scales: vec![rule(&AUTOMATION_GROUPS, &["*/scale"], ANY_VERSION, "*")],
    };
    let mut rounds = BTreeMap::from([(0, everything)]);
    for (round, group, resource, version) in custom {
        let parts = rounds.entry(round).or_default();
        let below = format!("{resource}/*");
        parts.objects.push(rule(&[group], &[resource, &below], version, "*"));
        parts.scales.push(rule(&[group], &[&format!("{resource}/scale")], version, "*"));
    }
    let not = [
        who::condition("not-events", "request.resource.resource != 'events'".to_owned()),
        who::condition(
            "not-scale",
            "!has(request.subResource) || request.subResource != 'scale'".to_owned(),
        ),
    ];
    let conditions: Vec<MatchCondition> =
        std::iter::once(by_automation.clone()).chain(not).collect();
    rounds
        .into_iter()
        .flat_map(|(round, parts)| {
            let named = |what: &str| numbered(what, round + 1, "automation");
            let everywhere = LabelSelector::default();
            [
                entry(&named("objects"), parts.objects, conditions.clone(), everywhere.clone()),
                entry(&named("scale"), parts.scales, vec![by_automation.clone()], everywhere),
            ]
        })
        .collect()
}

/// The rules of one pair of entries of automation's.
#[derive(Default)]
struct Parts {
    objects: Vec<RuleWithOperations>,
    scales: Vec<RuleWithOperations>,
}

/// People's: exactly what policies that can bind people cover, and the relabelling of namespaces out of one.
pub(super) fn people(
    config: &SmartOpsConfigSpec,
    by_people: &[MatchCondition],
    demands: &[&Demand],
) -> Vec<Entry> {
    let binding: Vec<&Demand> =
        demands.iter().copied().filter(|demand| demand.binds.people).collect();
    let (mut wanted, mut labels) = (Wanted::default(), Wanted::default());
    for demand in &binding {
        let place = demand.place(config);
        for (target, operation) in &demand.covered {
            wanted.add(target, *operation, &place);
        }
        for target in &demand.relabelled {
            labels.add(target, Operation::Update, &place);
        }
    }
    let mut entries = wanted.entries("objects", "people", by_people);
    let by_people: Vec<MatchCondition> =
        by_people.iter().cloned().chain([who::changes_labels()]).collect();
    entries.extend(labels.entries("labels", "people", &by_people));
    entries.extend(relabelled(config, &by_people, &binding));
    entries
}

/// Written policies, exceptions and configuration: everybody's, everywhere.
pub(super) fn policies() -> Entry {
    let resources = ["guardrailpolicies", "guardrailexceptions", "smartopsconfigs"];
    let rule = RuleWithOperations {
        operations: Some(vec!["CREATE".to_owned(), "UPDATE".to_owned()]),
        ..rule(&[names::GROUP], &resources, ANY_VERSION, "*")
    };
    entry("policies", vec![rule], Vec::new(), LabelSelector::default())
}

/// The mutating half of automation's.
pub(super) fn clamped_automation(
    by_automation: &MatchCondition,
    demands: &[&Demand],
) -> Vec<Entry> {
    let everywhere = Place { excluded: BTreeSet::new(), selector: None, is_namespaced: false };
    let mut wanted = Wanted::default();
    for demand in demands.iter().filter(|demand| demand.binds.automation) {
        for (target, operation) in clamped(demand) {
            wanted.add(target, operation, &everywhere);
        }
    }
    wanted.entries("objects", "automation", std::slice::from_ref(by_automation))
}

/// The mutating half of people's.
pub(super) fn clamped_people(
    config: &SmartOpsConfigSpec,
    by_people: &[MatchCondition],
    demands: &[&Demand],
) -> Vec<Entry> {
    let mut wanted = Wanted::default();
    for demand in demands.iter().filter(|demand| demand.binds.people) {
        let place = demand.place(config);
        for (target, operation) in clamped(demand) {
            wanted.add(target, operation, &place);
        }
    }
    wanted.entries("objects", "people", by_people)
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

/// An update of a namespace, or of what the API server stores with its labels, that could take it out of a policy
/// which selects namespaces by label. By name, not by label: the API server would look at the labels the namespace is
/// about to have.
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
        ..rule(&[""], &["namespaces", "namespaces/status", "namespaces/finalize"], ANY_VERSION, "*")
    };
    Some(entry("namespaces.people", vec![rule], by_people.to_vec(), not_in(&excluded)))
}

/// The name of an entry, as the first of its sort or a further one.
pub(super) fn numbered(what: &str, number: usize, audience: &str) -> String {
    match number {
        1 => format!("{what}.{audience}"),
        number => format!("{what}-{number}.{audience}"),
    }
}

pub(super) fn entry(
    name: &str,
    rules: Vec<RuleWithOperations>,
    conditions: Vec<MatchCondition>,
    namespaces: LabelSelector,
) -> Entry {
    Entry { name: format!("{name}.{}", names::GROUP), rules, conditions, namespaces }
}

/// Every operation on these.
fn rule(groups: &[&str], resources: &[&str], version: &str, scope: &str) -> RuleWithOperations {
    let owned = |items: &[&str]| Some(items.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
    RuleWithOperations {
        api_groups: owned(groups),
        api_versions: owned(&[version]),
        resources: owned(resources),
        operations: owned(&Operation::ALL.map(Operation::as_str)),
        scope: Some(scope.to_owned()),
    }
}
