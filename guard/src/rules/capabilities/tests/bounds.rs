//! Moving an autoscaler's bounds.

use smartops_common::remediation::Bounds;

use super::*;

#[test]
fn the_bounds_of_the_targets_autoscaler_move_exactly_as_announced_and_within_the_policys() {
    let on = json!({"hpaBounds": true});
    let world = World::of(&bounds(2, 8));
    assert_eq!(world.refused(&moved((1, 5), (2, 8)), &on), []);
    for (write, expected) in [
        (moved((1, 5), (2, 9)), Rule::Warrant),
        (moved((1, 5), (1, 8)), Rule::Warrant),
        (
            {
                let mut write = moved((1, 5), (2, 8));
                write.new = write.new.map(|text| {
                    text.replace(
                        "\"minReplicas\"",
                        "\"metrics\":[{\"type\":\"x\"}],\"minReplicas\"",
                    )
                });
                write
            },
            Rule::Warrant,
        ),
        (
            {
                let mut write = moved((1, 5), (2, 8));
                write.old = write.old.map(|text| text.replace("\"51\"", "\"52\""));
                write
            },
            Rule::Warrant,
        ),
    ] {
        let refused = rules(&world.refused(&write, &on));
        assert!(refused.contains(&expected), "{refused:?} {:?}", write.new);
    }
    let mut elsewhere = moved((1, 5), (2, 8));
    for side in [&mut elsewhere.old, &mut elsewhere.new] {
        *side = side.take().map(|text| text.replace("\"name\":\"web\"}", "\"name\":\"db\"}"));
    }
    let refused = world.refused(&elsewhere, &on);
    assert!(refused.iter().any(|(_, m)| m.contains("does not scale")), "{refused:?}");
    let wide = World::of(&bounds(2, 50));
    let refused = wide.refused(&moved((1, 5), (2, 50)), &on);
    assert_eq!(rules(&refused), [Rule::Replicas, Rule::Replicas], "{refused:?}");
}

#[test]
fn an_autoscaler_gets_back_the_bounds_it_had_past_every_step_and_no_others() {
    let mut undoing = announced::remediation(&bounds(2, 8));
    let attempts = &mut undoing.status.as_mut().unwrap().attempts;
    attempts[0].result = Some(AttemptResult::Written);
    attempts[0].former.bounds = Some(Bounds { min_replicas: 1, max_replicas: 5 });
    let mut undo = announced::attempt(&bounds(1, 5));
    (undo.number, undo.kind) = (2, AttemptKind::Undo);
    attempts.push(undo);
    undoing.spec.require_approval = true;
    let mut applied = undoing.clone();
    applied.status.as_mut().unwrap().attempts.pop();
    let approve = |of: &Remediation| {
        announced::approval(of, "carol", smartops_common::approval::Decision::Approve)
    };
    let policies = policies(&json!({"hpaBounds": true}));
    for (from, approvals, passes) in [
        ((2, 8), vec![approve(&applied)], true),
        // Somebody moved them since.
        ((2, 9), vec![approve(&applied)], false),
        // Nobody approved what is taken back.
        ((2, 8), vec![], false),
    ] {
        let facts = Facts {
            warrants: Warrants::Known(std::slice::from_ref(&undoing)),
            approvals: crate::facts::Approvals::Known(&approvals),
            ..sample::facts(&policies)
        };
        let verdict = sample::verdict_with(&moved(from, (1, 5)), &announced::controller(), &facts);
        assert_eq!(verdict.denial().is_none(), passes, "{from:?} {:?}", verdict.denial());
    }
}
