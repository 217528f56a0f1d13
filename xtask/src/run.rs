//! Building the workspace and starting its programs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}

/// cargo, at the repository's root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Builds every program. Always the whole workspace: one package alone would compile its dependencies once more,
/// with other features.
pub(crate) fn build() -> Result<()> {
    let status = cargo()
        .args(["build", "--workspace", "--bins"])
        // Standard output is for what the command prints; scripts read it.
        .stdout(Stdio::null())
        .status()
        .context("cannot start cargo")?;
    if !status.success() {
        bail!("the workspace does not build");
    }
    Ok(())
}

/// Runs a program of the workspace to its end; an error when it fails.
pub(crate) fn program<I, S>(name: &str, arguments: I) -> Result<()>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    program_in(&own_folder()?, name, arguments)
}

/// The same, with the programs of another build.
pub(crate) fn program_in<I, S>(folder: &Path, name: &str, arguments: I) -> Result<()>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let path = folder.join(name);
    let status = Command::new(&path)
        .args(arguments)
        .status()
        .with_context(|| format!("cannot start {}", path.display()))?;
    if !status.success() {
        bail!("{name} failed ({status})");
    }
    Ok(())
}

/// The folder this program was built into, and with it the others.
pub(crate) fn own_folder() -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell where this program lies")?;
    Ok(own.parent().context("this program lies in no folder")?.to_path_buf())
}
