//! Which undo is spared.

use super::*;

/// From how many replicas it is undone, one change of the Remediation, and whether the write still passes.
type Undone = (i32, fn(&mut Remediation), bool);

/// One change of the Remediation, what was approved, and whether the write still passes.
type Approving<'a> = (fn(&mut Remediation), &'a [RemediationApproval], bool);

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
fn whoever_approved_an_attempt_approved_that_it_be_taken_back_exactly_and_nothing_else() {
    let mut undo = undoing(8);
    assert_eq!(refusal(&verdict(&scale(8, 3), &[undo.clone()])), None);
    undo.spec.require_approval = true;
    let approve = |of: &Remediation| vec![approval(of, "carol", Decision::Approve)];
    let mut applied = undo.clone();
    applied.status.as_mut().unwrap().attempts.pop();
    let approved = approve(&applied);
    let table: [Approving<'_>; 6] = [
        (|_| (), &approved, true),
        // Nobody approved what is taken back; or somebody did approve just this.
        (|_| (), &[], false),
        (|_| (), &approve(&undo), true),
        // Somebody else wrote the object since.
        (|r| r.status.as_mut().unwrap().attempts[0].written_generation = Some(6), &approved, false),
        // It was never written.
        (
            |r| r.status.as_mut().unwrap().attempts[0].result = Some(AttemptResult::Failed),
            &approved,
            false,
        ),
        // Another number was there before.
        (|r| r.status.as_mut().unwrap().attempts[0].former.replicas = 2, &approved, false),
    ];
    for (place, (change, approvals, passes)) in table.into_iter().enumerate() {
        let mut undo = undo.clone();
        change(&mut undo);
        let remediations = std::slice::from_ref(&undo);
        let verdict = verdict_as(&scale(8, 3), &controller(), remediations, approvals, false);
        assert_eq!(verdict.denial().is_none(), passes, "{place} {verdict:?}");
    }
}

#[test]
fn an_approval_covers_the_undo_of_what_it_was_for_long_after_it_ended_for_everything_else() {
    let mut undo = undoing(8);
    undo.spec.require_approval = true;
    let hour_ago = "2026-01-01T11:00:00Z";
    undo.status.as_mut().unwrap().attempts[0].started_at = time(hour_ago);
    let mut applied = undo.clone();
    applied.status.as_mut().unwrap().attempts.pop();
    for (made, passes) in [("2026-01-01T10:59:00Z", true), ("2026-01-01T10:44:00Z", false)] {
        let mut approval = approval(&applied, "carol", Decision::Approve);
        approval.metadata.creation_timestamp = Some(time(made));
        let remediations = std::slice::from_ref(&undo);
        let verdict = verdict_as(&scale(8, 3), &controller(), remediations, &[approval], false);
        assert_eq!(verdict.denial().is_none(), passes, "{made} {verdict:?}");
    }
}

#[test]
fn an_undo_that_leaves_more_than_what_was_recorded_needs_an_approval_of_its_own() {
    let body = json!({"spec": {"template": {"metadata": {"annotations": {"a": null}}}}});
    let old =
        template(&json!({"annotations": {"a": "b"}}), &json!({"name": "web", "image": "shop:1"}));
    let digest: TemplateDigest =
        serde_json::from_value(plain()["spec"]["template"].clone()).unwrap();
    let mut undo = undoing(3);
    undo.spec.require_approval = true;
    let first = &mut undo.status.as_mut().unwrap().attempts[0];
    first.intent = patch_intent(PatchFormat::Strategic, &json!({"spec": {}}));
    first.former.template = Some(digest.to_string());
    let mut applied = undo.clone();
    applied.status.as_mut().unwrap().attempts.pop();
    let approvals = [approval(&applied, "carol", Decision::Approve)];
    for (beside, passes) in [(false, true), (true, false)] {
        let (mut body, mut new) = (body.clone(), plain());
        if beside {
            body["spec"]["minReadySeconds"] = json!(5);
            new["spec"]["minReadySeconds"] = json!(5);
        }
        last(&mut undo).intent = patch_intent(PatchFormat::Strategic, &body);
        let remediations = std::slice::from_ref(&undo);
        let write = update("", &old, &new);
        let verdict = verdict_as(&write, &controller(), remediations, &approvals, false);
        let causes = verdict.denial().into_iter().flat_map(|denial| &denial.causes);
        let unapproved = causes.filter(|cause| cause.message.contains("none counts")).count();
        assert_eq!(unapproved == 0, passes, "{verdict:?}");
    }
}

#[test]
fn an_undo_is_held_to_the_bounds() {
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
    remediation.status.as_mut().unwrap().attempts[0].intent =
        patch_intent(PatchFormat::Strategic, &json!({"spec": {}}));
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
