//! What the object of a recorded review belongs to or speaks for: named by the review, its labels taken from objects
//! given in files. Its past is the one the flags tell.

use std::collections::BTreeMap;

use serde_json::Value;
use smartops_change::{Change, Kind};
use smartops_common::remediation::Remediation;
use smartops_guard::history::Record;
use smartops_guard::{RelatedObject, Relation, may_be_warrant};

use super::documents::Document;
use crate::relatives::kind_of;

/// The relatives a review names, nearest first; what is not known of them is told.
pub(super) fn of(
    change: &Change<'_>,
    given: &[Document],
    record: &Record,
    unknown: &mut Vec<String>,
) -> Vec<RelatedObject> {
    let asked = change.resource();
    let named: Vec<(Relation, &str, &str, &str)> = if !asked.subresource.is_empty()
        && change.kind() != Kind::Pod
    {
        let kind = kind_of(asked.group, asked.resource);
        vec![(Relation::Parent, asked.group, kind, change.name())]
    } else {
        let owner = change
            .controller()
            .map(|o| (Relation::Owner, o.group.as_ref(), o.kind.as_ref(), o.name.as_ref()));
        let targets = [change.scale_target_before(), change.scale_target_after()];
        let targets = targets.into_iter().flatten().map(|target| {
            (Relation::Target, target.group.as_ref(), target.kind.as_ref(), target.name.as_ref())
        });
        let mut named: Vec<_> = owner.into_iter().chain(targets).collect();
        named.dedup();
        named
    };
    let namespace = change.namespace().unwrap_or_default();
    let relatives = named.into_iter().map(|(relation, group, kind, name)| {
        let labels = labels(given, kind, namespace, name);
        if labels.is_none() {
            unknown.push(format!("labels and owners of the {kind} {name} (--policies)"));
        }
        RelatedObject {
            relation,
            group: group.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            uid: String::new(),
            labels,
            generation: Some(record.generation),
            created: None,
            record: Some(record.clone()),
        }
    });
    relatives.collect()
}

/// The text of the whole object that a Scale is of, where it was given.
pub(super) fn whole(change: &Change<'_>, given: &[Document]) -> Option<String> {
    let asked = change.resource();
    let kind = Some(kind_of(asked.group, asked.resource)).filter(|kind| !kind.is_empty())?;
    let namespace = change.namespace().unwrap_or_default();
    object(given, kind, namespace, change.name()).map(Value::to_string)
}

/// The text of the ReplicaSet that a rollback goes back to, where it was given.
pub(super) fn origin(
    change: &Change<'_>,
    remediations: &[Remediation],
    given: &[Document],
) -> Option<String> {
    let mut announced = remediations.iter().filter(|r| may_be_warrant(change, r));
    let name = announced.find_map(smartops_guard::origin)?;
    let namespace = change.namespace().unwrap_or_default();
    object(given, "ReplicaSet", namespace, name).map(Value::to_string)
}

/// The labels of an object that was given.
fn labels(
    given: &[Document],
    kind: &str,
    namespace: &str,
    name: &str,
) -> Option<BTreeMap<String, String>> {
    let object = object(given, kind, namespace, name)?;
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
    let labels = labels.into_iter().flatten();
    Some(
        labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect(),
    )
}

/// An object that was given.
fn object<'g>(given: &'g [Document], kind: &str, namespace: &str, name: &str) -> Option<&'g Value> {
    let text =
        |value: &Value, path: &str| value.pointer(path).and_then(Value::as_str).map(str::to_owned);
    let is_it = |value: &&Value| {
        text(value, "/kind").as_deref() == Some(kind)
            && text(value, "/metadata/name").as_deref() == Some(name)
            && text(value, "/metadata/namespace").as_deref() == Some(namespace)
    };
    given.iter().map(|document| &document.value).find(is_it)
}
