//! Eviction of one unhealthy pod, so that its ReplicaSet makes another. By the eviction subresource and never by a
//! delete: every PodDisruptionBudget of the pod is asked, in the dry run already.

use std::cmp::Reverse;

use k8s_openapi::api::core::v1::Pod;
use smartops_common::action::{Action, Intent, PodIntent};

use super::{Malformed, Seen, Write};
use crate::remediation::means::Means;
use crate::verify::pods;

/// The pod `action` means: the one it names, which has to be unhealthy, or of the unhealthy ones that which restarted
/// most. A repeat is for the same pod, gone or not.
pub(super) fn plan(
    action: &Action,
    recorded: Option<&Intent>,
    seen: Seen<'_>,
) -> Result<Intent, Malformed> {
    if let Some(recorded) = recorded.filter(|intent| intent.pod.is_some()) {
        return Ok(recorded.clone());
    }
    let (name, pods) = (seen.live.name(), &seen.means.pods);
    let unhealthy = || pods.iter().filter(|pod| !pods::is_leaving(pod) && !pods::is_ready(pod));
    let wanted = action.evict_pod.as_ref().map(|parameters| parameters.pod.as_str());
    let found = match wanted {
        Some(wanted) => {
            let named = |pod: &&Pod| pod.metadata.name.as_deref() == Some(wanted);
            if pods.iter().any(|pod| named(&pod)) && !unhealthy().any(|pod| named(&pod)) {
                return Err(Malformed(format!(
                    "pod {wanted} is ready or about to go: only an unhealthy pod is evicted; leave evictPod out for the one that restarted most"
                )));
            }
            unhealthy().find(named).ok_or_else(|| {
                Malformed(format!("Deployment {name} has no pod {wanted}: name one of its pods"))
            })?
        }
        // Of several alike always the same one: by name.
        None => unhealthy()
            .min_by_key(|pod| (Reverse(pods::restarts(pod)), pod.metadata.name.as_deref()))
            .ok_or_else(|| {
                Malformed(format!(
                    "every pod of Deployment {name} is ready: there is none to be evicted"
                ))
            })?,
    };
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let pod = PodIntent { name: text(&found.metadata.name), uid: text(&found.metadata.uid) };
    Ok(Intent { pod: Some(pod), ..Intent::of(action.type_) })
}

pub(super) fn write(intent: &Intent) -> Result<Write, Malformed> {
    let pod = intent
        .pod
        .as_ref()
        .ok_or_else(|| Malformed("the recorded intent of an eviction has no pod".into()))?;
    Ok(Write::Eviction { pod: pod.name.clone(), uid: pod.uid.clone() })
}

/// Whether the pod is gone, or on its way.
pub(super) fn is_applied(intent: &Intent, means: &Means) -> bool {
    intent.pod.as_ref().is_some_and(|gone| {
        let is_it = |pod: &&Pod| pod.metadata.uid.as_deref() == Some(gone.uid.as_str());
        means.pods.iter().find(is_it).is_none_or(pods::is_leaving)
    })
}

#[cfg(test)]
mod tests {
    use smartops_common::action::{ActionType, EvictPodParameters};

    use super::*;
    use crate::fixture::{deployment, pod};

    fn means() -> Means {
        let pods = vec![
            pod("web-a", 9, true, false),
            pod("web-b", 2, false, false),
            pod("web-c", 5, false, false),
            pod("web-d", 7, false, true),
        ];
        Means { pods, ..Means::default() }
    }

    fn asked(name: Option<&str>) -> Action {
        let evict_pod = name.map(|pod| EvictPodParameters { pod: pod.into() });
        Action { evict_pod, ..Action::of(ActionType::EvictPod) }
    }

    fn planned(name: Option<&str>, means: &Means) -> Result<Intent, Malformed> {
        plan(&asked(name), None, Seen { live: &deployment(3), means })
    }

    #[test]
    fn the_unhealthy_pod_that_restarted_most_is_meant_or_the_one_that_is_named() {
        for (name, expected) in [
            (None, Ok("web-c")),
            (Some("web-b"), Ok("web-b")),
            (Some("web-a"), Err("is ready")),
            (Some("web-d"), Err("about to go")),
            (Some("web-x"), Err("no pod web-x")),
        ] {
            match (planned(name, &means()), expected) {
                (Ok(intent), Ok(pod)) => assert_eq!(intent.pod.unwrap().name, pod),
                (Err(error), Err(words)) => assert!(error.0.contains(words), "{error}"),
                other => panic!("{name:?}: {other:?}"),
            }
        }
        let healthy = Means { pods: vec![pod("web-a", 9, true, false)], ..Means::default() };
        assert!(planned(None, &healthy).unwrap_err().0.contains("none to be evicted"));
    }

    #[test]
    fn a_repeat_is_for_the_same_pod_even_where_it_is_gone() {
        let first = planned(None, &means()).unwrap();
        let (live, none) = (deployment(3), Means::default());
        let again = plan(&asked(None), Some(&first), Seen { live: &live, means: &none }).unwrap();
        assert_eq!(again, first);
        assert!(is_applied(&again, &none));
    }

    #[test]
    fn the_write_names_the_very_pod_and_is_known_again_once_that_is_gone_or_leaving() {
        let intent = planned(None, &means()).unwrap();
        assert_eq!(
            write(&intent).unwrap(),
            Write::Eviction { pod: "web-c".into(), uid: "uid-web-c".into() }
        );
        assert!(!is_applied(&intent, &means()));
        let leaving = Means { pods: vec![pod("web-c", 5, false, true)], ..Means::default() };
        assert!(is_applied(&intent, &leaving));
        // Another pod under the same name is not the one that was meant.
        let mut another = pod("web-c", 0, true, false);
        another.metadata.uid = Some("another".into());
        assert!(is_applied(&intent, &Means { pods: vec![another], ..Means::default() }));
    }
}
