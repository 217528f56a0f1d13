//! The bounds of the HorizontalPodAutoscaler that owns the target's number of replicas: where it owns the number, its
//! bounds are what can be moved without being taken back within seconds.

use kube::api::Patch;
use serde_json::json;
use smartops_common::action::{Action, BoundsIntent, HpaBoundsParameters, Intent};
use smartops_common::remediation::Bounds;

use super::{Malformed, Seen, Write};
use crate::remediation::autoscaler::Autoscaler;
use crate::remediation::means::Means;

/// The bounds `action` means for the autoscaler of the target. A step is taken once: a repeat means what it came to first,
/// unless somebody went further meanwhile. What is not asked for is left as it is.
pub(super) fn plan(
    action: &Action,
    recorded: Option<&Intent>,
    seen: Seen<'_>,
) -> Result<Intent, Malformed> {
    let asked = action.hpa_bounds.as_ref();
    let asked = asked.ok_or_else(|| Malformed("hpa-bounds needs hpaBounds".into()))?;
    let name = seen.live.name();
    let autoscaler = seen.means.autoscaler.as_ref().ok_or_else(|| {
        Malformed(format!("no HorizontalPodAutoscaler targets Deployment {name}: scale it instead"))
    })?;
    if let Some(object) = &autoscaler.scaled_object {
        return Err(Malformed(format!(
            "HorizontalPodAutoscaler {} is made by KEDA of ScaledObject {object}, which would take its bounds back: change the ScaledObject instead",
            autoscaler.name
        )));
    }
    let first = recorded.and_then(|intent| intent.bounds.as_ref());
    let Bounds { min_replicas, max_replicas } = wanted(asked, first, bounds(autoscaler));
    if min_replicas < 1 || min_replicas > max_replicas {
        return Err(Malformed(format!(
            "the bounds would be {min_replicas} to {max_replicas}: the lower one has to be at least 1 and at most the upper one"
        )));
    }
    let bounds = with_bounds(autoscaler, Bounds { min_replicas, max_replicas });
    Ok(Intent { bounds: Some(bounds), ..Intent::of(action.type_) })
}

/// This autoscaler as it was read, with these bounds.
pub(super) fn with_bounds(autoscaler: &Autoscaler, bounds: Bounds) -> BoundsIntent {
    BoundsIntent {
        name: autoscaler.name.clone(),
        uid: autoscaler.uid.clone(),
        resource_version: autoscaler.resource_version.clone(),
        min_replicas: bounds.min_replicas,
        max_replicas: bounds.max_replicas,
    }
}

/// The bounds it has.
pub fn bounds(autoscaler: &Autoscaler) -> Bounds {
    Bounds { min_replicas: autoscaler.min_replicas, max_replicas: autoscaler.max_replicas }
}

fn wanted(asked: &HpaBoundsParameters, first: Option<&BoundsIntent>, present: Bounds) -> Bounds {
    let bound = |wanted: Option<i32>, delta: Option<i32>, first: Option<i32>, present: i32| {
        match (wanted, delta, first) {
            (Some(wanted), ..) => wanted,
            (None, None, _) => present,
            (None, Some(delta), None) => present.saturating_add(delta),
            // More never takes away, nor fewer adds.
            (None, Some(delta), Some(first)) if delta >= 0 => first.max(present),
            (None, Some(_), Some(first)) => first.min(present),
        }
    };
    let (min, max) = (first.map(|first| first.min_replicas), first.map(|first| first.max_replicas));
    Bounds {
        min_replicas: bound(asked.min_replicas, asked.min_delta, min, present.min_replicas),
        max_replicas: bound(asked.max_replicas, asked.max_delta, max, present.max_replicas),
    }
}

pub(super) fn write(intent: &Intent) -> Result<Write, Malformed> {
    let bounds = intent
        .bounds
        .as_ref()
        .ok_or_else(|| Malformed("the recorded intent of hpa-bounds has no bounds".into()))?;
    let patch = Patch::Merge(json!({
        "metadata": {"resourceVersion": bounds.resource_version, "uid": bounds.uid},
        "spec": {"minReplicas": bounds.min_replicas, "maxReplicas": bounds.max_replicas},
    }));
    Ok(Write::Autoscaler { name: bounds.name.clone(), patch })
}

/// Whether the autoscaler that was meant has these bounds.
pub(super) fn is_applied(intent: &Intent, means: &Means) -> bool {
    let (Some(wanted), Some(live)) = (&intent.bounds, &means.autoscaler) else { return false };
    live.uid == wanted.uid
        && (live.min_replicas, live.max_replicas) == (wanted.min_replicas, wanted.max_replicas)
}

/// Whether the autoscaler was written since it was read for this intent, by whomever: its status counts.
pub fn has_moved(intent: &Intent, means: &Means) -> bool {
    intent.bounds.as_ref().is_some_and(|wanted| {
        means.autoscaler.as_ref().is_none_or(|live| {
            (&live.uid, &live.resource_version) != (&wanted.uid, &wanted.resource_version)
        })
    })
}

#[cfg(test)]
mod tests {
    use smartops_common::action::ActionType;

    use super::*;
    use crate::fixture::{autoscaler, deployment};

    fn means(min: i32, max: i32) -> Means {
        Means { autoscaler: Some(autoscaler(min, max)), ..Means::default() }
    }

    fn asked(parameters: HpaBoundsParameters) -> Action {
        Action { hpa_bounds: Some(parameters), ..Action::of(ActionType::HpaBounds) }
    }

    fn steps(min_delta: i32, max_delta: i32) -> Action {
        asked(HpaBoundsParameters {
            min_delta: Some(min_delta),
            max_delta: Some(max_delta),
            ..HpaBoundsParameters::default()
        })
    }

    fn planned(action: &Action, recorded: Option<&Intent>, means: &Means) -> Option<(i32, i32)> {
        let intent = plan(action, recorded, Seen { live: &deployment(3), means }).ok()?;
        intent.bounds.map(|b| (b.min_replicas, b.max_replicas))
    }

    #[test]
    fn what_is_not_asked_for_stays_and_a_step_is_from_where_it_stands() {
        let upper = HpaBoundsParameters { max_replicas: Some(9), ..HpaBoundsParameters::default() };
        for (action, expected) in [
            (asked(upper), Some((2, 9))),
            (steps(1, 2), Some((3, 7))),
            (steps(-1, 0), Some((1, 5))),
            (steps(-2, 0), None),
            (steps(4, 0), None),
        ] {
            assert_eq!(planned(&action, None, &means(2, 5)), expected, "{action:?}");
        }
        assert_eq!(planned(&steps(1, 1), None, &Means::default()), None, "there is none");
        let mut kedas = means(2, 5);
        kedas.autoscaler.as_mut().unwrap().scaled_object = Some("orders".into());
        assert_eq!(planned(&steps(1, 1), None, &kedas), None, "KEDA would take it back");
    }

    #[test]
    fn a_repeat_keeps_the_bounds_of_the_first_and_is_for_the_version_that_is_there_now() {
        let (live, first) = (deployment(3), means(2, 5));
        let action = steps(1, 2);
        let intent = plan(&action, None, Seen { live: &live, means: &first }).unwrap();
        let mut since = means(3, 7);
        since.autoscaler.as_mut().unwrap().resource_version = "101".into();
        let again = plan(&action, Some(&intent), Seen { live: &live, means: &since }).unwrap();
        let bounds = again.bounds.as_ref().unwrap();
        assert_eq!(
            (bounds.min_replicas, bounds.max_replicas),
            (3, 7),
            "the step is not added twice"
        );
        assert_eq!(bounds.resource_version, "101");
        assert!(has_moved(&intent, &since) && !has_moved(&again, &since));
        assert!(is_applied(&again, &since) && !is_applied(&again, &first));
    }

    #[test]
    fn a_repeat_never_takes_back_what_somebody_went_further_meanwhile_nor_what_was_not_asked_for() {
        let only = |parameters| serde_json::from_value(parameters).map(asked).unwrap();
        let (up, down) = (steps(1, 2), steps(-1, -2));
        let (upper, raise) = (only(json!({"maxReplicas": 9})), only(json!({"maxDelta": 2})));
        for (action, since, expected) in [
            (&up, (2, 5), (3, 7)),
            (&up, (2, 9), (3, 9)),
            (&up, (4, 6), (4, 7)),
            (&down, (2, 5), (1, 3)),
            (&down, (1, 2), (1, 2)),
            (&upper, (4, 20), (4, 9)),
            (&raise, (4, 5), (4, 7)),
        ] {
            let first =
                plan(action, None, Seen { live: &deployment(3), means: &means(2, 5) }).unwrap();
            let again = planned(action, Some(&first), &means(since.0, since.1));
            assert_eq!(again, Some(expected), "{action:?} {since:?}");
        }
    }

    #[test]
    fn the_write_is_both_bounds_and_nothing_else_on_condition_of_the_version() {
        let intent =
            plan(&steps(1, 2), None, Seen { live: &deployment(3), means: &means(2, 5) }).unwrap();
        let patch = Patch::Merge(json!({
            "metadata": {"resourceVersion": "100", "uid": "uid-hpa"},
            "spec": {"minReplicas": 3, "maxReplicas": 7},
        }));
        assert_eq!(write(&intent).unwrap(), Write::Autoscaler { name: "web".into(), patch });
    }
}
