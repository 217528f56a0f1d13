//! What policies mean for people's registration: which writes are sent, from where, and none twice.

use super::*;

#[test]
fn people_are_asked_about_exactly_what_policies_that_can_bind_them_mean() {
    let pods = naming(&[("", "pods/exec")], &[OperationName::Connect]);
    let sent = ["spared-objects.people [] CONNECT /pods/exec"];
    assert_eq!(people(&[demand(&pods)]), sent);
    let mut for_automation = pods.clone();
    for_automation.match_.subjects = Some(SubjectMatch {
        include: Some(SubjectSet { automation: true, ..SubjectSet::default() }),
        exclude: None,
    });
    assert_eq!(people(&[demand(&for_automation)]), [] as [&str; 0]);
    let mut for_somebody = for_automation.clone();
    let include =
        SubjectSet { automation: true, users: vec!["bob".into()], ..SubjectSet::default() };
    for_somebody.match_.subjects = Some(SubjectMatch { include: Some(include), exclude: None });
    assert_eq!(people(&[demand(&for_somebody)]), sent);
    let mut observed = pods.clone();
    observed.mode = Mode::Audit;
    assert_eq!(people(&[demand(&observed)]), sent);
    let jobs = naming(&[("batch", "jobs"), ("batch", "cronjobs")], &[OperationName::Create]);
    let scale = naming(&[("apps", "statefulsets/scale")], &[OperationName::Update]);
    assert_eq!(
        people(&[demand(&pods), demand(&jobs), demand(&scale)]),
        [
            "objects.people [] CREATE batch/cronjobs,jobs",
            "scale.people [] UPDATE apps/statefulsets/scale",
            "spared-objects.people [] CONNECT /pods/exec",
        ]
    );
}

#[test]
fn what_is_guarded_is_asked_about_where_it_is_guarded_and_no_write_twice() {
    let everywhere = naming(&[("", "configmaps")], &[OperationName::Delete]);
    let place = |guarded: bool, exclude: &[&str], labels: Option<(&str, &str)>| {
        let mut spec = everywhere.clone();
        spec.match_.namespaces = Some(NamespaceMatch {
            guarded,
            exclude: exclude.iter().map(|s| (*s).to_owned()).collect(),
            selector: labels.map(|(key, value)| LabelSelector {
                match_labels: Some([(key.to_owned(), value.to_owned())].into()),
                ..LabelSelector::default()
            }),
        });
        spec.mode = Mode::Audit;
        demand(&spec)
    };
    let guarded = "name NotIn kube-node-lease,kube-public,kube-system,smartops-system";
    let with = |selector: &str| format!("objects.people [{selector}] DELETE /configmaps");
    let everywhere = demand(&everywhere);
    assert_eq!(people(&[place(true, &[], None)]), [with(guarded)]);
    assert_eq!(people(&[place(true, &[], None), everywhere.clone()]), [with("")]);
    assert_eq!(
        people(&[place(false, &["a", "b"], None), place(false, &["b", "c"], None)]),
        [with("name NotIn b")]
    );
    assert_eq!(
        people(&[place(true, &[], None), place(true, &[], Some(("env", "dev")))]),
        [with(guarded)]
    );
    assert_eq!(
        people(&[place(true, &[], None), place(false, &["kube-public"], Some(("env", "dev")))]),
        [
            with("env=dev & name In kube-node-lease,kube-system,smartops-system"),
            with(guarded).replace("objects", "objects-2"),
        ]
    );
    assert_eq!(people(&[place(false, &[], Some(("env", "dev")))]), [with("env=dev")]);
}

#[test]
fn the_relabelling_of_namespaces_is_asked_about_where_a_policy_holds_them_by_label() {
    let mut spec = naming(&[("", "configmaps")], &[OperationName::Delete]);
    let selector = LabelSelector {
        match_labels: Some([("env".to_owned(), "prod".to_owned())].into()),
        ..LabelSelector::default()
    };
    spec.match_.namespaces = Some(NamespaceMatch {
        guarded: true,
        selector: Some(selector),
        ..NamespaceMatch::default()
    });
    let held = people(&[demand(&spec)]);
    assert_eq!(
        held[1],
        "namespaces.people [name NotIn kube-node-lease,kube-public,kube-system,smartops-system] UPDATE /namespaces,namespaces/status,namespaces/finalize"
    );
    spec.mode = Mode::Warn;
    assert_eq!(people(&[demand(&spec)]).len(), 1);
}

/// A policy for a custom resource that keeps its number in a version.
fn numbered(version: &str, for_automation: bool) -> Demand {
    let mut spec = naming(&[("shop.example", "carts")], &[OperationName::Update]);
    spec.match_.kinds[0].version = Some(version.to_owned());
    spec.match_.kinds[0].replicas_path = Some("spec.size".to_owned());
    spec.rules = sample::baseline().rules;
    spec.match_.subjects = for_automation.then(|| SubjectMatch {
        include: Some(SubjectSet { automation: true, ..SubjectSet::default() }),
        exclude: None,
    });
    demand(&spec)
}

#[test]
fn a_custom_resource_whose_number_stands_in_one_version_is_asked_about_in_that_version_alone() {
    let objects = "objects.people [] CREATE,UPDATE autoscaling/horizontalpodautoscalers";
    let any = naming(&[("shop.example", "carts")], &[OperationName::Delete]);
    assert_eq!(
        people(&[numbered("v2", false), demand(&any)]),
        [
            format!("{objects} + UPDATE,DELETE shop.example/carts in v2"),
            "scale.people [] UPDATE shop.example/carts/scale in v2".to_owned(),
        ]
    );
    // Beside each other in one entry, neither version would be converted to the other.
    assert_eq!(
        people(&[numbered("v1", false), numbered("v2", false)]),
        [
            format!("{objects} + UPDATE shop.example/carts in v1"),
            "objects-2.people [] UPDATE shop.example/carts in v2".to_owned(),
            "scale.people [] UPDATE shop.example/carts/scale in v1".to_owned(),
            "scale-2.people [] UPDATE shop.example/carts/scale in v2".to_owned(),
        ]
    );
    let all = work_out(&[numbered("v1", true), numbered("v2", true)]);
    let entries = entries(all.validating[0].webhooks.as_ref());
    let every = "CREATE,UPDATE,DELETE,CONNECT";
    assert!(entries[0].ends_with(&format!("{every} shop.example/carts,carts/* in v1")));
    assert_eq!(
        entries[2],
        format!("objects-2.automation [] {every} shop.example/carts,carts/* in v2")
    );
}

#[test]
fn an_update_that_may_relabel_is_asked_about_where_a_policy_selects_objects_and_labels_change() {
    let mut spec = naming(&[("apps", "statefulsets")], &[OperationName::Delete]);
    spec.rules = serde_json::from_str(r#"{"deletion":{"allow":"Never"}}"#).unwrap();
    let objects = "objects.people [] DELETE apps/statefulsets";
    assert_eq!(people(&[demand(&spec)]), [objects]);
    spec.match_.objects = serde_json::from_str(r#"{"matchLabels":{"keep":"yes"}}"#).unwrap();
    let objects = objects.replace("DELETE", "UPDATE,DELETE");
    assert_eq!(
        people(&[demand(&spec)]),
        [objects.as_str(), "labels.people [] UPDATE apps/statefulsets/status"]
    );
    let all = registrations(&in_outage(Outage::Ignore), &[&demand(&spec)], &Reach::Service, None)
        .unwrap();
    let conditional = |webhook: &ValidatingWebhook| {
        webhook.match_conditions.iter().flatten().any(|c| c.name == "changes-labels")
    };
    let webhooks = all.validating[1].webhooks.as_ref().unwrap();
    assert_eq!(webhooks.iter().map(conditional).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn very_many_selectors_are_taken_together() {
    let spec = naming(&[("", "configmaps")], &[OperationName::Delete]);
    let selecting = |n: usize| {
        let mut spec = spec.clone();
        let labels =
            format!(r#"{{"selector":{{"matchLabels":{{"team":"t{n}"}}}},"guarded":true}}"#);
        spec.match_.namespaces = serde_json::from_str(&labels).unwrap();
        spec.mode = Mode::Audit;
        demand(&spec)
    };
    let few: Vec<Demand> = (0..32).map(selecting).collect();
    assert_eq!(people(&few).len(), 32);
    let many: Vec<Demand> = (0..33).map(selecting).collect();
    let guarded = "name NotIn kube-node-lease,kube-public,kube-system,smartops-system";
    assert_eq!(people(&many), [format!("objects.people [{guarded}] DELETE /configmaps")]);
}

#[test]
fn a_configuration_that_leaves_nothing_alone_is_asked_about_everywhere() {
    let config = SmartOpsConfigSpec {
        guarded: Guarded { exclude_namespaces: Vec::new() },
        ..in_outage(Outage::Ignore)
    };
    let all =
        registrations(&config, &[&demand(&sample::baseline())], &Reach::Service, None).unwrap();
    for webhook in all.validating[1].webhooks.as_ref().unwrap() {
        assert_eq!(webhook.namespace_selector, Some(LabelSelector::default()));
    }
}
