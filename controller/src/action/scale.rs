//! Scale: an exact number of replicas, written through the scale subresource, which can change nothing else.

use kube::api::Patch;
use serde_json::json;
use smartops_common::action::{Action, Intent};

use super::{Malformed, Write};
use crate::target::Live;

/// The number of replicas `action` means for `live`. Limits are the webhook's: only what no Deployment can have is
/// refused here.
pub(super) fn plan(
    action: &Action,
    recorded: Option<&Intent>,
    live: &Live,
) -> Result<Intent, Malformed> {
    let parameters = action.scale.as_ref();
    let present = live.replicas();
    let wanted = match (
        recorded.and_then(|r| r.replicas),
        parameters.and_then(|p| p.replicas),
        parameters.and_then(|p| p.delta),
    ) {
        (_, Some(replicas), _) => replicas,
        (None, None, Some(delta)) => present.saturating_add(delta).max(0),
        // Somebody may have gone further meanwhile: "one more" must never take away, nor "one fewer" add.
        (Some(recorded), None, Some(delta)) if delta >= 0 => recorded.max(present),
        (Some(recorded), None, Some(_)) => recorded.min(present),
        (_, None, None) => {
            return Err(Malformed("a scale needs scale.replicas or scale.delta".into()));
        }
    };
    if wanted < 0 {
        return Err(Malformed(format!("replicas must be 0 or more, not {wanted}")));
    }
    Ok(Intent::scale(wanted))
}

pub(super) fn write(intent: &Intent, resource_version: &str) -> Result<Write, Malformed> {
    let replicas = intent
        .replicas
        .ok_or_else(|| Malformed("the recorded intent of a scale has no replicas".into()))?;
    let patch = Patch::Merge(json!({
        "metadata": {"resourceVersion": resource_version},
        "spec": {"replicas": replicas},
    }));
    Ok(Write::Scale(patch))
}

pub(super) fn is_applied(intent: &Intent, live: &Live) -> bool {
    intent.replicas == Some(live.replicas())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::deployment;

    #[test]
    fn a_relative_scale_becomes_an_absolute_number_once_and_keeps_it() {
        let by_one = Action::scale_by(1);
        let first = plan(&by_one, None, &deployment(3)).unwrap();
        assert_eq!(first.replicas, Some(4));
        let again = plan(&by_one, Some(&first), &deployment(4)).unwrap();
        assert_eq!(again.replicas, Some(4));
    }

    #[test]
    fn an_absolute_scale_means_its_number_whatever_is_live() {
        let intent = plan(&Action::scale_to(50), None, &deployment(3)).unwrap();
        assert_eq!(intent.replicas, Some(50));
    }

    #[test]
    fn a_step_down_ends_at_zero_and_a_negative_number_is_refused() {
        let down = plan(&Action::scale_by(-9), None, &deployment(3)).unwrap();
        assert_eq!(down.replicas, Some(0));
        assert!(plan(&Action::scale_to(-1), None, &deployment(3)).is_err());
        assert!(plan(&Action::scale_to(0), None, &deployment(3)).is_ok());
    }

    #[test]
    fn the_write_carries_the_precondition_and_nothing_but_replicas() {
        let intent = plan(&Action::scale_to(5), None, &deployment(3)).unwrap();
        let write = write(&intent, "77").unwrap();
        let body = json!({"metadata": {"resourceVersion": "77"}, "spec": {"replicas": 5}});
        assert_eq!(write, Write::Scale(Patch::Merge(body)));
        assert!(is_applied(&intent, &deployment(5)));
        assert!(!is_applied(&intent, &deployment(4)));
    }
}
