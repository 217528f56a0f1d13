//! What the webhook reads of a Deployment: its metadata, its selector, the digest of its template. Nothing
//! larger is ever kept.

use std::borrow::Cow;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Resource;
use kube::api::ObjectMeta;
use serde::Deserialize;
use smartops_change::TemplateDigest;

/// A Deployment, read thinly.
#[derive(Debug, Clone, Deserialize)]
pub struct Workload {
    /// Its metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What is read of its spec.
    pub spec: WorkloadSpec,
}

/// What is read of a Deployment's spec.
#[derive(Debug, Clone, Deserialize)]
pub struct WorkloadSpec {
    /// Which pods are its own.
    #[serde(default)]
    pub selector: Option<LabelSelector>,
    /// Changes exactly when the pods are rolled.
    pub template: TemplateDigest,
}

impl Resource for Workload {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        Deployment::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        Deployment::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        Deployment::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        Deployment::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use kube::core::DeserializeGuard;
    use serde_json::json;

    use super::*;

    #[test]
    fn it_reads_through_the_guard_of_a_watch_and_digests_the_template() {
        let read = |image: &str| {
            let object = json!({"metadata": {"name": "web", "uid": "u"}, "spec": {"replicas": 3, "template":
                {"spec": {"containers": [{"name": "c", "image": image}]}}}});
            serde_json::from_value::<DeserializeGuard<Workload>>(object).unwrap().0.unwrap()
        };
        assert_eq!(read("a").spec.template, read("a").spec.template);
        assert_ne!(read("a").spec.template, read("b").spec.template);
    }
}
