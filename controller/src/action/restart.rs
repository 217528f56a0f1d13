//! Restart: the pod-template annotation kubectl uses, with a value no other restart of the object has.

use jiff::{Timestamp, ToSpan};
use kube::api::Patch;
use serde_json::json;
use smartops_common::action::Intent;
use smartops_common::names;

use super::{Malformed, Write};
use crate::target::Live;

/// A restart stamped `now`, or a second later where the object already carries that very second: an equal value
/// would roll nothing.
pub(super) fn plan(live: &Live, now: Timestamp) -> Intent {
    let stamp = |t: Timestamp| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut value = stamp(now);
    if live.restarted_at() == Some(value.as_str()) {
        value = now.checked_add(1.second()).map_or(value, stamp);
    }
    Intent::restart(value)
}

pub(super) fn write(intent: &Intent, resource_version: &str) -> Result<Write, Malformed> {
    let value = intent
        .restarted_at
        .as_deref()
        .ok_or_else(|| Malformed("the recorded intent of a restart has no restartedAt".into()))?;
    let patch = Patch::Strategic(json!({
        "metadata": {"resourceVersion": resource_version},
        "spec": {"template": {"metadata": {"annotations": {names::RESTARTED_AT: value}}}},
    }));
    Ok(Write::Deployment(patch))
}

pub(super) fn is_applied(intent: &Intent, live: &Live) -> bool {
    intent.restarted_at.is_some() && intent.restarted_at.as_deref() == live.restarted_at()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{at, deployment, restarted};

    #[test]
    fn a_restart_is_stamped_in_whole_seconds_of_utc() {
        let intent = plan(&deployment(3), at(1_700_000_000));
        assert_eq!(intent.restarted_at.as_deref(), Some("2023-11-14T22:13:20Z"));
    }

    #[test]
    fn two_restarts_within_one_second_still_differ() {
        let live = restarted("2023-11-14T22:13:20Z");
        let intent = plan(&live, at(1_700_000_000));
        assert_eq!(intent.restarted_at.as_deref(), Some("2023-11-14T22:13:21Z"));
        assert!(!is_applied(&intent, &live));
    }

    #[test]
    fn only_the_very_value_counts_as_applied() {
        let intent = plan(&deployment(3), at(1_700_000_000));
        assert!(is_applied(&intent, &restarted("2023-11-14T22:13:20Z")));
        assert!(!is_applied(&intent, &restarted("2023-11-14T22:13:19Z")));
        assert!(!is_applied(&intent, &deployment(3)));
    }

    #[test]
    fn the_write_is_what_kubectl_would_send_with_a_precondition() {
        let intent = plan(&deployment(3), at(1_700_000_000));
        let expected = Patch::Strategic(json!({
            "metadata": {"resourceVersion": "9"},
            "spec": {"template": {"metadata": {"annotations": {
                "kubectl.kubernetes.io/restartedAt": "2023-11-14T22:13:20Z"}}}},
        }));
        assert_eq!(write(&intent, "9").unwrap(), Write::Deployment(expected));
    }
}
