//! Roles for people: who approves, and who looks. An installation brings them and binds them to nobody. What SmartOps'
//! own programs hold is `grants`'.

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use smartops_common::names;

use crate::rbac;

const READ: &[&str] = &["get", "list", "watch"];

/// The roles, each a ClusterRole to be bound in a namespace or in all of them.
pub fn for_people() -> [ClusterRole; 2] {
    [
        rbac::cluster_role(
            names::APPROVER_ROLE,
            vec![
                rule(&["remediations"], READ),
                rule(&["remediationapprovals"], &["create", "get", "list", "watch", "delete"]),
            ],
        ),
        rbac::cluster_role(
            names::VIEWER_ROLE,
            vec![rule(
                &[
                    "guardrailpolicies",
                    "guardrailexceptions",
                    "smartopsconfigs",
                    "remediations",
                    "remediationapprovals",
                    "remediationpolicies",
                    "changeledgers",
                ],
                READ,
            )],
        ),
    ]
}

fn rule(resources: &[&str], verbs: &[&str]) -> PolicyRule {
    let owned = |items: &[&str]| items.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    PolicyRule {
        api_groups: Some(vec![names::GROUP.to_owned()]),
        resources: Some(owned(resources)),
        verbs: owned(verbs),
        ..PolicyRule::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approver_decides_and_looks_and_changes_nothing_and_a_viewer_only_looks() {
        let [approver, viewer] = for_people().map(|role| role.rules.unwrap());
        let writes = |rules: &[PolicyRule]| {
            let writing =
                |rule: &&PolicyRule| rule.verbs.iter().any(|v| !READ.contains(&v.as_str()));
            let resources = rules.iter().filter(writing).filter_map(|rule| rule.resources.clone());
            resources.flatten().collect::<Vec<_>>()
        };
        assert_eq!(writes(&approver), ["remediationapprovals"]);
        assert!(approver.iter().all(|rule| !rule.verbs.contains(&"update".to_owned())));
        assert_eq!(writes(&viewer), [] as [&str; 0]);
    }
}
