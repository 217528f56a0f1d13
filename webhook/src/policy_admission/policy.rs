//! A written GuardrailPolicy: what is wrong with it is what `compile` says; what is legal and yet looks like a mistake
//! is a warning.

use smartops_guard::policy::{
    Flaw, GuardrailPolicySpec, KindMatch, Mode, OperationName, SubjectSet, compile,
};
use smartops_guard::rules::RulesSpec;

use super::Checked;

/// Groups of which every resource is known, with those that can be named. Of other groups nothing is known.
const KNOWN: [(&str, &[&str]); 4] = [
    ("apps", &["controllerrevisions", "daemonsets", "deployments", "replicasets", "statefulsets"]),
    ("batch", &["cronjobs", "jobs"]),
    ("autoscaling", &["horizontalpodautoscalers"]),
    (
        "",
        &[
            "bindings",
            "configmaps",
            "endpoints",
            "events",
            "limitranges",
            "namespaces",
            "nodes",
            "persistentvolumeclaims",
            "persistentvolumes",
            "pods",
            "podtemplates",
            "replicationcontrollers",
            "resourcequotas",
            "secrets",
            "serviceaccounts",
            "services",
        ],
    ),
];

/// Checks a policy's spec, as JSON.
pub(super) fn check(name: &str, spec: &str) -> Checked {
    let spec: GuardrailPolicySpec = match serde_json::from_str(spec) {
        Ok(spec) => spec,
        Err(error) => {
            let flaw =
                Flaw { field: "spec".to_owned(), reason: format!("cannot be read: {error}") };
            return Checked { flaws: vec![flaw], warnings: Vec::new() };
        }
    };
    match compile(name, &spec) {
        Ok(_) => Checked { flaws: Vec::new(), warnings: warnings(&spec) },
        Err(error) => Checked { flaws: error.flaws, warnings: Vec::new() },
    }
}

fn warnings(spec: &GuardrailPolicySpec) -> Vec<String> {
    let mut warnings: Vec<String> = spec.match_.kinds.iter().filter_map(unknown).collect();
    let include = spec.match_.subjects.as_ref().and_then(|s| s.include.as_ref());
    if include == Some(&SubjectSet::default()) {
        warnings
            .push("spec.match.subjects.include names nobody: the policy binds no one".to_owned());
    }
    let has_rules = spec.rules != RulesSpec::default();
    if !has_rules && include.is_none() {
        warnings.push(
            "it has no rules and includes nobody by word: it binds nothing and names nothing"
                .to_owned(),
        );
    }
    let updates = spec.match_.operations.contains(&OperationName::Update);
    if spec.mode == Mode::Enforce && has_rules && spec.rules.deletion.is_none() && !updates {
        warnings.push(
            "spec.match.operations lacks UPDATE: existing objects may be changed to anything"
                .to_owned(),
        );
    }
    warnings
}

/// A resource that Kubernetes does not have under this group.
fn unknown(kind: &KindMatch) -> Option<String> {
    let resource = kind.resource.split('/').next().unwrap_or_default();
    let (_, known) = KNOWN.iter().find(|(group, _)| *group == kind.group)?;
    if known.contains(&resource) {
        return None;
    }
    let plural = format!("{resource}s");
    let other = KNOWN.iter().find(|(_, known)| known.contains(&resource));
    let hint = if known.contains(&plural.as_str()) {
        format!("; is {plural} meant?")
    } else if let Some((group, _)) = other {
        format!("; group {group:?} has")
    } else {
        String::new()
    };
    Some(format!("group {:?} has no resource {resource:?}{hint}", kind.group))
}
