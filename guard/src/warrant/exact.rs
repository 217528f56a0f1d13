//! Whether a write is an intent and nothing else: the intent is carried out on the object as it was, as the API server
//! would, and what comes out is compared with what is to be stored. No value of an object ever stands in a message, for
//! any of them may be a secret; numbers of replicas are none.

use json_patch::PatchOperation;
use serde_json::{Map, Value};
use smartops_change::{Change, Difference, Kind, Path, Request};
use smartops_common::action::{ActionType, Intent, PatchFormat, PatchParameters};
use smartops_common::names;

use super::{Refusal, defaults, merge};
use crate::verdict::shortened;

/// Most paths that are told of one write.
const MOST_PATHS: usize = 8;
/// Most operations of a JSON Patch.
const MOST_OPERATIONS: usize = 256;
/// Most keys of a path of a JSON Patch.
const DEEPEST_PATH: usize = 64;
/// Most bytes of what comes out of an intent: the API server takes no larger write.
const LARGEST: usize = 3 << 20;

/// Whether the change is exactly the intent; `what` names the attempt in messages.
pub(super) fn check(change: &Change<'_>, intent: &Intent, what: &str) -> Result<(), Vec<Refusal>> {
    let refused = |reason: String| {
        let message = format!("{what} cannot be compared with this write: {reason}");
        vec![Refusal { message, ..Refusal::default() }]
    };
    let old = change.old_text().unwrap_or_default();
    let new = change.new_text().unwrap_or_default();
    let intended = intended(change, old, intent).map_err(refused)?;
    if let Some(revision) = intent.revision.as_ref()
        && change.template_digest_after().map(|d| d.to_string()).as_ref()
            != Some(&revision.template)
    {
        let path = "spec.template".to_owned();
        let number = revision.number;
        let message = format!(
            "{path} is not that of revision {number}, which {what} says: write exactly what was announced"
        );
        return Err(vec![Refusal { path, message, retry_after: None }]);
    }
    let beyond = between(change, &intended, new).map_err(refused)?;
    let told: Vec<&Path> =
        beyond.iter().filter(|(_, is_default)| !is_default).map(|d| &d.0).collect();
    if told.is_empty() {
        return Ok(());
    }
    let meant = between(change, old, &intended).map_err(refused)?;
    let refusals = told.into_iter().take(MOST_PATHS).map(|path| {
        let is_meant = meant.iter().any(|(meant, _)| touch(meant, path));
        refusal(change, intent, path, is_meant, what)
    });
    Err(refusals.collect())
}

/// Where two texts of the object under review differ, and whether only because the API server filled in a default.
fn between(change: &Change<'_>, old: &str, new: &str) -> Result<Vec<(Path, bool)>, String> {
    let read = Change::read(Request {
        operation: change.operation(),
        resource: change.resource(),
        namespace: change.namespace(),
        name: change.name(),
        old: Some(old),
        new: Some(new),
    });
    let read = read.map_err(|error| error.to_string())?;
    let differences = read.differences();
    if differences.is_truncated() {
        return Err("more differs than is listed".to_owned());
    }
    let told = |d: &Difference<'_>| {
        // A Scale has no defaults.
        (d.path.clone(), read.kind() != Kind::Scale && defaults::is_filled_in(d))
    };
    // Nor does the API server fill in anything where others keep their books.
    let books = read.bookkeeping().map(|d| (d.path.clone(), false));
    Ok(differences.listed().iter().map(told).chain(books).collect())
}

/// Whether one path is the other or lies below it.
fn touch(one: &Path, other: &Path) -> bool {
    let (one, other) = (one.segments(), other.segments());
    one.starts_with(other) || other.starts_with(one)
}

fn refusal(
    change: &Change<'_>,
    intent: &Intent,
    path: &Path,
    is_meant: bool,
    what: &str,
) -> Refusal {
    let path = shortened(&path.to_string(), 200);
    let number = change
        .replicas()
        .and_then(|number| number.new)
        .filter(|_| Some(path.as_str()) == change.replicas_path());
    let message = match (is_meant, number, intent.replicas) {
        (true, Some(number), Some(announced)) => format!(
            "{path} would be {number}, and {what} says {announced}: write exactly what was announced"
        ),
        (true, ..) => format!("{path} is not what {what} says: write exactly what was announced"),
        (false, ..) => format!(
            "beside what {what} says, {path} would change: by another admission webhook or another writer; write exactly what was announced, and have whatever changes it leave the object alone"
        ),
    };
    Refusal { path, message, retry_after: None }
}

/// The object as the intent would leave it.
fn intended(change: &Change<'_>, old: &str, intent: &Intent) -> Result<String, String> {
    let mut object: Value =
        serde_json::from_str(old).map_err(|error| format!("the object cannot be read: {error}"))?;
    let is_scale = change.kind() == Kind::Scale;
    match intent.type_ {
        ActionType::Scale => {
            let number = intent.replicas.ok_or("it announces a scale and no number")?;
            let spec = below(&mut object, &["spec"])?;
            if is_scale && number == 0 {
                // The API server omits a Scale's number where it is 0.
                spec.remove("replicas");
            } else {
                spec.insert("replicas".to_owned(), number.into());
            }
        }
        type_ if is_scale => {
            return Err(format!("a {type_} is written on the object, not on its scale"));
        }
        ActionType::Restart => {
            let stamp = intent.restarted_at.as_deref();
            let stamp = stamp.ok_or("it announces a restart and no restartedAt")?;
            let annotations = ["spec", "template", "metadata", "annotations"];
            let annotations = below(&mut object, &annotations)?;
            annotations.insert(names::RESTARTED_AT.to_owned(), stamp.into());
        }
        ActionType::Patch => {
            let patch = intent.patch.as_ref().ok_or("it announces a patch and no patch")?;
            apply(&mut object, patch)?;
        }
        ActionType::Rollback => {
            // Which template, its digest says; beside it nothing changes.
            let new: Value = serde_json::from_str(change.new_text().unwrap_or_default())
                .map_err(|error| format!("what is to be stored cannot be read: {error}"))?;
            let template = new.pointer("/spec/template").cloned().unwrap_or_default();
            below(&mut object, &["spec"])?.insert("template".to_owned(), template);
        }
        ActionType::Pause => {
            below(&mut object, &["spec"])?.insert("paused".to_owned(), true.into());
        }
        ActionType::Resume => {
            // The API server omits what is false.
            below(&mut object, &["spec"])?.remove("paused");
        }
        ActionType::HpaBounds if change.kind() == Kind::HorizontalPodAutoscaler => {
            let bounds = intent.bounds.as_ref().ok_or("it announces bounds and gives none")?;
            let spec = below(&mut object, &["spec"])?;
            spec.insert("minReplicas".to_owned(), bounds.min_replicas.into());
            spec.insert("maxReplicas".to_owned(), bounds.max_replicas.into());
        }
        type_ => return Err(format!("a {type_} is not written there")),
    }
    let text = object.to_string();
    if text.len() > LARGEST {
        return Err(format!("it makes more than {LARGEST} bytes of the object; write less"));
    }
    Ok(text)
}

/// The object at the end of these keys, made where there is none.
fn below<'v>(object: &'v mut Value, keys: &[&str]) -> Result<&'v mut Map<String, Value>, String> {
    let mut at = object;
    for key in keys {
        let object = at.as_object_mut().ok_or("what stands on the way there is no object")?;
        at = object.entry(*key).or_insert(Value::Null);
        if at.is_null() {
            *at = Value::Object(Map::new());
        }
    }
    at.as_object_mut().ok_or_else(|| "what stands there is no object".to_owned())
}

/// Carries out a patch as the API server does.
fn apply(object: &mut Value, patch: &PatchParameters) -> Result<(), String> {
    match patch.format {
        PatchFormat::Json => {
            let operations: json_patch::Patch = serde_json::from_str(&patch.body)
                .map_err(|error| format!("it announces no JSON Patch: {error}"))?;
            check_operations(&operations)?;
            // Of a patch that does not fit nothing is used, so nothing need be undone.
            json_patch::patch_unsafe(object, &operations)
                .map_err(|error| format!("the patch it announces does not fit the object: {error}"))
        }
        PatchFormat::Strategic => {
            let patch: Map<String, Value> = serde_json::from_str(&patch.body)
                .map_err(|error| format!("it announces no merge patch: {error}"))?;
            let object = object.as_object_mut().ok_or("the object is none")?;
            merge::merge(object, &patch)
        }
    }
}

/// Refuses what could make more of a patch than its text holds: without copies the object grows by no more than the
/// text, and below a path of this many keys lies no more than a parser reads.
fn check_operations(operations: &[PatchOperation]) -> Result<(), String> {
    if operations.len() > MOST_OPERATIONS {
        return Err(format!(
            "the patch it announces has {} operations, and of more than {MOST_OPERATIONS} no warrant can be given; write fewer",
            operations.len()
        ));
    }
    for operation in operations {
        let name = match operation {
            PatchOperation::Copy(_) => "copy",
            PatchOperation::Move(_) => "move",
            _ => {
                if operation.path().count() > DEEPEST_PATH {
                    return Err(format!(
                        "the patch it announces has a path of more than {DEEPEST_PATH} keys, of which no warrant can be given; write the part above it"
                    ));
                }
                continue;
            }
        };
        return Err(format!(
            "the patch it announces has the operation {name}, of which no warrant can be given; write the values themselves"
        ));
    }
    Ok(())
}
