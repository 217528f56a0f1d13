use proptest::prelude::*;
use serde_json::{Value, json};
use smartops_change::Operation::{Create, Delete, Update};
use smartops_change::TemplateDigest;
use smartops_common::action::PatchFormat;
use smartops_common::approval::{Decision, RemediationApproval};
use smartops_common::remediation::{
    AttemptKind, AttemptResult, Phase, Proposal, Remediation, intent_hash,
};

use super::sample::*;
use crate::facts::{Approvals, Facts, Related, RelatedObject, Relation, Warrants, Watched};
use crate::history::{Record, Rolled};
use crate::judge::{Judgement, Needs, judge};
use crate::sample::{self, Write};

/// One change of a Remediation, and a word of the refusal it leads to; none where the write still passes.
type Changed = (fn(&mut Remediation), Option<&'static str>);

fn last(remediation: &mut Remediation) -> &mut smartops_common::remediation::Attempt {
    remediation.status.as_mut().unwrap().attempts.last_mut().unwrap()
}

#[test]
fn only_the_open_attempt_of_the_remediation_at_work_on_this_very_object_is_a_warrant() {
    let table: [Changed; 17] = [
        (|_| (), None),
        (|r| r.status.as_mut().unwrap().phase = Phase::Verifying, Some("no Remediation")),
        (|r| r.status.as_mut().unwrap().phase = Phase::Succeeded, Some("no Remediation")),
        (|r| r.status.as_mut().unwrap().phase = Phase::AwaitingApproval, Some("no Remediation")),
        (|r| r.metadata.namespace = Some("elsewhere".into()), Some("no Remediation")),
        (|r| r.spec.target.uid = "u2".into(), Some("no Remediation")),
        (|r| r.metadata.deletion_timestamp = Some(time(AT)), Some("no Remediation")),
        (|r| last(r).result = Some(AttemptResult::Written), Some("no open attempt")),
        (|r| r.status.as_mut().unwrap().attempts.clear(), Some("no open attempt")),
        (|r| last(r).deadline = time("2026-01-01T12:00:00Z"), Some("which has passed")),
        (|r| last(r).deadline = time("2026-01-01T12:00:00.001Z"), None),
        (|r| last(r).leader = "orchestrator-2/17".into(), Some("by the pod orchestrator-2")),
        (|r| last(r).leader = "orchestrator-1/99".into(), None),
        (|r| r.spec.dry_run = true, Some("admits dry runs")),
        (|r| last(r).target.resource_version = "40".into(), Some("retry in 1 s")),
        (|r| last(r).target.uid = "u2".into(), Some("retry in 1 s")),
        (|r| last(r).intent = scale_intent(5), Some("spec.replicas would be 4")),
    ];
    for (place, (change, expected)) in table.into_iter().enumerate() {
        let mut remediation = remediation(&scale_intent(4));
        change(&mut remediation);
        let refusal = refusal(&verdict(&scale(3, 4), &[remediation]));
        match (&refusal, expected) {
            (Some(refusal), Some(word)) => assert!(refusal.contains(word), "{place}: {refusal}"),
            (refusal, word) => assert_eq!(refusal.as_deref(), word, "{place}"),
        }
    }
}

#[test]
fn a_write_that_nothing_announced_is_refused_and_one_that_changes_nothing_needs_no_warrant() {
    let refused = verdict(&scale(3, 4), &[]);
    insta::assert_snapshot!(refused.denial().unwrap().message, @"SmartOps denies UPDATE of deployments.apps/scale smartops-dev/web by system:serviceaccount:smartops-system:smartops-orchestrator: policy smartops-controller, rule warrant: no Remediation in this namespace is Executing on this object, so nothing announced this write; have a Remediation record an attempt first");
    assert_eq!(verdict(&scale(3, 3), &[]).denial(), None);
    let mut observed = plain();
    observed["metadata"]["managedFields"] = json!([{"manager": "x"}]);
    assert_eq!(verdict(&update("", &plain(), &observed), &[]).denial(), None);
}

#[test]
fn after_the_write_the_object_has_moved_and_the_same_write_again_is_refused() {
    let announced = [remediation(&scale_intent(4))];
    assert_eq!(refusal(&verdict(&scale(3, 4), &announced)), None);
    let mut again = scale(3, 4);
    for side in [&mut again.old, &mut again.new] {
        *side = side.take().map(|text| text.replace("\"41\"", "\"42\""));
    }
    let denied = verdict(&again, &announced);
    assert_eq!(denied.denial().unwrap().retry_after_seconds, Some(1));
    insta::assert_snapshot!(refusal(&denied).unwrap(), @"metadata.resourceVersion: attempt 1 of Remediation web-1 is for the object at resourceVersion 41, and it is at 42: it was written since; read it again and record that, retry in 1 s");
}

#[test]
fn a_dry_run_needs_the_warrant_of_the_write_and_one_that_only_tries_out_admits_no_other() {
    let mut trying = remediation(&scale_intent(4));
    trying.spec.dry_run = true;
    let writing = remediation(&scale_intent(4));
    for (remediations, dry_run, passes) in [
        (&[trying.clone()][..], true, true),
        (&[trying][..], false, false),
        (&[writing.clone()][..], true, true),
        (&[writing][..], false, true),
        (&[][..], true, false),
    ] {
        let verdict = verdict_as(&scale(3, 4), &controller(), remediations, &[], dry_run);
        assert_eq!(refusal(&verdict).is_none(), passes, "{remediations:?} {dry_run}");
    }
}

#[test]
fn nobody_else_rides_the_controllers_warrant_and_a_token_that_no_pod_holds_is_held_to_the_rest() {
    let announced = [remediation(&scale_intent(4))];
    let mut everybody = sample::shipped_policies();
    let mut spec = crate::policy::shipped().remove(2).spec;
    spec.match_.subjects =
        serde_json::from_value(json!({"include": {"automation": true}})).unwrap();
    everybody.push(sample::applied("everybody", &spec));
    let facts = Facts { warrants: Warrants::Known(&announced), ..sample::facts(&everybody) };
    for (subject, passes) in
        [(controller(), true), (sample::controller(), true), (sample::automation(), false)]
    {
        let verdict = sample::verdict_with(&scale(3, 4), &subject, &facts);
        assert_eq!(refusal(&verdict).is_none(), passes, "{}", subject.username());
    }
}

#[test]
fn what_is_no_update_of_a_deployment_or_its_scale_is_never_announced() {
    let announced = [remediation(&scale_intent(4))];
    let mut spec = crate::policy::shipped().remove(2).spec;
    spec.match_.operations = serde_json::from_value(json!(["CREATE", "UPDATE", "DELETE"])).unwrap();
    spec.match_.kinds.push(
        serde_json::from_value(json!({"group": "apps", "resource": "statefulsets"})).unwrap(),
    );
    let policies = [sample::applied("p", &spec)];
    let facts = Facts { warrants: Warrants::Known(&announced), ..sample::facts(&policies) };
    let stateful = || {
        let mut write = scale(3, 4);
        (write.resource, write.subresource) = ("statefulsets", "scale");
        write
    };
    for (write, passes) in [
        (Write::of(Delete, "apps", "deployments"), false),
        (Write::of(Create, "apps", "deployments"), false),
        (stateful(), false),
        (scale(3, 4), true),
        (update("", &object(&json!({"replicas": 3})), &object(&json!({"replicas": 4}))), true),
        (Write::of(Update, "apps", "deployments"), true),
    ] {
        let verdict = sample::verdict_with(&write, &controller(), &facts);
        let refused: Vec<_> =
            verdict.denial().iter().flat_map(|d| &d.causes).map(|c| c.rule.as_str()).collect();
        assert_eq!(refused.contains(&"warrant"), !passes, "{} {refused:?}", write.operation);
    }
}

#[test]
fn a_replica_set_of_a_deployment_is_never_announced() {
    let owned = |replicas: i64| {
        json!({
            "metadata": {"name": "web-1", "uid": "s1", "resourceVersion": "41", "ownerReferences":
                [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "u1", "controller": true}]},
            "spec": {"replicas": replicas},
        })
    };
    let mut write = update("", &owned(3), &owned(4));
    write.resource = "replicasets";
    let policies = shipped_for_the_controller();
    let mut riding = remediation(&scale_intent(4));
    riding.spec.target.uid = "s1".into();
    last(&mut riding).target.uid = "s1".into();
    let remediations = [riding];
    let facts = Facts { warrants: Warrants::Known(&remediations), ..sample::facts(&policies) };
    let verdict = sample::verdict_with(&write, &controller(), &facts);
    let causes = &verdict.denial().unwrap().causes;
    assert!(
        causes.iter().any(|c| c.message.contains("no Remediation ever announces")),
        "{causes:?}"
    );
}

#[test]
fn a_restart_is_the_one_annotation_with_the_one_value() {
    let announced = [remediation(&restart_intent())];
    let stamped = |value: &str| {
        let annotations = json!({"annotations": {"kubectl.kubernetes.io/restartedAt": value}});
        template(&annotations, &json!({"name": "web", "image": "shop:1"}))
    };
    let mut more = stamped(AT);
    more["spec"]["template"]["metadata"]["annotations"]["a"] = json!("b");
    for (new, expected) in [
        (stamped(AT), None),
        (stamped("2026-01-01T12:00:01Z"), Some("is not what attempt 1 of Remediation web-1 says")),
        (more, Some("beside what attempt 1 of Remediation web-1 says")),
    ] {
        let refusal = refusal(&verdict(&update("", &plain(), &new), &announced));
        assert_eq!(refusal.is_some(), expected.is_some(), "{refusal:?}");
        assert!(refusal.unwrap_or_default().contains(expected.unwrap_or_default()));
    }
    let scaled = refusal(&verdict(&scale(3, 4), &announced)).unwrap();
    assert!(scaled.contains("not on its scale"), "{scaled}");
}

#[test]
fn a_scale_is_the_number_and_to_zero_it_is_an_empty_spec() {
    let policies = shipped_for_the_controller();
    let announced = [remediation(&scale_intent(0))];
    let facts = Facts { warrants: Warrants::Known(&announced), ..sample::facts(&policies) };
    for (write, passes) in [(scale(3, 0), true), (scale(3, 1), false)] {
        let verdict = sample::verdict_with(&write, &controller(), &facts);
        let denied = verdict.denial().is_some_and(|d| d.message.contains("rule warrant"));
        assert_eq!(denied, !passes, "{verdict:?}");
    }
    let mut extra = scale(3, 0);
    extra.new = extra.new.map(|text| text.replace("\"name\"", "\"labels\":{\"a\":\"b\"},\"name\""));
    let verdict = sample::verdict_with(&extra, &controller(), &facts);
    let causes = &verdict.denial().unwrap().causes;
    assert!(causes.iter().any(|c| c.path == "metadata.labels.a"), "{causes:?}");
}

/// What becomes of a patch of the container's resources that comes out as this container and this metadata.
fn patched(format: PatchFormat, body: &Value, new: &Value) -> Option<String> {
    let announced = [remediation(&patch_intent(format, body))];
    let container =
        json!({"name": "web", "image": "shop:1", "resources": {"limits": {"cpu": "1"}}});
    let old = template(&json!({}), &container);
    let policies = shipped_for_the_controller();
    let mut automation = crate::policy::shipped().remove(0).spec;
    automation.rules = crate::rules::RulesSpec::default();
    let policies = [policies, [sample::applied("all", &automation)]].concat();
    let facts = Facts { warrants: Warrants::Known(&announced), ..sample::facts(&policies) };
    refusal(&sample::verdict_with(&update("", &old, new), &controller(), &facts))
}

#[test]
fn a_patch_is_what_it_makes_of_the_object_and_a_bigger_or_smaller_one_is_refused() {
    let made = |limits: Value| {
        template(
            &json!({}),
            &json!({"name": "web", "image": "shop:1", "resources": {"limits": limits}}),
        )
    };
    let strategic = json!({"spec": {"template": {"spec": {"containers":
        [{"name": "web", "resources": {"limits": {"cpu": "2000m", "memory": "1Gi"}}}]}}}});
    let pointer = "/spec/template/spec/containers/0/resources/limits";
    let operations = json!([
        {"op": "test", "path": "/metadata/resourceVersion", "value": "41"},
        {"op": "replace", "path": format!("{pointer}/cpu"), "value": "2"},
        {"op": "add", "path": format!("{pointer}/memory"), "value": "1024Mi"},
    ]);
    let mut with_label = made(json!({"cpu": "2", "memory": "1Gi"}));
    with_label["spec"]["template"]["metadata"]["labels"] = json!({"a": "b"});
    for (format, body) in [(PatchFormat::Strategic, &strategic), (PatchFormat::Json, &operations)] {
        for (new, expected) in [
            (made(json!({"cpu": "2", "memory": "1Gi"})), None),
            (made(json!({"cpu": "2"})), Some("memory is not what")),
            (made(json!({"cpu": "3", "memory": "1Gi"})), Some("cpu is not what")),
            (made(json!({"cpu": "2", "memory": "1Gi", "a/b": "1"})), Some("beside what")),
            (with_label.clone(), Some("spec.template.metadata.labels.a would change")),
        ] {
            let refusal = patched(format, body, &new);
            assert_eq!(refusal.is_some(), expected.is_some(), "{format:?} {refusal:?}");
            assert!(refusal.unwrap_or_default().contains(expected.unwrap_or_default()), "{new}");
        }
    }
}

#[test]
fn a_patch_that_cannot_be_carried_out_is_refused_with_the_reason() {
    let new = template(&json!({"labels": {"a": "b"}}), &json!({"name": "web"}));
    for (format, body, word) in [
        (PatchFormat::Strategic, json!({"spec": {"$patch": "replace"}}), "directive $patch"),
        (PatchFormat::Strategic, json!([]), "no merge patch"),
        (PatchFormat::Json, json!([{"op": "remove", "path": "/spec/paused"}]), "does not fit"),
        (PatchFormat::Json, json!({"op": "remove"}), "no JSON Patch"),
    ] {
        let refusal = patched(format, &body, &new).unwrap();
        assert!(refusal.contains(word), "{refusal}");
    }
}

#[test]
fn what_the_api_server_fills_in_beside_a_patch_is_nobody_elses() {
    let ports = |port: Value| {
        template(
            &json!({}),
            &json!({"name": "web", "image": "shop:1", "resources": {"limits": {"cpu": "1"}}, "ports": [port]}),
        )
    };
    let body = json!({"spec": {"template": {"spec": {"containers":
        [{"name": "web", "ports": [{"containerPort": 80}]}]}}}});
    let filled = ports(json!({"containerPort": 80, "protocol": "TCP"}));
    assert_eq!(patched(PatchFormat::Strategic, &body, &filled), None);
    let mutated = ports(json!({"containerPort": 80, "protocol": "TCP", "hostPort": 80}));
    let refusal = patched(PatchFormat::Strategic, &body, &mutated).unwrap();
    assert!(refusal.contains("ports[80/TCP].hostPort"), "{refusal}");
}

#[test]
fn no_value_of_the_object_or_of_the_patch_stands_in_a_refusal() {
    let body = json!({"spec": {"template": {"metadata": {"annotations": {"key": "s3cret-a"}}}}});
    let new = template(
        &json!({"annotations": {"key": "s3cret-b", "other": "s3cret-c"}}),
        &json!({"name": "web"}),
    );
    let refusal = patched(PatchFormat::Strategic, &body, &new).unwrap();
    assert!(!refusal.contains("s3cret"), "{refusal}");
}

/// The refusal of an attempt that has to be approved, with these approvals.
fn decided(remediation: &Remediation, approvals: &[RemediationApproval]) -> Option<String> {
    let remediations = std::slice::from_ref(remediation);
    refusal(&verdict_as(&scale(3, 4), &controller(), remediations, approvals, false))
}

#[test]
fn an_approval_counts_from_somebody_else_for_this_very_intent_and_for_a_while() {
    let mut asked = remediation(&scale_intent(4));
    asked.spec.require_approval = true;
    let by = |who: &str| approval(&asked, who, Decision::Approve);
    let edited = |edit: fn(&mut RemediationApproval)| {
        let mut approval = by("carol");
        edit(&mut approval);
        approval
    };
    for (approvals, expected) in [
        (vec![by("carol")], None),
        (vec![], Some("none counts")),
        (vec![by("alice")], Some("none counts")),
        (vec![by("controller")], Some("none counts")),
        (vec![by("")], Some("none counts")),
        (vec![edited(|a| a.spec.intent_hash = "0".repeat(64))], Some("none counts")),
        (vec![edited(|a| a.spec.remediation.uid = "r2".into())], Some("none counts")),
        (vec![edited(|a| a.metadata.namespace = Some("elsewhere".into()))], Some("none counts")),
        (
            vec![edited(|a| a.metadata.creation_timestamp = Some(time("2026-01-01T11:45:00Z")))],
            Some("none counts"),
        ),
        (
            vec![edited(|a| a.metadata.creation_timestamp = Some(time("2026-01-01T11:45:01Z")))],
            None,
        ),
        (vec![by("carol"), approval(&asked, "dave", Decision::Reject)], Some("dave rejected")),
        (vec![by("carol"), approval(&asked, "alice", Decision::Reject)], None),
    ] {
        let refusal = decided(&asked, &approvals);
        assert_eq!(refusal.is_some(), expected.is_some(), "{approvals:?} {refusal:?}");
        assert!(refusal.unwrap_or_default().contains(expected.unwrap_or_default()));
    }
    insta::assert_snapshot!(decided(&asked, &[]).unwrap(), @": what attempt 1 of Remediation web-1 would write needs an approval, and none counts: have somebody who may, and neither asked for it nor made it, create a RemediationApproval with intentHash 1ca6f8b81c5ce908ddd1a304a7e738c5ac3a74a194eda29bd40e2606168f20c4");
}

#[test]
fn an_approval_ends_with_the_proposal_it_was_for() {
    let mut asked = remediation(&scale_intent(4));
    asked.spec.require_approval = true;
    let attempt = last(&mut asked).clone();
    let hash = intent_hash("r1", &attempt.target, &attempt.intent);
    let expires_at = |text| Proposal {
        intent: attempt.intent.clone(),
        target: attempt.target.clone(),
        hash: hash.clone(),
        proposed_at: time("2026-01-01T11:59:00Z"),
        expires_at: time(text),
    };
    for (text, passes) in [("2026-01-01T12:00:00Z", false), ("2026-01-01T12:00:01Z", true)] {
        asked.status.as_mut().unwrap().proposal = Some(expires_at(text));
        let approvals = [approval(&asked, "carol", Decision::Approve)];
        assert_eq!(decided(&asked, &approvals).is_none(), passes, "{text}");
    }
}

#[test]
fn a_policy_may_ask_for_approval_where_the_remediation_does_not() {
    let announced = [remediation(&scale_intent(4))];
    let mut spec = crate::policy::shipped().remove(2).spec;
    spec.rules.warrant.as_mut().unwrap().approval = true;
    let mut policies = sample::shipped_policies();
    policies.push(sample::applied("careful", &spec));
    let approved = [approval(&announced[0], "carol", Decision::Approve)];
    for (approvals, passes) in [(&[][..], false), (&approved[..], true)] {
        let facts = Facts {
            warrants: Warrants::Known(&announced),
            approvals: Approvals::Known(approvals),
            ..sample::facts(&policies)
        };
        let verdict = sample::verdict_with(&scale(3, 4), &controller(), &facts);
        assert_eq!(refusal(&verdict).is_none(), passes);
    }
}

#[test]
fn what_is_needed_is_asked_for_once_and_what_is_not_to_be_had_is_undecided() {
    let policies = sample::shipped_policies();
    let facts = Facts {
        warrants: Warrants::NotAsked,
        approvals: Approvals::NotAsked,
        ..sample::facts(&policies)
    };
    let ask = |write: &Write, facts: &Facts<'_>| {
        judge(&write.change(), &controller(), facts, sample::now())
    };
    assert_eq!(ask(&scale(3, 4), &facts), Judgement::Needs(Needs::WARRANTS));
    let mut asked = remediation(&scale_intent(4));
    asked.spec.require_approval = true;
    let remediations = [asked];
    let facts = Facts { warrants: Warrants::Known(&remediations), ..facts };
    assert_eq!(ask(&scale(3, 4), &facts), Judgement::Needs(Needs::APPROVALS));
    for facts in [
        Facts { approvals: Approvals::Unavailable, ..facts },
        Facts { warrants: Warrants::Unavailable, ..facts },
    ] {
        let Judgement::Final(verdict) = ask(&scale(3, 4), &facts) else { panic!("decided") };
        let denial = verdict.denial().unwrap();
        assert_eq!(denial.causes[0].rule.as_str(), "undecided");
        assert_eq!(denial.retry_after_seconds, Some(1));
    }
    // Whoever could have no warrant causes no read.
    let Judgement::Final(_) =
        judge(&scale(3, 4).change(), &sample::person(), &facts, sample::now())
    else {
        panic!("a person's write needs nothing")
    };
}

/// From how many replicas it is undone, one change of the Remediation, and whether the write still passes.
type Undone = (i32, fn(&mut Remediation), bool);

/// A Remediation that scaled 3 → `to` and undoes it.
fn undoing(to: i32) -> Remediation {
    let mut remediation = remediation(&scale_intent(to));
    let applied = last(&mut remediation);
    applied.result = Some(AttemptResult::Written);
    applied.target.generation = 6;
    applied.written_generation = Some(7);
    let mut undo = attempt(&scale_intent(3));
    (undo.number, undo.kind) = (2, AttemptKind::Undo);
    undo.former.replicas = to;
    remediation.status.as_mut().unwrap().attempts.push(undo);
    remediation
}

#[test]
fn an_undo_that_brings_back_what_was_passes_pause_step_and_budget_and_nothing_else_does() {
    let mut spec = crate::policy::shipped().remove(0).spec;
    spec.rules.cooldown = serde_json::from_value(json!({"scaleSeconds": 60})).unwrap();
    spec.rules.budget =
        serde_json::from_value(json!({"perTarget": {"changes": 1, "windowSeconds": 60}})).unwrap();
    let policies = [sample::applied("strict", &spec), shipped_for_the_controller()[0].clone()];
    let record = Record { scaled: Rolled::At(later(-5)), ..sample::QUIET };
    let objects = [RelatedObject {
        generation: Some(7),
        record: Some(record.clone()),
        ..sample::relative(Relation::Parent, "apps", "Deployment")
    }];
    let table: [Undone; 8] = [
        (8, |_| (), true),
        (8, |r| last(r).kind = AttemptKind::Apply, false),
        (8, |r| r.status.as_mut().unwrap().attempts[0].written_generation = Some(8), false),
        (8, |r| r.status.as_mut().unwrap().attempts[0].target.generation = 5, false),
        (8, |r| r.status.as_mut().unwrap().attempts[0].result = Some(AttemptResult::Failed), false),
        (8, |r| r.status.as_mut().unwrap().attempts[0].former.replicas = 2, false),
        (8, |r| r.status.as_mut().unwrap().attempts[0].intent = restart_intent(), false),
        (8, |r| last(r).intent = scale_intent(4), false),
    ];
    for (place, (from, change, passes)) in table.into_iter().enumerate() {
        let mut remediation = undoing(from);
        change(&mut remediation);
        let remediations = [remediation];
        let facts = Facts {
            watched: Watched::Seen(&record),
            related: Related::Known { objects: &objects, newest_pod: None },
            warrants: Warrants::Known(&remediations),
            ..sample::facts(&policies)
        };
        let verdict = sample::verdict_with(&scale(from.into(), 3), &controller(), &facts);
        assert_eq!(verdict.denial().is_none(), passes, "{place} {:?}", verdict.denial());
    }
}

#[test]
fn an_undo_is_held_to_the_bounds_and_needs_no_approval_of_its_own() {
    let mut remediation = undoing(8);
    remediation.spec.require_approval = true;
    assert_eq!(refusal(&verdict(&scale(8, 3), &[remediation])), None);
    let mut above = undoing(4);
    above.status.as_mut().unwrap().attempts[0].former.replicas = 12;
    last(&mut above).intent = scale_intent(12);
    let verdict = verdict(&scale(4, 12), &[above]);
    let rules: Vec<_> = verdict.denial().unwrap().causes.iter().map(|c| c.rule.as_str()).collect();
    assert_eq!(rules, ["replicas", "replicas"]);
}

#[test]
fn an_undo_of_a_template_is_known_by_its_digest() {
    let old =
        template(&json!({"annotations": {"a": "b"}}), &json!({"name": "web", "image": "shop:1"}));
    let digest: TemplateDigest =
        serde_json::from_value(plain()["spec"]["template"].clone()).unwrap();
    let body = json!({"spec": {"template": {"metadata": {"annotations": {"a": null}}}}});
    let mut remediation = undoing(3);
    remediation.status.as_mut().unwrap().attempts[0].intent = restart_intent();
    last(&mut remediation).intent = patch_intent(PatchFormat::Strategic, &body);
    let write = update("", &old, &plain());
    let record = Record { rolled: Rolled::At(later(-5)), ..sample::QUIET };
    let policies = sample::shipped_policies();
    for (former, passes) in
        [(Some(digest.to_string()), true), (Some("0".repeat(32)), false), (None, false)]
    {
        remediation.status.as_mut().unwrap().attempts[0].former.template = former.clone();
        let remediations = [remediation.clone()];
        let facts = Facts {
            watched: Watched::Seen(&record),
            warrants: Warrants::Known(&remediations),
            ..sample::facts(&policies)
        };
        let verdict = sample::verdict_with(&write, &controller(), &facts);
        assert_eq!(verdict.denial().is_none(), passes, "{former:?} {:?}", verdict.denial());
    }
}

#[test]
fn a_policy_that_only_asks_for_a_warrant_names_nothing() {
    let announced = [remediation(&scale_intent(4))];
    let policies = shipped_for_the_controller();
    let facts = Facts { warrants: Warrants::Known(&announced), ..sample::facts(&policies) };
    let verdict = sample::verdict_with(&scale(3, 4), &controller(), &facts);
    let causes = &verdict.denial().unwrap().causes;
    assert_eq!(causes.len(), 1);
    assert!(causes[0].message.contains("no policy is written for it here"), "{causes:?}");
}

/// A further Remediation of the same object that is no warrant of the write, for this reason.
fn beside(name: &str, change: fn(&mut Remediation)) -> Remediation {
    let mut other = remediation(&scale_intent(4));
    other.metadata.name = Some(name.to_owned());
    other.metadata.uid = Some(format!("uid-{name}"));
    change(&mut other);
    other
}

proptest! {
    #[test]
    fn the_order_of_remediations_and_approvals_never_matters(
        order in Just((0..5usize).collect::<Vec<_>>()).prop_shuffle(),
        with_warrant in any::<bool>(),
    ) {
        let mut asked = remediation(&scale_intent(4));
        asked.spec.require_approval = true;
        let first = if with_warrant { asked.clone() } else { beside("e", |r| last(r).deadline = time(AT)) };
        let all = [
            first,
            beside("a", |r| last(r).result = Some(AttemptResult::Conflict)),
            beside("b", |r| last(r).intent = scale_intent(5)),
            beside("c", |r| last(r).intent = scale_intent(6)),
            beside("d", |r| r.spec.dry_run = true),
        ];
        let decisions = [
            approval(&asked, "carol", Decision::Approve),
            approval(&asked, "dave", Decision::Approve),
            approval(&asked, "alice", Decision::Approve),
            approval(&all[1], "carol", Decision::Reject),
            approval(&all[2], "carol", Decision::Reject),
        ];
        let shuffled: Vec<_> = order.iter().map(|place| all[*place].clone()).collect();
        let decided: Vec<_> = order.iter().rev().map(|place| decisions[*place].clone()).collect();
        let expected = verdict_as(&scale(3, 4), &controller(), &all, &decisions, false);
        let verdict = verdict_as(&scale(3, 4), &controller(), &shuffled, &decided, false);
        prop_assert_eq!(verdict.denial().is_none(), with_warrant);
        prop_assert_eq!(verdict, expected);
    }

    #[test]
    fn whatever_else_changes_beside_what_was_announced_is_refused(
        place in 0..8usize, value in "[a-z]{1,8}", is_restart in any::<bool>(),
    ) {
        let intent = if is_restart { restart_intent() } else { scale_intent(4) };
        let mut new = plain();
        if is_restart {
            new["spec"]["template"]["metadata"]["annotations"] =
                json!({"kubectl.kubernetes.io/restartedAt": AT});
        } else {
            new["spec"]["replicas"] = json!(4);
        }
        let warranted = update("", &plain(), &new);
        prop_assert_eq!(refusal(&verdict(&warranted, &[remediation(&intent)])), None);
        let spec = "/spec/template/spec";
        let at = ["/metadata/labels", "/metadata/annotations", "/spec/strategy", "/spec/template/metadata/labels",
            spec, &format!("{spec}/nodeSelector"), &format!("{spec}/containers/0"),
            &format!("{spec}/securityContext")][place].to_owned();
        let (above, key) = at.rsplit_once('/').unwrap();
        if new.pointer(&at).is_none() {
            new.pointer_mut(above).unwrap()[key] = json!({});
        }
        new.pointer_mut(&at).unwrap()["extra"] = json!(value);
        let write = update("", &plain(), &new);
        let verdict = verdict(&write, &[remediation(&intent)]);
        let causes = verdict.denial().map(|denial| denial.causes.clone()).unwrap_or_default();
        let is_refused = causes.iter().any(|c| {
            c.rule == smartops_common::denial::Rule::Warrant && c.path.ends_with("extra")
        });
        prop_assert!(is_refused, "{} {:?}", at, causes);
    }
}
