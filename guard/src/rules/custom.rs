//! Rules of a policy's own, and the conditions under which a policy means a write at all, both in CEL. A rule must hold;
//! what becomes of one that fails to evaluate is its own to say. A condition that fails to evaluate never loosens.

use std::collections::BTreeSet;

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smartops_change::{Change, NumberPath, Operation, Request, Resource};
use smartops_common::denial::Rule;

use super::Case;
use super::evidence::unknown;
use crate::cel::{Expression, Held, Inputs};
use crate::facts::Whole;
use crate::findings::Finding;
use crate::judge::Needs;
use crate::policy::{ConditionSpec, Flaw};
use crate::verdict::shortened;

/// An expression that must be true of a write. It sees `object` (null on DELETE), `oldObject` (null on CREATE) and
/// `request`.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CustomSpec {
    /// Its name in denials, unique in the policy.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// True of what is fine.
    #[schemars(length(min = 1, max = 2048))]
    pub expression: String,
    /// What a denial says. Absent means a sentence that names the expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub message: Option<String>,
    /// An expression of what a denial says, before `message`, which remains for where it comes to no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub message_expression: Option<String>,
    /// What becomes of a write of which the expression cannot be evaluated.
    #[serde(default)]
    pub failure_policy: FailurePolicy,
}

/// What becomes of a write of which an expression cannot be evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum FailurePolicy {
    /// It is refused.
    #[default]
    Fail,
    /// It passes with a warning.
    Ignore,
}

/// The rules, checked.
#[derive(Debug, Clone)]
pub(crate) struct Custom(Vec<Own>);

#[derive(Debug, Clone)]
struct Own {
    name: String,
    expression: Expression,
    text: String,
    message: Option<String>,
    message_expression: Option<Expression>,
    failure_policy: FailurePolicy,
}

/// The conditions of a match, checked.
#[derive(Debug, Clone)]
pub(crate) struct Conditions(Vec<Expression>);

/// Most rules, and most conditions, of one policy.
const MOST: usize = 16;
/// Longest message. Characters.
const LONGEST_MESSAGE: usize = 500;

impl Custom {
    pub(super) fn compile(specs: &[CustomSpec], flaws: &mut Vec<Flaw>) -> Self {
        let field = "spec.rules.custom";
        check_names(field, specs.iter().map(|spec| spec.name.as_str()), flaws);
        let own = specs.iter().enumerate().filter_map(|(place, spec)| {
            let field = format!("{field}[{place}]");
            let expression = compiled(&spec.expression, || format!("{field}.expression"), flaws);
            let message_expression = spec
                .message_expression
                .as_deref()
                .and_then(|text| compiled(text, || format!("{field}.messageExpression"), flaws));
            Some(Own {
                name: spec.name.clone(),
                expression: expression?,
                text: one_line(&spec.expression),
                message: spec.message.as_deref().map(one_line),
                message_expression,
                failure_policy: spec.failure_policy,
            })
        });
        Self(own.collect())
    }

    pub(super) fn judge(&self, case: &Case<'_>, found: &mut Vec<Finding>) {
        found.extend(self.0.iter().filter_map(|own| own.judge(case.inputs)));
    }

    /// Judges the Scale of an object the policy names by what the object would be with that number. `place` is where a
    /// custom resource keeps it.
    pub(super) fn judge_scale(
        &self,
        case: &Case<'_>,
        place: Option<&NumberPath>,
        found: &mut Vec<Finding>,
    ) -> Result<(), Needs> {
        if self.0.is_empty() {
            return Ok(());
        }
        let old = match case.facts.whole {
            Whole::NotAsked => return Err(Needs::WHOLE),
            Whole::Known(text) => text,
            Whole::Unavailable => {
                found.push(unknown("", "the object that is scaled"));
                return Ok(());
            }
        };
        let scale = case.change;
        let pointer = place.map_or_else(|| "/spec/replicas".to_owned(), NumberPath::pointer);
        let new = scale.replicas().and_then(|n| n.new).and_then(|n| scaled(old, &pointer, n));
        let resource = Resource { subresource: "", ..scale.resource() };
        let request = Request {
            operation: Operation::Update,
            resource,
            namespace: scale.namespace(),
            name: scale.name(),
            old: Some(old),
            new: new.as_deref(),
        };
        match Change::read(request) {
            Ok(change) => {
                let inputs = Inputs::new(&change, case.subject);
                found.extend(self.0.iter().filter_map(|own| own.judge(&inputs)));
            }
            Err(_) => found.push(unknown("", "the object that is scaled")),
        }
        Ok(())
    }
}

/// The text of an object with another number; `None` where it is no object with such a place.
fn scaled(object: &str, pointer: &str, number: i64) -> Option<String> {
    let mut object: serde_json::Value = serde_json::from_str(object).ok()?;
    let (parent, key) = pointer.rsplit_once('/')?;
    object.pointer_mut(parent)?.as_object_mut()?.insert(key.to_owned(), number.into());
    Some(object.to_string())
}

impl Own {
    fn judge(&self, inputs: &Inputs<'_>) -> Option<Finding> {
        let (message, refuses) = match self.expression.evaluate_bool(inputs) {
            Ok(true) => return None,
            Ok(false) => (self.message(inputs), true),
            Err(error) => (
                format!(
                    "{} could not be evaluated: {error}; ask an operator to correct the expression",
                    self.name
                ),
                self.failure_policy == FailurePolicy::Fail,
            ),
        };
        Some(Finding {
            rule: Rule::Custom,
            path: self.name.clone(),
            message: shortened(&message, LONGEST_MESSAGE),
            retry_after: None,
            refuses,
        })
    }

    fn message(&self, inputs: &Inputs<'_>) -> String {
        let made = self.message_expression.as_ref().and_then(|e| e.evaluate_text(inputs).ok());
        made.map(|text| one_line(&text))
            .filter(|text| !text.is_empty())
            .or_else(|| self.message.clone())
            .unwrap_or_else(|| {
                format!(
                    "{} does not hold: {}; change the write so that it does or ask an operator",
                    self.name, self.text
                )
            })
    }
}

impl Conditions {
    /// Checks the conditions of `spec.match`.
    pub(crate) fn compile(specs: &[ConditionSpec], flaws: &mut Vec<Flaw>) -> Self {
        let field = "spec.match.conditions";
        check_names(field, specs.iter().map(|spec| spec.name.as_str()), flaws);
        let conditions = specs.iter().enumerate().filter_map(|(place, spec)| {
            compiled(&spec.expression, || format!("{field}[{place}].expression"), flaws)
        });
        Self(conditions.collect())
    }

    /// Whether all of them hold. One that does not decides, whatever becomes of the others.
    pub(crate) fn hold(&self, inputs: &Inputs<'_>) -> Held {
        let mut held = Held::Yes;
        for condition in &self.0 {
            match condition.evaluate_bool(inputs) {
                Ok(true) => {}
                Ok(false) => return Held::No,
                Err(_) => held = Held::Unknown,
            }
        }
        held
    }
}

fn compiled(text: &str, field: impl Fn() -> String, flaws: &mut Vec<Flaw>) -> Option<Expression> {
    Expression::compile(text).map_err(|reason| flaws.push(Flaw::new(field(), reason))).ok()
}

fn check_names<'a>(field: &str, names: impl Iterator<Item = &'a str>, flaws: &mut Vec<Flaw>) {
    let mut met = BTreeSet::new();
    let mut count = 0;
    for (place, name) in names.enumerate() {
        count += 1;
        if !is_label(name) {
            let reason = format!(
                "{name:?} is no name; write up to 63 lower case letters, digits and hyphens, as in no-host-network"
            );
            flaws.push(Flaw::new(format!("{field}[{place}].name"), reason));
        } else if !met.insert(name) {
            let reason = format!("{name:?} stands twice; name each differently");
            flaws.push(Flaw::new(format!("{field}[{place}].name"), reason));
        }
    }
    if count > MOST {
        flaws.push(Flaw::new(field, format!("has {count} entries; at most {MOST} are allowed")));
    }
}

fn is_label(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(fits)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// A text fit for a message: on one line and not too long.
fn one_line(text: &str) -> String {
    let text = text.trim().replace(|c: char| c.is_control(), " ");
    shortened(&text, LONGEST_MESSAGE)
}

#[cfg(test)]
#[cfg(feature = "cel")]
mod tests;
