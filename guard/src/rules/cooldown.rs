//! How long to wait between two changes of a pod template, from what was observed to be committed. A review based on
//! a generation the watch has not reached counts as changed just now.

use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};
use smartops_common::denial::Rule;

use super::Case;
use crate::facts::{Revisions, Watched};
use crate::history::{Rolled, rolled_by_revisions};
use crate::judge::Needs;
use crate::policy::Flaw;
use crate::verdict::Finding;

/// How long to wait between two changes of the pod template.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CooldownSpec {
    /// Seconds after a change of the template, whoever made it, before another may follow.
    #[schemars(range(min = 1, max = 86_400))]
    pub restart_seconds: i32,
}

/// The rule, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cooldown {
    seconds: u32,
}

/// Seconds until the watch will have caught up, or the list will answer again.
const SOON: u32 = 1;

const TEMPLATE: &str = "spec.template";

impl Cooldown {
    pub(super) fn compile(spec: &CooldownSpec, flaws: &mut Vec<Flaw>) -> Self {
        let seconds = u32::try_from(spec.restart_seconds).unwrap_or(0);
        if !(1..=86_400).contains(&seconds) {
            let reason = format!("is {}; it must be 1 to 86400 seconds", spec.restart_seconds);
            flaws.push(Flaw::new("spec.rules.cooldown.restartSeconds", reason));
        }
        Self { seconds }
    }

    pub(super) fn judge(self, case: &Case<'_>, found: &mut Vec<Finding>) -> Result<(), Needs> {
        if !case.change.rolls_pods() {
            return Ok(());
        }
        let old = case.change.old();
        let based_on = old.and_then(|m| m.generation);
        let record = match case.facts.watched {
            Watched::Seen(record) if based_on.is_none_or(|g| g <= record.generation) => record,
            Watched::Seen(_) | Watched::Unseen => {
                found.push(just_now(case.subject.is_automation()));
                return Ok(());
            }
        };
        let rolled = match (record.rolled, case.facts.revisions) {
            (Rolled::At(at), _) => Some(at),
            (Rolled::Never, _) => None,
            (Rolled::BeforeTheWatch, Revisions::NotAsked) => return Err(Needs::Revisions),
            (Rolled::BeforeTheWatch, Revisions::Listed(revisions)) => {
                let created = old.and_then(|m| m.creation_timestamp.as_deref());
                rolled_by_revisions(created.and_then(|text| text.parse().ok()), revisions)
            }
            (Rolled::BeforeTheWatch, Revisions::Unavailable) => {
                found.push(unknown());
                return Ok(());
            }
        };
        // A roll dated after now (clocks differ) happened now.
        if let Some(passed) = rolled.map(|at| case.now.duration_since(at).as_millis().max(0)) {
            let left = i128::from(self.seconds) * 1000 - passed;
            if left > 0 {
                found.push(self.too_soon(passed / 1000, left));
            }
        }
        Ok(())
    }

    /// `passed` in whole seconds, `left` in milliseconds, above zero.
    fn too_soon(self, passed: i128, left: i128) -> Finding {
        let retry = u32::try_from((left + 999) / 1000).unwrap_or(self.seconds);
        let message = format!(
            "the pod template last changed (restarted) {passed} s ago and may change again after {} s; retry in {retry} s",
            self.seconds
        );
        finding(Rule::Cooldown, message, retry)
    }
}

fn just_now(is_automation: bool) -> Finding {
    let message = format!(
        "the object changed just now and the change is still being observed; retry in {SOON} s"
    );
    // People are told and not held up: their next write would pass anyway.
    Finding { refuses: is_automation, ..finding(Rule::Cooldown, message, SOON) }
}

fn unknown() -> Finding {
    let message = format!(
        "when the pods last rolled could not be learnt in time: its ReplicaSets could not be listed; retry in {SOON} s"
    );
    finding(Rule::Undecided, message, SOON)
}

fn finding(rule: Rule, message: String, retry: u32) -> Finding {
    Finding { rule, path: TEMPLATE.to_owned(), message, retry_after: Some(retry), refuses: true }
}
