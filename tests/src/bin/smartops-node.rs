//! `smartops-node`: what a real node's processes are before containerd and the kubelet run, and whether this machine can
//! have one. Started by the harness and by `cargo xtask test --node`.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use smartops_tests::node;

/// Real nodes for the tests.
#[derive(Debug, Parser)]
#[command(name = "smartops-node")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build and fetch what a node is made of. Prints why none can run here, and nothing when one can.
    Prepare,
    /// Enter a node's cgroups and become the process that holds its namespaces (started by the harness).
    #[command(hide = true)]
    Enter { folder: PathBuf },
    /// Be the node, inside its namespaces (started by `enter`).
    #[command(hide = true)]
    Run { folder: PathBuf },
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Prepare => {
            if let Some(reason) = node::obstacle(&tell)? {
                say(&reason);
            }
            Ok(())
        }
        Command::Enter { folder } => node::enter(&folder),
        Command::Run { folder } => node::run(&folder),
    }
}

#[expect(clippy::print_stdout, reason = "the command's product")]
fn say(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "progress, for people; standard output is for scripts")]
fn tell(text: &str) {
    eprintln!("{text}");
}
