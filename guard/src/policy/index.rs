//! Policies by namespace: worked out when a policy, a namespace or the configuration changes, never for a review.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

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
    by_namespace: HashMap<String, Arc<[Applied]>>,
    /// For a namespace never heard of.
    elsewhere: Vec<Applied>,
    /// For cluster-scoped objects.
    cluster: Vec<Applied>,
    /// Those that select namespaces by label.
    selecting: Vec<Arc<CompiledPolicy>>,
}

impl Index {
    /// Works out which policies apply where: `namespaces` are all that are known, with their labels.
    pub fn build<'n>(
        policies: &[Arc<CompiledPolicy>],
        namespaces: impl IntoIterator<Item = (&'n str, &'n BTreeMap<String, String>)>,
        config: &SmartOpsConfigSpec,
    ) -> Self {
        let apply = |name: Option<&str>, labels: Option<&BTreeMap<String, String>>| {
            let applied = policies.iter().filter_map(|policy| {
                let is_certain = match policy.namespaces() {
                    None => true,
                    Some(wanted) => fits(wanted, name, labels, config)?,
                };
                Some(Applied { policy: Arc::clone(policy), is_certain })
            });
            applied.collect::<Vec<_>>()
        };
        let mut by_namespace = HashMap::new();
        // A namespace that is named but not known yet is told from one never heard of.
        let excluded = policies.iter().filter_map(|p| p.namespaces()).flat_map(|n| &n.exclude);
        for name in excluded.chain(&config.guarded.exclude_namespaces) {
            by_namespace.insert(name.clone(), apply(Some(name), None).into());
        }
        for (name, labels) in namespaces {
            by_namespace.insert(name.to_owned(), apply(Some(name), Some(labels)).into());
        }
        let cluster = policies.iter().filter(|policy| policy.namespaces().is_none());
        Self {
            by_namespace,
            elsewhere: apply(None, None),
            cluster: cluster
                .map(|policy| Applied { policy: Arc::clone(policy), is_certain: true })
                .collect(),
            selecting: policies.iter().filter(|p| p.selects_namespaces()).cloned().collect(),
        }
    }

    /// Every policy that selects namespaces by label.
    pub fn selecting(&self) -> &[Arc<CompiledPolicy>] {
        &self.selecting
    }

    /// The policies of a namespace; `None` means cluster-scoped objects. A namespace not known yet counts as
    /// guarded and as selected by every selector.
    pub fn policies(&self, namespace: Option<&str>) -> &[Applied] {
        match namespace {
            None => &self.cluster,
            Some(name) => self.by_namespace.get(name).map_or(&self.elsewhere, |list| &**list),
        }
    }
}

/// Whether a namespace fits, and if so, whether that is certain.
fn fits(
    wanted: &Namespaces,
    name: Option<&str>,
    labels: Option<&BTreeMap<String, String>>,
    config: &SmartOpsConfigSpec,
) -> Option<bool> {
    let excluded = name.is_some_and(|name| {
        wanted.exclude.iter().any(|n| n == name) || (wanted.guarded && !config.guards(name))
    });
    if excluded {
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
    fn a_policy_for_everywhere_reaches_cluster_scoped_objects() {
        assert_eq!(index(None).policies(None).len(), 1);
    }
}
