//! What the pods of a rollout say: whether they are ready, and in which words a container cannot start.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};

/// States a container does not come out of by waiting, by the kubelet's own words.
const STUCK: [&str; 9] = [
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "StartError",
];
/// Restarts of one container of a new pod after which nobody waits for it to settle.
const MOST_RESTARTS: i32 = 3;
/// The reason of a container that keeps restarting, whatever it is doing right now.
const RESTARTING: &str = "ContainerKeepsRestarting";

/// Why a pod will not become ready by waiting: a reason for machines, a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The kubelet's reason, or one of this module's.
    pub reason: &'static str,
    /// The pod's own words.
    pub words: String,
}

/// Whether it is about to go.
pub fn is_leaving(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Whether it is ready.
pub fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|condition| condition.status == "True")
}

/// How often its containers restarted in all.
pub fn restarts(pod: &Pod) -> i32 {
    containers(pod).map(|container| container.restart_count).sum()
}

/// Whether it was made since this moment. Creation times are whole seconds, so the second in which the change began
/// counts as since; without a moment every pod does.
pub fn is_made_since(pod: &Pod, since: Option<Timestamp>) -> bool {
    let Some(since) = since else { return true };
    pod.metadata.creation_timestamp.as_ref().is_some_and(|t| t.0.as_second() >= since.as_second())
}

/// In which words a container of it cannot start, if one cannot.
pub fn stuck(pod: &Pod) -> Option<Trouble> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    containers(pod).find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let is_it = |reason: &&&str| waiting.reason.as_deref() == Some(**reason);
        let reason = *STUCK.iter().find(is_it)?;
        let said = waiting.message.as_deref().unwrap_or("no message");
        let words = format!(
            "container {} of pod {name} is in {reason} after {} restarts: {said}",
            container.name, container.restart_count
        );
        Some(Trouble { reason, words })
    })
}

/// Whether a container of it restarted so often that nobody waits for it to settle, whatever it is doing right now.
pub fn restarting(pod: &Pod) -> Option<Trouble> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let container = containers(pod).find(|c| c.restart_count >= MOST_RESTARTS)?;
    let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let said = last.map_or_else(String::new, |last| {
        let reason = last.reason.as_deref().unwrap_or("no reason given");
        format!(", the last time with exit code {} ({reason})", last.exit_code)
    });
    let words = format!(
        "container {} of pod {name} has restarted {} times{said}",
        container.name, container.restart_count
    );
    Some(Trouble { reason: RESTARTING, words })
}

/// The scheduler's words about a pod no node takes. That may change with the nodes, so it is no failure; but it is no
/// progress either.
pub fn unschedulable(pod: &Pod) -> Option<String> {
    let condition = condition(pod, "PodScheduled")?;
    let is_stuck =
        condition.status == "False" && condition.reason.as_deref() == Some("Unschedulable");
    is_stuck.then(|| {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let said = condition.message.as_deref().unwrap_or("no message");
        format!("no node takes pod {name}: {said}")
    })
}

fn condition<'p>(pod: &'p Pod, type_: &str) -> Option<&'p PodCondition> {
    pod.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == type_)
}

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status.iter().flat_map(|status| {
        let init = status.init_container_statuses.iter().flatten();
        init.chain(status.container_statuses.iter().flatten())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(container: &Value) -> Pod {
        let mut status = json!({
            "name": "web", "image": "web:1", "imageID": "", "ready": false, "restartCount": 0,
        });
        for (key, value) in container.as_object().unwrap() {
            status[key] = value.clone();
        }
        serde_json::from_value(json!({
            "metadata": {"name": "web-x"}, "status": {"containerStatuses": [status]},
        }))
        .unwrap()
    }

    #[test]
    fn a_container_that_cannot_start_says_so_in_its_own_words_and_one_that_starts_does_not() {
        for reason in STUCK {
            let waiting = json!({"state": {"waiting": {"reason": reason, "message": "said so"}}});
            let trouble = stuck(&pod(&waiting)).unwrap();
            assert_eq!(trouble.reason, reason);
            assert!(trouble.words.contains("web-x") && trouble.words.contains("said so"));
        }
        for reason in ["ContainerCreating", "PodInitializing"] {
            assert_eq!(stuck(&pod(&json!({"state": {"waiting": {"reason": reason}}}))), None);
        }
        assert_eq!(stuck(&pod(&json!({"state": {"running": {}}}))), None);
    }

    #[test]
    fn restarts_are_counted_whatever_the_container_is_doing_right_now() {
        let restarted = |times: i32| {
            let last = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
            let state = json!({"running": {}});
            restarting(&pod(&json!({"restartCount": times, "state": state, "lastState": last})))
        };
        assert_eq!(restarted(2), None);
        let trouble = restarted(3).unwrap();
        assert_eq!(trouble.reason, RESTARTING);
        for word in ["3 times", "137", "OOMKilled"] {
            assert!(trouble.words.contains(word), "{}", trouble.words);
        }
    }

    #[test]
    fn a_pod_no_node_takes_says_why() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "web-x"},
            "status": {"conditions": [{"type": "PodScheduled", "status": "False",
                "reason": "Unschedulable", "message": "0/2 nodes are available"}]},
        }))
        .unwrap();
        assert_eq!(
            unschedulable(&pod).unwrap(),
            "no node takes pod web-x: 0/2 nodes are available"
        );
        assert_eq!(unschedulable(&Pod::default()), None);
    }
}
