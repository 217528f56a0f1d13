//! Writes `manifests/install.yaml`, what helm makes of the chart's defaults, or only says whether it is stale.

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::Parser;
use smartops_tests::chart;
use smartops_tests::components::Helm;

/// Writes manifests/install.yaml, what helm makes of the chart's defaults.
#[derive(Debug, Parser)]
struct Args {
    /// Write nothing; fail when it is stale.
    #[arg(long)]
    check: bool,
}

#[expect(clippy::print_stderr, reason = "whoever waits for helm to be built wants to know")]
fn main() -> Result<()> {
    let Args { check } = Args::parse();
    let helm = Helm::ensure(&|line| eprintln!("{line}"))?;
    // Without a cluster helm keeps nothing, so the folder stays empty.
    let home = std::env::temp_dir().join("smartops-chart");
    let (text, path) = (chart::install_text(&helm, &home)?, chart::install_path());
    if is(&path, &text) {
        return Ok(());
    }
    if check {
        bail!("{} is stale; run `cargo xtask codegen` and commit the result", path.display());
    }
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn is(path: &Path, text: &str) -> bool {
    std::fs::read_to_string(path).is_ok_and(|found| found == text)
}
