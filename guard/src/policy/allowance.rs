//! Which exceptions a policy allows: whether any, for how long, and who may write them. What an exception says, and
//! what it is for, is `exception`'s.

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smartops_common::denial::Rule;

use super::compile::Flaw;
use crate::exception::Liftable;
use crate::rules::RulesSpec;

/// Hours an exception may last unless the policy says otherwise.
const HOURS: u16 = 24;
/// Hours a policy may allow at most: thirty days.
const MOST_HOURS: u16 = 720;

/// Which exceptions from a policy there may be.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExceptionsSpec {
    /// Whether there may be any.
    #[serde(default = "allowed")]
    pub allowed: bool,
    /// How many hours after it was made an exception ends at the latest.
    #[serde(default = "hours")]
    #[schemars(range(min = 1, max = MOST_HOURS))]
    pub max_hours: u16,
    /// Groups whose members may write exceptions from this policy; empty means everybody whom RBAC lets. Automation
    /// never may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub writer_groups: Vec<String>,
}

impl Default for ExceptionsSpec {
    fn default() -> Self {
        Self { allowed: allowed(), max_hours: hours(), writer_groups: Vec::new() }
    }
}

fn allowed() -> bool {
    true
}

fn hours() -> u16 {
    HOURS
}

/// Which exceptions a policy allows, checked.
#[derive(Debug, Clone)]
pub(crate) struct Allowance {
    pub(crate) is_allowed: bool,
    pub(crate) hours: u16,
    pub(crate) writer_groups: Vec<String>,
    /// The rules there are to be lifted.
    pub(crate) rules: Vec<Rule>,
}

impl Allowance {
    pub(super) fn compile(spec: &ExceptionsSpec, rules: &RulesSpec, flaws: &mut Vec<Flaw>) -> Self {
        if !(1..=MOST_HOURS).contains(&spec.max_hours) {
            let reason = format!("is {}; give 1 to {MOST_HOURS}", spec.max_hours);
            flaws.push(Flaw::new("spec.exceptions.maxHours", reason));
        }
        for (place, group) in spec.writer_groups.iter().enumerate() {
            if group.trim().is_empty() {
                let field = format!("spec.exceptions.writerGroups[{place}]");
                flaws.push(Flaw::new(field, "is empty; give a group or leave the entry out"));
            }
        }
        Self {
            is_allowed: spec.allowed,
            hours: spec.max_hours,
            writer_groups: spec.writer_groups.clone(),
            rules: rules.given(),
        }
    }

    /// Whether an exception may lift a rule of the policy.
    pub(crate) fn lifts(&self, rule: Rule) -> bool {
        self.is_allowed && self.rules.contains(&rule) && Liftable::is(rule)
    }

    /// How long after it was made an exception ends at the latest.
    pub(crate) fn longest(&self) -> SignedDuration {
        SignedDuration::from_hours(self.hours.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::compile;
    use crate::sample;

    #[test]
    fn a_policy_says_for_how_long_and_by_whom_and_nothing_that_could_not_be() {
        let group = |name: &str| vec![name.to_owned()];
        let good = ExceptionsSpec::default();
        for (exceptions, wrong) in [
            (good.clone(), None),
            (ExceptionsSpec { max_hours: 1, ..good.clone() }, None),
            (ExceptionsSpec { max_hours: 0, ..good.clone() }, Some("spec.exceptions.maxHours")),
            (ExceptionsSpec { max_hours: 720, ..good.clone() }, None),
            (ExceptionsSpec { max_hours: 721, ..good.clone() }, Some("spec.exceptions.maxHours")),
            (ExceptionsSpec { writer_groups: group("ops"), ..good.clone() }, None),
            (
                ExceptionsSpec { writer_groups: group(" "), ..good },
                Some("spec.exceptions.writerGroups[0]"),
            ),
        ] {
            let mut spec = sample::baseline();
            spec.exceptions = exceptions.clone();
            let flaws = compile("p", &spec).map_or_else(|error| error.flaws, |_| Vec::new());
            let fields: Vec<_> = flaws.iter().map(|flaw| flaw.field.as_str()).collect();
            assert_eq!(fields, Vec::from_iter(wrong), "{exceptions:?}");
        }
    }

    #[test]
    fn what_is_not_said_is_allowed_for_a_day() {
        let read: ExceptionsSpec = serde_json::from_str("{}").unwrap();
        assert_eq!(read, ExceptionsSpec::default());
        assert_eq!((read.allowed, read.max_hours), (true, 24));
    }
}
