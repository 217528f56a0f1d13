//! A control plane on loopback: etcd, API server, controller manager, scheduler, and KWOK's nodes. Any number at once,
//! each in a folder of its own. Or, with `SMARTOPS_KUBECONFIG`, a cluster that is there already.

mod control_plane;
mod existing;
mod ports;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::components::Components;
use crate::kubectl::Kubectl;
use crate::reaper::Reaper;
use crate::state::State;
use crate::{audit, node, places, process};

pub(crate) use self::control_plane::{Nodes, ready_nodes};
pub use self::ports::free as free_ports;

/// How a cluster lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as this process, however it ends.
    Harness,
    /// Until `down`.
    Detached,
}

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    /// What is written down about it.
    pub state: State,
    reaper: Option<Reaper>,
}

impl Cluster {
    /// Starts a cluster with everything below `dir`, which must not hold a running one, or adopts the one that
    /// `SMARTOPS_KUBECONFIG` names. `tell` is called with progress.
    pub fn start(dir: &Path, lifetime: Lifetime, tell: &dyn Fn(&str)) -> Result<Self> {
        let named = places::variable("SMARTOPS_KUBECONFIG").map(PathBuf::from);
        Self::start_on(named.as_deref(), dir, lifetime, Nodes::Played, tell)
    }

    /// The same, always with a control plane of our own: for whoever breaks it.
    pub fn start_own(dir: &Path, lifetime: Lifetime, tell: &dyn Fn(&str)) -> Result<Self> {
        Self::start_on(None, dir, lifetime, Nodes::Played, tell)
    }

    /// The same without nodes, for real ones to join. Only in a network namespace of its own: the API server listens at
    /// every address there.
    pub(crate) fn start_for_real_nodes(
        dir: &Path,
        lifetime: Lifetime,
        tell: &dyn Fn(&str),
    ) -> Result<Self> {
        Self::start_on(None, dir, lifetime, Nodes::Real, tell)
    }

    fn start_on(
        named: Option<&Path>,
        dir: &Path,
        lifetime: Lifetime,
        nodes: Nodes,
        tell: &dyn Fn(&str),
    ) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let dir = dir.canonicalize().context("the cluster's folder has no absolute path")?;
        if !process::running(&dir)?.is_empty() {
            bail!("a cluster runs in {}: take it down first", dir.display());
        }
        clean(&dir)?;
        let reaper = match lifetime {
            Lifetime::Harness => Some(Reaper::start(&dir)?),
            Lifetime::Detached => None,
        };
        let state = match named {
            Some(kubeconfig) => existing::adopt(&dir, kubeconfig)?,
            None => control_plane::start(&dir, &Components::ensure(tell)?, nodes)?,
        };
        state.write()?;
        Ok(Self { state, reaper })
    }

    /// The cluster in `dir`, when one was set up there. It lives on when this value goes.
    pub fn open(dir: &Path) -> Result<Option<Self>> {
        let Ok(dir) = dir.canonicalize() else { return Ok(None) };
        Ok(State::read(&dir)?.map(|state| Self { state, reaper: None }))
    }

    /// The cluster's folder.
    pub fn dir(&self) -> &Path {
        &self.state.dir
    }

    /// kubectl as one of the actors: admin, and once they are made those of [`identities`](crate::identities).
    pub fn kubectl(&self, actor: &str) -> Kubectl {
        let kubeconfig = self.state.kubeconfig(actor);
        Kubectl::new(&self.state.bin.join("kubectl"), &kubeconfig, self.dir())
    }

    /// The writes the API server logged so far; an error for a cluster whose log is not ours.
    pub fn writes(&self) -> Result<Vec<audit::Write>> {
        if !self.state.own_control_plane {
            bail!("writes are counted by the audit log, which only our own control plane has");
        }
        audit::writes(&audit_log(self.dir()))
    }

    /// Ends the cluster and waits for every process. What it left in its folder stays.
    pub fn stop(self) -> Result<()> {
        down(self.dir())?;
        self.reaper.map_or(Ok(()), Reaper::reap)
    }

    /// Lets the cluster live on when this process ends.
    pub fn keep(&mut self) -> Result<()> {
        self.reaper.take().map_or(Ok(()), Reaper::release)
    }
}

/// Ends whatever of a cluster runs in `dir`, from nothing but the folder's name. True when something ran.
pub fn down(dir: &Path) -> Result<bool> {
    let Ok(dir) = dir.canonicalize() else { return Ok(false) };
    let ran = !process::running(&dir)?.is_empty();
    let state = State::read(&dir).unwrap_or_default();
    let unregistered = match state.filter(|state| ran && !state.own_control_plane) {
        Some(state) => existing::unregister(&state),
        None => Ok(()),
    };
    // All of it is tried: a node that does not go must not keep the processes.
    process::together([unregistered, node::down(&dir), process::end_all(&dir)])?;
    Ok(ran)
}

/// Removes what an earlier cluster left in `dir`. Only what a cluster writes there, in case somebody named a folder
/// with other things in it.
fn clean(dir: &Path) -> Result<()> {
    for name in
        ["etcd", "pki", "logs", "kubeconfigs", "kubectl-cache", "kubernetes", "monitoring", "nodes"]
    {
        let path = dir.join(name);
        if path.exists() {
            fs::remove_dir_all(&path)
                .with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    for name in ["cluster.json", "audit.log", "api-keys", "smartopsconfig.yaml"] {
        let path = dir.join(name);
        if path.exists() {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

fn audit_log(dir: &Path) -> PathBuf {
    dir.join("audit.log")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Launch;

    #[test]
    fn a_node_that_cannot_be_ended_is_told_and_keeps_no_process() {
        let dir = std::env::temp_dir().join(format!("smartops-down-{}", std::process::id()));
        let node = dir.join("nodes/real-0");
        fs::create_dir_all(&node).unwrap();
        fs::write(node.join("plan.json"), "{").unwrap();
        let dir = dir.canonicalize().unwrap();
        let sleep = Launch {
            name: "etcd",
            program: "/bin/sleep".into(),
            arguments: vec!["600".into()],
            environment: Vec::new(),
        };
        process::start(&dir, &sleep).unwrap();
        let error = format!("{:#}", down(&dir).unwrap_err());
        assert!(error.contains("plan.json is damaged"), "{error}");
        assert_eq!(process::running(&dir).unwrap(), []);
        fs::remove_file(node.join("plan.json")).unwrap();
        assert!(!down(&dir).unwrap());
        fs::remove_dir_all(&dir).unwrap();
    }
}
