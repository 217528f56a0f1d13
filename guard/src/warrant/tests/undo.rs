//! Which undo is spared.

use super::*;

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
fn an_undo_needs_an_approval_of_its_own_where_one_is_asked_for() {
    let mut undo = undoing(8);
    assert_eq!(refusal(&verdict(&scale(8, 3), &[undo.clone()])), None);
    undo.spec.require_approval = true;
    // Without one it is spared nothing: the step that the attempt went may be more than one write is allowed.
    let refused = verdict(&scale(8, 3), &[undo.clone()]);
    let causes = &refused.denial().unwrap().causes;
    let rules: Vec<_> = causes.iter().map(|c| c.rule.as_str()).collect();
    assert_eq!(rules, ["replicas", "warrant"]);
    assert!(causes[1].message.contains("attempt 2") && causes[1].message.contains("none counts"));
    // What was approved is the attempt it undoes.
    let mut applied = undo.clone();
    applied.status.as_mut().unwrap().attempts.pop();
    for (of, passes) in [(&applied, false), (&undo, true)] {
        let approvals = [approval(of, "carol", Decision::Approve)];
        let remediations = std::slice::from_ref(&undo);
        let verdict = verdict_as(&scale(8, 3), &controller(), remediations, &approvals, false);
        assert_eq!(verdict.denial().is_none(), passes, "{verdict:?}");
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
