//! Which attempt is a warrant, of what, and for whom.

mod approvals;
mod properties;
mod undo;
mod values;

use proptest::prelude::*;
use serde_json::{Value, json};
use smartops_change::Operation::{Create, Delete, Update};
use smartops_change::TemplateDigest;
use smartops_common::action::{Intent, PatchFormat, PatchParameters};
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
