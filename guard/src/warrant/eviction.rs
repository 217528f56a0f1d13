//! Whether an eviction is the one that was announced: of that pod, by its uid, and with no wish of its own, such as how
//! long the pod may take to end.

use serde_json::{Map, Value};
use smartops_change::Change;
use smartops_common::action::Intent;

use super::Refusal;
use crate::verdict::shortened;

/// Most paths that are told of one eviction.
const MOST_PATHS: usize = 8;

/// Whether the eviction is exactly the intent; `what` names the attempt in messages.
pub(super) fn check(change: &Change<'_>, intent: &Intent, what: &str) -> Result<(), Vec<Refusal>> {
    let refused = |path: &str, reason: &str| {
        let path = shortened(path, 200);
        let message = format!("{path} {reason} {what} says: write exactly what was announced");
        Refusal { path, message, retry_after: None }
    };
    let read = serde_json::from_str::<Map<String, Value>>(change.new_text().unwrap_or_default());
    let (Ok(eviction), Some(pod)) = (read, &intent.pod) else {
        return Err(vec![refused("the eviction", "cannot be compared with what")]);
    };
    let text = |pointer: &[&str]| {
        let mut at = eviction.get(*pointer.first()?)?;
        for key in pointer.iter().skip(1) {
            at = at.get(key)?;
        }
        at.as_str()
    };
    let mut refusals = Vec::new();
    if text(&["metadata", "name"]) != Some(&pod.name) {
        refusals.push(refused("metadata.name", "is not what"));
    }
    if text(&["deleteOptions", "preconditions", "uid"]) != Some(&pod.uid) {
        refusals.push(refused("deleteOptions.preconditions.uid", "is not what"));
    }
    let beside = |at: &[&str], known: &[&str]| {
        let object = at.iter().try_fold(&eviction, |object, key| object.get(*key)?.as_object());
        let mut paths = Vec::new();
        for (key, value) in object.into_iter().flatten() {
            if !known.contains(&key.as_str()) && !value.is_null() {
                paths.push([at, &[key.as_str()]].concat().join("."));
            }
        }
        paths
    };
    let more = [
        beside(&[], &["apiVersion", "kind", "metadata", "deleteOptions"]),
        // The API server notes there by itself who wrote what.
        beside(&["metadata"], &["name", "namespace", "creationTimestamp", "managedFields"]),
        // Whether it is only tried out, the API server decides by either.
        beside(&["deleteOptions"], &["apiVersion", "kind", "preconditions", "dryRun"]),
        beside(&["deleteOptions", "preconditions"], &["uid"]),
    ];
    refusals.extend(more.concat().iter().map(|path| refused(path, "stands beside what")));
    refusals.truncate(MOST_PATHS);
    if refusals.is_empty() { Ok(()) } else { Err(refusals) }
}
