//! What is read of an object's metadata: identity, versions, labels and the object that controls it.

use std::borrow::Cow;

use crate::raw::{self, Error, Object};

/// What is read of an object's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata<'a> {
    /// Its uid; for a Scale, its parent's. Empty where none is given.
    pub uid: Cow<'a, str>,
    /// Its resource version; for a Scale, its parent's. Empty where none is given.
    pub resource_version: Cow<'a, str>,
    /// Its generation; a Scale has none.
    pub generation: Option<i64>,
    /// RFC 3339.
    pub creation_timestamp: Option<Cow<'a, str>>,
    /// Whether it is being deleted.
    pub is_deleting: bool,
    /// The object that controls it, if one does.
    pub controller: Option<Owner<'a>>,
    /// The text of its labels, so that whoever asks for them need not look for them in all of metadata again.
    labels: Option<&'a str>,
}

/// An object that controls another, as its owner reference with `controller: true` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner<'a> {
    /// Empty for the core group.
    pub group: Cow<'a, str>,
    /// Its kind, as `ReplicaSet`.
    pub kind: Cow<'a, str>,
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its uid.
    pub uid: Cow<'a, str>,
}

/// An object's labels, sorted by key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Labels<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl Labels<'_> {
    /// The value under a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        let found = self.0.binary_search_by(|(k, _)| k.as_ref().cmp(key)).ok()?;
        Some(self.0[found].1.as_ref())
    }

    /// All keys with their values, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), value.as_ref()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Reads what is kept of metadata.
pub(crate) fn read<'a>(metadata: &Object<'a>) -> Result<Metadata<'a>, Error> {
    Ok(Metadata {
        uid: metadata.string("uid")?.unwrap_or_default(),
        resource_version: metadata.string("resourceVersion")?.unwrap_or_default(),
        generation: metadata
            .get("generation")
            .map(|text| raw::integer(text, "metadata.generation"))
            .transpose()?,
        creation_timestamp: metadata.string("creationTimestamp")?,
        is_deleting: metadata.get("deletionTimestamp").is_some(),
        controller: controller(metadata)?,
        labels: metadata.get("labels"),
    })
}

fn controller<'a>(metadata: &Object<'a>) -> Result<Option<Owner<'a>>, Error> {
    for reference in metadata.list("ownerReferences")? {
        let reference = Object::read(reference)?;
        if reference.get("controller") == Some("true") {
            let text = |key| Ok(reference.string(key)?.unwrap_or_default());
            return Ok(Some(Owner {
                group: group_of(text("apiVersion")?),
                kind: text("kind")?,
                name: text("name")?,
                uid: text("uid")?,
            }));
        }
    }
    Ok(None)
}

/// The group of an `apiVersion`: empty for `v1`.
pub(crate) fn group_of(version: Cow<'_, str>) -> Cow<'_, str> {
    match version {
        Cow::Borrowed(text) => Cow::Borrowed(text.split_once('/').map_or("", |(group, _)| group)),
        Cow::Owned(text) => {
            Cow::Owned(text.split_once('/').map_or("", |(group, _)| group).to_owned())
        }
    }
}

/// Reads an object's labels.
pub(crate) fn labels<'a>(metadata: &Metadata<'a>) -> Result<Labels<'a>, Error> {
    let labels = metadata.labels.map_or_else(|| Ok(Object::default()), Object::read)?;
    let mut read = Vec::with_capacity(labels.members().len());
    for (key, value) in labels.members() {
        read.push((key.clone(), raw::string(value)?));
    }
    Ok(Labels(read))
}
