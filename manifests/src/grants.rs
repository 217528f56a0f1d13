//! Who may do what, written once, as data: a verb that is not listed here is not held. The roles and bindings made of it
//! are `rbac`'s, roles for people are `roles`'.

mod controller;
mod hooks;
mod webhook;

use serde::Serialize;
use smartops_common::names;

/// Where a grant holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// In each namespace whose workloads SmartOps may remedy, by a RoleBinding there.
    TargetNamespaces,
    /// In the one of them that is meant where none is named.
    DefaultTargetNamespace,
    /// In SmartOps' own namespace.
    SystemNamespace,
    /// In the whole cluster.
    Cluster,
    /// Nowhere, until somebody who runs the cluster binds the role that holds it in a namespace.
    WhereBound,
}

/// One of SmartOps' ServiceAccounts: a program's, or that of what helm runs once, which lives as long as that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Account {
    /// smartops-controller.
    Controller,
    /// smartops-webhook.
    Webhook,
    /// What brings the CRDs up before an install and an upgrade.
    Crds,
    /// What takes away, before an uninstall, all by which writes are judged.
    Removal,
    /// What `helm test` runs.
    SelfTest,
}

impl Account {
    /// Those of the two programs.
    pub const PROGRAMS: [Self; 2] = [Self::Controller, Self::Webhook];
    /// Those of the chart's hooks.
    pub const HOOKS: [Self; 3] = [Self::Crds, Self::Removal, Self::SelfTest];

    /// The ServiceAccount's name, and the name of every role and binding made for it.
    pub const fn service_account(self) -> &'static str {
        match self {
            Self::Controller => names::CONTROLLER_SERVICE_ACCOUNT,
            Self::Webhook => names::WEBHOOK_SERVICE_ACCOUNT,
            Self::Crds => "smartops-crds",
            Self::Removal => "smartops-removal",
            Self::SelfTest => "smartops-self-test",
        }
    }
}

/// Verbs on resources of one API group, and why they are needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// Whose.
    #[serde(skip)]
    pub account: Account,
    /// Where.
    pub scope: Scope,
    /// The role of its own that holds it, where it is held nowhere by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// The API group, empty for core.
    pub group: &'static str,
    /// Resources and subresources.
    pub resources: &'static [&'static str],
    /// Only objects of these names, where that can be said.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub names: Names,
    /// The verbs.
    pub verbs: &'static [&'static str],
    /// Why, for whoever audits.
    pub reason: &'static str,
}

impl Grant {
    /// Held without a role of its own.
    const fn of(
        account: Account,
        scope: Scope,
        group: &'static str,
        resources: &'static [&'static str],
        names: Names,
        verbs: &'static [&'static str],
        reason: &'static str,
    ) -> Self {
        Self { account, scope, role: None, group, resources, names, verbs, reason }
    }

    /// In the whole cluster, for objects of any name, held without a role of its own.
    const fn everywhere(
        account: Account,
        group: &'static str,
        resources: &'static [&'static str],
        verbs: &'static [&'static str],
        reason: &'static str,
    ) -> Self {
        Self::of(account, Scope::Cluster, group, resources, &[], verbs, reason)
    }
}

/// Names of objects.
type Names = &'static [&'static str];

const READ: &[&str] = &["get", "list", "watch"];

/// Every grant of every account.
pub fn grants() -> Vec<Grant> {
    let mut grants = controller::on_targets();
    grants.extend(controller::everywhere());
    grants.extend(controller::capabilities());
    grants.extend(controller::approvals());
    grants.extend(replicated(
        Account::Controller,
        &[names::CONTROLLER_LEASE],
        &[names::CONTROLLER_CERTIFICATE_SECRET],
    ));
    grants.extend(webhook::judging());
    grants.extend(webhook::approvals());
    grants.extend(webhook::upkeep());
    grants.extend(webhook::history());
    grants.extend(replicated(
        Account::Webhook,
        &[names::WEBHOOK_LEASE],
        &[names::WEBHOOK_CERTIFICATE_SECRET],
    ));
    grants.extend(hooks::crds());
    grants.extend(hooks::removal());
    grants.extend(hooks::self_test());
    grants
}

/// What a program of several replicas keeps in SmartOps' own namespace: its leadership and its certificate, each of this name.
fn replicated(account: Account, lease: Names, certificate: Names) -> [Grant; 4] {
    let grant = |group, resources, names, verbs, reason| {
        Grant::of(account, Scope::SystemNamespace, group, resources, names, verbs, reason)
    };
    [
        grant(
            "coordination.k8s.io",
            &["leases"],
            &[],
            &["create"],
            "let one replica lead (create cannot be limited to a name)",
        ),
        grant(
            "coordination.k8s.io",
            &["leases"],
            lease,
            &["get", "update"],
            "hold, renew and release the leadership",
        ),
        grant(
            "",
            &["secrets"],
            &[],
            &["create"],
            "store the certificate it issued (create cannot be limited to a name)",
        ),
        grant(
            "",
            &["secrets"],
            certificate,
            &["get", "update"],
            "share one certificate between replicas and renew it",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract's verbs, and those of the Kubernetes kinds that authenticate and tell: everything outside
    /// SmartOps' own group.
    const CONTROLLER: [(&str, &str, &str, &str); 45] = [
        ("target-namespaces", "apps", "deployments", "get"),
        ("target-namespaces", "apps", "deployments", "list"),
        ("target-namespaces", "apps", "deployments", "watch"),
        ("target-namespaces", "apps", "deployments", "patch"),
        ("target-namespaces", "apps", "deployments/scale", "get"),
        ("target-namespaces", "apps", "deployments/scale", "patch"),
        ("target-namespaces", "", "pods", "get"),
        ("target-namespaces", "", "pods", "list"),
        ("target-namespaces", "apps", "replicasets", "get"),
        ("target-namespaces", "apps", "replicasets", "list"),
        ("target-namespaces", "autoscaling", "horizontalpodautoscalers", "get"),
        ("target-namespaces", "autoscaling", "horizontalpodautoscalers", "list"),
        ("target-namespaces", "", "events", "list"),
        ("target-namespaces", "", "events", "watch"),
        ("target-namespaces", "", "events", "create"),
        ("target-namespaces", "events.k8s.io", "events", "create"),
        ("target-namespaces", "events.k8s.io", "events", "patch"),
        ("target-namespaces", "smartops.dev", "remediations", "create"),
        ("target-namespaces", "smartops.dev", "remediations/status", "update"),
        ("target-namespaces", "smartops.dev", "remediations", "delete"),
        ("cluster", "smartops.dev", "remediationpolicies", "get"),
        ("cluster", "smartops.dev", "remediationpolicies", "list"),
        ("cluster", "smartops.dev", "remediationpolicies", "watch"),
        ("cluster", "smartops.dev", "remediationpolicies/status", "patch"),
        ("cluster", "smartops.dev", "remediations", "get"),
        ("cluster", "smartops.dev", "remediations", "list"),
        ("cluster", "smartops.dev", "remediations", "watch"),
        ("cluster", "", "namespaces", "get"),
        ("cluster", "authentication.k8s.io", "tokenreviews", "create"),
        ("cluster", "authorization.k8s.io", "subjectaccessreviews", "create"),
        ("where-bound", "", "pods/eviction", "create"),
        ("where-bound", "autoscaling", "horizontalpodautoscalers", "patch"),
        ("cluster", "smartops.dev", "remediationapprovals", "get"),
        ("cluster", "smartops.dev", "remediationapprovals", "list"),
        ("cluster", "smartops.dev", "remediationapprovals", "watch"),
        ("cluster", "smartops.dev", "smartopsconfigs", "get"),
        ("cluster", "smartops.dev", "smartopsconfigs", "list"),
        ("cluster", "smartops.dev", "smartopsconfigs", "watch"),
        ("cluster", "smartops.dev", "smartopsconfigs/status", "patch"),
        ("system-namespace", "coordination.k8s.io", "leases", "create"),
        ("system-namespace", "coordination.k8s.io", "leases", "get"),
        ("system-namespace", "coordination.k8s.io", "leases", "update"),
        ("system-namespace", "", "secrets", "create"),
        ("system-namespace", "", "secrets", "get"),
        ("system-namespace", "", "secrets", "update"),
    ];

    #[test]
    fn the_controller_holds_exactly_the_contracts_verbs_and_the_extras_listed_here() {
        let mut held = Vec::new();
        for grant in grants().into_iter().filter(|grant| grant.account == Account::Controller) {
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
    fn nobody_may_impersonate_mint_tokens_or_write_rbac_but_to_take_the_webhook_its_rights() {
        for grant in grants() {
            let is_rbac = grant.group == "rbac.authorization.k8s.io";
            assert_eq!(is_rbac, grant.names == [hooks::WEBHOOK_BINDING], "{grant:?}");
            assert!(
                !is_rbac || (grant.account, grant.verbs) == (Account::Removal, &["get", "delete"]),
                "{grant:?}"
            );
            assert!(!grant.verbs.iter().any(|v| ["impersonate", "bind", "escalate"].contains(v)));
            assert!(!grant.resources.contains(&"serviceaccounts/token"));
        }
    }

    #[test]
    fn what_is_read_or_rewritten_of_secrets_and_leases_is_named() {
        for grant in grants() {
            let is_held_by_name = ["secrets", "leases"].iter().any(|r| grant.resources.contains(r));
            assert!(
                !is_held_by_name || grant.verbs == ["create"] || grant.names.len() == 1,
                "{grant:?}"
            );
        }
    }

    #[test]
    fn a_right_that_only_a_capability_needs_is_held_nowhere_until_it_is_bound() {
        for grant in grants() {
            assert_eq!(grant.role.is_some(), grant.scope == Scope::WhereBound, "{grant:?}");
            let needs = ["pods/eviction", "horizontalpodautoscalers"]
                .iter()
                .any(|resource| grant.resources.contains(resource));
            let writes = grant.verbs.iter().any(|verb| !READ.contains(verb));
            assert_eq!(needs && writes, grant.role.is_some(), "{grant:?}");
        }
    }
}
