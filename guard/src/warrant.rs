//! Warrants: whether a write is exactly what the one live attempt of a Remediation announced, and whether that was
//! approved. The attempts are read live, so a hit and a miss are both of this moment.
//!
//! Lives here: which attempt is meant, whether it may still be written, and by whom. What an intent makes of an object
//! and whether the write is that is `exact`'s; which undo is spared is `undo`'s. Does not live here: which writes need a
//! warrant (the rule), and who checks what is recorded (admission of SmartOps' own kinds).

mod approved;
mod belonging;
mod defaults;
mod eviction;
mod exact;
mod merge;
mod undo;

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;

use smartops_change::{Change, Operation, Resource};
use smartops_common::action::Intent;
use smartops_common::remediation::{Attempt, AttemptTarget, Phase, Remediation};

use crate::facts::Warrants;
use crate::judge::Needs;
use crate::rules::Case;
use crate::rules::evidence::SOON;

use self::belonging::Belongs;
pub use self::belonging::revision_flaw;
pub(crate) use self::undo::restores_what_was;

/// What came of looking for the warrant of a write.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Sought<'a> {
    /// There is one, and the write is what it says.
    Held(Warrant<'a>),
    /// There is none, or the write is something else.
    Refused(Vec<Refusal>),
    /// It could not be read in time.
    Unknown(&'static str),
}

/// The attempt that announced a write.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Warrant<'a> {
    pub(crate) remediation: &'a Remediation,
    pub(crate) attempt: &'a Attempt,
}

/// Why a write is not warranted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Refusal {
    /// What differs from the intent; empty where the whole write is meant.
    pub(crate) path: String,
    pub(crate) message: String,
    /// After so many seconds the write may be read and announced again.
    pub(crate) retry_after: Option<u32>,
}

/// How far a Remediation came towards being the warrant: of several that are not, the nearest is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Open,
    Deadline,
    Leader,
    DryRun,
    Version,
    Values,
    Belonging,
    Approval,
}

/// Looks for the warrant of a write; `approval` is whether the policy asks for one whatever the Remediation asks for.
///
/// # Errors
/// What is lacking to tell.
pub(crate) fn seek<'a>(case: &Case<'a>, approval: bool) -> Result<Sought<'a>, Needs> {
    if let Some(refusal) = never(case) {
        return Ok(Sought::Refused(vec![refusal]));
    }
    let remediations = match case.facts.warrants {
        Warrants::NotAsked => return Err(Needs::WARRANTS),
        Warrants::Unavailable => {
            return Ok(Sought::Unknown("the Remediations that may have announced this write"));
        }
        Warrants::Known(remediations) => remediations,
    };
    let mut refused: Option<(Step, &str, Vec<Refusal>)> = None;
    let mut held: Option<Warrant<'a>> = None;
    for remediation in remediations.iter().filter(|remediation| is_for(case, remediation)) {
        let name = name(remediation);
        let examined = match examine(case, remediation) {
            Ok(warrant) => match belonging::check(case, warrant)? {
                Belongs::Yes => Ok(warrant),
                Belongs::No(refusal) => Err((Step::Belonging, vec![refusal])),
                Belongs::Unknown(what) => return Ok(Sought::Unknown(what)),
            },
            Err(refused) => Err(refused),
        };
        let examined = match examined {
            Ok(warrant) => match approved::check(case, warrant, approval)? {
                approved::Approved::Yes => Ok(warrant),
                approved::Approved::No(refusal) => Err((Step::Approval, vec![refusal])),
                approved::Approved::Unknown => {
                    return Ok(Sought::Unknown("the approvals of what announced this write"));
                }
            },
            Err(refused) => Err(refused),
        };
        match examined {
            Ok(warrant) => {
                let is_first = held.is_none_or(|held| name < self::name(held.remediation));
                held = if is_first { Some(warrant) } else { held };
            }
            Err((step, refusals)) => {
                // The nearest, and of two as near the first by name: their order is nobody's choice.
                let is_nearer = refused.as_ref().is_none_or(|(best, first, _)| {
                    (step, std::cmp::Reverse(name)) > (*best, std::cmp::Reverse(*first))
                });
                refused = if is_nearer { Some((step, name, refusals)) } else { refused };
            }
        }
    }
    Ok(match (held, refused) {
        (Some(warrant), _) => Sought::Held(warrant),
        (None, Some((.., refusals))) => Sought::Refused(refusals),
        (None, None) => Sought::Refused(vec![unannounced()]),
    })
}

/// Why no Remediation could ever announce this write.
fn never(case: &Case<'_>) -> Option<Refusal> {
    let (change, subject) = (case.change, case.subject);
    if !subject.is_controller() {
        let message = format!(
            "only what a Remediation announced may be written here, and that by SmartOps' controller alone, which {} is not; have it done through a Remediation",
            subject.username()
        );
        return Some(Refusal { message, ..Refusal::default() });
    }
    of(change).is_none().then(|| Refusal {
        message: format!(
            "no Remediation ever announces {} of {}, only updates of a Deployment, of its scale and of its autoscaler, and evictions of its pods; leave it to a person",
            change.operation(),
            change.resource()
        ),
        ..Refusal::default()
    })
}

/// What of its target a Remediation may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// The Deployment or its scale.
    Target,
    /// One of its pods, which is evicted.
    Pod,
    /// Its autoscaler.
    Autoscaler,
}

/// What of a target a write is of, if it can be announced.
fn of(change: &Change<'_>) -> Option<Of> {
    let Resource { group, resource, subresource, .. } = change.resource();
    match (group, resource, subresource, change.operation()) {
        ("apps", "deployments", "" | "scale", Operation::Update) => Some(Of::Target),
        ("", "pods", "eviction", Operation::Create) => Some(Of::Pod),
        ("autoscaling", "horizontalpodautoscalers", "", Operation::Update) => Some(Of::Autoscaler),
        _ => None,
    }
}

/// Whether an intent names the object of a write that is not of the target itself.
fn is_named(change: &Change<'_>, intent: &Intent) -> bool {
    let pod = intent.pod.as_ref().map(|pod| pod.name.as_str());
    let autoscaler = intent.bounds.as_ref().map(|bounds| bounds.name.as_str());
    match of(change) {
        Some(Of::Pod) => pod == Some(change.name()),
        Some(Of::Autoscaler) => autoscaler == Some(change.name()),
        Some(Of::Target) | None => false,
    }
}

/// Whether a Remediation is at work on the object under review, or says in its open attempt that it is.
fn is_for(case: &Case<'_>, remediation: &Remediation) -> bool {
    let metadata = &remediation.metadata;
    let uid = case.change.old().map(|old| old.uid.as_ref()).unwrap_or_default();
    let is_it = match of(case.change) {
        Some(Of::Target) => !uid.is_empty() && remediation.spec.target.uid == uid,
        _ => open_attempt(remediation).is_some_and(|a| is_named(case.change, &a.intent)),
    };
    is_it
        && remediation.phase() == Phase::Executing
        && metadata.deletion_timestamp.is_none()
        && metadata.uid.as_ref().is_some_and(|uid| !uid.is_empty())
        && metadata.namespace.as_deref() == case.change.namespace()
}

/// Whether the last attempt of a Remediation is open, this writer's, and what is being written.
fn examine<'a>(
    case: &Case<'a>,
    remediation: &'a Remediation,
) -> Result<Warrant<'a>, (Step, Vec<Refusal>)> {
    let Case { change, subject, facts, now, .. } = *case;
    let name = name(remediation);
    let refused =
        |step, message: String| Err((step, vec![Refusal { message, ..Refusal::default() }]));
    let Some(attempt) = open_attempt(remediation) else {
        let message = format!(
            "Remediation {name} has no open attempt: what it announced has ended; record another attempt first"
        );
        return refused(Step::Open, message);
    };
    let what = described(remediation, attempt);
    if now >= attempt.deadline.0 {
        let message = format!(
            "{what} could be written until {}, which has passed; record another attempt first",
            attempt.deadline.0
        );
        return refused(Step::Deadline, message);
    }
    let leader = attempt.leader.split('/').next().unwrap_or_default();
    if let Some(pod) = subject.pod().filter(|pod| *pod != leader) {
        let message = format!(
            "{what} is to be written by the pod {leader} that recorded it, and this is {pod}; leave it to that pod"
        );
        return refused(Step::Leader, message);
    }
    if remediation.spec.dry_run && !facts.dry_run {
        let message = format!(
            "Remediation {name} only tries out what it announced: it admits dry runs and nothing else; make one that is none"
        );
        return refused(Step::DryRun, message);
    }
    if !is_at(change, attempt) {
        let now = change.old().map(|old| old.resource_version.as_ref()).unwrap_or_default();
        let bounds = attempt.intent.bounds.as_ref().map(|bounds| &bounds.resource_version);
        let version = bounds.unwrap_or(&attempt.target.resource_version);
        let refusal = Refusal {
            path: "metadata.resourceVersion".to_owned(),
            message: format!(
                "{what} is for the object at resourceVersion {version}, and it is at {now}: it was written since; read it again and record that, retry in {SOON} s"
            ),
            retry_after: Some(SOON),
        };
        return Err((Step::Version, vec![refusal]));
    }
    let checked = match of(change) {
        Some(Of::Pod) => eviction::check(change, &attempt.intent, &what),
        _ => exact::check(change, &attempt.intent, &what),
    };
    match checked {
        Ok(()) => Ok(Warrant { remediation, attempt }),
        Err(refusals) => Err((Step::Values, refusals)),
    }
}

/// Whether a Remediation has an open attempt for the object under review in the very version that is written over: of no
/// other does it matter who approved it.
pub fn may_be_warrant(change: &Change<'_>, remediation: &Remediation) -> bool {
    open_attempt(remediation).is_some_and(|attempt| match of(change) {
        Some(Of::Target) => is_at(change, attempt),
        _ => is_named(change, &attempt.intent),
    })
}

/// Whether what announces a write is found by the uid of its object; else by what the open attempts of the namespace say
/// they are of.
pub fn is_of_target(change: &Change<'_>) -> bool {
    of(change) == Some(Of::Target)
}

/// The ReplicaSet that a Remediation's open attempt says it goes back to.
pub fn origin(remediation: &Remediation) -> Option<&str> {
    let revision = open_attempt(remediation)?.intent.revision.as_ref()?;
    Some(&revision.replica_set)
}

/// The attempt that is recorded and has no result yet.
fn open_attempt(remediation: &Remediation) -> Option<&Attempt> {
    let last = remediation.status.as_ref()?.attempts.last()?;
    Some(last).filter(|attempt| attempt.result.is_none())
}

/// Whether the object is, before the write, the one an attempt was recorded for, in that version. Which pod is evicted is
/// said in the eviction itself.
fn is_at(change: &Change<'_>, attempt: &Attempt) -> bool {
    let AttemptTarget { uid, generation, resource_version } = &attempt.target;
    let Some(old) = change.old() else { return of(change) == Some(Of::Pod) };
    let is = |uid: &str, version: &str| {
        !old.resource_version.is_empty() && old.uid == uid && old.resource_version == version
    };
    match (of(change), &attempt.intent.bounds) {
        (Some(Of::Autoscaler), Some(bounds)) => is(&bounds.uid, &bounds.resource_version),
        (Some(Of::Autoscaler), None) => false,
        _ => is(uid, resource_version) && old.generation.is_none_or(|g| g == *generation),
    }
}

fn unannounced() -> Refusal {
    Refusal {
        message: "no Remediation in this namespace is Executing on this object, so nothing announced this write; have a Remediation record an attempt first".to_owned(),
        ..Refusal::default()
    }
}

fn name(remediation: &Remediation) -> &str {
    remediation.metadata.name.as_deref().unwrap_or_default()
}

/// An attempt, for messages.
fn described(remediation: &Remediation, attempt: &Attempt) -> String {
    format!("attempt {} of Remediation {}", attempt.number, name(remediation))
}
