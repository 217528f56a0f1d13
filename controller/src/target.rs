//! What is read off a live Deployment, with Kubernetes' defaults filled in, wherever a decision needs it.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus};
use smartops_change::TemplateDigest;
use smartops_common::names;
use smartops_common::remediation::Observed;

/// `spec.replicas`; absent means 1, as the API server defaults it.
pub fn replicas(live: &Deployment) -> i32 {
    live.spec.replicas.unwrap_or(1)
}

/// The uid, empty on an object that was never stored.
pub fn uid(live: &Deployment) -> &str {
    live.metadata.uid.as_deref().unwrap_or_default()
}

/// The name, empty on an object that was never stored.
pub fn name(live: &Deployment) -> &str {
    live.metadata.name.as_deref().unwrap_or_default()
}

/// The resourceVersion, empty on an object that was never stored.
pub fn resource_version(live: &Deployment) -> &str {
    live.metadata.resource_version.as_deref().unwrap_or_default()
}

/// The generation: it rises with every change of spec or annotations.
pub fn generation(live: &Deployment) -> i64 {
    live.metadata.generation.unwrap_or_default()
}

/// Whether the Deployment controller has seen the present generation.
pub fn is_observed(live: &Deployment) -> bool {
    status(live).and_then(|s| s.observed_generation).unwrap_or_default() >= generation(live)
}

/// Whether its rollout is paused.
pub fn is_paused(live: &Deployment) -> bool {
    live.spec.paused.unwrap_or_default()
}

/// The value of the restart annotation on the pod template.
pub fn restarted_at(live: &Deployment) -> Option<&str> {
    let template = &live.spec.template;
    let annotations = template.metadata.as_ref()?.annotations.as_ref()?;
    annotations.get(names::RESTARTED_AT).map(String::as_str)
}

/// Its numbers.
pub fn observed(live: &Deployment) -> Observed {
    let number = |read: fn(&DeploymentStatus) -> Option<i32>| {
        status(live).and_then(read).unwrap_or_default()
    };
    Observed {
        desired_replicas: replicas(live),
        total_replicas: number(|s| s.replicas),
        updated_replicas: number(|s| s.updated_replicas),
        ready_replicas: number(|s| s.ready_replicas),
        available_replicas: number(|s| s.available_replicas),
    }
}

/// The digest of the pod template, which every program that compares templates works out alike.
pub fn template_digest(live: &Deployment) -> Option<String> {
    let template = serde_json::to_string(&live.spec.template).ok()?;
    let digest: TemplateDigest = serde_json::from_str(&template).ok()?;
    Some(digest.to_string())
}

/// The label selector of its pods, as a list call takes it; `None` where it uses expressions only a server can read.
pub fn pod_selector(live: &Deployment) -> Option<String> {
    let selector = &live.spec.selector;
    let labels = selector.match_labels.as_ref()?;
    if labels.is_empty() {
        return None;
    }
    let terms: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    Some(terms.join(","))
}

/// The status, where the Deployment controller has written one.
pub fn status(live: &Deployment) -> Option<&DeploymentStatus> {
    live.status.as_ref()
}
