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
mod tests {
    use smartops_change::Operation;

    use super::*;
    use crate::facts::Facts;
    use crate::judge::{Judgement, judge};
    use crate::policy::compile;
    use crate::rules::RulesSpec;
    use crate::sample::{self, Write};

    fn own(expression: &str) -> CustomSpec {
        CustomSpec {
            name: "own".to_owned(),
            expression: expression.to_owned(),
            message: None,
            message_expression: None,
            failure_policy: FailurePolicy::Fail,
        }
    }

    fn found(spec: &CustomSpec, write: &Write) -> Vec<Finding> {
        let mut flaws = Vec::new();
        let custom = Custom::compile(std::slice::from_ref(spec), &mut flaws);
        assert_eq!(flaws, []);
        let (change, person) = (write.change(), sample::person());
        let inputs = Inputs::new(&change, &person);
        custom.0.iter().filter_map(|own| own.judge(&inputs)).collect()
    }

    fn scaled(replicas: i64) -> Write {
        let object = |n: i64| sample::deployment(&format!(r#"{{"replicas":{n}}}"#));
        Write::update("", &object(3), &object(replicas))
    }

    #[test]
    fn a_rule_refuses_what_it_is_false_of_and_nothing_else() {
        let odd = own("object.spec.replicas % 2 == 1");
        assert_eq!(found(&odd, &scaled(5)), []);
        let finding = found(&odd, &scaled(4)).remove(0);
        assert_eq!(
            (finding.rule, finding.path.as_str(), finding.refuses),
            (Rule::Custom, "own", true)
        );
        assert_eq!(
            finding.message,
            "own does not hold: object.spec.replicas % 2 == 1; change the write so that it does or ask an operator"
        );
    }

    #[test]
    fn a_message_expression_speaks_before_the_message_and_the_message_where_it_comes_to_nothing() {
        let mut spec = own("false");
        for (message, expression, expected) in [
            (Some("ask\nthe \u{7}owner"), None, "ask the  owner"),
            (Some("no"), Some("'not ' + string(object.spec.replicas)"), "not 4"),
            (Some("no"), Some("object.spec.missing"), "no"),
            (Some("no"), Some("' '"), "no"),
            (Some("no"), Some("'a\\nb'"), "a b"),
            (
                None,
                Some("object.spec.replicas"),
                "own does not hold: false; change the write so that it does or ask an operator",
            ),
        ] {
            spec.message = message.map(str::to_owned);
            spec.message_expression = expression.map(str::to_owned);
            assert_eq!(found(&spec, &scaled(4))[0].message, expected);
        }
        spec.message = Some("x".repeat(600));
        spec.message_expression = None;
        assert_eq!(found(&spec, &scaled(4))[0].message.chars().count(), 500);
    }

    #[test]
    fn a_rule_that_cannot_be_evaluated_refuses_or_warns_as_it_says() {
        for (failure_policy, refuses) in
            [(FailurePolicy::Fail, true), (FailurePolicy::Ignore, false)]
        {
            let spec = CustomSpec { failure_policy, ..own("object.spec.missing == 1") };
            let finding = found(&spec, &scaled(4)).remove(0);
            assert_eq!(finding.refuses, refuses);
            assert!(finding.message.starts_with("own could not be evaluated: there is no field"));
        }
    }

    #[test]
    fn under_a_policy_a_failed_rule_denies_and_an_ignored_one_warns() {
        for (failure_policy, denied) in
            [(FailurePolicy::Fail, true), (FailurePolicy::Ignore, false)]
        {
            let mut spec = sample::baseline();
            spec.rules.custom =
                vec![CustomSpec { failure_policy, ..own("object.spec.missing == 1") }];
            let policies = [sample::applied("p", &spec)];
            let facts = sample::facts(&policies);
            let verdict = sample::verdict_with(&scaled(4), &sample::person(), &facts);
            assert_eq!(verdict.denial().is_some(), denied);
            assert_eq!(verdict.warnings.is_empty(), denied);
        }
    }

    #[test]
    fn the_old_object_is_null_on_create_and_the_object_on_delete() {
        for (operation, expression) in [
            (Operation::Create, "oldObject == null && object.spec.replicas == 3"),
            (Operation::Delete, "object == null && oldObject.spec.replicas == 3"),
            (Operation::Update, "object != null && oldObject != null"),
        ] {
            let write = Write::of(operation, "apps", "deployments");
            assert_eq!(found(&own(expression), &write), [], "{expression}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_when_the_policy_is_written_with_its_field() {
        let mut spec = sample::baseline();
        spec.rules.custom = vec![
            CustomSpec { name: "Big".to_owned(), ..own("true") },
            own("object.spec.replicas <"),
            CustomSpec { message_expression: Some("self.name".to_owned()), ..own("true") },
        ];
        spec.match_.conditions =
            vec![ConditionSpec { name: "c".into(), expression: "nope".into() }];
        let error = compile("p", &spec).unwrap_err();
        let fields: Vec<&str> = error.flaws.iter().map(|f| f.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "spec.match.conditions[0].expression",
                "spec.rules.custom[0].name",
                "spec.rules.custom[2].name",
                "spec.rules.custom[1].expression",
                "spec.rules.custom[2].messageExpression",
            ]
        );
        let mut many = sample::baseline();
        many.rules.custom =
            (0..17).map(|n| CustomSpec { name: format!("n{n}"), ..own("true") }).collect();
        assert_eq!(compile("p", &many).unwrap_err().flaws[0].field, "spec.rules.custom");
    }

    #[test]
    fn conditions_hold_together_and_an_error_never_loosens() {
        let write = scaled(4);
        let (change, person) = (write.change(), sample::person());
        let inputs = Inputs::new(&change, &person);
        for (expressions, held) in [
            (vec![], Held::Yes),
            (vec!["true", "object.spec.replicas == 4"], Held::Yes),
            (vec!["true", "object.spec.replicas == 5"], Held::No),
            (vec!["object.spec.missing == 1", "true"], Held::Unknown),
            (vec!["object.spec.missing == 1", "false"], Held::No),
            (vec!["object.spec.replicas"], Held::Unknown),
        ] {
            let specs: Vec<ConditionSpec> = expressions
                .iter()
                .enumerate()
                .map(|(n, e)| ConditionSpec { name: format!("c{n}"), expression: (*e).to_owned() })
                .collect();
            let mut flaws = Vec::new();
            let conditions = Conditions::compile(&specs, &mut flaws);
            assert_eq!(flaws, []);
            assert_eq!(conditions.hold(&inputs), held, "{expressions:?}");
        }
    }

    #[test]
    fn a_scale_is_judged_by_what_its_object_would_be() {
        let mut spec = sample::baseline();
        spec.match_.kinds.truncate(1);
        let custom = vec![CustomSpec {
            name: "gold-is-even".into(),
            expression: "object.metadata.name != 'web' || object.spec.replicas % 2 == 0".into(),
            message: None,
            message_expression: None,
            failure_policy: FailurePolicy::Fail,
        }];
        spec.rules = RulesSpec { custom, ..RulesSpec::default() };
        let policies = [sample::applied("p", &spec)];
        let whole = sample::deployment(r#"{"replicas":3}"#);
        let facts = sample::facts(&policies);
        for (number, expected) in [(5, vec![Rule::Custom]), (4, vec![])] {
            let write = sample::scale(3, number);
            let judged = |whole| {
                let facts = Facts { whole, ..facts };
                judge(&write.change(), &sample::person(), &facts, sample::now())
            };
            assert_eq!(judged(Whole::NotAsked), Judgement::Needs(Needs::WHOLE));
            let rules = |judged| match judged {
                Judgement::Final(verdict) => {
                    let causes = verdict.denial().map(|d| d.causes.clone()).unwrap_or_default();
                    causes.iter().map(|cause| cause.rule).collect::<Vec<_>>()
                }
                Judgement::Needs(needs) => panic!("{needs:?}"),
            };
            assert_eq!(rules(judged(Whole::Known(&whole))), expected, "{number}");
            assert_eq!(rules(judged(Whole::Unavailable)), [Rule::Undecided]);
        }
    }
}
