//! Whether an intent is what was asked for: the action says it, a relative one of the target as it was when it was
//! planned. How the controller plans is its own; what that may come to is said here.

use smartops_common::action::{Action, ActionType, BoundsIntent, HpaBoundsParameters, Intent};
use smartops_common::remediation::Bounds;

/// What there is of what a step is taken from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Present {
    pub(super) replicas: i32,
    /// Of the autoscaler, where its bounds are to move.
    pub(super) bounds: Option<Bounds>,
}

/// Why an intent is not what an action means for a target of which this is present; `recorded` is the intent that was
/// worked out of the action before, by which a relative one is never carried out twice. `None` where it is.
pub(super) fn strays(
    action: &Action,
    intent: &Intent,
    recorded: Option<&Intent>,
    present: Present,
) -> Option<String> {
    let (asked, type_) = (action.type_, intent.type_);
    if type_ != asked {
        return Some(format!("is a {type_} and a {asked} was asked for"));
    }
    let Intent { replicas, restarted_at, patch, revision, pod, bounds, .. } = intent;
    let values = [
        (ActionType::Scale, replicas.is_some()),
        (ActionType::Restart, restarted_at.is_some()),
        (ActionType::Patch, patch.is_some()),
        (ActionType::Rollback, revision.is_some()),
        (ActionType::EvictPod, pod.is_some()),
        (ActionType::HpaBounds, bounds.is_some()),
    ];
    if values.into_iter().any(|(of, is_there)| is_there != (of == asked)) {
        return Some(format!("has other values than those of a {asked}"));
    }
    // Which revision and which pod were meant is worked out once; so is what bounds come to.
    let strays_from = |recorded: &Intent| {
        let asks_anew = matches!(asked, ActionType::Rollback | ActionType::EvictPod);
        let is_it = recorded.revision == *revision && recorded.pod == *pod;
        (asks_anew && !is_it).then(|| "is not what was recorded first".to_owned())
    };
    match asked {
        ActionType::Scale => strayed_number(action, (*replicas)?, recorded, present.replicas),
        ActionType::Restart | ActionType::Pause | ActionType::Resume => None,
        ActionType::Patch => {
            (*patch != action.patch).then(|| "is not the patch that was asked for".to_owned())
        }
        ActionType::Rollback => match (recorded, &action.rollback, revision) {
            (Some(recorded), ..) => strays_from(recorded),
            (None, Some(wanted), Some(says)) if wanted.to_revision != says.number => {
                let (says, wanted) = (says.number, wanted.to_revision);
                Some(format!("goes back to revision {says} and {wanted} was asked for"))
            }
            _ => None,
        },
        ActionType::EvictPod => match (recorded, &action.evict_pod, pod) {
            (Some(recorded), ..) => strays_from(recorded),
            (None, Some(wanted), Some(says)) if wanted.pod != says.name => {
                Some(format!("evicts {} and {} was asked for", says.name, wanted.pod))
            }
            _ => None,
        },
        ActionType::HpaBounds => {
            let before = recorded.and_then(|recorded| recorded.bounds.as_ref());
            strayed_bounds(action.hpa_bounds.as_ref()?, bounds.as_ref()?, before, present.bounds)
        }
    }
}

/// Why a number is not what a scale asks for.
fn strayed_number(
    action: &Action,
    says: i32,
    recorded: Option<&Intent>,
    present: i32,
) -> Option<String> {
    let Some(parameters) = action.scale.as_ref() else {
        return Some("is a number, and none was asked for".to_owned());
    };
    match (parameters.replicas, parameters.delta) {
        (Some(wanted), _) => {
            (says != wanted).then(|| format!("says {says} and {wanted} was asked for"))
        }
        (None, delta) => {
            let delta = delta.unwrap_or_default();
            let wanted = match recorded.and_then(|intent| intent.replicas) {
                None => present.saturating_add(delta).max(0),
                // Somebody may have gone further meanwhile: more never takes away, nor fewer adds.
                Some(recorded) if delta >= 0 => recorded.max(present),
                Some(recorded) => recorded.min(present),
            };
            (says != wanted).then(|| {
                format!("says {says}, which is not what {delta:+} comes to that was asked for")
            })
        }
    }
}

/// Why bounds are not what was asked for: what is not named stays, and a step is taken once.
fn strayed_bounds(
    asked: &HpaBoundsParameters,
    says: &BoundsIntent,
    recorded: Option<&BoundsIntent>,
    present: Option<Bounds>,
) -> Option<String> {
    if recorded.is_some_and(|recorded| recorded.uid != says.uid) {
        return Some("is of another autoscaler than what was recorded first".to_owned());
    }
    let Some(present) = present else {
        return Some("moves bounds, and what they were is not on record".to_owned());
    };
    let wanted = |number: Option<i32>, delta: Option<i32>, recorded: Option<i32>, present: i32| {
        match (number, delta, recorded) {
            (Some(number), ..) => number,
            (None, None, _) => present,
            (None, Some(delta), None) => present.saturating_add(delta),
            // Somebody may have gone further meanwhile: more never takes away, nor fewer adds.
            (None, Some(delta), Some(recorded)) if delta >= 0 => recorded.max(present),
            (None, Some(_), Some(recorded)) => recorded.min(present),
        }
    };
    let (first_min, first_max) =
        (recorded.map(|first| first.min_replicas), recorded.map(|first| first.max_replicas));
    let min = wanted(asked.min_replicas, asked.min_delta, first_min, present.min_replicas);
    let max = wanted(asked.max_replicas, asked.max_delta, first_max, present.max_replicas);
    let (least, most) = (says.min_replicas, says.max_replicas);
    ((least, most) != (min, max))
        .then(|| format!("says {least} to {most}, which is not what was asked for comes to"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn is_meant(action: &Value, intent: &Value, recorded: Option<i32>, present: i32) -> bool {
        let action = serde_json::from_value(action.clone()).unwrap();
        let intent = serde_json::from_value(intent.clone()).unwrap();
        let recorded = recorded.map(Intent::scale);
        let present = Present { replicas: present, bounds: None };
        strays(&action, &intent, recorded.as_ref(), present).is_none()
    }

    fn scale(replicas: i32) -> Value {
        json!({"type": "scale", "replicas": replicas})
    }

    #[test]
    fn a_scale_is_to_the_number_that_was_asked_for_whatever_is_there() {
        let action = json!({"type": "scale", "scale": {"replicas": 5}});
        for (says, recorded, present, expected) in [
            (5, None, 3, true),
            (5, Some(5), 9, true),
            (6, None, 3, false),
            (4, Some(4), 3, false),
            (3, None, 3, false),
        ] {
            assert_eq!(is_meant(&action, &scale(says), recorded, present), expected, "{says}");
        }
    }

    #[test]
    fn a_step_is_from_what_is_there_once_and_afterwards_never_further_than_somebody_else_went() {
        for (delta, says, recorded, present, expected) in [
            (2, 5, None, 3, true),
            (2, 6, None, 3, false),
            (2, 2, None, 3, false),
            (-9, 0, None, 3, true),
            (-9, -6, None, 3, false),
            (i32::MAX, i32::MAX, None, 3, true),
            (2, 5, Some(5), 3, true),
            (2, 7, Some(5), 7, true),
            (2, 7, Some(5), 5, false),
            (-2, 1, Some(1), 3, true),
            (-2, 0, Some(1), 0, true),
            (-2, 1, Some(1), 0, false),
        ] {
            let action = json!({"type": "scale", "scale": {"delta": delta}});
            let meant = is_meant(&action, &scale(says), recorded, present);
            assert_eq!(meant, expected, "{delta:+} to {says} of {present} after {recorded:?}");
        }
    }

    #[test]
    fn a_patch_is_byte_for_byte_what_was_asked_for_and_each_action_has_its_own_values_alone() {
        let patch = json!({"format": "json", "body": "[]"});
        let (patches, restarts) =
            (json!({"type": "patch", "patch": patch}), json!({"type": "restart"}));
        let scales = json!({"type": "scale", "scale": {"replicas": 5}});
        let with = |intent: &Value, member: &str, value: Value| {
            let mut intent = intent.clone();
            intent[member] = value;
            intent
        };
        let stamped = json!({"type": "restart", "restartedAt": "now"});
        for (action, intent, expected) in [
            (&patches, patches.clone(), true),
            (&patches, with(&patches, "patch", json!({"format": "json", "body": "[ ]"})), false),
            (
                &patches,
                with(&patches, "patch", json!({"format": "strategic", "body": "[]"})),
                false,
            ),
            (&patches, with(&patches, "replicas", json!(4)), false),
            (&patches, json!({"type": "patch"}), false),
            (&restarts, stamped.clone(), true),
            (&restarts, with(&stamped, "replicas", json!(4)), false),
            (&restarts, with(&stamped, "patch", patch.clone()), false),
            (&restarts, restarts.clone(), false),
            (&scales, scale(5), true),
            (&scales, with(&scale(5), "restartedAt", json!("now")), false),
            (&scales, stamped.clone(), false),
            (&restarts, scale(5), false),
        ] {
            assert_eq!(is_meant(action, &intent, None, 5), expected, "{action}: {intent}");
        }
    }

    fn strayed(
        action: &Value,
        intent: &Value,
        recorded: Option<&Value>,
        bounds: (i32, i32),
    ) -> bool {
        let read = |value: &Value| serde_json::from_value::<Intent>(value.clone()).unwrap();
        let (min_replicas, max_replicas) = bounds;
        let present = Present { replicas: 3, bounds: Some(Bounds { min_replicas, max_replicas }) };
        let action = serde_json::from_value(action.clone()).unwrap();
        strays(&action, &read(intent), recorded.map(read).as_ref(), present).is_some()
    }

    #[test]
    fn a_revision_and_a_pod_are_the_ones_asked_for_and_stay_so_when_it_is_tried_again() {
        let back = |number: i64| {
            let revision =
                json!({"replicaSet": "web-1", "uid": "s", "number": number, "template": "t"});
            json!({"type": "rollback", "revision": revision})
        };
        let evict = |name: &str| json!({"type": "evict-pod", "pod": {"name": name, "uid": "p"}});
        let any_revision = json!({"type": "rollback"});
        let revision = json!({"type": "rollback", "rollback": {"toRevision": 2}});
        let any_pod = json!({"type": "evict-pod"});
        let pod = json!({"type": "evict-pod", "evictPod": {"pod": "a"}});
        for (action, intent, recorded, expected) in [
            (&any_revision, back(2), None, false),
            (&revision, back(2), None, false),
            (&revision, back(3), None, true),
            (&revision, back(2), Some(back(2)), false),
            (&any_revision, back(3), Some(back(2)), true),
            (&any_revision, json!({"type": "rollback"}), None, true),
            (&any_pod, evict("a"), None, false),
            (&pod, evict("a"), None, false),
            (&pod, evict("b"), None, true),
            (&any_pod, evict("b"), Some(evict("a")), true),
            (&json!({"type": "pause"}), json!({"type": "pause"}), None, false),
            (&json!({"type": "pause"}), json!({"type": "resume"}), None, true),
            (&json!({"type": "pause"}), json!({"type": "pause", "replicas": 3}), None, true),
        ] {
            let strays = strayed(action, &intent, recorded.as_ref(), (1, 5));
            assert_eq!(strays, expected, "{action} {intent} {recorded:?}");
        }
    }

    #[test]
    fn bounds_come_to_what_was_asked_for_of_those_there_were_and_a_step_is_taken_once() {
        let moved = |min: i32, max: i32| {
            json!({"type": "hpa-bounds", "bounds": {
                "name": "web", "uid": "h", "resourceVersion": "1", "minReplicas": min, "maxReplicas": max,
            }})
        };
        let asks = |parameters: Value| json!({"type": "hpa-bounds", "hpaBounds": parameters});
        for (parameters, (min, max), recorded, expected) in [
            (json!({"maxReplicas": 8}), (1, 8), None, false),
            (json!({"maxReplicas": 8}), (2, 8), None, true),
            (json!({"minReplicas": 2, "maxReplicas": 8}), (2, 8), None, false),
            (json!({"maxDelta": 1}), (1, 6), None, false),
            (json!({"maxDelta": 1}), (1, 7), None, true),
            (json!({"minDelta": 1, "maxDelta": 1}), (2, 6), None, false),
            (json!({"maxDelta": 1}), (1, 6), Some(moved(1, 6)), false),
            (json!({"maxDelta": 1}), (1, 7), Some(moved(1, 6)), true),
            // Somebody has gone further, or not as far, since it was recorded.
            (json!({"maxDelta": 1}), (1, 5), Some(moved(1, 4)), false),
            (json!({"maxDelta": 1}), (1, 4), Some(moved(1, 4)), true),
            (json!({"maxDelta": -1}), (1, 5), Some(moved(1, 6)), false),
            (json!({"maxDelta": -1}), (1, 6), Some(moved(1, 6)), true),
            (json!({"minReplicas": 2}), (2, 5), Some(moved(2, 9)), false),
            (json!({"minReplicas": 2}), (2, 9), Some(moved(2, 9)), true),
        ] {
            let action = asks(parameters);
            let strays = strayed(&action, &moved(min, max), recorded.as_ref(), (1, 5));
            assert_eq!(strays, expected, "{action} {min} {max} {recorded:?}");
        }
    }
}
