//! `cargo xtask bench`: measurements with optimised builds, which no test may wait for.

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use crate::run;

/// What is measured.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Bench {
    /// What a judgement costs, beside parsing the same bytes; fails above its floor.
    Guard,
    /// How much memory the webhook takes with ten thousand Deployments.
    Memory {
        /// Fail above so many MiB.
        #[arg(long)]
        at_most: Option<u32>,
    },
}

/// Builds what it needs and runs it.
pub(crate) fn run(bench: Bench) -> Result<()> {
    match bench {
        // The whole workspace is named for its features; only what the bench links is built.
        Bench::Guard => cargo(&["bench", "--workspace", "--bench", "judgement"]),
        Bench::Memory { at_most } => {
            cargo(&["build", "--workspace", "--bins", "--release"])?;
            let own = run::own_folder()?;
            let release = own.parent().context("the build has no folder")?.join("release");
            let mut arguments = Vec::new();
            if let Some(limit) = at_most {
                arguments.push(format!("--at-most={limit}"));
            }
            run::program_in(&release, "smartops-memory", arguments)
        }
    }
}

fn cargo(arguments: &[&str]) -> Result<()> {
    let status = run::cargo().args(arguments).status().context("cannot start cargo")?;
    if !status.success() {
        bail!("cargo {} failed", arguments.join(" "));
    }
    Ok(())
}
