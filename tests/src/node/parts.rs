//! What a real node is made of: the kubelet from its pinned Go module, and containerd, runc and the network plugins from
//! Debian's packages, which are unpacked into the cache and not installed. And what a machine must have for it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::cgroups;
use crate::components::Kubelet;
use crate::places;

/// Debian's packages.
const PACKAGES: [&str; 3] = ["containerd", "runc", "containernetworking-plugins"];
/// Programs of the machine that are started.
const PROGRAMS: [&str; 6] = ["apt-get", "dpkg-deb", "ip", "mount", "umount", "unshare"];

/// Where the parts lie.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Parts {
    /// The kubelet.
    pub(super) kubelet: PathBuf,
    /// The folder Debian's packages are unpacked in.
    root: PathBuf,
}

impl Parts {
    /// Finds them, building and fetching what is missing. `tell` is called with lines of progress.
    pub fn ensure(tell: &dyn Fn(&str)) -> Result<Self> {
        let kubelet = Kubelet::ensure(tell)?.path().to_path_buf();
        Ok(Self { kubelet, root: unpacked(tell)? })
    }

    /// The folders with programs.
    pub(super) fn programs(&self) -> [PathBuf; 2] {
        [self.root.join("usr/bin"), self.root.join("usr/sbin")]
    }

    pub(super) fn runc(&self) -> PathBuf {
        self.root.join("usr/sbin/runc")
    }

    pub(super) fn network_plugins(&self) -> PathBuf {
        self.root.join("usr/lib/cni")
    }
}

/// Why no real node can run on this machine; none when one can, and its parts are there then. An error is a fault of ours.
pub fn obstacle(tell: &dyn Fn(&str)) -> Result<Option<String>> {
    let status = fs::read_to_string("/proc/self/status").context("cannot read /proc")?;
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next());
    if user != Some("0") {
        return Ok(Some("it takes root to make namespaces and cgroups".to_owned()));
    }
    let path = places::variable("PATH").unwrap_or_default();
    let has = |name: &&str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    let missing: Vec<&str> = PROGRAMS.into_iter().filter(|name| !has(name)).collect();
    if !missing.is_empty() {
        return Ok(Some(format!("this machine has no {}", missing.join(", "))));
    }
    let folders = cgroups::below_ours(&format!("smartops-trial-{}", std::process::id()))?;
    let lacks = cgroups::missing(&folders);
    if !lacks.is_empty() {
        let lacks = lacks.join(", ");
        return Ok(Some(format!("cgroups of version 1 are mounted without {lacks}")));
    }
    let made = cgroups::make(&folders);
    let left = cgroups::remove(&folders);
    if let Err(error) = made {
        return Ok(Some(format!("cgroups cannot be made here: {error:#}")));
    }
    if !left.is_empty() {
        return Ok(Some(format!("cgroups cannot be removed here: {left:?}")));
    }
    let mut trial = Command::new("unshare");
    trial
        .args(["--net", "--mount", "--propagation", "private", "--cgroup"])
        .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(places::program("smartops-node")?)
        .arg("trial")
        // The reason is one line, and where in our code it arose is no part of it.
        .env("RUST_LIB_BACKTRACE", "0");
    if let Err(error) = quietly(&mut trial) {
        return Ok(Some(format!("namespaces of a node cannot be made or filled here: {error:#}")));
    }
    if let Err(error) = unpacked(tell) {
        return Ok(Some(format!("{error:#}")));
    }
    Parts::ensure(tell)?;
    Ok(None)
}

/// The folder Debian's packages are unpacked in; fetches them when it is not there yet.
fn unpacked(tell: &dyn Fn(&str)) -> Result<PathBuf> {
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let value = |key: &str| {
        let value = system.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        value.unwrap_or_default().trim_matches('"').to_owned()
    };
    let name = format!("packages-{}-{}", value("ID"), value("VERSION_ID"));
    let folder = places::cache()?.join("cluster").join(name);
    let parent = folder.parent().context("the cache has no parent")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    let lock = File::create(folder.with_extension("lock")).context("cannot make a lock file")?;
    lock.lock().context("cannot lock the cache")?;
    if folder.is_dir() {
        return Ok(folder);
    }
    tell(&format!("fetching the packages {}", PACKAGES.join(", ")));
    let temporary = folder.with_extension("partial");
    if temporary.exists() {
        fs::remove_dir_all(&temporary).context("cannot clear the cache")?;
    }
    let archives = temporary.join("archives");
    let root = temporary.join("root");
    fs::create_dir_all(&archives).context("cannot make a folder in the cache")?;
    if fetch(&archives).is_err() {
        // The lists of a fresh image are empty or old.
        quietly(Command::new("apt-get").args(["update", "--quiet=2"]))?;
        fetch(&archives)?;
    }
    for archive in fs::read_dir(&archives).context("nothing was fetched")? {
        let archive = archive.context("nothing was fetched")?.path();
        quietly(Command::new("dpkg-deb").arg("--extract").arg(archive).arg(&root))?;
    }
    fs::rename(&root, &folder).context("cannot put the packages in place")?;
    fs::remove_dir_all(&temporary).context("cannot clear the cache")?;
    Ok(folder)
}

fn fetch(folder: &Path) -> Result<()> {
    let mut command = Command::new("apt-get");
    // As who we are: the user apt would take instead may not write here.
    command.args(["download", "--quiet=2", "--option", "APT::Sandbox::User=root"]);
    quietly(command.args(PACKAGES).current_dir(folder))
}

/// Runs a program to its end; what it said is part of the error.
fn quietly(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!("{program}: {}", said.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    Ok(())
}
