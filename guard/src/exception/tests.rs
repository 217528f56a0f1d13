//! Which refusals an exception lifts, each beside its nearest twin that stays refused.

use serde_json::{Value, json};
use smartops_change::Operation;
use smartops_common::denial::Rule;

use super::*;
use crate::amend::amend;
use crate::facts::{Facts, Related, RelatedObject, Relation, Whole};
use crate::judge::{Judgement, judge};
use crate::policy::{Applied, GuardrailPolicySpec, Mode};
use crate::sample::{self, Write};
use crate::subject::Subject;
use crate::verdict::{Effect, Verdict};

/// Ends ten minutes after what the samples call now; `changed` over what every test starts from.
fn spec(changed: &Value) -> GuardrailExceptionSpec {
    let mut spec = json!({
        "policy": "smartops-baseline", "rules": ["replicas"],
        "target": {"group": "apps", "kind": "Deployment", "name": "web"},
        "reason": "the sale", "ticket": "T-1", "expiresAt": "2026-01-01T12:10:00Z",
    });
    for (key, value) in changed.as_object().unwrap() {
        spec[key] = value.clone();
    }
    serde_json::from_value(spec).unwrap()
}

fn made() -> Timestamp {
    "2026-01-01T11:50:00Z".parse().unwrap()
}

fn exception(name: &str, changed: &Value) -> Arc<Exception> {
    Arc::new(Exception::check("smartops-dev", name, made(), spec(changed)).unwrap())
}

fn verdict(
    write: &Write,
    subject: &Subject,
    policies: &[Applied],
    exceptions: &[Arc<Exception>],
) -> Verdict {
    let facts = Facts { exceptions, ..sample::facts(policies) };
    sample::verdict_with(write, subject, &facts)
}

/// What is still refused of a Deployment that goes from three to fifty.
fn refused(policies: &[Applied], exceptions: &[Arc<Exception>]) -> Vec<String> {
    let verdict = verdict(&sample::replicas(3, 50), &sample::person(), policies, exceptions);
    let causes = verdict.denial().map(|denial| denial.causes.clone()).unwrap_or_default();
    causes.iter().map(|cause| format!("{}/{}", cause.policy, cause.rule)).collect()
}

#[test]
fn it_lifts_exactly_its_rules_of_its_policy_for_its_object_and_subjects_while_it_lasts() {
    let target = |group: &str, kind: &str, name: &str| json!({"target": {"group": group, "kind": kind, "name": name}});
    for (changed, lifts) in [
        (json!({}), true),
        (json!({"rules": ["images"]}), false),
        (json!({"policy": "smartops-automation"}), false),
        (target("apps", "Deployment", "web-2"), false),
        (target("apps", "StatefulSet", "web"), false),
        (target("", "Deployment", "web"), false),
        (json!({"subjects": {"users": ["alice"]}}), true),
        (json!({"subjects": {"users": ["bob"]}}), false),
        (json!({"subjects": {"groups": ["system:authenticated"]}}), true),
        (json!({"subjects": {"groups": ["system:masters"]}}), false),
        (json!({"expiresAt": "2026-01-01T12:00:01Z"}), true),
        (json!({"expiresAt": "2026-01-01T12:00:00Z"}), false),
        (json!({"expiresAt": "2026-01-01T11:59:59Z"}), false),
        // Made at 11:50, and the policy allows a day.
        (json!({"expiresAt": "2026-01-02T11:50:00Z"}), true),
        (json!({"expiresAt": "2026-01-02T11:50:01Z"}), false),
    ] {
        let refused = refused(&sample::shipped_policies(), &[exception("sale", &changed)]);
        let expected: &[&str] = if lifts { &[] } else { &["smartops-baseline/replicas"] };
        assert_eq!(refused, expected, "{changed}");
    }
}

#[test]
fn it_ends_to_the_second() {
    let policies = sample::shipped_policies();
    // A fraction of a second more is none.
    let exceptions = [exception("sale", &json!({"expiresAt": "2026-01-01T12:10:00.9Z"}))];
    let facts = Facts { exceptions: &exceptions, ..sample::facts(&policies) };
    for (now, lifts) in [
        ("2026-01-01T12:09:59Z", true),
        ("2026-01-01T12:09:59.999Z", true),
        ("2026-01-01T12:10:00Z", false),
        ("2026-01-01T12:10:00.1Z", false),
    ] {
        let write = sample::replicas(3, 50);
        let judged = judge(&write.change(), &sample::person(), &facts, now.parse().unwrap());
        let Judgement::Final(verdict) = judged else { panic!("nothing is missing") };
        assert_eq!(verdict.denial().is_none(), lifts, "{now}");
    }
}

#[test]
fn what_is_lifted_is_told_once_a_rule_with_its_end_and_counted() {
    let exceptions = [exception("sale", &json!({"rules": ["replicas", "images"]}))];
    let policies = [sample::applied("smartops-baseline", &sample::baseline())];
    let verdict = verdict(&sample::scale(3, 50), &sample::person(), &policies, &exceptions);
    // Beside a rule the policy does not have nothing is lifted.
    assert!(verdict.denial().is_some());
    let exceptions = [exception("sale", &json!({}))];
    let verdict = self::verdict(&sample::scale(3, 50), &sample::person(), &policies, &exceptions);
    assert_eq!(
        verdict.warnings,
        ["smartops-baseline/replicas: excepted by smartops-dev/sale until 2026-01-01T12:10:00Z"]
    );
    let audit = [("excepted-by", "smartops-baseline/replicas by smartops-dev/sale")];
    assert_eq!(verdict.audit, audit.map(|(k, v)| (k.to_owned(), v.to_owned())));
    let outcomes: Vec<_> = verdict.outcomes.iter().map(|o| (o.rule, o.effect)).collect();
    assert_eq!(outcomes, [(Rule::Replicas, Effect::Except)]);
    assert_eq!(verdict.break_glass, None);
}

#[test]
fn of_long_names_the_warning_still_tells_the_end() {
    let policy = "p".repeat(200);
    let exceptions = [exception(&"e".repeat(200), &json!({"policy": policy}))];
    let policies = [sample::applied(&policy, &sample::baseline())];
    let verdict = verdict(&sample::scale(3, 50), &sample::person(), &policies, &exceptions);
    let [warning] = verdict.warnings.as_slice() else { panic!("{:?}", verdict.warnings) };
    assert!(warning.chars().count() <= 120 && warning.ends_with("until 2026-01-01T12:10:00Z"));
}

#[test]
fn of_two_exceptions_the_one_that_lasts_longest_is_named_and_rules_add_up() {
    let mut spec = sample::baseline();
    spec.rules.paths = serde_json::from_value(json!({"forbid": ["spec.replicas"]})).unwrap();
    let policies = [sample::applied("smartops-baseline", &spec)];
    let numbers = exception("numbers", &json!({}));
    let longer = exception("longer", &json!({"expiresAt": "2026-01-01T12:20:00Z"}));
    let paths = exception("paths", &json!({"rules": ["paths"]}));
    assert_eq!(refused(&policies, std::slice::from_ref(&numbers)), ["smartops-baseline/paths"]);
    assert_eq!(refused(&policies, std::slice::from_ref(&paths)), ["smartops-baseline/replicas"]);
    assert_eq!(refused(&policies, &[numbers.clone(), paths.clone()]), [] as [&str; 0]);
    for exceptions in [[numbers.clone(), longer.clone()], [longer, numbers]] {
        let verdict = verdict(
            &sample::scale(3, 50),
            &sample::person(),
            &sample::shipped_policies(),
            &exceptions,
        );
        assert!(verdict.warnings[0].contains("smartops-dev/longer"), "{:?}", verdict.warnings);
    }
}

#[test]
fn a_policy_that_allows_none_or_for_shorter_is_not_excepted_from() {
    for (exceptions, lifts) in
        [(json!({}), true), (json!({"allowed": false}), false), (json!({"maxHours": 1}), true)]
    {
        let mut spec = sample::baseline();
        spec.exceptions = serde_json::from_value(exceptions.clone()).unwrap();
        let policies = [sample::applied("smartops-baseline", &spec)];
        let refused = refused(&policies, &[exception("sale", &json!({}))]);
        assert_eq!(refused.is_empty(), lifts, "{exceptions}");
        if exceptions["maxHours"] == 1 {
            let long = exception("sale", &json!({"expiresAt": "2026-01-01T12:51:00Z"}));
            assert!(!self::refused(&policies, &[long]).is_empty());
        }
    }
}

#[test]
fn another_policys_refusal_stands() {
    let mut policies = sample::shipped_policies();
    policies.push(sample::applied("stricter", &sample::baseline()));
    let excepted = [exception("sale", &json!({}))];
    assert_eq!(refused(&policies, &excepted), ["stricter/replicas"]);
    policies.reverse();
    assert_eq!(refused(&policies, &excepted), ["stricter/replicas"]);
    let both = [excepted[0].clone(), exception("more", &json!({"policy": "stricter"}))];
    assert_eq!(refused(&policies, &both), [] as [&str; 0]);
}

#[test]
fn what_a_policy_only_warns_of_it_goes_on_warning_of() {
    let mut spec = sample::baseline();
    spec.mode = Mode::Warn;
    let policies = [sample::applied("smartops-baseline", &spec)];
    let exceptions = [exception("sale", &json!({}))];
    let verdict = verdict(&sample::scale(3, 50), &sample::person(), &policies, &exceptions);
    assert!(verdict.warnings[0].contains("the maximum is 10"), "{:?}", verdict.warnings);
}

#[test]
fn what_no_policy_names_what_cannot_be_judged_and_leaving_a_policy_are_lifted_by_nothing() {
    let all = json!([
        "images",
        "replicas",
        "resources",
        "paths",
        "deletion",
        "custom",
        "cooldown",
        "budget",
        "freeze"
    ]);
    let lifting =
        |policy: &str, rules: &Value| [exception("e", &json!({"policy": policy, "rules": rules}))];
    let delete = Write::of(Operation::Delete, "apps", "deployments");
    let given = json!(["replicas", "paths", "images", "cooldown"]);
    let verdict = verdict(
        &delete,
        &sample::automation(),
        &sample::shipped_policies(),
        &lifting("smartops-automation", &given),
    );
    assert_eq!(verdict.denial().unwrap().leading_rule(), Some(Rule::Unnamed));

    let mut spec = sample::baseline();
    spec.rules.paths = serde_json::from_value(json!({"forbid": ["spec..x"]})).unwrap();
    let policy = Arc::new(crate::policy::blind("bad", &spec));
    let policies = [Applied { policy, is_certain: true }];
    let verdict = self::verdict(
        &sample::scale(3, 4),
        &sample::person(),
        &policies,
        &lifting("bad", &json!(["replicas", "paths"])),
    );
    assert_eq!(verdict.denial().unwrap().leading_rule(), Some(Rule::Undecided));

    let mut spec = sample::baseline();
    spec.match_.objects = serde_json::from_value(json!({"matchLabels": {"keep": "yes"}})).unwrap();
    let labelled = |labels: &str| {
        format!(
            r#"{{"metadata":{{"name":"web","generation":7,"labels":{labels}}},"spec":{{"replicas":3}}}}"#
        )
    };
    let leaving = Write::update("", &labelled(r#"{"keep":"yes"}"#), &labelled("{}"));
    let policies = [sample::applied("smartops-baseline", &spec)];
    for rules in [json!(["replicas"]), all] {
        let exceptions = lifting("smartops-baseline", &rules);
        let verdict = self::verdict(&leaving, &sample::person(), &policies, &exceptions);
        assert_eq!(verdict.denial().unwrap().leading_rule(), Some(Rule::Selection));
    }
}

#[test]
fn automation_is_excepted_too_and_only_from_what_it_was_excepted_from() {
    let excepted = [exception("sale", &json!({"policy": "smartops-automation"}))];
    let mut policies = sample::shipped_policies();
    policies.truncate(1);
    let eleven = sample::replicas(10, 11);
    let denied = |exceptions: &[Arc<Exception>]| {
        verdict(&eleven, &sample::automation(), &policies, exceptions).denial().is_some()
    };
    assert!(denied(&[]) && !denied(&excepted));
}

#[test]
fn neighbours_are_lifted_where_the_policy_reached_them_through_the_object() {
    let mut deployments: GuardrailPolicySpec = sample::baseline();
    deployments.match_.kinds.truncate(1);
    let policies = [sample::applied("smartops-baseline", &deployments)];
    let exceptions = [exception("sale", &json!({}))];
    let owned = |name: &str| {
        format!(
            r#""ownerReferences":[{{"apiVersion":"apps/v1","kind":"Deployment","name":"{name}","uid":"d","controller":true}}]"#
        )
    };
    let set = |owner: &str, n: i64| {
        format!(r#"{{"metadata":{{"name":"web-1",{owner}}},"spec":{{"replicas":{n}}}}}"#)
    };
    let bounds = |name: &str, max: i64| {
        format!(
            r#"{{"metadata":{{"name":"h"}},"spec":{{"minReplicas":1,"maxReplicas":{max},"scaleTargetRef":{{"apiVersion":"apps/v1","kind":"Deployment","name":"{name}"}}}}}}"#
        )
    };
    let number = |n: i64| format!(r#"{{"metadata":{{"name":"web-1"}},"spec":{{"replicas":{n}}}}}"#);
    let above = |relation, name: &str, is_known: bool| RelatedObject {
        name: name.to_owned(),
        labels: is_known.then(Default::default),
        ..sample::relative(relation, "apps", "Deployment")
    };
    let (web, other) =
        ([above(Relation::Owner, "web", true)], [above(Relation::Owner, "api", true)]);
    let unknown = [above(Relation::Owner, "web", false)];
    let adopters = [above(Relation::Adopter, "web", true), above(Relation::Adopter, "api", true)];
    let none: [RelatedObject; 0] = [];
    let (ours, theirs) = (owned("web"), owned("api"));
    for (resource, old, new, objects, lifts) in [
        ("replicasets", set(&ours, 3), set(&ours, 50), &web[..], true),
        ("replicasets", set(&theirs, 3), set(&theirs, 50), &other, false),
        // Handed over from the one it is for to another.
        ("replicasets", set(&ours, 3), set(&theirs, 50), &web, false),
        // The Deployment it names was not found.
        ("replicasets", set(&ours, 3), set(&ours, 50), &unknown, false),
        ("replicasets", set(r#""labels":{}"#, 3), set(r#""labels":{}"#, 50), &adopters[..1], true),
        ("replicasets", set(r#""labels":{}"#, 3), set(r#""labels":{}"#, 50), &adopters, false),
        ("replicasets/scale", number(3), number(50), &web, true),
        ("replicasets/scale", number(3), number(50), &other, false),
        ("horizontalpodautoscalers", bounds("web", 5), bounds("web", 50), &none, true),
        ("horizontalpodautoscalers", bounds("api", 5), bounds("api", 50), &none, false),
        ("horizontalpodautoscalers", bounds("web", 5), bounds("api", 50), &none, false),
        ("horizontalpodautoscalers", bounds("api", 5), bounds("web", 50), &none, false),
    ] {
        let group = if resource.starts_with("horizontal") { "autoscaling" } else { "apps" };
        let mut write = Write::of(Operation::Update, group, resource);
        let text = new.clone();
        (write.old, write.new) = (Some(old), Some(new));
        let related = Related::Known { objects, newest_pod: None };
        let facts = Facts { related, exceptions: &exceptions, ..sample::facts(&policies) };
        let verdict = sample::verdict_with(&write, &sample::person(), &facts);
        assert_eq!(verdict.denial().is_none(), lifts, "{resource} {text}");
        let facts = Facts { exceptions: &[], ..facts };
        let without = sample::verdict_with(&write, &sample::person(), &facts);
        assert!(without.denial().is_some(), "{resource} {text}");
    }
}

#[test]
fn of_a_kind_that_is_known_by_its_resource_alone_the_object_tells_the_kind() {
    let mut spec = sample::baseline();
    spec.match_.kinds = serde_json::from_value(json!([
        {"group": "shop.example", "version": "v1", "resource": "carts", "replicasPath": "spec.size"},
    ]))
    .unwrap();
    let policies = [sample::applied("smartops-baseline", &spec)];
    let target =
        |kind: &str| json!({"target": {"group": "shop.example", "kind": kind, "name": "web"}});
    let cart = |size: i64| {
        format!(r#"{{"kind":"Cart","metadata":{{"name":"web"}},"spec":{{"size":{size}}}}}"#)
    };
    let mut write = Write::of(Operation::Update, "shop.example", "carts");
    (write.old, write.new) = (Some(cart(3)), Some(cart(50)));
    for (kind, lifts) in [("Cart", true), ("Basket", false)] {
        let exceptions = [exception("sale", &target(kind))];
        let verdict = verdict(&write, &sample::person(), &policies, &exceptions);
        assert_eq!(verdict.denial().is_none(), lifts, "{kind}");
    }
    // Its Scale says nothing of it: the object is read.
    let scale = sample::scale(3, 50);
    let scale = Write { group: "shop.example", resource: "carts", ..scale };
    let exceptions = [exception("sale", &target("Cart"))];
    let facts = Facts { exceptions: &exceptions, ..sample::facts(&policies) };
    let judged = judge(&scale.change(), &sample::person(), &facts, sample::now());
    assert_eq!(judged, Judgement::Needs(Needs::WHOLE));
    let text = cart(3);
    for (whole, lifts) in [(Whole::Known(&text), true), (Whole::Unavailable, false)] {
        let verdict = sample::verdict_with(&scale, &sample::person(), &Facts { whole, ..facts });
        assert_eq!(verdict.denial().is_none(), lifts, "{whole:?}");
    }
}

#[test]
fn a_number_that_is_excepted_is_not_clamped() {
    let mut spec = sample::baseline();
    spec.rules.replicas =
        serde_json::from_value(json!({"max": 10, "onViolation": "Clamp"})).unwrap();
    let policies = [sample::applied("smartops-baseline", &spec)];
    let write = sample::replicas(3, 50);
    let exceptions = [exception("sale", &json!({}))];
    for (exceptions, clamps) in [(&exceptions[..], 0), (&[], 1)] {
        let facts = Facts { exceptions, ..sample::facts(&policies) };
        let amendment = amend(&write.change(), &sample::person(), &facts, sample::now()).unwrap();
        assert_eq!(amendment.ops.len(), clamps);
    }
}

#[test]
fn what_is_wrong_with_one_is_told_by_its_field() {
    let by_itself = |changed: &Value| {
        let checked = Exception::check("shop", "e", made(), spec(changed));
        checked.err().unwrap_or_default().into_iter().map(|f| f.field).collect::<Vec<_>>()
    };
    for (changed, field) in [
        (json!({"reason": " "}), "spec.reason"),
        (json!({"ticket": ""}), "spec.ticket"),
        (json!({"rules": []}), "spec.rules"),
        (json!({"policy": ""}), "spec.policy"),
        (json!({"subjects": {}}), "spec.subjects"),
        (json!({"target": {"kind": "Deployment", "name": ""}}), "spec.target.name"),
    ] {
        assert_eq!(by_itself(&changed), [field], "{changed}");
    }
    assert_eq!(by_itself(&json!({})), [] as [&str; 0]);
}

#[test]
fn what_its_policy_and_its_writer_may_not_is_told_by_its_field() {
    let mut spec = sample::baseline();
    spec.exceptions.writer_groups = vec!["ops".into()];
    let policy = crate::policy::compile("smartops-baseline", &spec).unwrap();
    let (ops, person) = (sample::subject("olga", &["ops"]), sample::person());
    for (changed, writer, fields) in [
        (json!({}), &ops, vec![]),
        (json!({}), &person, vec!["spec.policy"]),
        (json!({"rules": ["replicas", "images"]}), &ops, vec!["spec.rules"]),
        (json!({"expiresAt": "2026-01-01T12:00:00Z"}), &ops, vec!["spec.expiresAt"]),
        (json!({"expiresAt": "2026-01-02T11:51:00Z"}), &ops, vec!["spec.expiresAt"]),
    ] {
        let exception = exception("sale", &changed);
        let mut flaws = exception.flaws_under(Some(&policy));
        flaws.extend(exception.flaws_for(writer, Some(&policy), sample::now()));
        let found: Vec<&str> = flaws.iter().map(|flaw| flaw.field.as_str()).collect();
        assert_eq!(found, fields, "{changed} {}", writer.username());
    }
    assert_eq!(exception("sale", &json!({})).flaws_under(None)[0].field, "spec.policy");
}
