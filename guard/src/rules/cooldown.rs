//! How long to wait between two restarts and between two changes of the number, from what was observed to be
//! committed. A restart is whatever ends the pods: another template, a number that falls to zero, the end of a pod or
//! of a ReplicaSet that has some, an object made anew under a name that was deleted.

use jiff::Timestamp;
use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};
use smartops_change::{Kind, Operation};
use smartops_common::denial::Rule;

use super::Case;
use super::evidence::{Evidence, seconds_up, unknown};
use crate::facts::{Related, Relation, Revisions};
use crate::findings::Finding;
use crate::history::{Record, Rolled, rolled_by_revisions};
use crate::judge::Needs;
use crate::policy::{Flaw, ends_a_pod};

/// How long to wait between two restarts, and between two changes of the number.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = kube_core::Rule::new("has(self.restartSeconds) || has(self.scaleSeconds)").message("give restartSeconds, scaleSeconds or both")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CooldownSpec {
    /// Seconds after the pods were last restarted, whoever did it, before they may be again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub restart_seconds: Option<i32>,
    /// Seconds after the number of replicas last changed, whoever changed it, before it may again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub scale_seconds: Option<i32>,
}

/// The rule, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cooldown {
    restart: Option<u32>,
    scale: Option<u32>,
}

const TEMPLATE: &str = "spec.template";

impl Cooldown {
    pub(super) fn compile(spec: &CooldownSpec, flaws: &mut Vec<Flaw>) -> Self {
        if spec.restart_seconds.is_none() && spec.scale_seconds.is_none() {
            let reason = "says nothing; give restartSeconds, scaleSeconds or both";
            flaws.push(Flaw::new("spec.rules.cooldown", reason));
        }
        let mut seconds = |field: &str, given: Option<i32>| {
            let given = given?;
            let seconds = u32::try_from(given).unwrap_or(0);
            if !(1..=86_400).contains(&seconds) {
                let reason = format!("is {given}; it must be 1 to 86400 seconds");
                flaws.push(Flaw::new(format!("spec.rules.cooldown.{field}"), reason));
            }
            Some(seconds)
        };
        Self {
            restart: seconds("restartSeconds", spec.restart_seconds),
            scale: seconds("scaleSeconds", spec.scale_seconds),
        }
    }

    pub(super) fn judge(self, case: &Case<'_>, found: &mut Vec<Finding>) -> Result<(), Needs> {
        let restart = self.restart.filter(|_| restarts(case));
        let scale = self.scale.filter(|_| scales(case));
        if restart.is_none() && scale.is_none() {
            return Ok(());
        }
        let path = if restart.is_some() { TEMPLATE } else { number(case) };
        let evidence = case.evidence()?;
        if matches!(evidence, Evidence::Unknown) {
            found.push(unknown(path, "what the object belongs to"));
            return Ok(());
        }
        let (record, before) = (evidence.record(), found.len());
        if let Some(seconds) = restart {
            match last_restart(case, record)? {
                Ok(Some((at, what))) => found.extend(too_soon(case, seconds, at, TEMPLATE, what)),
                Ok(None) => {}
                Err(finding) => found.push(finding),
            }
        }
        if let (Some(seconds), Some(Rolled::At(at))) = (scale, record.map(|r| r.scaled)) {
            found.extend(too_soon(case, seconds, at, number(case), SCALED));
        }
        if matches!(evidence, Evidence::Behind(_)) && found.len() == before {
            found.push(case.just_now(Rule::Cooldown, path));
        }
        Ok(())
    }
}

/// What happened too recently, and what must wait.
type Sentence = (&'static str, &'static str);

const RESTARTED: Sentence = ("the pod template last changed (restarted)", "may change again");
const SCALED: Sentence = ("the number of replicas last changed", "may change again");
const STARTED: Sentence = ("a pod of this workload last started", "the next may end");

/// Whether the write ends pods that run.
fn restarts(case: &Case<'_>) -> bool {
    let change = case.change;
    let number = change.replicas();
    let to_zero = number.is_some_and(|n| n.old.is_some_and(|old| old > 0) && n.new == Some(0));
    match change.kind() {
        Kind::ReplicaSet if change.operation() == Operation::Delete => {
            number.and_then(|n| n.old).is_some_and(|old| old > 0)
        }
        // What is made anew under a name that was deleted ended the pods of the former.
        _ if change.old().is_none() && case.predecessor().is_some() => true,
        Kind::Job | Kind::CronJob => false,
        _ => change.rolls_pods() || to_zero || ends_a_pod(change),
    }
}

/// Whether the write moves the number.
fn scales(case: &Case<'_>) -> bool {
    let moves =
        |n: smartops_change::ReplicasChange| n.old.is_some() && n.new.is_some() && n.old != n.new;
    !matches!(case.change.kind(), Kind::Job | Kind::CronJob)
        && case.change.replicas().is_some_and(moves)
}

fn number(case: &Case<'_>) -> &'static str {
    case.change.replicas_path().unwrap_or("spec.replicas")
}

/// When the pods were last restarted, and what tells it; an error is what is to be found instead.
fn last_restart(
    case: &Case<'_>,
    record: Option<&Record>,
) -> Result<Result<Option<(Timestamp, Sentence)>, Finding>, Needs> {
    // Where a pod is about to end, its siblings tell when one last did.
    let sibling = match case.facts.related {
        Related::Known { newest_pod, .. } => newest_pod.map(|at| (at, STARTED)),
        Related::NotAsked | Related::Unavailable => None,
    };
    let Some(record) = record else { return Ok(Ok(sibling)) };
    let known = record.rolled.known();
    let rolled = match (record.rolled, case.facts.revisions) {
        (Rolled::At(_) | Rolled::Never, _) => known,
        (_, Revisions::NotAsked) => return Err(Needs::REVISIONS),
        (_, Revisions::Listed(revisions)) => {
            known.max(rolled_by_revisions(created(case), revisions))
        }
        (_, Revisions::Unavailable) => {
            return Ok(Err(unknown(TEMPLATE, "when the pods last rolled: its revisions")));
        }
    };
    let rolled = rolled.map(|at| (at, RESTARTED));
    Ok(Ok(rolled.into_iter().chain(sibling).max_by_key(|(at, _)| *at)))
}

/// When the workload was made: the owner of what is under review, or that itself, which for a Scale says the same.
fn created(case: &Case<'_>) -> Option<Timestamp> {
    let owners = match case.facts.related {
        Related::Known { objects, .. } => objects,
        Related::NotAsked | Related::Unavailable => &[],
    };
    let mut owners = owners.iter().filter(|o| o.relation == Relation::Owner && o.record.is_some());
    let own = case.change.old().and_then(|old| old.creation_timestamp.as_deref());
    match owners.next() {
        Some(owner) => owner.created,
        None => own.and_then(|text| text.parse().ok()),
    }
}

fn too_soon(
    case: &Case<'_>,
    seconds: u32,
    at: Timestamp,
    path: &str,
    (what, waits): Sentence,
) -> Option<Finding> {
    let passed = case.passed_since(at);
    let left = i128::from(seconds) * 1000 - passed;
    (left > 0).then(|| {
        let retry = seconds_up(left);
        let passed = passed / 1000;
        Finding {
            rule: Rule::Cooldown,
            path: path.to_owned(),
            message: format!(
                "{what} {passed} s ago and {waits} after {seconds} s; retry in {retry} s"
            ),
            retry_after: Some(retry),
            refuses: true,
        }
    })
}

#[cfg(test)]
mod tests;
