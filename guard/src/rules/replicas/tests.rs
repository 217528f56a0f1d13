//! Numbers at, beyond and on the way back to their limits.

use smartops_change::Operation;

use super::*;
use crate::facts::{Facts, Watched};
use crate::history::{Sight, Via};
use crate::sample::{self, Write};

const RULE: Replicas =
    Replicas { min: 1, max: 10, step: 2, window: None, on_violation: OnViolation::Deny };

#[test]
fn each_refusal_has_an_allowed_neighbour() {
    for (old, new, nearest) in [
        (Some(3), 6, Some(5)),
        (Some(3), 5, None),
        (Some(3), 0, Some(1)),
        (Some(3), 1, None),
        (Some(10), 11, Some(10)),
        (Some(9), 50, Some(10)),
        (Some(8), 10, None),
        (Some(9), 6, Some(7)),
        (None, 11, Some(10)),
        (None, 10, None),
        (None, 0, Some(1)),
        (None, 1, None),
    ] {
        let violation = RULE.violation(old, new, false);
        assert_eq!(violation.map(|v| v.nearest), nearest, "{old:?} → {new}");
    }
}

#[test]
fn what_lies_outside_may_stay_or_move_towards_the_range_by_any_step() {
    for (old, new) in [(50, 50), (50, 49), (50, 12), (50, 10), (50, 1), (0, 0), (0, 1), (0, 10)] {
        assert_eq!(RULE.violation(Some(old), new, false), None, "{old} → {new}");
    }
    for (old, new, nearest) in [(50, 51, 50), (50, 0, 1), (0, 11, 10)] {
        let violation = RULE.violation(Some(old), new, false);
        assert_eq!(violation.map(|v| v.nearest), Some(nearest), "{old} → {new}");
    }
}

#[test]
fn the_nearest_number_is_always_allowed() {
    for old in (-1..=14).map(|n| (n >= 0).then_some(n)) {
        for (new, strict) in (0..=14).flat_map(|n| [(n, false), (n, true)]) {
            if let Some(violation) = RULE.violation(old, new, strict) {
                let again = RULE.violation(old, violation.nearest, strict);
                assert_eq!(again, None, "{old:?} → {new}");
            }
        }
    }
}

#[test]
fn automation_comes_back_into_the_range_step_by_step() {
    for (old, new, nearest) in [
        (50, 12, None),
        (50, 10, None),
        (50, 8, None),
        (50, 7, Some(8)),
        (50, 1, Some(8)),
        (0, 3, None),
        (0, 10, Some(3)),
    ] {
        let violation = RULE.violation(Some(old), new, true);
        assert_eq!(violation.map(|v| v.nearest), nearest, "{old} → {new}");
    }
}

#[test]
fn numbers_at_the_edge_of_64_bits_are_judged_like_any_other() {
    assert!(RULE.violation(Some(i64::MIN), i64::MAX, false).is_some());
    assert!(RULE.violation(Some(i64::MAX), i64::MIN, false).is_some());
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
            assert_eq!(
                !sample::refused(&write, &sample::person()).is_empty(),
                denied,
                "{old} → {new}"
            );
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
            let rules = sample::refused(&write, &sample::automation());
            assert_eq!(rules.contains(&Rule::Replicas), denied, "{old} → {new}");
        }
    }
}

#[test]
fn scale_to_zero_arrives_as_an_empty_spec_and_is_denied() {
    let write = sample::scale(3, 0);
    assert!(write.new.as_ref().unwrap().contains(r#""spec":{}"#));
    assert_eq!(sample::refused(&write, &sample::person()), [Rule::Replicas]);
}

#[test]
fn a_creation_has_the_absolute_cap_only() {
    let mut create = Write::of(Operation::Create, "apps", "deployments");
    for (replicas, denied) in [(10, false), (11, true), (0, true)] {
        create.new = Some(sample::deployment(&format!(r#"{{"replicas":{replicas}}}"#)));
        assert_eq!(!sample::refused(&create, &sample::person()).is_empty(), denied, "{replicas}");
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
        assert_eq!(sample::paths(&write, &sample::person()), expected, "{old:?} → {new:?}");
    }
}

#[test]
fn a_burst_of_small_steps_is_one_large_step() {
    let mut spec = sample::baseline();
    spec.rules.replicas = Some(ReplicasSpec {
        max_step: Some(2),
        step_window_seconds: Some(60),
        ..ReplicasSpec::default()
    });
    let policies = [sample::applied("slow", &spec)];
    let at = |ago| sample::now() - SignedDuration::from_secs(ago);
    let sight = |generation, replicas| Sight {
        generation,
        template: sample::QUIET.template,
        replicas: Some(replicas),
    };
    // 3 → 5 a while ago; the next write is based on 5.
    for (ago, new, expected) in
        [(20, 7, Some(40)), (20, 4, None), (20, 3, None), (61, 7, None), (61, 8, Some(0))]
    {
        let record = Record::after(Some(&sample::QUIET), sight(8, 5), Via::Event, at(ago));
        let facts = Facts { watched: Watched::Seen(&record), ..sample::facts(&policies) };
        let write = sample::replicas(5, new);
        let verdict = sample::verdict_with(&write, &sample::person(), &facts);
        let retry = verdict.denial().map(|d| d.retry_after_seconds.unwrap_or_default());
        assert_eq!(retry, expected, "{ago} {new}");
    }
}

#[test]
fn a_custom_resource_counts_where_its_policy_says() {
    let mut spec = sample::baseline();
    spec.match_.kinds = sample::widgets();
    let policies = [sample::applied("widgets", &spec)];
    let size = |size: &str| format!(r#"{{"metadata":{{"name":"web"}},"spec":{{{size}}}}}"#);
    for (old, new, denied) in [
        (r#""size":3"#, r#""size":11"#, true),
        (r#""size":3"#, r#""size":10"#, false),
        (r#""size":3"#, "", true),
        (r#""size":3,"replicas":1"#, r#""size":3,"replicas":99"#, false),
    ] {
        let mut write = Write::of(Operation::Update, "example.com", "widgets");
        (write.old, write.new) = (Some(size(old)), Some(size(new)));
        let verdict = sample::verdict_with(&write, &sample::person(), &sample::facts(&policies));
        assert_eq!(verdict.denial().is_some(), denied, "{old} {new}");
    }
    let mut scale = Write::of(Operation::Update, "example.com", "widgets/scale");
    for (number, denied) in [(11, true), (10, false)] {
        scale.old = Some(size(r#""replicas":3"#));
        scale.new = Some(size(&format!(r#""replicas":{number}"#)));
        let facts = sample::facts(&policies);
        let verdict = sample::verdict_with(&scale, &sample::person(), &facts);
        assert_eq!(verdict.denial().is_some(), denied, "{number}");
    }
}
