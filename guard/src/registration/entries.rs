//! The entries of each registration: which writes, in which namespaces, under which conditions. How the writes that
//! policies cover become few entries is `wanted`'s.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::admissionregistration::v1::{MatchCondition, RuleWithOperations};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use smartops_change::Operation;
use smartops_common::config::SmartOpsConfigSpec;
use smartops_common::names;

use super::demand::{Demand, Place, Target};
use super::outage;
use super::versions::{ANY_VERSION, Versions};
use super::wanted::{Wanted, not_in};
use super::who;

/// Groups in which automation may do only what a policy names.
const AUTOMATION_GROUPS: [&str; 8] = [
    "",
    "apps",
    "batch",
    "autoscaling",
    "discovery.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
];
/// SmartOps' own kinds, as far as a write of one is checked whoever makes it.
const CHECKED: [&str; 10] = [
    "guardrailpolicies",
    "guardrailexceptions",
    "smartopsconfigs",
    "smartopsconfigs/status",
    "remediations",
    "remediations/status",
    "remediationapprovals",
    "remediationpolicies",
    "remediationpolicies/status",
    "changeledgers",
];
/// Those on which admission stamps who asks or who approves.
const STAMPED: [&str; 2] = ["remediations", "remediationapprovals"];

/// One entry of a registration, before it is made validating or mutating.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) rules: Vec<RuleWithOperations>,
    pub(super) conditions: Vec<MatchCondition>,
    pub(super) namespaces: LabelSelector,
    pub(super) unanswered: Unanswered,
}

/// What becomes of a write about which no webhook answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// It is refused.
    Refused,
    /// It passes.
    Passes,
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
            rule(&[names::GROUP], &["*/*"], ANY_VERSION, "*"),
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
        [by_automation.clone(), who::not_the_controllers_own()].into_iter().chain(not).collect();
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
    outage::unanswered(entries, config.people.outage)
}

/// SmartOps' own kinds: whoever writes them, everywhere. The webhook does not ask itself about what it keeps.
pub(super) fn own() -> Entry {
    let rule = by(&[Operation::Create, Operation::Update], &CHECKED);
    entry("own", vec![rule], vec![who::not_the_webhooks_ledger()], LabelSelector::default())
}

/// The webhook's own trial whether the API server reaches it.
pub(super) fn reach() -> Entry {
    let rule = by(&[Operation::Create], &["changeledgers"]);
    entry("reach", vec![rule], vec![who::tries_its_reach()], LabelSelector::default())
}

/// The mutating half of SmartOps' own kinds: what is stamped when it comes into being.
pub(super) fn stamped() -> Entry {
    let rule = by(&[Operation::Create], &STAMPED);
    entry("own", vec![rule], Vec::new(), LabelSelector::default())
}

/// These operations on kinds of SmartOps' own.
fn by(operations: &[Operation], resources: &[&str]) -> RuleWithOperations {
    RuleWithOperations {
        operations: Some(operations.iter().map(ToString::to_string).collect()),
        ..rule(&[names::GROUP], resources, ANY_VERSION, "*")
    }
}

/// The mutating half of automation's: what a policy can clamp, and every write of SmartOps' own kinds. Mutating
/// webhooks are asked first of all, so that an attempt on those is seen whatever refuses it afterwards.
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
    let mut entries = wanted.entries("objects", "automation", std::slice::from_ref(by_automation));
    let own = rule(&[names::GROUP], &["*/*"], ANY_VERSION, "*");
    let conditions = vec![by_automation.clone(), who::not_the_controllers_own()];
    entries.push(entry("own.automation", vec![own], conditions, LabelSelector::default()));
    entries
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
    outage::unanswered(wanted.entries("objects", "people", by_people), config.people.outage)
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
    Entry {
        name: format!("{name}.{}", names::GROUP),
        rules,
        conditions,
        namespaces,
        unanswered: Unanswered::Refused,
    }
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
