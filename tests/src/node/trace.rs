//! What real nodes could leave behind on a machine, seen before and after: interfaces, addresses, routes, mounts, cgroups,
//! kernel settings, processes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{cgroups, network};

/// Settings that a kubelet or a network plugin would change on a machine of its own.
const SETTINGS: [&str; 8] = [
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "net/ipv4/conf/all/route_localnet",
    "net/ipv4/ip_forward",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
];

/// One look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace(BTreeSet<String>);

impl Trace {
    /// Looks now. Processes are those of this network namespace, and those in cgroups below our own.
    pub fn take() -> Result<Self> {
        let mut seen = BTreeSet::new();
        for arguments in [["-o", "link"], ["-o", "addr"], ["-o", "route"]] {
            let listed = network::output(&arguments)?;
            seen.extend(listed.lines().map(|line| format!("{}: {line}", arguments[1])));
        }
        let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read the mounts")?;
        seen.extend(mounts.lines().map(|line| format!("mount: {line}")));
        for hierarchy in cgroups::below_ours("")? {
            folders(&hierarchy.folder, &mut seen);
        }
        for name in SETTINGS {
            let value = fs::read_to_string(Path::new("/proc/sys").join(name)).unwrap_or_default();
            seen.insert(format!("setting: {name} = {}", value.trim()));
        }
        processes(&mut seen)?;
        Ok(Self(seen))
    }

    /// What is there now and was not in `before`.
    pub fn added_since(&self, before: &Self) -> Vec<String> {
        self.0.difference(&before.0).cloned().collect()
    }

    /// What was there in `before` and is no more.
    pub fn lost_since(&self, before: &Self) -> Vec<String> {
        before.0.difference(&self.0).cloned().collect()
    }
}

fn folders(folder: &Path, seen: &mut BTreeSet<String>) {
    seen.insert(format!("cgroup: {}", folder.display()));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            folders(&entry.path(), seen);
        }
    }
}

fn processes(seen: &mut BTreeSet<String>) -> Result<()> {
    let ours = fs::read_link("/proc/self/ns/net").context("cannot tell our namespace")?;
    for entry in fs::read_dir("/proc").context("cannot read /proc")?.flatten() {
        let path = entry.path();
        let read = |name: &str| fs::read_to_string(path.join(name)).unwrap_or_default();
        let near = fs::read_link(path.join("ns/net")).is_ok_and(|namespace| namespace == ours);
        let in_pod = read("cgroup").contains("/kubepods/");
        if near || in_pod {
            let id = entry.file_name().to_string_lossy().into_owned();
            seen.insert(format!("process: {id} {}", read("comm").trim()));
        }
    }
    Ok(())
}
