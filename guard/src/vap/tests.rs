use std::sync::Arc;

use smartops_common::config::SmartOpsConfigSpec;
use smartops_common::names;

use super::*;
use crate::exception::Exception;
use crate::policy::{KindMatch, blind, compile};
use crate::rules::replicas::OnViolation;
use crate::sample;

fn backstop(spec: &GuardrailPolicySpec) -> Backstop {
    let policy = Arc::new(compile("p", spec).unwrap());
    let demand = Arc::new(Demand::of(spec, &policy));
    Backstop::of("uid", spec, &policy, &demand)
}

fn config() -> SmartOpsConfigSpec {
    serde_json::from_str(r#"{"breakGlass":{"groups":["oncall"]},"automation":{"users":["bot"]}}"#)
        .unwrap()
}

fn written(spec: &GuardrailPolicySpec) -> Option<Written> {
    backstop(spec).write(&config(), &[], sample::now())
}

fn missing(spec: &GuardrailPolicySpec) -> Vec<String> {
    backstop(spec).missing(&SmartOpsConfigSpec::default(), &[], sample::now())
}

/// The rules of what is written, as `OPERATIONS group/resource`.
fn rules(written: &Written) -> Vec<String> {
    let constraints = written.policy.spec.clone().unwrap().match_constraints.unwrap();
    let list = |items: Option<Vec<String>>| items.unwrap_or_default().join(",");
    let rules = constraints.resource_rules.unwrap_or_default().into_iter();
    rules
        .map(|r| format!("{} {}/{}", list(r.operations), list(r.api_groups), list(r.resources)))
        .collect()
}

/// Every expression of what is written.
fn text(written: &Written) -> String {
    serde_json::to_string(&written.policy).unwrap()
}

fn kinds(of: &[(&str, &str)]) -> Vec<KindMatch> {
    let kind = |&(group, resource): &(&str, &str)| KindMatch {
        group: group.into(),
        resource: resource.into(),
        ..KindMatch::default()
    };
    of.iter().map(kind).collect()
}

#[test]
fn what_is_written_covers_what_the_policy_means_and_its_neighbours() {
    let mut spec = sample::baseline();
    spec.match_.kinds = kinds(&[("apps", "deployments")]);
    assert_eq!(
        rules(&written(&spec).unwrap()),
        [
            "CREATE,UPDATE apps/deployments",
            "UPDATE apps/deployments/scale",
            "CREATE,UPDATE autoscaling/horizontalpodautoscalers",
            "CREATE,UPDATE apps/replicasets",
        ]
    );
    spec.match_.operations = vec![crate::policy::OperationName::Create];
    assert_eq!(rules(&written(&spec).unwrap()), ["CREATE apps/deployments"]);
    spec = sample::baseline();
    spec.match_.kinds = kinds(&[("", "pods"), ("batch", "jobs")]);
    spec.rules = serde_json::from_str(r#"{"images":{"change":"Deny"}}"#).unwrap();
    assert_eq!(
        rules(&written(&spec).unwrap()),
        ["CREATE,UPDATE /pods", "CREATE,UPDATE batch/jobs"]
    );
}

#[test]
fn it_speaks_to_people_in_reachable_namespaces_and_goes_with_its_policy() {
    let mut spec = sample::baseline();
    spec.match_.namespaces = None;
    spec.match_.subjects =
        serde_json::from_str(r#"{"include":{"groups":["team"]},"exclude":{"users":["eve"]}}"#)
            .unwrap();
    let Written { policy, binding } = written(&spec).unwrap();
    let body = policy.spec.unwrap();
    let conditions: Vec<String> =
        body.match_conditions.unwrap().into_iter().map(|c| c.name).collect();
    assert_eq!(
        conditions,
        [
            "not-by-automation",
            "not-by-the-control-plane",
            "by-whom-the-policy-means",
            "the-glass-is-whole"
        ]
    );
    let selector = body.match_constraints.unwrap().namespace_selector.unwrap();
    let excluded = selector.match_expressions.unwrap().pop().unwrap();
    assert_eq!(excluded.operator, "NotIn");
    for namespace in names::UNGUARDED_NAMESPACES {
        assert!(excluded.values.clone().unwrap().contains(&namespace.to_owned()), "{namespace}");
    }
    let owner = policy.metadata.owner_references.unwrap().remove(0);
    assert_eq!(
        (owner.kind.as_str(), owner.name.as_str(), owner.uid.as_str()),
        ("GuardrailPolicy", "p", "uid")
    );
    assert_eq!(binding.spec.policy_name, "smartops-p");
    assert_eq!(binding.spec.validation_actions, ["Deny"]);
    assert_eq!(binding.metadata.labels, policy.metadata.labels);
    // Kubelets make the pods of their own node.
    spec.match_.kinds = kinds(&[("", "pods")]);
    spec.rules = serde_json::from_str(r#"{"images":{"change":"Deny"}}"#).unwrap();
    assert!(text(&written(&spec).unwrap()).contains("not-by-a-node"));
}

type Edit = fn(&mut GuardrailPolicySpec);

#[test]
fn what_binds_nobody_now_or_cannot_be_said_exactly_is_not_written() {
    let baseline = sample::baseline();
    assert!(written(&baseline).is_some());
    assert_eq!(missing(&baseline), [] as [&str; 0]);
    let edits: [(&str, Edit, &str); 5] = [
        ("mode", |s| s.mode = Mode::Warn, ""),
        (
            "automation's",
            |s| {
                s.match_.subjects =
                    serde_json::from_str(r#"{"include":{"automation":true}}"#).unwrap();
            },
            "",
        ),
        (
            "clamped",
            |s| s.rules.replicas.as_mut().unwrap().on_violation = OnViolation::Clamp,
            "replicas: a number is brought",
        ),
        (
            "conditional",
            |s| {
                s.match_.conditions =
                    serde_json::from_str(r#"[{"name":"c","expression":"true"}]"#).unwrap();
            },
            "match.conditions",
        ),
        (
            "of another rule",
            |s| {
                s.match_.kinds = kinds(&[("apps", "deployments")]);
                s.rules = serde_json::from_str(r#"{"cooldown":{"scaleSeconds":60}}"#).unwrap();
            },
            "cooldown",
        ),
    ];
    for (what, edit, reason) in edits {
        let mut spec = baseline.clone();
        edit(&mut spec);
        assert_eq!(written(&spec), None, "{what}");
        let told = missing(&spec);
        assert_eq!(told.is_empty(), reason.is_empty(), "{what}: {told:?}");
        assert!(told.iter().all(|told| told.starts_with(reason)), "{what}: {told:?}");
    }
    let policy = Arc::new(blind("p", &baseline));
    let demand = Arc::new(Demand::of(&baseline, &policy));
    let blind = Backstop::of("uid", &baseline, &policy, &demand);
    assert!(blind.is_blind());
    assert_eq!(blind.write(&config(), &[], sample::now()), None);
}

#[test]
fn what_is_written_in_part_says_which_part_is_not() {
    let mut spec = sample::baseline();
    spec.rules.replicas.as_mut().unwrap().max_step = Some(2);
    spec.rules.replicas.as_mut().unwrap().step_window_seconds = Some(60);
    spec.rules.cooldown = serde_json::from_str(r#"{"scaleSeconds":60}"#).unwrap();
    spec.match_.objects = serde_json::from_str(r#"{"matchLabels":{"a":"b"}}"#).unwrap();
    let told = missing(&spec).join("\n");
    for part in ["stepWindowSeconds", "cooldown", "apps/deployments/scale where match.objects"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let written = written(&spec).unwrap();
    assert!(!rules(&written).iter().any(|rule| rule.contains("/scale")));
    let constraints = written.policy.spec.unwrap().match_constraints.unwrap();
    assert_eq!(constraints.object_selector, spec.match_.objects);
    spec.match_.objects = None;
    let told = backstop(&spec).missing(&config(), &[], sample::now()).join("\n");
    assert!(told.contains("break-glass on /scale"), "{told}");
}

fn exception_of(
    namespace: &str,
    until: &str,
    edit: impl FnOnce(&mut serde_json::Value),
) -> Arc<Exception> {
    let mut spec = serde_json::json!({
        "policy": "p", "rules": ["replicas"], "reason": "the sale", "ticket": "T-1", "expiresAt": until,
        "target": {"group": "apps", "kind": "Deployment", "name": "web"},
    });
    edit(&mut spec);
    let made = "2026-01-01T11:00:00Z".parse().unwrap();
    let spec = serde_json::from_value(spec).unwrap();
    Arc::new(Exception::check(namespace, "e", made, spec).unwrap())
}

const SOON: &str = "2026-01-01T13:00:00Z";

/// So many exceptions of a namespace, each for an object of its own.
fn exceptions(namespace: &str, many: usize) -> Vec<Arc<Exception>> {
    let one = |n| exception_of(namespace, SOON, |e| e["target"]["name"] = format!("w{n}").into());
    (0..many).map(one).collect()
}

/// The namespaces out of reach of what is written.
fn left_out(written: &Written) -> Vec<String> {
    let constraints = written.policy.spec.clone().unwrap().match_constraints.unwrap();
    let expressions = constraints.namespace_selector.unwrap().match_expressions.unwrap();
    expressions
        .into_iter()
        .filter(|e| e.operator == "NotIn")
        .flat_map(|e| e.values.unwrap())
        .collect()
}

#[test]
fn exceptions_in_force_are_written_and_no_others() {
    let spec = sample::baseline();
    let lifts = |exception: Option<Arc<Exception>>| {
        let exceptions: Vec<_> = exception.into_iter().collect();
        let written = backstop(&spec).write(&config(), &exceptions, sample::now());
        text(&written.unwrap()).contains("request.namespace == 'shop'")
    };
    assert!(!lifts(None));
    assert!(lifts(Some(exception_of("shop", SOON, |_| {}))));
    assert!(!lifts(Some(exception_of("shop", "2026-01-01T11:30:00Z", |_| {}))), "it has ended");
    let late = exception_of("shop", "2026-03-01T13:00:00Z", |_| {});
    assert!(!lifts(Some(late)), "the policy allows no such");
    let other = exception_of("shop", SOON, |e| e["target"]["kind"] = "Widget".into());
    assert!(!lifts(Some(other)), "the policy names no such kind");
}

#[test]
fn exceptions_that_do_not_fit_leave_their_namespace_out_and_no_other() {
    let spec = sample::baseline();
    let with = |exceptions: &[Arc<Exception>]| {
        let backstop = backstop(&spec);
        let written = backstop.write(&config(), exceptions, sample::now()).unwrap();
        assert!(backstop.is_written(&config(), exceptions, sample::now()));
        let told = backstop.missing(&config(), exceptions, sample::now()).join("\n");
        let names = left_out(&written);
        let is_left_out = |name: &str| names.iter().any(|n| n == name);
        assert_eq!(told.contains("everything in full:"), is_left_out("full"), "{told}");
        (is_left_out("full"), is_left_out("shop"), text(&written).contains("namespace == 'shop'"))
    };
    let mut fit = exceptions("full", 63);
    fit.push(exception_of("shop", SOON, |_| {}));
    assert_eq!(with(&fit), (false, false, true), "as many as there may be");
    fit.extend(exceptions("full", 63));
    assert_eq!(with(&fit), (false, false, true), "what is said twice counts once");
    fit.push(exception_of("full", SOON, |e| e["target"]["kind"] = "Widget".into()));
    assert_eq!(with(&fit), (false, false, true), "what lifts nothing of it does not count");
    fit.push(exception_of("full", SOON, |_| {}));
    assert_eq!(with(&fit), (true, false, true), "one more");
    let users = |n: usize| {
        exception_of("full", SOON, |e| {
            let users: Vec<String> = (0..64).map(|u| format!("{u}{}", "u".repeat(n))).collect();
            e["subjects"] = serde_json::json!({"users": users});
        })
    };
    let shop = exception_of("shop", SOON, |_| {});
    assert_eq!(with(&[users(900), Arc::clone(&shop)]), (false, false, true));
    assert_eq!(with(&[users(1000), shop]), (true, false, true), "too long a text");
}

#[test]
fn of_a_kind_whose_name_is_not_known_an_exception_lifts_the_kind_it_names_and_no_scale() {
    let mut spec = sample::baseline();
    spec.match_.kinds = sample::widgets();
    let widget = exception_of("shop", SOON, |e| {
        e["target"] = serde_json::json!({"group": "example.com", "kind": "Widget", "name": "w"});
    });
    let other = exception_of("shop", SOON, |_| {});
    let lifted = |exception: &Arc<Exception>| {
        let exceptions = [Arc::clone(exception)];
        let written = backstop(&spec).write(&config(), &exceptions, sample::now()).unwrap();
        let variables = written.policy.spec.unwrap().variables.unwrap();
        variables.into_iter().find(|v| v.name == "replicasLifted").unwrap().expression
    };
    let condition = lifted(&widget);
    assert!(condition.contains("request.kind.kind == 'Widget'"), "{condition}");
    assert!(condition.contains("['example.com/widgets']"), "{condition}");
    let told = |exception| {
        let exceptions = [exception];
        backstop(&spec).missing(&config(), &exceptions, sample::now()).join("\n")
    };
    assert!(told(widget).contains("exceptions on example.com/widgets/scale"));
    assert!(!told(other).contains("exceptions on"));
}

#[test]
fn an_expression_longer_than_any_may_be_leaves_the_policy_out_and_says_so() {
    let mut spec = sample::baseline();
    let mut with = |length: usize| {
        let users: Vec<String> = (0..64).map(|n| format!("{n}{}", "u".repeat(length))).collect();
        spec.match_.subjects =
            serde_json::from_value(serde_json::json!({"exclude": {"users": users}})).unwrap();
        (written(&spec).is_some(), missing(&spec).join("\n"))
    };
    assert!(with(1000).0);
    let (is_written, told) = with(1022);
    assert!(!is_written);
    assert!(told.contains("by-whom-the-policy-means has 65"), "{told}");
}

#[test]
fn a_registry_is_looked_for_in_a_reference_that_is_filled_in_once() {
    let mut spec = sample::baseline();
    spec.match_.kinds = kinds(&[("apps", "deployments")]);
    let mut length = |registries: usize| {
        let registries: Vec<String> = (0..registries).map(|n| format!("r{n}.example")).collect();
        spec.rules =
            serde_json::from_value(serde_json::json!({"images": {"registries": registries}}))
                .unwrap();
        let written = text(&written(&spec).unwrap());
        (written.matches("docker.io/library/").count(), written.matches("n[2].matches").count())
    };
    assert_eq!(length(1).0, length(64).0);
    assert_eq!(length(64).1, 64);
}

#[test]
fn names_follow_the_policy_s_and_stay_apart_where_they_are_cut() {
    assert_eq!(written::name("smartops-baseline"), "smartops-smartops-baseline");
    assert_ne!(written::name("own-objects"), OWN_OBJECTS);
    let (one, other) = (format!("{}a", "x".repeat(252)), format!("{}b", "x".repeat(252)));
    assert!(written::name(&one).len() <= 253);
    assert_ne!(written::name(&one), written::name(&other));
}

#[test]
fn own_objects_are_guarded_from_automation_and_from_nobody_else() {
    let own = own_objects(&config()).unwrap();
    let conditions = own.policy.spec.clone().unwrap().match_conditions.unwrap();
    let names: Vec<&str> = conditions.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "by-automation",
            "not-the-controllers-own",
            "not-what-the-controller-prunes",
            "not-by-the-webhook",
            "is-ours"
        ]
    );
    assert!(conditions[0].expression.contains("'bot'"));
    assert!(rules(&own).iter().any(|rule| rule.ends_with("smartops.dev/*/*")));
    let mut config = config();
    config.automation.users = (0..64).map(|n| format!("{n}-{}", "u".repeat(2000))).collect();
    assert_eq!(own_objects(&config).unwrap_err().field, "spec.automation");
}

/// Whether a rule of what guards SmartOps' own objects names this resource.
fn is_guarded(group: &str, resource: &str) -> bool {
    let rules = rules(&own_objects(&config()).unwrap());
    let mut named = rules.iter().filter_map(|rule| rule.split_once(' ')?.1.split_once('/'));
    named.any(|(g, plurals)| g == group && plurals.split(',').any(|p| p == resource))
}

#[test]
fn whatever_makes_pods_in_smartops_namespace_is_out_of_automation_s_reach() {
    for (group, plural) in [
        ("", "pods"),
        ("", "replicationcontrollers"),
        ("apps", "daemonsets"),
        ("apps", "deployments"),
        ("apps", "replicasets"),
        ("apps", "statefulsets"),
        ("batch", "cronjobs"),
        ("batch", "jobs"),
    ] {
        for resource in [plural.to_owned(), format!("{plural}/*")] {
            assert!(is_guarded(group, &resource), "{group}/{resource}");
        }
    }
    assert!(!is_guarded("", "events"), "what makes none");
}

#[test]
fn whatever_decides_how_many_pods_smartops_has_is_out_of_automation_s_reach() {
    for (group, resource) in [
        ("autoscaling", "horizontalpodautoscalers"),
        ("autoscaling", "horizontalpodautoscalers/*"),
        ("policy", "poddisruptionbudgets"),
        // What an eviction is allowed by stands in the status, and so does what a quota is held to.
        ("policy", "poddisruptionbudgets/*"),
        ("", "resourcequotas"),
        ("", "resourcequotas/*"),
        ("", "limitranges"),
    ] {
        assert!(is_guarded(group, resource), "{group}/{resource}");
    }
    assert!(!is_guarded("", "persistentvolumeclaims"), "what decides over none");
}
