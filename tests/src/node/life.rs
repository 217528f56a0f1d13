//! A node's processes. The harness starts one that enters the node's cgroups and becomes `unshare`; inside, another mounts
//! what the node sees and keeps containerd and the kubelet running. Whoever kills the first ends all of them.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::cgroups::{self, Hierarchy};
use super::network;
use super::plan::Plan;
use crate::places;
use crate::process::{self, Launch};
use crate::wait::{Seen, eventually};

/// How long containerd may take to answer.
const LIMIT: Duration = Duration::from_secs(30);
/// Settings a kubelet insists on. It finds them in files of ours, so the machine's own stay as they are.
const SETTINGS: [(&str, &str); 4] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
];

/// Starts the node of a plan in the cluster in `dir`.
pub(super) fn start(dir: &Path, plan: &Plan) -> Result<()> {
    let arguments = vec!["enter".to_owned(), plan.folder.display().to_string()];
    let program = places::program("smartops-node")?;
    let launch = Launch { name: &plan.name, program, arguments, environment: Vec::new() };
    process::start(dir, &launch).map(|_| ())
}

/// Enters the cgroups of the node whose folder this is, and becomes the process that holds its namespaces. Returns only
/// with an error.
pub fn enter(folder: &Path) -> Result<()> {
    let plan = Plan::read(folder)?;
    cgroups::enter(&plan.cgroups)?;
    let own = std::env::current_exe().context("cannot tell where this program lies")?;
    let error = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--cgroup"])
        .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
        // The first process of a PID namespace inherits orphans, which a shell buries.
        .args(["/bin/sh", "-c", "\"$@\" & wait", "node"])
        .arg(own)
        .arg("run")
        .arg(folder)
        .exec();
    Err(error).context("cannot start unshare")
}

/// Is the node whose folder this is, inside its namespaces. Returns when containerd or the kubelet ended.
pub fn run(folder: &Path) -> Result<()> {
    let plan = Plan::read(folder)?;
    see_own_folders(&plan)?;
    see_own_cgroups(&plan.cgroups)?;
    see_own_settings(&plan)?;
    let mut containerd = inside(&plan, "containerd", Path::new("containerd"), &["--config"])?
        .arg(folder.join("containerd.toml"))
        .spawn()
        .context("cannot start containerd")?;
    eventually(LIMIT, "containerd answers", || {
        check(&mut containerd, "containerd")?;
        let answer = inside(&plan, "ctr", Path::new("ctr"), &["version"])?.status();
        Ok(Seen::when(answer.is_ok_and(|status| status.success()), "it does not"))
    })?;
    for image in &plan.images {
        let import = ["--namespace", "k8s.io", "images", "import"];
        let status = inside(&plan, "ctr", Path::new("ctr"), &import)?.arg(image).status();
        if !status.context("cannot start ctr")?.success() {
            bail!("cannot import {}", image.display());
        }
    }
    let mut kubelet = inside(&plan, "kubelet", &plan.parts.kubelet, &["--config"])?
        .arg(folder.join("kubelet.json"))
        .arg("--kubeconfig")
        .arg(folder.join("kubeconfig"))
        .args(["--hostname-override", &plan.name, "--node-ip", &plan.address])
        .spawn()
        .context("cannot start the kubelet")?;
    std::thread::spawn(move || containerd.wait());
    let status = kubelet.wait().context("cannot wait for the kubelet")?;
    bail!("the kubelet ended ({status}): {}", places::tail(&folder.join("kubelet.log"), 5))
}

/// Does what a node begins with, in namespaces made for that alone: a bridge, mounts, its own cgroups.
pub fn trial() -> Result<()> {
    network::raise()?;
    network::lower()?;
    see_own_run()?;
    see_own_cgroups(&cgroups::below_ours("")?)
}

/// The node's own /var/lib, /var/log and /run.
fn see_own_folders(plan: &Plan) -> Result<()> {
    for name in ["lib", "log"] {
        let folder = plan.folder.join(name);
        fs::create_dir_all(&folder).context("cannot make a node's folder")?;
        mount(&["--bind", &folder.display().to_string(), &format!("/var/{name}")])?;
    }
    see_own_run()
}

fn see_own_run() -> Result<()> {
    mount(&["-t", "tmpfs", "tmpfs", "/run"])
}

/// The same hierarchies of cgroups, with the node's own folder as their root.
fn see_own_cgroups(hierarchies: &[Hierarchy]) -> Result<()> {
    let Some(parent) = hierarchies.first().and_then(|hierarchy| hierarchy.mount.parent()) else {
        bail!("this machine has no cgroups of version 1");
    };
    let root = parent.display().to_string();
    command("umount", &["--recursive", &root])?;
    mount(&["-t", "tmpfs", "-o", "mode=755", "tmpfs", &root])?;
    for hierarchy in hierarchies {
        fs::create_dir(&hierarchy.mount).context("cannot make a place for cgroups")?;
        let is_named = hierarchy.options.starts_with("name=");
        let options = format!("{}{}", if is_named { "none," } else { "" }, hierarchy.options);
        let point = hierarchy.mount.display().to_string();
        mount(&["-t", "cgroup", "-o", &options, "cgroup", &point])?;
    }
    Ok(())
}

fn see_own_settings(plan: &Plan) -> Result<()> {
    let folder = plan.folder.join("settings");
    fs::create_dir_all(&folder).context("cannot make a node's folder")?;
    for (name, value) in SETTINGS {
        let file = folder.join(name.replace('/', "."));
        fs::write(&file, value).context("cannot write a node's setting")?;
        mount(&["--bind", &file.display().to_string(), &format!("/proc/sys/{name}")])?;
    }
    Ok(())
}

fn mount(arguments: &[&str]) -> Result<()> {
    command("mount", arguments)
}

fn command(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {}: {}", arguments.join(" "), said.trim());
    }
    Ok(())
}

/// A program of the node, with a log of its own.
fn inside(plan: &Plan, name: &str, program: &Path, arguments: &[&str]) -> Result<Command> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(plan.folder.join(format!("{name}.log")))
        .with_context(|| format!("cannot write the log of {name}"))?;
    let machine = places::variable("PATH").unwrap_or_default();
    let path = plan.parts.programs().into_iter().chain(std::env::split_paths(&machine));
    let path = std::env::join_paths(path).context("PATH cannot be set")?;
    // The shell finds a program by our own PATH, not by its.
    let found = plan.parts.programs().into_iter().map(|folder| folder.join(program));
    let found = found.into_iter().find(|path| path.is_file());
    let mut command = Command::new(found.unwrap_or_else(|| program.to_path_buf()));
    command
        .args(arguments)
        .env("PATH", path)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("cannot share a log file")?)
        .stderr(log);
    process::unmark(&mut command);
    Ok(command)
}

fn check(child: &mut Child, name: &str) -> Result<()> {
    if let Some(status) = child.try_wait().with_context(|| format!("cannot wait for {name}"))? {
        bail!("{name} ended ({status})");
    }
    Ok(())
}
