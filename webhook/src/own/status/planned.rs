//! Whether an intent is what was asked for: the action says it, a relative one of the target as it was when it was
//! planned. How the controller plans is its own; what that may come to is said here.

use smartops_common::action::{Action, ActionType, Intent};

/// Why an intent is not what an action means for a target with so many replicas; `recorded` is the intent that was
/// worked out of the action before, by which a relative one is never carried out twice. `None` where it is.
pub(super) fn strays(
    action: &Action,
    intent: &Intent,
    recorded: Option<&Intent>,
    present: i32,
) -> Option<String> {
    let (asked, type_) = (action.type_, intent.type_);
    if type_ != asked {
        return Some(format!("is a {type_} and a {asked} was asked for"));
    }
    let Intent { replicas, restarted_at, patch, .. } = intent;
    let (is_scale, is_restart) = (asked == ActionType::Scale, asked == ActionType::Restart);
    let is_patch = asked == ActionType::Patch;
    if (replicas.is_some(), restarted_at.is_some(), patch.is_some())
        != (is_scale, is_restart, is_patch)
    {
        return Some(format!("has other values than those of a {asked}"));
    }
    if is_patch && *patch != action.patch {
        return Some("is not the patch that was asked for".to_owned());
    }
    let (says, parameters) = ((*replicas)?, action.scale.as_ref());
    let Some(parameters) = parameters else {
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn is_meant(action: &Value, intent: &Value, recorded: Option<i32>, present: i32) -> bool {
        let action = serde_json::from_value(action.clone()).unwrap();
        let intent = serde_json::from_value(intent.clone()).unwrap();
        let recorded = recorded.map(Intent::scale);
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
}
