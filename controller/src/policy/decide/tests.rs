//! Tables: what each signal leads to, by the built-in table and by policies.

use serde_json::{Value, json};
use smartops_common::remediation::{Autoscaler, GitOps, Undo};

use super::*;

fn told(kind: SignalKind, cause: &str) -> Told<'_> {
    let score = (kind != SignalKind::Alert).then_some(0.9);
    Told { kind, cause, score, is_complete: true }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn policy(name: &str, spec: Value) -> Policy {
    Policy::read(name, serde_json::from_value(spec).unwrap()).unwrap()
}

fn action_of(decision: Decision) -> Option<Action> {
    match decision {
        Decision::Remedy(remedy) => Some(remedy.action),
        Decision::Nothing | Decision::BelowThreshold => None,
    }
}

fn remedy_of(policy: &Policy, told: &Told<'_>) -> Remedy {
    match decide(policy, &Policy::built_in(), told) {
        Decision::Remedy(remedy) => *remedy,
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_a_policy_each_signal_leads_to_the_contracts_action() {
    use SignalKind::{Alert, Anomaly, Rca};
    let built_in = Policy::built_in();
    let (restart, scale) = (Some(Action::restart()), Some(Action::scale_by(1)));
    for (kind, cause, expected) in [
        (Rca, "memory_leak", &restart),
        (Rca, "cpu_saturation", &scale),
        (Rca, "high_error_rate", &restart),
        (Rca, "config_issue", &restart),
        (Rca, "config_bad", &restart),
        (Rca, "gremlins", &restart),
        (Anomaly, "resource", &scale),
        (Anomaly, "latency", &restart),
        (Anomaly, "error", &restart),
        (Anomaly, "jitter", &restart),
        (Anomaly, "latency_jitter", &restart),
        (Anomaly, "weather", &None),
        (Anomaly, "Resource", &None),
        (Alert, "KubePodCrashLooping", &restart),
        (Alert, "HighCPUUsage", &scale),
        (Alert, "kubepodcrashlooping", &None),
        (Alert, "Watchdog", &None),
        (Alert, "", &None),
    ] {
        let told = told(kind, cause);
        let known = governing(&[], &built_in, &labels(&[]), &labels(&[]));
        assert_eq!(action_of(decide(known, &built_in, &told)), *expected, "{kind}/{cause}");
        assert_eq!(may_matter(&[], &built_in, &told), expected.is_some(), "{kind}/{cause}");
    }
}

#[test]
fn the_shipped_policy_decides_as_the_table_without_one_does() {
    let shipped = policy("smartops-default", {
        serde_json::to_value(remediation_policy::shipped().spec).unwrap()
    });
    for cause in ["resource", "latency", "error", "weather"] {
        let told = told(SignalKind::Anomaly, cause);
        let of = |policy| action_of(decide(policy, &shipped, &told));
        assert_eq!(of(&shipped), of(&Policy::built_in()), "{cause}");
    }
}

#[test]
fn option_b_for_latency_is_one_rule() {
    let option_b = policy(
        "b",
        json!({"rules": [{"name": "latency", "when": {"signals": ["anomaly"], "causes": ["latency"]},
            "action": {"type": "scale", "scale": {"delta": 1}}}]}),
    );
    let remedy = remedy_of(&option_b, &told(SignalKind::Anomaly, "latency"));
    assert_eq!(remedy.action, Action::scale_by(1));
    assert_eq!(remedy.handling.decided_by.as_deref(), Some("b/latency"));
}

#[test]
fn of_the_policies_that_select_a_target_the_highest_governs_then_the_first_by_name() {
    let team = |team: &str| json!({"namespaces": {"matchLabels": {"team": team}}});
    let mut all = vec![
        policy("z", json!({"priority": 5, "match": team("erp")})),
        policy("b", json!({"match": team("erp")})),
        policy("a", json!({"match": team("erp")})),
        policy(
            "web",
            json!({"priority": -5, "match": {"objects": {"matchLabels": {"app": "web"}}}}),
        ),
    ];
    all.sort_by(|a, b| a.precedence().cmp(&b.precedence()));
    let built_in = Policy::built_in();
    let governs = |all: &[Policy], team: &str, app: &str| {
        let (namespace, object) = (labels(&[("team", team)]), labels(&[("app", app)]));
        governing(all, &built_in, &namespace, &object).name.clone()
    };
    assert_eq!(governs(&all, "erp", "web"), "z");
    assert_eq!(governs(&all[1..], "erp", "web"), "a");
    assert_eq!(governs(&all, "shop", "web"), "web");
    assert_eq!(governs(&all, "shop", "db"), BUILT_IN);
}

#[test]
fn a_policy_that_governs_and_has_no_rule_for_a_signal_leads_to_nothing() {
    let empty = policy("quiet", json!({}));
    let silent = policy("silent", json!({"rules": [{"name": "none"}]}));
    for policy in [empty, silent] {
        let decision = decide(&policy, &Policy::built_in(), &told(SignalKind::Rca, "memory_leak"));
        assert_eq!(decision, Decision::Nothing);
    }
}

#[test]
fn the_first_rule_that_fits_decides_and_a_score_below_it_asks_no_other() {
    let steps = policy(
        "steps",
        json!({"rules": [
            {"name": "sure", "when": {"causes": ["latency"], "minScore": "0.8"}, "action": {"type": "restart"}},
            {"name": "rest", "action": {"type": "scale", "scale": {"delta": 1}}},
        ]}),
    );
    let of = |cause, score| {
        let told = Told { score, ..told(SignalKind::Anomaly, cause) };
        decide(&steps, &Policy::built_in(), &told)
    };
    assert_eq!(of("latency", Some(0.79)), Decision::BelowThreshold);
    assert_eq!(action_of(of("latency", Some(0.8))), Some(Action::restart()));
    assert_eq!(action_of(of("error", Some(0.1))), Some(Action::scale_by(1)));
}

#[test]
fn an_absent_score_is_no_zero_and_no_pass() {
    let asked = |incomplete: &str| {
        policy(
            "p",
            json!({"defaults": {"incomplete": incomplete}, "rules": [
                {"name": "r", "when": {"minScore": "0.5"}, "action": {"type": "restart"}}]}),
        )
    };
    let unmeasured = Told { score: None, is_complete: false, ..told(SignalKind::Rca, "x") };
    for incomplete in ["DryRun", "Act"] {
        assert!(remedy_of(&asked(incomplete), &unmeasured).dry_run, "{incomplete}");
    }
    // The twins: an alert never has one, and one without causes alone can be held against the threshold.
    assert!(!remedy_of(&asked("DryRun"), &told(SignalKind::Alert, "x")).dry_run);
    let causeless = Told { is_complete: false, ..told(SignalKind::Rca, "unknown") };
    assert!(!remedy_of(&asked("Act"), &causeless).dry_run);
    assert!(remedy_of(&asked("DryRun"), &causeless).dry_run);
}

#[test]
fn the_rule_goes_before_the_policy_and_the_policy_before_the_installation() {
    let policy = policy(
        "p",
        json!({
            "defaults": {"requireApproval": true, "cooldownSeconds": 60, "undo": "Never", "verifyTimeoutSeconds": 30,
                "checks": [{"name": "p95", "query": "up", "max": "1"}]},
            "rules": [
                {"name": "own", "when": {"causes": ["a"]}, "action": {"type": "restart"},
                 "options": {"requireApproval": false, "cooldownSeconds": 5, "gitOps": "Act", "autoscaler": "Bounds", "checks": []}},
                {"name": "rest", "action": {"type": "restart"}, "options": {"dryRun": true}},
            ],
        }),
    );
    let own = remedy_of(&policy, &told(SignalKind::Anomaly, "a"));
    assert!(!own.require_approval && !own.dry_run && own.checks.is_empty());
    assert_eq!((own.handling.cooldown_seconds, own.verify_timeout_seconds), (Some(5), 30));
    assert_eq!((own.handling.undo, own.handling.git_ops), (Undo::Never, GitOps::Act));
    assert_eq!(own.handling.autoscaler, Autoscaler::Bounds);
    let rest = remedy_of(&policy, &told(SignalKind::Anomaly, "b"));
    assert!(rest.require_approval && rest.dry_run && rest.checks.len() == 1);
    assert_eq!((rest.handling.cooldown_seconds, rest.handling.debounce_seconds), (Some(60), None));
    let built_in = remedy_of(&Policy::built_in(), &told(SignalKind::Anomaly, "error"));
    assert_eq!((built_in.verify_timeout_seconds, built_in.handling.undo), (120, Undo::OnFailure));
    assert_eq!(built_in.handling.cooldown_seconds, None);

    // Of a request nobody decided about, the policy says how it is handled and not what it is.
    let asked = governed(&policy);
    assert_eq!(asked.handling.decided_by.as_deref(), Some("p"));
    assert_eq!((asked.handling.undo, asked.checks.len()), (Undo::Never, 1));
}

#[test]
fn targets_of_a_policy_that_cannot_be_decided_by_are_held_to_nothing() {
    let spec = json!({
        "match": {"objects": {"matchLabels": {"app": "web"}}},
        "rules": [{"name": "a", "action": {"type": "scale", "scale": {"replicas": 4}}}],
    });
    let spec: RemediationPolicySpec = serde_json::from_value(spec).unwrap();
    let why = Policy::read("bad", spec.clone()).unwrap_err();
    assert!(why.contains("spec.rules[0].action"), "{why}");
    let bad = Policy::invalid("bad", spec, why);
    let built_in = Policy::built_in();
    let all = std::slice::from_ref(&bad);
    let of = |app: &str, told: &Told<'_>| {
        let object = labels(&[("app", app)]);
        decide(governing(all, &built_in, &labels(&[]), &object), &built_in, told)
    };
    let Decision::Remedy(held) = of("web", &told(SignalKind::Anomaly, "resource")) else {
        panic!("it should have led to a Remediation that says so");
    };
    let words = held.handling.policy_invalid.unwrap();
    assert!(words.contains("RemediationPolicy bad") && words.contains("scale.delta"), "{words}");
    // The twin: whom it is not for is decided about as ever.
    let Decision::Remedy(other) = of("db", &told(SignalKind::Anomaly, "resource")) else {
        panic!("another target is none of its business");
    };
    assert_eq!(other.handling.policy_invalid, None);
    assert_eq!(governed(&bad), Governed::default());
}

#[test]
fn what_cannot_even_be_read_holds_everything_that_would_have_been_done() {
    let all = [Policy::unreadable("new", "unknown field `spec.next`".into())];
    let built_in = Policy::built_in();
    let policy = governing(&all, &built_in, &labels(&[]), &labels(&[]));
    let remedy = remedy_of(policy, &told(SignalKind::Rca, "memory_leak"));
    assert!(remedy.handling.policy_invalid.unwrap().contains("spec.next"));
    let weather = told(SignalKind::Anomaly, "weather");
    assert_eq!(decide(policy, &built_in, &weather), Decision::Nothing);
}

#[test]
fn a_relative_scale_has_its_step_at_the_bounds_and_nothing_else_has() {
    let bounds = at_bounds(&Action::scale_by(2)).unwrap();
    assert_eq!(bounds.type_, ActionType::HpaBounds);
    let steps = bounds.hpa_bounds.unwrap();
    assert_eq!((steps.min_delta, steps.max_delta), (Some(2), Some(2)));
    assert_eq!(at_bounds(&Action::restart()), None);
    assert_eq!(at_bounds(&Action::scale_to(4)), None);
}
