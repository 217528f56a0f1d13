//! How long to wait between two changes of a pod template, from what was observed to be committed. A review based on
//! a generation the watch has not reached counts as changed just now.

use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};
use smartops_common::denial::Rule;

use super::Case;
use crate::facts::{Revisions, Watched};
use crate::findings::Finding;
use crate::history::{Rolled, rolled_by_revisions};
use crate::judge::Needs;
use crate::policy::Flaw;

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
            Watched::Seen(record) if based_on.is_some_and(|g| g <= record.generation) => record,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Facts;
    use crate::history::Record;
    use crate::judge::{Judgement, judge};
    use crate::sample;
    use crate::subject::Subject;
    use crate::verdict::Effect;

    /// The verdict on a restart by automation of a workload with this record.
    fn restarted(subject: &Subject, record: Watched<'_>, revisions: Revisions<'_>) -> Judgement {
        let policies = sample::shipped_policies();
        let facts = Facts { policies: &policies, watched: record, revisions };
        judge(&sample::restart().change(), subject, &facts, sample::now())
    }

    fn rolled(rolled: Rolled) -> Record {
        Record { rolled, ..sample::QUIET }
    }

    fn retry_after(judgement: Judgement) -> Option<u32> {
        match judgement {
            Judgement::Final(verdict) => {
                verdict.denial().map(|d| d.retry_after_seconds.expect("time heals it"))
            }
            Judgement::Needs(needs) => panic!("{needs:?}"),
        }
    }

    #[test]
    fn a_restart_too_soon_is_told_the_seconds_left_rounded_up() {
        for (milliseconds, expected) in [
            (0, Some(120)),
            (33_000, Some(87)),
            (119_000, Some(1)),
            (119_999, Some(1)),
            (120_000, None),
            (-5_000, Some(120)),
        ] {
            let at = sample::now() - jiff::SignedDuration::from_millis(milliseconds);
            let record = rolled(Rolled::At(at));
            let judged =
                restarted(&sample::automation(), Watched::Seen(&record), Revisions::NotAsked);
            assert_eq!(retry_after(judged), expected, "{milliseconds}");
            let judged = restarted(&sample::person(), Watched::Seen(&record), Revisions::NotAsked);
            assert_eq!(retry_after(judged), None, "people have no cooldown by default");
        }
    }

    #[test]
    fn a_scale_during_the_cooldown_passes() {
        let record = rolled(Rolled::At(sample::now()));
        let policies = sample::shipped_policies();
        let facts = Facts {
            policies: &policies,
            watched: Watched::Seen(&record),
            revisions: Revisions::NotAsked,
        };
        let verdict = sample::verdict_with(&sample::scale(3, 4), &sample::automation(), &facts);
        assert_eq!(verdict.denial(), None);
    }

    #[test]
    fn a_generation_the_watch_has_not_reached_counts_as_changed_just_now() {
        let behind = Record { generation: 6, ..sample::QUIET };
        for watched in [Watched::Seen(&behind), Watched::Unseen] {
            let judged = restarted(&sample::automation(), watched, Revisions::NotAsked);
            assert_eq!(retry_after(judged), Some(1));
        }
        let ahead = Record { generation: 8, ..sample::QUIET };
        let judged = restarted(&sample::automation(), Watched::Seen(&ahead), Revisions::NotAsked);
        assert_eq!(retry_after(judged), None);
    }

    #[test]
    fn people_under_a_cooldown_of_their_own_pass_with_a_warning_where_the_watch_lags() {
        let mut spec = sample::baseline();
        spec.rules.cooldown = Some(crate::rules::cooldown::CooldownSpec { restart_seconds: 60 });
        let policies = [sample::applied("mine", &spec)];
        let facts =
            Facts { policies: &policies, watched: Watched::Unseen, revisions: Revisions::NotAsked };
        let verdict = sample::verdict_with(&sample::restart(), &sample::person(), &facts);
        assert_eq!(verdict.denial(), None);
        assert_eq!(verdict.outcomes[0].effect, Effect::Warn);
        assert!(verdict.warnings[0].starts_with("mine/cooldown: the object changed just now"));
        let record = rolled(Rolled::At(sample::now()));
        let facts = Facts { watched: Watched::Seen(&record), ..facts };
        assert!(
            sample::verdict_with(&sample::restart(), &sample::person(), &facts).denial().is_some()
        );
    }

    #[test]
    fn what_rolled_before_the_watch_is_asked_of_the_replica_sets_once() {
        let record = rolled(Rolled::BeforeTheWatch);
        let judge = |revisions| restarted(&sample::automation(), Watched::Seen(&record), revisions);
        assert_eq!(judge(Revisions::NotAsked), Judgement::Needs(Needs::Revisions));
        let first = "2026-01-01T00:00:01Z".parse().unwrap();
        let recent = "2026-01-01T11:59:30Z".parse().unwrap();
        let revisions = [first, recent];
        assert_eq!(retry_after(judge(Revisions::Listed(&revisions[..1]))), None);
        assert_eq!(retry_after(judge(Revisions::Listed(&revisions))), Some(90));
        let Judgement::Final(verdict) = judge(Revisions::Unavailable) else {
            panic!("asked twice")
        };
        assert_eq!(verdict.denial().unwrap().leading_rule(), Some(Rule::Undecided));
    }

    #[test]
    fn nothing_is_asked_of_the_cluster_for_a_person_or_a_scale() {
        let record = rolled(Rolled::BeforeTheWatch);
        let policies = sample::shipped_policies();
        let facts = Facts {
            policies: &policies,
            watched: Watched::Seen(&record),
            revisions: Revisions::NotAsked,
        };
        for (write, subject) in
            [(sample::restart(), sample::person()), (sample::scale(3, 4), sample::automation())]
        {
            assert!(matches!(
                judge(&write.change(), &subject, &facts, sample::now()),
                Judgement::Final(_)
            ));
        }
    }
}
