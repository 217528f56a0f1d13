//! What becomes of people's writes about which no webhook answers. Whatever the configuration says, nobody is locked
//! out of what a cluster is repaired with: pods, nodes, leases, the cluster's own namespaces and SmartOps' own.

use std::collections::BTreeSet;

use k8s_openapi::api::admissionregistration::v1::RuleWithOperations;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use smartops_common::config::Outage;
use smartops_common::names;

use super::entries::{Entry, Unanswered};
use super::wanted::{NAME_LABEL, requirement};

/// Kinds whose writes by people never wait: group and plural.
const SPARED_KINDS: [(&str, &str); 3] =
    [("", "pods"), ("", "nodes"), ("coordination.k8s.io", "leases")];

/// Whether writes of a kind by people never wait, its subresources included.
pub(super) fn is_spared(group: &str, resource: &str) -> bool {
    SPARED_KINDS.contains(&(group, resource))
}

/// People's entries, each with what an outage means for it. One that reaches a namespace nobody may be locked out of is
/// made two: there its writes pass.
pub(super) fn unanswered(entries: Vec<Entry>, outage: Outage) -> Vec<Entry> {
    entries
        .into_iter()
        .flat_map(|entry| match outage {
            Outage::Backstop | Outage::Ignore => vec![passing(entry)],
            Outage::Fail if is_of_spared_kinds(&entry) => vec![passing(entry)],
            Outage::Fail => apart(entry),
        })
        .collect()
}

fn passing(entry: Entry) -> Entry {
    Entry { unanswered: Unanswered::Passes, ..entry }
}

fn is_of_spared_kinds(entry: &Entry) -> bool {
    entry.rules.iter().any(|rule| {
        let groups = rule.api_groups.iter().flatten();
        let mut kinds = groups.flat_map(|group| {
            let resources = rule.resources.iter().flatten();
            resources.map(move |resource| (group, resource.split('/').next().unwrap_or_default()))
        });
        kinds.any(|(group, resource)| is_spared(group, resource))
    })
}

/// The entry where it may hold writes up and, where it reaches them, the namespaces in which it may not.
fn apart(entry: Entry) -> Vec<Entry> {
    let spared: BTreeSet<String> = names::UNGUARDED_NAMESPACES
        .into_iter()
        .filter(|namespace| reaches(&entry.namespaces, namespace))
        .map(str::to_owned)
        .collect();
    if spared.is_empty() {
        return vec![entry];
    }
    let within = |operator: &str| within(entry.namespaces.clone(), operator, &spared);
    let namespaced = |rule: &RuleWithOperations| RuleWithOperations {
        scope: Some("Namespaced".to_owned()),
        ..rule.clone()
    };
    let is_of_namespaces = |rule: &RuleWithOperations| {
        rule.resources.iter().flatten().any(|r| r.split('/').next() == Some("namespaces"))
    };
    let open = Entry {
        name: format!("spared.{}", entry.name),
        // An object in no namespace is in none of these; a namespace itself is.
        rules: if entry.rules.iter().any(is_of_namespaces) {
            entry.rules.clone()
        } else {
            entry.rules.iter().map(namespaced).collect()
        },
        namespaces: within("In"),
        ..passing(entry.clone())
    };
    vec![Entry { namespaces: within("NotIn"), ..entry }, open]
}

/// The selector with one more requirement, on a namespace's name.
pub(crate) fn within(
    mut selector: LabelSelector,
    operator: &str,
    namespaces: &BTreeSet<String>,
) -> LabelSelector {
    let more = requirement(operator, namespaces);
    selector.match_expressions.get_or_insert_default().extend(more);
    selector
}

/// Whether a selector can select the namespace of this name, by what it says of names.
pub(super) fn reaches(selector: &LabelSelector, namespace: &str) -> bool {
    let named = selector.match_expressions.iter().flatten().filter(|e| e.key == NAME_LABEL);
    let mut named = named.map(|expression| {
        let listed = expression.values.iter().flatten().any(|name| name == namespace);
        match expression.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            _ => true,
        }
    });
    let labelled = selector.match_labels.iter().flatten().find(|(key, _)| *key == NAME_LABEL);
    named.all(|reaches| reaches) && labelled.is_none_or(|(_, name)| name == namespace)
}
