//! Which packages a program consists of: a walk over cargo's graph.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

use crate::metadata::{Metadata, Node};

/// A package of the closure.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    /// Whether it is in the program; otherwise it ran in the compiler.
    pub(super) is_linked: bool,
    /// The packages of the closure it needs.
    pub(super) needs: BTreeSet<String>,
}

/// Everything `root` needs that is neither for its tests nor for build scripts, as far as it was compiled.
pub(super) fn of(
    metadata: &Metadata,
    root: &str,
    compiled: &BTreeSet<String>,
) -> Result<BTreeMap<String, Part>> {
    let nodes: BTreeMap<&str, &Node> =
        metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let macros: BTreeSet<&str> = metadata
        .packages
        .iter()
        .filter(|package| package.is_macro())
        .map(|package| package.id.as_str())
        .collect();
    let mut closure: BTreeMap<String, Part> = BTreeMap::new();
    let mut waiting = vec![(root, true)];
    while let Some((id, reached_linked)) = waiting.pop() {
        let is_linked = reached_linked && !macros.contains(id);
        let is_new = !closure.contains_key(id);
        let part = closure.entry(id.to_owned()).or_default();
        // Once more when it turns out to be in the program too: so is all it needs.
        if !is_new && (part.is_linked || !is_linked) {
            continue;
        }
        part.is_linked |= is_linked;
        let node = nodes.get(id).with_context(|| format!("cargo knows no {id}"))?;
        for dependency in &node.deps {
            let is_normal = dependency.dep_kinds.iter().any(|kind| kind.kind.is_none());
            if is_normal && compiled.contains(&dependency.pkg) {
                part.needs.insert(dependency.pkg.clone());
                waiting.push((&dependency.pkg, is_linked));
            }
        }
    }
    Ok(closure)
}
