//! What is said to have been written, held against the target.

use super::*;

#[test]
fn a_write_that_the_target_does_not_show_is_not_claimed_and_one_that_it_hides_is_looked_at_again() {
    let open = attempt(&json!({}));
    let written = |generation: Value| {
        let mut written = attempt(&json!({"result": "Written"}));
        written["writtenGeneration"] = generation;
        written
    };
    let is = |generation: i64, replicas: i32| {
        target(&json!({"generation": generation}), &json!({"replicas": replicas}))
    };
    let another = target(&json!({"uid": "u-2", "generation": 4}), &json!({}));
    for (claim, live, part, retry) in [
        (json!(4), Some(is(4, 5)), None, None),
        (json!(4), Some(is(4, 3)), Some("result"), None),
        (json!(4), Some(is(3, 5)), Some("writtenGeneration"), None),
        (json!(3), Some(is(4, 5)), Some("writtenGeneration"), None),
        (json!(1), Some(is(8, 9)), Some("writtenGeneration"), None),
        (json!(4), Some(is(5, 5)), None, None),
        (json!(4), Some(is(5, 3)), Some("result"), Some(1)),
        (json!(4), Some(another), None, None),
        (json!(4), None, None, None),
        (json!(3), None, Some("writtenGeneration"), None),
        (json!(null), Some(is(4, 5)), Some("writtenGeneration"), None),
    ] {
        let (old, new) = (with(std::slice::from_ref(&open)), with(&[written(claim.clone())]));
        let claimed = claimed(&old, &new);
        assert_eq!(claimed.len(), 1);
        let checked = disproved(claimed[0], live.as_ref(), &Beside::Nothing).unwrap_or_default();
        let fields: Vec<&str> = checked.flaws.iter().map(|flaw| flaw.field.as_str()).collect();
        let expected: Vec<String> =
            part.into_iter().map(|part| format!("status.attempts[0].{part}")).collect();
        assert_eq!(fields, expected, "{claim} {live:?}");
        assert_eq!(checked.retry_after, retry, "{claim} {live:?}");
    }
}

#[test]
fn which_write_it_was_is_claimed_once_and_any_other_is_another_claim() {
    let with_write = |generation: i64, template: &str| {
        let members = json!({
            "result": "Written", "writtenGeneration": generation, "writtenTemplate": template,
        });
        with(&[attempt(&members)])
    };
    let (open, failed) =
        (with(&[attempt(&json!({}))]), with(&[attempt(&json!({"result": "Failed"}))]));
    let settled = with_write(4, "x");
    for (old, new, is_claim) in [
        (&open, &settled, true),
        // What was taken for failed may turn out to have been written.
        (&failed, &settled, true),
        (&settled, &settled, false),
        (&settled, &with_write(8, "x"), true),
        (&settled, &with_write(4, "y"), true),
        (&open, &failed, false),
    ] {
        assert_eq!(claimed(old, new).len(), usize::from(is_claim), "{new:?}");
    }
}

#[test]
fn a_restart_a_patch_and_the_template_they_made_are_held_against_the_target_too() {
    let body = json!({"spec": {"template": {"metadata": {"annotations": {"team": "shop"}}}}});
    let patch =
        json!({"type": "patch", "patch": {"format": "strategic", "body": body.to_string()}});
    let restart = json!({"type": "restart", "restartedAt": "t1"});
    let annotated = |generation: i64, key: &str, value: &str| {
        let annotations = json!({key: value});
        let template =
            json!({"metadata": {"annotations": annotations}, "spec": {"containers": []}});
        target(&json!({"generation": generation}), &json!({"template": template}))
    };
    let restarted = |value: &str| annotated(4, "kubectl.kubernetes.io/restartedAt", value);
    for (intent, generation, live, part) in [
        (&restart, 4, restarted("t1"), None),
        (&restart, 4, restarted("t0"), Some("result")),
        (&restart, 3, restarted("t1"), Some("writtenGeneration")),
        (&patch, 4, annotated(4, "team", "shop"), None),
        (&patch, 4, annotated(4, "team", "other"), Some("result")),
        (&patch, 4, annotated(5, "team", "other"), Some("result")),
        // One that touches no more than labels of the object makes no new generation.
        (&patch, 3, annotated(3, "team", "shop"), None),
        (&patch, 2, annotated(3, "team", "shop"), Some("writtenGeneration")),
    ] {
        let members = |template: &str| {
            json!({
                "intent": intent, "result": "Written", "writtenGeneration": generation, "writtenTemplate": template,
            })
        };
        let field = |template: &str| {
            let claim = serde_json::from_value(attempt(&members(template))).unwrap();
            let checked = disproved(&claim, Some(&live), &Beside::Nothing)?;
            checked.flaws.first().map(|flaw| flaw.field.clone())
        };
        let expected = part.map(|part| format!("status.attempts[0].{part}"));
        assert_eq!(field(&live.spec.template.to_string()), expected, "{intent} {generation}");
        if expected.is_none() {
            let another = field("another");
            assert_eq!(another.as_deref(), Some("status.attempts[0].writtenTemplate"), "{intent}");
        }
    }
}
