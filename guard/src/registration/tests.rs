//! What the registrations hold, by subject. The policies and the reading of entries they share are here.

mod asked;
mod audiences;
#[cfg(feature = "cel")]
mod conditions;
mod waiting;

use smartops_change::Operation;
use smartops_common::config::{Automation, Guarded, Outage, People, ServiceAccount};

use super::*;
use crate::policy::{
    GuardrailPolicySpec, KindMatch, Mode, NamespaceMatch, OperationName, SubjectMatch, SubjectSet,
    compile, shipped,
};
use crate::rules::RulesSpec;
use crate::sample;

fn config() -> SmartOpsConfigSpec {
    SmartOpsConfigSpec {
        automation: Automation {
            users: vec!["ci".into()],
            groups: vec!["bots".into()],
            service_accounts: vec![ServiceAccount { namespace: "a".into(), name: "x".into() }],
            namespaces: vec!["agents".into()],
        },
        ..SmartOpsConfigSpec::default()
    }
}

fn demand(spec: &GuardrailPolicySpec) -> Demand {
    Demand::of(spec, &compile("p", spec).unwrap())
}

fn work_out(demands: &[Demand]) -> Registrations {
    let demands: Vec<&Demand> = demands.iter().collect();
    registrations(&SmartOpsConfigSpec::default(), &demands, &Reach::Service, None).unwrap()
}

/// A policy of no rules for these kinds, everywhere, for everybody.
fn naming(kinds: &[(&str, &str)], operations: &[OperationName]) -> GuardrailPolicySpec {
    let mut spec = sample::baseline();
    spec.rules = RulesSpec::default();
    spec.match_.namespaces = None;
    spec.match_.operations = operations.to_vec();
    let kind = |&(group, resource): &(&str, &str)| KindMatch {
        group: group.into(),
        resource: resource.into(),
        ..KindMatch::default()
    };
    spec.match_.kinds = kinds.iter().map(kind).collect();
    spec
}

/// What the entries of a registration send: name, where, and `OPERATIONS group/resources` of each rule.
fn entries(webhooks: Option<&Vec<ValidatingWebhook>>) -> Vec<String> {
    let list = |items: &Option<Vec<String>>| items.clone().unwrap_or_default().join(",");
    webhooks
        .into_iter()
        .flatten()
        .map(|webhook| {
            let selector = webhook.namespace_selector.clone().unwrap_or_default();
            let labels =
                selector.match_labels.into_iter().flatten().map(|(k, v)| format!("{k}={v}"));
            let names = selector.match_expressions.into_iter().flatten().map(|e| {
                let key = e.key.trim_start_matches("kubernetes.io/metadata.").to_owned();
                format!("{key} {} {}", e.operator, e.values.unwrap_or_default().join(","))
            });
            let place: Vec<String> = labels.chain(names).collect();
            let rules: Vec<String> = webhook
                .rules
                .iter()
                .flatten()
                .map(|r| {
                    let version = list(&r.api_versions);
                    let version =
                        if version == "*" { String::new() } else { format!(" in {version}") };
                    format!(
                        "{} {}/{}{version}",
                        list(&r.operations),
                        list(&r.api_groups),
                        list(&r.resources)
                    )
                })
                .collect();
            let name = webhook.name.trim_end_matches(".smartops.dev");
            format!("{name} [{}] {}", place.join(" & "), rules.join(" + "))
        })
        .collect()
}

/// People's, where no outage makes two of one.
fn people(demands: &[Demand]) -> Vec<String> {
    let config = in_outage(Outage::Ignore);
    let demands: Vec<&Demand> = demands.iter().collect();
    let all = registrations(&config, &demands, &Reach::Service, None).unwrap();
    entries(all.validating[1].webhooks.as_ref())
}

fn in_outage(outage: Outage) -> SmartOpsConfigSpec {
    SmartOpsConfigSpec { people: People { outage }, ..SmartOpsConfigSpec::default() }
}
