//! What the webhook reads of a workload: its metadata, its selector, its number, the digest of its template. Nothing
//! larger is ever kept.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::ReplicationController;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Resource;
use kube::api::ObjectMeta;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use smartops_change::TemplateDigest;
use smartops_guard::history::{Sight, WorkloadKind};

/// A kind of workload that is watched.
pub trait Watchable:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Send + 'static
{
    /// Which.
    const KIND: WorkloadKind;
    /// The number it stands for where none is written; `None` where the kind has no number.
    const DEFAULT_REPLICAS: Option<i64>;
    /// How it says which pods are its own.
    type Selector: DeserializeOwned + Into<LabelSelector> + Clone + Debug + Send + 'static;

    /// Reads its template as its controller compares templates: by value, unless it says otherwise.
    fn template<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TemplateDigest, D::Error> {
        TemplateDigest::deserialize(deserializer)
    }
}

impl Watchable for Deployment {
    const KIND: WorkloadKind = WorkloadKind::Deployment;
    const DEFAULT_REPLICAS: Option<i64> = Some(1);
    type Selector = LabelSelector;
}

impl Watchable for StatefulSet {
    const KIND: WorkloadKind = WorkloadKind::StatefulSet;
    const DEFAULT_REPLICAS: Option<i64> = Some(1);
    type Selector = LabelSelector;

    fn template<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TemplateDigest, D::Error> {
        TemplateDigest::as_written(deserializer)
    }
}

impl Watchable for DaemonSet {
    const KIND: WorkloadKind = WorkloadKind::DaemonSet;
    const DEFAULT_REPLICAS: Option<i64> = None;
    type Selector = LabelSelector;

    fn template<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TemplateDigest, D::Error> {
        TemplateDigest::as_written(deserializer)
    }
}

impl Watchable for ReplicationController {
    const KIND: WorkloadKind = WorkloadKind::ReplicationController;
    const DEFAULT_REPLICAS: Option<i64> = Some(1);
    type Selector = PlainSelector;
}

/// A selector that is nothing but labels.
#[derive(Debug, Clone, Deserialize)]
pub struct PlainSelector(BTreeMap<String, String>);

impl From<PlainSelector> for LabelSelector {
    fn from(PlainSelector(labels): PlainSelector) -> Self {
        Self { match_labels: Some(labels), match_expressions: None }
    }
}

/// A workload, read thinly.
#[derive(Debug, Clone, Deserialize)]
#[serde(bound = "")]
pub struct Workload<K: Watchable = Deployment> {
    /// Its metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What is read of its spec.
    pub spec: WorkloadSpec<K>,
}

/// What is read of a workload's spec.
#[derive(Debug, Clone, Deserialize)]
#[serde(bound = "")]
pub struct WorkloadSpec<K: Watchable> {
    /// Which pods are its own.
    #[serde(default)]
    pub selector: Option<K::Selector>,
    /// Changes exactly when the pods are rolled.
    #[serde(default = "nothing", deserialize_with = "K::template")]
    pub template: TemplateDigest,
    /// How many pods it wants, where that is written.
    #[serde(default)]
    pub replicas: Option<i64>,
}

fn nothing() -> TemplateDigest {
    TemplateDigest::NOTHING
}

impl<K: Watchable> Workload<K> {
    /// What its history is made of.
    pub fn sight(&self) -> Sight {
        Sight {
            generation: self.metadata.generation.unwrap_or_default(),
            template: self.spec.template,
            replicas: K::DEFAULT_REPLICAS.map(|default| self.spec.replicas.unwrap_or(default)),
        }
    }
}

impl<K: Watchable> Resource for Workload<K> {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
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
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn each_kind_tells_a_new_template_as_its_controller_does() {
        fn digest<K: Watchable>(memory: &str) -> TemplateDigest {
            let object = json!({"metadata": {"name": "web", "uid": "u"}, "spec": {"template": {"spec": {
                "containers": [{"name": "c", "resources": {"limits": {"memory": memory}}}]}}}});
            serde_json::from_value::<Workload<K>>(object).unwrap().spec.template
        }
        assert_eq!(digest::<Deployment>("1Gi"), digest::<Deployment>("1073741824"));
        assert_ne!(digest::<StatefulSet>("1Gi"), digest::<StatefulSet>("1073741824"));
        assert_ne!(digest::<DaemonSet>("1Gi"), digest::<DaemonSet>("1073741824"));
        assert_eq!(digest::<StatefulSet>("1Gi"), digest::<StatefulSet>("1Gi"));
    }

    fn read<K: Watchable>(spec: &Value) -> Workload<K> {
        let object =
            json!({"metadata": {"name": "web", "uid": "u", "generation": 4}, "spec": spec});
        serde_json::from_value::<DeserializeGuard<Workload<K>>>(object).unwrap().0.unwrap()
    }

    fn spec(image: &str) -> Value {
        json!({"replicas": 3, "selector": {"matchLabels": {"app": "web"}},
            "template": {"spec": {"containers": [{"name": "c", "image": image}]}}})
    }

    #[test]
    fn it_reads_through_the_guard_of_a_watch_and_digests_the_template() {
        let template = |image| read::<Deployment>(&spec(image)).sight().template;
        assert_eq!(template("a"), template("a"));
        assert_ne!(template("a"), template("b"));
        assert_eq!(read::<Deployment>(&spec("a")).sight().generation, 4);
    }

    #[test]
    fn every_kind_is_read_with_its_own_number_and_selector() {
        fn selected<K: Watchable>(spec: &Value) -> Option<BTreeMap<String, String>> {
            read::<K>(spec).spec.selector.and_then(|selector| selector.into().match_labels)
        }
        let app = Some(BTreeMap::from([("app".to_owned(), "web".to_owned())]));
        assert_eq!(read::<StatefulSet>(&spec("a")).sight().replicas, Some(3));
        assert_eq!(selected::<StatefulSet>(&spec("a")), app);
        assert_eq!(read::<DaemonSet>(&spec("a")).sight().replicas, None);
        let plain = json!({"selector": {"app": "web"}, "template": {"spec": {}}});
        assert_eq!(read::<ReplicationController>(&plain).sight().replicas, Some(1));
        assert_eq!(selected::<ReplicationController>(&plain), app);
        assert_eq!(
            read::<ReplicationController>(&json!({})).spec.template,
            TemplateDigest::NOTHING
        );
    }

    #[test]
    fn the_kinds_are_those_that_have_a_history() {
        fn named<K: Watchable>() -> (String, String) {
            (Workload::<K>::group(&()).into(), Workload::<K>::plural(&()).into())
        }
        let watched = [
            named::<Deployment>(),
            named::<StatefulSet>(),
            named::<DaemonSet>(),
            named::<ReplicationController>(),
        ];
        let known =
            WorkloadKind::ALL.map(|kind| (kind.group().to_owned(), kind.resource().to_owned()));
        assert_eq!(watched, known);
    }
}
