//! What is wrong with a RemediationPolicy that its schema cannot say. The webhook asks when one is written, the controller
//! when it reads one.

use std::collections::BTreeSet;

use kube_core::Selector;

use super::{Options, RemediationPolicySpec, RemedyRule};
use crate::action::{Action, ActionType};
use crate::remediation::MetricCheck;

/// One thing that is wrong: where, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The path of the field, from the object's root.
    pub field: String,
    /// What is wrong with it, and what is allowed.
    pub reason: String,
}

/// Everything that is wrong with a policy.
pub fn check(spec: &RemediationPolicySpec) -> Vec<Wrong> {
    let mut found = Vec::new();
    let selects = [("namespaces", &spec.selects.namespaces), ("objects", &spec.selects.objects)];
    for (name, selector) in selects {
        let read = selector.clone().map(Selector::try_from);
        if let Some(Err(error)) = read {
            let reason = format!("cannot be read: {error}");
            found.push(Wrong { field: format!("spec.match.{name}"), reason });
        }
    }
    let mut names = BTreeSet::new();
    for (place, rule) in spec.rules.iter().enumerate() {
        let at = |field: &str| format!("spec.rules[{place}].{field}");
        if !names.insert(rule.name.as_str()) {
            let reason =
                format!("{:?} is the name of an earlier rule: give each its own", rule.name);
            found.push(Wrong { field: at("name"), reason });
        }
        found.extend(of_rule(rule).map(|(field, reason)| Wrong { field: at(&field), reason }));
    }
    let of_defaults = of_options(&spec.defaults);
    found.extend(
        of_defaults
            .map(|(field, reason)| Wrong { field: format!("spec.defaults.{field}"), reason }),
    );
    found
}

type Told = (String, String);

fn of_rule(rule: &RemedyRule) -> impl Iterator<Item = Told> {
    let score = rule
        .when
        .min_score
        .as_deref()
        .filter(|text| !text.parse::<f64>().is_ok_and(|score| (0.0..=1.0).contains(&score)));
    let score = score.map(|text| {
        ("when.minScore".to_owned(), format!("is {text:?}: give a number from 0 to 1"))
    });
    let action =
        rule.action.as_ref().and_then(of_action).map(|reason| ("action".to_owned(), reason));
    let options =
        of_options(&rule.options).map(|(field, reason)| (format!("options.{field}"), reason));
    score.into_iter().chain(action).chain(options.collect::<Vec<_>>())
}

/// A signal says nothing that could fill in what an action leaves open, and a fixed number can take away.
fn of_action(action: &Action) -> Option<String> {
    match action.type_ {
        ActionType::Scale if action.scale.as_ref().is_none_or(|scale| scale.delta.is_none()) => Some(
            "is a scale to a fixed number, which takes replicas away where there are more: give scale.delta".to_owned(),
        ),
        ActionType::EvictPod if action.evict_pod.is_some() => {
            Some("names one pod, which is gone after the first time: leave evictPod out".to_owned())
        }
        ActionType::Rollback if action.rollback.is_some() => {
            Some("names one revision, whose number moves: leave rollback out".to_owned())
        }
        _ => None,
    }
}

fn of_options(options: &Options) -> impl Iterator<Item = Told> {
    let checks = options.checks.iter().flatten().enumerate();
    checks.flat_map(|(place, check)| {
        limits(check).into_iter().filter_map(move |(name, text)| {
            let text = text.as_deref()?;
            let is_number = text.parse::<f64>().is_ok_and(f64::is_finite);
            (!is_number).then(|| {
                (
                    format!("checks[{place}].{name}"),
                    format!("is {text:?}: give a number, such as \"0.5\""),
                )
            })
        })
    })
}

fn limits(check: &MetricCheck) -> [(&'static str, Option<String>); 3] {
    [("max", check.max.clone()), ("min", check.min.clone()), ("maxRatio", check.max_ratio.clone())]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn fields(spec: Value) -> Vec<String> {
        let spec: RemediationPolicySpec = serde_json::from_value(spec).unwrap();
        check(&spec).into_iter().map(|wrong| wrong.field).collect()
    }

    #[test]
    fn a_policy_that_can_be_decided_by_has_nothing_wrong() {
        let spec = json!({
            "match": {"namespaces": {"matchLabels": {"team": "erp"}}},
            "rules": [
                {"name": "cpu", "when": {"causes": ["cpu_saturation"], "minScore": "0.8"},
                 "action": {"type": "scale", "scale": {"delta": 1}}},
                {"name": "rest", "action": {"type": "restart"},
                 "options": {"checks": [{"name": "p95", "query": "up", "max": "0.5"}]}},
            ],
        });
        assert_eq!(fields(spec), Vec::<String>::new());
    }

    #[test]
    fn each_thing_that_is_wrong_is_told_with_its_place() {
        let rule = |rule: Value| json!({"rules": [rule]});
        let selector = json!({"matchExpressions": [{"key": "a", "operator": "Sometimes"}]});
        let checks = |limit: &str| json!([{"name": "p95", "query": "up", "maxRatio": limit}]);
        for (spec, expected) in [
            (json!({"match": {"objects": selector}}), "spec.match.objects"),
            (
                rule(json!({"name": "a", "when": {"minScore": "1.1"}})),
                "spec.rules[0].when.minScore",
            ),
            (
                rule(json!({"name": "a", "when": {"minScore": "high"}})),
                "spec.rules[0].when.minScore",
            ),
            (
                rule(json!({"name": "a", "action": {"type": "scale", "scale": {"replicas": 4}}})),
                "spec.rules[0].action",
            ),
            (
                rule(
                    json!({"name": "a", "action": {"type": "evict-pod", "evictPod": {"pod": "p"}}}),
                ),
                "spec.rules[0].action",
            ),
            (
                rule(
                    json!({"name": "a", "action": {"type": "rollback", "rollback": {"toRevision": 2}}}),
                ),
                "spec.rules[0].action",
            ),
            (
                rule(json!({"name": "a", "options": {"checks": checks("NaN")}})),
                "spec.rules[0].options.checks[0].maxRatio",
            ),
            (json!({"defaults": {"checks": checks("ten")}}), "spec.defaults.checks[0].maxRatio"),
            (json!({"rules": [{"name": "a"}, {"name": "a"}]}), "spec.rules[1].name"),
        ] {
            assert_eq!(fields(spec.clone()), [expected], "{spec}");
        }
    }
}
