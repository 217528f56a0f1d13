use serde_json::{Value, json};

use super::super::beside::tests::{autoscaler, move_bounds};
use super::super::remediation::tests::remediation;
use super::*;

fn now() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

/// An attempt to scale web from 3 to 5, with these members.
fn attempt(members: &Value) -> Value {
    let mut attempt = json!({
        "number": 1, "kind": "Apply", "intent": {"type": "scale", "replicas": 5},
        "target": {"uid": "u-1", "generation": 3, "resourceVersion": "7"},
        "former": {"replicas": 3, "template": template().to_string()}, "leader": "pod/1",
        "startedAt": "2026-11-21T10:00:00Z", "deadline": "2026-11-21T10:01:00Z",
    });
    for (key, value) in members.as_object().unwrap() {
        attempt[key] = value.clone();
    }
    attempt
}

fn with(attempts: &[Value]) -> Remediation {
    let mut remediation = remediation(&json!({}));
    let status = json!({"phase": "Executing", "attempts": attempts});
    remediation.status = Some(serde_json::from_value(status).unwrap());
    remediation
}

fn waiting(proposal: &Value) -> Remediation {
    let mut remediation = remediation(&json!({}));
    let status = json!({"phase": "AwaitingApproval", "proposal": proposal});
    remediation.status = Some(serde_json::from_value(status).unwrap());
    remediation
}

fn told(old: &Remediation, new: &Remediation) -> Vec<String> {
    let flaws = flaws(old, new, &Approval::default(), now());
    flaws.into_iter().map(|flaw| flaw.field).collect()
}

fn template() -> smartops_change::TemplateDigest {
    serde_json::from_value(json!({"spec": {"containers": [{"name": "web", "image": "web:1"}]}}))
        .unwrap()
}

/// The target as the attempt says it is, with these members in its metadata and its spec.
fn target(metadata: &Value, spec: &Value) -> Target {
    let mut live = json!({
        "metadata": {"uid": "u-1", "generation": 3, "resourceVersion": "7", "name": "web"},
        "spec": {"replicas": 3, "paused": false,
                 "template": {"spec": {"containers": [{"name": "web", "image": "web:1"}]}}},
    });
    for (part, members) in [("metadata", metadata), ("spec", spec)] {
        for (key, value) in members.as_object().unwrap() {
            live[part][key] = value.clone();
        }
    }
    Target::read(&live.to_string()).unwrap()
}

#[test]
fn an_attempt_is_recorded_before_it_is_sent_and_is_what_was_asked_for() {
    let none = remediation(&json!({}));
    let uid = json!({"uid": "u-2", "generation": 3, "resourceVersion": "7"});
    for (members, part) in [
        (json!({}), None),
        (json!({"number": 2}), Some("number")),
        (json!({"number": 0}), Some("number")),
        (json!({"target": uid}), Some("target.uid")),
        (json!({"result": "Written"}), Some("result")),
        (json!({"sentAt": "2026-11-21T10:00:00Z"}), Some("result")),
        (json!({"inverse": {"format": "json", "body": "[]"}}), Some("result")),
        (json!({"writtenAt": "2026-11-21T10:00:00Z"}), Some("result")),
        (json!({"writtenGeneration": 4}), Some("result")),
        (json!({"writtenTemplate": "x"}), Some("result")),
        (json!({"leader": ""}), Some("leader")),
        (json!({"intent": {"type": "restart", "restartedAt": "x"}}), Some("intent")),
        (json!({"intent": {"type": "scale", "replicas": 6}}), Some("intent")),
        (json!({"intent": {"type": "scale", "replicas": 5, "restartedAt": "x"}}), Some("intent")),
        (json!({"startedAt": "2026-11-21T09:58:59Z"}), Some("startedAt")),
        (json!({"startedAt": "2026-11-21T09:59:00Z"}), None),
        (json!({"startedAt": "2026-11-21T10:01:00Z"}), None),
        (
            json!({"startedAt": "2026-11-21T10:01:01Z", "deadline": "2026-11-21T10:02:00Z"}),
            Some("startedAt"),
        ),
        (json!({"deadline": "2026-11-21T10:10:00Z"}), None),
        (json!({"deadline": "2026-11-21T10:10:01Z"}), Some("deadline")),
        (json!({"deadline": "2026-11-21T09:59:59Z"}), Some("deadline")),
    ] {
        let attempt = attempt(&members);
        let number = attempt["number"].as_u64().unwrap().saturating_sub(1);
        let expected: Vec<String> =
            part.into_iter().map(|part| format!("status.attempts[{number}].{part}")).collect();
        assert_eq!(told(&none, &with(&[attempt])), expected, "{members}");
    }
}

#[test]
fn an_outcome_is_of_now_when_it_is_told_and_stays_what_it_was() {
    let ended = |at: &str| {
        let mut remediation = remediation(&json!({}));
        let outcome = json!({"reason": "Cooldown", "message": "m", "finishedAt": at});
        let status = json!({"phase": "Skipped", "outcome": outcome});
        remediation.status = Some(serde_json::from_value(status).unwrap());
        remediation
    };
    let open = with(&[attempt(&json!({"result": "Failed"}))]);
    for (at, is_good) in [
        ("2026-11-21T10:00:00Z", true),
        ("2026-11-21T09:59:00Z", true),
        ("2026-11-21T09:58:59Z", false),
        ("2026-11-21T10:01:00Z", true),
        ("2026-11-21T10:01:01Z", false),
        ("2020-02-02T02:02:02Z", false),
    ] {
        let expected: &[&str] = if is_good { &[] } else { &["status.outcome.finishedAt"] };
        assert_eq!(told(&remediation(&json!({})), &ended(at)), expected, "{at}");
        assert_eq!(told(&open, &ended(at)), expected, "{at}");
        // What was told in its time may be told again.
        assert_eq!(told(&ended(at), &ended(at)), [] as [&str; 0], "{at}");
    }
    let just = ended("2026-11-21T10:00:00Z");
    let moved = told(&just, &ended("2026-11-21T09:00:00Z"));
    assert_eq!(moved, ["status.outcome.finishedAt"]);
}

#[test]
fn one_attempt_is_recorded_at_a_time() {
    let none = remediation(&json!({}));
    let (first, second) = (attempt(&json!({"result": "Conflict"})), attempt(&json!({"number": 2})));
    let both = with(&[first.clone(), second]);
    assert_eq!(told(&none, &both), ["status.attempts"]);
    assert_eq!(told(&with(&[first]), &both), [] as [&str; 0]);
    assert_eq!(told(&both, &both), [] as [&str; 0]);
}

#[test]
fn an_undo_brings_back_what_was_before_the_last_write_and_nothing_else() {
    let undo = |intent: Value| attempt(&json!({"number": 2, "kind": "Undo", "intent": intent}));
    let back = json!({"type": "scale", "replicas": 3});
    let written = |members: Value| {
        let mut attempt = attempt(&members);
        attempt["result"] = json!("Written");
        attempt
    };
    let restart = json!({"type": "restart", "restartedAt": "x"});
    let patch = json!({"type": "patch", "patch": {"format": "json", "body": "[]"}});
    let nothing = attempt(&json!({"result": "Unchanged"}));
    let inverse = json!({"format": "json", "body": "[]"});
    let patched = || written(json!({"intent": patch, "inverse": inverse}));
    let other = json!({"type": "patch", "patch": {"format": "json", "body": "[ ]"}});
    let no_template =
        written(json!({"intent": patch, "inverse": inverse, "former": {"replicas": 3}}));
    let to = |template: &str| {
        let revision =
            json!({"replicaSet": "web-0", "uid": "s", "number": 1, "template": template});
        json!({"type": "rollback", "revision": revision})
    };
    let rolled = || written(json!({"intent": to("t")}));
    let bounds = |min: i32, max: i32, version: &str| {
        json!({"type": "hpa-bounds", "bounds": {
            "name": "web", "uid": "h", "resourceVersion": version, "minReplicas": min, "maxReplicas": max,
        }})
    };
    let moved = || {
        let former = json!({"replicas": 3, "bounds": {"minReplicas": 1, "maxReplicas": 5}});
        written(json!({"intent": bounds(2, 8, "1"), "former": former}))
    };
    let evicted = json!({"type": "evict-pod", "pod": {"name": "p", "uid": "p"}});
    let of = |type_: &str| json!({"type": type_});
    for (before, intent, is_good) in [
        (written(json!({})), back.clone(), true),
        (written(json!({})), json!({"type": "scale", "replicas": 4}), false),
        (written(json!({})), json!({"type": "scale", "replicas": 3, "restartedAt": "x"}), false),
        (written(json!({})), restart.clone(), false),
        (written(json!({"intent": restart})), restart.clone(), false),
        (patched(), patch.clone(), true),
        (patched(), other, false),
        (written(json!({"intent": patch})), patch.clone(), false),
        (patched(), back.clone(), false),
        (rolled(), to(&template().to_string()), true),
        (rolled(), to("other"), false),
        (rolled(), of("rollback"), false),
        (written(json!({"intent": of("pause")})), of("resume"), true),
        (written(json!({"intent": of("resume")})), of("pause"), true),
        (written(json!({"intent": of("pause")})), of("pause"), false),
        (moved(), bounds(1, 5, "2"), true),
        (moved(), bounds(1, 6, "2"), false),
        (written(json!({"intent": bounds(2, 8, "1")})), bounds(1, 5, "2"), false),
        (written(json!({"intent": evicted})), evicted.clone(), false),
        (no_template, patch.clone(), false),
        (nothing, back.clone(), false),
        (written(json!({"kind": "Undo"})), back.clone(), false),
    ] {
        let (old, new) = (with(std::slice::from_ref(&before)), with(&[before, undo(intent)]));
        let expected = if is_good { vec![] } else { vec!["status.attempts[1].intent"] };
        assert_eq!(told(&old, &new), expected, "{new:?}");
    }
}

#[test]
fn what_takes_a_patch_back_is_said_with_the_moment_it_is_sent_and_of_nothing_but_a_patch() {
    let patch = json!({"type": "patch", "patch": {"format": "json", "body": "[]"}});
    let inverse = json!({"format": "json", "body": "[]"});
    let sent = json!("2026-11-21T10:00:00Z");
    let of = |intent: Option<&Value>, sent_at: Option<&Value>, inverse: Option<&Value>| {
        let mut attempt = attempt(&json!({}));
        let members = [("intent", intent), ("sentAt", sent_at), ("inverse", inverse)];
        for (key, value) in members {
            if let Some(value) = value {
                attempt[key] = value.clone();
            }
        }
        with(&[attempt])
    };
    let (patch, sent, inverse) = (Some(&patch), Some(&sent), Some(&inverse));
    for ((intent, sent_before, said_before), (sent_after, said_after), is_good) in [
        ((patch, None, None), (sent, inverse), true),
        ((patch, None, None), (sent, None), true),
        ((patch, sent, inverse), (sent, inverse), true),
        ((patch, None, None), (None, inverse), false),
        ((patch, sent, None), (sent, inverse), false),
        ((None, None, None), (sent, inverse), false),
    ] {
        let before = of(intent, sent_before, said_before);
        let after = of(intent, sent_after, said_after);
        let expected = if is_good { vec![] } else { vec!["status.attempts[0].inverse"] };
        assert_eq!(told(&before, &after), expected, "{after:?}");
    }
}

#[test]
fn an_attempt_at_bounds_says_what_they_were_and_is_of_the_targets_autoscaler() {
    use crate::own::beside::tests::{autoscaler, move_bounds};
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
fn a_proposal_names_the_digest_of_itself_and_waits_no_longer_than_is_configured() {
    let target = |uid: &str| json!({"uid": uid, "generation": 3, "resourceVersion": "7"});
    let intent = json!({"type": "scale", "replicas": 5});
    let hash = |uid: &str| {
        let target = serde_json::from_value(target(uid)).unwrap();
        let intent = serde_json::from_value(intent.clone()).unwrap();
        intent_hash("r-1", &target, &intent, None)
    };
    let proposal = |members: Value| {
        let mut proposal = json!({
            "intent": intent, "target": target("u-1"), "hash": hash("u-1"),
            "proposedAt": "2026-11-21T10:00:00Z", "expiresAt": "2026-11-21T10:15:00Z",
        });
        for (key, value) in members.as_object().unwrap() {
            proposal[key] = value.clone();
        }
        waiting(&proposal)
    };
    let none = remediation(&json!({}));
    for (members, part) in [
        (json!({}), None),
        (json!({"intent": {"type": "scale", "replicas": 6}}), Some("hash")),
        (json!({"hash": "0"}), Some("hash")),
        (json!({"target": target("u-2"), "hash": hash("u-2")}), Some("target.uid")),
        (json!({"expiresAt": "2026-11-21T10:16:00Z"}), None),
        (json!({"expiresAt": "2026-11-21T10:16:01Z"}), Some("expiresAt")),
        (json!({"expiresAt": "2026-11-21T09:59:59Z"}), Some("expiresAt")),
    ] {
        let new = proposal(members.clone());
        let expected: Vec<String> =
            part.into_iter().map(|part| format!("status.proposal.{part}")).collect();
        assert_eq!(told(&none, &new), expected, "{members}");
        // What stands there already is not checked again: it may have expired since.
        assert_eq!(told(&new, &new), [] as [&str; 0], "{members}");
    }
}

/// What is wrong with these proposals one after the other, each put forward for a target of so many replicas.
fn put(action: &Value, steps: &[(i32, i32)]) -> Vec<Vec<String>> {
    let mut old = remediation(&json!({"action": action}));
    let steps = steps.iter().map(|(present, replicas)| {
        let mut new = old.clone();
        let status = json!({"phase": "AwaitingApproval", "proposal": {
            "intent": {"type": "scale", "replicas": replicas}, "hash": "0",
            "target": {"uid": "u-1", "generation": 3, "resourceVersion": "7"},
            "proposedAt": "2026-11-21T10:00:00Z", "expiresAt": "2026-11-21T10:15:00Z",
        }});
        new.status = Some(serde_json::from_value(status).unwrap());
        let live = target(&json!({}), &json!({"replicas": present}));
        let proposal = put_forward(&old, &new);
        let checked =
            proposal.map(|proposal| meant(&old, &new, proposal, Some(&live), &Beside::Nothing));
        old = new;
        let flaws = checked.unwrap_or_default().flaws;
        flaws.into_iter().map(|flaw| flaw.field).collect()
    });
    steps.collect()
}

#[test]
fn what_is_put_forward_is_what_was_asked_for_of_the_target_as_it_is() {
    let (good, bad) = (vec![], vec!["status.proposal.intent".to_owned()]);
    let to_five = json!({"type": "scale", "scale": {"replicas": 5}});
    let (more, fewer) = (
        json!({"type": "scale", "scale": {"delta": 2}}),
        json!({"type": "scale", "scale": {"delta": -2}}),
    );
    for (action, steps, expected) in [
        (&to_five, vec![(3, 5)], vec![&good]),
        (&to_five, vec![(3, 6)], vec![&bad]),
        (&more, vec![(3, 5), (3, 5), (4, 5), (7, 7)], vec![&good; 4]),
        (&more, vec![(3, 6)], vec![&bad]),
        (&more, vec![(3, 5), (4, 6)], vec![&good, &bad]),
        (&fewer, vec![(3, 1), (0, 0)], vec![&good; 2]),
        (&fewer, vec![(3, 1), (3, -1)], vec![&good, &bad]),
    ] {
        assert_eq!(put(action, &steps).iter().collect::<Vec<_>>(), expected, "{action} {steps:?}");
    }
    let mut new = remediation(&json!({}));
    let old = new.clone();
    let target_of = json!({"uid": "u-1", "generation": 3, "resourceVersion": "older"});
    let status = json!({"phase": "AwaitingApproval", "proposal": {
        "intent": {"type": "scale", "replicas": 5}, "hash": "0", "target": target_of,
        "proposedAt": "2026-11-21T10:00:00Z", "expiresAt": "2026-11-21T10:15:00Z",
    }});
    new.status = Some(serde_json::from_value(status).unwrap());
    let proposal = put_forward(&old, &new).unwrap();
    let checked = |live: Option<&Target>| meant(&old, &new, proposal, live, &Beside::Nothing);
    assert_eq!(checked(Some(&target(&json!({}), &json!({})))), Checked::default());
    let moved = target(&json!({"generation": 4}), &json!({}));
    let other = target(&json!({"uid": "u-2"}), &json!({}));
    for live in [Some(&moved), Some(&other), None] {
        let checked = checked(live);
        assert_eq!(checked.flaws[0].field, "status.proposal.target");
        assert_eq!(checked.retry_after, Some(1));
    }
}

#[test]
fn an_attempt_that_needs_approval_is_what_was_put_forward_for_it() {
    let with = |status: Value, require_approval: bool| {
        let mut remediation = remediation(&json!({"requireApproval": require_approval}));
        remediation.status = Some(serde_json::from_value(status).unwrap());
        remediation
    };
    let proposal = |replicas: i32| {
        json!({
            "intent": {"type": "scale", "replicas": replicas}, "hash": "0",
            "target": {"uid": "u-1", "generation": 3, "resourceVersion": "7"},
            "proposedAt": "2026-11-21T10:00:00Z", "expiresAt": "2026-11-21T10:15:00Z",
        })
    };
    for (replicas, require_approval, is_good) in
        [(5, true, true), (4, true, false), (5, false, true), (4, false, true)]
    {
        let waits = json!({"phase": "AwaitingApproval", "proposal": proposal(replicas)});
        let begins = json!({
            "phase": "Executing", "proposal": proposal(replicas), "attempts": [attempt(&json!({}))],
        });
        let (old, new) = (with(waits, require_approval), with(begins, require_approval));
        let expected = if is_good { vec![] } else { vec!["status.attempts[0].intent"] };
        assert_eq!(told(&old, &new), expected, "{replicas} {require_approval}");
    }
}

#[test]
fn a_further_attempt_never_takes_the_step_again() {
    let ended = attempt(&json!({"result": "Conflict"}));
    let second = |replicas: i32, former: i32| {
        let intent = json!({"type": "scale", "replicas": replicas});
        attempt(&json!({"number": 2, "intent": intent, "former": {"replicas": former}}))
    };
    for (replicas, former, is_good) in [(5, 3, true), (5, 5, true), (7, 7, true), (7, 5, false)] {
        let action = json!({"action": {"type": "scale", "scale": {"delta": 2}}});
        let of = |attempts: &[Value]| {
            let mut remediation = remediation(&action);
            remediation.status = with(attempts).status;
            remediation
        };
        let old = of(std::slice::from_ref(&ended));
        let new = of(&[ended.clone(), second(replicas, former)]);
        let expected = if is_good { vec![] } else { vec!["status.attempts[1].intent"] };
        assert_eq!(told(&old, &new), expected, "{replicas} of {former}");
    }
}

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

#[test]
fn a_proposal_to_move_bounds_names_the_digest_of_the_bounds_there_are() {
    let old = remediation(&json!({"action": {"type": "hpa-bounds", "hpaBounds": {"maxDelta": 2}}}));
    let target_of = json!({"uid": "u-1", "generation": 3, "resourceVersion": "7"});
    let intent = move_bounds(1, 7);
    let put = |former: Option<(i32, i32)>| {
        let former =
            former.map(|(min_replicas, max_replicas)| Bounds { min_replicas, max_replicas });
        let target = serde_json::from_value(target_of.clone()).unwrap();
        let hash = intent_hash("r-1", &target, &intent, former);
        let mut new = old.clone();
        let status = json!({"phase": "AwaitingApproval", "proposal": {
            "intent": intent, "hash": hash, "target": target_of,
            "proposedAt": "2026-11-21T10:00:00Z", "expiresAt": "2026-11-21T10:15:00Z",
        }});
        new.status = Some(serde_json::from_value(status).unwrap());
        new
    };
    let beside = Beside::Autoscaler(Some(autoscaler(1, 5)));
    let live = target(&json!({}), &json!({}));
    for (former, expected) in [
        (Some((1, 5)), None),
        (Some((1, 4)), Some("status.proposal.hash")),
        (None, Some("status.proposal.hash")),
    ] {
        let new = put(former);
        assert_eq!(told(&old, &new), [] as [&str; 0], "what there is beside it says that");
        let checked = meant(&old, &new, put_forward(&old, &new).unwrap(), Some(&live), &beside);
        let field = checked.flaws.first().map(|flaw| flaw.field.as_str());
        assert_eq!(field, expected, "{former:?}");
        assert_eq!(checked.retry_after, expected.map(|_| 1), "they may have moved meanwhile");
    }
}
