//! A written GuardrailPolicy: what is wrong with it is what `compile` says; what is legal and yet looks like a mistake
//! is a warning.

use smartops_guard::policy::{
    CompiledPolicy, Flaw, GuardrailPolicySpec, KindMatch, Mode, OperationName, SubjectSet, compile,
};
use smartops_guard::rules::RulesSpec;

use super::answer::Checked;

/// Kinds that keep pods running, of which a restart can be told.
const WORKLOADS: [(&str, &str); 5] = [
    ("apps", "deployments"),
    ("apps", "statefulsets"),
    ("apps", "daemonsets"),
    ("apps", "replicasets"),
    ("", "replicationcontrollers"),
];

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
            return vec![flaw].into();
        }
    };
    match compile(name, &spec) {
        Ok(policy) => Checked { warnings: warnings(&spec, &policy), ..Checked::default() },
        Err(error) => error.flaws.into(),
    }
}

fn warnings(spec: &GuardrailPolicySpec, policy: &CompiledPolicy) -> Vec<String> {
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
    // What automation could do besides is not named for it, and so denied.
    if spec.mode == Mode::Enforce && policy.means_people() {
        warnings.extend(gaps(spec).map(str::to_owned));
    }
    warnings.extend(at_neighbours(spec, policy));
    warnings
}

/// Ways around the rules that stay open to people.
fn gaps(spec: &GuardrailPolicySpec) -> impl Iterator<Item = &'static str> {
    let (rules, operations) = (&spec.rules, &spec.match_.operations);
    let kinds = &spec.match_.kinds;
    let names = |group: &str, resource: &str| {
        kinds.iter().any(|kind| kind.group == group && kind.resource == resource)
    };
    let (creates, updates) = (OperationName::Create, OperationName::Update);
    let deletes = OperationName::Delete;
    let restarts = rules.cooldown.as_ref().is_some_and(|c| c.restart_seconds.is_some());
    let ends_pods = (names("", "pods") && operations.contains(&deletes))
        && (names("", "pods/eviction") && operations.contains(&creates));
    let has_workload = WORKLOADS.iter().any(|(group, resource)| names(group, resource));
    let is_made_anew = operations.contains(&updates) && !operations.contains(&creates);
    let judges_creation =
        rules.replicas.is_some() || rules.images.is_some() || !rules.custom.is_empty();
    let judges_updates = rules.paths.is_some() || rules.resources.is_some();
    let gap = |is: bool, warning: &'static str| is.then_some(warning);
    [
        gap(
            restarts && has_workload && !ends_pods,
            "deleting pods is not judged: name pods (DELETE) and pods/eviction (CREATE)",
        ),
        gap(
            rules.images.is_some() && !names("", "pods"),
            "images of pods that are made or changed directly are not judged: name pods",
        ),
        gap(
            is_made_anew && judges_creation,
            "without CREATE an object can be deleted and made anew as no update may make it",
        ),
        gap(
            !judges_creation && judges_updates && !operations.contains(&deletes),
            "only updates are judged: an object can be deleted and made anew as no update may make it",
        ),
    ]
    .into_iter()
    .flatten()
}

/// Expressions that see another object, or none, where the policy reaches beyond what it names.
fn at_neighbours(spec: &GuardrailPolicySpec, policy: &CompiledPolicy) -> Vec<String> {
    let is_named = |group: &str, resource: &str| {
        let of = |kind: &KindMatch| kind.group == group && kind.resource == resource;
        spec.match_.kinds.iter().any(of)
    };
    let neighbours: Vec<String> = policy
        .covered()
        .into_iter()
        .map(|c| match c.subresource.as_str() {
            "" => (c.group, c.resource),
            subresource => (c.group, format!("{}/{subresource}", c.resource)),
        })
        .filter(|(group, resource)| !is_named(group, resource))
        .map(|(_, resource)| resource)
        .collect();
    let Some(neighbour) = neighbours.first() else { return Vec::new() };
    let condition = spec.match_.conditions.iter().find(|c| looks_at_the_object(&c.expression));
    let mut warnings = Vec::new();
    if let Some(condition) = condition {
        warnings.push(format!(
            "condition {} looks at the object; of {neighbour} that is another, and an error counts as true",
            condition.name,
        ));
    }
    let unseen = neighbours.iter().find(|resource| !resource.ends_with("/scale"));
    if let Some(unseen) = unseen
        && spec.rules.custom.iter().any(|rule| looks_at_the_object(&rule.expression))
    {
        warnings.push(format!("custom rules are not asked about {unseen}: the other rules are"));
    }
    warnings
}

/// Whether an expression names the object, before or after.
fn looks_at_the_object(expression: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    expression.split(|c| !is_word(c)).any(|word| ["object", "oldObject"].contains(&word))
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
