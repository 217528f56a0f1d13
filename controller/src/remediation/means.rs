//! What an action works with beside its target: the target's revisions, its pods, its autoscaler. Values only; who reads
//! them is the shell.

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;
use smartops_change::TemplateDigest;

use crate::remediation::autoscaler::Autoscaler;

/// The annotation that numbers revisions, the Deployment controller's.
const NUMBER: &str = "deployment.kubernetes.io/revision";
/// The label that tells the pods of one ReplicaSet from those of another; no part of a revision's template.
const HASH: &str = "pod-template-hash";

/// What an action works with beside its target.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Means {
    /// The revisions the target keeps: one for each ReplicaSet it owns.
    pub revisions: Vec<Revision>,
    /// Its pods.
    pub pods: Vec<Pod>,
    /// The autoscaler that owns its number of replicas.
    pub autoscaler: Option<Autoscaler>,
}

impl Means {
    /// Nothing beside the target.
    pub const NONE: &'static Self =
        &Self { revisions: Vec::new(), pods: Vec::new(), autoscaler: None };
}

/// A revision: what the ReplicaSet that holds it says.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    /// The ReplicaSet's name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its number in `kubectl rollout history`.
    pub number: i64,
    /// Its pod template, as the Deployment's would be.
    pub template: Value,
    /// The digest of that.
    pub digest: String,
    /// The pods it has.
    pub replicas: i64,
    /// Those of them that are available.
    pub available: i64,
}

impl Revision {
    /// Reads a ReplicaSet as the API server sent it; `None` where the target does not own it, or it has no number.
    pub fn of(set: &Value, target_uid: &str) -> Option<Self> {
        let text = |pointer: &str| set.pointer(pointer)?.as_str().map(str::to_owned);
        let uid = owned(set, target_uid)?.to_owned();
        let annotations = set.pointer("/metadata/annotations")?;
        let number = annotations.get(NUMBER)?.as_str()?.parse().ok()?;
        let mut template = set.pointer("/spec/template")?.clone();
        if let Some(labels) =
            template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut)
        {
            labels.remove(HASH);
        }
        let digest = serde_json::from_value::<TemplateDigest>(template.clone()).ok()?.to_string();
        let count = |name: &str| set["status"][name].as_i64().unwrap_or_default();
        Some(Self {
            name: text("/metadata/name")?,
            uid,
            number,
            template,
            digest,
            replicas: count("replicas"),
            available: count("availableReplicas"),
        })
    }

    /// Whether it has pods and none of them is available.
    pub const fn is_unhealthy(&self) -> bool {
        self.replicas > 0 && self.available == 0
    }
}

/// The uid of a ReplicaSet, as the API server sent it, where the target owns it.
pub fn owned<'s>(set: &'s Value, target_uid: &str) -> Option<&'s str> {
    let owners = set.pointer("/metadata/ownerReferences")?.as_array()?;
    let is_owned = |owner: &Value| owner["controller"] == true && owner["uid"] == *target_uid;
    owners.iter().find(|owner| is_owned(owner))?;
    set.pointer("/metadata/uid")?.as_str()
}

/// The uid of what controls a pod.
pub fn controller_of(pod: &Pod) -> Option<&str> {
    let owners = pod.metadata.owner_references.iter().flatten();
    let mut controllers = owners.filter(|owner| owner.controller == Some(true));
    controllers.next().map(|owner| owner.uid.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::{deployment, replica_set};

    #[test]
    fn a_revision_is_a_replica_set_of_the_target_without_the_hash_of_its_pods() {
        let set = replica_set(4, "web:1", 3, 2);
        let revision = Revision::of(&set, "u-1").unwrap();
        assert_eq!((revision.number, revision.replicas, revision.available), (4, 3, 2));
        assert_eq!(revision.digest, deployment(3).template_digest());
        assert_eq!(Revision::of(&set, "u-2"), None, "another Deployment's");
        let mut loose = set.clone();
        loose["metadata"]["ownerReferences"][0]["controller"] = json!(false);
        assert_eq!(Revision::of(&loose, "u-1"), None);
        let mut numberless = set;
        numberless["metadata"]["annotations"] = json!({});
        assert_eq!(Revision::of(&numberless, "u-1"), None);
    }

    #[test]
    fn only_pods_of_which_none_is_available_tell_against_a_revision() {
        for (replicas, available, expected) in
            [(0, 0, false), (3, 3, false), (3, 1, false), (2, 0, true)]
        {
            let set = replica_set(4, "web:1", replicas, available);
            let revision = Revision::of(&set, "u-1").unwrap();
            assert_eq!(revision.is_unhealthy(), expected, "{replicas} {available}");
        }
    }
}
