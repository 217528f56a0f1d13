//! What holds of every capability: it is off until it is switched on, for the controller alone, and for what was
//! announced.

use super::*;

#[test]
fn each_is_off_until_it_is_switched_on_and_the_refusal_says_how() {
    for (name, world, write) in each() {
        for off in [json!({}), json!({name: false})] {
            let refused = world.refused(&write, &off);
            assert_eq!(rules(&refused), [Rule::Capabilities], "{name} {refused:?}");
            let how = format!("by spec.rules.capabilities.{name}: true");
            assert!(refused[0].1.contains(&how), "{refused:?}");
        }
        assert_eq!(world.refused(&write, &json!({name: true})), [], "{name}");
        let others = ["rollback", "podEviction", "pause", "hpaBounds"];
        for other in others.into_iter().filter(|other| *other != name) {
            let refused = world.refused(&write, &json!({other: true}));
            assert_eq!(rules(&refused), [Rule::Capabilities], "{name} with {other}");
        }
    }
}

#[test]
fn a_capability_lets_nothing_pass_that_nothing_announced() {
    for (name, mut world, write) in each() {
        world.remediation.status.as_mut().unwrap().attempts.clear();
        let refused = rules(&world.refused(&write, &json!({name: true})));
        assert!(refused.contains(&Rule::Warrant), "{name} {refused:?}");
        assert!(!refused.contains(&Rule::Capabilities), "{name} {refused:?}");
    }
}

#[test]
fn only_the_controller_has_a_capability() {
    // What the rollback here brings back is on everybody's safelist.
    for (name, world, write) in each().into_iter().skip(1) {
        let policies = policies(&json!({name: true}));
        let remediations = std::slice::from_ref(&world.remediation);
        let facts = Facts {
            warrants: Warrants::Known(remediations),
            origin: Origin::Known(world.set.as_deref()),
            related: Related::Known { objects: &world.objects, newest_pod: None },
            ..sample::facts(&policies)
        };
        let verdict = sample::verdict_with(&write, &sample::automation(), &facts);
        assert!(verdict.denial().is_some(), "{name}");
    }
}

#[test]
fn a_policy_without_the_rule_has_its_say_about_paths_all_the_same() {
    let (_, world, write) = each().remove(2);
    let mut spec = shipped().remove(0).spec;
    spec.rules.capabilities = None;
    let mut policies = policies(&json!({"pause": true}));
    policies.push(sample::applied("strict", &spec));
    let remediations = std::slice::from_ref(&world.remediation);
    let facts = Facts { warrants: Warrants::Known(remediations), ..sample::facts(&policies) };
    let verdict = sample::verdict_with(&write, &announced::controller(), &facts);
    let causes: Vec<_> =
        verdict.denial().unwrap().causes.iter().map(|c| (c.policy.as_str(), c.rule)).collect();
    assert_eq!(causes, [("strict", Rule::Paths)]);
}

#[test]
fn what_cannot_be_read_in_time_is_undecided_and_may_be_tried_again_at_once() {
    let policies = policies(&json!({"rollback": true, "podEviction": true}));
    for (place, unread) in [(0, "the ReplicaSet"), (1, "the owners of the pod")] {
        let (_, world, write) = each().remove(place);
        let remediations = std::slice::from_ref(&world.remediation);
        let facts = Facts {
            warrants: Warrants::Known(remediations),
            origin: Origin::Unavailable,
            ..sample::facts(&policies)
        };
        let facts =
            if place == 1 { Facts { related: Related::Unavailable, ..facts } } else { facts };
        let late = sample::verdict_with(&write, &announced::controller(), &facts);
        let denial = late.denial().unwrap();
        assert_eq!(denial.causes[0].rule, Rule::Undecided, "{unread}");
        assert_eq!(denial.retry_after_seconds, Some(1), "{unread} {denial:?}");
    }
}
