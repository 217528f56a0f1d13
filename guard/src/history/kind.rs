//! Which kinds have a history: those that own pods for long and change in place.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A kind whose commits are observed.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum WorkloadKind {
    /// `deployments` of apps.
    Deployment,
    /// `statefulsets` of apps.
    StatefulSet,
    /// `daemonsets` of apps.
    DaemonSet,
    /// `replicationcontrollers` of the core group.
    ReplicationController,
}

impl WorkloadKind {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::Deployment, Self::StatefulSet, Self::DaemonSet, Self::ReplicationController];

    /// The API group, empty for the core group.
    pub const fn group(self) -> &'static str {
        match self {
            Self::Deployment | Self::StatefulSet | Self::DaemonSet => "apps",
            Self::ReplicationController => "",
        }
    }

    /// The plural, as a review names it.
    pub const fn resource(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
            Self::DaemonSet => "daemonsets",
            Self::ReplicationController => "replicationcontrollers",
        }
    }

    /// Whether its revisions are kept, so that they can tell when its pods last rolled.
    pub const fn has_revisions(self) -> bool {
        !matches!(self, Self::ReplicationController)
    }

    /// The kind a review names, where it has a history.
    pub fn of(group: &str, resource: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.group() == group && kind.resource() == resource)
    }
}

impl fmt::Display for WorkloadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_found_by_its_group_and_plural_together() {
        for kind in WorkloadKind::ALL {
            assert_eq!(WorkloadKind::of(kind.group(), kind.resource()), Some(kind));
        }
        for (group, resource) in [("", "deployments"), ("apps", "replicasets"), ("x", "daemonsets")]
        {
            assert_eq!(WorkloadKind::of(group, resource), None, "{group} {resource}");
        }
    }
}
