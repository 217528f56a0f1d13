//! What an attempt says of its target, held against the target as it is.

use super::super::super::beside::tests::{autoscaler, move_bounds};
use super::*;

#[test]
fn what_is_added_or_rebased_is_compared_with_the_target_and_what_is_only_settled_is_not() {
    let (open, settled) = (attempt(&json!({})), attempt(&json!({"result": "Written"})));
    let rebased = json!({"uid": "u-1", "generation": 3, "resourceVersion": "8"});
    let rebased = attempt(&json!({"target": rebased}));
    let second = attempt(&json!({"number": 2}));
    for (before, after, number) in [
        (vec![], vec![open.clone()], Some(1)),
        (vec![open.clone()], vec![rebased], Some(1)),
        (vec![settled.clone()], vec![settled.clone(), second.clone()], Some(2)),
        (vec![open.clone()], vec![settled.clone()], None),
        (vec![open.clone()], vec![open], None),
        (vec![], vec![], None),
    ] {
        let (old, new) = (with(&before), with(&after));
        assert_eq!(to_compare(&old, &new).map(|attempt| attempt.number), number, "{after:?}");
    }
}

#[test]
fn an_attempt_that_is_not_true_of_the_target_is_refused_and_one_that_only_moved_may_be_read_again()
{
    let nothing = json!({});
    let other = json!({"template": {"spec": {"containers": [{"name": "web", "image": "web:2"}]}}});
    let reordered =
        json!({"template": {"spec": {"containers": [{"image": "web:1", "name": "web"}]}}});
    for (metadata, spec, part, retry) in [
        (nothing.clone(), nothing.clone(), None, None),
        (nothing.clone(), reordered, None, None),
        (json!({"resourceVersion": "8"}), nothing.clone(), Some("target.resourceVersion"), Some(1)),
        (json!({"generation": 4}), nothing.clone(), Some("target.generation"), Some(1)),
        (json!({"uid": "u-2"}), nothing.clone(), Some("target.uid"), Some(1)),
        (nothing.clone(), json!({"replicas": 4}), Some("former.replicas"), None),
        (nothing.clone(), other, Some("former.template"), None),
    ] {
        let attempt: Attempt = serde_json::from_value(attempt(&nothing)).unwrap();
        let checked =
            compared(&with(&[]), &attempt, Some(&target(&metadata, &spec)), &Beside::Nothing);
        let fields: Vec<&str> = checked.flaws.iter().map(|flaw| flaw.field.as_str()).collect();
        let expected: Vec<String> =
            part.into_iter().map(|part| format!("status.attempts[0].{part}")).collect();
        assert_eq!(fields, expected, "{metadata} {spec}");
        assert_eq!(checked.retry_after, retry, "{metadata} {spec}");
    }
    let gone: Attempt = serde_json::from_value(attempt(&nothing)).unwrap();
    assert_eq!(compared(&with(&[]), &gone, None, &Beside::Nothing).retry_after, Some(1));
}

#[test]
fn the_template_before_need_not_be_told_and_replicas_default_to_one() {
    let attempt = attempt(&json!({"former": {"replicas": 1}}));
    let attempt: Attempt = serde_json::from_value(attempt).unwrap();
    let mut live = target(&json!({}), &json!({}));
    live.spec = serde_json::from_value(json!({"template": {}})).unwrap();
    assert_eq!(compared(&with(&[]), &attempt, Some(&live), &Beside::Nothing), Checked::default());
}

#[test]
fn an_attempt_at_bounds_says_what_they_were_and_is_of_the_targets_autoscaler() {
    let former = json!({"minReplicas": 1, "maxReplicas": 5});
    let recorded = |former: Option<&Value>| -> Attempt {
        let mut attempt = attempt(&json!({"intent": move_bounds(2, 8)}));
        if let Some(former) = former {
            attempt["former"]["bounds"] = former.clone();
        }
        serde_json::from_value(attempt).unwrap()
    };
    let nothing = json!({});
    let live = target(&nothing, &nothing);
    let mut moved = autoscaler(1, 5);
    moved["metadata"]["resourceVersion"] = json!("52");
    for (attempt, beside, part, retry) in [
        (recorded(Some(&former)), autoscaler(1, 5), None, None),
        (recorded(Some(&former)), autoscaler(1, 6), Some("former.bounds"), None),
        (recorded(None), autoscaler(1, 5), Some("former.bounds"), None),
        (recorded(Some(&former)), moved, Some("intent"), Some(1)),
    ] {
        let beside = Beside::Autoscaler(Some(beside));
        let checked = compared(&with(&[]), &attempt, Some(&live), &beside);
        let fields: Vec<&str> = checked.flaws.iter().map(|flaw| flaw.field.as_str()).collect();
        let expected: Vec<String> =
            part.into_iter().map(|part| format!("status.attempts[0].{part}")).collect();
        assert_eq!(
            (fields, checked.retry_after),
            (expected.iter().map(String::as_str).collect(), retry)
        );
    }
}
