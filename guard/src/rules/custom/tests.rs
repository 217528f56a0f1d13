//! Rules and conditions of a policy's own. What the language says is tested beside the language.

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
    assert_eq!((finding.rule, finding.path.as_str(), finding.refuses), (Rule::Custom, "own", true));
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
    for (failure_policy, refuses) in [(FailurePolicy::Fail, true), (FailurePolicy::Ignore, false)] {
        let spec = CustomSpec { failure_policy, ..own("object.spec.missing == 1") };
        let finding = found(&spec, &scaled(4)).remove(0);
        assert_eq!(finding.refuses, refuses);
        assert!(finding.message.starts_with("own could not be evaluated: there is no field"));
    }
}

#[test]
fn under_a_policy_a_failed_rule_denies_and_an_ignored_one_warns() {
    for (failure_policy, denied) in [(FailurePolicy::Fail, true), (FailurePolicy::Ignore, false)] {
        let mut spec = sample::baseline();
        spec.rules.custom = vec![CustomSpec { failure_policy, ..own("object.spec.missing == 1") }];
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
    spec.match_.conditions = vec![ConditionSpec { name: "c".into(), expression: "nope".into() }];
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
