//! That what is recorded, to be approved or to be written, is exactly what was asked: admission believes nothing else.

use serde_json::json;
use smartops_common::action::{ActionType, Intent, PatchFormat, ScaleParameters};
use smartops_common::approval::Decision;

use super::*;
use crate::fixture::approval;

/// Whether an intent is what was asked, of a target that had this many replicas, after what was on record already.
fn is_as_asked(action: &Action, former: i32, recorded: Option<&Intent>, intent: &Intent) -> bool {
    let replicas = match (&action.scale, recorded.and_then(|r| r.replicas)) {
        (None, _) => None,
        (Some(ScaleParameters { replicas: Some(replicas), .. }), _) => Some(*replicas),
        (Some(ScaleParameters { delta: Some(d), .. }), None) => Some((former + d).max(0)),
        (Some(ScaleParameters { delta: Some(d), .. }), Some(recorded)) if *d >= 0 => {
            Some(recorded.max(former))
        }
        (Some(_), Some(recorded)) => Some(recorded.min(former)),
        (Some(_), None) => return false,
    };
    intent.type_ == action.type_
        && intent.replicas == replicas
        && intent.patch == action.patch
        && intent.restarted_at.is_some() == (action.type_ == ActionType::Restart)
}

fn actions() -> [Action; 7] {
    let merge = json!({"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}});
    let list =
        json!([{"op": "add", "path": "/spec/template/metadata/annotations/a", "value": "b"}]);
    [
        Action::scale_to(5),
        Action::scale_by(2),
        Action::scale_by(-2),
        Action::scale_by(-9),
        Action::restart(),
        Action::patch(PatchFormat::Strategic, &merge),
        Action::patch(PatchFormat::Json, &list),
    ]
}

/// The target at another generation, with this many replicas.
fn moved(generation: i64, replicas: i32) -> Live {
    edited(replicas, |d| {
        d["metadata"]["generation"] = json!(generation);
        d["metadata"]["resourceVersion"] = json!(format!("{generation}0"));
        d["status"]["observedGeneration"] = json!(generation);
    })
}

#[test]
fn every_attempt_is_exactly_what_was_asked_however_the_target_moves() {
    for action in actions() {
        let mut r = remediation("a", action.clone());
        for (generation, replicas) in [(7, 3), (8, 7), (9, 1), (10, 4)] {
            let live = moved(generation, replicas);
            r = recorded(&r, step(&r, facts(Some(&live), &[], 10)));
            let attempts = &r.status.as_ref().unwrap().attempts;
            let (added, before) = attempts.split_last().unwrap();
            assert_eq!(added.former.replicas, replicas);
            let first = before.first().map(|a| &a.intent);
            assert!(is_as_asked(&action, replicas, first, &added.intent), "{added:?}");
            // It moves again before anything is written.
            r = recorded(&r, step(&r, facts(Some(&moved(generation + 1, 2)), &[], 10)));
            assert_eq!(last(&r).result, Some(AttemptResult::Conflict), "{action:?}");
        }
    }
}

#[test]
fn whatever_is_put_forward_and_approved_is_exactly_what_was_asked() {
    for action in actions() {
        let mut r = remediation("a", action.clone());
        r.spec.require_approval = true;
        for (generation, replicas) in [(7, 3), (8, 7), (9, 1), (10, 4)] {
            let live = moved(generation, replicas);
            let former =
                r.status.as_ref().and_then(|s| s.proposal.as_ref()).map(|p| p.intent.clone());
            r = recorded(&r, step(&r, facts(Some(&live), &[], 10)));
            let put_forward = r.status.as_ref().unwrap().proposal.clone().unwrap();
            assert!(
                is_as_asked(&action, replicas, former.as_ref(), &put_forward.intent),
                "{put_forward:?}"
            );
            let word = approval(&r, &put_forward.hash, Decision::Approve, "carol", 11);
            let approvals = std::slice::from_ref(&word);
            let begun = recorded(&r, step(&r, Facts { approvals, ..facts(Some(&live), &[], 12) }));
            assert_eq!(last(&begun).intent, put_forward.intent);
            assert_eq!(last(&begun).former.replicas, replicas);
            let failed = after(&begun, unavailable(), 13);
            let again = recorded(
                &failed,
                step(&failed, Facts { approvals, ..facts(Some(&live), &[], 20) }),
            );
            assert_eq!((last(&again).number, &last(&again).intent), (2, &put_forward.intent));
        }
    }
}
