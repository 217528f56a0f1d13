//! How many changes a target and a namespace may have in a while, whoever makes them, from what was observed to be
//! committed: changes of the pod template and of the number. It binds the next such change.

use jiff::{SignedDuration, Timestamp};
use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smartops_change::{Kind, ReplicasChange};
use smartops_common::denial::Rule;

use super::Case;
use super::evidence::{Evidence, seconds_up, unknown};
use crate::findings::Finding;
use crate::history::{NamespaceRecord, Recent};
use crate::judge::Needs;
use crate::policy::Flaw;

/// How many changes there may be. At least one of the two.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = kube_core::Rule::new("has(self.perTarget) || has(self.perNamespace)").message("give perTarget, perNamespace or both")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BudgetSpec {
    /// Of one workload, at most 63.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_target: Option<LimitSpec>,
    /// Of all workloads of a namespace together, at most 255.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_namespace: Option<LimitSpec>,
}

/// So many changes in so long a window.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LimitSpec {
    /// How many.
    #[schemars(range(min = 1, max = 255))]
    pub changes: i32,
    /// In how many seconds.
    #[schemars(range(min = 1, max = 86_400))]
    pub window_seconds: i32,
}

/// The rule, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    target: Option<Limit>,
    namespace: Option<Limit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit {
    changes: usize,
    seconds: i64,
}

impl Budget {
    pub(super) fn compile(spec: &BudgetSpec, flaws: &mut Vec<Flaw>) -> Self {
        if spec.per_target.is_none() && spec.per_namespace.is_none() {
            let reason = "says nothing; give perTarget, perNamespace or both";
            flaws.push(Flaw::new("spec.rules.budget", reason));
        }
        let mut limit = |field: &str, spec: &Option<LimitSpec>, most: usize| {
            let spec = spec.as_ref()?;
            let changes = usize::try_from(spec.changes).unwrap_or(0);
            if !(1..=most).contains(&changes) {
                let reason = format!("is {}; it must be 1 to {most}", spec.changes);
                flaws.push(Flaw::new(format!("spec.rules.budget.{field}.changes"), reason));
            }
            if !(1..=86_400).contains(&spec.window_seconds) {
                let reason = format!("is {}; it must be 1 to 86400", spec.window_seconds);
                flaws.push(Flaw::new(format!("spec.rules.budget.{field}.windowSeconds"), reason));
            }
            Some(Limit { changes, seconds: i64::from(spec.window_seconds) })
        };
        Self {
            target: limit("perTarget", &spec.per_target, Recent::CAPACITY - 1),
            namespace: limit("perNamespace", &spec.per_namespace, NamespaceRecord::CAPACITY - 1),
        }
    }

    pub(super) fn judge(self, case: &Case<'_>, found: &mut Vec<Finding>) -> Result<(), Needs> {
        if !is_counted(case) {
            return Ok(());
        }
        let evidence = case.evidence()?;
        if matches!(evidence, Evidence::Unknown) {
            found.push(unknown("", "what the object belongs to"));
            return Ok(());
        }
        let (record, before) = (evidence.record(), found.len());
        if let (Some(limit), Some(record)) = (self.target, record) {
            let since = limit.since(case.now);
            let made = record.changes_since(since);
            found.extend(limit.spent(case, "it", made, record.oldest_change_after(since)));
        }
        if let (Some(limit), Some(record)) = (self.namespace, case.facts.namespace) {
            let since = limit.since(case.now);
            let made = record.changes_since(since);
            let whose = "the workloads of this namespace";
            found.extend(limit.spent(case, whose, made, record.oldest_change_after(since)));
        }
        if matches!(evidence, Evidence::Behind(_)) && found.len() == before {
            found.push(case.just_now(Rule::Budget, ""));
        }
        Ok(())
    }
}

/// Whether the write is one more change of what is counted: another template, another number, or an object made anew
/// under a name that was deleted.
fn is_counted(case: &Case<'_>) -> bool {
    let change = case.change;
    let is_kept = matches!(
        change.kind(),
        Kind::Deployment
            | Kind::StatefulSet
            | Kind::DaemonSet
            | Kind::ReplicaSet
            | Kind::ReplicationController
            | Kind::Scale
    );
    let moves = |n: ReplicasChange| n.old.is_some() && n.new.is_some() && n.old != n.new;
    let is_replacement = change.old().is_none() && case.predecessor().is_some();
    is_kept && (change.template_changed() || change.replicas().is_some_and(moves) || is_replacement)
}

impl Limit {
    fn since(self, now: Timestamp) -> Timestamp {
        now.checked_sub(SignedDuration::from_secs(self.seconds)).unwrap_or(Timestamp::MIN)
    }

    fn spent(
        self,
        case: &Case<'_>,
        whose: &str,
        made: usize,
        oldest: Option<Timestamp>,
    ) -> Option<Finding> {
        if made < self.changes {
            return None;
        }
        let left = i128::from(self.seconds) * 1000 - oldest.map_or(0, |at| case.passed_since(at));
        let retry = seconds_up(left.max(1));
        let Self { changes, seconds } = self;
        Some(Finding {
            rule: Rule::Budget,
            path: String::new(),
            message: format!(
                "{whose} changed {made} times in the last {seconds} s and may {changes} times; retry in {retry} s"
            ),
            retry_after: Some(retry),
            refuses: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use smartops_change::Operation;

    use super::*;
    use crate::facts::{Facts, Watched};
    use crate::history::{Record, Sight, Via};
    use crate::policy::{Applied, OperationName};
    use crate::rules::RulesSpec;
    use crate::sample;

    fn limit(changes: i32, window_seconds: i32) -> LimitSpec {
        LimitSpec { changes, window_seconds }
    }

    fn policy(per_target: Option<LimitSpec>, per_namespace: Option<LimitSpec>) -> Applied {
        let mut spec = sample::baseline();
        spec.rules = RulesSpec {
            budget: Some(BudgetSpec { per_target, per_namespace }),
            ..RulesSpec::default()
        };
        spec.match_.kinds.truncate(1);
        spec.match_.operations = vec![OperationName::Update];
        sample::applied("spend", &spec)
    }

    fn ago(seconds: i64) -> Timestamp {
        sample::now() - SignedDuration::from_secs(seconds)
    }

    /// A workload whose number changed that many seconds ago, each time.
    fn changed(seconds: &[i64]) -> Record {
        let sight = |generation, replicas| Sight {
            generation,
            template: sample::QUIET.template,
            replicas: Some(replicas),
        };
        let mut record = sample::QUIET;
        for (nth, seconds) in (1..).zip(seconds) {
            record =
                Record::after(Some(&record), sight(7 + nth, 3 + nth), Via::Event, ago(*seconds));
        }
        record
    }

    #[test]
    fn a_target_may_change_so_often_in_a_while_and_then_waits_for_the_oldest_to_pass() {
        let policies = [policy(Some(limit(2, 60)), None)];
        for (seconds, expected) in
            [(&[50, 20][..], Some(10)), (&[70, 20], None), (&[20], None), (&[], None)]
        {
            let record = changed(seconds);
            let facts = Facts { watched: Watched::Seen(&record), ..sample::facts(&policies) };
            let verdict = sample::verdict_with(&sample::replicas(3, 4), &sample::person(), &facts);
            let retry = verdict.denial().map(|d| d.retry_after_seconds.unwrap());
            assert_eq!(retry, expected, "{seconds:?}");
        }
    }

    #[test]
    fn the_workloads_of_a_namespace_share_a_budget() {
        let policies = [policy(None, Some(limit(2, 60)))];
        for (seconds, denied) in [(&[50, 20][..], true), (&[70, 20], false)] {
            let mut namespace = NamespaceRecord::new();
            for seconds in seconds {
                namespace.note(ago(*seconds));
            }
            let facts = Facts { namespace: Some(&namespace), ..sample::facts(&policies) };
            let verdict = sample::verdict_with(&sample::replicas(3, 4), &sample::person(), &facts);
            assert_eq!(verdict.denial().is_some(), denied, "{seconds:?}");
        }
    }

    #[test]
    fn a_change_beside_template_and_number_costs_nothing() {
        let policies = [policy(Some(limit(1, 60)), None)];
        let record = changed(&[20]);
        let facts = Facts { watched: Watched::Seen(&record), ..sample::facts(&policies) };
        let pause = sample::Write::update(
            "",
            &sample::deployment(r#"{"replicas":3}"#),
            &sample::deployment(r#"{"replicas":3,"paused":true}"#),
        );
        assert_eq!(sample::verdict_with(&pause, &sample::person(), &facts).denial(), None);
        assert!(
            sample::verdict_with(&sample::restart(), &sample::person(), &facts).denial().is_some()
        );
    }

    #[test]
    fn what_is_no_change_passes_though_the_budget_is_spent() {
        let mut spec = sample::baseline();
        let budget = BudgetSpec { per_target: None, per_namespace: Some(limit(1, 60)) };
        spec.rules = serde_json::from_str(r#"{"deletion":{"allow":"Unused"}}"#).unwrap();
        spec.rules.budget = Some(budget);
        spec.match_.kinds.truncate(1);
        spec.match_.operations =
            vec![OperationName::Create, OperationName::Update, OperationName::Delete];
        let policies = [sample::applied("spend", &spec)];
        let mut namespace = NamespaceRecord::new();
        namespace.note(ago(20));
        let mut idle = sample::Write::of(Operation::Delete, "apps", "deployments");
        idle.old = Some(sample::deployment(r#"{"replicas":0}"#));
        let first = sample::Write::of(Operation::Create, "apps", "deployments");
        for (write, watched, denied) in [
            (idle, Watched::Seen(&sample::QUIET), false),
            (
                sample::Write::of(Operation::Create, "apps", "deployments"),
                Watched::Replaced(&sample::QUIET),
                true,
            ),
            (first, Watched::Unseen, false),
        ] {
            let namespace = Some(&namespace);
            let facts = Facts { watched, namespace, ..sample::facts(&policies) };
            let verdict = sample::verdict_with(&write, &sample::person(), &facts);
            assert_eq!(verdict.denial().is_some(), denied, "{}", write.operation);
        }
    }

    #[test]
    fn a_budget_that_says_nothing_or_more_than_is_kept_is_a_flaw() {
        for (spec, flawed) in [
            (BudgetSpec::default(), true),
            (BudgetSpec { per_target: Some(limit(64, 60)), per_namespace: None }, true),
            (
                BudgetSpec { per_target: Some(limit(63, 60)), per_namespace: Some(limit(255, 60)) },
                false,
            ),
            (BudgetSpec { per_target: None, per_namespace: Some(limit(1, 0)) }, true),
        ] {
            let mut flaws = Vec::new();
            Budget::compile(&spec, &mut flaws);
            assert_eq!(!flaws.is_empty(), flawed, "{spec:?}");
        }
    }
}
