use k8s_openapi::api::admissionregistration::v1::RuleWithOperations;
use smartops_change::Operation;
use smartops_common::config::{Automation, Guarded, Outage, People, ServiceAccount};

use super::*;
use crate::policy::{
    GuardrailPolicySpec, KindMatch, Mode, NamespaceMatch, OperationName, SubjectMatch, SubjectSet,
    compile, shipped,
};
use crate::rules::RulesSpec;
use crate::rules::replicas::OnViolation;
use crate::sample;

fn config() -> SmartOpsConfigSpec {
    SmartOpsConfigSpec {
        automation: Automation {
            users: vec!["ci".into()],
            groups: vec!["bots".into()],
            service_accounts: vec![ServiceAccount { namespace: "a".into(), name: "x".into() }],
            namespaces: vec!["agents".into()],
        },
        ..SmartOpsConfigSpec::default()
    }
}

fn demand(spec: &GuardrailPolicySpec) -> Demand {
    Demand::of(spec, &compile("p", spec).unwrap())
}

fn work_out(demands: &[Demand]) -> Registrations {
    let demands: Vec<&Demand> = demands.iter().collect();
    registrations(&SmartOpsConfigSpec::default(), &demands, &Reach::Service, None).unwrap()
}

/// A policy of no rules for these kinds, everywhere, for everybody.
fn naming(kinds: &[(&str, &str)], operations: &[OperationName]) -> GuardrailPolicySpec {
    let mut spec = sample::baseline();
    spec.rules = RulesSpec::default();
    spec.match_.namespaces = None;
    spec.match_.operations = operations.to_vec();
    let kind = |&(group, resource): &(&str, &str)| KindMatch {
        group: group.into(),
        resource: resource.into(),
        ..KindMatch::default()
    };
    spec.match_.kinds = kinds.iter().map(kind).collect();
    spec
}

/// What the entries of a registration send: name, where, and `OPERATIONS group/resources` of each rule.
fn entries(webhooks: Option<&Vec<ValidatingWebhook>>) -> Vec<String> {
    let list = |items: &Option<Vec<String>>| items.clone().unwrap_or_default().join(",");
    webhooks
        .into_iter()
        .flatten()
        .map(|webhook| {
            let selector = webhook.namespace_selector.clone().unwrap_or_default();
            let labels =
                selector.match_labels.into_iter().flatten().map(|(k, v)| format!("{k}={v}"));
            let names = selector.match_expressions.into_iter().flatten().map(|e| {
                let key = e.key.trim_start_matches("kubernetes.io/metadata.").to_owned();
                format!("{key} {} {}", e.operator, e.values.unwrap_or_default().join(","))
            });
            let place: Vec<String> = labels.chain(names).collect();
            let rules: Vec<String> = webhook
                .rules
                .iter()
                .flatten()
                .map(|r| {
                    let version = list(&r.api_versions);
                    let version =
                        if version == "*" { String::new() } else { format!(" in {version}") };
                    format!(
                        "{} {}/{}{version}",
                        list(&r.operations),
                        list(&r.api_groups),
                        list(&r.resources)
                    )
                })
                .collect();
            let name = webhook.name.trim_end_matches(".smartops.dev");
            format!("{name} [{}] {}", place.join(" & "), rules.join(" + "))
        })
        .collect()
}

/// People's, where no outage makes two of one.
fn people(demands: &[Demand]) -> Vec<String> {
    let config = in_outage(Outage::Ignore);
    let demands: Vec<&Demand> = demands.iter().collect();
    let all = registrations(&config, &demands, &Reach::Service, None).unwrap();
    entries(all.validating[1].webhooks.as_ref())
}

fn in_outage(outage: Outage) -> SmartOpsConfigSpec {
    SmartOpsConfigSpec { people: People { outage }, ..SmartOpsConfigSpec::default() }
}

#[test]
fn an_entry_that_stands_somewhere_says_how_the_webhook_is_reached() {
    for reach in [Reach::Service, Reach::Url("https://127.0.0.1:1".into())] {
        let all = registrations(&config(), &[], &reach, None).unwrap();
        for webhook in all.validating.iter().flat_map(|c| c.webhooks.iter().flatten()) {
            assert_eq!(Reach::of(&webhook.client_config), Some(reach.clone()), "{}", webhook.name);
        }
    }
    let elsewhere =
        WebhookClientConfig { url: Some("https://evil.example/".into()), ..Default::default() };
    assert_eq!(Reach::of(&elsewhere), None);
    assert_eq!(Reach::of(&WebhookClientConfig::default()), None);
}

#[test]
fn the_audiences_are_told_apart_by_path() {
    let reach = Reach::Url("https://127.0.0.1:1/".into());
    let demands: Vec<Demand> = shipped().iter().map(|p| demand(&p.spec)).collect();
    let demands: Vec<&Demand> = demands.iter().collect();
    let all = registrations(&config(), &demands, &reach, Some(b"ca")).unwrap();
    let paths = [path::VALIDATE_AUTOMATION, path::VALIDATE_PEOPLE, path::VALIDATE_OWN];
    for (registration, path) in all.validating.into_iter().zip(paths) {
        let webhooks = registration.webhooks.unwrap();
        assert!(!webhooks.is_empty(), "{path}");
        for webhook in webhooks {
            assert_eq!(webhook.client_config.url, Some(format!("https://127.0.0.1:1{path}")));
            assert_eq!(webhook.client_config.ca_bundle, Some(ByteString(b"ca".to_vec())));
        }
    }
}

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
#[cfg(feature = "cel")]
fn the_condition_of_relabelling_holds_where_labels_differ_and_nowhere_else() {
    use crate::cel::{Expression, Inputs};
    let expression = Expression::compile(&who::changes_labels().expression).unwrap();
    let subject = crate::Subject::new(&config(), "alice", &[] as &[&str]);
    for (before, after, expected) in [
        (r#","labels":{"a":"b"}"#, "", true),
        ("", r#","labels":{"a":"b"}"#, true),
        (r#","labels":{"a":"b"}"#, r#","labels":{"a":"c"}"#, true),
        (r#","labels":{"a":"b","c":"d"}"#, r#","labels":{"c":"d","a":"b"}"#, false),
        ("", "", false),
    ] {
        let object = |labels: &str| format!(r#"{{"metadata":{{"name":"web"{labels}}}}}"#);
        let write = sample::Write::update("status", &object(before), &object(after));
        let change = write.change();
        let holds = expression.evaluate_bool(&Inputs::new(&change, &subject));
        assert_eq!(holds, Ok(expected), "{before} {after}");
    }
}

#[test]
fn people_in_kube_system_and_our_namespace_never_wait_for_the_webhook() {
    let demands: Vec<Demand> = shipped().iter().map(|policy| demand(&policy.spec)).collect();
    let all = work_out(&demands);
    let entries = all.validating[1].webhooks.as_ref().unwrap();
    assert!(!entries.is_empty());
    for entry in entries {
        let expressions = entry.namespace_selector.clone().unwrap().match_expressions.unwrap();
        let values = expressions[0].values.clone().unwrap();
        for namespace in ["kube-system", names::SYSTEM_NAMESPACE] {
            assert!(values.contains(&namespace.to_owned()), "{}", entry.name);
        }
    }
}

#[test]
fn nodes_never_wait_where_pods_are_asked_about() {
    for (resource, left_out) in [("pods", true), ("pods/eviction", true), ("configmaps", false)] {
        let spec = naming(&[("", resource)], &[OperationName::Create]);
        let all = work_out(&[demand(&spec)]);
        let webhook = &all.validating[1].webhooks.as_ref().unwrap()[0];
        let conditions = webhook.match_conditions.as_ref().unwrap();
        assert_eq!(conditions.iter().any(|c| c.name == "not-by-a-node"), left_out, "{resource}");
    }
}

#[test]
fn automation_is_asked_about_everything_in_its_groups_and_custom_resources_it_is_bound_in() {
    let mut spec = naming(&[("shop.example", "carts")], &[OperationName::Update]);
    spec.match_.subjects = Some(SubjectMatch {
        include: Some(SubjectSet { automation: true, ..SubjectSet::default() }),
        exclude: None,
    });
    let given = entries(work_out(&[demand(&spec)]).validating[0].webhooks.as_ref());
    // A policy for everybody binds automation as well.
    spec.match_.subjects = None;
    let everybody = entries(work_out(&[demand(&spec)]).validating[0].webhooks.as_ref());
    assert_eq!(given, everybody);
    let every = "CREATE,UPDATE,DELETE,CONNECT";
    let own = "smartops.dev/*/*";
    let groups = ",apps,batch,autoscaling,discovery.k8s.io,networking.k8s.io,policy,rbac.authorization.k8s.io";
    assert_eq!(
        entries(work_out(&[demand(&spec)]).validating[0].webhooks.as_ref()),
        [
            format!(
                "objects.automation [] {every} {groups}/*/* + {every} {own} + {every} shop.example/carts,carts/*"
            ),
            format!(
                "scale.automation [] {every} {groups}/*/scale + {every} shop.example/carts/scale"
            ),
        ]
    );
}

#[test]
fn only_what_an_enforced_policy_clamps_is_sent_to_the_mutating_half() {
    let mut spec = sample::baseline();
    let mutated = |spec: &GuardrailPolicySpec| {
        let all = work_out(&[demand(spec)]);
        all.mutating
            .iter()
            .map(|c| c.webhooks.iter().flatten().map(|w| w.name.clone()).collect::<Vec<_>>())
            .collect::<Vec<_>>()
    };
    let own: &[&str] = &["own.automation.smartops.dev"];
    let stamped: &[&str] = &["own.smartops.dev"];
    assert_eq!(mutated(&spec), [own, &[], stamped]);
    spec.rules.replicas.as_mut().unwrap().on_violation = OnViolation::Clamp;
    assert_eq!(
        mutated(&spec),
        [
            [&["objects.automation.smartops.dev", "scale.automation.smartops.dev"][..], own,]
                .concat(),
            vec!["objects.people.smartops.dev", "scale.people.smartops.dev"],
            stamped.to_vec(),
        ]
    );
    spec.mode = Mode::Audit;
    assert_eq!(mutated(&spec), [own, &[], stamped]);
}

#[test]
fn our_own_kinds_are_checked_and_stamped_whoever_writes_them_and_the_webhook_never_asks_itself() {
    let all = work_out(&[]);
    let webhook = &all.validating[2].webhooks.as_ref().unwrap()[0];
    let conditions: Vec<&str> =
        webhook.match_conditions.iter().flatten().map(|c| c.name.as_str()).collect();
    assert_eq!(conditions, ["not-the-webhooks-ledger"]);
    assert_eq!(
        entries(all.validating[2].webhooks.as_ref()),
        [
            "own [] CREATE,UPDATE smartops.dev/guardrailpolicies,guardrailexceptions,smartopsconfigs,smartopsconfigs/status,remediations,remediations/status,remediationapprovals,remediationpolicies,remediationpolicies/status,changeledgers"
        ]
    );
    let stamped = &all.mutating[2].webhooks.as_ref().unwrap()[0];
    let rule = &stamped.rules.as_ref().unwrap()[0];
    assert_eq!(rule.resources.as_deref().unwrap(), ["remediations", "remediationapprovals"]);
    assert_eq!(rule.operations.as_deref().unwrap(), ["CREATE"]);
    assert_eq!(stamped.match_conditions.as_deref(), Some(&[][..]));
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

/// Every write an entry sends, as whether it waits for an answer: kind by namespace.
fn waits(all: &Registrations, group: &str, resource: &str, namespace: Option<&str>) -> bool {
    let webhooks = all.validating[1].webhooks.iter().flatten();
    let mut closed = webhooks.filter(|w| w.failure_policy.as_deref() == Some("Fail"));
    closed.any(|webhook| {
        let selector = webhook.namespace_selector.clone().unwrap_or_default();
        let is_there = namespace.is_none_or(|name| outage::reaches(&selector, name));
        let sends = |rule: &RuleWithOperations| {
            let holds = |list: &Option<Vec<String>>, item: &str| {
                list.iter().flatten().any(|listed| listed.split('/').next() == Some(item))
            };
            holds(&rule.api_groups, group) && holds(&rule.resources, resource)
        };
        is_there && webhook.rules.iter().flatten().any(sends)
    })
}

#[test]
fn whatever_policies_ask_for_nobody_is_locked_out_of_what_a_cluster_is_repaired_with() {
    let update = [OperationName::Update, OperationName::Create, OperationName::Delete];
    let kinds = [
        ("", "nodes"),
        ("", "pods"),
        ("", "pods/eviction"),
        ("coordination.k8s.io", "leases"),
        ("apps", "deployments"),
        ("", "configmaps"),
        ("", "namespaces"),
    ];
    let everywhere = naming(&kinds, &update);
    let mut labelled = everywhere.clone();
    labelled.match_.namespaces =
        serde_json::from_str(r#"{"selector":{"matchLabels":{"env":"dev"}}}"#).unwrap();
    let mut guarded = everywhere.clone();
    guarded.match_.namespaces = serde_json::from_str(r#"{"guarded":true}"#).unwrap();
    let unguarded = SmartOpsConfigSpec {
        guarded: Guarded { exclude_namespaces: Vec::new() },
        ..SmartOpsConfigSpec::default()
    };
    for (config, spec) in [
        (&SmartOpsConfigSpec::default(), &everywhere),
        (&SmartOpsConfigSpec::default(), &labelled),
        (&unguarded, &guarded),
    ] {
        let demand = demand(spec);
        let all = registrations(config, &[&demand], &Reach::Service, None).unwrap();
        assert!(waits(&all, "apps", "deployments", Some("shop")));
        for namespace in names::UNGUARDED_NAMESPACES {
            for (group, resource) in [("apps", "deployments"), ("", "configmaps")] {
                assert!(!waits(&all, group, resource, Some(namespace)), "{resource} {namespace}");
            }
            assert!(!waits(&all, "", "namespaces", Some(namespace)), "{namespace}");
        }
        for (group, resource) in [("", "pods"), ("", "nodes"), ("coordination.k8s.io", "leases")] {
            assert!(!waits(&all, group, resource, None), "{resource}");
            assert!(!waits(&all, group, resource, Some("shop")), "{resource}");
        }
        // What does not wait is asked about all the same.
        let sent = entries(all.validating[1].webhooks.as_ref()).join("\n");
        for resource in ["pods", "nodes", "leases", "deployments"] {
            assert!(sent.contains(resource), "{resource}: {sent}");
        }
    }
}

#[test]
fn an_outage_opens_people_s_entries_as_the_mode_says_and_never_automation_s_or_our_own() {
    let demands: Vec<Demand> = shipped().iter().map(|p| demand(&p.spec)).collect();
    let demands: Vec<&Demand> = demands.iter().collect();
    for (outage, people) in
        [(Outage::Fail, "Fail"), (Outage::Backstop, "Ignore"), (Outage::Ignore, "Ignore")]
    {
        let all = registrations(&in_outage(outage), &demands, &Reach::Service, None).unwrap();
        for (registration, expected) in all.validating.iter().zip(["Fail", people, "Fail"]) {
            for webhook in registration.webhooks.iter().flatten() {
                let policy = webhook.failure_policy.as_deref();
                assert_eq!(policy, Some(expected), "{outage:?} {}", webhook.name);
                let seconds = if expected == "Fail" { 10 } else { 3 };
                assert_eq!(webhook.timeout_seconds, Some(seconds));
            }
        }
    }
}

#[test]
#[cfg(feature = "cel")]
fn of_our_own_kinds_automation_s_registration_leaves_out_only_what_the_controller_is_there_for() {
    use crate::cel::{Expression, Inputs};
    let expression = Expression::compile(&who::not_the_controllers_own().expression).unwrap();
    let controller = "system:serviceaccount:smartops-system:smartops-orchestrator";
    for (user, operation, resource, subresource, asked) in [
        (controller, Operation::Update, "remediationpolicies", "status", false),
        (controller, Operation::Update, "remediationpolicies", "", true),
        (controller, Operation::Create, "remediations", "", false),
        (controller, Operation::Update, "remediations", "status", false),
        (controller, Operation::Update, "remediations", "", true),
        (controller, Operation::Create, "remediations", "status", true),
        (controller, Operation::Delete, "remediations", "", true),
        (controller, Operation::Create, "remediationapprovals", "", true),
        (controller, Operation::Update, "smartopsconfigs", "status", false),
        (controller, Operation::Update, "smartopsconfigs", "", true),
        (controller, Operation::Update, "guardrailpolicies", "status", true),
        ("system:serviceaccount:smartops-dev:agent", Operation::Create, "remediations", "", true),
    ] {
        let subject = crate::Subject::new(&config(), user, &[] as &[&str]);
        let mut write = sample::Write::of(operation, "smartops.dev", resource);
        write.subresource = subresource;
        write.new = Some(r#"{"metadata":{"name":"web"}}"#.into());
        write.old =
            (operation != Operation::Create).then(|| r#"{"metadata":{"name":"web"}}"#.into());
        let holds = expression.evaluate_bool(&Inputs::new(&write.change(), &subject));
        assert_eq!(holds, Ok(asked), "{user} {operation} {resource}/{subresource}");
    }
}

#[test]
#[cfg(feature = "cel")]
fn the_controller_keeps_its_own_lease_and_certificate_and_nobody_else_s() {
    use smartops_change::{Change, Request, Resource};

    use crate::cel::{Expression, Inputs};
    let expression = Expression::compile(&who::not_the_controllers_own().expression).unwrap();
    let controller = "system:serviceaccount:smartops-system:smartops-orchestrator";
    let (ours, lease) = ("smartops-system", "smartops-orchestrator");
    let secret = "smartops-orchestrator-certificate";
    for (operation, (group, resource), namespace, name, asked) in [
        (Operation::Create, ("coordination.k8s.io", "leases"), ours, lease, false),
        (Operation::Update, ("coordination.k8s.io", "leases"), ours, lease, false),
        (Operation::Delete, ("coordination.k8s.io", "leases"), ours, lease, true),
        (Operation::Update, ("coordination.k8s.io", "leases"), ours, "smartops-webhook", true),
        (Operation::Update, ("coordination.k8s.io", "leases"), "shop", lease, true),
        (Operation::Update, ("", "leases"), ours, lease, true),
        (Operation::Create, ("", "secrets"), ours, secret, false),
        (Operation::Update, ("", "secrets"), ours, secret, false),
        (Operation::Update, ("", "secrets"), ours, "smartops-webhook-certificate", true),
        (Operation::Create, ("", "secrets"), ours, lease, true),
        (Operation::Create, ("", "secrets"), "shop", secret, true),
    ] {
        let subject = crate::Subject::new(&config(), controller, &[] as &[&str]);
        let text = format!(
            r#"{{"metadata":{{"name":"{name}","namespace":"{namespace}"}},"type":"kubernetes.io/tls"}}"#
        );
        let change = Change::read(Request {
            operation,
            resource: Resource { group, version: "v1", resource, subresource: "" },
            namespace: Some(namespace),
            name,
            old: (operation != Operation::Create).then_some(&*text),
            new: (operation != Operation::Delete).then_some(&*text),
        });
        let holds = expression.evaluate_bool(&Inputs::new(&change.unwrap(), &subject));
        assert_eq!(holds, Ok(asked), "{operation} {group}/{resource} {namespace}/{name}");
    }
}

#[test]
#[cfg(feature = "cel")]
fn the_controllers_certificate_is_one_and_neither_it_nor_its_lease_hangs_on_anything() {
    use smartops_change::{Change, Request, Resource};

    use crate::cel::{Expression, Inputs};
    let expression = Expression::compile(&who::not_the_controllers_own().expression).unwrap();
    let controller = "system:serviceaccount:smartops-system:smartops-orchestrator";
    let subject = crate::Subject::new(&config(), controller, &[] as &[&str]);
    let (tls, token) = ("kubernetes.io/tls", "kubernetes.io/service-account-token");
    let names = r#","annotations":{"kubernetes.io/service-account.name":"smartops-webhook"}"#;
    let owned =
        r#","ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"x","uid":"x"}]"#;
    for (secret, metadata, certificate_asked, lease_asked) in [
        (tls, "", false, false),
        (tls, r#","annotations":{"note":"x"}"#, false, false),
        (token, "", true, false),
        ("", "", true, false),
        ("Opaque", "", true, false),
        (token, names, true, false),
        (tls, names, true, false),
        (tls, owned, true, true),
        (tls, r#","finalizers":["x/y"]"#, true, true),
    ] {
        for (group, resource, name, asked) in [
            ("", "secrets", "smartops-orchestrator-certificate", certificate_asked),
            ("coordination.k8s.io", "leases", "smartops-orchestrator", lease_asked),
        ] {
            let text = format!(
                r#"{{"metadata":{{"name":"{name}","namespace":"smartops-system"{metadata}}},"type":"{secret}"}}"#
            );
            for operation in [Operation::Create, Operation::Update] {
                let change = Change::read(Request {
                    operation,
                    resource: Resource { group, version: "v1", resource, subresource: "" },
                    namespace: Some("smartops-system"),
                    name,
                    old: (operation == Operation::Update).then_some(&*text),
                    new: Some(&text),
                });
                let holds = expression.evaluate_bool(&Inputs::new(&change.unwrap(), &subject));
                assert_eq!(holds, Ok(asked), "{operation} {text}");
            }
        }
    }
}

#[test]
#[cfg(feature = "cel")]
fn of_remediations_the_backstop_lets_the_controller_delete_those_that_have_ended() {
    use crate::cel::{Expression, Inputs};
    let condition = who::not_what_the_controller_prunes().expression;
    let expression = Expression::compile(&condition).unwrap();
    let controller = "system:serviceaccount:smartops-system:smartops-orchestrator";
    let agent = "system:serviceaccount:smartops-dev:agent";
    let ended = r#","outcome":{"reason":"R","message":"m","finishedAt":"2026-01-01T12:00:00Z"}"#;
    for (user, phase, outcome, held) in [
        (controller, "Succeeded", ended, false),
        (controller, "RolledBack", ended, false),
        (controller, "Succeeded", "", true),
        (controller, "Executing", ended, true),
        (controller, "Pending", "", true),
        (agent, "Succeeded", ended, true),
    ] {
        let subject = crate::Subject::new(&config(), user, &[] as &[&str]);
        let mut write = sample::Write::of(Operation::Delete, "smartops.dev", "remediations");
        write.new = None;
        write.old = Some(format!(
            r#"{{"metadata":{{"name":"web-1"}},"status":{{"phase":"{phase}"{outcome}}}}}"#
        ));
        let holds = expression.evaluate_bool(&Inputs::new(&write.change(), &subject));
        assert_eq!(holds, Ok(held), "{user} {phase} {outcome}");
    }
}

#[test]
fn more_of_automation_than_a_condition_can_say_is_a_flaw() {
    let mut config = config();
    config.automation.users = (0..64).map(|n| format!("{n}-{}", "u".repeat(2000))).collect();
    let flaw = registrations(&config, &[], &Reach::Service, None).unwrap_err();
    assert_eq!(flaw.field, "spec.automation");
    config.automation.users.truncate(8);
    assert!(registrations(&config, &[], &Reach::Service, None).is_ok());
}

#[test]
#[cfg(feature = "cel")]
fn the_condition_the_api_server_evaluates_holds_for_exactly_whom_the_judgement_calls_automation() {
    use crate::cel::{Expression, Inputs};
    let mut config = config();
    config.automation.users.push(r"o'neil\".to_owned());
    let expression = who::by_automation(&config).unwrap().expression;
    let expression = Expression::compile(&expression).unwrap();
    let scale = sample::scale(1, 2);
    let change = scale.change();
    let table: [(&str, &[&str], bool); 13] = [
        ("system:serviceaccount:smartops-system:smartops-orchestrator", &[], true),
        ("system:serviceaccount:smartops-system:smartops-webhook", &[], false),
        ("ci", &[], true),
        ("ci2", &["ci"], false),
        (r"o'neil\", &[], true),
        ("alice", &["bots"], true),
        ("alice", &["bot", "robots"], false),
        ("system:serviceaccount:a:x", &[], true),
        ("system:serviceaccount:a:xx", &[], false),
        ("system:serviceaccount:agents:anything", &[], true),
        ("system:serviceaccount:agents2:anything", &[], false),
        ("impersonator", &["system:serviceaccounts:agents"], true),
        ("impersonator", &["system:serviceaccounts:a"], false),
    ];
    for (user, groups, expected) in table {
        let subject = crate::Subject::new(&config, user, groups);
        assert_eq!(subject.is_automation(), expected, "the judgement: {user} {groups:?}");
        let holds = expression.evaluate_bool(&Inputs::new(&change, &subject));
        assert_eq!(holds, Ok(expected), "the condition: {user} {groups:?}");
    }
}
