//! A node's place in the machine's cgroups: one folder below our own in each hierarchy of version 1, so that what it uses
//! is counted where it was counted before.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Which controllers a kubelet cannot do without.
pub(super) const NEEDED: [&str; 5] = ["cpu", "cpuacct", "cpuset", "memory", "pids"];

/// One hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hierarchy {
    /// How it is mounted: its controllers, or `name=…`.
    pub(super) options: String,
    /// Where it is mounted.
    pub(super) mount: PathBuf,
    /// The node's own folder in it, as the machine sees it.
    pub(super) folder: PathBuf,
}

/// The hierarchies of version 1, each with the folder `name` below our own place in it.
pub(super) fn below_ours(name: &str) -> Result<Vec<Hierarchy>> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read the mounts")?;
    let places = fs::read_to_string("/proc/self/cgroup").context("cannot read our cgroups")?;
    Ok(hierarchies(&mounts, &places, name))
}

/// The same of what the kernel says in `/proc/self/mounts` and `/proc/self/cgroup`.
fn hierarchies(mounts: &str, places: &str, name: &str) -> Vec<Hierarchy> {
    let mut found = Vec::new();
    for mount in mounts.lines() {
        let mut words = mount.split(' ').skip(1);
        let (Some(point), Some("cgroup"), Some(options)) =
            (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let options: Vec<&str> = options.split(',').collect();
        let place = places.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            let all = controllers.split(',').all(|controller| options.contains(&controller));
            (all && !controllers.is_empty()).then_some((controllers, path))
        });
        let Some((controllers, path)) = place else { continue };
        found.push(Hierarchy {
            options: controllers.to_owned(),
            mount: point.into(),
            folder: Path::new(point).join(path.trim_start_matches('/')).join(name),
        });
    }
    found
}

/// The controllers a kubelet needs that none of the hierarchies has.
pub(super) fn missing(hierarchies: &[Hierarchy]) -> Vec<&'static str> {
    let has = |wanted: &str| {
        hierarchies.iter().any(|hierarchy| hierarchy.options.split(',').any(|own| own == wanted))
    };
    NEEDED.into_iter().filter(|controller| !has(controller)).collect()
}

/// Makes the folders and moves the calling process into them.
pub(super) fn enter(hierarchies: &[Hierarchy]) -> Result<()> {
    make(hierarchies)?;
    for Hierarchy { folder, .. } in hierarchies {
        fs::write(folder.join("cgroup.procs"), "0")
            .with_context(|| format!("cannot enter {}", folder.display()))?;
    }
    Ok(())
}

/// Makes the folders, so that they can be entered.
pub(super) fn make(hierarchies: &[Hierarchy]) -> Result<()> {
    for Hierarchy { options, folder, .. } in hierarchies {
        let failed = || format!("cannot make {}", folder.display());
        // Never more than the last part: what is above it belongs to the machine.
        fs::create_dir(folder).with_context(failed)?;
        if options.split(',').any(|controller| controller == "cpuset") {
            // A new one is empty, and nobody can enter it like that.
            let parent = folder.parent().unwrap_or(folder);
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let whole = fs::read(parent.join(file)).with_context(failed)?;
                fs::write(folder.join(file), whole).with_context(failed)?;
            }
        }
    }
    Ok(())
}

/// Removes the folders with all below them. Returns those that could not be: somebody is ending in them still.
pub(super) fn remove(hierarchies: &[Hierarchy]) -> Vec<PathBuf> {
    let folders = hierarchies.iter().map(|hierarchy| hierarchy.folder.clone());
    folders.filter(|folder| !remove_tree(folder)).collect()
}

/// True when the folder is gone. Its files are the kernel's and go with it.
fn remove_tree(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return !folder.exists() };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    fs::remove_dir(folder).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
tmpfs /sys/fs/cgroup tmpfs rw,mode=755 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,xattr,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
";
    const PLACES: &str = "3:name=systemd:/\n2:cpu,cpuacct:/\n1:memory:/jobs/7\n0::/user\n";

    #[test]
    fn a_node_gets_a_folder_below_our_own_in_each_hierarchy() {
        let found = hierarchies(MOUNTS, PLACES, "n");
        let shown: Vec<(&str, &str)> =
            found.iter().map(|one| (one.options.as_str(), one.folder.to_str().unwrap())).collect();
        assert_eq!(
            shown,
            [
                ("cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct/n"),
                ("memory", "/sys/fs/cgroup/memory/jobs/7/n"),
                ("name=systemd", "/sys/fs/cgroup/systemd/n"),
            ]
        );
    }

    #[test]
    fn a_hierarchy_without_our_place_is_told_and_nothing_is_made_above_it() {
        let root = std::env::temp_dir().join(format!("smartops-cgroups-{}", std::process::id()));
        fs::create_dir(&root).unwrap();
        let hierarchy = |folder: &str| Hierarchy {
            options: "pids".into(),
            mount: root.clone(),
            folder: root.join(folder),
        };
        let lost = [hierarchy("n"), hierarchy("container/n")];
        let error = format!("{:#}", make(&lost).unwrap_err());
        assert!(error.contains("container/n: No such file"), "{error}");
        assert_eq!(remove(&lost), Vec::<PathBuf>::new());
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
        make(&[hierarchy("n")]).unwrap();
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_machine_with_version_2_alone_lacks_what_a_kubelet_needs() {
        let mounts = "cgroup2 /sys/fs/cgroup cgroup2 rw,relatime 0 0\n";
        assert_eq!(missing(&hierarchies(mounts, "0::/\n", "n")), NEEDED);
        assert_eq!(missing(&hierarchies(MOUNTS, PLACES, "n")), ["cpuset", "pids"]);
    }
}
