//! The conditions the API server evaluates before it asks, evaluated as it does.

use smartops_change::{Change, Request, Resource};

use super::*;
use crate::cel::{Expression, Inputs};

#[test]
fn the_condition_the_api_server_evaluates_holds_for_exactly_whom_the_judgement_calls_automation() {
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

#[test]
fn the_condition_of_relabelling_holds_where_labels_differ_and_nowhere_else() {
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
fn of_our_own_kinds_automation_s_registration_leaves_out_only_what_the_controller_is_there_for() {
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
fn the_controller_keeps_its_own_lease_and_certificate_and_nobody_else_s() {
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
fn the_controllers_certificate_is_one_and_neither_it_nor_its_lease_hangs_on_anything() {
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
fn of_remediations_the_backstop_lets_the_controller_delete_those_that_have_ended() {
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
