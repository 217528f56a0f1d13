//! Building one part with Go, into the cache, at most once however many ask at the same time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sha2::{Digest as _, Sha256};

use super::{CONTROL_PLANE, Part, beside, has};
use crate::hex::hex;
use crate::places;
use crate::wait::{Seen, eventually};

/// The versions the executables say they are.
const KUBERNETES: &str = "v1.36.4";
const HELM: &str = "v3.20.2";
/// The Go that builds them. Go 1.27 breaks the API server's OpenAPI v2, and with it `kubectl apply`.
const GO: &str = "1.26";
/// Nobody's machine needs longer for one part.
const LIMIT: Duration = Duration::from_hours(1);

/// What somebody can do who cannot build a part, which is wanted with `parts`.
pub(super) fn ways_out(part: &Part, parts: &[Part]) -> String {
    let tools: Vec<String> = parts.iter().map(|part| part.tools.join(", ")).collect();
    let is_control_plane = CONTROL_PLANE.iter().any(|known| known.name == part.name);
    let (stages, cluster) = if is_control_plane {
        (
            " (and its folder of stages)",
            "; or set SMARTOPS_KUBECONFIG to an admin's kubeconfig of a cluster that can reach this machine",
        )
    } else {
        ("", "")
    };
    format!(
        "{} cannot be built here. Ways out: install Go {GO} (go.dev/dl) and put it first in PATH; or set \
         KUBEBUILDER_ASSETS to a folder with {}{stages}{cluster}",
        part.name,
        tools.join(", "),
    )
}

/// The folder with the built part; builds it when it is not there yet.
pub(super) fn ensure(head: &str, part: &Part, tell: &dyn Fn(&str)) -> Result<PathBuf> {
    let sources = places::cluster_sources().join(part.name);
    let go = go_version(&sources)?;
    let folder = places::cache()?.join("cluster").join(key(part, &sources, &go)?);
    let parent = folder.parent().context("the cache has no parent")?;
    if has(&folder, part) {
        return Ok(folder);
    }
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    let lock = File::create(folder.with_extension("lock")).context("cannot make a lock file")?;
    if lock.try_lock().is_err() {
        tell(&format!("waiting for another build of {}", part.name));
        lock.lock().context("cannot lock the cache")?;
    }
    if has(&folder, part) {
        return Ok(folder);
    }
    let temporary = folder.with_extension("partial");
    remove(&temporary)?;
    remove(&folder)?;
    fs::create_dir_all(&temporary).context("cannot make a folder in the cache")?;
    compile(head, part, &sources, &temporary, tell)?;
    if let Some(beside) = beside::of(part) {
        beside.copy(&module(&sources, beside.module)?, &temporary)?;
    }
    fs::rename(&temporary, &folder).context("cannot put the built part in place")?;
    Ok(folder)
}

fn compile(
    head: &str,
    part: &Part,
    sources: &Path,
    target: &Path,
    tell: &dyn Fn(&str),
) -> Result<()> {
    tell(&format!(
        "{head}: building from public Go modules, once; about {} s on two cores",
        part.seconds
    ));
    let start = Instant::now();
    let log = target.join("build.log");
    let out = File::create(&log).context("cannot write the build's log")?;
    let mut child = go(sources)
        .args(["build", "-trimpath", "-tags", part.tags, "-ldflags", &flags(part), "-o"])
        .arg(format!("{}/", target.display()))
        .arg("tool")
        .stdout(out.try_clone().context("cannot share the build's log")?)
        .stderr(out)
        .spawn()
        .context("cannot start go")?;
    let mut told = 0;
    let ended = eventually(LIMIT, &format!("go builds {}", part.name), || {
        let seconds = start.elapsed().as_secs();
        if seconds / 15 > told {
            told = seconds / 15;
            tell(&format!("{head}: {seconds} s"));
        }
        Ok(child
            .try_wait()
            .context("cannot wait for go")?
            .map_or_else(|| Seen::NotYet("still building".into()), Seen::Done))
    });
    let status = match ended {
        Ok(status) => status,
        Err(error) => {
            child.kill().context("cannot end go")?;
            child.wait().context("cannot wait for go")?;
            return Err(error);
        }
    };
    if !status.success() {
        bail!("go build failed in {}:\n{}", sources.display(), places::tail(&log, 20));
    }
    if part.name == "etcd" {
        // The module's main package is called server.
        fs::rename(target.join("server"), target.join("etcd")).context("etcd did not come out")?;
    }
    tell(&format!("{head}: built in {} s", start.elapsed().as_secs()));
    Ok(())
}

/// The folder with the files of a module that the one in `sources` needs.
fn module(sources: &Path, name: &str) -> Result<PathBuf> {
    let output = go(sources)
        .args(["list", "-m", "-f", "{{.Dir}}", name])
        .output()
        .context("cannot start go")?;
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

fn flags(part: &Part) -> String {
    let stamps: &[(&str, &str)] = match part.name {
        "kubernetes" | "kubelet" => &[
            ("k8s.io/component-base/version.gitVersion", KUBERNETES),
            ("k8s.io/component-base/version.gitMajor", "1"),
            ("k8s.io/component-base/version.gitMinor", "36"),
            ("k8s.io/component-base/version.gitTreeState", "clean"),
        ],
        // Without these it would render and lint for Kubernetes 1.20. Its releases say the version of its client.
        "helm" => &[
            ("helm.sh/helm/v3/internal/version.version", HELM),
            ("helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor", "1"),
            ("helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor", "35"),
            ("helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor", "1"),
            ("helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor", "35"),
        ],
        _ => &[],
    };
    let mut flags = "-s -w".to_owned();
    for (name, value) in stamps {
        flags.extend([" -X ", name, "=", value]);
    }
    flags
}

fn go(folder: &Path) -> Command {
    let mut command = Command::new("go");
    command
        .current_dir(folder)
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-buildvcs=false")
        .stdin(Stdio::null());
    command
}

/// The version of Go that would build in `folder`, as `go1.26.8`; an error when it is not the one needed.
fn go_version(folder: &Path) -> Result<String> {
    let output = go(folder)
        .args(["env", "GOVERSION"])
        .output()
        .context("there is no Go toolchain: `go` cannot be started")?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() || !usable(&version) {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("Go {GO} is needed, found {version:?} {}", said.trim());
    }
    Ok(version)
}

fn usable(version: &str) -> bool {
    version
        .strip_prefix("go")
        .and_then(|rest| rest.strip_prefix(GO))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || rest.starts_with('-'))
}

/// Names a build by everything that decides what comes out.
fn key(part: &Part, sources: &Path, go: &str) -> Result<String> {
    let mut hash = Sha256::new();
    let mut files = vec![sources.join("go.mod"), sources.join("go.sum")];
    // Where a command is our own, and not only the module's that is named there.
    let own = part.tools.iter().map(|tool| sources.join(tool).join("main.go"));
    files.extend(own.filter(|path| path.exists()));
    for path in files {
        hash.update(fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
        hash.update([0]);
    }
    let tags: &[&str] = if part.tags.is_empty() { &[] } else { &[part.tags] };
    let flags = flags(part);
    let mut decisive = vec![part.name, &flags, go, std::env::consts::ARCH];
    decisive.extend(beside::decisive(part));
    decisive.extend(tags);
    for text in decisive {
        hash.update(text.as_bytes());
        hash.update([0]);
    }
    let hash = hash.finalize();
    Ok(format!("{}-{}", part.name, hex(hash.get(..8).unwrap_or(&hash))))
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{CERT_MANAGER, MONITORING};
    use super::*;

    #[test]
    fn only_the_go_that_builds_a_working_api_server_is_used() {
        for good in ["go1.26", "go1.26.8", "go1.26-custom"] {
            assert!(usable(good), "{good}");
        }
        for bad in ["go1.25.9", "go1.27.0", "go1.260", "", "devel go1.26"] {
            assert!(!usable(bad), "{bad}");
        }
    }

    #[test]
    fn another_toolchain_is_another_build() {
        let sources = places::cluster_sources().join("kwok");
        let key = |go| key(&CONTROL_PLANE[2], &sources, go).unwrap();
        assert_eq!(key("go1.26.8"), key("go1.26.8"));
        assert_ne!(key("go1.26.8"), key("go1.26.9"));
        assert!(key("go1.26.8").starts_with("kwok-"));
    }

    #[test]
    fn other_tags_are_another_build() {
        let [prometheus, _] = MONITORING;
        let sources = places::cluster_sources().join("prometheus");
        let key = |part| key(part, &sources, "go1.26.8").unwrap();
        assert_ne!(key(&prometheus), key(&Part { tags: "", ..prometheus }));
    }

    #[test]
    fn another_text_of_a_command_of_our_own_is_another_build() {
        let [part] = CERT_MANAGER;
        let sources = std::env::temp_dir().join(format!("smartops-key-{}", std::process::id()));
        let command = sources.join(part.tools[0]);
        fs::create_dir_all(&command).unwrap();
        for file in ["go.mod", "go.sum"] {
            let from = places::cluster_sources().join(part.name).join(file);
            fs::copy(from, sources.join(file)).unwrap();
        }
        let key = |text: &str| {
            fs::write(command.join("main.go"), text).unwrap();
            key(&part, &sources, "go1.26.8").unwrap()
        };
        assert_eq!(key("package main"), key("package main"));
        assert_ne!(key("package main"), key("package main // another"));
        fs::remove_dir_all(&sources).unwrap();
    }

    #[test]
    fn whoever_cannot_build_is_told_every_way_out_and_no_wrong_one() {
        let text = ways_out(&CONTROL_PLANE[1], &CONTROL_PLANE);
        for way in ["Go 1.26", "KUBEBUILDER_ASSETS", "kubectl, etcd, kwok", "SMARTOPS_KUBECONFIG"] {
            assert!(text.contains(way), "{text}");
        }
        let text = ways_out(&MONITORING[1], &MONITORING);
        for way in ["Go 1.26", "KUBEBUILDER_ASSETS", "prometheus, promtool, alertmanager"] {
            assert!(text.contains(way), "{text}");
        }
        assert!(!text.contains("SMARTOPS_KUBECONFIG"), "{text}");
    }
}
