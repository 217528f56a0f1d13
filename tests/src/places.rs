//! Where things lie: the repository, the cache, the built programs, the folders of clusters.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The repository's root.
pub fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}

/// The module pins, stages and policies of the control plane.
pub fn cluster_sources() -> PathBuf {
    root().join("tests/cluster")
}

/// Where the built control plane is kept: `SMARTOPS_CACHE`, else below `XDG_CACHE_HOME` or `~/.cache`.
pub fn cache() -> Result<PathBuf> {
    if let Some(path) = variable("SMARTOPS_CACHE") {
        return Ok(path.into());
    }
    if let Some(path) = variable("XDG_CACHE_HOME") {
        return Ok(Path::new(&path).join("smartops"));
    }
    let home = variable("HOME").context(
        "no place for the built control plane: set SMARTOPS_CACHE (or HOME) to a folder with 1 GB free",
    )?;
    Ok(Path::new(&home).join(".cache/smartops"))
}

/// The folder `cluster up` uses unless told otherwise.
pub fn default_cluster() -> PathBuf {
    root().join(".smartops/cluster")
}

/// A program of this workspace: in `SMARTOPS_BIN_DIR`, else beside (or, for tests, above) the running executable.
pub fn program(name: &str) -> Result<PathBuf> {
    let mut folders = Vec::new();
    if let Some(folder) = variable("SMARTOPS_BIN_DIR") {
        folders.push(PathBuf::from(folder));
    } else {
        let own = env::current_exe().context("cannot tell where this program lies")?;
        folders.extend(own.ancestors().skip(1).take(2).map(Path::to_path_buf));
    }
    for folder in &folders {
        let path = folder.join(name);
        if path.is_file() {
            return Ok(path);
        }
    }
    bail!(
        "{name} is not in {folders:?}: run `cargo build --workspace --bins`, or set SMARTOPS_BIN_DIR to the \
         folder with the programs"
    )
}

/// A non-empty environment variable.
pub fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The last lines of a log file, for error messages; empty when there is none.
pub fn tail(path: &Path, lines: usize) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
}
