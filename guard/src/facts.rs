//! What is known besides the review itself. The shell gathers it; what it could not learn is a value here and
//! never a callback.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use smartops_common::approval::RemediationApproval;
use smartops_common::remediation::Remediation;

use crate::exception::Exception;
use crate::history::{NamespaceRecord, Record};
use crate::policy::{Applied, CompiledPolicy};

/// What is known when a change is judged.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The policies of the change's namespace, from the [index](crate::policy::Index).
    pub policies: &'a [Applied],
    /// The policies that select namespaces by label and reach the one under review by its name, for namespaces that are
    /// relabelled.
    pub selecting: &'a [Arc<CompiledPolicy>],
    /// What the watch saw of the object under review, by its uid; for a Scale, of its object.
    pub watched: Watched<'a>,
    /// What the watch saw of the whole namespace.
    pub namespace: Option<&'a NamespaceRecord>,
    /// When the revisions of the object were made.
    pub revisions: Revisions<'a>,
    /// What the object belongs to or speaks for.
    pub related: Related<'a>,
    /// Where a subresource is under review: the whole object it is of, as it stands.
    pub whole: Whole<'a>,
    /// The exceptions of the change's namespace.
    pub exceptions: &'a [Arc<Exception>],
    /// Whether nothing will be stored, whatever the verdict.
    pub dry_run: bool,
    /// What may have announced the write.
    pub warrants: Warrants<'a>,
    /// What was decided about that.
    pub approvals: Approvals<'a>,
    /// The ReplicaSet that a rollback says it brings back.
    pub origin: Origin<'a>,
    /// How long an approval counts.
    pub approval_expiry: SignedDuration,
}

/// The Remediations that may have announced a write, as a live list told: never as a watch did, for a warrant that has
/// ended must not be found, and one that was just recorded must be.
#[derive(Debug, Clone, Copy)]
pub enum Warrants<'a> {
    /// Not asked for yet; rules about warrants ask where the write could have one.
    NotAsked,
    /// Those of the namespace, for the object under review, that are Executing; others beside them do no harm.
    Known(&'a [Remediation]),
    /// Asked for, and not to be had in time.
    Unavailable,
}

/// The approvals of the Remediations that may have announced a write, as a live list told.
#[derive(Debug, Clone, Copy)]
pub enum Approvals<'a> {
    /// Not asked for yet; asked for where a write needs one.
    NotAsked,
    /// As listed, in any order; others beside them do no harm.
    Known(&'a [RemediationApproval]),
    /// Asked for, and not to be had in time.
    Unavailable,
}

/// The ReplicaSet whose pod template a rollback that may have been announced brings back, as it is now.
#[derive(Debug, Clone, Copy)]
pub enum Origin<'a> {
    /// Not asked for yet; asked for where a rollback was announced.
    NotAsked,
    /// Its JSON text; `None` where there is none of that name.
    Known(Option<&'a str>),
    /// Asked for, and not to be had in time.
    Unavailable,
}

/// The whole object that a subresource is of, as its JSON text.
#[derive(Debug, Clone, Copy)]
pub enum Whole<'a> {
    /// Not asked for yet; expressions about the object of a Scale, exceptions and a broken glass ask for it.
    NotAsked,
    /// As read.
    Known(&'a str),
    /// Asked for, and not to be had in time.
    Unavailable,
}

/// What the watch saw of an object.
#[derive(Debug, Clone, Copy)]
pub enum Watched<'a> {
    /// The record kept of it.
    Seen(&'a Record),
    /// Of an object that comes into being: the record of the last one of its kind, namespace and name.
    Replaced(&'a Record),
    /// Nothing yet: the watch has not caught up with it, or none watches its kind.
    Unseen,
}

/// The creation times of an object's revisions (the ReplicaSets a Deployment owns, the ControllerRevisions of a
/// StatefulSet or DaemonSet), which only a live list tells.
#[derive(Debug, Clone, Copy)]
pub enum Revisions<'a> {
    /// Not asked for yet; the judgement asks where it needs them.
    NotAsked,
    /// As listed, in any order.
    Listed(&'a [Timestamp]),
    /// Asked for, and not to be had in time.
    Unavailable,
}

/// What the object under review belongs to or speaks for.
#[derive(Debug, Clone, Copy)]
pub enum Related<'a> {
    /// Not asked for yet; the judgement asks where it needs it.
    NotAsked,
    /// As read.
    Known {
        /// The object a subresource is of, the owners of either, the target of an autoscaler.
        objects: &'a [RelatedObject],
        /// Where a pod is about to end: when the newest pod of its controller was made.
        newest_pod: Option<Timestamp>,
    },
    /// Asked for, and not to be had in time.
    Unavailable,
}

/// An object that another belongs to or speaks for.
#[derive(Debug, Clone, PartialEq)]
pub struct RelatedObject {
    /// What it is to the object under review.
    pub relation: Relation,
    /// Its API group, empty for core.
    pub group: String,
    /// Its kind, as in `Deployment`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid; empty where it is not known.
    pub uid: String,
    /// Its labels; `None` where they could not be learnt: it is of a kind nobody here reads, or does not exist yet.
    pub labels: Option<BTreeMap<String, String>>,
    /// Its generation when it was read.
    pub generation: Option<i64>,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// What the watch saw of it.
    pub record: Option<Record>,
}

/// What an object is to the one under review.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// The one under review is a subresource of it.
    Parent,
    /// It owns the one under review, or the owner of that.
    Owner,
    /// The autoscaler under review scales it.
    Target,
    /// It was deleted a while ago under the kind, namespace and name of the one under review, which comes into being.
    Predecessor,
    /// The one under review is owned by nobody and has the labels by which it picks its own: its controller, or the
    /// next one down, will take it over.
    Adopter,
}

impl RelatedObject {
    /// Whether it is of this kind.
    pub(crate) fn is_a(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }

    /// Whether its kind is one of which what was observed is kept.
    pub(crate) fn has_history(&self) -> bool {
        matches!(
            (self.group.as_str(), self.kind.as_str()),
            ("apps", "Deployment" | "StatefulSet" | "DaemonSet") | ("", "ReplicationController")
        )
    }
}
