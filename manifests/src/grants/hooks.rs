//! What the chart's hooks hold while they run, and why.

use std::sync::LazyLock;

use smartops_common::names;
use smartops_guard::kinds;

use super::{Account, Grant, Names, Scope};

/// The binding of the webhook's rights in the whole cluster, as `rbac` names it.
pub(super) const WEBHOOK_BINDING: &str = "smartops-webhook-cluster";
/// The controller's Service as the API server's proxy names it, where its API is served with TLS.
const CONTROLLER: &str = "https:smartops-orchestrator:8001";

/// The names of all CRDs, made once and kept as long as the program runs.
static CRDS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let names = kinds::crds().into_iter().filter_map(|crd| crd.metadata.name);
    names.map(|name| &*name.leak()).collect()
});

const REGISTRATION: &str = "admissionregistration.k8s.io";
const CONFIGURATIONS: Names = &["validatingwebhookconfigurations", "mutatingwebhookconfigurations"];

/// What brings the CRDs up holds.
pub(super) fn crds() -> [Grant; 1] {
    [Grant {
        names: &CRDS,
        ..Grant::everywhere(
            Account::Crds,
            "apiextensions.k8s.io",
            &["customresourcedefinitions"],
            &["create", "get", "patch"],
            "bring SmartOps' own kinds to what this release knows, before an install and an upgrade: helm upgrades no CRD \
             (by server-side apply, which names what it creates)",
        )
    }]
}

/// What takes all away by which writes are judged holds.
pub(super) fn removal() -> [Grant; 3] {
    let grant = |group, resources, verbs, reason| {
        Grant::everywhere(Account::Removal, group, resources, verbs, reason)
    };
    [
        Grant {
            names: &[WEBHOOK_BINDING],
            ..grant(
                "rbac.authorization.k8s.io",
                &["clusterrolebindings"],
                &["get", "delete"],
                "take the webhook its rights before anything else: one that is alive would put back what is removed",
            )
        },
        Grant {
            names: &names::REGISTRATIONS,
            ..grant(
                REGISTRATION,
                CONFIGURATIONS,
                &["get", "delete"],
                "take the registrations away before an uninstall takes what answers them",
            )
        },
        grant(
            REGISTRATION,
            &["validatingadmissionpolicies", "validatingadmissionpolicybindings"],
            &["list", "delete"],
            "take away what the API server judges by itself (their names follow the policies', so no names can be given \
             here; those of SmartOps are known by their label)",
        ),
    ]
}

/// What `helm test` runs holds.
pub(super) fn self_test() -> [Grant; 4] {
    let grant = |scope, group, resources, names, verbs, reason| {
        Grant::of(Account::SelfTest, scope, group, resources, names, verbs, reason)
    };
    [
        grant(
            Scope::Cluster,
            REGISTRATION,
            CONFIGURATIONS,
            &names::REGISTRATIONS,
            &["get"],
            "see that the webhook has filled the registrations",
        ),
        grant(
            Scope::SystemNamespace,
            "",
            &["services/proxy"],
            &[CONTROLLER],
            &["get"],
            "ask the controller whether it is ready",
        ),
        grant(
            Scope::DefaultTargetNamespace,
            "apps",
            &["deployments"],
            &[],
            &["create"],
            "try a Deployment beyond the shipped policies and one within them (only ever dry runs, which RBAC cannot say)",
        ),
        grant(
            Scope::DefaultTargetNamespace,
            names::GROUP,
            &["remediations"],
            &[],
            &["create"],
            "try a Remediation that poses as the controller's (only ever a dry run, which RBAC cannot say)",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rbac;

    #[test]
    fn what_is_taken_from_the_webhook_is_the_binding_that_gives_it_its_rights() {
        let objects = rbac::objects(&[]).unwrap();
        let mut bindings = objects.iter().filter(|object| object["kind"] == "ClusterRoleBinding");
        let binding = bindings.find(|object| object["metadata"]["name"] == WEBHOOK_BINDING);
        assert_eq!(binding.unwrap()["subjects"][0]["name"], names::WEBHOOK_SERVICE_ACCOUNT);
    }

    #[test]
    fn the_kinds_that_are_brought_up_are_all_of_smartops_and_no_others() {
        let [brought] = crds();
        assert_eq!(brought.names.len(), kinds::crds().len());
        assert!(brought.names.iter().all(|name| name.ends_with(".smartops.dev")), "{brought:?}");
    }
}
