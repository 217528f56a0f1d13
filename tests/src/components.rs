//! The control plane's executables: built once from the pinned Go modules in `tests/cluster/`, kept outside the clone,
//! or taken from `KUBEBUILDER_ASSETS`.

mod build;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::places;

/// A group of executables that come out of one Go module.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// Folder below `tests/cluster/`, and the name people are shown.
    name: &'static str,
    /// Executables.
    tools: &'static [&'static str],
    /// How long a cold build takes on two cores, for people who wait.
    seconds: u32,
}

const PARTS: [Part; 3] = [
    Part {
        name: "kubernetes",
        tools: &["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"],
        seconds: 380,
    },
    Part { name: "etcd", tools: &["etcd"], seconds: 35 },
    Part { name: "kwok", tools: &["kwok"], seconds: 75 },
];

/// Folder with KWOK's stages, beside its executable.
const STAGES: &str = "stages";

/// The executables a cluster needs, found.
#[derive(Debug, Clone)]
pub struct Components {
    tools: BTreeMap<String, PathBuf>,
    /// KWOK's stages: what a fake node and its pods do.
    pub stages: Vec<PathBuf>,
}

impl Components {
    /// Finds every executable, building what is missing. `tell` is called with lines of progress.
    pub fn ensure(tell: &dyn Fn(&str)) -> Result<Self> {
        let assets = places::variable("KUBEBUILDER_ASSETS").map(PathBuf::from);
        if let Some(folder) = assets.as_deref().filter(|folder| !folder.is_dir()) {
            bail!("KUBEBUILDER_ASSETS names {}, which is not a folder", folder.display());
        }
        let mut tools = BTreeMap::new();
        let mut stages = None;
        for (index, part) in PARTS.iter().enumerate() {
            let folder = match assets.as_deref().filter(|folder| has(folder, part)) {
                Some(folder) => folder.to_path_buf(),
                None => build::ensure(index, part, tell).with_context(|| build::ways_out(part))?,
            };
            for tool in part.tools {
                tools.insert((*tool).to_owned(), folder.join(tool));
            }
            if part.name == "kwok" {
                stages = Some(stage_files(&folder.join(STAGES))?);
            }
        }
        let mut stages = stages.context("kwok has no stages")?;
        stages.extend(stage_files(&places::cluster_sources().join(STAGES))?);
        Ok(Self { tools, stages })
    }

    /// The path of an executable.
    pub fn tool(&self, name: &str) -> Result<&Path> {
        let path = self.tools.get(name).map(PathBuf::as_path);
        path.with_context(|| format!("{name} is not one of {:?}", self.tools.keys()))
    }

    /// The folder with kubectl.
    pub fn bin(&self) -> Result<PathBuf> {
        let kubectl = self.tool("kubectl")?;
        Ok(kubectl.parent().unwrap_or_else(|| Path::new("/")).to_path_buf())
    }
}

/// Whether `folder` holds all of a part: for kwok, which refuses to start without them, its stages too.
fn has(folder: &Path, part: &Part) -> bool {
    part.tools.iter().all(|tool| folder.join(tool).is_file())
        && (part.name != "kwok" || folder.join(STAGES).is_dir())
}

fn stage_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read KWOK's stages in {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    if files.is_empty() {
        bail!("{} holds no stage", folder.display());
    }
    Ok(files)
}
