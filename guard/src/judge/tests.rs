//! Who is judged at all, and by which policies. What each rule finds is tested beside the rule.

use smartops_change::Operation;
use smartops_common::denial::Rule;

use crate::policy::{Applied, Mode};
use crate::sample::{self, Write};

#[test]
fn automation_may_do_only_what_a_policy_names() {
    for (operation, group, resource, named) in [
        (Operation::Update, "apps", "deployments", true),
        (Operation::Update, "apps", "deployments/scale", true),
        (Operation::Update, "apps", "deployments/status", false),
        (Operation::Create, "apps", "deployments", false),
        (Operation::Delete, "apps", "deployments", false),
        (Operation::Update, "apps", "statefulsets", false),
        (Operation::Update, "", "configmaps", false),
        (Operation::Update, "", "deployments", false),
        (Operation::Update, "autoscaling", "horizontalpodautoscalers", false),
        (Operation::Connect, "", "pods/exec", false),
    ] {
        let write = Write::of(operation, group, resource);
        let unnamed = sample::refused(&write, &sample::automation()).contains(&Rule::Unnamed);
        assert_eq!(unnamed, !named, "{operation} {group}/{resource}");
        assert_eq!(
            sample::refused(&write, &sample::person()),
            [],
            "{operation} {group}/{resource}"
        );
    }
}

#[test]
fn a_policy_that_may_not_apply_judges_and_names_nothing() {
    let mut policies = sample::shipped_policies();
    for applied in &mut policies {
        applied.is_certain = false;
    }
    let verdict = sample::verdict_with(
        &sample::scale(3, 9),
        &sample::automation(),
        &sample::facts(&policies),
    );
    let rules: Vec<Rule> = verdict.denial().unwrap().causes.iter().map(|c| c.rule).collect();
    assert_eq!(rules, [Rule::Replicas, Rule::Unnamed]);
}

#[test]
fn the_control_plane_is_left_alone_where_a_person_is_not() {
    let write = sample::scale(3, 50);
    for user in [
        "system:kube-controller-manager",
        "system:serviceaccount:kube-system:horizontal-pod-autoscaler",
    ] {
        assert_eq!(sample::refused(&write, &sample::subject(user, &[])), []);
    }
    assert_eq!(
        sample::refused(&write, &sample::subject("admin", &["system:masters"])),
        [Rule::Replicas]
    );
}

#[test]
fn a_finaliser_lets_go_for_a_person_and_not_for_automation() {
    let object = |finalizers: &str| {
        format!(
            r#"{{"metadata":{{"deletionTimestamp":"2026-01-01T00:00:00Z"{finalizers}}},"spec":{{"replicas":50}}}}"#
        )
    };
    let write = Write::update("", &object(r#","finalizers":["a/b"]"#), &object(""));
    assert_eq!(sample::refused(&write, &sample::person()), []);
    assert_eq!(sample::refused(&write, &sample::automation()), [Rule::Paths]);
}

#[test]
fn a_policy_that_only_observes_lets_automation_do_nothing_new() {
    let mut policies = sample::shipped_policies();
    let mut spec = sample::baseline();
    spec.rules = crate::rules::RulesSpec::default();
    spec.match_.operations = vec![crate::policy::OperationName::Delete];
    let included = crate::policy::SubjectSet { automation: true, ..Default::default() };
    spec.match_.subjects =
        Some(crate::policy::SubjectMatch { include: Some(included), exclude: None });
    let delete = Write::of(Operation::Delete, "apps", "deployments");
    for (mode, is_allowed) in [(Mode::Audit, false), (Mode::Warn, false), (Mode::Enforce, true)] {
        spec.mode = mode;
        policies.push(sample::applied("watcher", &spec));
        let verdict =
            sample::verdict_with(&delete, &sample::automation(), &sample::facts(&policies));
        assert_eq!(verdict.denial().is_none(), is_allowed, "{mode:?}");
        policies.pop();
    }
}

#[test]
fn a_policy_that_cannot_be_judged_by_locks_what_it_was_to_guard() {
    let mut spec = sample::baseline();
    spec.rules.paths =
        Some(crate::rules::paths::PathsSpec { allow: None, forbid: vec!["spec..x".into()] });
    assert!(crate::policy::compile("bad", &spec).is_err());
    let policy = std::sync::Arc::new(crate::policy::blind("bad", &spec));
    let policies = [Applied { policy, is_certain: true }];
    let refused = |write: &Write| {
        let verdict = sample::verdict_with(write, &sample::person(), &sample::facts(&policies));
        verdict.denial().map(|d| d.causes[0].rule)
    };
    assert_eq!(refused(&sample::scale(3, 4)), Some(Rule::Undecided));
    assert_eq!(refused(&Write::of(Operation::Update, "", "configmaps")), None);
}

#[test]
fn whom_automations_registration_picked_is_automation_whatever_the_configuration_says() {
    let image = Write::of(Operation::Delete, "apps", "deployments");
    assert_eq!(sample::refused(&image, &sample::person()), []);
    assert_eq!(sample::refused(&image, &sample::person().as_automation()), [Rule::Unnamed]);
}
