//! Properties of the judgement that hold for any write and any set of policies.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use smartops_common::denial::Rule;

use crate::amend::amend;
use crate::exception::Exception;
use crate::facts::Facts;
use crate::judge::{Judgement, judge};
use crate::policy::{
    Applied, GuardrailPolicySpec, KindMatch, Mode, OperationName, SubjectMatch, SubjectSet,
};
use crate::rules::RulesSpec;
use crate::rules::images::{ImageRule, ImagesSpec};
use crate::rules::paths::PathsSpec;
use crate::rules::replicas::{OnViolation, ReplicasSpec};
use crate::sample::{self, Write};
use crate::subject::Subject;
use crate::verdict::{Effect, Verdict};

fn verdict(old: &Value, new: &Value, subject: &Subject, policies: &[Applied]) -> Verdict {
    let write = Write::update("", &old.to_string(), &new.to_string());
    match judge(&write.change(), subject, &sample::facts(policies), sample::now()) {
        Judgement::Final(verdict) => verdict,
        Judgement::Needs(needs) => panic!("{needs:?}"),
    }
}

fn object() -> Value {
    json!({"metadata": {"name": "web", "generation": 7}, "spec": {"replicas": 3, "template": {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "shop:1"}, {"name": "log", "image": "log:1"}]}}}})
}

/// The text of a value with the keys of every object backwards.
fn backwards(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let members = map.iter().rev().map(|(k, v)| format!("{}:{}", json!(k), backwards(v)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(backwards).collect::<Vec<_>>().join(", "))
        }
        scalar => scalar.to_string(),
    }
}

/// The object with its containers the other way round.
fn turned(object: &Value) -> Value {
    let mut turned = object.clone();
    if let Some(containers) = turned["spec"]["template"]["spec"]["containers"].as_array_mut() {
        containers.reverse();
    }
    turned
}

/// One change of the object, each in a place of its own, so that none undoes another.
fn edit(which: usize, object: &mut Value) {
    let spec = &mut object["spec"];
    let pod = &mut spec["template"];
    match which {
        0 => spec["replicas"] = json!(50),
        1 => pod["spec"]["containers"][0]["image"] = json!("shop:2"),
        2 => pod["spec"]["securityContext"] = json!({"runAsUser": 0}),
        3 => pod["metadata"]["annotations"] = json!({"a": "b"}),
        4 => pod["metadata"]["labels"]["x"] = json!("y"),
        5 => pod["spec"]["containers"][1]["resources"] = json!({"limits": {"cpu": "1"}}),
        6 => pod["spec"]["volumes"] = json!([{"name": "v", "emptyDir": {}}]),
        7 => object["metadata"]["labels"] = json!({"a": "b"}),
        8 => spec["replicas"] = json!(0),
        9 => pod["spec"]["containers"][1]["image"] = json!("evil.example/log:latest"),
        10 => pod["spec"]["initContainers"] = json!([{"name": "i", "image": "init:1"}]),
        11 => object["spec"]["strategy"] = json!({"type": "Recreate"}),
        _ => pod["spec"]["hostNetwork"] = json!(true),
    }
}
const EDITS: usize = 13;

fn edited(edits: &[usize]) -> Value {
    let mut object = object();
    for which in edits {
        edit(*which, &mut object);
    }
    object
}

fn policy() -> impl Strategy<Value = GuardrailPolicySpec> {
    let mode = prop_oneof![Just(Mode::Enforce), Just(Mode::Warn), Just(Mode::Audit)];
    let on = prop_oneof![Just(OnViolation::Deny), Just(OnViolation::Clamp)];
    let replicas =
        (0..5, 5..60, 1..60, on).prop_map(|(min, max, step, on_violation)| ReplicasSpec {
            min: Some(min),
            max: Some(max),
            max_step: Some(step),
            step_window_seconds: None,
            on_violation,
        });
    let paths = prop_oneof![
        Just(PathsSpec { allow: Some(vec!["spec".into()]), forbid: vec![] }),
        Just(PathsSpec { allow: None, forbid: vec!["spec.template.spec.volumes".into()] }),
        Just(PathsSpec { allow: Some(vec!["spec.template.metadata".into()]), forbid: vec![] }),
    ];
    let images = prop_oneof![
        Just(ImagesSpec { change: ImageRule::Deny, ..ImagesSpec::default() }),
        Just(ImagesSpec { forbid_tags: vec!["latest".into()], ..ImagesSpec::default() }),
    ];
    (
        mode,
        proptest::option::of(replicas),
        proptest::option::of(paths),
        proptest::option::of(images),
        any::<bool>(),
    )
        .prop_map(|(mode, replicas, paths, images, for_automation)| {
            let mut spec = sample::baseline();
            spec.mode = mode;
            spec.match_.operations = vec![OperationName::Update];
            spec.match_.kinds.truncate(1);
            spec.rules.replicas = replicas;
            spec.rules.paths = paths;
            spec.rules.images = images;
            if for_automation {
                let include = SubjectSet { automation: true, ..SubjectSet::default() };
                spec.match_.subjects = Some(SubjectMatch { include: Some(include), exclude: None });
            }
            spec
        })
}

fn applied(specs: &[GuardrailPolicySpec]) -> Vec<Applied> {
    specs.iter().enumerate().map(|(i, s)| sample::applied(&format!("p{i}"), s)).collect()
}

fn subject() -> impl Strategy<Value = Subject> {
    prop_oneof![Just(sample::person()), Just(sample::automation())]
}

/// A policy that means nothing of what is judged here.
fn unrelated() -> Applied {
    let mut spec = sample::baseline();
    spec.match_.kinds = vec![KindMatch {
        group: "apps".into(),
        resource: "daemonsets".into(),
        ..KindMatch::default()
    }];
    spec.rules = RulesSpec {
        paths: Some(PathsSpec { allow: Some(vec![]), forbid: vec![] }),
        ..RulesSpec::default()
    };
    spec.match_.operations = vec![OperationName::Update];
    sample::applied("unrelated", &spec)
}

/// An exception from every rule a policy has, for the one object.
fn lifting(applied: &Applied) -> Arc<Exception> {
    let rules = &applied.policy.allowance().rules;
    let rules: Vec<&str> = rules.iter().map(|rule| rule.as_str()).collect();
    let spec = json!({
        "policy": **applied.policy.name(), "rules": if rules.is_empty() { vec!["images"] } else { rules },
        "target": {"group": "apps", "kind": "Deployment", "name": "web"},
        "reason": "any", "ticket": "any", "expiresAt": "2026-01-01T13:00:00Z",
    });
    let spec = serde_json::from_value(spec).unwrap();
    Arc::new(Exception::check("smartops-dev", "e", sample::now(), spec).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_order_of_keys_and_of_items_alike_on_both_sides_never_changes_the_verdict(
        specs in vec(policy(), 0..5), edits in vec(0..EDITS, 0..5), subject in subject(),
    ) {
        let mut policies = applied(&specs);
        policies.extend(sample::shipped_policies());
        let (old, new) = (object(), edited(&edits));
        let plain = verdict(&old, &new, &subject, &policies);
        let write = Write::update("", &backwards(&turned(&old)), &backwards(&turned(&new)));
        let turned = sample::verdict_with(&write, &subject, &sample::facts(&policies));
        prop_assert_eq!(plain, turned);
    }

    #[test]
    fn a_policy_about_something_else_never_changes_the_verdict(
        specs in vec(policy(), 0..5), edits in vec(0..EDITS, 0..5), subject in subject(),
    ) {
        let mut policies = applied(&specs);
        policies.extend(sample::shipped_policies());
        let before = verdict(&object(), &edited(&edits), &subject, &policies);
        policies.insert(0, unrelated());
        prop_assert_eq!(before, verdict(&object(), &edited(&edits), &subject, &policies));
    }

    #[test]
    fn what_was_clamped_is_not_clamped_again_and_not_refused_for_its_number(
        specs in vec(policy(), 1..5), old in 0_i64..70, asked in 0_i64..70, subject in subject(),
    ) {
        let policies = applied(&specs);
        let facts = sample::facts(&policies);
        let amended = |new: i64| {
            let write = sample::replicas(old, new);
            amend(&write.change(), &subject, &facts, sample::now()).unwrap()
        };
        let first = amended(asked);
        if let [op] = first.ops.as_slice() {
            prop_assert_eq!(amended(op.value).ops, vec![]);
            let write = sample::replicas(old, op.value);
            let verdict = sample::verdict_with(&write, &subject, &facts);
            let refused = verdict.denial().is_some_and(|d| d.causes.iter().any(|c| c.rule == Rule::Replicas));
            prop_assert!(!refused, "{old} {asked} {}", op.value);
        }
    }

    #[test]
    fn a_denied_change_never_becomes_allowed_by_adding_another(
        specs in vec(policy(), 0..4), edits in vec(0..EDITS, 1..4), more in 0..EDITS, subject in subject(),
    ) {
        let mut policies = applied(&specs);
        policies.extend(sample::shipped_policies());
        let denied = verdict(&object(), &edited(&edits), &subject, &policies).denial().is_some();
        let mut edits = edits;
        edits.push(more);
        let denied_with_more = verdict(&object(), &edited(&edits), &subject, &policies).denial().is_some();
        prop_assert!(!denied || denied_with_more);
    }

    #[test]
    fn the_order_of_policies_never_changes_the_verdict(
        specs in vec(policy(), 0..5), edits in vec(0..EDITS, 0..4), by in 0_usize..5, subject in subject(),
    ) {
        let mut policies = applied(&specs);
        let before = verdict(&object(), &edited(&edits), &subject, &policies);
        let by = by.min(policies.len());
        policies.rotate_left(by);
        prop_assert_eq!(&before, &verdict(&object(), &edited(&edits), &subject, &policies));
        policies.reverse();
        prop_assert_eq!(&before, &verdict(&object(), &edited(&edits), &subject, &policies));
    }

    #[test]
    fn more_policies_never_allow_more_of_what_is_named(
        specs in vec(policy(), 0..4), extra in policy(), edits in vec(0..EDITS, 0..4), subject in subject(),
    ) {
        // The shipped policy names updates of Deployments, so that naming is not what the extra policy adds.
        let mut policies = applied(&specs);
        policies.extend(sample::shipped_policies());
        let denied = verdict(&object(), &edited(&edits), &subject, &policies).denial().is_some();
        policies.push(sample::applied("extra", &extra));
        let denied_by_more = verdict(&object(), &edited(&edits), &subject, &policies).denial().is_some();
        prop_assert!(!denied || denied_by_more);
    }

    #[test]
    fn an_exception_lifts_nothing_of_another_policy_and_adds_no_refusal(
        specs in vec(policy(), 1..5), edits in vec(0..EDITS, 0..4), which in 0_usize..5, subject in subject(),
    ) {
        let mut policies = applied(&specs);
        policies.extend(sample::shipped_policies());
        let policy = Arc::clone(policies[which % policies.len()].policy.name());
        let exceptions = [lifting(&policies[which % policies.len()])];
        let refused = |exceptions: &[Arc<Exception>]| {
            let write = Write::update("", &object().to_string(), &edited(&edits).to_string());
            let facts = Facts { exceptions, ..sample::facts(&policies) };
            let verdict = sample::verdict_with(&write, &subject, &facts);
            let refused = verdict.outcomes.into_iter().filter(|o| o.effect == Effect::Deny);
            refused.map(|o| (o.policy, o.rule)).collect::<Vec<_>>()
        };
        let mut without = refused(&[]);
        without.retain(|(by, _)| *by != policy);
        prop_assert_eq!(without, refused(&exceptions));
    }

    #[test]
    fn nothing_changed_is_nothing_denied_on_the_way_a_policy_names(specs in vec(policy(), 0..4), subject in subject()) {
        let mut policies = applied(&specs);
        policies.extend(sample::shipped_policies());
        let verdict = verdict(&object(), &object(), &subject, &policies);
        prop_assert_eq!(verdict.denial(), None);
    }
}
