//! A control plane with real nodes: kubelet, containerd and runc start the pods, and the API server reaches them over a
//! bridge. Each node lives in mount, PID and cgroup namespaces of its own, and all of it in one network namespace, which
//! the caller made (`cargo xtask test --node`), so that nothing of the machine's is changed and nothing stays.
//!
//! Does not live here: what runs on the nodes (the tests under `tests/e2e/node`).

mod cgroups;
mod files;
mod life;
mod network;
mod parts;
mod plan;
mod trace;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

pub use self::life::{enter, run, trial};
pub use self::parts::{Parts, obstacle};
pub use self::trace::Trace;

use self::plan::Plan;
use crate::cluster::{Cluster, Lifetime, ready_nodes};
use crate::kubectl::Kubectl;
use crate::process::{self, Signal};
use crate::wait::{Seen, eventually};

/// How long a node may take from its start until pods may go there.
const READY: Duration = Duration::from_mins(1);
/// How long what is left of a killed node may take to go.
const GONE: Duration = Duration::from_secs(20);

/// A cluster whose nodes are real.
#[derive(Debug)]
pub struct Machine {
    /// The control plane.
    pub cluster: Cluster,
    parts: Parts,
    images: Vec<PathBuf>,
}

impl Machine {
    /// Starts a control plane and `nodes` nodes in `dir`, each with these images imported, and returns when pods may go to
    /// all of them. It ends with this process, however that ends.
    pub fn start(
        dir: &Path,
        nodes: usize,
        images: &[PathBuf],
        tell: &dyn Fn(&str),
    ) -> Result<Self> {
        if let Some(reason) = network::obstacle()? {
            bail!("{reason}");
        }
        let parts = Parts::ensure(tell)?;
        network::raise()?;
        tell("starting a control plane for real nodes");
        let cluster = Cluster::start_for_real_nodes(dir, Lifetime::Harness, tell);
        let cluster = cluster.or_else(|error| network::lower().and(Err(error)))?;
        let machine = Self { cluster, parts, images: images.to_vec() };
        let whole = (0..nodes).try_for_each(|index| machine.join(index));
        match whole.and_then(|()| machine.wait_ready(nodes)) {
            Ok(()) => Ok(machine),
            Err(error) => Err(match machine.stop() {
                Ok(()) => error,
                Err(stop) => error.context(format!("and what had started stays: {stop:#}")),
            }),
        }
    }

    /// The name of a node.
    pub fn node(index: usize) -> String {
        format!("real-{index}")
    }

    /// Starts a node and leaves it to join.
    pub fn join(&self, index: usize) -> Result<()> {
        let plan = Plan::write(self.cluster.dir(), index, &self.parts, &self.images)?;
        files::write(&self.cluster, &plan)?;
        network::add(&plan.address)?;
        life::start(self.cluster.dir(), &plan)
    }

    /// Waits until this many nodes are ready.
    pub fn wait_ready(&self, nodes: usize) -> Result<()> {
        let admin = self.admin();
        eventually(READY, &format!("{nodes} real nodes are ready"), || {
            for plan in Plan::all(self.cluster.dir())? {
                process::check_runs(self.cluster.dir(), &plan.name).with_context(|| {
                    format!("see also {}", plan.folder.join("kubelet.log").display())
                })?;
            }
            let ready = ready_nodes(&admin.get(&["nodes"])?);
            Ok(Seen::when(ready == nodes, format!("{ready} are ready")))
        })
    }

    /// Ends a node at once with everything on it, as when its machine loses power.
    pub fn lose(&self, index: usize) -> Result<()> {
        let name = Self::node(index);
        let plans = Plan::all(self.cluster.dir())?;
        let plan = plans.into_iter().find(|plan| plan.name == name);
        end(self.cluster.dir(), &plan.with_context(|| format!("there is no {name}"))?)
    }

    /// Kills (SIGKILL) the process of this name in a pod, which is told by its uid.
    pub fn kill_in_pod(&self, uid: &str, name: &str) -> Result<()> {
        // The kernel keeps the first 15 letters of a name.
        let name: String = name.chars().take(15).collect();
        for entry in fs::read_dir("/proc").context("cannot read /proc")?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|id| id.parse::<u32>().ok()) else {
                continue;
            };
            let read = |file: &str| fs::read_to_string(entry.path().join(file)).unwrap_or_default();
            if read("comm").trim() == name && read("cgroup").contains(uid) {
                return process::send(pid, Signal::Kill);
            }
        }
        bail!("no {name} runs in the pod {uid}")
    }

    /// kubectl as admin.
    pub fn admin(&self) -> Kubectl {
        self.cluster.kubectl("admin")
    }

    /// Ends everything and waits for it. What stays are logs in the folder.
    pub fn stop(self) -> Result<()> {
        self.cluster.stop()
    }
}

/// Ends every node whose plan lies in a cluster's folder, and what held them together.
pub(crate) fn down(dir: &Path) -> Result<()> {
    let plans = Plan::all(dir)?;
    if plans.is_empty() {
        return Ok(());
    }
    let nodes = plans.iter().map(|plan| end(dir, plan));
    process::together(nodes.chain(std::iter::once_with(network::lower)))
}

fn end(dir: &Path, plan: &Plan) -> Result<()> {
    // The kernel ends whoever is in the PID namespace of a killed process that asked for it.
    process::signal(dir, &plan.name, Signal::Kill)?;
    process::wait_ended(dir, &plan.name, GONE)?;
    network::remove(&plan.address)?;
    eventually(GONE, &format!("the cgroups of {} are gone", plan.name), || {
        let left = cgroups::remove(&plan.cgroups);
        Ok(Seen::when(left.is_empty(), format!("{left:?} are left")))
    })?;
    plan.forget()
}
