//! The writes of a policy that the API server can judge by itself: of which kind, by which operation, and how the
//! policy comes to mean them. The coverage is the policy's own, so that nothing is judged here that is not judged there.

use smartops_change::{Kind, NumberPath, Operation, Resource};

use super::cel;
use crate::policy::{CompiledPolicy, Covered, GuardrailPolicySpec};
use crate::rules::images::Images;
use crate::rules::replicas::Replicas;

/// One kind of write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) version: Option<String>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) kind: Kind,
    /// Where a custom resource keeps its number.
    pub(crate) number: Option<NumberPath>,
    pub(crate) way: Way,
}

/// How the policy comes to mean a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// By its kind alone.
    Kind,
    /// Where a Deployment owns it.
    OwnedByDeployment,
    /// Where it scales one of these: group and kind, or any kind of the group.
    Scaling(Vec<(String, Option<&'static str>)>),
}

impl Part {
    /// How its writes are told apart in expressions: `apps/deployments/scale`.
    pub(crate) fn key(&self) -> String {
        let below = if self.subresource.is_empty() { "" } else { "/" };
        format!("{}/{}{below}{}", self.group, self.resource, self.subresource)
    }

    pub(crate) fn is_scale(&self) -> bool {
        self.kind == Kind::Scale
    }

    /// Whether any of these rules says something about it.
    pub(super) fn has_something(
        &self,
        replicas: Option<&Replicas>,
        images: Option<&Images>,
    ) -> bool {
        let has_number = self.kind.has_number()
            || self.number.is_some()
            || self.kind == Kind::HorizontalPodAutoscaler;
        (replicas.is_some() && has_number) || (images.is_some() && self.kind.has_template())
    }
}

/// The expression that tells which kind of write it is, as [`Part::key`].
pub(super) fn key_expression() -> String {
    "request.resource.group + '/' + request.resource.resource + (has(request.subResource) && \
     request.subResource != '' ? '/' + request.subResource : '')"
        .to_owned()
}

/// A condition that holds for the writes of these parts.
pub(crate) fn is_of<'p>(parts: impl IntoIterator<Item = &'p Part>) -> String {
    format!("variables.kind in {}", cel::list(parts.into_iter().map(Part::key)))
}

/// Everything of a policy that can be judged here; what cannot be is added to `missing`.
pub(super) fn parts(
    spec: &GuardrailPolicySpec,
    policy: &CompiledPolicy,
    missing: &mut Vec<String>,
) -> Vec<Part> {
    let named: Vec<Resource<'_>> = spec.match_.kinds.iter().map(resource).collect();
    let mut parts: Vec<Part> = Vec::new();
    for covered in policy.covered() {
        let asked = Resource {
            group: &covered.group,
            version: "",
            resource: &covered.resource,
            subresource: &covered.subresource,
        };
        let is_asked = |r: &Resource<'_>| {
            (r.group, r.resource, r.subresource) == (asked.group, asked.resource, asked.subresource)
        };
        let Some(part) = part(spec, &covered, asked, named.iter().any(is_asked), missing) else {
            continue;
        };
        if spec.match_.objects.is_some() && part.is_scale() {
            missing.push(format!(
                "{} where match.objects selects by label: a Scale carries none",
                part.key()
            ));
        } else if !parts.iter().any(|known| known.key() == part.key()) {
            parts.push(part);
        }
    }
    parts
}

/// A kind as a policy writes it.
fn resource(kind: &crate::policy::KindMatch) -> Resource<'_> {
    let (resource, subresource) = kind.resource.split_once('/').unwrap_or((&kind.resource, ""));
    Resource { group: &kind.group, version: "", resource, subresource }
}

fn part(
    spec: &GuardrailPolicySpec,
    covered: &Covered,
    asked: Resource<'_>,
    is_named: bool,
    missing: &mut Vec<String>,
) -> Option<Part> {
    let kind = asked.kind();
    let names_object = |group: &str, plural: &str| {
        spec.match_.kinds.iter().any(|k| k.group == group && k.resource == plural)
    };
    let way = if is_named || (kind == Kind::Scale && names_object(asked.group, asked.resource)) {
        Way::Kind
    } else {
        match kind {
            Kind::ReplicaSet if spec.rules.replicas.is_none() && spec.rules.images.is_none() => {
                return None;
            }
            Kind::ReplicaSet => {
                missing.push(
                    "apps/replicasets that a Deployment would adopt by their labels: only owned ones are known here"
                        .into(),
                );
                Way::OwnedByDeployment
            }
            Kind::HorizontalPodAutoscaler => Way::Scaling(scaled(spec)),
            Kind::Scale if spec.rules.replicas.is_some() => {
                missing.push(format!(
                    "{}/{}/scale: whose it is stands on its object",
                    asked.group, asked.resource
                ));
                return None;
            }
            _ => return None,
        }
    };
    let given: Vec<Operation> = spec.match_.operations.iter().map(|o| (*o).into()).collect();
    let operations = covered.operations.iter().copied().filter(|operation| {
        [Operation::Create, Operation::Update].contains(operation)
            && (!is_named || given.contains(operation))
    });
    let operations: Vec<Operation> = operations.collect();
    let number = spec.match_.kinds.iter().find(|k| {
        asked.subresource.is_empty() && k.group == asked.group && k.resource == asked.resource
    });
    (!operations.is_empty()).then(|| Part {
        group: covered.group.clone(),
        resource: covered.resource.clone(),
        subresource: covered.subresource.clone(),
        version: covered.version.clone(),
        operations,
        kind,
        number: number.and_then(|k| k.replicas_path.as_ref()?.parse().ok()),
        way,
    })
}

/// The kinds an autoscaler may scale that the policy names: of one whose name is not known every kind of its group, as
/// the judgement has it.
fn scaled(spec: &GuardrailPolicySpec) -> Vec<(String, Option<&'static str>)> {
    let objects = spec.match_.kinds.iter().filter(|kind| !kind.resource.contains('/'));
    objects
        .filter_map(|written| match resource(written).kind().name() {
            Some(name) => Some((written.group.clone(), Some(name))),
            None => written.replicas_path.is_some().then(|| (written.group.clone(), None)),
        })
        .collect()
}
