//! Running cargo: static programs that come out the same in every folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::metadata::{Metadata, TARGET};
use crate::run;

/// What cargo built.
#[derive(Debug, Default)]
pub(super) struct Built {
    executables: BTreeMap<String, PathBuf>,
    /// The ids of every package that was compiled, now or by an earlier build that is still good.
    pub(super) packages: BTreeSet<String>,
}

impl Built {
    /// Where a program lies.
    pub(super) fn executable(&self, name: &str) -> Result<&Path> {
        let path = self.executables.get(name).map(PathBuf::as_path);
        path.with_context(|| format!("cargo built no program called {name}"))
    }
}

/// One line of cargo's report.
#[derive(Debug, Deserialize)]
struct Message {
    reason: String,
    package_id: Option<String>,
    executable: Option<PathBuf>,
    target: Option<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

/// Builds these programs, and nothing else, with a profile.
pub(super) fn compile(profile: &str, programs: &[&str], metadata: &Metadata) -> Result<Built> {
    let mut command = run::cargo();
    // The whole workspace is named for its features; only these programs and what they link are built. With a target
    // named, the flags are not for macros and build scripts, which the compiler has to load.
    command
        .args(["build", "--locked", "--workspace", "--target", TARGET, "--profile", profile])
        .args(["--message-format", "json-render-diagnostics"])
        .arg(format!("--config=profile.{profile}.strip=\"symbols\""))
        .env("CARGO_ENCODED_RUSTFLAGS", flags(metadata)?.join("\u{1f}"))
        .stderr(Stdio::inherit());
    for program in programs {
        command.args(["--bin", program]);
    }
    let output = command.output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("the programs do not build with profile {profile}");
    }
    report(&String::from_utf8_lossy(&output.stdout))
}

/// The compiler's flags: static, and with names for the folders that other machines have elsewhere.
fn flags(metadata: &Metadata) -> Result<Vec<String>> {
    let mut flags = vec!["-C".to_owned(), "target-feature=+crt-static".to_owned()];
    let mut sources = BTreeSet::new();
    for package in metadata.packages.iter().filter(|package| package.source.is_some()) {
        // The folder of all packages from one source; its own name depends on how the registry is reached.
        let folder = package.manifest_path.parent().and_then(Path::parent);
        sources.insert(folder.context("a package lies in no folder")?);
    }
    let renamed = sources.into_iter().map(|folder| (folder, "/crates")).chain([
        (&*metadata.workspace_root, "/smartops"),
        (&*metadata.target_directory, "/target"),
    ]);
    for (folder, name) in renamed {
        flags.push(format!("--remap-path-prefix={}={name}", folder.display()));
    }
    Ok(flags)
}

fn report(text: &str) -> Result<Built> {
    let mut built = Built::default();
    for line in text.lines() {
        let message: Message =
            serde_json::from_str(line).with_context(|| format!("cargo says {line}"))?;
        if message.reason != "compiler-artifact" {
            continue;
        }
        built.packages.extend(message.package_id);
        if let (Some(path), Some(target)) = (message.executable, message.target) {
            built.executables.insert(target.name, path);
        }
    }
    Ok(built)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_by_what_cargo_says_it_wrote() {
        let built = report(
            r#"{"reason":"compiler-artifact","package_id":"p#1","target":{"name":"lib"},"executable":null}
               {"reason":"build-script-executed","package_id":"q#1"}
               {"reason":"compiler-artifact","package_id":"r#1","target":{"name":"program"},"executable":"/t/program"}
               {"reason":"build-finished","success":true}"#,
        )
        .unwrap();
        assert_eq!(built.executable("program").unwrap(), Path::new("/t/program"));
        assert_eq!(built.packages.iter().collect::<Vec<_>>(), ["p#1", "r#1"]);
        assert!(built.executable("other").is_err());
    }

    #[test]
    fn no_folder_of_this_machine_is_left_without_another_name() {
        let metadata = Metadata::read().unwrap();
        let flags = flags(&metadata).unwrap();
        let named = |folder: &Path| {
            let folder = folder.to_str().unwrap();
            flags.iter().any(|flag| {
                let from =
                    flag.strip_prefix("--remap-path-prefix=").and_then(|flag| flag.split_once('='));
                from.is_some_and(|(from, _)| Path::new(folder).starts_with(from))
            })
        };
        for package in &metadata.packages {
            assert!(named(&package.manifest_path), "{flags:?} leave {}", package.name);
        }
        assert!(named(&metadata.target_directory));
        assert!(!named(Path::new("/usr/lib")));
    }
}
