//! What an action works with beside its target: the target's revisions, its pods, its autoscaler. Values only; who reads
//! them is the shell.

use crate::remediation::autoscaler::Autoscaler;

/// What an action works with beside its target.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Means {
    /// The autoscaler that owns its number of replicas, where one does.
    pub autoscaler: Option<Autoscaler>,
}
