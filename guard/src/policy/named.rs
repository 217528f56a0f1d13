//! A kind a policy names: how its name is read, what the kind is to the rules, and what is wrong with one that cannot be
//! meant. Which writes follow from the names is `coverage`'s.

use smartops_change::{Kind, NumberPath, Resource};

use super::compile::Flaw;
use super::kind::KindMatch;
use crate::history::WorkloadKind;

/// A kind a policy names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedKind {
    pub(super) group: String,
    pub(super) resource: String,
    pub(super) subresource: String,
    pub(super) version: Option<String>,
    pub(super) number: Option<NumberPath>,
}

impl NamedKind {
    pub(super) fn is(&self, group: &str, resource: &str, subresource: &str) -> bool {
        self.resource == resource && self.group == group && self.subresource == subresource
    }

    pub(super) fn is_same_as(&self, resource: Resource<'_>) -> bool {
        self.is(resource.group, resource.resource, resource.subresource)
    }

    fn resource(&self) -> Resource<'_> {
        Resource {
            group: &self.group,
            version: "",
            resource: &self.resource,
            subresource: &self.subresource,
        }
    }

    /// What the kind is to the rules.
    pub(crate) fn kind(&self) -> Kind {
        self.resource().kind()
    }

    /// Whether it has a number of replicas or bounds on one.
    pub(crate) fn has_number(&self) -> bool {
        self.number.is_some()
            || self.kind().has_number()
            || self.kind() == Kind::HorizontalPodAutoscaler
    }

    /// Whether what was observed of it is kept.
    pub(crate) fn has_history(&self) -> bool {
        matches!(self.subresource.as_str(), "" | "scale") && has_history(self.resource())
    }

    /// Whether writes to it can end pods one by one.
    pub(crate) fn ends_pods(&self) -> bool {
        self.is("", "pods", "") || self.is("", "pods", "eviction")
    }

    /// Whether it has a scale subresource.
    pub(super) fn has_scale(&self) -> bool {
        self.number.is_some()
            || matches!(
                self.kind(),
                Kind::Deployment
                    | Kind::StatefulSet
                    | Kind::ReplicaSet
                    | Kind::ReplicationController
            )
    }
}

impl std::fmt::Display for NamedKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.resource().fmt(f)
    }
}

/// Whether what was observed of the object of a resource is kept, or of the one that owns it.
pub(crate) fn has_history(resource: Resource<'_>) -> bool {
    WorkloadKind::of(resource.group, resource.resource).is_some()
        || (resource.group, resource.resource) == ("apps", "replicasets")
}

/// Reads the kinds a policy names.
pub(super) fn read(specs: &[KindMatch], flaws: &mut Vec<Flaw>) -> Vec<NamedKind> {
    if specs.is_empty() {
        flaws.push(Flaw::new("spec.match.kinds", "is empty; give at least one"));
    }
    let word = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
    };
    let mut kinds = Vec::new();
    for (place, kind) in specs.iter().enumerate() {
        let (resource, subresource) = kind
            .resource
            .split_once('/')
            .map_or((kind.resource.as_str(), None), |(r, s)| (r, Some(s)));
        if !word(resource) || subresource.is_some_and(|s| !word(s)) {
            flaws.push(Flaw::new(
                format!("spec.match.kinds[{place}].resource"),
                format!(
                    "{:?} is no resource; write the plural, with a subresource where one is meant, as in deployments or deployments/scale",
                    kind.resource
                ),
            ));
        }
        let mut named = NamedKind {
            group: kind.group.clone(),
            resource: resource.to_owned(),
            subresource: subresource.unwrap_or_default().to_owned(),
            version: kind.version.clone(),
            number: None,
        };
        if kind.version.as_ref().is_some_and(|version| !word(version)) {
            let reason = "is no API version; write it as in v1 or v1beta2";
            flaws.push(Flaw::new(format!("spec.match.kinds[{place}].version"), reason));
        }
        if let Some(path) = &kind.replicas_path {
            let field = format!("spec.match.kinds[{place}].replicasPath");
            if named.kind() == Kind::Other && named.subresource.is_empty() {
                if kind.version.is_none() {
                    let reason = "is missing: replicasPath holds for one API version; name it, so that writes in another are converted to it";
                    flaws.push(Flaw::new(format!("spec.match.kinds[{place}].version"), reason));
                }
                match path.parse() {
                    Ok(path) => named.number = Some(path),
                    Err(error) => flaws.push(Flaw::new(field, format!("{error}"))),
                }
            } else {
                let reason = "is for custom resources themselves; leave it out here, the place of the number is known";
                flaws.push(Flaw::new(field, reason));
            }
        }
        kinds.push(named);
    }
    kinds
}
