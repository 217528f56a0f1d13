//! What is put on record whatever the target is: attempts, their undos, and the outcome.

use super::*;

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
