//! SmartOpsConfig: who automation is and which namespaces are guarded. One object, named `default`.

mod limits;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube_core::CustomResourceExt;
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::limits::{Limits, Rate, Retention, Storm};
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
    printcolumn(name = "Closed-loop", type_ = "boolean", json_path = ".status.closedLoop.enabled"),
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
    /// Who may let a write past every policy.
    #[serde(default)]
    pub break_glass: BreakGlass,
    /// Who may approve a Remediation that waits for it, and how long an approval counts.
    #[serde(default)]
    pub approval: Approval,
    /// What an outage of the webhook means for people.
    #[serde(default)]
    pub people: People,
    /// How much the closed loop does at once and in a while.
    #[serde(default)]
    pub closed_loop: Limits,
    /// How long Remediations that have ended are kept.
    #[serde(default)]
    pub retention: Retention,
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

/// Who may let a write past every policy, by the annotation `smartops.dev/break-glass` with a reason. Automation never
/// may, whatever its groups.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BreakGlass {
    /// Groups whose members may; none by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub groups: Vec<String>,
}

/// Who may approve, and for how long that counts. Automation never may, whatever its groups.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Approval {
    /// Groups whose members may; none by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub groups: Vec<String>,
    /// How long a Remediation waits for an approval, and how long one counts. Seconds.
    #[serde(default = "default_expiry")]
    #[schemars(range(min = 10, max = 86400))]
    pub expiry_seconds: u32,
}

impl Default for Approval {
    fn default() -> Self {
        Self { groups: Vec::new(), expiry_seconds: default_expiry() }
    }
}

const fn default_expiry() -> u32 {
    900
}

/// How people's writes fare.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct People {
    /// What becomes of them while no webhook answers. Automation's are refused then, whatever stands here.
    #[serde(default)]
    pub outage: Outage,
}

/// What becomes of people's writes while no webhook answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Outage {
    /// Writes of guarded workloads wait: they are refused until it answers again.
    #[default]
    Fail,
    /// They pass, held by the rules about numbers and images of Enforce policies, which the API server then judges
    /// by itself.
    Backstop,
    /// They pass.
    Ignore,
}

impl Outage {
    /// The name in configuration, messages and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "Fail",
            Self::Backstop => "Backstop",
            Self::Ignore => "Ignore",
        }
    }
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
    /// Whether signals are acted on: the kill switch. Absent means that nobody has touched it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_loop: Option<ClosedLoop>,
}

/// The kill switch of the closed loop, and who turned it last.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ClosedLoop {
    /// Whether signals are acted on. While they are not, each ends as a Remediation that was skipped.
    pub enabled: bool,
    /// Who turned it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub changed_by: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Time>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
}

impl Default for ClosedLoop {
    fn default() -> Self {
        Self { enabled: true, changed_by: None, changed_at: None, reason: None }
    }
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

/// One way of being automation, as the API server authenticates users. Registrations and judgement read the same
/// list of these, so that they cannot disagree about anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Principal<'a> {
    /// The user of this name.
    User(&'a str),
    /// Whoever is in this group.
    Group(&'a str),
    /// This ServiceAccount.
    ServiceAccount {
        /// Its namespace.
        namespace: &'a str,
        /// Its name.
        name: &'a str,
    },
    /// Every ServiceAccount of this namespace, by its user name or by the namespace's group: whoever impersonates
    /// one need not carry the other.
    ServiceAccountsOf(&'a str),
}

impl Principal<'_> {
    /// Whether a user with these groups is meant.
    pub fn is<S: AsRef<str>>(&self, username: &str, groups: &[S]) -> bool {
        let account = || username.strip_prefix("system:serviceaccount:")?.split_once(':');
        let of = |group: &str, wanted: &str| {
            group.strip_prefix("system:serviceaccounts:").is_some_and(|of| of == wanted)
        };
        match *self {
            Self::User(user) => user == username,
            Self::Group(group) => groups.iter().any(|g| g.as_ref() == group),
            Self::ServiceAccount { namespace, name } => account() == Some((namespace, name)),
            Self::ServiceAccountsOf(namespace) => {
                account().is_some_and(|(of, _)| of == namespace)
                    || groups.iter().any(|g| of(g.as_ref(), namespace))
            }
        }
    }
}

impl SmartOpsConfigSpec {
    /// Every way of being automation, the controller's first.
    pub fn automation_principals(&self) -> impl Iterator<Item = Principal<'_>> {
        let Automation { users, groups, service_accounts, namespaces } = &self.automation;
        let controller = Principal::ServiceAccount {
            namespace: names::SYSTEM_NAMESPACE,
            name: names::CONTROLLER_SERVICE_ACCOUNT,
        };
        std::iter::once(controller)
            .chain(users.iter().map(|user| Principal::User(user)))
            .chain(groups.iter().map(|group| Principal::Group(group)))
            .chain(
                service_accounts
                    .iter()
                    .map(|s| Principal::ServiceAccount { namespace: &s.namespace, name: &s.name }),
            )
            .chain(namespaces.iter().map(|namespace| Principal::ServiceAccountsOf(namespace)))
    }

    /// Whether a user with these groups, as the API server authenticated it, is automation.
    pub fn is_automation<S: AsRef<str>>(&self, username: &str, groups: &[S]) -> bool {
        self.automation_principals().any(|principal| principal.is(username, groups))
    }

    /// Whether a user with these groups may break the glass.
    pub fn may_break_glass<S: AsRef<str>>(&self, username: &str, groups: &[S]) -> bool {
        let is_member = |group: &String| groups.iter().any(|g| g.as_ref() == group);
        self.break_glass.groups.iter().any(is_member) && !self.is_automation(username, groups)
    }

    /// Whether a user with these groups may approve Remediations.
    pub fn may_approve<S: AsRef<str>>(&self, username: &str, groups: &[S]) -> bool {
        let is_member = |group: &String| groups.iter().any(|g| g.as_ref() == group);
        self.approval.groups.iter().any(is_member) && !self.is_automation(username, groups)
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
        let table: [(&str, &[&str], bool); 11] = [
            ("ci", &[], true),
            ("ci2", &[], false),
            ("alice", &["bots"], true),
            ("alice", &["bot"], false),
            ("system:serviceaccount:a:x", &[], true),
            ("system:serviceaccount:a:y", &[], false),
            ("system:serviceaccount:agents:anything", &[], true),
            ("agents:anything", &[], false),
            ("system:serviceaccount:agents", &[], false),
            ("somebody", &["system:serviceaccounts:agents"], true),
            ("somebody", &["system:serviceaccounts:agents-2"], false),
        ];
        for (user, groups, expected) in table {
            assert_eq!(config().is_automation(user, groups), expected, "{user} {groups:?}");
        }
    }

    #[test]
    fn a_member_may_break_the_glass_and_automation_never() {
        let config = SmartOpsConfigSpec {
            break_glass: BreakGlass { groups: vec!["oncall".into()] },
            ..config()
        };
        for (user, groups, expected) in [
            ("alice", vec!["oncall"], true),
            ("alice", vec!["on-call"], false),
            ("alice", vec![], false),
            ("alice", vec!["oncall", "bots"], false),
            ("ci", vec!["oncall"], false),
            ("system:serviceaccount:smartops-system:smartops-orchestrator", vec!["oncall"], false),
        ] {
            assert_eq!(config.may_break_glass(user, &groups), expected, "{user} {groups:?}");
        }
    }

    #[test]
    fn a_member_may_approve_and_automation_never() {
        let config = SmartOpsConfigSpec {
            approval: Approval { groups: vec!["leads".into()], ..Approval::default() },
            ..config()
        };
        for (user, groups, expected) in [
            ("alice", vec!["leads"], true),
            ("alice", vec!["lead"], false),
            ("alice", vec!["leads", "bots"], false),
            ("ci", vec!["leads"], false),
        ] {
            assert_eq!(config.may_approve(user, &groups), expected, "{user} {groups:?}");
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
