//! What of SmartOps' own no automation may write, whatever a policy names: its kinds, its namespace, its rights. The
//! controller's own business, to record what was asked of it and what became of that, is left to the checks of those
//! kinds.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use smartops_common::names;
use smartops_guard::Subject;

use super::answer::out_of_reach;
use crate::admission::envelope::Request;
use crate::admission::reply::Answer;

/// What of ours a write is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ours {
    /// An object of one of SmartOps' own kinds, or the definition of one.
    Kind,
    /// Something in SmartOps' own namespace, or that namespace.
    Namespace,
    /// A role of SmartOps', or a binding of one or of one of its programs.
    Rights,
}

/// Roles and bindings an installation has, and the groups and users that its programs are.
const ROLES: [&str; 8] = [
    names::CONTROLLER_SERVICE_ACCOUNT,
    "smartops-orchestrator-cluster",
    names::WEBHOOK_SERVICE_ACCOUNT,
    "smartops-webhook-cluster",
    names::APPROVER_ROLE,
    names::VIEWER_ROLE,
    names::EVICTION_ROLE,
    names::AUTOSCALER_ROLE,
];

/// A role or a binding, as far as it says whose it is.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Right {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    role_ref: Option<Named>,
    #[serde(default)]
    subjects: Option<Vec<Named>>,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: Option<String>,
}

/// A lease or a Secret, as far as it could be more than that.
#[derive(Deserialize)]
struct Kept {
    metadata: KeptMetadata,
    #[serde(rename = "type", default)]
    type_: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeptMetadata {
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    owner_references: Option<Vec<IgnoredAny>>,
    #[serde(default)]
    finalizers: Option<Vec<IgnoredAny>>,
}

impl Kept {
    /// Whether nothing else hangs on it.
    fn is_loose(&self) -> bool {
        let none = |list: &Option<Vec<IgnoredAny>>| list.as_ref().is_none_or(Vec::is_empty);
        none(&self.metadata.owner_references) && none(&self.metadata.finalizers)
    }

    /// Whether it is a certificate, and will not be filled with an account's token.
    fn is_certificate(&self) -> bool {
        let names_an_account =
            self.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(names::TOKEN_OF));
        self.type_ == names::CERTIFICATE_SECRET_TYPE && !names_an_account
    }
}

/// The denial of a write by automation of what is SmartOps' own; `None` where it is not that.
pub fn refusal(request: &Request<'_>, writer: &Subject) -> Option<Answer> {
    if !writer.is_automation() || is_the_controllers_business(request) {
        return None;
    }
    let message = match (ours(request)?, request.resource.resource.as_ref()) {
        (Ours::Kind, "remediations") => {
            "automation may not write Remediations, whatever a policy names; ask the controller's HTTP API for a remedy"
        }
        (Ours::Kind, "remediationapprovals") => {
            "only people decide over Remediations, whatever a policy names; have somebody of the approvers' groups do it"
        }
        (Ours::Kind, _) => {
            "automation may write neither policies nor exceptions nor configuration nor anything else of SmartOps' own \
             kinds, whatever a policy names; have an operator write it"
        }
        (Ours::Namespace, _) if is_kept(request) => {
            "the controller keeps its certificate as a Secret of type kubernetes.io/tls that names no ServiceAccount, and \
             that and its lease without owner and finalizer; have an operator delete what is otherwise, and the controller \
             makes it anew"
        }
        (Ours::Namespace, _) => {
            "what is in SmartOps' own namespace is out of automation's reach, whatever a policy names; have an operator \
             do it"
        }
        (Ours::Rights, _) => {
            "the rights of SmartOps' programs and roles are out of automation's reach, whatever a policy names; have an \
             operator change them"
        }
    };
    Some(out_of_reach(request, message))
}

/// Whether the controller does what it is there for: to record what was asked of it, what became of that, whether its
/// loop is switched off and what it thinks of policies; to prune what has ended, of which `pruning` says more; and to
/// keep its own lease and certificate.
fn is_the_controllers_business(request: &Request<'_>) -> bool {
    if !names::is_controller(&request.user_info.username) {
        return false;
    }
    let operation = request.operation.as_ref();
    let place = (request.resource.resource.as_ref(), request.sub_resource.as_ref());
    if request.resource.group == names::GROUP {
        return [
            ("CREATE", ("remediations", "")),
            ("UPDATE", ("remediations", "status")),
            ("DELETE", ("remediations", "")),
            ("UPDATE", ("remediationpolicies", "status")),
            ("UPDATE", ("smartopsconfigs", "status")),
        ]
        .contains(&(operation, place));
    }
    is_kept(request) && stays_what_it_is(request)
}

/// Whether the controller writes its own lease or certificate.
fn is_kept(request: &Request<'_>) -> bool {
    let place = (request.resource.resource.as_ref(), request.sub_resource.as_ref());
    let kept = (request.resource.group.as_ref(), place, request.name.as_ref());
    names::is_controller(&request.user_info.username)
        && ["CREATE", "UPDATE"].contains(&request.operation.as_ref())
        && request.namespace.as_deref() == Some(names::SYSTEM_NAMESPACE)
        && [
            ("coordination.k8s.io", ("leases", ""), names::CONTROLLER_LEASE),
            ("", ("secrets", ""), names::CONTROLLER_CERTIFICATE_SECRET),
        ]
        .contains(&kept)
}

/// Whether what is written is the lease or the certificate and no more. What cannot be read may be more.
fn stays_what_it_is(request: &Request<'_>) -> bool {
    let read = request.object.map(|object| serde_json::from_str::<Kept>(object.get()));
    let is_secret = request.resource.resource == "secrets";
    read.and_then(Result::ok)
        .is_some_and(|kept| kept.is_loose() && (!is_secret || kept.is_certificate()))
}

/// What of ours a write is of, if anything.
pub fn ours(request: &Request<'_>) -> Option<Ours> {
    let (group, resource) = (request.resource.group.as_ref(), request.resource.resource.as_ref());
    let is_definition = group == "apiextensions.k8s.io"
        && request.name.split_once('.').is_some_and(|(_, of)| of == names::GROUP);
    let is_event = resource == "events" && ["", "events.k8s.io"].contains(&group);
    let is_namespace = (group, resource) == ("", "namespaces");
    if group == names::GROUP || is_definition {
        Some(Ours::Kind)
    } else if is_event {
        None
    } else if request.namespace.as_deref() == Some(names::SYSTEM_NAMESPACE)
        || (is_namespace && request.name == names::SYSTEM_NAMESPACE)
    {
        Some(Ours::Namespace)
    } else if group == "rbac.authorization.k8s.io" && is_right(request) {
        Some(Ours::Rights)
    } else {
        None
    }
}

/// Whether a role or binding is ours by its name, its label, the role it binds or whom it binds, before or after.
fn is_right(request: &Request<'_>) -> bool {
    let sides = [request.old_object, request.object].into_iter().flatten().map(RawValue::get);
    ROLES.contains(&request.name.as_ref())
        || sides.filter(|text| *text != "null").any(|text| {
            // What cannot be read may be ours.
            serde_json::from_str::<Right>(text).map_or(true, |right| right.is_ours())
        })
}

impl Right {
    fn is_ours(&self) -> bool {
        let part_of = self.metadata.labels.as_ref().and_then(|labels| labels.get(names::PART_OF));
        let group = names::service_accounts_group(names::SYSTEM_NAMESPACE);
        let users = names::service_account_prefix(names::SYSTEM_NAMESPACE);
        part_of.is_some_and(|of| of == "smartops")
            || self.role_ref.as_ref().is_some_and(|role| ROLES.contains(&role.name.as_str()))
            || self.subjects.iter().flatten().any(|subject| {
                subject.namespace.as_deref() == Some(names::SYSTEM_NAMESPACE)
                    || subject.name == group
                    || subject.name.starts_with(&users)
            })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use smartops_common::config::SmartOpsConfigSpec;

    use super::*;
    use crate::admission::envelope::Envelope;

    const CONTROLLER: &str = "system:serviceaccount:smartops-system:smartops-orchestrator";

    struct Write {
        user: &'static str,
        operation: &'static str,
        /// group/resource, with a subresource behind a further slash.
        what: &'static str,
        namespace: &'static str,
        name: &'static str,
        object: Value,
    }

    fn write(operation: &'static str, what: &'static str, namespace: &'static str) -> Write {
        Write { user: "bot", operation, what, namespace, name: "x", object: json!({}) }
    }

    fn message(write: &Write) -> Option<String> {
        let mut parts = write.what.split('/').map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        let (group, resource, below) = (part(), part(), part());
        let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u", "operation": write.operation, "name": write.name, "namespace": write.namespace,
            "resource": {"group": group, "version": "v1", "resource": resource},
            "subResource": below,
            "userInfo": {"username": write.user}, "object": write.object,
        }})
        .to_string();
        let mut config = SmartOpsConfigSpec::default();
        config.automation.users.push("bot".into());
        let writer = Subject::new(&config, write.user, &[] as &[&str]);
        let envelope = Envelope::read(body.as_bytes()).ok()?;
        let answer = refusal(envelope.request.as_ref().ok()?, &writer)?;
        answer.denial.map(|denial| denial.message)
    }

    #[test]
    fn automation_writes_none_of_our_kinds_by_no_operation_and_people_are_not_refused_for_being_people()
     {
        for what in [
            "smartops.dev/guardrailpolicies",
            "smartops.dev/guardrailpolicies/status",
            "smartops.dev/guardrailexceptions",
            "smartops.dev/smartopsconfigs",
            "smartops.dev/smartopsconfigs/status",
            "smartops.dev/remediations",
            "smartops.dev/remediations/status",
            "smartops.dev/remediationapprovals",
            "smartops.dev/changeledgers",
            "smartops.dev/whatever-comes",
        ] {
            for operation in ["CREATE", "UPDATE", "DELETE", "CONNECT"] {
                let by_bot = write(operation, what, "shop");
                assert!(message(&by_bot).is_some(), "{operation} {what}");
                assert_eq!(message(&Write { user: "alice", ..by_bot }), None, "{operation} {what}");
            }
        }
        let definition = Write {
            name: "remediations.smartops.dev",
            ..write("DELETE", "apiextensions.k8s.io/customresourcedefinitions", "")
        };
        assert!(message(&definition).is_some());
        assert_eq!(message(&Write { name: "shops.example.com", ..definition }), None);
    }

    #[test]
    fn the_controller_records_what_it_is_asked_and_does_and_nothing_else() {
        for (operation, what, passes) in [
            ("CREATE", "smartops.dev/remediations", true),
            ("UPDATE", "smartops.dev/remediations/status", true),
            ("UPDATE", "smartops.dev/smartopsconfigs/status", true),
            ("UPDATE", "smartops.dev/smartopsconfigs", false),
            ("UPDATE", "smartops.dev/remediations", false),
            ("DELETE", "smartops.dev/remediations", true),
            ("UPDATE", "smartops.dev/remediationpolicies/status", true),
            ("UPDATE", "smartops.dev/remediationpolicies", false),
            ("DELETE", "smartops.dev/remediationapprovals", false),
            ("CREATE", "smartops.dev/remediations/status", false),
            ("CREATE", "smartops.dev/remediationapprovals", false),
            ("UPDATE", "smartops.dev/changeledgers", false),
            ("UPDATE", "smartops.dev/guardrailpolicies/status", false),
        ] {
            let by_controller = Write { user: CONTROLLER, ..write(operation, what, "shop") };
            assert_eq!(message(&by_controller).is_none(), passes, "{operation} {what}");
        }
    }

    #[test]
    fn in_our_namespace_the_controller_keeps_its_own_lease_and_certificate_and_nothing_else() {
        const LEASE: &str = "smartops-orchestrator";
        const CERTIFICATE: &str = "smartops-orchestrator-certificate";
        let leases = "coordination.k8s.io/leases";
        for (operation, what, name, passes) in [
            ("CREATE", leases, LEASE, true),
            ("UPDATE", leases, LEASE, true),
            ("DELETE", leases, LEASE, false),
            ("UPDATE", leases, "smartops-webhook", false),
            ("UPDATE", "/secrets", CERTIFICATE, true),
            ("UPDATE", "/secrets", "smartops-webhook-certificate", false),
            ("CREATE", "/secrets", "x", false),
        ] {
            let object = json!({"metadata": {"name": name}, "type": "kubernetes.io/tls"});
            let of_ours = write(operation, what, "smartops-system");
            let by_controller = Write { user: CONTROLLER, name, object, ..of_ours };
            assert_eq!(message(&by_controller).is_none(), passes, "{operation} {what} {name}");
            assert!(
                message(&Write { user: "bot", ..by_controller }).is_some(),
                "{operation} {what}"
            );
        }
    }

    #[test]
    fn the_controllers_certificate_is_one_and_neither_it_nor_its_lease_hangs_on_anything() {
        let (tls, token) = ("kubernetes.io/tls", "kubernetes.io/service-account-token");
        let names = json!({"annotations": {"kubernetes.io/service-account.name": "x"}});
        let owned = json!({"ownerReferences": [{"kind": "ConfigMap", "name": "x", "uid": "x"}]});
        let (held, none) = (json!({"finalizers": ["x/y"]}), json!({"ownerReferences": []}));
        let noted = json!({"annotations": {"note": "x"}});
        for (secret, metadata, certificate, lease) in [
            (json!(tls), json!({}), true, true),
            (json!(tls), noted, true, true),
            (json!(tls), none, true, true),
            (json!(token), json!({}), false, true),
            (json!("Opaque"), json!({}), false, true),
            (Value::Null, json!({}), false, false),
            (json!(token), names.clone(), false, true),
            (json!(tls), names, false, true),
            (json!(tls), owned, false, false),
            (json!(tls), held, false, false),
            (json!(tls), json!({"finalizers": 5}), false, false),
        ] {
            let object = json!({"metadata": metadata, "type": secret});
            for operation in ["CREATE", "UPDATE"] {
                for (what, name, passes) in [
                    ("/secrets", "smartops-orchestrator-certificate", certificate),
                    ("coordination.k8s.io/leases", "smartops-orchestrator", lease),
                ] {
                    let write = write(operation, what, "smartops-system");
                    let write = Write { user: CONTROLLER, name, object: object.clone(), ..write };
                    let denied = message(&write);
                    assert_eq!(denied.is_none(), passes, "{operation} {what} {object}");
                    let denied = denied.unwrap_or_else(|| "makes it anew".to_owned());
                    assert!(denied.contains("makes it anew"), "{denied}");
                }
            }
        }
    }

    #[test]
    fn nothing_in_our_namespace_is_in_reach_and_its_namesake_elsewhere_is_the_policies() {
        for what in
            ["/secrets", "/configmaps", "apps/deployments", "/pods/exec", "/serviceaccounts/token"]
        {
            assert!(message(&write("UPDATE", what, "smartops-system")).is_some(), "{what}");
            assert_eq!(message(&write("UPDATE", what, "smartops-dev")), None, "{what}");
        }
        let namespace = Write { name: "smartops-system", ..write("DELETE", "/namespaces", "") };
        assert!(message(&namespace).is_some());
        assert_eq!(message(&Write { name: "shop", ..namespace }), None);
        assert_eq!(message(&write("CREATE", "/events", "smartops-system")), None);
    }

    #[test]
    fn a_right_is_ours_by_name_label_role_or_subject() {
        let of = |name, object| Write {
            name,
            object,
            ..write("UPDATE", "rbac.authorization.k8s.io/rolebindings", "shop")
        };
        for ours in [
            of("smartops-orchestrator", json!({})),
            of("x", json!({"metadata": {"labels": {"app.kubernetes.io/part-of": "smartops"}}})),
            of("x", json!({"roleRef": {"kind": "ClusterRole", "name": "smartops-approver"}})),
            of(
                "x",
                json!({"subjects": [{"kind": "ServiceAccount", "name": "y", "namespace": "smartops-system"}]}),
            ),
            of(
                "x",
                json!({"subjects": [{"kind": "Group", "name": "system:serviceaccounts:smartops-system"}]}),
            ),
            of("x", json!({"subjects": [{"kind": "User", "name": CONTROLLER}]})),
            of("x", json!({"subjects": 5})),
        ] {
            assert!(message(&ours).is_some(), "{}", ours.object);
        }
        for others in [
            of("smartops-test", json!({"metadata": {"labels": null}, "subjects": null})),
            of(
                "x",
                json!({"roleRef": {"name": "edit"}, "subjects": [{"kind": "User", "name": "alice"}]}),
            ),
        ] {
            assert_eq!(message(&others), None, "{}", others.object);
        }
    }

    #[test]
    fn a_refusal_says_what_automation_may_do_instead() {
        for (operation, what, instead) in [
            ("CREATE", "smartops.dev/remediations", "ask the controller's HTTP API"),
            (
                "CREATE",
                "smartops.dev/remediationapprovals",
                "have somebody of the approvers' groups",
            ),
            ("DELETE", "smartops.dev/guardrailpolicies", "have an operator"),
        ] {
            let message = message(&write(operation, what, "shop")).unwrap();
            assert!(
                message.starts_with("SmartOps denies ") && message.contains(instead),
                "{message}"
            );
        }
    }
}
