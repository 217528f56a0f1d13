//! SmartOpsConfig: who automation is and which namespaces are guarded. One object, named `default`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_core::CustomResourceExt;
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{names, schema};

/// Who automation is, and which namespaces are guarded. Read by registrations and judgement alike.
#[derive(
    CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default,
)]
#[kube(
    group = "smartops.dev",
    version = "v1alpha1",
    kind = "SmartOpsConfig",
    plural = "smartopsconfigs",
    shortname = "soc",
    category = "smartops",
    status = "SmartOpsConfigStatus",
    derive = "PartialEq",
    crates(kube_core = "::kube_core"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SmartOpsConfigSpec {
    /// Who counts as automation. The controller's own ServiceAccount always does and need not be named.
    #[serde(default)]
    pub automation: Automation,
    /// Which namespaces people's policies reach.
    #[serde(default)]
    pub guarded: Guarded,
}

/// Who counts as automation.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Automation {
    /// User names, exactly as the API server authenticates them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub users: Vec<String>,
    /// Groups; a member of any is automation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub groups: Vec<String>,
    /// ServiceAccounts by namespace and name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub service_accounts: Vec<ServiceAccount>,
    /// Namespaces whose every ServiceAccount is automation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub namespaces: Vec<String>,
}

/// A ServiceAccount by namespace and name.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceAccount {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Which namespaces people's policies reach: all but these.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Guarded {
    /// Namespaces left alone, by name (`kubernetes.io/metadata.name`). The default leaves the cluster's own
    /// namespaces and SmartOps' alone.
    #[serde(default = "default_excluded")]
    #[schemars(length(max = 64))]
    pub exclude_namespaces: Vec<String>,
}

impl Default for Guarded {
    fn default() -> Self {
        Self { exclude_namespaces: default_excluded() }
    }
}

fn default_excluded() -> Vec<String> {
    names::UNGUARDED_NAMESPACES.map(str::to_owned).to_vec()
}

/// What SmartOps says about its configuration.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct SmartOpsConfigStatus {
    /// The generation the conditions speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: the webhook judges by this configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// The CustomResourceDefinition, with the rules that stand at the schema's root.
pub fn crd() -> CustomResourceDefinition {
    schema::with_root_rules(
        SmartOpsConfig::crd(),
        &[(
            "self.metadata.name == 'default'",
            "there is one SmartOpsConfig and its name is default",
        )],
    )
}

impl SmartOpsConfigSpec {
    /// Whether a user with these groups, as the API server authenticated it, is automation.
    pub fn is_automation<S: AsRef<str>>(&self, username: &str, groups: &[S]) -> bool {
        let controller =
            names::service_account_user(names::SYSTEM_NAMESPACE, names::CONTROLLER_SERVICE_ACCOUNT);
        if username == controller || self.automation.users.iter().any(|u| u == username) {
            return true;
        }
        if groups.iter().any(|g| self.automation.groups.iter().any(|a| a == g.as_ref())) {
            return true;
        }
        let Some((namespace, name)) =
            username.strip_prefix("system:serviceaccount:").and_then(|r| r.split_once(':'))
        else {
            return false;
        };
        self.automation.namespaces.iter().any(|n| n == namespace)
            || self
                .automation
                .service_accounts
                .iter()
                .any(|s| s.namespace == namespace && s.name == name)
    }

    /// Whether people's policies reach this namespace.
    pub fn guards(&self, namespace: &str) -> bool {
        !self.guarded.exclude_namespaces.iter().any(|n| n == namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn the_controller_is_automation_without_being_named() {
        let user = "system:serviceaccount:smartops-system:smartops-orchestrator";
        assert!(SmartOpsConfigSpec::default().is_automation(user, &[] as &[&str]));
    }

    #[test]
    fn each_way_of_naming_automation_holds_and_its_neighbour_does_not() {
        let table: [(&str, &[&str], bool); 8] = [
            ("ci", &[], true),
            ("ci2", &[], false),
            ("alice", &["bots"], true),
            ("alice", &["bot"], false),
            ("system:serviceaccount:a:x", &[], true),
            ("system:serviceaccount:a:y", &[], false),
            ("system:serviceaccount:agents:anything", &[], true),
            ("agents:anything", &[], false),
        ];
        for (user, groups, expected) in table {
            assert_eq!(config().is_automation(user, groups), expected, "{user} {groups:?}");
        }
    }

    #[test]
    fn kube_system_and_our_own_namespace_are_not_guarded_by_default() {
        let config = SmartOpsConfigSpec::default();
        assert!(!config.guards("kube-system"));
        assert!(!config.guards("smartops-system"));
        assert!(config.guards("smartops-dev"));
    }
}
