//! What is kept of a workload beside its record: enough to know it again and to match it, interned, well under a
//! kilobyte.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::api::ObjectMeta;
use smartops_guard::history::WorkloadKind;

use crate::workload::{Watchable, Workload};

/// Which workload, by name. Ordered by namespace first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Named {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: Box<str>,
}

/// The digest of a workload as last seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Parent {
    /// Which it is.
    pub named: Arc<Named>,
    /// Its resourceVersion: a Scale under review with the same one is of exactly this object.
    pub resource_version: Box<str>,
    /// Its generation.
    pub generation: i64,
    /// Its labels.
    pub labels: Labels,
    /// Which pods are its own.
    pub selector: Selector,
    /// The uid of the controller that owns it, where one does.
    pub controller: Option<Box<str>>,
}

/// Labels, sorted by key, sharing their texts with those of other objects.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Labels(Box<[(Arc<str>, Arc<str>)]>);

/// A label selector, kept as small as labels are.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Selector {
    labels: Labels,
    expressions: Box<[LabelSelectorRequirement]>,
}

impl Labels {
    /// The value of a label.
    pub fn get(&self, key: &str) -> Option<&str> {
        let found = self.0.binary_search_by(|(own, _)| own.as_ref().cmp(key)).ok()?;
        self.0.get(found).map(|(_, value)| value.as_ref())
    }

    /// The labels in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), value.as_ref()))
    }

    /// The same as a map.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        self.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}

impl Selector {
    /// The labels that all of its own pods have: all it asks for, but for what it says of them in expressions.
    pub const fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Whether labels, asked for by key, are those of its own pods. An empty selector has none.
    pub fn selects<'l>(&self, label: impl Fn(&str) -> Option<&'l str>) -> bool {
        let is_empty = self.labels.0.is_empty() && self.expressions.is_empty();
        let holds = |e: &LabelSelectorRequirement| {
            let value = label(&e.key);
            let is_listed = || value.is_some_and(|v| e.values.iter().flatten().any(|w| w == v));
            match e.operator.as_str() {
                "In" => is_listed(),
                "NotIn" => !is_listed(),
                "Exists" => value.is_some(),
                _ => value.is_none(),
            }
        };
        !is_empty
            && self.labels.iter().all(|(key, value)| label(key) == Some(value))
            && self.expressions.iter().all(holds)
    }
}

impl Parent {
    /// The digest of a workload, with the texts it shares taken from `texts`.
    pub(super) fn of<K: Watchable>(
        workload: Workload<K>,
        named: Arc<Named>,
        texts: &mut Interner,
    ) -> Self {
        let ObjectMeta { resource_version, generation, labels, owner_references, .. } =
            workload.metadata;
        let selector: LabelSelector = workload.spec.selector.map(Into::into).unwrap_or_default();
        let controller =
            owner_references.into_iter().flatten().find(|owner| owner.controller == Some(true));
        Self {
            named,
            resource_version: resource_version.unwrap_or_default().into(),
            generation: generation.unwrap_or_default(),
            labels: texts.labels(labels),
            selector: Selector {
                labels: texts.labels(selector.match_labels),
                expressions: selector.match_expressions.unwrap_or_default().into(),
            },
            controller: controller.map(|owner| owner.uid.into()),
        }
    }
}

/// Texts that many objects share, each kept once for as long as any object has it.
#[derive(Debug, Default)]
pub(super) struct Interner {
    texts: HashSet<Arc<str>>,
    /// How many there may be before those nobody has any more are let go.
    sweep_at: usize,
}

/// Texts below which a sweep is not worth it.
const FEW: usize = 1024;

impl Interner {
    pub(super) fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        if self.texts.len() >= self.sweep_at.max(FEW) {
            self.texts.retain(|text| Arc::strong_count(text) > 1);
            self.sweep_at = self.texts.len() * 2;
        }
        let text: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&text));
        text
    }

    pub(super) fn labels(&mut self, labels: Option<BTreeMap<String, String>>) -> Labels {
        let pairs = labels.into_iter().flatten();
        Labels(pairs.map(|(key, value)| (self.text(&key), self.text(&value))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_selects_what_kubernetes_says_it_does_and_an_empty_one_nothing() {
        let labels = |pairs: &[(&str, &str)]| {
            Labels(pairs.iter().map(|(k, v)| (Arc::from(*k), Arc::from(*v))).collect())
        };
        let web = labels(&[("app", "web")]);
        let expressed = |operator: &str, values: &[&str]| Selector {
            labels: Labels::default(),
            expressions: [LabelSelectorRequirement {
                key: "app".to_owned(),
                operator: operator.to_owned(),
                values: Some(values.iter().map(|v| (*v).to_owned()).collect()),
            }]
            .into(),
        };
        let plain = |labels| Selector { labels, expressions: Box::default() };
        for (selector, expected) in [
            (plain(web.clone()), true),
            (plain(labels(&[("app", "db")])), false),
            (plain(labels(&[("app", "web"), ("tier", "x")])), false),
            (expressed("In", &["web"]), true),
            (expressed("NotIn", &["web"]), false),
            (expressed("Exists", &[]), true),
            (expressed("DoesNotExist", &[]), false),
            (Selector::default(), false),
        ] {
            assert_eq!(selector.selects(|key| web.get(key)), expected, "{selector:?}");
        }
    }

    fn labels(texts: &mut Interner, pairs: &[(&str, &str)]) -> Labels {
        let map = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        texts.labels(Some(map.collect()))
    }

    #[test]
    fn labels_are_found_by_key_and_share_their_texts() {
        let mut texts = Interner::default();
        let one = labels(&mut texts, &[("app", "web"), ("tier", "front")]);
        let two = labels(&mut texts, &[("tier", "front")]);
        for (key, expected) in [("app", Some("web")), ("tier", Some("front")), ("x", None)] {
            assert_eq!(one.get(key), expected, "{key}");
        }
        assert!(Arc::ptr_eq(&one.0[1].1, &two.0[0].1));
        assert_eq!(two.to_map(), BTreeMap::from([("tier".to_owned(), "front".to_owned())]));
    }

    #[test]
    fn texts_that_nobody_has_any_more_are_let_go() {
        let mut texts = Interner::default();
        let kept = texts.text("kept");
        for number in 0..10 * FEW {
            texts.text(&number.to_string());
        }
        assert!(texts.texts.len() <= FEW, "{}", texts.texts.len());
        assert!(Arc::ptr_eq(&kept, &texts.text("kept")));
    }

    #[test]
    fn workloads_are_ordered_by_namespace_first() {
        let named = |namespace: &str, kind, name: &str| Named {
            namespace: namespace.into(),
            kind,
            name: name.into(),
        };
        let first = named("a", WorkloadKind::ReplicationController, "z");
        assert!(first < named("b", WorkloadKind::Deployment, "a"));
    }
}
