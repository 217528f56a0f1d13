//! What takes an attempt back: the intent that restores the state recorded before it, where there is such a state and
//! nobody else has changed it since. Whether it is due is `remediation::machine`'s, and whether it may be written the
//! webhook's.

use json_patch::{PatchOperation, diff};
use serde_json::{Map, Value, json};
use smartops_common::action::{ActionType, Intent, PatchFormat, PatchParameters};
use smartops_common::remediation::Attempt;

use super::patch::LONGEST;
use super::{Seen, hpa_bounds, is_applied, is_on_target, rollback};

/// Most operations of a patch that a warrant is given for.
const MOST_OPERATIONS: usize = 256;

/// What restores the state before this attempt, which was written; or why nothing does.
pub fn undo<'a>(attempt: &Attempt, seen: impl Into<Seen<'a>>) -> Result<Intent, String> {
    let seen = seen.into();
    let intent = &attempt.intent;
    if !leaves_something(intent.type_) {
        return Err(format!("a {} leaves nothing that could be restored", intent.type_));
    }
    if !is_as_written(attempt, seen) {
        return Err("somebody else has changed it since".to_owned());
    }
    let former = &attempt.former;
    match intent.type_ {
        ActionType::Scale => Ok(Intent::scale(former.replicas)),
        ActionType::Patch => attempt
            .inverse
            .clone()
            .map(Intent::patch)
            .ok_or_else(|| "what takes the patch back was too long to be kept".to_owned()),
        ActionType::Rollback => {
            let is_it = |digest: &String| Some(digest) == former.template.as_ref();
            let revisions = seen.means.revisions.iter().filter(|r| is_it(&r.digest));
            let revision = revisions.max_by_key(|r| r.number).ok_or_else(|| {
                "no ReplicaSet holds the former pod template any more (revisionHistoryLimit)"
                    .to_owned()
            })?;
            let revision = Some(rollback::named(revision));
            Ok(Intent { revision, ..Intent::of(ActionType::Rollback) })
        }
        ActionType::Pause => Ok(Intent::of(ActionType::Resume)),
        ActionType::Resume => Ok(Intent::of(ActionType::Pause)),
        ActionType::HpaBounds => {
            let (Some(bounds), Some(autoscaler)) = (former.bounds, &seen.means.autoscaler) else {
                return Err("the former bounds are not on record".to_owned());
            };
            let bounds = hpa_bounds::with_bounds(autoscaler, bounds);
            Ok(Intent { bounds: Some(bounds), ..Intent::of(ActionType::HpaBounds) })
        }
        ActionType::Restart | ActionType::EvictPod => {
            Err(format!("a {} leaves nothing that could be restored", intent.type_))
        }
    }
}

/// Whether an action of this type replaces a state that could come back. A restart replaces pods by their equals, and a
/// pod that was evicted is gone.
pub const fn leaves_something(type_: ActionType) -> bool {
    !matches!(type_, ActionType::Restart | ActionType::EvictPod)
}

/// Whether what an attempt wrote is what is there, and nobody has written the object's spec or annotations since. An
/// autoscaler has no generation: of that the bounds themselves have to tell.
fn is_as_written(attempt: &Attempt, seen: Seen<'_>) -> bool {
    if !is_on_target(attempt.intent.type_) {
        return is_applied(&attempt.intent, seen);
    }
    let live = seen.live;
    attempt.written_generation == Some(live.generation())
        && attempt.written_template.as_ref().is_none_or(|t| *t == live.template_digest())
}

/// The JSON Patch that makes of `after` what `before` was: its spec, labels and annotations, each label and annotation
/// by itself, so that one that somebody else adds meanwhile stays. `None` where that is nothing, or too long to keep.
pub fn inverse(before: &Value, after: &Value) -> Option<PatchParameters> {
    let operations = diff(&written(after), &written(before)).0;
    let fits = !operations.is_empty() && operations.len() <= MOST_OPERATIONS;
    let body =
        serde_json::to_string(&operations).ok().filter(|body| fits && body.len() <= LONGEST)?;
    let is_plain = |operation: &PatchOperation| {
        !matches!(operation, PatchOperation::Move(_) | PatchOperation::Copy(_))
    };
    operations.iter().all(is_plain).then_some(PatchParameters { format: PatchFormat::Json, body })
}

/// What a patch of an object can change. The API server leaves out empty labels and annotations; here they are there, or
/// the first one that is added would be taken back with all that came after it.
fn written(object: &Value) -> Value {
    let map = |pointer: &str| {
        object.pointer(pointer).cloned().unwrap_or_else(|| Value::Object(Map::new()))
    };
    json!({
        "metadata": {"labels": map("/metadata/labels"), "annotations": map("/metadata/annotations")},
        "spec": object.get("spec"),
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use smartops_common::action::Action;
    use smartops_common::remediation::{AttemptResult, Bounds, RemediationStatus};

    use super::*;
    use crate::action::{plan, write};
    use crate::fixture::{at, autoscaler, deployment, edited, revision};
    use crate::remediation::means::Means;
    use crate::remediation::record;
    use crate::target::Live;

    fn means() -> Means {
        Means {
            revisions: vec![revision(1, "web:0", 0, 0), revision(2, "web:1", 3, 3)],
            pods: Vec::new(),
            autoscaler: Some(autoscaler(2, 5)),
        }
    }

    /// What the target is after a write: the next generation, changed by this.
    fn next(replicas: i32, edit: impl FnOnce(&mut Value)) -> Live {
        edited(replicas, |d| {
            d["metadata"]["generation"] = json!(8);
            d["metadata"]["resourceVersion"] = json!("80");
            edit(d);
        })
    }

    /// An attempt at this that was written, and has made the target this.
    fn written_attempt(action: &Action, live: &Live) -> Attempt {
        let (before, means) = (deployment(3), means());
        let seen = Seen { live: &before, means: &means };
        let intent = plan(action, None, seen, at(10)).unwrap();
        let mut status = RemediationStatus::default();
        record::begin(&mut status, intent, seen, "me", at(10));
        record::send(&mut status, inverse(before.stored(), live.stored()), Timestamp::UNIX_EPOCH);
        record::settle_written(&mut status, AttemptResult::Written, live, at(11));
        status.attempts.remove(0)
    }

    fn hpa(max: i32) -> Action {
        let asked = serde_json::from_value(json!({"maxReplicas": max})).unwrap();
        Action { hpa_bounds: Some(asked), ..Action::of(ActionType::HpaBounds) }
    }

    #[test]
    fn each_action_is_taken_back_to_exactly_what_was_recorded_before_it() {
        let scaled = next(4, |_| {});
        let undone = undo(&written_attempt(&Action::scale_to(4), &scaled), &scaled).unwrap();
        assert_eq!(undone, Intent::scale(3));

        let paused = next(3, |d| d["spec"]["paused"] = json!(true));
        let attempt = written_attempt(&Action::of(ActionType::Pause), &paused);
        assert_eq!(undo(&attempt, &paused).unwrap(), Intent::of(ActionType::Resume));
        let attempt = written_attempt(&Action::of(ActionType::Resume), &scaled);
        assert_eq!(undo(&attempt, &scaled).unwrap(), Intent::of(ActionType::Pause));

        let rolled = next(3, |d| {
            d["spec"]["template"]["spec"]["containers"][0]["image"] = json!("web:0");
        });
        let attempt = written_attempt(&Action::of(ActionType::Rollback), &rolled);
        let means = means();
        let back = undo(&attempt, Seen { live: &rolled, means: &means }).unwrap();
        assert_eq!(back.revision.unwrap().template, deployment(3).template_digest());

        let attempt = written_attempt(&hpa(9), &deployment(3));
        assert_eq!(attempt.former.bounds, Some(Bounds { min_replicas: 2, max_replicas: 5 }));
        let since = Means { autoscaler: Some(autoscaler(2, 9)), ..Means::default() };
        let live = deployment(3);
        let back = undo(&attempt, Seen { live: &live, means: &since }).unwrap().bounds.unwrap();
        assert_eq!((back.min_replicas, back.max_replicas), (2, 5));
    }

    #[test]
    fn what_somebody_else_has_changed_since_or_what_left_nothing_is_not_taken_back() {
        let scaled = next(4, |_| {});
        let further = edited(4, |d| d["metadata"]["generation"] = json!(9));
        let attempt = written_attempt(&Action::scale_to(4), &scaled);
        assert!(undo(&attempt, &further).unwrap_err().contains("somebody else"));
        assert!(undo(&attempt, &scaled).is_ok(), "the twin");

        let attempt = written_attempt(&hpa(9), &deployment(3));
        let live = deployment(3);
        for (max, expected) in [(9, true), (8, false)] {
            let since = Means { autoscaler: Some(autoscaler(2, max)), ..Means::default() };
            assert_eq!(undo(&attempt, Seen { live: &live, means: &since }).is_ok(), expected);
        }

        let restarted = next(3, |d| {
            d["spec"]["template"]["metadata"]["annotations"] = json!({"a": "b"});
        });
        let attempt = written_attempt(&Action::restart(), &restarted);
        assert!(undo(&attempt, &restarted).unwrap_err().contains("nothing"));

        let rolled = next(3, |_| {});
        let attempt = written_attempt(&Action::of(ActionType::Rollback), &rolled);
        let gone = undo(&attempt, &rolled).unwrap_err();
        assert!(gone.contains("revisionHistoryLimit"), "{gone}");
    }

    #[test]
    fn the_inverse_of_a_patch_restores_it_and_leaves_what_others_add_meanwhile() {
        let before = deployment(3);
        let after = next(3, |d| {
            d["metadata"]["annotations"] = json!({"team": "shop"});
            d["metadata"]["labels"]["tier"] = json!("1");
            d["spec"]["template"]["metadata"]["annotations"] = json!({"a": "b"});
            d["spec"]["template"]["spec"]["containers"][0]["resources"] =
                json!({"limits": {"cpu": "2"}});
        });
        let attempt = written_attempt(
            &Action::patch(PatchFormat::Strategic, &json!({"spec": {"paused": false}})),
            &after,
        );
        let mut since = after.stored().clone();
        since["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = json!("2");
        since["metadata"]["labels"]["added"] = json!("by somebody");
        let live: Live = serde_json::from_value(since.clone()).unwrap();
        let back = undo(&attempt, &live).unwrap();
        let super::super::Write::Deployment(kube::api::Patch::Json(patch)) =
            write(&back, "80", &live).unwrap()
        else {
            panic!("no JSON Patch");
        };
        json_patch::patch(&mut since, &patch).unwrap();
        assert_eq!(since["spec"], before.stored()["spec"]);
        assert_eq!(since["metadata"]["labels"], json!({"app": "web", "added": "by somebody"}));
        assert_eq!(
            since["metadata"]["annotations"],
            json!({"deployment.kubernetes.io/revision": "2"})
        );
    }

    #[test]
    fn an_inverse_that_is_nothing_or_too_long_is_not_kept() {
        let before = deployment(3);
        assert_eq!(inverse(before.stored(), before.stored()), None);
        let long = edited(3, |d| {
            d["spec"]["template"]["spec"]["containers"][0]["args"] = json!(["x".repeat(LONGEST)]);
        });
        assert_eq!(inverse(long.stored(), before.stored()), None);
        assert!(
            inverse(before.stored(), long.stored()).is_some(),
            "the twin: taken out, not put in"
        );
        let many = edited(3, |d| {
            for n in 0..=MOST_OPERATIONS {
                d["metadata"]["annotations"][format!("a{n}")] = json!("b");
            }
        });
        assert_eq!(inverse(before.stored(), many.stored()), None);
    }
}
