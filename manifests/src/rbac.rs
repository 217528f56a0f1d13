//! The roles in `manifests/rbac.yaml` and the matrix in `docs/rbac_matrix.yaml`, both made of the same grants. Who may do
//! what is `grants`'; roles for people are `roles`'.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use smartops_common::names;

use crate::grants::{Account, Grant, Scope, grants};
use crate::roles;

/// The objects of `manifests/rbac.yaml`, as JSON values in the order in which they can be applied: the programs' rights,
/// then roles for the programs and for people that are bound to nobody.
pub fn objects(target_namespaces: &[&str]) -> Result<Vec<serde_json::Value>, serde_json::Error> {
    let mut objects = vec![serde_json::to_value(system_namespace())?];
    for account in Account::PROGRAMS {
        objects.push(serde_json::to_value(service_account(account))?);
        for scope in [Scope::Cluster, Scope::SystemNamespace, Scope::TargetNamespaces] {
            let rules = rules(account, scope);
            if rules.is_empty() {
                continue;
            }
            match scope {
                Scope::DefaultTargetNamespace | Scope::WhereBound => {}
                Scope::Cluster => {
                    let name = format!("{}-cluster", account.service_account());
                    objects.push(serde_json::to_value(cluster_role(&name, rules))?);
                    objects.push(serde_json::to_value(cluster_role_binding(&name, account))?);
                }
                Scope::SystemNamespace => {
                    for (name, rules) in in_system_namespace(account, rules) {
                        let binding = role_binding(&name, names::SYSTEM_NAMESPACE, "Role", account);
                        objects.push(serde_json::to_value(Role {
                            metadata: metadata(&name, Some(names::SYSTEM_NAMESPACE)),
                            rules: Some(rules),
                        })?);
                        objects.push(serde_json::to_value(binding)?);
                    }
                }
                Scope::TargetNamespaces => {
                    let name = account.service_account();
                    objects.push(serde_json::to_value(cluster_role(name, rules))?);
                    for namespace in target_namespaces {
                        let binding = role_binding(name, namespace, "ClusterRole", account);
                        objects.push(serde_json::to_value(binding)?);
                    }
                }
            }
        }
    }
    for role in optional_roles() {
        objects.push(serde_json::to_value(role)?);
    }
    for role in roles::for_people() {
        objects.push(serde_json::to_value(role)?);
    }
    Ok(objects)
}

/// An account's rules in the namespace of SmartOps, by the roles that hold them: what the controller does with Secrets is
/// a role of its own, as in the chart, which leaves it out where somebody else keeps the certificate.
fn in_system_namespace(
    account: Account,
    rules: Vec<PolicyRule>,
) -> impl Iterator<Item = (String, Vec<PolicyRule>)> {
    let name = account.service_account();
    let is_apart = |rule: &PolicyRule| {
        account == Account::Controller
            && rule.resources.iter().flatten().any(|resource| resource == "secrets")
    };
    let (apart, rest): (Vec<_>, Vec<_>) = rules.into_iter().partition(is_apart);
    let held = [(name.to_owned(), rest), (format!("{name}-certificate"), apart)];
    held.into_iter().filter(|(_, rules)| !rules.is_empty())
}

/// The matrix in `docs/rbac_matrix.yaml`: grants by ServiceAccount.
pub fn matrix() -> BTreeMap<String, Vec<Grant>> {
    let mut matrix: BTreeMap<String, Vec<Grant>> = BTreeMap::new();
    for grant in grants() {
        let user =
            names::service_account_user(names::SYSTEM_NAMESPACE, grant.account.service_account());
        matrix.entry(user).or_default().push(grant);
    }
    matrix
}

/// The roles that hold one right each, and that nobody is bound to.
pub fn optional_roles() -> impl Iterator<Item = ClusterRole> {
    let grants = grants().into_iter();
    grants.filter_map(|grant| Some(cluster_role(grant.role?, vec![rule(&grant)])))
}

/// What an account holds there, as the rules of a role.
pub fn rules(account: Account, scope: Scope) -> Vec<PolicyRule> {
    grants().iter().filter(|g| g.account == account && g.scope == scope).map(rule).collect()
}

fn rule(grant: &Grant) -> PolicyRule {
    let owned = |items: &[&str]| items.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    PolicyRule {
        api_groups: Some(vec![grant.group.to_owned()]),
        resources: Some(owned(grant.resources)),
        resource_names: (!grant.names.is_empty()).then(|| owned(grant.names)),
        verbs: owned(grant.verbs),
        ..PolicyRule::default()
    }
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

fn service_account(account: Account) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata(account.service_account(), Some(names::SYSTEM_NAMESPACE)),
        ..ServiceAccount::default()
    }
}

pub(crate) fn cluster_role(name: &str, rules: Vec<PolicyRule>) -> ClusterRole {
    ClusterRole { metadata: metadata(name, None), rules: Some(rules), ..ClusterRole::default() }
}

fn cluster_role_binding(name: &str, account: Account) -> ClusterRoleBinding {
    ClusterRoleBinding {
        metadata: metadata(name, None),
        role_ref: role_ref("ClusterRole", name),
        subjects: Some(vec![subject(account)]),
    }
}

fn role_binding(name: &str, namespace: &str, kind: &str, account: Account) -> RoleBinding {
    RoleBinding {
        metadata: metadata(name, Some(namespace)),
        role_ref: role_ref(kind, name),
        subjects: Some(vec![subject(account)]),
    }
}

fn role_ref(kind: &str, name: &str) -> RoleRef {
    RoleRef {
        api_group: Some("rbac.authorization.k8s.io".to_owned()),
        kind: kind.to_owned(),
        name: name.to_owned(),
    }
}

fn subject(account: Account) -> Subject {
    Subject {
        kind: "ServiceAccount".to_owned(),
        name: account.service_account().to_owned(),
        namespace: Some(names::SYSTEM_NAMESPACE.to_owned()),
        ..Subject::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roles_of_capabilities_are_installed_and_bound_to_nobody() {
        let objects = objects(&[names::DEFAULT_TARGET_NAMESPACE]).unwrap();
        for name in [names::EVICTION_ROLE, names::AUTOSCALER_ROLE] {
            let roles = objects.iter().filter(|o| o["metadata"]["name"] == name);
            assert_eq!(roles.map(|role| &role["kind"]).collect::<Vec<_>>(), ["ClusterRole"]);
            assert!(objects.iter().all(|o| o["roleRef"]["name"] != name), "{name}");
        }
    }
}
