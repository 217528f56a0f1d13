//! The rollout rules: observedGeneration caught up, updated = total = ready = available = desired, no pod that cannot
//! start; and the signs by which a rollout is known to have failed before its time is up.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::DeploymentCondition;
use k8s_openapi::api::core::v1::Pod;
use smartops_common::remediation::Observed;

use crate::target::Live;
use crate::verify::pods;

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

/// How far apart two looks have to be that find a rollout healthy before it is: one that wobbles is healthy for a blink.
pub const STEADY: SignedDuration = SignedDuration::from_secs(1);

/// Judges one look. `since` is when the change was begun: what keeps an older pod from becoming ready keeps the rollout
/// from being healthy, but only that of a pod made since then fails it. `None` means that every pod counts as new, and
/// nobody knows since when it restarts.
pub fn assess(live: &Live, all: &[&Pod], since: Option<Timestamp>) -> (Observed, Assessment) {
    let observed = live.observed();
    (observed, judge(live, observed, all, since))
}

fn judge(live: &Live, observed: Observed, all: &[&Pod], since: Option<Timestamp>) -> Assessment {
    let staying = || all.iter().copied().filter(|pod| !pods::is_leaving(pod));
    let is_new = |pod: &&Pod| pods::is_made_since(pod, since);
    let restarting = |pod: &Pod| since.and_then(|_| pods::restarting(pod));
    let new_trouble =
        staying().filter(is_new).find_map(|pod| pods::stuck(pod).or_else(|| restarting(pod)));
    if let Some(trouble) = new_trouble {
        return Assessment::Failed(trouble.reason, trouble.words);
    }
    if !live.is_observed() {
        return Assessment::Progressing("the Deployment controller has not seen it yet".into());
    }
    if let Some(lag) = lag(observed) {
        let words = staying()
            .find_map(pods::unschedulable)
            .map_or_else(|| lag.clone(), |words| format!("{lag}; {words}"));
        return condition_failure(live).unwrap_or(Assessment::Progressing(words));
    }
    match staying().find_map(pods::stuck) {
        Some(trouble) => Assessment::Progressing(trouble.words),
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixture::{at, deployment, edited};

    fn pod(created: &str, reason: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "web-x", "creationTimestamp": created},
            "status": {"containerStatuses": [{
                "name": "web", "image": "web:1", "imageID": "", "ready": false, "restartCount": 2,
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
        match assess(&live, &[&new], since).1 {
            Assessment::Failed("CrashLoopBackOff", words) => {
                assert!(words.contains("back-off 40s") && words.contains("web-x"), "{words}");
            }
            other => panic!("{other:?}"),
        }
        let waits = assess(&live, &[&old], since).1;
        assert!(matches!(waits, Assessment::Progressing(_)));
        assert!(matches!(assess(&live, &[&old], None).1, Assessment::Failed(..)));
        assert_eq!(assess(&live, &[&starting], since).1, Assessment::Healthy);
    }

    #[test]
    fn an_image_that_cannot_be_pulled_fails_at_once_and_in_the_pods_own_words() {
        let since = Some(at(1_700_000_000));
        for reason in ["ImagePullBackOff", "ErrImagePull", "CreateContainerConfigError"] {
            let new = pod("2023-11-14T22:13:20Z", reason);
            let Assessment::Failed(found, words) = assess(&deployment(3), &[&new], since).1 else {
                panic!("{reason}");
            };
            assert_eq!(found, reason);
            assert!(words.contains("back-off 40s"), "{words}");
        }
    }

    #[test]
    fn a_new_pod_that_keeps_restarting_fails_though_it_is_ready_right_now_and_an_old_one_does_not()
    {
        let live = deployment(3);
        let restarted = |created: &str, times: i32| {
            let mut pod = crate::fixture::pod("web-x", times, true, false);
            pod.metadata.creation_timestamp = serde_json::from_value(json!(created)).unwrap();
            pod
        };
        let (new, old) = ("2023-11-14T22:13:20Z", "2023-11-14T22:13:19Z");
        let since = Some(at(1_700_000_000));
        for (pod, since, fails) in [
            (restarted(new, 3), since, true),
            (restarted(new, 2), since, false),
            (restarted(old, 9), since, false),
            // Since when it restarts nobody knows.
            (restarted(new, 9), None, false),
        ] {
            let failed = matches!(assess(&live, &[&pod], since).1, Assessment::Failed(..));
            assert_eq!(failed, fails, "{pod:?}");
        }
    }

    #[test]
    fn a_pod_no_node_takes_is_told_and_is_neither_progress_nor_a_failure() {
        let late = edited(3, |d| d["status"]["readyReplicas"] = json!(2));
        let pending: Pod = serde_json::from_value(json!({
            "metadata": {"name": "web-x"},
            "status": {"conditions": [{"type": "PodScheduled", "status": "False",
                "reason": "Unschedulable", "message": "0/2 nodes are available"}]},
        }))
        .unwrap();
        let Assessment::Progressing(words) = assess(&late, &[&pending], None).1 else {
            panic!("no failure: nodes may come");
        };
        for part in ["2 ready where 3 are wanted", "no node takes pod web-x", "0/2 nodes"] {
            assert!(words.contains(part), "{words}");
        }
    }
}
