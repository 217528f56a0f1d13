//! The webhook registrations: one pair for automation, one for people, told apart by URL path.
//!
//! Automation's fails closed in every namespace and covers every write to the kinds a workload is made of, so that
//! what no policy names is denied. People's covers the guarded namespaces and what the shipped policies judge. The
//! scale subresource is an entry of its own, because its reviews carry no labels. The CA bundle stays empty here:
//! the webhook fills it in.

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations,
    ServiceReference, ValidatingWebhook, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use smartops_common::config::SmartOpsConfigSpec;
use smartops_common::names;

use crate::rbac;

/// Groups in which automation may do only what a policy names.
const AUTOMATION_GROUPS: [&str; 7] = [
    "",
    "apps",
    "batch",
    "autoscaling",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
];

/// How long the API server waits for a verdict. Seconds.
const TIMEOUT_SECONDS: i32 = 10;

/// How the API server reaches the webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// By its Service in SmartOps' namespace.
    Service,
    /// By this base URL (`https://127.0.0.1:8443`), where it runs outside the cluster.
    Url(String),
}

/// One entry of a registration, before it is made validating or mutating.
struct Entry {
    name: String,
    rules: Vec<RuleWithOperations>,
    conditions: Vec<MatchCondition>,
    namespaces: Option<LabelSelector>,
}

/// The validating registrations, automation's first.
pub fn validating(
    config: &SmartOpsConfigSpec,
    reach: &Reach,
) -> Vec<ValidatingWebhookConfiguration> {
    let build = |name: &str, path: &str, entries: Vec<Entry>| ValidatingWebhookConfiguration {
        metadata: rbac::metadata(name, None),
        webhooks: Some(
            entries
                .into_iter()
                .map(|entry| ValidatingWebhook {
                    name: entry.name,
                    rules: Some(entry.rules),
                    match_conditions: Some(entry.conditions),
                    namespace_selector: entry.namespaces,
                    client_config: client_config(reach, path),
                    admission_review_versions: vec!["v1".to_owned()],
                    failure_policy: Some("Fail".to_owned()),
                    match_policy: Some("Equivalent".to_owned()),
                    side_effects: "NoneOnDryRun".to_owned(),
                    timeout_seconds: Some(TIMEOUT_SECONDS),
                    ..ValidatingWebhook::default()
                })
                .collect(),
        ),
    };
    vec![
        build(
            names::AUTOMATION_REGISTRATION,
            names::path::VALIDATE_AUTOMATION,
            automation_entries(config),
        ),
        build(names::PEOPLE_REGISTRATION, names::path::VALIDATE_PEOPLE, people_entries(config)),
    ]
}

/// The mutating registrations, automation's first. Only what a policy can clamp is registered.
pub fn mutating(config: &SmartOpsConfigSpec, reach: &Reach) -> Vec<MutatingWebhookConfiguration> {
    let build = |name: &str, path: &str, entries: Vec<Entry>| MutatingWebhookConfiguration {
        metadata: rbac::metadata(name, None),
        webhooks: Some(
            entries
                .into_iter()
                .map(|entry| MutatingWebhook {
                    name: entry.name,
                    rules: Some(entry.rules),
                    match_conditions: Some(entry.conditions),
                    namespace_selector: entry.namespaces,
                    client_config: client_config(reach, path),
                    admission_review_versions: vec!["v1".to_owned()],
                    failure_policy: Some("Fail".to_owned()),
                    match_policy: Some("Equivalent".to_owned()),
                    reinvocation_policy: Some("IfNeeded".to_owned()),
                    side_effects: "NoneOnDryRun".to_owned(),
                    timeout_seconds: Some(TIMEOUT_SECONDS),
                    ..MutatingWebhook::default()
                })
                .collect(),
        ),
    };
    let by_automation = vec![condition("by-automation", is_automation(config))];
    let by_people = by_people(config);
    vec![
        build(
            names::AUTOMATION_REGISTRATION,
            names::path::MUTATE_AUTOMATION,
            vec![
                entry("deployments.automation", vec![deployments()], &by_automation, None),
                entry("scale.automation", vec![scale()], &by_automation, None),
            ],
        ),
        build(
            names::PEOPLE_REGISTRATION,
            names::path::MUTATE_PEOPLE,
            vec![
                entry("deployments.people", vec![deployments()], &by_people, Some(guarded(config))),
                entry("scale.people", vec![scale()], &by_people, Some(guarded(config))),
            ],
        ),
    ]
}

fn automation_entries(config: &SmartOpsConfigSpec) -> Vec<Entry> {
    let everything = rule(&AUTOMATION_GROUPS, &["*/*"], &["CREATE", "UPDATE", "DELETE", "CONNECT"]);
    let by_automation = condition("by-automation", is_automation(config));
    let objects = vec![
        by_automation.clone(),
        condition("not-events", "request.resource.resource != 'events'".to_owned()),
        condition(
            "not-scale",
            "!has(request.subResource) || request.subResource != 'scale'".to_owned(),
        ),
    ];
    let scale = rule(&AUTOMATION_GROUPS, &["*/scale"], &["CREATE", "UPDATE", "DELETE", "CONNECT"]);
    vec![
        entry("objects.automation", vec![everything], &objects, None),
        entry("scale.automation", vec![scale], &[by_automation], None),
    ]
}

fn people_entries(config: &SmartOpsConfigSpec) -> Vec<Entry> {
    let by_people = by_people(config);
    let autoscalers = rule(&["autoscaling"], &["horizontalpodautoscalers"], &["CREATE", "UPDATE"]);
    [
        ("deployments.people", deployments()),
        ("scale.people", scale()),
        ("horizontalpodautoscalers.people", autoscalers),
    ]
    .into_iter()
    .map(|(name, rule)| entry(name, vec![rule], &by_people, Some(guarded(config))))
    .collect()
}

fn deployments() -> RuleWithOperations {
    rule(&["apps"], &["deployments"], &["CREATE", "UPDATE"])
}

fn scale() -> RuleWithOperations {
    rule(&["apps"], &["deployments/scale"], &["UPDATE"])
}

fn entry(
    name: &str,
    rules: Vec<RuleWithOperations>,
    conditions: &[MatchCondition],
    namespaces: Option<LabelSelector>,
) -> Entry {
    Entry {
        name: format!("{name}.{}", names::GROUP),
        rules,
        conditions: conditions.to_vec(),
        namespaces,
    }
}

fn rule(groups: &[&str], resources: &[&str], operations: &[&str]) -> RuleWithOperations {
    let owned = |items: &[&str]| Some(items.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
    RuleWithOperations {
        api_groups: owned(groups),
        api_versions: owned(&["*"]),
        resources: owned(resources),
        operations: owned(operations),
        scope: Some("*".to_owned()),
    }
}

fn condition(name: &str, expression: String) -> MatchCondition {
    MatchCondition { name: name.to_owned(), expression }
}

/// People are whoever is neither automation nor the control plane at work on its own objects; the latter is left
/// out here as well as in the judgement, so that an outage of the webhook stops no rollout under way.
fn by_people(config: &SmartOpsConfigSpec) -> Vec<MatchCondition> {
    vec![
        condition("not-by-automation", format!("!({})", is_automation(config))),
        condition(
            "not-by-the-control-plane",
            format!("!(request.userInfo.username in {})", cel_list(control_plane())),
        ),
    ]
}

/// Everybody the guard, too, takes for the control plane.
fn control_plane() -> impl Iterator<Item = String> {
    let accounts = names::CONTROL_PLANE_SERVICE_ACCOUNTS
        .map(|name| names::service_account_user("kube-system", name));
    names::CONTROL_PLANE_USERS.map(str::to_owned).into_iter().chain(accounts)
}

/// A CEL expression that holds for automation's users: the same list the webhook decides by.
fn is_automation(config: &SmartOpsConfigSpec) -> String {
    let automation = &config.automation;
    let controller =
        names::service_account_user(names::SYSTEM_NAMESPACE, names::CONTROLLER_SERVICE_ACCOUNT);
    let users = std::iter::once(controller).chain(automation.users.iter().cloned()).chain(
        automation
            .service_accounts
            .iter()
            .map(|s| names::service_account_user(&s.namespace, &s.name)),
    );
    let groups: Vec<String> = automation
        .groups
        .iter()
        .cloned()
        .chain(automation.namespaces.iter().map(|n| format!("system:serviceaccounts:{n}")))
        .collect();
    let by_user = format!("request.userInfo.username in {}", cel_list(users));
    if groups.is_empty() {
        return by_user;
    }
    format!(
        "{by_user} || (has(request.userInfo.groups) && request.userInfo.groups.exists(g, g in {}))",
        cel_list(groups)
    )
}

fn cel_list(items: impl IntoIterator<Item = String>) -> String {
    let quoted: Vec<String> = items
        .into_iter()
        .map(|item| format!("'{}'", item.replace('\\', "\\\\").replace('\'', "\\'")))
        .collect();
    format!("[{}]", quoted.join(", "))
}

fn guarded(config: &SmartOpsConfigSpec) -> LabelSelector {
    let excluded = &config.guarded.exclude_namespaces;
    let requirement = LabelSelectorRequirement {
        key: "kubernetes.io/metadata.name".to_owned(),
        operator: "NotIn".to_owned(),
        values: Some(excluded.clone()),
    };
    LabelSelector {
        match_expressions: (!excluded.is_empty()).then(|| vec![requirement]),
        ..LabelSelector::default()
    }
}

fn client_config(reach: &Reach, path: &str) -> WebhookClientConfig {
    let base =
        WebhookClientConfig { ca_bundle: None::<ByteString>, ..WebhookClientConfig::default() };
    match reach {
        Reach::Service => WebhookClientConfig {
            service: Some(ServiceReference {
                name: names::WEBHOOK_SERVICE.to_owned(),
                namespace: names::SYSTEM_NAMESPACE.to_owned(),
                path: Some(path.to_owned()),
                port: Some(443),
            }),
            ..base
        },
        Reach::Url(url) => WebhookClientConfig {
            url: Some(format!("{}{path}", url.trim_end_matches('/'))),
            ..base
        },
    }
}

#[cfg(test)]
mod tests {
    use smartops_common::config::{Automation, ServiceAccount};

    use super::*;

    #[test]
    fn quotes_in_a_user_name_cannot_leave_the_cel_string() {
        assert_eq!(cel_list(["o'neil\\".to_owned()]), r"['o\'neil\\']");
    }

    #[test]
    fn every_way_of_naming_automation_reaches_the_condition() {
        let config = SmartOpsConfigSpec {
            automation: Automation {
                users: vec!["ci".into()],
                groups: vec!["bots".into()],
                service_accounts: vec![ServiceAccount { namespace: "a".into(), name: "x".into() }],
                namespaces: vec!["agents".into()],
            },
            ..SmartOpsConfigSpec::default()
        };
        let expression = is_automation(&config);
        for word in [
            "'system:serviceaccount:smartops-system:smartops-orchestrator'",
            "'ci'",
            "'bots'",
            "'system:serviceaccount:a:x'",
            "'system:serviceaccounts:agents'",
        ] {
            assert!(expression.contains(word), "{word} is not in {expression}");
        }
    }

    #[test]
    fn the_two_audiences_are_told_apart_by_path_and_fail_closed() {
        let config = SmartOpsConfigSpec::default();
        let reach = Reach::Url("https://127.0.0.1:1/".into());
        for (registration, path) in validating(&config, &reach)
            .into_iter()
            .zip([names::path::VALIDATE_AUTOMATION, names::path::VALIDATE_PEOPLE])
        {
            for webhook in registration.webhooks.unwrap() {
                assert_eq!(webhook.client_config.url, Some(format!("https://127.0.0.1:1{path}")));
                assert_eq!(webhook.failure_policy.as_deref(), Some("Fail"));
            }
        }
    }

    #[test]
    fn people_in_kube_system_and_our_namespace_never_wait_for_the_webhook() {
        let config = SmartOpsConfigSpec::default();
        for webhook in validating(&config, &Reach::Service)[1].webhooks.as_ref().unwrap() {
            let expressions =
                webhook.namespace_selector.clone().unwrap().match_expressions.unwrap();
            let values = expressions[0].values.clone().unwrap();
            assert!(values.contains(&"kube-system".to_owned()));
            assert!(values.contains(&"smartops-system".to_owned()));
        }
    }
}
