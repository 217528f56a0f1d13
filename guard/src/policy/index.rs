//! Policies by namespace. Which apply in one is worked out when it is first asked after a policy, that namespace or the
//! configuration changed, and kept: a change itself costs next to nothing, however many policies and namespaces there
//! are.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use smartops_common::config::SmartOpsConfigSpec;

use super::compile::{CompiledPolicy, Namespaces};

/// A policy that applies in a namespace.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The policy.
    pub policy: Arc<CompiledPolicy>,
    /// Whether that is certain. Where a namespace's labels are not known yet, a policy that selects by label applies
    /// without naming anything for automation: what is unknown never allows more.
    pub is_certain: bool,
}

/// Which policies apply where.
#[derive(Debug, Clone, Default)]
pub struct Index {
    policies: Arc<[Arc<CompiledPolicy>]>,
    config: Arc<SmartOpsConfigSpec>,
    by_name: HashMap<Arc<str>, Arc<Place>>,
    /// For a namespace never heard of.
    elsewhere: Arc<Place>,
    /// For cluster-scoped objects.
    cluster: Arc<[Applied]>,
    /// Every list of a namespace, once: most namespaces have the same.
    lists: Arc<Mutex<HashSet<List>>>,
}

/// A namespace, and what was worked out for it so far.
#[derive(Debug, Default)]
struct Place {
    name: Option<Arc<str>>,
    /// `None` where they are not known.
    labels: Option<BTreeMap<String, String>>,
    applied: OnceLock<Arc<[Applied]>>,
    selecting: OnceLock<Arc<[Arc<CompiledPolicy>]>>,
}

/// A list of policies, told from others by which they are.
#[derive(Debug, Clone)]
struct List(Arc<[Applied]>);

impl Index {
    /// Over all policies and all namespaces that are known, with their labels.
    pub fn build<'n>(
        policies: &[Arc<CompiledPolicy>],
        namespaces: impl IntoIterator<Item = (&'n str, &'n BTreeMap<String, String>)>,
        config: &SmartOpsConfigSpec,
    ) -> Self {
        let cluster = policies.iter().filter(|policy| policy.namespaces().is_none());
        let mut index = Self {
            policies: policies.into(),
            config: Arc::new(config.clone()),
            by_name: HashMap::new(),
            elsewhere: Arc::default(),
            cluster: cluster
                .map(|policy| Applied { policy: Arc::clone(policy), is_certain: true })
                .collect(),
            lists: Arc::default(),
        };
        // A namespace that is named but not known yet is told from one never heard of.
        let excluded = policies.iter().filter_map(|p| p.namespaces()).flat_map(|n| &n.exclude);
        for name in excluded.chain(&config.guarded.exclude_namespaces) {
            if !index.by_name.contains_key(name.as_str()) {
                index.place(name, None);
            }
        }
        for (name, labels) in namespaces {
            index.place(name, Some(labels));
        }
        index
    }

    /// The same, but for one namespace: it has these labels now, or none that are known.
    #[must_use]
    pub fn with_namespace(&self, name: &str, labels: Option<&BTreeMap<String, String>>) -> Self {
        let mut index = self.clone();
        if labels.is_some() || self.is_left_out_by_name(name) {
            index.place(name, labels);
        } else {
            index.by_name.remove(name);
        }
        index
    }

    fn is_left_out_by_name(&self, name: &str) -> bool {
        let mut wanted = self.policies.iter().filter_map(|policy| policy.namespaces());
        !self.config.guards(name) || wanted.any(|wanted| wanted.exclude.iter().any(|n| n == name))
    }

    fn place(&mut self, name: &str, labels: Option<&BTreeMap<String, String>>) {
        let name: Arc<str> = name.into();
        let place =
            Place { name: Some(Arc::clone(&name)), labels: labels.cloned(), ..Place::default() };
        self.by_name.insert(name, Arc::new(place));
    }

    /// The policies that select namespaces by label and reach the namespace of this name, whatever its labels.
    pub fn selecting(&self, name: &str) -> &[Arc<CompiledPolicy>] {
        let place = self.at(name);
        place.selecting.get_or_init(|| {
            let name = place.name.as_deref();
            let reaches = |wanted: &Namespaces| {
                wanted.selector.is_some() && !is_excluded(wanted, name, &self.config)
            };
            let selecting = self.policies.iter().filter(|p| p.namespaces().is_some_and(reaches));
            selecting.cloned().collect()
        })
    }

    /// The policies of a namespace; `None` means cluster-scoped objects. A namespace not known yet counts as
    /// guarded and as selected by every selector.
    pub fn policies(&self, namespace: Option<&str>) -> &[Applied] {
        let Some(name) = namespace else { return &self.cluster };
        let place = self.at(name);
        place.applied.get_or_init(|| {
            let applied = self.policies.iter().filter_map(|policy| {
                let is_certain = match policy.namespaces() {
                    None => true,
                    Some(wanted) => {
                        fits(wanted, place.name.as_deref(), place.labels.as_ref(), &self.config)?
                    }
                };
                Some(Applied { policy: Arc::clone(policy), is_certain })
            });
            self.once(List(applied.collect()))
        })
    }

    /// The policy of this name.
    pub fn named(&self, name: &str) -> Option<&Arc<CompiledPolicy>> {
        self.policies.iter().find(|policy| **policy.name() == *name)
    }

    fn at(&self, name: &str) -> &Place {
        self.by_name.get(name).unwrap_or(&self.elsewhere)
    }

    /// The list as another namespace has it already, where one has.
    fn once(&self, list: List) -> Arc<[Applied]> {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(same) = lists.get(&list) {
            return Arc::clone(&same.0);
        }
        // Of namespaces that are gone or have other labels by now.
        lists.retain(|list| Arc::strong_count(&list.0) > 1);
        lists.insert(list.clone());
        list.0
    }
}

impl List {
    fn parts(&self) -> impl Iterator<Item = (*const CompiledPolicy, bool)> {
        self.0.iter().map(|applied| (Arc::as_ptr(&applied.policy), applied.is_certain))
    }
}

impl PartialEq for List {
    fn eq(&self, other: &Self) -> bool {
        self.parts().eq(other.parts())
    }
}

impl Eq for List {}

impl Hash for List {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().for_each(|part| part.hash(state));
    }
}

/// Whether a namespace is left out by its name.
fn is_excluded(wanted: &Namespaces, name: Option<&str>, config: &SmartOpsConfigSpec) -> bool {
    name.is_some_and(|name| {
        wanted.exclude.iter().any(|n| n == name) || (wanted.guarded && !config.guards(name))
    })
}

/// Whether a namespace fits, and if so, whether that is certain.
fn fits(
    wanted: &Namespaces,
    name: Option<&str>,
    labels: Option<&BTreeMap<String, String>>,
    config: &SmartOpsConfigSpec,
) -> Option<bool> {
    if is_excluded(wanted, name, config) {
        return None;
    }
    match (&wanted.selector, labels) {
        (None, _) => Some(true),
        (Some(selector), Some(labels)) => selector.selects_map(labels).then_some(true),
        (Some(_), None) => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::compile;
    use crate::policy::kind::NamespaceMatch;
    use crate::sample;

    fn index(namespaces: Option<NamespaceMatch>) -> Index {
        let mut spec = sample::baseline();
        spec.match_.namespaces = namespaces;
        let policy = Arc::new(compile("p", &spec).unwrap());
        let dev = BTreeMap::from([("env".to_owned(), "dev".to_owned())]);
        let none = BTreeMap::new();
        let known = [("dev", &dev), ("plain", &none), ("kube-system", &none)];
        Index::build(&[policy], known, &SmartOpsConfigSpec::default())
    }

    fn applies(index: &Index, namespace: &str) -> Option<bool> {
        index.policies(Some(namespace)).first().map(|a| a.is_certain)
    }

    #[test]
    fn guarded_leaves_the_clusters_own_namespaces_alone() {
        let index = index(Some(NamespaceMatch { guarded: true, ..NamespaceMatch::default() }));
        assert_eq!(applies(&index, "dev"), Some(true));
        assert_eq!(applies(&index, "kube-system"), None);
        assert_eq!(applies(&index, "smartops-system"), None);
        assert_eq!(applies(&index, "just-created"), Some(true));
        assert!(index.policies(None).is_empty());
    }

    #[test]
    fn an_unknown_namespace_is_judged_by_every_selector_and_names_nothing() {
        let selector = serde_json::from_str(r#"{"matchLabels":{"env":"dev"}}"#).unwrap();
        let index = index(Some(NamespaceMatch {
            selector,
            exclude: vec!["spared".into()],
            ..NamespaceMatch::default()
        }));
        assert_eq!(applies(&index, "dev"), Some(true));
        assert_eq!(applies(&index, "plain"), None);
        assert_eq!(applies(&index, "just-created"), Some(false));
        assert_eq!(applies(&index, "spared"), None);
    }

    #[test]
    fn a_namespace_that_is_relabelled_is_worked_out_anew_and_the_others_keep_what_they_have() {
        let selector = serde_json::from_str(r#"{"matchLabels":{"env":"dev"}}"#).unwrap();
        let before = index(Some(NamespaceMatch { selector, ..NamespaceMatch::default() }));
        assert_eq!((applies(&before, "dev"), applies(&before, "plain")), (Some(true), None));
        let dev = BTreeMap::from([("env".to_owned(), "dev".to_owned())]);
        let after = before.with_namespace("plain", Some(&dev));
        assert_eq!((applies(&after, "dev"), applies(&after, "plain")), (Some(true), Some(true)));
        let same = [&before, &after].map(|i| i.policies(Some("dev")).as_ptr());
        assert_eq!(same[0], same[1]);
        let same = ["dev", "plain"].map(|name| after.policies(Some(name)).as_ptr());
        assert_eq!(same[0], same[1], "a list is kept once");
        let gone = after.with_namespace("plain", None).with_namespace("kube-system", None);
        assert_eq!((applies(&gone, "plain"), gone.by_name.len()), (Some(false), 5));
        assert_eq!(applies(&before, "plain"), None);
    }

    #[test]
    fn a_namespace_that_a_policy_leaves_out_by_name_is_no_concern_of_its_selector() {
        let selector: Option<_> = serde_json::from_str(r#"{"matchLabels":{"env":"dev"}}"#).unwrap();
        let index =
            index(Some(NamespaceMatch { guarded: true, exclude: vec!["spared".into()], selector }));
        for (name, count) in
            [("dev", 1), ("plain", 1), ("just-created", 1), ("spared", 0), ("kube-system", 0)]
        {
            assert_eq!(index.selecting(name).len(), count, "{name}");
        }
    }

    #[test]
    fn a_policy_for_everywhere_reaches_cluster_scoped_objects() {
        assert_eq!(index(None).policies(None).len(), 1);
    }
}
