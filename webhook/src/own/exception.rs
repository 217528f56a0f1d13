//! A written GuardrailException: what is wrong with it by itself, under its policy, and with whoever writes it. One
//! whose spec stays as it is may be edited in its metadata, by whomever and when it has expired.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use smartops_guard::Subject;
use smartops_guard::exception::{Exception, GuardrailExceptionSpec};
use smartops_guard::policy::Flaw;

use super::answer::Checked;
use crate::admission::envelope::Request;
use crate::snapshot::Snapshot;

#[derive(Deserialize)]
struct Written {
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    creation_timestamp: Option<Timestamp>,
}

/// Checks an exception's spec as it was and as it would be.
pub(super) fn check(
    request: &Request<'_>,
    (old, spec): (Option<&RawValue>, &RawValue),
    writer: &Subject,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Checked {
    let flaws = match serde_json::from_str::<GuardrailExceptionSpec>(spec.get()) {
        Err(error) => {
            vec![Flaw { field: "spec".to_owned(), reason: format!("cannot be read: {error}") }]
        }
        Ok(spec) => {
            let namespace = request.namespace.as_deref().unwrap_or_default();
            match Exception::check(namespace, &request.name, made(request, now), spec) {
                Err(flaws) => flaws,
                Ok(exception) => {
                    let policy = snapshot.index.named(exception.policy()).map(AsRef::as_ref);
                    let mut flaws = exception.flaws_under(policy);
                    flaws.extend(exception.flaws_for(writer, policy, now));
                    flaws.extend(revived(old, now));
                    flaws
                }
            }
        }
    };
    flaws.into()
}

/// That what has expired stays so.
fn revived(old: Option<&RawValue>, now: Timestamp) -> Option<Flaw> {
    let old = serde_json::from_str::<GuardrailExceptionSpec>(old?.get()).ok()?;
    (old.end() <= now).then(|| Flaw {
        field: "spec".to_owned(),
        reason: "has expired and stays as it was; write a new exception".to_owned(),
    })
}

/// When it was made: the API server says so, also of one that is being made.
fn made(request: &Request<'_>, now: Timestamp) -> Timestamp {
    let stored = request.old_object.map(RawValue::get).filter(|text| *text != "null");
    let text = stored.or_else(|| request.object.map(RawValue::get));
    let written = text.and_then(|text| serde_json::from_str::<Written>(text).ok());
    written.and_then(|written| written.metadata.creation_timestamp).unwrap_or(now)
}
