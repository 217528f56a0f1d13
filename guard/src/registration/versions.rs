//! In which API version a kind is asked about.
//!
//! The kinds of Kubernetes in every version: what the rules look at stands at the same paths in all that are served,
//! and a new version needs nothing to be written anew. A custom resource whose policy says where it keeps its number
//! in that policy's version alone: `matchPolicy: Equivalent` converts a write to a version that is registered only
//! where its own is not.

use std::collections::{BTreeMap, BTreeSet};

use super::demand::Target;

/// Whichever version was written.
pub(super) const ANY_VERSION: &str = "*";

/// The versions policies read each kind in.
#[derive(Debug, Default)]
pub(super) struct Versions<'a>(BTreeMap<(&'a str, &'a str), BTreeSet<&'a str>>);

impl<'a> Versions<'a> {
    /// Those of everything that is to be asked about.
    pub(super) fn of(targets: impl Iterator<Item = &'a Target>) -> Self {
        let mut versions: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for target in targets {
            if let Some(version) = &target.version {
                let kind = (target.group.as_str(), target.resource.as_str());
                versions.entry(kind).or_default().insert(version.as_str());
            }
        }
        Self(versions)
    }

    /// The version a target is asked about in, and the how-manieth of its kind that is: versions of one kind stand in
    /// entries of their own, because one beside it in the same entry would end the conversion. Whoever takes any
    /// version takes the first.
    pub(super) fn read<'t>(&self, target: &'t Target) -> (&'t str, usize)
    where
        'a: 't,
    {
        let kind = (target.group.as_str(), target.resource.as_str());
        let Some(versions) = self.0.get(&kind) else { return (ANY_VERSION, 0) };
        match &target.version {
            None => (versions.first().copied().unwrap_or(ANY_VERSION), 0),
            Some(version) => {
                let round = versions.iter().position(|v| v == version).unwrap_or_default();
                (version.as_str(), round)
            }
        }
    }
}
