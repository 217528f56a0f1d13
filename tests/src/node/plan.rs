//! What is decided about a node before it starts, written into its folder: whoever starts it, is it or ends it reads that.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::cgroups::{self, Hierarchy};
use super::network;
use super::parts::Parts;
use crate::pki;

/// A node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Plan {
    /// Its name in the cluster, and among the cluster's processes.
    pub(super) name: String,
    /// The first node is 0.
    pub(super) index: usize,
    /// The kubelet's address.
    pub(super) address: String,
    /// Everything of it lies below.
    pub(super) folder: PathBuf,
    /// What it is made of.
    pub(super) parts: Parts,
    /// Archives of images it starts with.
    pub(super) images: Vec<PathBuf>,
    /// Its place in each hierarchy of cgroups.
    pub(super) cgroups: Vec<Hierarchy>,
}

impl Plan {
    /// Decides about a node of the cluster in `dir`, and writes it down.
    pub(super) fn write(
        dir: &Path,
        index: usize,
        parts: &Parts,
        images: &[PathBuf],
    ) -> Result<Self> {
        let name = super::Machine::node(index);
        let folder = dir.join("nodes").join(&name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let plan = Self {
            index,
            address: network::node(index),
            folder,
            parts: parts.clone(),
            images: images.to_vec(),
            cgroups: cgroups::below_ours(&format!("smartops-{}-{name}", std::process::id()))?,
            name,
        };
        let text = serde_json::to_string_pretty(&plan).context("a plan does not serialise")?;
        // In one step: whoever ends what a killed harness left finds a whole plan or none.
        let draft = plan.folder.join("plan.draft");
        pki::write(&draft, &text)?;
        fs::rename(&draft, plan.file()).context("cannot write a node's plan")?;
        Ok(plan)
    }

    /// The plan in a node's folder.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("plan.json");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    /// The plans of every node of the cluster in `dir` that was started and not ended.
    pub(super) fn all(dir: &Path) -> Result<Vec<Self>> {
        let Ok(entries) = fs::read_dir(dir.join("nodes")) else { return Ok(Vec::new()) };
        let mut plans = Vec::new();
        for entry in entries {
            let folder = entry.context("cannot list the nodes")?.path();
            if folder.join("plan.json").is_file() {
                plans.push(Self::read(&folder)?);
            }
        }
        plans.sort_by_key(|plan| plan.index);
        Ok(plans)
    }

    /// Removes what only a running node needs: the plan, and what its containers wrote.
    pub(super) fn forget(&self) -> Result<()> {
        for name in ["lib", "addresses"] {
            let path = self.folder.join(name);
            if path.exists() {
                fs::remove_dir_all(&path)
                    .with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        match fs::remove_file(self.file()) {
            // Somebody else ended it meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            outcome => outcome.context("cannot remove a node's plan"),
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("plan.json")
    }
}
