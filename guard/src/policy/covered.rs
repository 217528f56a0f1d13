//! What the API server has to send, so that a policy sees every write it means: what it names, and the neighbours of
//! `coverage`. How the demands of all policies become registrations is `registration`'s.

use smartops_change::{Kind, Operation};

use super::coverage::Coverage;
use super::named::NamedKind;

/// A kind and the operations on it that a policy has to see, for registrations.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Covered {
    /// The API group, empty for core.
    pub group: String,
    /// The plural.
    pub resource: String,
    /// Empty for the object itself.
    pub subresource: String,
    /// The API version it has to be in; `None` where any will do.
    pub version: Option<String>,
    /// Which operations.
    pub operations: Vec<Operation>,
}

impl Coverage {
    /// The API version in which the policy reads a kind, as far as it says one.
    pub(super) fn version(&self, group: &str, resource: &str) -> Option<String> {
        let of_kind = |k: &&NamedKind| k.group == group && k.resource == resource;
        self.kinds().iter().filter(of_kind).find_map(|kind| kind.version.clone())
    }

    /// Everything a registration must send, so that the policy sees what it means.
    pub(super) fn covered(&self) -> Vec<Covered> {
        let covered =
            |group: &str, resource: &str, subresource: &str, operations: &[Operation]| Covered {
                group: group.to_owned(),
                resource: resource.to_owned(),
                subresource: subresource.to_owned(),
                version: self.version(group, resource),
                operations: operations.to_vec(),
            };
        let updates = self.operations().contains(&Operation::Update);
        let mut all = Vec::new();
        for kind in self.kinds() {
            let mut operations = self.operations().to_vec();
            if updates && self.wants.any && kind.has_history() && kind.subresource.is_empty() {
                operations.push(Operation::Create);
            }
            operations.sort_unstable();
            operations.dedup();
            all.push(covered(&kind.group, &kind.resource, &kind.subresource, &operations));
            if !updates || !self.wants.any || !kind.subresource.is_empty() {
                continue;
            }
            if kind.has_number() && kind.kind() != Kind::HorizontalPodAutoscaler && kind.has_scale()
            {
                all.push(covered(&kind.group, &kind.resource, "scale", &[Operation::Update]));
            }
            if self.wants.replicas && kind.has_scale() {
                let operations = [Operation::Create, Operation::Update];
                all.push(covered("autoscaling", "horizontalpodautoscalers", "", &operations));
            }
            if kind.kind() == Kind::Deployment {
                let operations = [Operation::Create, Operation::Update, Operation::Delete];
                let most = if self.wants.restarts { 3 } else { 2 };
                all.push(covered("apps", "replicasets", "", &operations[..most]));
                all.push(covered("apps", "replicasets", "scale", &[Operation::Update]));
            }
        }
        all
    }
}
