//! smartops-certs: issues, shows and checks certificates by hand.

use std::io::stdout;
use std::process::ExitCode;

use clap::Parser;
use smartops_certs::command::{Cli, run};

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let is_fine = run(&Cli::parse(), &mut stdout().lock()).await?;
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
