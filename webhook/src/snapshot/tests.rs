use serde_json::{Value, json};
use smartops_guard::policy;
use smartops_process::metrics::Metrics;

use super::*;

fn board() -> Arc<Board> {
    Board::new(WebhookMetrics::new(&Metrics::new("webhook").unwrap()).unwrap())
}

fn listed<K>(tell: impl Fn(Event<K>), objects: Vec<K>) {
    tell(Event::Init);
    for object in objects {
        tell(Event::InitApply(object));
    }
    tell(Event::InitDone);
}

fn namespace(name: &str, labels: &Value) -> Namespace {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap()
}

fn filled() -> Arc<Board> {
    let board = board();
    listed(|e| board.config(e), Vec::new());
    listed(|e| board.namespace(e), vec![namespace("shop", &json!({}))]);
    listed(|e| board.policy(e), shipped());
    board
}

fn policies(board: &Board) -> Vec<String> {
    let snapshot = board.snapshot().unwrap();
    let applied = snapshot.index.policies(Some("shop"));
    applied.iter().map(|a| a.policy.name().to_string()).collect()
}

fn shipped() -> Vec<Stored> {
    policy::shipped().into_iter().map(Stored::from).collect()
}

/// A shipped policy at a generation, made invalid where wanted.
fn baseline(generation: i64, valid: bool) -> Stored {
    let mut policy =
        policy::shipped().into_iter().find(|p| p.name_any() == "smartops-baseline").unwrap();
    policy.metadata.generation = Some(generation);
    if !valid {
        policy.spec.match_.operations.clear();
    }
    policy.into()
}

#[test]
fn there_is_nothing_to_judge_by_until_all_three_have_been_read() {
    let board = board();
    listed(|e| board.config(e), Vec::new());
    listed(|e| board.policy(e), shipped());
    assert!(board.snapshot().is_none());
    listed(|e| board.namespace(e), Vec::new());
    assert!(board.snapshot().is_some());
}

#[test]
fn a_policy_that_turns_bad_goes_on_judging_by_its_last_good_version_and_says_so() {
    let board = filled();
    board.policy(Event::Apply(baseline(2, true)));
    board.policy(Event::Apply(baseline(3, false)));
    assert!(policies(&board).contains(&"smartops-baseline".to_owned()));
    let report = board.reports().into_iter().find(|r| r.name == "smartops-baseline").unwrap();
    assert!(report.outcome.unwrap_err().contains("spec.match.operations"));
    board.policy(Event::Apply(baseline(3, false)));
    assert_eq!(board.metrics.rejected_policies.get(), 1, "its new status is no new attempt");
    board.policy(Event::Apply(baseline(4, true)));
    let report = board.reports().into_iter().find(|r| r.name == "smartops-baseline").unwrap();
    assert_eq!((report.generation, report.outcome), (Some(4), Ok(())));
}

#[test]
fn a_policy_that_is_deleted_or_missing_from_a_new_list_judges_no_more() {
    let board = filled();
    let metadata = Box::new(baseline(1, true).metadata);
    board.policy(Event::Delete(metadata));
    assert!(!policies(&board).contains(&"smartops-baseline".to_owned()));
    board.policy(Event::Apply(baseline(1, true)));
    assert!(policies(&board).contains(&"smartops-baseline".to_owned()));
    listed(|e| board.policy(e), Vec::new());
    assert!(policies(&board).is_empty());
}

#[test]
fn while_a_list_is_under_way_the_former_snapshot_stands() {
    let board = filled();
    let before = policies(&board);
    board.policy(Event::Init);
    board.policy(Event::InitApply(baseline(9, true)));
    assert_eq!(policies(&board), before);
}

#[test]
fn an_unreadable_policy_keeps_its_last_good_version_through_a_new_list() {
    let board = filled();
    board.policy(Event::Init);
    let metadata = Box::new(baseline(5, true).metadata);
    board.policy(Event::Unreadable { metadata, error: "unknown field".into() });
    board.policy(Event::InitDone);
    assert_eq!(policies(&board), ["smartops-baseline"]);
}

#[test]
fn without_a_configuration_the_default_holds_and_another_name_is_none() {
    let board = filled();
    let mut spec = SmartOpsConfigSpec::default();
    spec.automation.users.push("ci".into());
    board.config(Event::Apply(SmartOpsConfig::new("other", spec.clone())));
    assert!(!board.snapshot().unwrap().config.is_automation("ci", &[] as &[&str]));
    board.config(Event::Apply(SmartOpsConfig::new("default", spec)));
    assert!(board.snapshot().unwrap().config.is_automation("ci", &[] as &[&str]));
}

/// A policy as the API server would tell it.
fn told(spec: &Value) -> Stored {
    let metadata = json!({"name": "newer", "generation": 1});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
}

#[test]
fn a_policy_that_never_could_be_read_locks_what_it_matches() {
    let board = filled();
    let kinds = json!([{"group": "apps", "resource": "deployments"}]);
    let written = json!({"kinds": kinds, "operations": ["UPDATE"]});
    board.policy(Event::Apply(told(&json!({"match": written, "rules": {"unheard": 1}}))));
    assert!(policies(&board).contains(&"newer".to_owned()));
    let report = board.reports().into_iter().find(|r| r.name == "newer").unwrap();
    assert!(report.outcome.unwrap_err().contains("unheard"));
    assert!(board.snapshot().unwrap().demands.len() > policy::shipped().len());
}

#[test]
fn a_policy_of_which_no_kind_can_be_read_holds_everything_as_it_is_until_it_is_gone() {
    let nothing = || told(&json!({"match": {"all": true}}));
    let board = filled();
    let before = board.snapshot().unwrap();
    board.policy(Event::Apply(nothing()));
    board.policy(Event::Delete(Box::new(baseline(1, true).metadata)));
    board.namespace(Event::Apply(namespace("shop", &json!({"env": "dev"}))));
    assert!(Arc::ptr_eq(&before, &board.snapshot().unwrap()));
    board.policy(Event::Delete(Box::new(nothing().metadata)));
    assert!(!policies(&board).contains(&"smartops-baseline".to_owned()));

    let board = self::board();
    listed(|e| board.config(e), Vec::new());
    listed(|e| board.namespace(e), Vec::new());
    listed(|e| board.policy(e), vec![nothing()]);
    assert!(board.snapshot().is_none(), "nothing is judged by what cannot be read");
}

#[test]
fn a_new_status_of_the_configuration_and_an_untouched_label_change_nothing() {
    let board = filled();
    let config = |generation: i64, user: &str| {
        let mut spec = SmartOpsConfigSpec::default();
        spec.automation.users.push(user.to_owned());
        let mut config = SmartOpsConfig::new("default", spec);
        config.metadata.generation = Some(generation);
        config
    };
    board.config(Event::Apply(config(1, "ci")));
    let before = board.snapshot().unwrap();
    board.config(Event::Apply(config(1, "ci")));
    board.namespace(Event::Apply(namespace("shop", &json!({}))));
    assert!(Arc::ptr_eq(&before, &board.snapshot().unwrap()));
    board.config(Event::Apply(config(2, "cd")));
    assert!(board.snapshot().unwrap().config.is_automation("cd", &[] as &[&str]));
}

#[test]
fn a_namespace_that_is_relabelled_comes_under_the_policies_that_select_it() {
    let board = filled();
    let kinds = json!([{"group": "apps", "resource": "deployments"}]);
    let selector = json!({"matchLabels": {"env": "dev"}});
    let written =
        json!({"kinds": kinds, "operations": ["UPDATE"], "namespaces": {"selector": selector}});
    board.policy(Event::Apply(told(&json!({"match": written, "rules": {"replicas": {"max": 3}}}))));
    let mut changes = board.changes();
    for (labels, expected) in
        [(json!({}), false), (json!({"env": "dev"}), true), (json!({}), false)]
    {
        board.namespace(Event::Apply(namespace("shop", &labels)));
        assert_eq!(policies(&board).contains(&"newer".to_owned()), expected, "{labels}");
    }
    assert!(!changes.has_changed().unwrap(), "no registration follows a namespace");
    board.policy(Event::Delete(Box::new(told(&json!(null)).metadata)));
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
}
