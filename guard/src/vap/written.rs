//! One policy as a ValidatingAdmissionPolicy with its binding: which writes, whose, and the one validation whose message
//! is the judgement's sentence.

use std::collections::BTreeSet;

use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MatchResources, NamedRuleWithOperations, ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding, ValidatingAdmissionPolicyBindingSpec,
    ValidatingAdmissionPolicySpec, Validation, Variable,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use smartops_common::config::SmartOpsConfigSpec;
use smartops_common::denial::Rule;
use smartops_common::names;
use smartops_common::remediation::cause_label;

use super::lifted::Lifting;
use super::own::OWN_OBJECTS;
use super::part::{Part, Way, key_expression};
use super::{Backstop, Written, cel, sentence, subjects};
use crate::policy::Flaw;
use crate::registration::{PRODUCT, within};

/// Longest name given, in bytes. The API server takes 253, and a policy may have as many.
const LONGEST_NAME: usize = 200;

/// Longest expression written, in bytes. The API server's parser takes a hundred thousand characters, and refuses the
/// whole of what holds a longer one.
pub(super) const LONGEST: usize = 64 * 1024;

/// The name of what is written for a policy.
pub(super) fn name(policy: &str) -> String {
    let name = format!("smartops-{policy}");
    if name.len() <= LONGEST_NAME && name != OWN_OBJECTS {
        return name;
    }
    let kept = name.get(..name.floor_char_boundary(LONGEST_NAME)).unwrap_or_default();
    format!("{}-{}", kept.trim_end_matches(['-', '.']), cause_label(policy))
}

/// Writes a policy out.
///
/// # Errors
/// Where an expression of it would be longer than any may be.
pub(super) fn write(
    backstop: &Backstop,
    config: &SmartOpsConfigSpec,
    lifting: &Lifting<'_>,
) -> Result<Written, Flaw> {
    let place = backstop.demand.place(config);
    // Whatever a policy says, nobody is locked out of these by something that no webhook has to answer.
    let spared = names::UNGUARDED_NAMESPACES.map(str::to_owned);
    let left_out = lifting.left_out.iter().cloned();
    let excluded: BTreeSet<String> =
        place.excluded.iter().cloned().chain(spared).chain(left_out).collect();
    let namespaces = within(place.selector.unwrap_or_default(), "NotIn", &excluded);
    let scope = if place.is_namespaced { "Namespaced" } else { "*" };
    let matched = Matched {
        rules: backstop.parts.iter().map(|part| rule(part, scope)).collect(),
        namespaces,
        objects: backstop.spec.match_.objects.clone().unwrap_or_default(),
        conditions: subjects::conditions(backstop, config)?,
    };
    let validation = Validation {
        expression: "variables.causes.size() == 0".to_owned(),
        message: Some(format!("SmartOps denies this write: policy {}", backstop.policy.name())),
        message_expression: Some(sentence::expression(backstop, config)),
        reason: Some("Forbidden".to_owned()),
    };
    let owner = OwnerReference {
        api_version: format!("{}/v1alpha1", names::GROUP),
        kind: "GuardrailPolicy".to_owned(),
        name: backstop.policy.name().to_string(),
        uid: backstop.uid.clone(),
        ..OwnerReference::default()
    };
    let variables = variables(backstop, lifting);
    let written = assemble(&backstop.name(), Some(owner), matched, variables, validation);
    too_long(&written).map_or(Ok(written), Err)
}

/// What is wrong with the first expression that is longer than any may be.
fn too_long(written: &Written) -> Option<Flaw> {
    let spec = written.policy.spec.as_ref()?;
    let conditions = spec.match_conditions.iter().flatten().map(|c| (&c.name, &c.expression));
    let variables = spec.variables.iter().flatten().map(|v| (&v.name, &v.expression));
    let named = conditions.chain(variables).map(|(name, expression)| (name.as_str(), expression));
    let messages = spec.validations.iter().flatten().flat_map(|v| &v.message_expression);
    let mut all = named.chain(messages.map(|expression| ("the message", expression)));
    let (name, expression) = all.find(|(_, expression)| expression.len() > LONGEST)?;
    let reason = format!(
        "has {} bytes as an expression and may have {LONGEST}: give fewer or shorter names",
        expression.len()
    );
    Some(Flaw::new(name, reason))
}

/// Which writes something written is about.
pub(super) struct Matched {
    pub(super) rules: Vec<NamedRuleWithOperations>,
    pub(super) namespaces: LabelSelector,
    pub(super) objects: LabelSelector,
    pub(super) conditions: Vec<MatchCondition>,
}

/// A policy and its binding. Every field is given, so that what stands in the cluster can be compared with what should.
pub(super) fn assemble(
    name: &str,
    owner: Option<OwnerReference>,
    matched: Matched,
    variables: Vec<(&'static str, String)>,
    validation: Validation,
) -> Written {
    let labels = [(names::PART_OF.to_owned(), PRODUCT.to_owned())];
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(labels.into()),
        owner_references: owner.map(|owner| vec![owner]),
        ..ObjectMeta::default()
    };
    let variable =
        |(name, expression): (&str, String)| Variable { name: name.to_owned(), expression };
    let policy = ValidatingAdmissionPolicy {
        metadata: metadata.clone(),
        spec: Some(ValidatingAdmissionPolicySpec {
            failure_policy: Some("Fail".to_owned()),
            match_constraints: Some(MatchResources {
                resource_rules: Some(matched.rules),
                namespace_selector: Some(matched.namespaces),
                object_selector: Some(matched.objects),
                match_policy: Some("Equivalent".to_owned()),
                ..MatchResources::default()
            }),
            match_conditions: Some(matched.conditions),
            variables: Some(variables.into_iter().map(variable).collect()),
            validations: Some(vec![validation]),
            ..ValidatingAdmissionPolicySpec::default()
        }),
        status: None,
    };
    let binding = ValidatingAdmissionPolicyBinding {
        metadata,
        spec: ValidatingAdmissionPolicyBindingSpec {
            policy_name: name.to_owned(),
            validation_actions: vec!["Deny".to_owned()],
            ..ValidatingAdmissionPolicyBindingSpec::default()
        },
    };
    Written { policy, binding }
}

fn rule(part: &Part, scope: &str) -> NamedRuleWithOperations {
    let below = if part.subresource.is_empty() { "" } else { "/" };
    NamedRuleWithOperations {
        api_groups: Some(vec![part.group.clone()]),
        api_versions: Some(vec![part.version.clone().unwrap_or_else(|| "*".to_owned())]),
        resources: Some(vec![format!("{}{below}{}", part.resource, part.subresource)]),
        operations: Some(part.operations.iter().map(ToString::to_string).collect()),
        scope: Some(scope.to_owned()),
        resource_names: None,
    }
}

/// Everything the validation is made of. Objects are taken without their schemas: one policy is about many kinds.
fn variables(backstop: &Backstop, lifting: &Lifting<'_>) -> Vec<(&'static str, String)> {
    let parts = &backstop.parts;
    let owned = parts.iter().find(|part| part.way == Way::OwnedByDeployment);
    let scaling = parts.iter().find_map(|part| match &part.way {
        Way::Scaling(targets) => Some((part, targets)),
        _ => None,
    });
    let mut variables = vec![
        ("after", "dyn(object)".to_owned()),
        ("before", "dyn(oldObject)".to_owned()),
        ("isUpdate", "request.operation == 'UPDATE'".to_owned()),
        ("kind", key_expression()),
    ];
    let mut meant = Vec::new();
    if let Some(part) = owned {
        let is_it = super::part::is_of([part]);
        variables.push((
            "ownersBefore",
            format!("variables.isUpdate ? {} : []", owners("variables.before")),
        ));
        variables.push(("ownersAfter", owners("variables.after")));
        meant.push(format!(
            "!({is_it}) || variables.ownersBefore.size() + variables.ownersAfter.size() > 0"
        ));
        variables.push(("enters", format!("{is_it} && variables.ownersBefore.size() == 0")));
    } else {
        variables.push(("enters", "false".to_owned()));
    }
    if let Some((part, targets)) = scaling {
        let is_it = super::part::is_of([part]);
        variables.push(("scaled", scaled()));
        let ours: Vec<String> = targets
            .iter()
            .map(|(group, kind)| {
                let kind = kind.map(|kind| format!("{kind}/")).unwrap_or_default();
                format!("t.startsWith({})", cel::literal(&format!("{group}/{kind}")))
            })
            .collect();
        meant.push(format!("!({is_it}) || variables.scaled.exists(t, {})", cel::any(&ours)));
    }
    // What is being deleted may lose its finalisers, whatever its spec says.
    meant.push(
        "!(variables.isUpdate && 'deletionTimestamp' in variables.before.metadata && \
         'spec' in variables.after && 'spec' in variables.before && \
         variables.after.spec == variables.before.spec)"
            .to_owned(),
    );
    variables.push(("isMeant", cel::all(&meant)));
    let mut causes = Vec::new();
    if let Some(rule) = &backstop.images {
        variables.extend(rule.variables(parts));
        variables.push(("imagesLifted", lifting.lifted(Rule::Images)));
        causes.push("(variables.imagesLifted ? [] : variables.images)");
    }
    if let Some(rule) = &backstop.replicas {
        variables.extend(rule.variables(parts));
        variables.push(("replicasLifted", lifting.lifted(Rule::Replicas)));
        causes.push("(variables.replicasLifted ? [] : variables.replicas)");
    }
    let causes = if causes.is_empty() { "[]".to_owned() } else { causes.join(" + ") };
    variables.push(("causes", format!("variables.isMeant ? ({causes}).map(c, string(c)) : []")));
    variables.extend(sentence::variables(backstop.policy.name()));
    variables
}

/// The names of the Deployments that control an object.
fn owners(side: &str) -> String {
    let there = cel::is_there(side, &["metadata", "ownerReferences"]);
    let references = cel::at(side, &["metadata", "ownerReferences"]);
    format!(
        "({there} ? {references}.filter(o, 'controller' in o && o.controller == true && o.apiVersion.startsWith('apps/') && o.kind == 'Deployment').map(o, string(o.name)) : [])"
    )
}

/// What an autoscaler scales, before the write and after it: group, kind and name.
fn scaled() -> String {
    let target = |side: &str| {
        let keys = ["spec", "scaleTargetRef"];
        let of = cel::at(side, &keys);
        let group = format!(
            "('apiVersion' in {of} && {of}.apiVersion.contains('/') ? {of}.apiVersion.split('/')[0] : '')"
        );
        format!(
            "({} ? [{group} + '/' + string({of}.kind) + '/' + string({of}.name)] : [])",
            cel::is_there(side, &keys)
        )
    };
    format!(
        "(variables.isUpdate ? {} : []) + {}",
        target("variables.before"),
        target("variables.after")
    )
}
