//! Properties of the judgement that hold for any write and any set of policies.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::judge::{Judgement, judge};
use crate::policy::{Applied, GuardrailPolicySpec, Mode, OperationName, SubjectMatch, SubjectSet};
use crate::rules::images::{ImageRule, ImagesSpec};
use crate::rules::paths::PathsSpec;
use crate::rules::replicas::{OnViolation, ReplicasSpec};
use crate::sample::{self, Write};
use crate::subject::Subject;
use crate::verdict::Verdict;

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
        _ => pod["spec"]["hostNetwork"] = json!(true),
    }
}
const EDITS: usize = 9;

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
    let replicas = (0..5, 5..60, 1..60, on).prop_map(|(min, max, step, on_violation)| {
        ReplicasSpec { min: Some(min), max: Some(max), max_step: Some(step), on_violation }
    });
    let paths = prop_oneof![
        Just(PathsSpec { allow: Some(vec!["spec".into()]), forbid: vec![] }),
        Just(PathsSpec { allow: None, forbid: vec!["spec.template.spec.volumes".into()] }),
        Just(PathsSpec { allow: Some(vec!["spec.template.metadata".into()]), forbid: vec![] }),
    ];
    let images = prop_oneof![Just(ImageRule::Deny), Just(ImageRule::Allow)];
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
            spec.rules.replicas = replicas;
            spec.rules.paths = paths;
            spec.rules.images = images.map(|change| ImagesSpec { change });
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

proptest! {
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
    fn nothing_changed_is_nothing_denied_on_the_way_a_policy_names(specs in vec(policy(), 0..4), subject in subject()) {
        let mut policies = applied(&specs);
        policies.extend(sample::shipped_policies());
        let verdict = verdict(&object(), &object(), &subject, &policies);
        prop_assert_eq!(verdict.denial(), None);
    }
}
