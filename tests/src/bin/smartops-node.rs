//! `smartops-node`: what a real node's processes are before containerd and the kubelet run, and whether this machine can
//! have one. Started by the harness and by `cargo xtask test --node`.

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use smartops_tests::node::{self, Machine};

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
    /// Run a control plane and one real node in this network namespace, until standard input ends. Prints where the
    /// admin's kubeconfig lies.
    Up { folder: PathBuf },
    /// Do what a node begins with, in namespaces made for that (started by `prepare`).
    #[command(hide = true)]
    Trial,
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
        Command::Up { folder } => {
            let machine = Machine::start(&folder, 1, &[], &tell)?;
            say(&machine.cluster.state.kubeconfig("admin").display().to_string());
            std::io::stdin().read_to_end(&mut Vec::new()).context("cannot read standard input")?;
            machine.stop()
        }
        Command::Trial => node::trial(),
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
