//! The little that is read of an object's whole text beside its change: its kind and one annotation. Only for writes
//! that would be refused, so it may cost a walk over the text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use smartops_change::{Change, Operation};

use crate::facts::{Facts, Whole};
use crate::judge::Needs;

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    metadata: Metadata<'a>,
}

#[derive(Deserialize, Default)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    annotations: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
}

/// What was read of the object a write is about; of a subresource, the object it is of.
pub(crate) struct Skimmed<'a>(Object<'a>);

impl<'a> Skimmed<'a> {
    /// `None` where it is not to be had or cannot be read.
    ///
    /// # Errors
    /// Where it has not been asked for.
    pub(crate) fn of(change: &Change<'a>, facts: &Facts<'a>) -> Result<Option<Self>, Needs> {
        let text = if !change.resource().subresource.is_empty() {
            match facts.whole {
                Whole::NotAsked => return Err(Needs::WHOLE),
                Whole::Known(text) => Some(text),
                Whole::Unavailable => None,
            }
        } else if change.operation() == Operation::Delete {
            change.old_text()
        } else {
            change.new_text()
        };
        Ok(text.and_then(|text| serde_json::from_str(text).ok()).map(Self))
    }

    /// Its kind, empty where it says none.
    pub(crate) fn kind(&self) -> &str {
        &self.0.kind
    }

    /// The annotation under a key.
    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.0.metadata.annotations.as_ref()?.get(key).map(AsRef::as_ref)
    }
}
