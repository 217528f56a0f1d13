//! Whether objects may be deleted: never, or only once they run nothing. What is on its way out already may be deleted
//! again, and the control plane cleans up as it must.

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smartops_change::{NumberPath, Operation};
use smartops_common::denial::Rule;

use super::Case;
use super::replicas::number;
use crate::findings::Finding;
use crate::policy::Flaw;

/// Whether objects may be deleted.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeletionSpec {
    /// Which.
    pub allow: Deletable,
}

/// Which objects may be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Deletable {
    /// None.
    Never,
    /// Those whose number of replicas is 0; of a kind without a number, none.
    Unused,
}

/// The rule, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deletion {
    allow: Deletable,
}

impl Deletion {
    pub(super) fn compile(spec: &DeletionSpec, _: &mut Vec<Flaw>) -> Self {
        Self { allow: spec.allow }
    }

    pub(super) fn judge(
        self,
        case: &Case<'_>,
        place: Option<&NumberPath>,
        found: &mut Vec<Finding>,
    ) {
        let change = case.change;
        let is_deleting = change.old().is_some_and(|old| old.is_deleting);
        if change.operation() != Operation::Delete || is_deleting {
            return;
        }
        // A number that cannot be read is none that is known to be 0.
        let number = number(change, place).ok().flatten();
        let runs = number.and_then(|(number, _)| number.old);
        let message = match (self.allow, runs) {
            (Deletable::Unused, Some(0)) => return,
            (Deletable::Unused, Some(runs)) => {
                format!("it runs {runs} replicas and may be deleted only at 0; scale it to 0 first")
            }
            (Deletable::Unused, None) => {
                "whether it is in use cannot be told of this kind, so it may not be deleted; leave it or ask an operator"
                    .to_owned()
            }
            (Deletable::Never, _) => {
                "it may not be deleted here; leave it or ask an operator".to_owned()
            }
        };
        found.push(Finding {
            rule: Rule::Deletion,
            path: String::new(),
            message,
            retry_after: None,
            refuses: true,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{KindMatch, OperationName};
    use crate::rules::RulesSpec;
    use crate::sample::{self, Write};

    fn refused(allow: Deletable, write: &Write) -> bool {
        let mut spec = sample::baseline();
        spec.match_.kinds = [("apps", "deployments"), ("apps", "daemonsets"), ("", "services")]
            .map(|(group, resource)| KindMatch {
                group: group.into(),
                resource: resource.into(),
                ..KindMatch::default()
            })
            .into();
        spec.match_.operations = vec![OperationName::Delete];
        spec.rules = RulesSpec { deletion: Some(DeletionSpec { allow }), ..RulesSpec::default() };
        let policies = [sample::applied("p", &spec)];
        let facts = sample::facts(&policies);
        sample::verdict_with(write, &sample::person(), &facts)
            .denial()
            .is_some_and(|d| d.leading_rule() == Some(Rule::Deletion))
    }

    #[test]
    fn what_runs_is_not_deleted_and_what_runs_nothing_is_where_the_policy_says_so() {
        use Deletable::{Never, Unused};
        let object = |replicas: &str, deleting: &str| {
            format!(r#"{{"metadata":{{"name":"web","uid":"u1"{deleting}}},"spec":{{{replicas}}}}}"#)
        };
        let gone = r#","deletionTimestamp":"2026-01-01T00:00:00Z""#;
        for (allow, kind, object, expected) in [
            (Never, "deployments", object(r#""replicas":0"#, ""), true),
            (Never, "deployments", object(r#""replicas":3"#, gone), false),
            (Unused, "deployments", object(r#""replicas":3"#, ""), true),
            (Unused, "deployments", object("", ""), true),
            (Unused, "deployments", object(r#""replicas":0"#, ""), false),
            (Unused, "daemonsets", object("", ""), true),
            (Unused, "daemonsets", object("", gone), false),
        ] {
            let mut write = Write::of(Operation::Delete, "apps", kind);
            write.old = Some(object.clone());
            assert_eq!(refused(allow, &write), expected, "{allow:?} {kind} {object}");
        }
        let mut service = Write::of(Operation::Delete, "", "services");
        service.old = Some(object("", ""));
        assert!(refused(Unused, &service));
    }

    #[test]
    fn a_custom_resource_is_unused_where_its_policy_counts_nothing() {
        let mut spec = sample::baseline();
        spec.match_.kinds = sample::widgets();
        spec.match_.operations = vec![OperationName::Delete];
        let deletion = Some(DeletionSpec { allow: Deletable::Unused });
        spec.rules = RulesSpec { deletion, ..RulesSpec::default() };
        let policies = [sample::applied("p", &spec)];
        for (size, expected) in [(2, true), (0, false)] {
            let mut write = Write::of(Operation::Delete, "example.com", "widgets");
            write.old =
                Some(format!(r#"{{"metadata":{{"name":"web"}},"spec":{{"size":{size}}}}}"#));
            let facts = sample::facts(&policies);
            let verdict = sample::verdict_with(&write, &sample::person(), &facts);
            assert_eq!(verdict.denial().is_some(), expected, "{size}");
        }
    }

    #[test]
    fn nothing_but_a_deletion_is_judged() {
        for operation in [Operation::Create, Operation::Update] {
            let write = Write::of(operation, "apps", "deployments");
            assert!(!refused(Deletable::Never, &write), "{operation}");
        }
    }
}
