//! The shipped policies against the writes of a day: every denial beside its nearest allowed twin.

use smartops_change::Operation;

use super::*;
use crate::facts::{Revisions, Watched};
use crate::history::{Record, Rolled};
use crate::sample::{self, Write};
use crate::verdict::Effect;

fn verdict_with(write: &Write, subject: &Subject, facts: &Facts<'_>) -> Verdict {
    match judge(&write.change(), subject, facts, sample::now()) {
        Judgement::Final(verdict) => verdict,
        Judgement::Needs(needs) => panic!("{needs:?}"),
    }
}

fn verdict(write: &Write, subject: &Subject) -> Verdict {
    verdict_with(write, subject, &sample::facts(&sample::shipped_policies()))
}

/// The rules that refused, in the order of the causes.
fn refused(write: &Write, subject: &Subject) -> Vec<Rule> {
    verdict(write, subject)
        .denial()
        .map(|d| d.causes.iter().map(|c| c.rule).collect())
        .unwrap_or_default()
}

fn paths(write: &Write, subject: &Subject) -> Vec<String> {
    verdict(write, subject)
        .denial()
        .map(|d| d.causes.iter().map(|c| format!("{} {}", c.rule, c.path)).collect())
        .unwrap_or_default()
}

const CONTAINER: &str = r#"{"name":"web","image":"shop:1"}"#;

fn pods(containers: &str) -> String {
    sample::with_template(&format!(r#"{{"spec":{{"containers":[{containers}]}}}}"#))
}

/// An update that puts this into the pod spec beside its one container.
fn adds(field: &str) -> Write {
    let new = format!(r#"{{"spec":{{"containers":[{CONTAINER}],{field}}}}}"#);
    Write::update("", &pods(CONTAINER), &sample::with_template(&new))
}

fn restart() -> Write {
    let new = format!(
        r#"{{"metadata":{{"annotations":{{"kubectl.kubernetes.io/restartedAt":"x"}}}},"spec":{{"containers":[{CONTAINER}]}}}}"#
    );
    Write::update("", &pods(CONTAINER), &sample::with_template(&new))
}

#[test]
fn people_scale_within_the_range_by_any_step_and_never_outside_it() {
    for (old, new, denied) in [
        (3, 5, false),
        (1, 10, false),
        (3, 50, true),
        (3, 0, true),
        (3, 1, false),
        (50, 20, false),
        (50, 51, true),
        (0, 3, false),
    ] {
        let object = |n| sample::deployment(&format!(r#"{{"replicas":{n}}}"#));
        for write in [sample::scale(old, new), Write::update("", &object(old), &object(new))] {
            assert_eq!(!refused(&write, &sample::person()).is_empty(), denied, "{old} → {new}");
        }
    }
}

#[test]
fn automation_scales_by_two_at_most_on_the_object_and_on_its_scale_alike() {
    let object = |n| sample::deployment(&format!(r#"{{"replicas":{n}}}"#));
    for (old, new, denied) in
        [(3, 5, false), (3, 6, true), (3, 1, false), (3, 0, true), (9, 11, true)]
    {
        for write in [sample::scale(old, new), Write::update("", &object(old), &object(new))] {
            let rules = refused(&write, &sample::automation());
            assert_eq!(rules.contains(&Rule::Replicas), denied, "{old} → {new}");
        }
    }
}

#[test]
fn scale_to_zero_arrives_as_an_empty_spec_and_is_denied() {
    let write = sample::scale(3, 0);
    assert!(write.new.as_ref().unwrap().contains(r#""spec":{}"#));
    assert_eq!(refused(&write, &sample::person()), [Rule::Replicas]);
}

#[test]
fn a_creation_has_the_absolute_cap_only() {
    let mut create = Write::of(Operation::Create, "apps", "deployments");
    for (replicas, denied) in [(10, false), (11, true), (0, true)] {
        create.new = Some(sample::deployment(&format!(r#"{{"replicas":{replicas}}}"#)));
        assert_eq!(!refused(&create, &sample::person()).is_empty(), denied, "{replicas}");
    }
}

#[test]
fn an_autoscaler_is_judged_at_its_bounds_and_only_where_they_get_worse() {
    let spec = |min: i64, max: i64| {
        sample::deployment(&format!(r#"{{"minReplicas":{min},"maxReplicas":{max}}}"#))
    };
    for (old, new, expected) in [
        ((1, 5), (1, 10), vec![]),
        ((1, 5), (1, 11), vec!["replicas spec.maxReplicas"]),
        ((1, 5), (0, 5), vec!["replicas spec.minReplicas"]),
        ((0, 50), (0, 50), vec![]),
        ((0, 50), (0, 40), vec![]),
        ((0, 50), (0, 51), vec!["replicas spec.maxReplicas"]),
    ] {
        let mut write = Write::of(Operation::Update, "autoscaling", "horizontalpodautoscalers");
        write.old = Some(spec(old.0, old.1));
        write.new = Some(spec(new.0, new.1));
        assert_eq!(paths(&write, &sample::person()), expected, "{old:?} → {new:?}");
    }
}

#[test]
fn automation_may_change_the_safelist_and_a_person_anything() {
    let resources = |cpu: &str| {
        pods(&format!(
            r#"{{"name":"web","image":"shop:1","resources":{{"limits":{{"cpu":"{cpu}"}}}}}}"#
        ))
    };
    let labelled = sample::with_template(&format!(
        r#"{{"metadata":{{"labels":{{"a":"b"}}}},"spec":{{"containers":[{CONTAINER}]}}}}"#
    ));
    for write in [
        restart(),
        Write::update("", &resources("1"), &resources("2")),
        Write::update("", &pods(CONTAINER), &labelled),
        sample::scale(3, 4),
    ] {
        assert_eq!(paths(&write, &sample::automation()), [] as [&str; 0]);
    }
    let renamed = pods(r#"{"name":"new","image":"shop:2"}"#);
    let write = Write::update("", &pods(CONTAINER), &renamed);
    assert_eq!(paths(&write, &sample::person()), [] as [&str; 0]);
}

#[test]
fn automation_may_change_nothing_beside_the_safelist() {
    let metadata = |inner: &str| format!(r#"{{"metadata":{{{inner}}},"spec":{{"replicas":3}}}}"#);
    let plain = metadata("");
    for (write, expected) in [
        (Write::update("", &plain, &metadata(r#""labels":{"a":"b"}"#)), "metadata.labels.a"),
        (
            Write::update("", &plain, &metadata(r#""annotations":{"a/b":"c"}"#)),
            r#"metadata.annotations["a/b"]"#,
        ),
        (
            Write::update("", &plain, &metadata(r#""finalizers":["x/y"]"#)),
            "metadata.finalizers[x/y]",
        ),
        (
            adds(r#""securityContext":{"runAsUser":0}"#),
            "spec.template.spec.securityContext.runAsUser",
        ),
        (
            adds(r#""volumes":[{"name":"v","hostPath":{"path":"/"}}]"#),
            "spec.template.spec.volumes[v]",
        ),
        (adds(r#""tolerations":[{"operator":"Exists"}]"#), "spec.template.spec.tolerations[0]"),
        (adds(r#""nodeSelector":{"a":"b"}"#), "spec.template.spec.nodeSelector.a"),
        (adds(r#""serviceAccountName":"root""#), "spec.template.spec.serviceAccountName"),
        (adds(r#""hostAliases":[{"ip":"1.2.3.4"}]"#), "spec.template.spec.hostAliases[1.2.3.4]"),
        (adds(r#""hostNetwork":true"#), "spec.template.spec.hostNetwork"),
        (
            Write::update(
                "",
                &pods(CONTAINER),
                &pods(r#"{"name":"web","image":"shop:1","securityContext":{}}"#),
            ),
            "spec.template.spec.containers[web].securityContext",
        ),
        (
            Write::update(
                "",
                &pods(CONTAINER),
                &pods(r#"{"name":"web","image":"shop:1","env":[{"name":"A","value":"s3cret"}]}"#),
            ),
            "spec.template.spec.containers[web].env[A]",
        ),
    ] {
        assert_eq!(paths(&write, &sample::automation()), [format!("paths {expected}")]);
    }
}

#[test]
fn automation_never_changes_an_image_wherever_it_stands() {
    let image = |image: &str| pods(&format!(r#"{{"name":"web","image":"{image}"}}"#));
    let two = |a: &str, b: &str| {
        pods(&format!(r#"{{"name":"{a}","image":"i"}},{{"name":"{b}","image":"i"}}"#))
    };
    for write in [
        Write::update("", &image("shop:1"), &image("shop:2")),
        Write::update("", &two("a", "b"), &two("b", "a")),
        Write::update("", &image("shop:1"), &pods(r#"{"name":"other","image":"shop:1"}"#)),
        adds(r#""initContainers":[{"name":"i","image":"x"}]"#),
        adds(r#""volumes":[{"name":"v","image":{"reference":"x"}}]"#),
    ] {
        let rules = refused(&write, &sample::automation());
        assert_eq!(rules.first(), Some(&Rule::Images), "{rules:?}");
    }
}

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
        let unnamed = refused(&write, &sample::automation()).contains(&Rule::Unnamed);
        assert_eq!(unnamed, !named, "{operation} {group}/{resource}");
        assert_eq!(refused(&write, &sample::person()), [], "{operation} {group}/{resource}");
    }
}

#[test]
fn a_policy_that_may_not_apply_judges_and_names_nothing() {
    let mut policies = sample::shipped_policies();
    for applied in &mut policies {
        applied.is_certain = false;
    }
    let verdict =
        verdict_with(&sample::scale(3, 9), &sample::automation(), &sample::facts(&policies));
    let rules: Vec<Rule> = verdict.denial().unwrap().causes.iter().map(|c| c.rule).collect();
    assert_eq!(rules, [Rule::Replicas, Rule::Unnamed]);
}

/// The verdict on a restart by automation of a workload with this record.
fn restarted(subject: &Subject, record: Watched<'_>, revisions: Revisions<'_>) -> Judgement {
    let policies = sample::shipped_policies();
    let facts = Facts { policies: &policies, watched: record, revisions };
    judge(&restart().change(), subject, &facts, sample::now())
}

fn rolled(rolled: Rolled) -> Record {
    Record { rolled, ..sample::QUIET }
}

fn retry_after(judgement: Judgement) -> Option<u32> {
    match judgement {
        Judgement::Final(verdict) => {
            verdict.denial().map(|d| d.retry_after_seconds.expect("time heals it"))
        }
        Judgement::Needs(needs) => panic!("{needs:?}"),
    }
}

#[test]
fn a_restart_too_soon_is_told_the_seconds_left_rounded_up() {
    for (milliseconds, expected) in [
        (0, Some(120)),
        (33_000, Some(87)),
        (119_000, Some(1)),
        (119_999, Some(1)),
        (120_000, None),
        (-5_000, Some(120)),
    ] {
        let at = sample::now() - jiff::SignedDuration::from_millis(milliseconds);
        let record = rolled(Rolled::At(at));
        let judged = restarted(&sample::automation(), Watched::Seen(&record), Revisions::NotAsked);
        assert_eq!(retry_after(judged), expected, "{milliseconds}");
        let judged = restarted(&sample::person(), Watched::Seen(&record), Revisions::NotAsked);
        assert_eq!(retry_after(judged), None, "people have no cooldown by default");
    }
}

#[test]
fn a_scale_during_the_cooldown_passes() {
    let record = rolled(Rolled::At(sample::now()));
    let policies = sample::shipped_policies();
    let facts = Facts {
        policies: &policies,
        watched: Watched::Seen(&record),
        revisions: Revisions::NotAsked,
    };
    let verdict = verdict_with(&sample::scale(3, 4), &sample::automation(), &facts);
    assert_eq!(verdict.denial(), None);
}

#[test]
fn a_generation_the_watch_has_not_reached_counts_as_changed_just_now() {
    let behind = Record { generation: 6, ..sample::QUIET };
    for watched in [Watched::Seen(&behind), Watched::Unseen] {
        let judged = restarted(&sample::automation(), watched, Revisions::NotAsked);
        assert_eq!(retry_after(judged), Some(1));
    }
    let ahead = Record { generation: 8, ..sample::QUIET };
    let judged = restarted(&sample::automation(), Watched::Seen(&ahead), Revisions::NotAsked);
    assert_eq!(retry_after(judged), None);
}

#[test]
fn people_under_a_cooldown_of_their_own_pass_with_a_warning_where_the_watch_lags() {
    let mut spec = sample::baseline();
    spec.rules.cooldown = Some(crate::rules::cooldown::CooldownSpec { restart_seconds: 60 });
    let policies = [sample::applied("mine", &spec)];
    let facts =
        Facts { policies: &policies, watched: Watched::Unseen, revisions: Revisions::NotAsked };
    let verdict = verdict_with(&restart(), &sample::person(), &facts);
    assert_eq!(verdict.denial(), None);
    assert_eq!(verdict.outcomes[0].effect, Effect::Warn);
    assert!(verdict.warnings[0].starts_with("mine/cooldown: the object changed just now"));
    let record = rolled(Rolled::At(sample::now()));
    let facts = Facts { watched: Watched::Seen(&record), ..facts };
    assert!(verdict_with(&restart(), &sample::person(), &facts).denial().is_some());
}

#[test]
fn what_rolled_before_the_watch_is_asked_of_the_replica_sets_once() {
    let record = rolled(Rolled::BeforeTheWatch);
    let judge = |revisions| restarted(&sample::automation(), Watched::Seen(&record), revisions);
    assert_eq!(judge(Revisions::NotAsked), Judgement::Needs(Needs::Revisions));
    let first = "2026-01-01T00:00:01Z".parse().unwrap();
    let recent = "2026-01-01T11:59:30Z".parse().unwrap();
    let revisions = [first, recent];
    assert_eq!(retry_after(judge(Revisions::Listed(&revisions[..1]))), None);
    assert_eq!(retry_after(judge(Revisions::Listed(&revisions))), Some(90));
    let Judgement::Final(verdict) = judge(Revisions::Unavailable) else { panic!("asked twice") };
    assert_eq!(verdict.denial().unwrap().leading_rule(), Some(Rule::Undecided));
}

#[test]
fn nothing_is_asked_of_the_cluster_for_a_person_or_a_scale() {
    let record = rolled(Rolled::BeforeTheWatch);
    let policies = sample::shipped_policies();
    let facts = Facts {
        policies: &policies,
        watched: Watched::Seen(&record),
        revisions: Revisions::NotAsked,
    };
    for (write, subject) in
        [(restart(), sample::person()), (sample::scale(3, 4), sample::automation())]
    {
        assert!(matches!(
            judge(&write.change(), &subject, &facts, sample::now()),
            Judgement::Final(_)
        ));
    }
}

#[test]
fn the_control_plane_is_left_alone_where_a_person_is_not() {
    let write = sample::scale(3, 50);
    for user in [
        "system:kube-controller-manager",
        "system:serviceaccount:kube-system:horizontal-pod-autoscaler",
    ] {
        assert_eq!(refused(&write, &sample::subject(user, &[])), []);
    }
    assert_eq!(refused(&write, &sample::subject("admin", &["system:masters"])), [Rule::Replicas]);
}

#[test]
fn a_finaliser_lets_go_for_a_person_and_not_for_automation() {
    let object = |finalizers: &str| {
        format!(
            r#"{{"metadata":{{"deletionTimestamp":"2026-01-01T00:00:00Z"{finalizers}}},"spec":{{"replicas":50}}}}"#
        )
    };
    let write = Write::update("", &object(r#","finalizers":["a/b"]"#), &object(""));
    assert_eq!(refused(&write, &sample::person()), []);
    assert_eq!(refused(&write, &sample::automation()), [Rule::Paths]);
}

#[test]
fn warning_and_audit_modes_refuse_nothing_and_say_so() {
    let mut spec = sample::baseline();
    spec.mode = Mode::Warn;
    let warn = sample::applied("soft", &spec);
    spec.mode = Mode::Audit;
    let audit = sample::applied("silent", &spec);
    let policies = [audit, warn];
    let verdict = verdict_with(&sample::scale(3, 50), &sample::person(), &sample::facts(&policies));
    assert_eq!(verdict.denial(), None);
    assert_eq!(
        verdict.warnings,
        ["soft/replicas: spec.replicas 3 → 50: the maximum is 10; ask for at most 10"]
    );
    let expected = [("warned-by", "soft/replicas"), ("would-deny", "silent/replicas")];
    assert_eq!(verdict.audit, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
}

#[test]
fn warnings_are_short_and_one_a_rule() {
    let mut spec = sample::baseline();
    spec.mode = Mode::Warn;
    spec.rules.paths = Some(crate::rules::paths::PathsSpec { allow: Some(vec![]), forbid: vec![] });
    let policies = [sample::applied(&"long".repeat(30), &spec)];
    let write = adds(r#""hostNetwork":true,"hostPID":true"#);
    let verdict = verdict_with(&write, &sample::person(), &sample::facts(&policies));
    assert_eq!(verdict.warnings.len(), 1);
    assert_eq!(verdict.warnings[0].chars().count(), 120);
}

#[test]
fn more_paths_than_are_judged_are_refused() {
    let labels: Vec<_> = (0..300).map(|i| format!(r#""k{i}":"v""#)).collect();
    let new = sample::with_template(&format!(
        r#"{{"metadata":{{"labels":{{{}}}}},"spec":{{"containers":[{CONTAINER}]}}}}"#,
        labels.join(",")
    ));
    let write = Write::update("", &pods(CONTAINER), &new);
    assert_eq!(paths(&write, &sample::automation()), ["paths "]);
    assert_eq!(paths(&write, &sample::person()), [] as [&str; 0]);
}

#[test]
fn no_value_of_a_variable_ever_stands_in_a_denial() {
    let with = |value: &str| {
        pods(&format!(
            r#"{{"name":"web","image":"shop:1","env":[{{"name":"TOKEN","value":"{value}"}}]}}"#
        ))
    };
    let write = Write::update("", &with("s3cret-old"), &with("s3cret-new"));
    let verdict = verdict(&write, &sample::automation());
    assert!(verdict.denial().is_some());
    assert!(!format!("{verdict:?}").contains("s3cret"));
}

#[test]
fn a_denial_says_who_what_where_why_and_what_next() {
    let message = |write: &Write, subject: &Subject| {
        verdict(write, subject).denial().unwrap().message.clone()
    };
    insta::assert_snapshot!(message(&sample::scale(3, 50), &sample::person()), @"SmartOps denies UPDATE of deployments.apps/scale smartops-dev/web by alice: policy smartops-baseline, rule replicas: spec.replicas 3 → 50: the maximum is 10; ask for at most 10");
    let image = pods(r#"{"name":"web","image":"shop:2"}"#);
    insta::assert_snapshot!(
        message(&Write::update("", &pods(CONTAINER), &image), &sample::automation()),
        @"SmartOps denies UPDATE of deployments.apps smartops-dev/web by system:serviceaccount:smartops-system:smartops-orchestrator: policy smartops-automation, rule images: spec.template.spec.containers[web].image changed (shop:1 → shop:2): images may not change here; deploy the image the way people do; also smartops-automation/paths at spec.template.spec.containers[web].image"
    );
    insta::assert_snapshot!(
        message(&Write::of(Operation::Delete, "apps", "deployments"), &sample::automation()),
        @"SmartOps denies DELETE of deployments.apps smartops-dev/web by system:serviceaccount:smartops-system:smartops-orchestrator: rule unnamed: automation may do only what a policy names, and none names DELETE of deployments.apps (smartops-automation names UPDATE of deployments.apps, deployments.apps/scale); leave it to a person or ask an operator for a policy"
    );
    let record = rolled(Rolled::At("2026-01-01T11:59:27Z".parse().unwrap()));
    let policies = sample::shipped_policies();
    let facts = Facts {
        policies: &policies,
        watched: Watched::Seen(&record),
        revisions: Revisions::NotAsked,
    };
    let verdict = verdict_with(&restart(), &sample::automation(), &facts);
    insta::assert_snapshot!(verdict.denial().unwrap().message, @"SmartOps denies UPDATE of deployments.apps smartops-dev/web by system:serviceaccount:smartops-system:smartops-orchestrator: policy smartops-automation, rule cooldown: the pod template last changed (restarted) 33 s ago and may change again after 120 s; retry in 87 s");
}
