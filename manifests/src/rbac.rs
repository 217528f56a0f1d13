//! Who may do what, written once: the roles in `manifests/rbac.yaml` and the matrix in `docs/rbac_matrix.yaml` are
//! both made from [`grants`]. A verb that is not listed here is not held.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use smartops_common::names;

use crate::roles;

/// Where a grant holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// In each namespace whose workloads SmartOps may remedy, by a RoleBinding there.
    TargetNamespaces,
    /// In SmartOps' own namespace.
    SystemNamespace,
    /// In the whole cluster.
    Cluster,
}

/// One program's ServiceAccount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Program {
    /// smartops-controller.
    Controller,
    /// smartops-webhook.
    Webhook,
}

impl Program {
    const ALL: [Self; 2] = [Self::Controller, Self::Webhook];

    /// The ServiceAccount's name, and the name of every role and binding made for it.
    pub const fn service_account(self) -> &'static str {
        match self {
            Self::Controller => names::CONTROLLER_SERVICE_ACCOUNT,
            Self::Webhook => names::WEBHOOK_SERVICE_ACCOUNT,
        }
    }
}

/// Verbs on resources of one API group, and why they are needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// Whose.
    #[serde(skip)]
    pub program: Program,
    /// Where.
    pub scope: Scope,
    /// The API group, empty for core.
    pub group: &'static str,
    /// Resources and subresources.
    pub resources: &'static [&'static str],
    /// Only objects of these names, where that can be said.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub names: &'static [&'static str],
    /// The verbs.
    pub verbs: &'static [&'static str],
    /// Why, for whoever audits.
    pub reason: &'static str,
}

const READ: &[&str] = &["get", "list", "watch"];
const LEASE: &[&str] = &[names::WEBHOOK_LEASE];
const SECRET: &[&str] = &[names::WEBHOOK_CERTIFICATE_SECRET];
const REGISTRATIONS: &[&str] =
    &[names::AUTOMATION_REGISTRATION, names::PEOPLE_REGISTRATION, names::OWN_REGISTRATION];

/// Every grant of both programs.
pub fn grants() -> Vec<Grant> {
    let mut grants = controller_grants();
    grants.extend(webhook_grants());
    grants.extend(approval_grants());
    grants.extend(upkeep_grants());
    grants.extend(history_grants());
    grants
}

fn controller_grants() -> Vec<Grant> {
    use Scope::{Cluster, TargetNamespaces};
    let grant = |scope, group, resources, verbs, reason| Grant {
        program: Program::Controller,
        scope,
        group,
        resources,
        names: &[],
        verbs,
        reason,
    };
    vec![
        grant(
            TargetNamespaces,
            "apps",
            &["deployments"],
            &["get", "list", "watch", "patch"],
            "read the target before every write and while verifying; restart and patch it",
        ),
        grant(
            TargetNamespaces,
            "apps",
            &["deployments/scale"],
            &["get", "patch"],
            "scale through the subresource, which can change nothing but replicas",
        ),
        grant(
            TargetNamespaces,
            "",
            &["pods"],
            &["get", "list"],
            "see crash loops while verifying a rollout; find whose pod an alert is about",
        ),
        grant(
            TargetNamespaces,
            "apps",
            &["replicasets"],
            &["get"],
            "find the Deployment of the pod an alert is about",
        ),
        grant(
            TargetNamespaces,
            "",
            &["events"],
            &["list", "watch", "create"],
            "tell on the target what was done",
        ),
        grant(
            TargetNamespaces,
            "events.k8s.io",
            &["events"],
            &["create", "patch"],
            "the same Events by the current API; patch only counts a repeated one up",
        ),
        grant(
            TargetNamespaces,
            names::GROUP,
            &["remediations"],
            &["create"],
            "make an accepted request durable before it is answered",
        ),
        grant(
            TargetNamespaces,
            names::GROUP,
            &["remediations/status"],
            &["update"],
            "record attempts and their outcome",
        ),
        grant(
            Cluster,
            names::GROUP,
            &["remediations"],
            READ,
            "one watch over all Remediations: they are the queue",
        ),
        grant(
            Cluster,
            "",
            &["namespaces"],
            &["get"],
            "tell a namespace that does not exist from one without rights",
        ),
        grant(
            Cluster,
            "authentication.k8s.io",
            &["tokenreviews"],
            &["create"],
            "authenticate callers of the HTTP API who bring a Kubernetes bearer token",
        ),
        grant(
            Cluster,
            "authorization.k8s.io",
            &["subjectaccessreviews"],
            &["create"],
            "let such callers do through the API only what they may do themselves",
        ),
    ]
}

fn webhook_grants() -> Vec<Grant> {
    use Scope::Cluster;
    let grant = |scope, group, resources, names, verbs, reason| Grant {
        program: Program::Webhook,
        scope,
        group,
        resources,
        names,
        verbs,
        reason,
    };
    vec![
        grant(
            Cluster,
            names::GROUP,
            &["guardrailpolicies", "guardrailexceptions", "smartopsconfigs"],
            &[],
            READ,
            "judge by them",
        ),
        grant(
            Cluster,
            names::GROUP,
            &["guardrailpolicies/status", "guardrailexceptions/status", "smartopsconfigs/status"],
            &[],
            &["get", "patch"],
            "say whether they are judged by",
        ),
        grant(
            Cluster,
            "events.k8s.io",
            &["events"],
            &[],
            &["create"],
            "tell on the object that somebody broke the glass, or that automation tried to write what is SmartOps' own",
        ),
        grant(Cluster, "", &["namespaces"], &[], READ, "match policies by namespace"),
        grant(
            Cluster,
            "apps",
            &["deployments", "statefulsets", "daemonsets"],
            &[],
            READ,
            "observe what was really committed and when; read the object of a scale and the owner of what is written",
        ),
        grant(
            Cluster,
            "",
            &["replicationcontrollers"],
            &[],
            READ,
            "the same for ReplicationControllers",
        ),
        grant(
            Cluster,
            "apps",
            &["replicasets"],
            &[],
            &["get", "list"],
            "date the last rollout of a Deployment the webhook did not watch at the time; read the owner of a pod",
        ),
        grant(
            Cluster,
            "apps",
            &["controllerrevisions"],
            &[],
            &["list"],
            "date the last rollout of a StatefulSet or DaemonSet the webhook did not watch at the time",
        ),
        grant(
            Cluster,
            "",
            &["pods"],
            &[],
            &["get", "list"],
            "know whose pod is evicted or entered, and when one of its siblings last ended",
        ),
        grant(
            Cluster,
            "batch",
            &["jobs", "cronjobs"],
            &[],
            &["get"],
            "read the owner of what is written",
        ),
    ]
}

/// What approvals and warrants ask of both programs.
fn approval_grants() -> Vec<Grant> {
    use Program::{Controller, Webhook};
    let grant = |program, group, resources, verbs, reason| Grant {
        program,
        scope: Scope::Cluster,
        group,
        resources,
        names: &[],
        verbs,
        reason,
    };
    vec![
        grant(
            Controller,
            names::GROUP,
            &["remediationapprovals"],
            READ,
            "see who approved what waits for it; nothing of SmartOps' writes one",
        ),
        grant(
            Controller,
            names::GROUP,
            &["smartopsconfigs"],
            READ,
            "know for how long an approval counts, and whether the closed loop is switched off",
        ),
        grant(
            Controller,
            names::GROUP,
            &["smartopsconfigs/status"],
            &["patch"],
            "switch the closed loop off and on where somebody who may asks for it; admission lets nothing else of it pass",
        ),
        grant(
            Webhook,
            names::GROUP,
            &["remediations"],
            &["get", "list"],
            "find the attempt that warrants a write, and what an approval is about, as they are at that moment",
        ),
        grant(
            Webhook,
            names::GROUP,
            &["remediationapprovals"],
            &["list"],
            "find who approved an attempt that needs it",
        ),
        grant(
            Webhook,
            "authorization.k8s.io",
            &["subjectaccessreviews"],
            &["create"],
            "let somebody ask by a Remediation only for what he may do himself",
        ),
    ]
}

/// What the webhook keeps for itself: its registrations, its leadership, its certificate.
fn upkeep_grants() -> Vec<Grant> {
    use Scope::{Cluster, SystemNamespace};
    let grant = |scope, group, resources, names, verbs, reason| Grant {
        program: Program::Webhook,
        scope,
        group,
        resources,
        names,
        verbs,
        reason,
    };
    vec![
        grant(
            Cluster,
            "admissionregistration.k8s.io",
            &["validatingwebhookconfigurations", "mutatingwebhookconfigurations"],
            &[],
            &["list", "watch"],
            "see when a registration is not as it should be (a watch cannot be limited to names)",
        ),
        grant(
            Cluster,
            "admissionregistration.k8s.io",
            &["validatingwebhookconfigurations", "mutatingwebhookconfigurations"],
            REGISTRATIONS,
            &["create", "get", "patch", "update"],
            "keep SmartOps' own registrations as policies and configuration ask for, and make one that is missing (by \
             server-side apply, which names what it creates)",
        ),
        grant(
            Cluster,
            "admissionregistration.k8s.io",
            &["validatingadmissionpolicies", "validatingadmissionpolicybindings"],
            &[],
            &["create", "delete", "get", "list", "patch", "update", "watch"],
            "keep automation from SmartOps' own objects and, as a backstop, write what policies say of numbers and \
             images, and remove it with them (their names follow the policies', so no names can be given here)",
        ),
        grant(
            SystemNamespace,
            "coordination.k8s.io",
            &["leases"],
            &[],
            &["create"],
            "let one replica lead (create cannot be limited to a name)",
        ),
        grant(
            SystemNamespace,
            "coordination.k8s.io",
            &["leases"],
            LEASE,
            &["get", "update"],
            "hold, renew and release the leadership",
        ),
        grant(
            SystemNamespace,
            "",
            &["secrets"],
            &[],
            &["create"],
            "store the certificate it issued (create cannot be limited to a name)",
        ),
        grant(
            SystemNamespace,
            "",
            &["secrets"],
            SECRET,
            &["get", "update"],
            "share one certificate between replicas and renew it",
        ),
    ]
}

/// What the webhook observes, and where it keeps it.
fn history_grants() -> Vec<Grant> {
    let grant = |scope, group, resources, verbs, reason| Grant {
        program: Program::Webhook,
        scope,
        group,
        resources,
        names: &[],
        verbs,
        reason,
    };
    vec![
        grant(
            Scope::Cluster,
            "apps",
            &["statefulsets", "daemonsets"],
            READ,
            "observe what was really committed and when",
        ),
        grant(
            Scope::Cluster,
            "",
            &["replicationcontrollers"],
            READ,
            "observe what was really committed and when",
        ),
        grant(
            Scope::SystemNamespace,
            names::GROUP,
            &["changeledgers"],
            &["get", "list", "create", "update", "delete"],
            "keep what was observed for when every replica is gone (a ledger has its namespace's name)",
        ),
    ]
}

/// The objects of `manifests/rbac.yaml`, as JSON values in the order in which they can be applied: the programs' rights,
/// then roles for people that are bound to nobody.
pub fn objects(target_namespaces: &[&str]) -> Result<Vec<serde_json::Value>, serde_json::Error> {
    let mut objects = vec![serde_json::to_value(system_namespace())?];
    for program in Program::ALL {
        objects.push(serde_json::to_value(service_account(program))?);
        for scope in [Scope::Cluster, Scope::SystemNamespace, Scope::TargetNamespaces] {
            let rules = rules(program, scope);
            if rules.is_empty() {
                continue;
            }
            match scope {
                Scope::Cluster => {
                    let name = format!("{}-cluster", program.service_account());
                    objects.push(serde_json::to_value(cluster_role(&name, rules))?);
                    objects.push(serde_json::to_value(cluster_role_binding(&name, program))?);
                }
                Scope::SystemNamespace => {
                    let name = program.service_account();
                    objects.push(serde_json::to_value(Role {
                        metadata: metadata(name, Some(names::SYSTEM_NAMESPACE)),
                        rules: Some(rules),
                    })?);
                    let binding = role_binding(name, names::SYSTEM_NAMESPACE, "Role", program);
                    objects.push(serde_json::to_value(binding)?);
                }
                Scope::TargetNamespaces => {
                    let name = program.service_account();
                    objects.push(serde_json::to_value(cluster_role(name, rules))?);
                    for namespace in target_namespaces {
                        let binding = role_binding(name, namespace, "ClusterRole", program);
                        objects.push(serde_json::to_value(binding)?);
                    }
                }
            }
        }
    }
    for role in roles::for_people() {
        objects.push(serde_json::to_value(role)?);
    }
    Ok(objects)
}

/// The matrix in `docs/rbac_matrix.yaml`: grants by ServiceAccount.
pub fn matrix() -> BTreeMap<String, Vec<Grant>> {
    let mut matrix: BTreeMap<String, Vec<Grant>> = BTreeMap::new();
    for grant in grants() {
        let user =
            names::service_account_user(names::SYSTEM_NAMESPACE, grant.program.service_account());
        matrix.entry(user).or_default().push(grant);
    }
    matrix
}

fn rules(program: Program, scope: Scope) -> Vec<PolicyRule> {
    let owned = |items: &[&str]| items.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    grants()
        .iter()
        .filter(|g| g.program == program && g.scope == scope)
        .map(|g| PolicyRule {
            api_groups: Some(vec![g.group.to_owned()]),
            resources: Some(owned(g.resources)),
            resource_names: (!g.names.is_empty()).then(|| owned(g.names)),
            verbs: owned(g.verbs),
            ..PolicyRule::default()
        })
        .collect()
}

/// Labels every installed object carries.
pub fn labels() -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "smartops"),
        ("app.kubernetes.io/part-of", "smartops"),
        ("app.kubernetes.io/managed-by", "smartops-manifests"),
    ]
    .into_iter()
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .collect()
}

/// Metadata with the common labels.
pub fn metadata(name: &str, namespace: Option<&str>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: namespace.map(str::to_owned),
        labels: Some(labels()),
        ..ObjectMeta::default()
    }
}

fn system_namespace() -> Namespace {
    let mut metadata = metadata(names::SYSTEM_NAMESPACE, None);
    metadata
        .labels
        .get_or_insert_default()
        .insert("pod-security.kubernetes.io/enforce".to_owned(), "restricted".to_owned());
    Namespace { metadata, ..Namespace::default() }
}

fn service_account(program: Program) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata(program.service_account(), Some(names::SYSTEM_NAMESPACE)),
        ..ServiceAccount::default()
    }
}

pub(crate) fn cluster_role(name: &str, rules: Vec<PolicyRule>) -> ClusterRole {
    ClusterRole { metadata: metadata(name, None), rules: Some(rules), ..ClusterRole::default() }
}

fn cluster_role_binding(name: &str, program: Program) -> ClusterRoleBinding {
    ClusterRoleBinding {
        metadata: metadata(name, None),
        role_ref: role_ref("ClusterRole", name),
        subjects: Some(vec![subject(program)]),
    }
}

fn role_binding(name: &str, namespace: &str, kind: &str, program: Program) -> RoleBinding {
    RoleBinding {
        metadata: metadata(name, Some(namespace)),
        role_ref: role_ref(kind, name),
        subjects: Some(vec![subject(program)]),
    }
}

fn role_ref(kind: &str, name: &str) -> RoleRef {
    RoleRef {
        api_group: Some("rbac.authorization.k8s.io".to_owned()),
        kind: kind.to_owned(),
        name: name.to_owned(),
    }
}

fn subject(program: Program) -> Subject {
    Subject {
        kind: "ServiceAccount".to_owned(),
        name: program.service_account().to_owned(),
        namespace: Some(names::SYSTEM_NAMESPACE.to_owned()),
        ..Subject::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract's verbs, and those of the Kubernetes kinds that authenticate and tell: everything outside
    /// SmartOps' own group.
    const CONTROLLER: [(&str, &str, &str, &str); 29] = [
        ("target-namespaces", "apps", "deployments", "get"),
        ("target-namespaces", "apps", "deployments", "list"),
        ("target-namespaces", "apps", "deployments", "watch"),
        ("target-namespaces", "apps", "deployments", "patch"),
        ("target-namespaces", "apps", "deployments/scale", "get"),
        ("target-namespaces", "apps", "deployments/scale", "patch"),
        ("target-namespaces", "", "pods", "get"),
        ("target-namespaces", "", "pods", "list"),
        ("target-namespaces", "apps", "replicasets", "get"),
        ("target-namespaces", "", "events", "list"),
        ("target-namespaces", "", "events", "watch"),
        ("target-namespaces", "", "events", "create"),
        ("target-namespaces", "events.k8s.io", "events", "create"),
        ("target-namespaces", "events.k8s.io", "events", "patch"),
        ("target-namespaces", "smartops.dev", "remediations", "create"),
        ("target-namespaces", "smartops.dev", "remediations/status", "update"),
        ("cluster", "smartops.dev", "remediations", "get"),
        ("cluster", "smartops.dev", "remediations", "list"),
        ("cluster", "smartops.dev", "remediations", "watch"),
        ("cluster", "", "namespaces", "get"),
        ("cluster", "authentication.k8s.io", "tokenreviews", "create"),
        ("cluster", "authorization.k8s.io", "subjectaccessreviews", "create"),
        ("cluster", "smartops.dev", "remediationapprovals", "get"),
        ("cluster", "smartops.dev", "remediationapprovals", "list"),
        ("cluster", "smartops.dev", "remediationapprovals", "watch"),
        ("cluster", "smartops.dev", "smartopsconfigs", "get"),
        ("cluster", "smartops.dev", "smartopsconfigs", "list"),
        ("cluster", "smartops.dev", "smartopsconfigs", "watch"),
        ("cluster", "smartops.dev", "smartopsconfigs/status", "patch"),
    ];

    #[test]
    fn the_controller_holds_exactly_the_contracts_verbs_and_the_extras_listed_here() {
        let mut held = Vec::new();
        for grant in grants().into_iter().filter(|grant| grant.program == Program::Controller) {
            let scope = serde_json::to_value(grant.scope).unwrap();
            for resource in grant.resources {
                for verb in grant.verbs {
                    let scope = scope.as_str().unwrap().to_owned();
                    held.push((scope, grant.group, *resource, *verb));
                }
            }
        }
        let expected: Vec<_> = CONTROLLER
            .into_iter()
            .map(|(scope, group, resource, verb)| (scope.to_owned(), group, resource, verb))
            .collect();
        assert_eq!(held, expected);
    }

    #[test]
    fn nobody_holds_a_wildcard_and_every_grant_has_a_reason() {
        for grant in grants() {
            let words = [grant.group].into_iter().chain(grant.resources.iter().copied());
            assert!(
                !words.chain(grant.verbs.iter().copied()).any(|w| w.contains('*')),
                "{grant:?}"
            );
            assert!(grant.reason.len() > 10, "{grant:?}");
        }
    }

    #[test]
    fn nobody_may_impersonate_mint_tokens_or_write_rbac() {
        for grant in grants() {
            assert!(grant.group != "rbac.authorization.k8s.io", "{grant:?}");
            assert!(!grant.verbs.iter().any(|v| ["impersonate", "bind", "escalate"].contains(v)));
            assert!(!grant.resources.contains(&"serviceaccounts/token"));
        }
    }
}
