//! What an action works with beside its target: the target's revisions, its pods, its autoscaler. Values only; who reads
//! them is the shell.

/// What an action works with beside its target.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Means {}
