//! What is put forward to be approved, and whether it is what was asked for.

use super::super::super::beside::tests::{autoscaler, move_bounds};
use super::*;

fn waiting(proposal: &Value) -> Remediation {
    let mut remediation = remediation(&json!({}));
    let status = json!({"phase": "AwaitingApproval", "proposal": proposal});
    remediation.status = Some(serde_json::from_value(status).unwrap());
    remediation
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
