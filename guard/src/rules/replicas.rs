//! How many replicas there may be: minimum, maximum and step, on whatever has such a number, on its Scale and, for the
//! bounds, on a HorizontalPodAutoscaler. Only what gets worse is refused: what already lies outside may move towards
//! the range. A step may hold over a while, so that a burst of small ones is one large one.

use jiff::{SignedDuration, Timestamp};
use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smartops_change::{Change, Kind, NumberPath, ReplicasChange};
use smartops_common::denial::Rule;

use super::Case;
use super::evidence::{Evidence, seconds_up, unknown};
use crate::findings::Finding;
use crate::history::Record;
use crate::judge::Needs;
use crate::policy::{Flaw, Reach};
use crate::wording::Wording;

mod backstop;

/// What is said of a number that is not allowed: why, and what to ask for.
const ASK: Wording = Wording::new("{}: {}; ask for at {} {}");
const MOVED: Wording = Wording::new("{} {} → {}");
const MADE: Wording = Wording::new("{} {}");
const MAXIMUM: Wording = Wording::new("the maximum is {}");
const MINIMUM: Wording = Wording::new("the minimum is {}");
const STEP: Wording = Wording::new("one write may move it by at most {}");

/// How many replicas there may be, and how far one write may move them.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = kube_core::Rule::new("!has(self.min) || !has(self.max) || self.min <= self.max").message("min must not be above max"),
    validation = kube_core::Rule::new("!has(self.stepWindowSeconds) || has(self.maxStep)").message("stepWindowSeconds needs a maxStep")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplicasSpec {
    /// At least so many; also the least `minReplicas` of an autoscaler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub min: Option<i32>,
    /// At most so many; also the greatest `maxReplicas` of an autoscaler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub max: Option<i32>,
    /// One update moves the number by at most so many, except towards the range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_step: Option<i32>,
    /// The step holds over so many seconds: it is measured from the number that stood so long ago as well as from the
    /// number that stands now. Absent means each update by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub step_window_seconds: Option<i32>,
    /// What becomes of a number that is not allowed. An autoscaler's bounds are refused in either case.
    #[serde(default)]
    pub on_violation: OnViolation,
}

/// What becomes of a number that is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum OnViolation {
    /// The write is refused.
    #[default]
    Deny,
    /// The number is brought to the nearest one allowed.
    Clamp,
}

/// The rule, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Replicas {
    min: i64,
    max: i64,
    step: i64,
    window: Option<i64>,
    on_violation: OnViolation,
}

/// Why a number is not allowed, and the nearest one that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) limit: String,
    pub(crate) nearest: i64,
}

impl Replicas {
    pub(super) fn compile(spec: &ReplicasSpec, flaws: &mut Vec<Flaw>) -> Self {
        let field = "spec.rules.replicas";
        if spec.min.zip(spec.max).is_some_and(|(min, max)| min > max) {
            flaws.push(Flaw::new(field, "min is above max; min must not be above max"));
        }
        if spec.min.is_some_and(|n| n < 0) || spec.max.is_some_and(|n| n < 0) {
            flaws.push(Flaw::new(field, "min or max is below 0; both must be 0 or more"));
        }
        if spec.max_step.is_some_and(|n| n < 1) {
            flaws.push(Flaw::new(field, "maxStep is below 1; it must be 1 or more"));
        }
        if spec.step_window_seconds.is_some_and(|n| !(1..=86_400).contains(&n)) {
            let reason = "stepWindowSeconds is out of range; it must be 1 to 86400";
            flaws.push(Flaw::new(field, reason));
        }
        if spec.step_window_seconds.is_some() && spec.max_step.is_none() {
            flaws.push(Flaw::new(field, "stepWindowSeconds needs a maxStep that holds so long"));
        }
        Self {
            min: spec.min.map_or(0, i64::from),
            max: spec.max.map_or(i64::MAX, i64::from),
            step: spec.max_step.map_or(i64::MAX, i64::from),
            window: spec.step_window_seconds.map(i64::from),
            on_violation: spec.on_violation,
        }
    }

    pub(crate) fn on_violation(&self) -> OnViolation {
        self.on_violation
    }

    /// Whether a number is brought to one that is allowed.
    pub(crate) fn clamps(&self) -> bool {
        self.on_violation == OnViolation::Clamp
    }

    /// The same bounds, and any way to them.
    pub(crate) fn without_step(self) -> Self {
        Self { step: i64::MAX, window: None, ..self }
    }

    /// Whether the step holds over a while.
    pub(crate) fn has_window(&self) -> bool {
        self.window.is_some()
    }

    /// Why `new` replicas are not allowed where there were `old`; a creation has none.
    /// A step binds automation also on the way back into the range, from the range's nearer end on; people come back in
    /// one step.
    pub(crate) fn violation(
        &self,
        old: Option<i64>,
        new: i64,
        is_automation: bool,
    ) -> Option<Violation> {
        if old == Some(new) {
            return None;
        }
        let was_above = old.filter(|old| *old > self.max);
        let was_below = old.filter(|old| *old < self.min);
        if new > self.max {
            let worse = was_above.is_none_or(|old| new > old);
            let limit = MAXIMUM.say(&[&self.max]);
            return worse
                .then(|| Violation { limit, nearest: self.nearest(old, new, is_automation) });
        }
        if new < self.min {
            let worse = was_below.is_none_or(|old| new < old);
            let limit = MINIMUM.say(&[&self.min]);
            return worse
                .then(|| Violation { limit, nearest: self.nearest(old, new, is_automation) });
        }
        let bound = self.step_from(old, is_automation)?;
        (new.abs_diff(bound) > self.step.unsigned_abs()).then(|| Violation {
            limit: STEP.say(&[&self.step]),
            nearest: self.nearest(old, new, is_automation),
        })
    }

    /// The allowed number nearest to `new`.
    fn nearest(&self, old: Option<i64>, new: i64, is_automation: bool) -> i64 {
        let within = new.clamp(self.min, self.max);
        match (old, self.step_from(old, is_automation)) {
            // Further out than it already is: leave it where it is.
            (Some(old), _) if (old > self.max && new > old) || (old < self.min && new < old) => old,
            (_, Some(from)) => {
                within.clamp(from.saturating_sub(self.step), from.saturating_add(self.step))
            }
            _ => within,
        }
    }

    /// From where the step is measured, if it binds at all.
    fn step_from(&self, old: Option<i64>, is_automation: bool) -> Option<i64> {
        let within = old?.clamp(self.min, self.max);
        (is_automation || Some(within) == old).then_some(within)
    }

    pub(super) fn judge(
        &self,
        case: &Case<'_>,
        reach: Reach,
        place: Option<&NumberPath>,
        found: &mut Vec<Finding>,
    ) -> Result<(), Needs> {
        self.judge_bounds(case.change, found);
        let (number, path) = match number(case.change, place) {
            Ok(Some(number)) => number,
            Ok(None) => return Ok(()),
            Err(error) => {
                found.push(refusal("", format!("the number of replicas cannot be read: {error}")));
                return Ok(());
            }
        };
        let Some(new) = number.new else { return Ok(()) };
        let old = number.old.filter(|_| !case.enters(reach));
        let old = old.or_else(|| case.predecessor().and_then(|record| record.replicas));
        if let Some(Violation { limit, nearest }) =
            self.violation(old, new, case.subject.is_automation())
        {
            let moved = moved(path, old, new);
            let side = if new > nearest { "most" } else { "least" };
            found.push(refusal(path, ASK.say(&[&moved, &limit, &side, &nearest])));
            return Ok(());
        }
        self.judge_window(case, path, old, new, found)
    }

    /// The step over a while.
    fn judge_window(
        &self,
        case: &Case<'_>,
        path: &str,
        old: Option<i64>,
        new: i64,
        found: &mut Vec<Finding>,
    ) -> Result<(), Needs> {
        let Some(window) = self.window.filter(|_| old.is_some_and(|old| old != new)) else {
            return Ok(());
        };
        let evidence = case.evidence()?;
        if let Some(record) = evidence.record()
            && let Some(finding) = self.judge_past(case, record, window, (path, old, new))
        {
            found.push(finding);
            return Ok(());
        }
        match evidence {
            Evidence::Behind(_) => found.push(case.just_now(Rule::Replicas, path)),
            Evidence::Unknown => found.push(unknown(path, "what the number was before")),
            Evidence::Whole(_) | Evidence::Nothing => {}
        }
        Ok(())
    }

    /// The step from the number that stood when the window began.
    fn judge_past(
        &self,
        case: &Case<'_>,
        record: &Record,
        window: i64,
        (path, old, new): (&str, Option<i64>, i64),
    ) -> Option<Finding> {
        let is_automation = case.subject.is_automation();
        let Violation { nearest, .. } =
            self.window_violation(record, case.now, old, new, is_automation)?;
        let since = since(case.now, window);
        let then = record.replicas_at(since).unwrap_or(new);
        let oldest = record.oldest_change_after(since);
        let left = i128::from(window) * 1000 - oldest.map_or(0, |at| case.passed_since(at));
        let retry = seconds_up(left.max(1));
        let moved = moved(path, old, new);
        let side = if new > nearest { "most" } else { "least" };
        let message = format!(
            "{moved}: it was {then} less than {window} s ago and may move by at most {} in that time; ask for at {side} {nearest} or retry in {retry} s",
            self.step
        );
        Some(Finding { retry_after: Some(retry), ..refusal(path, message) })
    }

    /// Why `new` replicas are too far from the number that stood when the window began.
    pub(crate) fn window_violation(
        &self,
        record: &Record,
        now: Timestamp,
        old: Option<i64>,
        new: i64,
        is_automation: bool,
    ) -> Option<Violation> {
        let since = since(now, self.window?);
        let then = record.replicas_at(since)?;
        // More changes in that time than are kept: from where it came cannot be told, so it stays where it is.
        if let Some(old) = old.filter(|_| !record.reaches(since)) {
            let limit = "it changed too often in that time".to_owned();
            return Some(Violation { limit, nearest: old });
        }
        // Back towards where it was is no burst.
        if old.is_some_and(|old| new.abs_diff(then) <= old.abs_diff(then)) {
            return None;
        }
        let from = self.step_from(Some(then), is_automation)?;
        (new.abs_diff(from) > self.step.unsigned_abs()).then(|| Violation {
            limit: STEP.say(&[&self.step]),
            nearest: new
                .clamp(from.saturating_sub(self.step), from.saturating_add(self.step))
                .clamp(self.min, self.max),
        })
    }

    /// An autoscaler's bounds.
    fn judge_bounds(&self, change: &Change<'_>, found: &mut Vec<Finding>) {
        let Some((old, Some(new))) = change.bounds().map(|b| (b.old, b.new)) else { return };
        let least = old.map(|b| b.min);
        if new.min < self.min && least.is_none_or(|old| new.min < old || old >= self.min) {
            let moved = moved("spec.minReplicas", least, new.min);
            let text = ASK.say(&[&moved, &MINIMUM.say(&[&self.min]), &"least", &self.min]);
            found.push(refusal("spec.minReplicas", text));
        }
        let most = old.map(|b| b.max);
        if new.max > self.max && most.is_none_or(|old| new.max > old || old <= self.max) {
            let moved = moved("spec.maxReplicas", most, new.max);
            let text = ASK.say(&[&moved, &MAXIMUM.say(&[&self.max]), &"most", &self.max]);
            found.push(refusal("spec.maxReplicas", text));
        }
    }
}

fn since(now: Timestamp, seconds: i64) -> Timestamp {
    now.checked_sub(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MIN)
}

/// The number of replicas and its path: the kind's own, or where the policy says a custom resource keeps it.
pub(crate) fn number<'p>(
    change: &Change<'_>,
    place: Option<&'p NumberPath>,
) -> Result<Option<(ReplicasChange, &'p str)>, smartops_change::Error> {
    if let Some(path) = place.filter(|_| change.kind() != Kind::Scale) {
        return Ok(change.number_at(path)?.map(|number| (number, path.as_str())));
    }
    Ok(change.replicas().zip(change.replicas_path()))
}

fn moved(field: &str, old: Option<i64>, new: i64) -> String {
    old.map_or_else(|| MADE.say(&[&field, &new]), |old| MOVED.say(&[&field, &old, &new]))
}

fn refusal(path: &str, message: String) -> Finding {
    Finding {
        rule: Rule::Replicas,
        path: path.to_owned(),
        message,
        retry_after: None,
        refuses: true,
    }
}

#[cfg(test)]
mod tests;
