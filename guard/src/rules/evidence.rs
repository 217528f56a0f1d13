//! What was observed of the workload a write is about, fenced by generation: a write based on a generation that the
//! watch has not reached is about an object that changed just now. What follows from it is each rule's.

use jiff::Timestamp;
use smartops_change::{Kind, Operation, Owner};
use smartops_common::denial::Rule;

use super::Case;
use crate::facts::{Related, Relation, Watched};
use crate::findings::Finding;
use crate::history::Record;
use crate::judge::Needs;
use crate::policy::{Reach, has_history};

/// What is known of the past of the workload a write is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Evidence<'a> {
    /// Everything up to what the write is based on.
    Whole(&'a Record),
    /// Something that the write is based on has not been observed yet; what has been still holds, if there is any.
    Behind(Option<&'a Record>),
    /// What the write is based on could not be read in time.
    Unknown,
    /// Nothing is kept of this kind, or the object comes into being for the first time.
    Nothing,
}

impl<'a> Evidence<'a> {
    /// What has been observed, be it all or not.
    pub(crate) fn record(self) -> Option<&'a Record> {
        match self {
            Self::Whole(record) => Some(record),
            Self::Behind(record) => record,
            Self::Unknown | Self::Nothing => None,
        }
    }
}

/// Seconds until the watch will have caught up, or a read will answer again.
pub(crate) const SOON: u32 = 1;

impl<'a> Case<'a> {
    /// What is known of the workload the write is about: the object itself, that of a Scale, the owner of a ReplicaSet
    /// or of a pod.
    pub(crate) fn evidence(&self) -> Result<Evidence<'a>, Needs> {
        let change = self.change;
        match (change.operation(), self.facts.watched) {
            (Operation::Create, Watched::Replaced(record)) => return Ok(Evidence::Whole(record)),
            (Operation::Create, _) if change.resource().subresource.is_empty() => {
                return Ok(Evidence::Nothing);
            }
            _ => {}
        }
        match change.kind() {
            Kind::Deployment
            | Kind::StatefulSet
            | Kind::DaemonSet
            | Kind::ReplicationController => {
                let based_on = change.old().and_then(|old| old.generation);
                Ok(match self.facts.watched {
                    Watched::Seen(record) => fenced(record, based_on),
                    Watched::Replaced(_) | Watched::Unseen => Evidence::Behind(None),
                })
            }
            Kind::ReplicaSet if change.controller().is_none() => Ok(Evidence::Nothing),
            // Nothing is kept of other kinds, so there is nothing to be asked for.
            Kind::Scale if !has_history(change.resource()) => Ok(Evidence::Nothing),
            _ => self.evidence_of_relatives(),
        }
    }

    /// What is known of the nearest relative of which anything is kept.
    fn evidence_of_relatives(&self) -> Result<Evidence<'a>, Needs> {
        let objects = match self.facts.related {
            Related::NotAsked => return Err(Needs::RELATED),
            Related::Unavailable => return Ok(Evidence::Unknown),
            Related::Known { objects, .. } => objects,
        };
        let relatives =
            objects.iter().filter(|o| matches!(o.relation, Relation::Parent | Relation::Owner));
        let mut evidence = Evidence::Nothing;
        for relative in relatives {
            match &relative.record {
                Some(record) => return Ok(fenced(record, relative.generation)),
                None if relative.has_history() => evidence = Evidence::Behind(None),
                None => {}
            }
        }
        Ok(evidence)
    }

    /// Whether the update hands a ReplicaSet to a Deployment that had nothing to do with it: it is judged as what comes
    /// into being there.
    pub(crate) fn enters(&self, reach: Reach) -> bool {
        let was_owned = |owner: &Owner<'_>| owner.group == "apps" && owner.kind == "Deployment";
        let before = self.change.old().and_then(|old| old.controller.as_ref());
        reach == Reach::ReplicaSet
            && self.change.kind() == Kind::ReplicaSet
            && !before.is_some_and(was_owned)
    }

    /// The record of what was deleted under the name of an object that comes into being.
    pub(crate) fn predecessor(&self) -> Option<&'a Record> {
        match self.facts.watched {
            Watched::Replaced(record) => Some(record),
            Watched::Seen(_) | Watched::Unseen => None,
        }
    }

    /// The time that has passed since then. What lies after now, because clocks differ, happened now. Milliseconds.
    pub(crate) fn passed_since(&self, then: Timestamp) -> i128 {
        self.now.duration_since(then).as_millis().max(0)
    }

    /// That the object changed just now, and nothing observed so far forbids the write: automation is refused, people
    /// are told and not held up.
    pub(crate) fn just_now(&self, rule: Rule, path: &str) -> Finding {
        let message = format!(
            "the object changed just now and the change is still being observed; retry in {SOON} s"
        );
        Finding {
            rule,
            path: path.to_owned(),
            message,
            retry_after: Some(SOON),
            refuses: self.subject.is_automation(),
        }
    }
}

/// That what a rule rests on could not be read in time.
pub(crate) fn unknown(path: &str, what: &str) -> Finding {
    Finding {
        rule: Rule::Undecided,
        path: path.to_owned(),
        message: format!("{what} could not be read in time; retry in {SOON} s"),
        retry_after: Some(SOON),
        refuses: true,
    }
}

fn fenced(record: &Record, based_on: Option<i64>) -> Evidence<'_> {
    if based_on.is_some_and(|generation| generation <= record.generation) {
        Evidence::Whole(record)
    } else {
        Evidence::Behind(Some(record))
    }
}

/// Whole seconds, rounded up, of milliseconds above zero.
pub(crate) fn seconds_up(milliseconds: i128) -> u32 {
    u32::try_from((milliseconds + 999) / 1000).unwrap_or(u32::MAX)
}
