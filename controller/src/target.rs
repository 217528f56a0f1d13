//! A live Deployment, and what is read off it with Kubernetes' defaults filled in, wherever a decision needs it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus};
use kube::Resource;
use kube::core::ObjectMeta;
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_json::Value;
use smartops_change::TemplateDigest;
use smartops_common::names;
use smartops_common::remediation::Observed;

/// A Deployment as the API server sent it: read by its types, and with everything it said beside that. A field newer
/// than those types counts in the digest of the pod template, and in whether two of them are alike, as any other does.
#[derive(Debug, Clone, PartialEq)]
pub struct Live {
    typed: Deployment,
    stored: Value,
    template: TemplateDigest,
}

impl<'de> Deserialize<'de> for Live {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = Value::deserialize(deserializer)?;
        let typed = Deployment::deserialize(&stored).map_err(D::Error::custom)?;
        let template = stored.pointer("/spec/template").unwrap_or(&Value::Null);
        let template = TemplateDigest::deserialize(template).map_err(D::Error::custom)?;
        Ok(Self { typed, stored, template })
    }
}

impl Live {
    /// `spec.replicas`; absent means 1, as the API server defaults it.
    pub fn replicas(&self) -> i32 {
        self.typed.spec.replicas.unwrap_or(1)
    }

    /// The uid, empty on an object that was never stored.
    pub fn uid(&self) -> &str {
        self.typed.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The name, empty on an object that was never stored.
    pub fn name(&self) -> &str {
        self.typed.metadata.name.as_deref().unwrap_or_default()
    }

    /// The resourceVersion, empty on an object that was never stored.
    pub fn resource_version(&self) -> &str {
        self.typed.metadata.resource_version.as_deref().unwrap_or_default()
    }

    /// The generation: it rises with every change of spec or annotations.
    pub fn generation(&self) -> i64 {
        self.typed.metadata.generation.unwrap_or_default()
    }

    /// Whether the Deployment controller has seen the present generation.
    pub fn is_observed(&self) -> bool {
        let seen = self.status().and_then(|s| s.observed_generation);
        seen.unwrap_or_default() >= self.generation()
    }

    /// Whether its rollout is paused.
    pub fn is_paused(&self) -> bool {
        self.typed.spec.paused.unwrap_or_default()
    }

    /// Its annotations, where it has some.
    pub fn annotations(&self) -> Option<&BTreeMap<String, String>> {
        self.typed.metadata.annotations.as_ref()
    }

    /// The value of the restart annotation on the pod template.
    pub fn restarted_at(&self) -> Option<&str> {
        let metadata = self.typed.spec.template.metadata.as_ref()?;
        metadata.annotations.as_ref()?.get(names::RESTARTED_AT).map(String::as_str)
    }

    /// Its numbers.
    pub fn observed(&self) -> Observed {
        let number = |read: fn(&DeploymentStatus) -> Option<i32>| {
            self.status().and_then(read).unwrap_or_default()
        };
        Observed {
            desired_replicas: self.replicas(),
            total_replicas: number(|s| s.replicas),
            updated_replicas: number(|s| s.updated_replicas),
            ready_replicas: number(|s| s.ready_replicas),
            available_replicas: number(|s| s.available_replicas),
        }
    }

    /// The digest of the pod template, which every program that compares templates works out alike.
    pub fn template_digest(&self) -> String {
        self.template.to_string()
    }

    /// The label selector of its pods, as a list call takes it; `None` where it uses expressions only a server can
    /// read.
    pub fn pod_selector(&self) -> Option<String> {
        let labels = self.typed.spec.selector.match_labels.as_ref()?;
        if labels.is_empty() {
            return None;
        }
        let terms: Vec<String> =
            labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        Some(terms.join(","))
    }

    /// The status, where the Deployment controller has written one.
    pub fn status(&self) -> Option<&DeploymentStatus> {
        self.typed.status.as_ref()
    }

    /// All of it, as the API server sent it.
    pub fn stored(&self) -> &Value {
        &self.stored
    }

    /// Whether the other says the same: spec, annotations and labels.
    pub fn is_like(&self, other: &Self) -> bool {
        ["/spec", "/metadata/annotations", "/metadata/labels"]
            .iter()
            .all(|part| self.stored.pointer(part) == other.stored.pointer(part))
    }
}

/// What the API server calls it is what it calls a Deployment.
impl Resource for Live {
    type DynamicType = ();
    type Scope = <Deployment as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        <Deployment as Resource>::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        <Deployment as Resource>::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        <Deployment as Resource>::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        <Deployment as Resource>::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.typed.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.typed.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::{deployment, edited};

    /// A Deployment whose pod template says something no type of this build knows.
    fn newer(value: &str) -> Live {
        edited(3, |d| d["spec"]["template"]["spec"]["fieldOfTheNextRelease"] = json!(value))
    }

    #[test]
    fn a_field_newer_than_the_types_counts_in_the_digest_as_it_does_in_the_api_servers_text() {
        let live = newer("a");
        assert!(
            serde_json::to_value(&live.typed).unwrap()["spec"]["template"]["spec"]
                .get("fieldOfTheNextRelease")
                .is_none()
        );
        let text = live.stored["spec"]["template"].to_string();
        let of_the_text: TemplateDigest = serde_json::from_str(&text).unwrap();
        assert_eq!(live.template_digest(), of_the_text.to_string());
        assert_ne!(live.template_digest(), newer("b").template_digest());
        assert_ne!(live.template_digest(), deployment(3).template_digest());
        // The twin: outside the template it is none of the template's.
        let outside = edited(3, |d| d["spec"]["fieldOfTheNextRelease"] = json!("a"));
        assert_eq!(outside.template_digest(), deployment(3).template_digest());
    }

    #[test]
    fn a_dry_run_that_changes_only_such_a_field_changes_something() {
        assert!(!newer("a").is_like(&newer("b")));
        assert!(!newer("a").is_like(&deployment(3)));
        let busy = edited(3, |d| {
            d["metadata"]["resourceVersion"] = json!("71");
            d["status"]["readyReplicas"] = json!(2);
        });
        assert!(busy.is_like(&deployment(3)), "a status is nothing that is written");
        for part in ["annotations", "labels"] {
            let marked = edited(3, |d| d["metadata"][part] = json!({"a": "b"}));
            assert!(!marked.is_like(&deployment(3)), "{part}");
        }
    }

    #[test]
    fn what_is_no_deployment_cannot_be_read() {
        let read = |value: Value| serde_json::from_value::<Live>(value);
        assert!(read(json!({"metadata": {}, "spec": {"replicas": "three"}})).is_err());
        assert!(read(json!("web")).is_err());
        assert!(read(deployment(3).stored).is_ok());
    }
}
