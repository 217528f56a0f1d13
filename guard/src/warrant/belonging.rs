//! Whether what an attempt writes belongs to the target of its Remediation: the revision that a rollback brings back, the
//! pod that is evicted, the autoscaler whose bounds move. What the intent names was read when it was recorded; what it is
//! now is read again, live.

use serde::Deserialize;
use serde_json::Value;
use smartops_change::TemplateDigest;
use smartops_common::action::{ActionType, RevisionIntent};

use super::{Of, Refusal, Warrant, described, of};
use crate::facts::{Origin, Related, Relation};
use crate::judge::Needs;
use crate::rules::Case;

/// The label that tells the pods of one ReplicaSet from those of another: no part of a Deployment's template.
const HASH: &str = "pod-template-hash";

/// Whether it belongs to the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Belongs {
    Yes,
    No(Refusal),
    /// That could not be read in time.
    Unknown(&'static str),
}

/// A ReplicaSet, as far as it is a revision of somebody.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReplicaSet {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    uid: String,
    #[serde(default)]
    owner_references: Vec<Owner>,
}

#[derive(Deserialize)]
struct Owner {
    uid: String,
    #[serde(default)]
    controller: bool,
}

#[derive(Deserialize)]
struct Spec {
    #[serde(default)]
    template: Value,
}

/// Whether what a warranted write is of belongs to the target.
///
/// # Errors
/// What is lacking to tell.
pub(super) fn check(case: &Case<'_>, warrant: Warrant<'_>) -> Result<Belongs, Needs> {
    let Warrant { remediation, attempt } = warrant;
    let target = &remediation.spec.target;
    let what = described(remediation, attempt);
    let no = |message: String| Belongs::No(Refusal { message, ..Refusal::default() });
    match (of(case.change), attempt.intent.type_, &attempt.intent.revision) {
        (Some(Of::Target), ActionType::Rollback, Some(revision)) => match case.facts.origin {
            Origin::NotAsked => Err(Needs::ORIGIN),
            Origin::Unavailable => {
                Ok(Belongs::Unknown("the ReplicaSet that is to be brought back"))
            }
            Origin::Known(set) => {
                Ok(revision_flaw(revision, set, &target.uid).map_or(Belongs::Yes, |flaw| {
                    let set = &revision.replica_set;
                    no(format!("{what} goes back to the ReplicaSet {set}, which {flaw}; ask again"))
                }))
            }
        },
        (Some(Of::Pod), ..) => pod(case, warrant, &what),
        (Some(Of::Autoscaler), ..) => {
            let sides = [case.change.scale_target_before(), case.change.scale_target_after()];
            let is_its = |of: &smartops_change::ScaleTarget<'_>| {
                (of.group.as_ref(), of.kind.as_ref()) == ("apps", "Deployment")
                    && of.name == target.name
            };
            let are_its = sides.into_iter().all(|side| side.is_some_and(is_its));
            Ok(if are_its {
                Belongs::Yes
            } else {
                let target = &target.name;
                no(format!(
                    "{what} is for the Deployment {target}, which this autoscaler does not scale"
                ))
            })
        }
        _ => Ok(Belongs::Yes),
    }
}

/// Whether the pod under review is the one announced, and the target's through a ReplicaSet.
fn pod(case: &Case<'_>, warrant: Warrant<'_>, what: &str) -> Result<Belongs, Needs> {
    let Warrant { remediation, attempt } = warrant;
    let objects = match case.facts.related {
        Related::NotAsked => return Err(Needs::RELATED),
        Related::Unavailable => return Ok(Belongs::Unknown("whose the pod is")),
        Related::Known { objects, .. } => objects,
    };
    let uid = attempt.intent.pod.as_ref().map(|pod| pod.uid.as_str()).unwrap_or_default();
    let is_it = |relation: Relation, kind: &str, uid: Option<&str>| {
        objects.iter().any(|o| {
            o.relation == relation
                && o.kind == kind
                && o.labels.is_some()
                && !o.uid.is_empty()
                && uid.is_none_or(|uid| o.uid == uid)
        })
    };
    let target = &remediation.spec.target;
    let refused = if !is_it(Relation::Parent, "Pod", Some(uid)) {
        format!(
            "{what} evicts the pod of uid {uid}, and the pod of this name is another; ask again"
        )
    } else if !(is_it(Relation::Owner, "ReplicaSet", None)
        && is_it(Relation::Owner, "Deployment", Some(&target.uid)))
    {
        format!("{what} is for the Deployment {}, and this pod is none of its", target.name)
    } else {
        return Ok(Belongs::Yes);
    };
    Ok(Belongs::No(Refusal { message: refused, ..Refusal::default() }))
}

/// Why a ReplicaSet, as JSON text, is not the revision that an intent names of the target of this uid; `None` where it is.
pub fn revision_flaw(
    revision: &RevisionIntent,
    set: Option<&str>,
    target: &str,
) -> Option<&'static str> {
    let Some(set) = set else { return Some("is gone") };
    let Ok(ReplicaSet { metadata, spec }) = serde_json::from_str(set) else {
        return Some("cannot be read");
    };
    if metadata.uid != revision.uid {
        return Some("is another one of that name");
    }
    if !metadata.owner_references.iter().any(|owner| owner.controller && owner.uid == target) {
        return Some("is none of the target's");
    }
    let mut template = spec.template;
    let labels = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut);
    labels.and_then(|labels| labels.remove(HASH));
    let digest = serde_json::from_value::<TemplateDigest>(template);
    let is_it = digest.is_ok_and(|digest| digest.to_string() == revision.template);
    (!is_it).then_some("has another pod template than was recorded")
}
