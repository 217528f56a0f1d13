//! The autoscaler that owns the number of replicas of a target, read off the HorizontalPodAutoscalers of its namespace.
//! What that means for a remedy is decided elsewhere.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;

/// The label and value by which KEDA marks the autoscalers it makes.
const KEDA: (&str, &str) = ("app.kubernetes.io/managed-by", "keda-operator");
/// The label by which it names the ScaledObject they belong to.
const KEDA_OBJECT: &str = "scaledobject.keda.sh/name";

/// An autoscaler that owns a Deployment's number of replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Autoscaler {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The version it was read at.
    pub resource_version: String,
    /// The lower bound; absent means 1.
    pub min_replicas: i32,
    /// The upper bound.
    pub max_replicas: i32,
    /// The ScaledObject KEDA made it of: whatever is written to it, KEDA takes back.
    pub scaled_object: Option<String>,
}

impl Autoscaler {
    /// The one of these that scales the Deployment of this name; of several the first by name.
    pub fn of(deployment: &str, listed: &[HorizontalPodAutoscaler]) -> Option<Self> {
        let scales = |hpa: &&HorizontalPodAutoscaler| {
            let target = &hpa.spec.scale_target_ref;
            let version = target.api_version.as_deref().unwrap_or("apps/v1");
            target.kind == "Deployment" && target.name == deployment && version.starts_with("apps/")
        };
        let name = |hpa: &&HorizontalPodAutoscaler| hpa.metadata.name.clone().unwrap_or_default();
        listed.iter().filter(scales).min_by_key(name).map(read)
    }

    /// What it is, for people: the object to change instead.
    pub fn described(&self) -> String {
        match &self.scaled_object {
            Some(name) => format!("KEDA's ScaledObject {name}"),
            None => format!("HorizontalPodAutoscaler {}", self.name),
        }
    }
}

fn read(hpa: &HorizontalPodAutoscaler) -> Autoscaler {
    let metadata = &hpa.metadata;
    let name = metadata.name.clone().unwrap_or_default();
    let label = |key| metadata.labels.as_ref().and_then(|labels| labels.get(key));
    let owners = metadata.owner_references.iter().flatten();
    let owner = owners
        .clone()
        .find(|owner| owner.kind == "ScaledObject" && owner.api_version.starts_with("keda.sh/"));
    let is_kedas = label(KEDA.0).is_some_and(|value| value == KEDA.1);
    let scaled_object = owner
        .map(|owner| owner.name.clone())
        .or_else(|| is_kedas.then(|| label(KEDA_OBJECT).cloned().unwrap_or_else(|| name.clone())));
    Autoscaler {
        name,
        uid: metadata.uid.clone().unwrap_or_default(),
        resource_version: metadata.resource_version.clone().unwrap_or_default(),
        min_replicas: hpa.spec.min_replicas.unwrap_or(1),
        max_replicas: hpa.spec.max_replicas,
        scaled_object,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn hpa(name: &str, target: &Value, metadata: Value) -> HorizontalPodAutoscaler {
        let mut metadata = metadata;
        metadata["name"] = json!(name);
        metadata["uid"] = json!("h-1");
        metadata["resourceVersion"] = json!("5");
        let spec = json!({"scaleTargetRef": target, "maxReplicas": 6});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
    }

    #[test]
    fn the_one_that_names_the_deployment_owns_its_number_and_no_namesakes_of_other_kinds() {
        let target = |version: &str, kind: &str, name: &str| json!({"apiVersion": version, "kind": kind, "name": name});
        for (target, owns) in [
            (target("apps/v1", "Deployment", "web"), true),
            (target("apps/v1", "Deployment", "web-2"), false),
            (target("apps/v1", "StatefulSet", "web"), false),
            (target("argoproj.io/v1alpha1", "Deployment", "web"), false),
            (json!({"kind": "Deployment", "name": "web"}), true),
        ] {
            let found = Autoscaler::of("web", &[hpa("h", &target, json!({}))]);
            assert_eq!(found.is_some(), owns, "{target}");
        }
        let web = target("apps/v1", "Deployment", "web");
        let both = [hpa("b", &web, json!({})), hpa("a", &web, json!({}))];
        let found = Autoscaler::of("web", &both).unwrap();
        assert_eq!((found.name.as_str(), found.min_replicas, found.max_replicas), ("a", 1, 6));
        assert_eq!(found.described(), "HorizontalPodAutoscaler a");
    }

    #[test]
    fn one_that_keda_made_names_its_scaled_object() {
        let web = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
        let owner = json!({"ownerReferences": [{
            "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "queue", "uid": "k"}]});
        let labelled = json!({"labels": {
            "app.kubernetes.io/managed-by": "keda-operator", "scaledobject.keda.sh/name": "queue"}});
        for metadata in [owner, labelled] {
            let found = Autoscaler::of("web", &[hpa("keda-hpa-queue", &web, metadata)]).unwrap();
            assert_eq!(found.described(), "KEDA's ScaledObject queue");
        }
        let others = json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}});
        assert_eq!(Autoscaler::of("web", &[hpa("h", &web, others)]).unwrap().scaled_object, None);
    }
}
