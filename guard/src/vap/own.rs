//! SmartOps' own objects, out of automation's reach: a ValidatingAdmissionPolicy that holds whether a webhook answers or
//! not, and when the registrations are gone. Policies of its kind cannot be guarded by one: RBAC does that, and whoever
//! repairs what drifted.

use std::collections::BTreeSet;

use k8s_openapi::api::admissionregistration::v1::{NamedRuleWithOperations, Validation};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use smartops_common::config::SmartOpsConfigSpec;
use smartops_common::names;

use super::written::{Matched, assemble};
use super::{Written, cel, sentence};
use crate::policy::Flaw;
use crate::registration::who;

/// Its name.
pub const OWN_OBJECTS: &str = "smartops-own-objects";

/// Cluster-scoped objects that are ours by name: group and plural.
const BY_NAME: [(&str, &str); 4] = [
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
];
/// What automation has no business with in SmartOps' namespace: group and plurals, subresources included.
const IN_SYSTEM_NAMESPACE: [(&str, &[&str]); 9] = [
    (
        "",
        &[
            "secrets",
            "configmaps",
            "serviceaccounts",
            "serviceaccounts/*",
            "services",
            "services/*",
            "endpoints",
            "pods",
            "pods/*",
            "replicationcontrollers",
            "replicationcontrollers/*",
            // A quota or a limit can leave SmartOps no pod.
            "limitranges",
            "resourcequotas",
            "resourcequotas/*",
        ],
    ),
    // Whatever makes pods here can make them run as the webhook.
    (
        "apps",
        &[
            "daemonsets",
            "daemonsets/*",
            "deployments",
            "deployments/*",
            "replicasets",
            "replicasets/*",
            "statefulsets",
            "statefulsets/*",
        ],
    ),
    // What scales a program as the control plane would, whatever its Deployment says.
    ("autoscaling", &["horizontalpodautoscalers", "horizontalpodautoscalers/*"]),
    ("batch", &["cronjobs", "cronjobs/*", "jobs", "jobs/*"]),
    ("coordination.k8s.io", &["leases"]),
    // Through these the API server finds the webhook, or does not.
    ("discovery.k8s.io", &["endpointslices"]),
    ("networking.k8s.io", &["networkpolicies"]),
    // By these, and by their status, an eviction takes every replica at once, or a drain waits for ever.
    ("policy", &["poddisruptionbudgets", "poddisruptionbudgets/*"]),
    ("rbac.authorization.k8s.io", &["roles", "rolebindings"]),
];

/// What keeps automation away from them.
///
/// # Errors
/// Where the configuration names more of automation than a condition can say.
pub fn own_objects(config: &SmartOpsConfigSpec) -> Result<Written, Flaw> {
    let group = cel::literal(names::GROUP);
    let system = cel::literal(names::SYSTEM_NAMESPACE);
    let kinds = cel::list(BY_NAME.iter().map(|(group, plural)| format!("{group}/{plural}")));
    let kind = "(request.resource.group + '/' + request.resource.resource)";
    // A name the server is to make up stands in the object alone.
    let name = "(has(request.name) && request.name != '' ? request.name : (request.operation == 'DELETE' ? \
                string(dyn(oldObject).metadata.name) : \
                ('generateName' in dyn(object).metadata ? string(dyn(object).metadata.generateName) : '')))";
    let is_ours = cel::any(&[
        format!("request.resource.group == {group}"),
        format!("{kind} in {kinds} && {name}.startsWith('smartops-')"),
        format!(
            "request.resource.resource == 'customresourcedefinitions' && {name}.endsWith({})",
            cel::literal(&format!(".{}", names::GROUP))
        ),
        format!("request.resource.resource == 'namespaces' && {name} == {system}"),
        format!("has(request.namespace) && request.namespace == {system}"),
    ]);
    let webhook =
        names::service_account_user(names::SYSTEM_NAMESPACE, names::WEBHOOK_SERVICE_ACCOUNT);
    let not_by_the_webhook = format!("request.userInfo.username != {}", cel::literal(&webhook));
    let mut rules = vec![rule(names::GROUP, &["*/*"], "*")];
    rules.extend(BY_NAME.map(|(group, plural)| rule(group, &[plural], "Cluster")));
    rules.push(rule("apiextensions.k8s.io", &["customresourcedefinitions"], "Cluster"));
    rules.push(rule("", &["namespaces", "namespaces/*"], "*"));
    rules.extend(IN_SYSTEM_NAMESPACE.map(|(group, plurals)| rule(group, plurals, "Namespaced")));
    let matched = Matched {
        rules,
        namespaces: LabelSelector::default(),
        objects: LabelSelector::default(),
        conditions: vec![
            who::by_automation(config)?,
            who::not_the_controllers_own(),
            who::not_what_the_controller_prunes(),
            who::condition("not-by-the-webhook", not_by_the_webhook),
            who::condition("is-ours", is_ours),
        ],
    };
    let text = ": it is SmartOps' own, and automation may not touch that; leave it to a person";
    let validation = Validation {
        expression: "false".to_owned(),
        message: Some(format!("SmartOps denies this write{text}")),
        message_expression: Some(format!("{} + {}", sentence::head(), cel::literal(text))),
        reason: Some("Forbidden".to_owned()),
    };
    Ok(assemble(OWN_OBJECTS, None, matched, Vec::new(), validation))
}

/// Every write of these.
fn rule(group: &str, resources: &[&str], scope: &str) -> NamedRuleWithOperations {
    let plurals: BTreeSet<String> = resources.iter().map(|r| (*r).to_owned()).collect();
    NamedRuleWithOperations {
        api_groups: Some(vec![group.to_owned()]),
        api_versions: Some(vec!["*".to_owned()]),
        resources: Some(plurals.into_iter().collect()),
        operations: Some(smartops_change::Operation::ALL.iter().map(ToString::to_string).collect()),
        scope: Some(scope.to_owned()),
        resource_names: None,
    }
}
