//! What is known besides the review itself. The shell gathers it; what it could not learn is a value here and
//! never a callback.

use jiff::Timestamp;

use crate::history::Record;
use crate::policy::Applied;

/// What is known when a change is judged.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The policies of the change's namespace, from the [index](crate::policy::Index).
    pub policies: &'a [Applied],
    /// What the watch saw of the object under review, by its uid.
    pub watched: Watched<'a>,
    /// When the ReplicaSets the object owns were created.
    pub revisions: Revisions<'a>,
}

/// What the watch saw of an object.
#[derive(Debug, Clone, Copy)]
pub enum Watched<'a> {
    /// The record kept of it.
    Seen(&'a Record),
    /// Nothing yet: the watch has not caught up with it.
    Unseen,
}

/// The creation times of the ReplicaSets a Deployment owns, which only a live list tells.
#[derive(Debug, Clone, Copy)]
pub enum Revisions<'a> {
    /// Not asked for yet; the judgement asks where it needs them.
    NotAsked,
    /// As listed, in any order.
    Listed(&'a [Timestamp]),
    /// Asked for, and not to be had in time.
    Unavailable,
}
