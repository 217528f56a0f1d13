//! Which writes wait for an answer of the webhook, and which never do.

use k8s_openapi::api::admissionregistration::v1::RuleWithOperations;

use super::*;

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
                let seconds = match webhook.name.as_str() {
                    PROBE => 2,
                    _ if expected == "Fail" => 10,
                    _ => 3,
                };
                assert_eq!(webhook.timeout_seconds, Some(seconds), "{}", webhook.name);
            }
        }
    }
}
