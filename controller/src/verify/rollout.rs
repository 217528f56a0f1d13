//! The rollout rules: observedGeneration caught up, updated = total = ready = available = desired, no crash loop; and
//! the signs by which a rollout is known to have failed before its time is up.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DeploymentCondition;
use k8s_openapi::api::core::v1::Pod;
use smartops_common::remediation::Observed;

use crate::target::Live;

/// What one look at a rollout says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assessment {
    /// Every replica is updated, ready and available.
    Healthy,
    /// Not yet, and why.
    Progressing(String),
    /// It cannot succeed by waiting: a reason for machines, a sentence for people.
    Failed(&'static str, String),
}

const CRASH_LOOP: &str = "CrashLoopBackOff";

/// Judges one look. `since` is when the change was begun: a crash loop of an older pod keeps the rollout from being
/// healthy, but only that of a pod made since then fails it. `None` means every pod counts as new.
pub fn assess(live: &Live, pods: &[Pod], since: Option<Timestamp>) -> (Observed, Assessment) {
    let observed = live.observed();
    (observed, judge(live, observed, pods, since))
}

fn judge(live: &Live, observed: Observed, pods: &[Pod], since: Option<Timestamp>) -> Assessment {
    let crashing: Vec<(&Pod, String)> = pods
        .iter()
        .filter(|p| p.metadata.deletion_timestamp.is_none())
        .filter_map(|p| crash_loop(p).map(|words| (p, words)))
        .collect();
    if let Some((_, words)) = crashing.iter().find(|(pod, _)| is_made_since(pod, since)) {
        return Assessment::Failed(CRASH_LOOP, words.clone());
    }
    if !live.is_observed() {
        return Assessment::Progressing("the Deployment controller has not seen it yet".into());
    }
    if let Some(lag) = lag(observed) {
        return condition_failure(live).unwrap_or(Assessment::Progressing(lag));
    }
    match crashing.into_iter().next() {
        Some((_, words)) => Assessment::Progressing(words),
        None => Assessment::Healthy,
    }
}

/// The first number that is not as it should be.
fn lag(o: Observed) -> Option<String> {
    let desired = o.desired_replicas;
    let numbers = [
        (o.updated_replicas, "updated"),
        (o.total_replicas, "pods in all"),
        (o.ready_replicas, "ready"),
        (o.available_replicas, "available"),
    ];
    let (found, what) = numbers.into_iter().find(|(found, _)| *found != desired)?;
    Some(format!("{found} {what} where {desired} are wanted"))
}

fn condition_failure(live: &Live) -> Option<Assessment> {
    let conditions = live.status()?.conditions.as_deref().unwrap_or_default();
    let words = |c: &DeploymentCondition| c.message.clone().unwrap_or_default();
    conditions.iter().find_map(|c| match (c.type_.as_deref()?, c.status.as_deref()?) {
        ("Progressing", "False") if c.reason.as_deref() == Some("ProgressDeadlineExceeded") => {
            Some(Assessment::Failed("ProgressDeadlineExceeded", words(c)))
        }
        ("ReplicaFailure", "True") => Some(Assessment::Failed("ReplicaFailure", words(c))),
        _ => None,
    })
}

/// Creation times are whole seconds, so the second in which the change began counts as since.
fn is_made_since(pod: &Pod, since: Option<Timestamp>) -> bool {
    let Some(since) = since else { return true };
    pod.metadata.creation_timestamp.as_ref().is_some_and(|t| t.0.as_second() >= since.as_second())
}

/// The pod's own words about its crash loop, if it is in one.
fn crash_loop(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let all = status
        .init_container_statuses
        .iter()
        .flatten()
        .chain(status.container_statuses.iter().flatten());
    all.filter_map(|c| Some((c, c.state.as_ref()?.waiting.as_ref()?)))
        .find(|(_, waiting)| waiting.reason.as_deref() == Some(CRASH_LOOP))
        .map(|(container, waiting)| {
            let pod = pod.metadata.name.as_deref().unwrap_or_default();
            let said = waiting.message.as_deref().unwrap_or("no message");
            format!(
                "container {} of pod {pod} is in {CRASH_LOOP} after {} restarts: {said}",
                container.name, container.restart_count
            )
        })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixture::{at, deployment, edited};

    fn pod(created: &str, reason: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "web-x", "creationTimestamp": created},
            "status": {"containerStatuses": [{
                "name": "web", "image": "web:1", "imageID": "", "ready": false, "restartCount": 4,
                "state": {"waiting": {"reason": reason, "message": "back-off 40s"}},
            }]},
        }))
        .unwrap()
    }

    #[test]
    fn a_rollout_is_healthy_only_when_every_number_is_right() {
        assert_eq!(assess(&deployment(3), &[], None).1, Assessment::Healthy);
        assert_eq!(assess(&deployment(0), &[], None).1, Assessment::Healthy);
        for field in [
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
        ] {
            let late = edited(3, |d| d["status"][field] = json!(2));
            assert!(matches!(assess(&late, &[], None).1, Assessment::Progressing(_)), "{field}");
        }
        let extra = edited(3, |d| d["status"]["replicas"] = json!(4));
        assert!(matches!(assess(&extra, &[], None).1, Assessment::Progressing(_)));
    }

    fn with_condition(type_: &str, status: &str, reason: &str) -> impl FnOnce(&mut Value) {
        let condition =
            json!({"type": type_, "status": status, "reason": reason, "message": "said so"});
        move |d| {
            d["status"]["readyReplicas"] = json!(1);
            d["status"]["conditions"] = json!([condition]);
        }
    }

    #[test]
    fn a_rollout_that_cannot_end_well_fails_before_its_time() {
        let table = [
            ("Progressing", "False", "ProgressDeadlineExceeded", true),
            ("Progressing", "True", "ReplicaSetUpdated", false),
            ("ReplicaFailure", "True", "FailedCreate", true),
            ("ReplicaFailure", "False", "FailedCreate", false),
        ];
        for (type_, status, reason, fails) in table {
            let live = edited(3, with_condition(type_, status, reason));
            let failed = matches!(assess(&live, &[], None).1, Assessment::Failed(_, words) if words == "said so");
            assert_eq!(failed, fails, "{type_} {status}");
        }
    }

    #[test]
    fn a_stale_condition_of_the_former_generation_decides_nothing() {
        let live = edited(3, |d| {
            with_condition("Progressing", "False", "ProgressDeadlineExceeded")(d);
            d["status"]["observedGeneration"] = json!(6);
        });
        assert!(matches!(assess(&live, &[], None).1, Assessment::Progressing(_)));
    }

    #[test]
    fn a_new_pods_crash_loop_fails_in_its_own_words_and_an_old_one_only_waits() {
        let live = deployment(3);
        let since = Some(at(1_700_000_000));
        let new = pod("2023-11-14T22:13:20Z", "CrashLoopBackOff");
        let old = pod("2023-11-14T22:13:19Z", "CrashLoopBackOff");
        let starting = pod("2023-11-14T22:13:21Z", "ContainerCreating");
        match assess(&live, &[new], since).1 {
            Assessment::Failed("CrashLoopBackOff", words) => {
                assert!(words.contains("back-off 40s") && words.contains("web-x"), "{words}");
            }
            other => panic!("{other:?}"),
        }
        let waits = assess(&live, std::slice::from_ref(&old), since).1;
        assert!(matches!(waits, Assessment::Progressing(_)));
        assert!(matches!(assess(&live, &[old], None).1, Assessment::Failed(..)));
        assert_eq!(assess(&live, &[starting], since).1, Assessment::Healthy);
    }
}
