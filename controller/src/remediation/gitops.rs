//! Whether somebody else keeps an object as it is written elsewhere and would take a change back: Argo CD and Flux by
//! their labels and annotations, and by which fields their managers own; any other controller by its owner reference.
//! No engine is asked; what is read is the object alone. Pure.

use std::fmt;

use kube::Resource;
use serde_json::Value;
use smartops_common::action::{Action, ActionType, PatchFormat};
use smartops_common::names;

use crate::target::Live;

/// Argo CD's manager of fields.
const ARGO: &[&str] = &["argocd-controller", "argocd-application-controller", "argocd"];
/// Flux' managers of fields.
const FLUX_KUSTOMIZE: &[&str] = &["kustomize-controller"];
const FLUX_HELM: &[&str] = &["helm-controller"];

/// Who keeps an object as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keeper {
    /// Argo CD, and its Application.
    Argo(String),
    /// Flux, and its object.
    Flux(String),
    /// Another controller, as owner references name it.
    Owner(String),
}

impl fmt::Display for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argo(application) => write!(f, "Argo CD (Application {application})"),
            Self::Flux(object) => write!(f, "Flux ({object})"),
            Self::Owner(object) => write!(f, "the controller of {object}"),
        }
    }
}

/// Who would take this back, if anybody would.
pub fn would_revert(action: &Action, live: &Live) -> Option<Keeper> {
    if let Some(owner) = owner(live) {
        return Some(owner);
    }
    let (keeper, managers) = tool(live)?;
    let owns = |path: &[Segment]| owns(live, managers, path);
    let spec = |name: &str| vec![Segment::Field("spec".into()), Segment::Field(name.into())];
    let is_owned = match action.type_ {
        ActionType::Scale => owns(&spec("replicas")),
        ActionType::Rollback => owns(&spec("template")),
        ActionType::Pause | ActionType::Resume => owns(&spec("paused")),
        ActionType::Patch => {
            patched(action, live.stored()).iter().any(|path| !is_stamp(path) && owns(path))
        }
        // The stamp of a restart is in nobody's source, and a pod is in none either.
        ActionType::Restart | ActionType::EvictPod | ActionType::HpaBounds => false,
    };
    is_owned.then_some(keeper)
}

/// Whether an action writes the number of replicas, or moves its bounds.
pub fn writes_replicas(action: &Action) -> bool {
    let replicas = [Segment::Field("spec".into()), Segment::Field("replicas".into())];
    match (action.type_, &action.patch) {
        (ActionType::Scale | ActionType::HpaBounds, _) => true,
        // What a list of operations writes it writes whole: the spec with all that is in it.
        (ActionType::Patch, Some(patch)) if patch.format == PatchFormat::Json => {
            patched(action, &Value::Null).iter().any(|path| replicas.starts_with(path))
        }
        (ActionType::Patch, _) => {
            patched(action, &Value::Null).iter().any(|path| path[..] == replicas)
        }
        _ => false,
    }
}

fn owner(live: &Live) -> Option<Keeper> {
    let mut owners = live.meta().owner_references.iter().flatten();
    let owner = owners.find(|owner| owner.controller == Some(true))?;
    Some(Keeper::Owner(format!("{} {}", owner.kind, owner.name)))
}

/// The GitOps tool that says the object is its own, and the managers it writes as.
fn tool(live: &Live) -> Option<(Keeper, &'static [&'static str])> {
    let metadata = live.meta();
    let label = |key: &str| metadata.labels.as_ref()?.get(key).cloned();
    let annotation = |key: &str| metadata.annotations.as_ref()?.get(key).cloned();
    // `APPLICATION:GROUP/KIND:NAMESPACE/NAME`
    let tracked = annotation("argocd.argoproj.io/tracking-id");
    let tracked = tracked.map(|id| id.split(':').next().unwrap_or_default().to_owned());
    let instance = || label("argocd.argoproj.io/instance");
    // Everybody sets this one: it is Argo CD's only where Argo CD writes.
    let common =
        || label("app.kubernetes.io/instance").filter(|_| fields_of(live, ARGO).next().is_some());
    if let Some(application) = tracked.or_else(instance).or_else(common) {
        return Some((Keeper::Argo(application), ARGO));
    }
    let flux = |kind: &str, name: String| Keeper::Flux(format!("{kind} {name}"));
    if let Some(name) = label("kustomize.toolkit.fluxcd.io/name") {
        return Some((flux("Kustomization", name), FLUX_KUSTOMIZE));
    }
    let name = label("helm.toolkit.fluxcd.io/name")?;
    Some((flux("HelmRelease", name), FLUX_HELM))
}

/// A step of a path: a field, or an item of a list by its name where it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Field(String),
    Item(Option<String>),
}

impl Segment {
    fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Item(Some(one)), Self::Item(Some(other))) => one == other,
            (Self::Item(_), Self::Item(_)) => true,
            _ => self == other,
        }
    }
}

/// What these managers own of the object itself, in the form of managedFields.
fn fields_of<'a>(
    live: &'a Live,
    managers: &'a [&'a str],
) -> impl Iterator<Item = &'a Value> + use<'a> {
    let entries = live.stored().pointer("/metadata/managedFields").and_then(Value::as_array);
    entries.into_iter().flatten().filter_map(move |entry| {
        let is_theirs = entry["manager"].as_str().is_some_and(|name| managers.contains(&name));
        (is_theirs && entry.get("subresource").is_none()).then(|| &entry["fieldsV1"])
    })
}

/// Whether these managers own what stands at `path`, or something above it alone, or anything below it.
fn owns(live: &Live, managers: &[&str], path: &[Segment]) -> bool {
    fields_of(live, managers).any(|fields| reaches(fields, path))
}

fn reaches(fields: &Value, path: &[Segment]) -> bool {
    let Some(fields) = fields.as_object() else { return false };
    let Some((first, rest)) = path.split_first() else { return true };
    let mut below = fields.iter().filter(|(key, _)| key.as_str() != ".").peekable();
    // What is owned without more being said of it is owned as a whole.
    if below.peek().is_none() {
        return true;
    }
    below.any(|(key, inner)| segment(key).is_some_and(|s| s.meets(first)) && reaches(inner, rest))
}

/// A key of managedFields: `f:name`, `k:{"name":"web"}`; others say nothing about a path.
fn segment(key: &str) -> Option<Segment> {
    if let Some(field) = key.strip_prefix("f:") {
        return Some(Segment::Field(field.to_owned()));
    }
    let item: Value = serde_json::from_str(key.strip_prefix("k:")?).ok()?;
    Some(Segment::Item(item["name"].as_str().map(str::to_owned)))
}

/// The paths a patch of this object writes.
fn patched(action: &Action, object: &Value) -> Vec<Vec<Segment>> {
    let Some(patch) = &action.patch else { return Vec::new() };
    let Ok(body) = serde_json::from_str::<Value>(&patch.body) else { return Vec::new() };
    match patch.format {
        PatchFormat::Strategic => {
            let mut paths = Vec::new();
            leaves(&body, &mut Vec::new(), &mut paths);
            paths
        }
        PatchFormat::Json => {
            let operations = body.as_array().into_iter().flatten();
            let pointers = operations.filter(|op| op["op"] != "test").flat_map(|op| {
                let from = if op["op"] == "move" { op["from"].as_str() } else { None };
                [op["path"].as_str(), from].into_iter().flatten()
            });
            pointers.map(|pointer| pointed(pointer, object)).collect()
        }
    }
}

/// The paths of all that a strategic merge patch says.
fn leaves(value: &Value, path: &mut Vec<Segment>, paths: &mut Vec<Vec<Segment>>) {
    let mut below = |segment, value, path: &mut Vec<Segment>| {
        path.push(segment);
        leaves(value, path, paths);
        path.pop();
    };
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            // The name of an item only says which one is meant.
            let named = matches!(path.last(), Some(Segment::Item(_))) && fields.len() > 1;
            for (name, value) in fields.iter().filter(|(name, _)| !named || *name != "name") {
                below(Segment::Field(name.clone()), value, path);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for item in items {
                below(Segment::Item(item["name"].as_str().map(str::to_owned)), item, path);
            }
        }
        _ => paths.push(path.clone()),
    }
}

/// The path of a JSON Pointer; an item of a list by the name it has in the object.
fn pointed(pointer: &str, object: &Value) -> Vec<Segment> {
    let mut here = Some(object);
    let unescaped = |part: &str| part.replace("~1", "/").replace("~0", "~");
    let parts = pointer.split('/').skip(1).map(unescaped);
    let mut path = Vec::new();
    for part in parts {
        let (segment, next) = match here {
            Some(Value::Array(items)) => {
                let item = part.parse::<usize>().ok().and_then(|index| items.get(index));
                let name = item.and_then(|item| item["name"].as_str()).map(str::to_owned);
                (Segment::Item(name), item)
            }
            Some(Value::Object(fields)) => (Segment::Field(part.clone()), fields.get(&part)),
            _ => (Segment::Field(part), None),
        };
        path.push(segment);
        here = next;
    }
    path
}

/// Whether a path is that of a restart's stamp.
fn is_stamp(path: &[Segment]) -> bool {
    matches!(path.last(), Some(Segment::Field(name)) if name == names::RESTARTED_AT)
}

#[cfg(test)]
mod tests;
