//! Who is judged at all, and by which policies. What each rule finds is tested beside the rule.

use std::sync::Arc;

use smartops_change::Operation;
use smartops_common::denial::Rule;

use super::{Judgement, Needs, judge};
use crate::facts::{Facts, Related, RelatedObject, Relation, Watched};
use crate::history::Record;
use crate::policy::{Applied, GuardrailPolicySpec, Mode, SubjectMatch, SubjectSet};
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

/// A policy for people on Deployments alone, with the baseline's numbers.
fn on_deployments(labels: Option<&str>) -> GuardrailPolicySpec {
    let mut spec = sample::baseline();
    spec.match_.kinds.truncate(1);
    spec.match_.objects = labels.map(|json| serde_json::from_str(json).unwrap());
    spec
}

fn related(objects: &[RelatedObject]) -> Related<'_> {
    Related::Known { objects, newest_pod: None }
}

fn labelled(labels: &str, replicas: i64) -> String {
    format!(
        r#"{{"metadata":{{"name":"web","generation":7,"labels":{labels}}},"spec":{{"replicas":{replicas}}}}}"#
    )
}

#[test]
fn what_is_forbidden_on_a_deployment_is_not_reached_through_a_neighbour() {
    let policies = [sample::applied("p", &on_deployments(None))];
    let owner = r#""ownerReferences":[{"apiVersion":"apps/v1","kind":"Deployment","name":"web","uid":"d","controller":true}]"#;
    let set = |owner: &str, n: i64| {
        let comma = if owner.is_empty() { "" } else { "," };
        format!(r#"{{"metadata":{{"name":"web-1"{comma}{owner}}},"spec":{{"replicas":{n}}}}}"#)
    };
    let bounds = |kind: &str, max: i64| {
        format!(
            r#"{{"metadata":{{"name":"web"}},"spec":{{"minReplicas":1,"maxReplicas":{max},"scaleTargetRef":{{"apiVersion":"apps/v1","kind":"{kind}","name":"web"}}}}}}"#
        )
    };
    let number = |n: i64| format!(r#"{{"metadata":{{"name":"web"}},"spec":{{"replicas":{n}}}}}"#);
    let deployment = [sample::relative(Relation::Owner, "apps", "Deployment")];
    let adopter = [sample::relative(Relation::Adopter, "apps", "Deployment")];
    let stranger = [sample::relative(Relation::Owner, "example.com", "Rollout")];
    for (resource, old, new, objects, denied) in [
        ("deployments/scale", number(3), number(11), &deployment, true),
        ("deployments/scale", number(3), number(10), &deployment, false),
        ("replicasets", set(owner, 3), set(owner, 11), &deployment, true),
        ("replicasets", set(owner, 3), set(owner, 10), &deployment, false),
        ("replicasets", set("", 3), set("", 11), &adopter, true),
        ("replicasets", set("", 3), set("", 10), &adopter, false),
        ("replicasets", set("", 3), set("", 11), &stranger, false),
        ("replicasets/scale", number(3), number(11), &deployment, true),
        ("replicasets/scale", number(3), number(10), &deployment, false),
        ("replicasets/scale", number(3), number(11), &stranger, false),
        ("statefulsets/scale", number(3), number(11), &deployment, false),
        (
            "horizontalpodautoscalers",
            bounds("Deployment", 5),
            bounds("Deployment", 11),
            &deployment,
            true,
        ),
        (
            "horizontalpodautoscalers",
            bounds("Deployment", 5),
            bounds("Deployment", 10),
            &deployment,
            false,
        ),
        (
            "horizontalpodautoscalers",
            bounds("StatefulSet", 5),
            bounds("StatefulSet", 11),
            &deployment,
            false,
        ),
    ] {
        let group = if resource.starts_with("horizontal") { "autoscaling" } else { "apps" };
        let mut write = Write::of(Operation::Update, group, resource);
        (write.old, write.new) = (Some(old), Some(new));
        let facts = Facts { related: related(objects), ..sample::facts(&policies) };
        let verdict = sample::verdict_with(&write, &sample::person(), &facts);
        assert_eq!(verdict.denial().is_some(), denied, "{resource} {:?}", write.new);
    }
}

#[test]
fn a_neighbour_is_never_named_for_automation() {
    let mut spec = on_deployments(None);
    spec.match_.subjects = Some(SubjectMatch {
        include: Some(SubjectSet { automation: true, ..SubjectSet::default() }),
        exclude: None,
    });
    let policies = [sample::applied("p", &spec)];
    let rules = |write: &Write| {
        let verdict = sample::verdict_with(write, &sample::automation(), &sample::facts(&policies));
        verdict.denial().map(|d| d.causes.iter().map(|c| c.rule).collect::<Vec<_>>())
    };
    assert_eq!(rules(&sample::replicas(3, 4)), None);
    assert_eq!(rules(&sample::scale(3, 4)), Some(vec![Rule::Unnamed]));
}

#[test]
fn objects_are_selected_by_their_labels_before_or_after_the_write() {
    let gold = r#"{"matchLabels":{"tier":"gold"}}"#;
    let policies = [sample::applied("gold", &on_deployments(Some(gold)))];
    let (is, none) = (r#"{"tier":"gold"}"#, "{}");
    for (before, after, replicas, expected) in [
        (is, is, 11, vec![Rule::Replicas]),
        (is, is, 10, vec![]),
        (none, none, 11, vec![]),
        (none, is, 11, vec![Rule::Replicas]),
        (none, is, 10, vec![]),
        (is, none, 11, vec![Rule::Replicas, Rule::Selection]),
        (is, none, 3, vec![Rule::Selection]),
    ] {
        let write = Write::update("", &labelled(before, 3), &labelled(after, replicas));
        let verdict = sample::verdict_with(&write, &sample::person(), &sample::facts(&policies));
        let rules = verdict.denial().map(|d| d.causes.iter().map(|c| c.rule).collect::<Vec<_>>());
        assert_eq!(rules.unwrap_or_default(), expected, "{before} {after} {replicas}");
    }
}

#[test]
fn what_may_not_be_deleted_is_not_relabelled_first() {
    let spec = r#"{"match":{"kinds":[{"group":"apps","resource":"deployments"}],"operations":["DELETE"],
        "objects":{"matchLabels":{"keep":"yes"}}},"rules":{"deletion":{"allow":"Never"}}}"#;
    let policies = [sample::applied("keep", &serde_json::from_str(spec).unwrap())];
    let covered = policies[0].policy.covered();
    assert!(covered[0].operations.contains(&Operation::Update), "{covered:?}");
    for (before, after, expected) in [
        (r#"{"keep":"yes"}"#, "{}", vec![Rule::Selection]),
        (r#"{"keep":"yes"}"#, r#"{"keep":"yes","x":"y"}"#, vec![]),
        ("{}", r#"{"x":"y"}"#, vec![]),
    ] {
        let write = Write::update("", &labelled(before, 3), &labelled(after, 3));
        let verdict = sample::verdict_with(&write, &sample::person(), &sample::facts(&policies));
        let rules = verdict.denial().map(|d| d.causes.iter().map(|c| c.rule).collect::<Vec<_>>());
        assert_eq!(rules.unwrap_or_default(), expected, "{before} {after}");
    }
}

#[test]
fn a_scale_is_selected_by_the_labels_of_its_object_which_it_asks_for() {
    let gold = r#"{"matchLabels":{"tier":"gold"}}"#;
    let policies = [sample::applied("gold", &on_deployments(Some(gold)))];
    let facts = Facts { related: Related::NotAsked, ..sample::facts(&policies) };
    let scale = sample::scale(3, 11);
    let judged = judge(&scale.change(), &sample::person(), &facts, sample::now());
    assert_eq!(judged, Judgement::Needs(Needs::RELATED));
    for (labels, denied) in [(&[("tier", "gold")][..], true), (&[], false)] {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let objects = [RelatedObject {
            labels: Some(labels.collect()),
            ..sample::relative(Relation::Parent, "apps", "Deployment")
        }];
        let facts = Facts { related: related(&objects), ..facts };
        let verdict = sample::verdict_with(&scale, &sample::person(), &facts);
        assert_eq!(verdict.denial().is_some(), denied, "{denied}");
    }
    // What cannot be learnt counts as selected.
    let facts = Facts { related: Related::Unavailable, ..facts };
    assert!(sample::verdict_with(&scale, &sample::person(), &facts).denial().is_some());
}

#[test]
fn nobody_takes_a_namespace_out_of_a_policy_by_its_labels() {
    let mut spec = sample::baseline();
    spec.match_.namespaces =
        serde_json::from_str(r#"{"selector":{"matchLabels":{"env":"prod"}}}"#).unwrap();
    let selecting = [Arc::clone(&sample::applied("prod", &spec).policy)];
    for (after, expected) in
        [(r#"{"env":"dev"}"#, vec![Rule::Selection]), (r#"{"env":"prod","x":"y"}"#, vec![])]
    {
        let mut write = Write::of(Operation::Update, "", "namespaces");
        write.old = Some(labelled(r#"{"env":"prod"}"#, 1));
        write.new = Some(labelled(after, 1));
        let facts = Facts { selecting: &selecting, ..sample::facts(&[]) };
        let verdict = sample::verdict_with(&write, &sample::person(), &facts);
        let rules = verdict.denial().map(|d| d.causes.iter().map(|c| c.rule).collect::<Vec<_>>());
        assert_eq!(rules.unwrap_or_default(), expected, "{after}");
    }
}

#[test]
fn a_replica_set_handed_to_a_deployment_is_judged_as_what_comes_into_being_there() {
    let mut spec = on_deployments(None);
    spec.match_.operations.truncate(1);
    spec.match_.operations.push(crate::policy::OperationName::Update);
    spec.rules.images = serde_json::from_str(r#"{"registries":["ghcr.io/shop"]}"#).unwrap();
    let policies = [sample::applied("p", &spec)];
    let owner = |kind: &str| {
        format!(
            r#","ownerReferences":[{{"apiVersion":"apps/v1","kind":"{kind}","name":"o","uid":"d","controller":true}}]"#
        )
    };
    let set = |owner: &str, replicas: i64, image: &str| {
        format!(
            r#"{{"metadata":{{"name":"web-1","labels":{{"app":"web"}}{owner}}},"spec":{{"replicas":{replicas},"template":{{"spec":{{"containers":[{{"name":"web","image":"{image}"}}]}}}}}}}}"#
        )
    };
    let adopter = [sample::relative(Relation::Adopter, "apps", "Deployment")];
    let (ours, evil) = ("ghcr.io/shop/web:1", "evil.example/web:1");
    for (before, after, replicas, image, expected) in [
        (owner("StatefulSet"), String::new(), 3, evil, vec![Rule::Images]),
        (owner("StatefulSet"), String::new(), 3, ours, vec![]),
        (String::new(), owner("Deployment"), 11, ours, vec![Rule::Replicas]),
        (owner("Deployment"), owner("Deployment"), 11, ours, vec![]),
        (owner("StatefulSet"), owner("StatefulSet"), 11, evil, vec![]),
    ] {
        let mut write = Write::of(Operation::Update, "apps", "replicasets");
        write.old = Some(set(&before, replicas, image));
        write.new = Some(set(&after, replicas, image));
        let facts = Facts { related: related(&adopter), ..sample::facts(&policies) };
        let verdict = sample::verdict_with(&write, &sample::person(), &facts);
        let rules = verdict.denial().map(|d| d.causes.iter().map(|c| c.rule).collect::<Vec<_>>());
        assert_eq!(rules.unwrap_or_default(), expected, "{before} {after} {replicas} {image}");
    }
}

#[test]
fn what_is_made_anew_with_other_images_is_an_update_of_images() {
    let mut spec = on_deployments(None);
    spec.match_.operations = vec![crate::policy::OperationName::Update];
    spec.rules = serde_json::from_str(r#"{"images":{"change":"Deny"}}"#).unwrap();
    let policies = [sample::applied("p", &spec)];
    let template = r#"{"spec":{"containers":[{"name":"web","image":"shop:1"}]}}"#;
    let former = Record { template: serde_json::from_str(template).unwrap(), ..sample::QUIET };
    for (image, denied) in [("shop:2", true), ("shop:1", false)] {
        let mut write = Write::of(Operation::Create, "apps", "deployments");
        write.new = Some(sample::with_template(&template.replace("shop:1", image)));
        let facts = Facts { watched: Watched::Replaced(&former), ..sample::facts(&policies) };
        let verdict = sample::verdict_with(&write, &sample::person(), &facts);
        assert_eq!(verdict.denial().is_some(), denied, "{image}");
    }
}

#[test]
fn a_condition_holds_of_the_object_before_the_write_too() {
    let mut spec = on_deployments(None);
    spec.match_.conditions = serde_json::from_str(
        r#"[{"name":"gold","expression":"has(object.metadata.labels) && 'tier' in object.metadata.labels"}]"#,
    )
    .unwrap();
    let policies = [sample::applied("p", &spec)];
    let (is, none) = (r#"{"tier":"gold"}"#, "{}");
    for (before, after, denied) in [(is, none, true), (none, is, true), (none, none, false)] {
        let write = Write::update("", &labelled(before, 3), &labelled(after, 11));
        let verdict = sample::verdict_with(&write, &sample::person(), &sample::facts(&policies));
        assert_eq!(verdict.denial().is_some(), denied, "{before} {after}");
    }
}
