//! Going back to an earlier revision, and who has to have approved it.

use super::*;

#[test]
fn a_rollback_is_to_the_template_of_a_replica_set_of_the_target_and_changes_nothing_else() {
    let on = json!({"rollback": true});
    let (_, world, write) = each().remove(0);
    let edited = |edit: fn(&mut Value)| {
        let mut set: Value = serde_json::from_str(world.set.as_ref().unwrap()).unwrap();
        edit(&mut set);
        Some(set.to_string())
    };
    for (set, word) in [
        (None, "is gone"),
        (edited(|s| s["metadata"]["uid"] = json!("s2")), "another one of that name"),
        (
            edited(|s| s["metadata"]["ownerReferences"][0]["uid"] = json!("u2")),
            "none of the target's",
        ),
        (
            edited(|s| s["metadata"]["ownerReferences"][0]["controller"] = json!(false)),
            "none of the target's",
        ),
        (
            edited(|s| s["spec"]["template"]["spec"]["hostNetwork"] = json!(true)),
            "another pod template",
        ),
        (Some("5".to_owned()), "cannot be read"),
    ] {
        let odd = World {
            set,
            ..World::of(&world.remediation.status.as_ref().unwrap().attempts[0].intent)
        };
        let refused = odd.refused(&write, &on);
        assert!(
            refused.iter().any(|(rule, m)| *rule == Rule::Warrant && m.contains(word)),
            "{word} {refused:?}"
        );
    }
    let mut further: Value = serde_json::from_str(write.new.as_ref().unwrap()).unwrap();
    further["spec"]["template"]["spec"]["hostNetwork"] = json!(true);
    let mut beside: Value = serde_json::from_str(write.new.as_ref().unwrap()).unwrap();
    beside["spec"]["minReadySeconds"] = json!(5);
    for new in [further, beside] {
        let write = Write { new: Some(new.to_string()), ..rollback("shop:1", &template("shop:1")) };
        assert!(rules(&world.refused(&write, &on)).contains(&Rule::Warrant), "{new}");
    }
}

#[test]
fn a_rollback_that_brings_back_other_images_is_approved_by_somebody() {
    let on = json!({"rollback": true});
    let mut world = World::of(&to_revision(&template("shop:0")));
    world.set = Some(replica_set(&template("shop:0")).to_string());
    let write = rollback("shop:1", &template("shop:0"));
    let refused = world.refused(&write, &on);
    assert!(
        refused.iter().any(|(_, m)| m.contains("ask for it with requireApproval")),
        "{refused:?}"
    );
    world.remediation.spec.require_approval = true;
    let refused = world.refused(&write, &on);
    assert!(refused.iter().any(|(_, m)| m.contains("none counts")), "{refused:?}");
    let approvals = [announced::approval(
        &world.remediation,
        "carol",
        smartops_common::approval::Decision::Approve,
    )];
    let policies = policies(&on);
    let facts = Facts {
        warrants: Warrants::Known(std::slice::from_ref(&world.remediation)),
        approvals: crate::facts::Approvals::Known(&approvals),
        origin: Origin::Known(world.set.as_deref()),
        ..sample::facts(&policies)
    };
    let verdict = sample::verdict_with(&write, &announced::controller(), &facts);
    assert_eq!(verdict.denial(), None);
}

#[test]
fn an_undo_that_brings_back_other_images_is_approved_or_is_of_what_was() {
    use smartops_common::approval::{Decision, RemediationApproval};

    /// To which template, whether an approval was asked for, what was approved, and a word of the refusal.
    type Row<'a> = (&'a Value, bool, &'a [RemediationApproval], Option<&'a str>);
    let (on, from) = (json!({"rollback": true}), template("shop:1"));
    let policies = policies(&on);
    // A rollback to shop:1 that is written, and its undo, to this.
    let undoing = |to: &Value, is_asked: bool| {
        let mut remediation = announced::remediation(&to_revision(&from));
        remediation.spec.require_approval = is_asked;
        let attempts = &mut remediation.status.as_mut().unwrap().attempts;
        attempts[0].result = Some(AttemptResult::Written);
        attempts[0].target.generation = 6;
        attempts[0].written_generation = Some(7);
        attempts[0].former.template = Some(digest(to));
        let mut undo = announced::attempt(&to_revision(to));
        (undo.number, undo.kind) = (2, AttemptKind::Undo);
        attempts.push(undo);
        remediation
    };
    let (other, mut noted) = (template("shop:0"), from.clone());
    noted["metadata"]["annotations"] = json!({"note": "before"});
    let approve = |of: &Remediation| announced::approval(of, "carol", Decision::Approve);
    let own = approve(&undoing(&other, true));
    let mut applied = undoing(&other, true);
    applied.status.as_mut().unwrap().attempts.pop();
    let of_undone = approve(&applied);
    let table: [Row<'_>; 6] = [
        (&other, false, &[], Some("ask for it with requireApproval")),
        // Nobody could approve what nobody asked to have approved.
        (&other, false, std::slice::from_ref(&own), Some("ask for it with requireApproval")),
        (&other, true, &[], Some("none counts")),
        (&other, true, std::slice::from_ref(&of_undone), None),
        (&other, true, std::slice::from_ref(&own), None),
        (&noted, false, &[], None),
    ];
    for (place, (to, is_asked, approvals, expected)) in table.into_iter().enumerate() {
        let remediation = undoing(to, is_asked);
        let set = replica_set(to).to_string();
        let facts = Facts {
            warrants: Warrants::Known(std::slice::from_ref(&remediation)),
            approvals: crate::facts::Approvals::Known(approvals),
            origin: Origin::Known(Some(&set)),
            ..sample::facts(&policies)
        };
        let write = rollback("shop:1", to);
        let verdict = sample::verdict_with(&write, &announced::controller(), &facts);
        let causes = verdict.denial().into_iter().flat_map(|denial| &denial.causes);
        let told: Vec<&str> = causes.map(|cause| cause.message.as_str()).collect();
        match expected {
            None => assert_eq!(told, [] as [&str; 0], "{place}"),
            Some(word) => assert!(told.iter().any(|m| m.contains(word)), "{place} {told:?}"),
        }
    }
}
