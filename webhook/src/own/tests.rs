mod remedies;

use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use serde_json::json;
use smartops_common::config::{SmartOpsConfig, SmartOpsConfigSpec};
use smartops_common::denial::Rule;
use smartops_process::metrics::Metrics;
use smartops_process::watch::Event;

use super::*;
use crate::live::Live;
use crate::live::tests::soon;
use crate::snapshot::Stored;
use crate::told;

const PEOPLE: &str = "operator";
const AUTOMATION: &str = "system:serviceaccount:smartops-system:smartops-orchestrator";

/// A checker under this configuration that reads through this client.
fn checker(config: &Value, client: Client) -> Checker {
    let metrics = WebhookMetrics::new(&Metrics::new("webhook").unwrap()).unwrap();
    let board = Board::new(metrics.clone());
    board.config(Event::Init);
    board.policy(Event::<Stored>::Init);
    board.namespace(Event::<Namespace>::Init);
    let config: SmartOpsConfigSpec = serde_json::from_value(config.clone()).unwrap();
    board.config(Event::InitApply(SmartOpsConfig::new("default", config)));
    board.config(Event::InitDone);
    for policy in smartops_guard::policy::shipped() {
        board.policy(Event::InitApply(policy.into()));
    }
    for (name, exceptions) in [
        ("closed", json!({"allowed": false})),
        ("owned", json!({"writerGroups": ["owners"]})),
        ("open", json!({"writerGroups": ["owners", "system:authenticated"]})),
    ] {
        let mut spec = policy(&json!({"replicas": {"max": 5}}));
        spec["exceptions"] = exceptions;
        let stored = json!({"metadata": {"name": name}, "spec": spec});
        board.policy(Event::InitApply(serde_json::from_value(stored).unwrap()));
    }
    for (name, include) in [
        ("for-bound", json!({"users": ["bound"]})),
        ("for-both", json!({"users": ["free"], "automation": true})),
    ] {
        let mut spec = policy(&json!({"replicas": {"max": 5}}));
        spec["match"]["subjects"] = json!({"include": include});
        spec["mode"] = json!("Enforce");
        let stored = json!({"metadata": {"name": name}, "spec": spec});
        board.policy(Event::InitApply(serde_json::from_value(stored).unwrap()));
    }
    board.policy(Event::<Stored>::InitDone);
    board.namespace(Event::<Namespace>::InitDone);
    let (alarm, _events) = told::alarm(&metrics);
    let reads = Reads::new(Live::new(client.clone(), metrics.clone()), client);
    Checker::new(board, reads, alarm, metrics)
}

fn review(user: &str, resource: &str, old: Option<&Value>, new: &Value) -> Answer {
    let operation = if old.is_some() { "UPDATE" } else { "CREATE" };
    let object = |spec: &Value| json!({"metadata": {"name": "p"}, "spec": spec});
    let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "operation": operation, "name": "p",
        "resource": {"group": "smartops.dev", "version": "v1alpha1", "resource": resource},
        "userInfo": {"username": user, "groups": ["system:authenticated"]},
        "object": object(new), "oldObject": old.map(object),
    }})
    .to_string();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let checker = checker(&json!({}), remedies::api(Vec::new()));
        let envelope = Envelope::read(body.as_bytes()).unwrap();
        checker.review(&envelope, Half::Validating, soon()).await
    })
}

fn policy(rules: &Value) -> Value {
    json!({
        "match": {"kinds": [{"group": "apps", "resource": "deployments"}], "operations": ["UPDATE"]},
        "rules": rules,
    })
}

/// The fields a denial names.
fn fields(answer: &Answer) -> Vec<String> {
    let causes = answer.denial.iter().flat_map(|denial| &denial.causes);
    causes.map(|cause| cause.path.clone()).collect()
}

#[test]
fn a_policy_that_cannot_be_judged_by_is_denied_with_its_field_and_its_good_twin_passes() {
    let table = [
        (
            json!({"replicas": {"min": 5, "max": 2}}),
            "spec.rules.replicas",
            json!({"replicas": {"min": 2, "max": 5}}),
        ),
        (
            json!({"paths": {"forbid": ["spec..x"]}}),
            "spec.rules.paths.forbid[0]",
            json!({"paths": {"forbid": ["spec.x"]}}),
        ),
        (json!({"replica": {"min": 1}}), "spec", json!({"replicas": {"min": 1}})),
    ];
    for (bad, field, good) in table {
        let denied = review(PEOPLE, "guardrailpolicies", None, &policy(&bad));
        assert_eq!(fields(&denied), [field], "{bad}");
        let message = &denied.denial.as_ref().unwrap().message;
        assert!(
            message.starts_with(
                "SmartOps denies CREATE of guardrailpolicies.smartops.dev p by operator: spec"
            ),
            "{message}"
        );
        assert_eq!(
            review(PEOPLE, "guardrailpolicies", None, &policy(&good)).denial,
            None,
            "{good}"
        );
    }
}

#[test]
fn every_flaw_is_told_at_once() {
    let bad =
        policy(&json!({"replicas": {"min": 5, "max": 2}, "paths": {"allow": ["a..b", "c..d"]}}));
    let denied = review(PEOPLE, "guardrailpolicies", None, &bad);
    let paths = ["spec.rules.replicas", "spec.rules.paths.allow[0]", "spec.rules.paths.allow[1]"];
    assert_eq!(fields(&denied), paths);
}

#[test]
fn a_bad_policy_that_stands_may_have_its_finaliser_removed_but_not_be_made_bad_in_another_way() {
    let bad = policy(&json!({"replicas": {"min": 5, "max": 2}}));
    let kept = review(PEOPLE, "guardrailpolicies", Some(&bad), &bad);
    assert_eq!(kept.denial, None);
    assert_eq!(kept.warnings.len(), 1);
    let worse = policy(&json!({"replicas": {"min": 6, "max": 2}}));
    assert!(review(PEOPLE, "guardrailpolicies", Some(&bad), &worse).denial.is_some());
    let good = policy(&json!({"replicas": {"min": 1, "max": 2}}));
    assert_eq!(review(PEOPLE, "guardrailpolicies", Some(&bad), &good).denial, None);
}

#[test]
fn automation_writes_none_of_them_and_people_do() {
    let good = policy(&json!({"replicas": {"min": 1}}));
    let lasting = exception(&json!({}));
    for (resource, spec) in [
        ("guardrailpolicies", &good),
        ("guardrailexceptions", &lasting),
        ("smartopsconfigs", &json!({})),
    ] {
        let denied = review(AUTOMATION, resource, None, spec);
        assert_eq!(denied.denial.unwrap().leading_rule(), Some(Rule::Unnamed), "{resource}");
        assert!(review(AUTOMATION, resource, Some(spec), spec).denial.is_some(), "{resource}");
        assert_eq!(review(PEOPLE, resource, None, spec).denial, None, "{resource}");
    }
}

#[test]
fn a_configuration_that_would_bind_the_cluster_itself_is_denied_and_its_good_twin_passes() {
    let table = [
        (json!({"users": [""]}), "users[0]", json!({"users": ["ci"]})),
        (json!({"users": ["a", "b", "a"]}), "users[2]", json!({"users": ["a", "b"]})),
        (
            json!({"users": ["system:kube-scheduler"]}),
            "users[0]",
            json!({"users": ["kube-scheduler"]}),
        ),
        (json!({"users": ["system:node:a"]}), "users[0]", json!({"users": ["node-a"]})),
        (json!({"groups": ["bots", "system:masters"]}), "groups[1]", json!({"groups": ["bots"]})),
        (
            json!({"groups": ["system:authenticated"]}),
            "groups[0]",
            json!({"groups": ["authenticated"]}),
        ),
        (
            json!({"groups": ["system:serviceaccounts:smartops-system"]}),
            "groups[0]",
            json!({"groups": ["system:serviceaccounts:agents"]}),
        ),
        (
            json!({"namespaces": ["kube-system"]}),
            "namespaces[0]",
            json!({"namespaces": ["agents"]}),
        ),
        (
            json!({"serviceAccounts": [{"namespace": "smartops-system", "name": "smartops-webhook"}]}),
            "serviceAccounts[0]",
            json!({"serviceAccounts": [{"namespace": "smartops-system", "name": "another"}]}),
        ),
        (
            json!({"serviceAccounts": [{"namespace": "a", "name": ""}]}),
            "serviceAccounts[0]",
            json!({"serviceAccounts": [{"namespace": "a", "name": "b"}]}),
        ),
    ];
    for (bad, field, good) in table {
        let review = |automation: &Value| {
            review(PEOPLE, "smartopsconfigs", None, &json!({"automation": automation}))
        };
        assert_eq!(fields(&review(&bad)), [format!("spec.automation.{field}")], "{bad}");
        assert_eq!(review(&good), Answer::allowed(), "{good}");
    }
}

#[test]
fn guarding_the_cluster_s_own_namespaces_is_legal_and_warned_about() {
    let guarding = json!({"guarded": {"excludeNamespaces": ["kube-system"]}});
    let answer = review(PEOPLE, "smartopsconfigs", None, &guarding);
    assert_eq!(answer.denial, None);
    assert_eq!(answer.warnings.len(), 1);
    assert!(answer.warnings[0].starts_with("smartops-system is guarded"), "{:?}", answer.warnings);
}

#[test]
fn what_is_legal_and_looks_like_a_mistake_is_warned_about_in_few_short_words() {
    let mut spec = policy(&json!({}));
    spec["match"]["kinds"] = json!([
        {"group": "apps", "resource": "deployment"}, {"group": "", "resource": "deployments"},
        {"group": "shop.example", "resource": "carts"}, {"group": "batch", "resource": "jobs"},
    ]);
    let warned = review(PEOPLE, "guardrailpolicies", None, &spec);
    assert_eq!(warned.denial, None);
    assert_eq!(
        warned.warnings,
        [
            r#"group "apps" has no resource "deployment"; is deployments meant?"#,
            r#"group "" has no resource "deployments"; group "apps" has"#,
            "it has no rules and includes nobody by word: it binds nothing and names nothing",
        ]
    );
    let mut creation = policy(&json!({"replicas": {"max": 5}}));
    creation["match"]["operations"] = json!(["CREATE"]);
    assert_eq!(review(PEOPLE, "guardrailpolicies", None, &creation).warnings.len(), 1);
}

/// The warnings about a policy of these kinds, operations and rules, for everybody.
fn warnings(kinds: &[(&str, &str)], operations: &[&str], rules: &Value) -> Vec<String> {
    let kinds: Vec<Value> = kinds
        .iter()
        .map(|(group, resource)| json!({"group": group, "resource": resource}))
        .collect();
    let spec = json!({"match": {"kinds": kinds, "operations": operations}, "rules": rules});
    let answer = review(PEOPLE, "guardrailpolicies", None, &spec);
    assert_eq!(answer.denial, None, "{rules}");
    answer.warnings
}

#[test]
fn a_way_around_the_rules_that_stays_open_is_warned_about_and_a_closed_one_is_not() {
    let apps = |resource| ("apps", resource);
    let (pods, eviction) = (("", "pods"), ("", "pods/eviction"));
    let deployments = [apps("deployments")];
    let restarts = json!({"cooldown": {"restartSeconds": 60}});
    let all = ["CREATE", "UPDATE", "DELETE"];
    let word = |warnings: Vec<String>, word: &str| {
        assert!(
            warnings.iter().all(|w| w.chars().count() <= answer::LONGEST_WARNING),
            "{warnings:?}"
        );
        warnings.iter().any(|w| w.contains(word))
    };
    let pods_end = "deleting pods is not judged";
    assert!(word(warnings(&deployments, &["UPDATE"], &restarts), pods_end));
    assert!(word(warnings(&[deployments[0], pods], &all, &restarts), pods_end));
    assert!(!word(warnings(&[deployments[0], pods, eviction], &all, &restarts), pods_end));

    let images = json!({"images": {"registries": ["registry.smartops.dev"]}});
    let of_pods = "images of pods";
    assert!(word(warnings(&deployments, &all[..2], &images), of_pods));
    assert!(!word(warnings(&[deployments[0], pods], &all[..2], &images), of_pods));

    let anew = "made anew";
    let replicas = json!({"replicas": {"max": 3}});
    assert!(word(warnings(&deployments, &["UPDATE"], &replicas), anew));
    assert!(!word(warnings(&deployments, &all[..2], &replicas), anew));
    let paths = json!({"paths": {"forbid": ["spec.paused"]}});
    assert!(word(warnings(&deployments, &["UPDATE"], &paths), anew));
    let kept = json!({"paths": {"forbid": ["spec.paused"]}, "deletion": {"allow": "Never"}});
    assert!(!word(warnings(&deployments, &all[1..], &kept), anew));
}

#[test]
fn an_expression_that_sees_another_object_at_a_neighbour_is_warned_about() {
    let custom = |expression: &str| json!({"custom": [{"name": "own", "expression": expression, "failurePolicy": "Fail"}]});
    let looking = "object == null || object.spec.replicas < 5";
    let operations = ["CREATE", "UPDATE"];
    let unseen = "custom rules are not asked about replicasets: the other rules are";
    let deployments = [("apps", "deployments")];
    assert_eq!(warnings(&deployments, &operations, &custom(looking)), [unseen]);
    let quiet = custom("request.userInfo.username != 'x'");
    assert_eq!(warnings(&deployments, &operations, &quiet), [] as [&str; 0]);
    let jobs = [("batch", "jobs")];
    assert_eq!(warnings(&jobs, &operations, &custom(looking)), [] as [&str; 0]);

    let mut spec = policy(&json!({"replicas": {"max": 3}}));
    spec["match"]["operations"] = json!(operations);
    spec["match"]["conditions"] =
        json!([{"name": "busy", "expression": "object.spec.replicas > 1"}]);
    assert_eq!(
        review(PEOPLE, "guardrailpolicies", None, &spec).warnings,
        [
            "condition busy looks at the object; of deployments/scale that is another, and an error counts as true"
        ]
    );
    spec["match"]["conditions"][0]["expression"] = json!("request.namespace == 'objects'");
    assert_eq!(review(PEOPLE, "guardrailpolicies", None, &spec).warnings, [] as [&str; 0]);
}

/// An exception from the shipped baseline that ends in an hour; `changed` over it.
fn exception(changed: &Value) -> Value {
    let mut spec = json!({
        "policy": "smartops-baseline", "rules": ["replicas"],
        "target": {"group": "apps", "kind": "Deployment", "name": "web"},
        "reason": "the sale", "ticket": "T-1", "expiresAt": in_minutes(60),
    });
    for (key, value) in changed.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

fn in_minutes(minutes: i64) -> String {
    let now = Clock.now();
    now.checked_add(jiff::SignedDuration::from_mins(minutes)).unwrap().to_string()
}

#[test]
fn an_exception_that_lifts_nothing_or_too_much_is_denied_by_its_field_and_its_good_twin_passes() {
    let good = exception(&json!({}));
    assert_eq!(review(PEOPLE, "guardrailexceptions", None, &good), Answer::allowed());
    for (changed, field) in [
        (json!({"policy": "nobodys"}), "spec.policy"),
        (json!({"rules": ["replicas", "images"]}), "spec.rules"),
        (json!({"rules": ["unnamed"]}), "spec"),
        (json!({"rules": ["undecided"]}), "spec"),
        (json!({"reason": " "}), "spec.reason"),
        (json!({"ticket": " "}), "spec.ticket"),
        (json!({"expiresAt": in_minutes(-1)}), "spec.expiresAt"),
        (json!({"expiresAt": in_minutes(24 * 60 + 1)}), "spec.expiresAt"),
        (json!({"policy": "closed"}), "spec.policy"),
        (json!({"policy": "owned"}), "spec.policy"),
        (json!({"until": "2026-11-27T18:00:00Z"}), "spec"),
    ] {
        let denied = review(PEOPLE, "guardrailexceptions", None, &exception(&changed));
        assert_eq!(fields(&denied), [field], "{changed}");
        assert_eq!(denied.denial.unwrap().leading_rule(), Some(Rule::Invalid), "{changed}");
    }
    for changed in [json!({"expiresAt": in_minutes(24 * 60 - 1)}), json!({"policy": "open"})] {
        let written = review(PEOPLE, "guardrailexceptions", None, &exception(&changed));
        assert_eq!(written, Answer::allowed(), "{changed}");
    }
}

#[test]
fn an_expired_exception_may_be_edited_in_its_metadata_and_in_nothing_else() {
    let expired = exception(&json!({"expiresAt": in_minutes(-1)}));
    let update = |new: &Value| review(PEOPLE, "guardrailexceptions", Some(&expired), new);
    assert_eq!(update(&expired), Answer::allowed());
    let mut other = expired.clone();
    other["reason"] = json!("the sale goes on");
    assert_eq!(fields(&update(&other)), ["spec.expiresAt", "spec"]);
    let revived = exception(&json!({"expiresAt": in_minutes(60)}));
    assert_eq!(fields(&update(&revived)), ["spec"]);
    let lasting = exception(&json!({"expiresAt": in_minutes(1)}));
    assert_eq!(review(PEOPLE, "guardrailexceptions", Some(&lasting), &revived), Answer::allowed());
}

#[test]
fn whoever_breaks_the_glass_or_approves_is_named_by_a_group_of_few_people() {
    for member in ["breakGlass", "approval"] {
        let review = |groups: Value| {
            let spec = json!({member: {"groups": groups}, "automation": {"groups": ["bots"]}});
            review(PEOPLE, "smartopsconfigs", None, &spec)
        };
        for (groups, place) in [
            (json!(["system:authenticated"]), 0),
            (json!(["oncall", "system:serviceaccounts"]), 1),
            (json!(["system:serviceaccounts:shop"]), 0),
            (json!(["bots"]), 0),
            (json!([""]), 0),
            (json!(["oncall", "oncall"]), 1),
        ] {
            let expected = format!("spec.{member}.groups[{place}]");
            assert_eq!(fields(&review(groups.clone())), [expected], "{groups}");
        }
        for groups in [json!(["oncall"]), json!(["oncall", "system:masters"]), json!([])] {
            assert_eq!(review(groups.clone()), Answer::allowed(), "{groups}");
        }
    }
}

#[test]
fn a_ledger_is_written_by_the_webhook_alone_and_may_be_labelled_by_others() {
    let (empty, kept) = (json!({"kept": 0}), json!({"kept": 1}));
    let webhook = "system:serviceaccount:smartops-system:smartops-webhook";
    assert_eq!(review(webhook, "changeledgers", Some(&empty), &kept).denial, None);
    assert_eq!(fields(&review(PEOPLE, "changeledgers", Some(&empty), &kept)), ["spec"]);
    assert_eq!(fields(&review(PEOPLE, "changeledgers", None, &kept)), ["spec"]);
    assert_eq!(review(PEOPLE, "changeledgers", Some(&kept), &kept).denial, None);
    assert!(review(AUTOMATION, "changeledgers", Some(&kept), &kept).denial.is_some());
}
