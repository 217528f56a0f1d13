//! Whether every rule of a policy can bind something it matches, and everything it matches is bound by a rule: what
//! looks like a guard and is none is a mistake, told when the policy is written.

use smartops_change::{Kind, Operation};

use super::compile::Flaw;
use super::coverage::Coverage;
use super::kind::GuardrailPolicySpec;
use super::named::NamedKind;

/// A rule that a policy has, and what it judges.
struct Given {
    name: &'static str,
    operations: &'static [Operation],
    binds: fn(&NamedKind) -> bool,
    what: &'static str,
}

const WRITES: [Operation; 2] = [Operation::Create, Operation::Update];

fn anything(_: &NamedKind) -> bool {
    true
}

fn with_template(kind: &NamedKind) -> bool {
    kind.kind().has_template()
}

fn with_history(kind: &NamedKind) -> bool {
    kind.has_history() || kind.ends_pods()
}

fn objects(kind: &NamedKind) -> bool {
    kind.kind() != Kind::Scale
}

fn given(spec: &GuardrailPolicySpec) -> Vec<Given> {
    let rules = &spec.rules;
    let given = |is: bool, name, operations, binds, what| {
        is.then_some(Given { name, operations, binds, what })
    };
    let workloads = "Deployments, StatefulSets, DaemonSets, ReplicaSets and ReplicationControllers";
    let templates = "kinds with a pod template, and pods";
    let history: fn(&NamedKind) -> bool = NamedKind::has_history;
    let number: fn(&NamedKind) -> bool = NamedKind::has_number;
    [
        given(
            rules.replicas.is_some(),
            "replicas",
            &WRITES,
            number,
            "kinds with a number of replicas, their scale, autoscalers, and custom resources with a replicasPath",
        ),
        given(rules.cooldown.is_some(), "cooldown", &Operation::ALL[..3], with_history, workloads),
        given(rules.paths.is_some(), "paths", &WRITES[1..], anything, "updates of any kind"),
        given(rules.images.is_some(), "images", &WRITES, with_template, templates),
        given(rules.resources.is_some(), "resources", &WRITES[1..], with_template, templates),
        given(rules.deletion.is_some(), "deletion", &Operation::ALL[2..3], objects, "objects"),
        given(!rules.freeze.is_empty(), "freeze", &Operation::ALL, anything, "anything"),
        given(rules.budget.is_some(), "budget", &WRITES, history, workloads),
        given(!rules.custom.is_empty(), "custom", &Operation::ALL, anything, "anything"),
        given(
            rules.capabilities.is_some(),
            "capabilities",
            &WRITES[1..],
            |kind| kind.kind() == Kind::Deployment,
            "Deployments",
        ),
        given(rules.warrant.is_some(), "warrant", &Operation::ALL, anything, "anything"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Tells every rule, kind and operation that the others of the policy leave without effect.
pub(super) fn unjudged(spec: &GuardrailPolicySpec, coverage: &Coverage, flaws: &mut Vec<Flaw>) {
    let given = given(spec);
    if given.is_empty() {
        return;
    }
    let (kinds, operations) = (coverage.kinds(), coverage.operations());
    let names = given.iter().map(|g| g.name).collect::<Vec<_>>().join(", ");
    for rule in &given {
        let binds_a_kind = kinds.iter().any(rule.binds);
        if !binds_a_kind || !operations.iter().any(|o| rule.operations.contains(o)) {
            let reason = format!(
                "judges {} of {}, and the policy matches none of it; match what it judges or leave the rule out",
                words(rule.operations),
                rule.what,
            );
            flaws.push(Flaw::new(format!("spec.rules.{}", rule.name), reason));
        }
    }
    for (place, kind) in kinds.iter().enumerate() {
        // A scale is named beside its object, of which it has no more than the number.
        if kind.kind() != Kind::Scale && !given.iter().any(|rule| (rule.binds)(kind)) {
            let reason = format!(
                "none of the rules {names} judges {kind}; name this kind in a policy without rules, or give a rule that judges it"
            );
            flaws.push(Flaw::new(format!("spec.match.kinds[{place}]"), reason));
        }
    }
    for operation in operations {
        if !given.iter().any(|rule| rule.operations.contains(operation)) {
            let reason = format!(
                "none of the rules {names} judges {operation}; name it in a policy without rules, or give a rule that judges it"
            );
            flaws.push(Flaw::new("spec.match.operations", reason));
        }
    }
}

fn words(operations: &[Operation]) -> String {
    operations.iter().map(|o| o.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use crate::policy::compile;
    use crate::policy::kind::{KindMatch, OperationName};
    use crate::sample;

    fn kind(group: &str, resource: &str) -> KindMatch {
        KindMatch { group: group.into(), resource: resource.into(), ..KindMatch::default() }
    }

    /// The fields of the flaws of a policy that is given these kinds, operations and rules.
    fn flaws(kinds: &[(&str, &str)], operations: &[OperationName], rules: &str) -> Vec<String> {
        let mut spec = sample::baseline();
        spec.match_.kinds = kinds.iter().map(|(group, resource)| kind(group, resource)).collect();
        spec.match_.operations = operations.to_vec();
        spec.rules = serde_json::from_str(rules).unwrap();
        let flaws = compile("p", &spec).map_or_else(|error| error.flaws, |_| Vec::new());
        flaws.into_iter().map(|flaw| flaw.field).collect()
    }

    #[test]
    fn a_rule_binds_something_of_what_the_policy_matches() {
        use OperationName::{Connect, Create, Delete, Update};
        let replicas = r#"{"replicas":{"max":3}}"#;
        let cooldown = r#"{"cooldown":{"restartSeconds":60}}"#;
        let deletion = r#"{"deletion":{"allow":"Never"}}"#;
        let images = r#"{"images":{"change":"Deny"}}"#;
        let apps = |resource| vec![("apps", resource)];
        let core = |resource| vec![("", resource)];
        for (kinds, operation, rules, field) in [
            (apps("deployments"), Update, replicas, None),
            (apps("daemonsets"), Update, replicas, Some("spec.rules.replicas")),
            (core("configmaps"), Update, replicas, Some("spec.rules.replicas")),
            (core("deployments"), Update, replicas, Some("spec.rules.replicas")),
            (apps("daemonsets"), Update, cooldown, None),
            (vec![("batch", "jobs")], Update, cooldown, Some("spec.rules.cooldown")),
            (core("pods"), Delete, cooldown, None),
            (core("pods/eviction"), Create, cooldown, None),
            (apps("deployments"), Delete, deletion, None),
            (apps("deployments"), Update, deletion, Some("spec.rules.deletion")),
            (core("pods"), Create, images, None),
            (core("services"), Create, images, Some("spec.rules.images")),
            (core("pods/exec"), Connect, images, Some("spec.rules.images")),
        ] {
            let flaws = flaws(&kinds, &[operation], rules);
            assert_eq!(flaws.first().map(String::as_str), field, "{kinds:?} {rules}");
        }
    }

    #[test]
    fn everything_a_policy_with_rules_matches_is_bound_by_one_of_them() {
        use OperationName::{Delete, Update};
        let (images, nothing) = (r#"{"images":{"change":"Deny"}}"#, "{}");
        let both = [("apps", "deployments"), ("", "configmaps")];
        let scale = [("apps", "deployments"), ("apps", "deployments/scale")];
        assert_eq!(flaws(&both, &[Update], images), ["spec.match.kinds[1]"]);
        assert!(flaws(&both, &[Update], nothing).is_empty());
        assert!(flaws(&scale, &[Update], images).is_empty());
        assert_eq!(flaws(&both[..1], &[Update, Delete], images), ["spec.match.operations"]);
        assert!(flaws(&both[..1], &[Update, Delete], nothing).is_empty());
    }
}
