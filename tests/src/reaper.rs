//! Ends a cluster when its harness ends, however that came about. The harness holds the write end of a pipe; a small
//! process of its own reads it to the end and then takes the cluster down.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{cluster, places, process};

/// The word that lets a cluster live on.
const KEEP: &str = "keep";
/// What its log is called.
const NAME: &str = "reaper";

/// The harness' side of the pipe.
#[derive(Debug)]
pub struct Reaper {
    child: Child,
    log: PathBuf,
}

impl Reaper {
    /// Starts the reaper for the cluster in `dir`.
    pub fn start(dir: &Path) -> Result<Self> {
        let program = places::program("smartops-cluster")?;
        let log = process::log(dir, NAME);
        if let Some(logs) = log.parent() {
            fs::create_dir_all(logs).context("cannot make the folder for logs")?;
        }
        let errors = File::create(&log).context("cannot write the reaper's log")?;
        let child = Command::new(&program)
            .args(["reap", "--dir"])
            .arg(dir)
            .stdin(Stdio::piped())
            // Held open, never written to: whoever reads our output to its end sees the end of the cluster too.
            .stdout(Stdio::inherit())
            // Nobody may be left to read it: the log is there for who comes after.
            .stderr(errors)
            // An interrupt from the terminal ends the harness; the reaper must outlive it.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { child, log })
    }

    /// Lets the reaper take the cluster down now, and waits for it.
    pub fn reap(mut self) -> Result<()> {
        self.child.stdin.take();
        self.finish()
    }

    /// Lets the cluster live on without a harness.
    pub fn release(mut self) -> Result<()> {
        if let Some(mut pipe) = self.child.stdin.take() {
            pipe.write_all(KEEP.as_bytes()).context("cannot speak to the reaper")?;
        }
        self.finish()
    }

    fn finish(mut self) -> Result<()> {
        let status = self.child.wait().context("cannot wait for the reaper")?;
        if !status.success() {
            bail!("the reaper failed ({status}): {}", places::tail(&self.log, 10));
        }
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
