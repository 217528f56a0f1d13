//! The executables the harness starts: the control plane's, which every cluster needs, and the monitoring's, helm,
//! cert-manager's and the kubelet, which are built only for whoever asks. Built once from the pinned Go modules in `tests/cluster/`, kept
//! outside the clone, or taken from `KUBEBUILDER_ASSETS`.

mod beside;
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
    /// Go's build tags.
    tags: &'static str,
    /// How long a cold build takes on two cores, for people who wait.
    seconds: u32,
}

const CONTROL_PLANE: [Part; 3] = [
    Part {
        name: "kubernetes",
        tools: &["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"],
        tags: "",
        seconds: 380,
    },
    Part { name: "etcd", tools: &["etcd"], tags: "", seconds: 35 },
    Part { name: "kwok", tools: &["kwok"], tags: "", seconds: 75 },
];

const MONITORING: [Part; 2] = [
    Part {
        name: "prometheus",
        tools: &["prometheus", "promtool"],
        // Without the clients of every cloud: targets are named, not discovered.
        tags: "remove_all_sd",
        seconds: 190,
    },
    Part { name: "alertmanager", tools: &["alertmanager"], tags: "", seconds: 50 },
];

const HELM: [Part; 1] = [Part { name: "helm", tools: &["helm"], tags: "", seconds: 70 }];

const KUBELET: [Part; 1] = [Part { name: "kubelet", tools: &["kubelet"], tags: "", seconds: 100 }];

const CERT_MANAGER: [Part; 1] = [Part {
    name: "cert-manager",
    tools: &["cert-manager-controller", "cert-manager-cainjector"],
    tags: "",
    seconds: 150,
}];

/// Folder with cert-manager's CRDs, beside its executables.
const CRDS: &str = "crds";

/// Folder with KWOK's stages, beside its executable.
const STAGES: &str = "stages";

/// The executables a cluster needs, found.
#[derive(Debug, Clone)]
pub struct Components {
    tools: Tools,
    /// KWOK's stages: what a fake node and its pods do.
    pub stages: Vec<PathBuf>,
}

impl Components {
    /// Finds every executable, building what is missing. `tell` is called with lines of progress.
    pub fn ensure(tell: &dyn Fn(&str)) -> Result<Self> {
        let tools = Tools::ensure(&CONTROL_PLANE, tell)?;
        let kwok = tools.path("kwok")?.parent().context("kwok lies in no folder")?;
        let mut stages = stage_files(&kwok.join(STAGES))?;
        stages.extend(stage_files(&places::cluster_sources().join(STAGES))?);
        Ok(Self { tools, stages })
    }

    /// The path of an executable.
    pub fn tool(&self, name: &str) -> Result<&Path> {
        self.tools.path(name)
    }

    /// The folder with kubectl.
    pub fn bin(&self) -> Result<PathBuf> {
        let kubectl = self.tool("kubectl")?;
        Ok(kubectl.parent().unwrap_or_else(|| Path::new("/")).to_path_buf())
    }
}

/// Prometheus, promtool and Alertmanager, found.
#[derive(Debug, Clone)]
pub struct Monitors(Tools);

impl Monitors {
    /// Finds them, building what is missing. `tell` is called with lines of progress.
    pub fn ensure(tell: &dyn Fn(&str)) -> Result<Self> {
        Tools::ensure(&MONITORING, tell).map(Self)
    }

    /// The path of an executable.
    pub fn tool(&self, name: &str) -> Result<&Path> {
        self.0.path(name)
    }
}

/// The helm program, found. [`crate::helm`] runs it.
#[derive(Debug, Clone)]
pub struct Helm(PathBuf);

impl Helm {
    /// Finds it, building it when it is missing. `tell` is called with lines of progress.
    pub fn ensure(tell: &dyn Fn(&str)) -> Result<Self> {
        let tools = Tools::ensure(&HELM, tell)?;
        tools.path("helm").map(|path| Self(path.to_path_buf()))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// The kubelet, found. [`crate::node`] runs it.
#[derive(Debug, Clone)]
pub struct Kubelet(PathBuf);

impl Kubelet {
    /// Finds it, building it when it is missing. `tell` is called with lines of progress.
    pub fn ensure(tell: &dyn Fn(&str)) -> Result<Self> {
        let tools = Tools::ensure(&KUBELET, tell)?;
        tools.path("kubelet").map(|path| Self(path.to_path_buf()))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// cert-manager's controllers and its CA injector, found, and the CRDs they need.
#[derive(Debug, Clone)]
pub struct CertManager(Tools);

impl CertManager {
    /// Finds them, building what is missing. `tell` is called with lines of progress.
    pub fn ensure(tell: &dyn Fn(&str)) -> Result<Self> {
        Tools::ensure(&CERT_MANAGER, tell).map(Self)
    }

    /// The path of an executable.
    pub fn tool(&self, name: &str) -> Result<&Path> {
        self.0.path(name)
    }

    /// The folder with its CRDs.
    pub fn crds(&self) -> Result<PathBuf> {
        let controller = self.tool("cert-manager-controller")?;
        Ok(controller.parent().context("cert-manager lies in no folder")?.join(CRDS))
    }
}

/// Executables by name.
#[derive(Debug, Clone)]
struct Tools(BTreeMap<String, PathBuf>);

impl Tools {
    fn ensure(parts: &[Part], tell: &dyn Fn(&str)) -> Result<Self> {
        let assets = places::variable("KUBEBUILDER_ASSETS").map(PathBuf::from);
        if let Some(folder) = assets.as_deref().filter(|folder| !folder.is_dir()) {
            bail!("KUBEBUILDER_ASSETS names {}, which is not a folder", folder.display());
        }
        let mut tools = BTreeMap::new();
        for (index, part) in parts.iter().enumerate() {
            let given = assets.as_deref().filter(|folder| has(folder, part));
            let folder = if let Some(folder) = given {
                folder.to_path_buf()
            } else {
                let head = format!("[{}/{}] {}", index + 1, parts.len(), part.name);
                build::ensure(&head, part, tell).with_context(|| build::ways_out(part, parts))?
            };
            for tool in part.tools {
                tools.insert((*tool).to_owned(), folder.join(tool));
            }
        }
        Ok(Self(tools))
    }

    fn path(&self, name: &str) -> Result<&Path> {
        let path = self.0.get(name).map(PathBuf::as_path);
        path.with_context(|| format!("{name} is not one of {:?}", self.0.keys()))
    }
}

/// Whether `folder` holds all of a part: what belongs beside its executables, too.
fn has(folder: &Path, part: &Part) -> bool {
    part.tools.iter().all(|tool| folder.join(tool).is_file())
        && beside::of(part).is_none_or(|beside| folder.join(beside.folder).is_dir())
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
