//! Which writes may carry other labels, and so take an object out of what a policy selects by label. Whether one
//! does is `fit`'s.

use std::collections::BTreeSet;

use smartops_change::{Change, Operation};

use super::compile::CompiledPolicy;
use super::covered::Covered;

/// The subresources whose update the API server stores with other labels: the status of nearly every kind of its own,
/// and what finalises a namespace.
const CARRYING: [&str; 2] = ["status", "finalize"];

/// Whether the API server keeps the labels of this kind as they are when its status is written. Of custom resources it
/// does so too, but nothing tells them from kinds of an API server of its own.
fn keeps_labels(group: &str, resource: &str) -> bool {
    (group, resource) == ("apps", "deployments")
}

/// Whether a change is one of an object whose labels may be others afterwards.
pub(super) fn may_relabel(change: &Change<'_>) -> bool {
    let subresource = change.resource().subresource;
    change.operation() == Operation::Update
        && (subresource.is_empty() || CARRYING.contains(&subresource))
}

/// Whether a change is of a namespace, by whichever of its subresources.
pub(super) fn is_of_a_namespace(change: &Change<'_>) -> bool {
    let resource = change.resource();
    resource.group.is_empty() && resource.resource == "namespaces"
}

impl CompiledPolicy {
    /// The updates that may take an object out of what the policy selects by label and that it does not cover
    /// otherwise. Only those that change labels have to be sent.
    pub fn relabelled(&self) -> Vec<Covered> {
        if !self.selects_objects() || !self.rules().bind_something() {
            return Vec::new();
        }
        let covered = self.covered();
        let is_covered = |group: &str, resource: &str, subresource: &str| {
            covered.iter().any(|c| {
                (c.group.as_str(), c.resource.as_str(), c.subresource.as_str())
                    == (group, resource, subresource)
                    && c.operations.contains(&Operation::Update)
            })
        };
        let kinds: BTreeSet<(&str, &str)> = self.coverage.resources().collect();
        let mut relabelled = Vec::new();
        for (group, resource) in kinds {
            let by_status = (!keeps_labels(group, resource)).then_some("status");
            for subresource in [Some(""), by_status].into_iter().flatten() {
                if !is_covered(group, resource, subresource) {
                    relabelled.push(Covered {
                        group: group.to_owned(),
                        resource: resource.to_owned(),
                        subresource: subresource.to_owned(),
                        version: self.coverage.version(group, resource),
                        operations: vec![Operation::Update],
                    });
                }
            }
        }
        relabelled
    }
}

#[cfg(test)]
mod tests {
    use smartops_common::denial::Rule;

    use crate::policy::compile;
    use crate::sample::{self, Write};

    fn spec(kind: &str, operation: &str, rules: &str) -> crate::policy::GuardrailPolicySpec {
        let spec = format!(
            r#"{{"match":{{"kinds":[{kind}],"operations":["{operation}"],
            "objects":{{"matchLabels":{{"keep":"yes"}}}}}},"rules":{rules}}}"#
        );
        serde_json::from_str(&spec).unwrap()
    }

    const KEPT: &str = r#"{"deletion":{"allow":"Never"}}"#;
    const CLOSED: &str =
        r#"{"custom":[{"name":"closed","expression":"false","failurePolicy":"Fail"}]}"#;

    #[test]
    fn what_may_carry_labels_is_sent_where_a_policy_selects_by_them() {
        for (kind, operation, rules, expected) in [
            (r#"{"group":"apps","resource":"deployments"}"#, "DELETE", KEPT, vec![]),
            (
                r#"{"group":"apps","resource":"statefulsets"}"#,
                "DELETE",
                KEPT,
                vec!["statefulsets/status"],
            ),
            (r#"{"resource":"pods/exec"}"#, "CONNECT", CLOSED, vec!["pods/", "pods/status"]),
            (r#"{"group":"apps","resource":"statefulsets"}"#, "DELETE", "{}", vec![]),
        ] {
            let policy = compile("p", &spec(kind, operation, rules)).unwrap();
            let relabelled: Vec<String> = policy
                .relabelled()
                .iter()
                .map(|c| format!("{}/{}", c.resource, c.subresource))
                .collect();
            assert_eq!(relabelled, expected, "{kind} {rules}");
        }
    }

    #[test]
    fn nobody_takes_an_object_out_of_a_policy_by_way_of_its_status() {
        let kept = r#"{"group":"apps","resource":"statefulsets"}"#;
        let closed = r#"{"resource":"pods/exec"}"#;
        for (spec, group, resource, subresource) in [
            (spec(kept, "DELETE", KEPT), "apps", "statefulsets", "status"),
            (spec(kept, "DELETE", KEPT), "apps", "statefulsets", ""),
            (spec(closed, "CONNECT", CLOSED), "", "pods", ""),
            (spec(closed, "CONNECT", CLOSED), "", "pods", "status"),
        ] {
            let policies = [sample::applied("p", &spec)];
            let labelled =
                |labels: &str| format!(r#"{{"metadata":{{"name":"web","labels":{labels}}}}}"#);
            for (after, expected) in
                [("{}", vec![Rule::Selection]), (r#"{"keep":"yes","x":"y"}"#, vec![])]
            {
                let mut write = Write::of(smartops_change::Operation::Update, group, resource);
                write.subresource = subresource;
                write.old = Some(labelled(r#"{"keep":"yes"}"#));
                write.new = Some(labelled(after));
                let verdict =
                    sample::verdict_with(&write, &sample::person(), &sample::facts(&policies));
                let rules =
                    verdict.denial().map(|d| d.causes.iter().map(|c| c.rule).collect::<Vec<_>>());
                assert_eq!(rules.unwrap_or_default(), expected, "{resource}/{subresource} {after}");
            }
        }
    }
}
