//! Ends a cluster when its harness ends, however that came about. The harness holds the write end of a pipe; a small
//! process of its own reads it to the end and then takes the cluster down.

use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use crate::{cluster, places};

/// The word that lets a cluster live on.
const KEEP: &str = "keep";

/// The harness' side of the pipe.
#[derive(Debug)]
pub struct Reaper {
    child: Child,
}

impl Reaper {
    /// Starts the reaper for the cluster in `dir`.
    pub fn start(dir: &Path) -> Result<Self> {
        let program = places::program("smartops-cluster")?;
        let child = Command::new(&program)
            .args(["reap", "--dir"])
            .arg(dir)
            .stdin(Stdio::piped())
            // Held open, never written to: whoever reads our output to its end sees the end of the cluster too.
            .stdout(Stdio::inherit())
            .stderr(Stdio::null())
            // An interrupt from the terminal ends the harness; the reaper must outlive it.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { child })
    }

    /// Lets the reaper take the cluster down now, and waits for it.
    pub fn reap(mut self) -> Result<()> {
        self.child.stdin.take();
        self.child.wait().context("cannot wait for the reaper")?;
        Ok(())
    }

    /// Lets the cluster live on without a harness.
    pub fn release(mut self) -> Result<()> {
        if let Some(mut pipe) = self.child.stdin.take() {
            pipe.write_all(KEEP.as_bytes()).context("cannot speak to the reaper")?;
        }
        self.child.wait().context("cannot wait for the reaper")?;
        Ok(())
    }
}

/// The reaper's whole life: waits for the end of its standard input, then takes the cluster in `dir` down unless it
/// was told to keep it.
pub fn reap_when_abandoned(dir: &Path) -> Result<()> {
    let mut said = String::new();
    std::io::stdin().read_to_string(&mut said).context("cannot read the harness' pipe")?;
    if said != KEEP {
        cluster::down(dir)?;
    }
    Ok(())
}
