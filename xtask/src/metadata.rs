//! What `cargo metadata` says about the workspace and everything it may depend on, on the machines the images are for.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::run;

/// The machines the images are for.
pub(crate) const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The workspace and its dependencies.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    /// Every package.
    pub(crate) packages: Vec<Package>,
    /// Which packages need which.
    pub(crate) resolve: Resolve,
    /// Where cargo builds.
    pub(crate) target_directory: PathBuf,
    /// The repository's root, as cargo sees it.
    pub(crate) workspace_root: PathBuf,
}

/// A package.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    /// Unique.
    pub(crate) id: String,
    /// As its users write it.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// An SPDX expression, or what was customary before.
    pub(crate) license: Option<String>,
    /// Where it was fetched from; nothing for one of ours.
    pub(crate) source: Option<String>,
    /// Its `Cargo.toml`.
    pub(crate) manifest_path: PathBuf,
    /// What it builds.
    pub(crate) targets: Vec<Target>,
}

/// Something a package builds.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    /// Its name.
    pub(crate) name: String,
    /// `lib`, `bin`, `proc-macro`, …
    pub(crate) kind: Vec<String>,
}

/// The graph of dependencies.
#[derive(Debug, Deserialize)]
pub(crate) struct Resolve {
    /// One per package.
    pub(crate) nodes: Vec<Node>,
}

/// A package in the graph.
#[derive(Debug, Deserialize)]
pub(crate) struct Node {
    /// The package.
    pub(crate) id: String,
    /// What it may need.
    pub(crate) deps: Vec<Dependency>,
}

/// An arrow of the graph.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    /// The package at its point.
    pub(crate) pkg: String,
    /// In which ways it is needed.
    pub(crate) dep_kinds: Vec<Kind>,
}

/// A way of needing a package.
#[derive(Debug, Deserialize)]
pub(crate) struct Kind {
    /// `dev`, `build`, or nothing: by the program itself.
    pub(crate) kind: Option<String>,
}

impl Metadata {
    /// Asks cargo, which fetches what is missing.
    pub(crate) fn read() -> Result<Self> {
        let output = run::cargo()
            .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", TARGET])
            .output()
            .context("cannot start cargo")?;
        if !output.status.success() {
            bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        serde_json::from_slice(&output.stdout).context("cargo metadata says something unknown")
    }

    /// The package that builds a program.
    pub(crate) fn package_with(&self, program: &str) -> Result<&Package> {
        let builds = |package: &&Package| {
            package.targets.iter().any(|target| target.name == program && target.is("bin"))
        };
        self.packages
            .iter()
            .find(builds)
            .with_context(|| format!("no package of the workspace builds {program}"))
    }
}

impl Target {
    /// Whether it is of this kind.
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.kind.iter().any(|known| known == kind)
    }
}

impl Package {
    /// Whether it runs in the compiler, not in what is compiled.
    pub(crate) fn is_macro(&self) -> bool {
        self.targets.iter().any(|target| target.is("proc-macro"))
    }
}
