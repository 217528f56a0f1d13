//! `cargo xtask`: the project's own commands. It builds the workspace, starts what was built, and links none of it, so
//! that it compiles in seconds on a fresh clone.

mod bench;
mod image;
mod metadata;
mod real_node;
mod run;
mod sbom;
mod tests_command;

#[cfg(test)]
mod arrows;
#[cfg(test)]
mod bypass;
#[cfg(test)]
mod telemetry;
#[cfg(test)]
mod threats;
#[cfg(test)]
mod traps;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch SmartOps work on a real control plane; fails when a step comes out otherwise than expected.
    Demo {
        /// Leave everything running afterwards.
        #[arg(long)]
        keep: bool,
    },
    /// Run the tests: units, wire tests, end-to-end tests on a real control plane.
    Test {
        /// Those on real nodes instead, which take root, namespaces and a few packages.
        #[arg(long)]
        node: bool,
        /// Only tests whose names contain one of these.
        filter: Vec<String>,
    },
    /// A control plane with SmartOps in it: build, up, down, status.
    Cluster {
        /// Passed on; `cargo xtask cluster help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measure with an optimised build: guard, memory.
    Bench {
        #[command(subcommand)]
        bench: bench::Bench,
    },
    /// Post signals to several replicas while these are killed at random, and count what was lost and what was doubled.
    Soak {
        /// Passed on; `cargo xtask soak --help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Record what a real API server asks, into tests/fixtures/reviews.
    Record {
        /// Passed on; `cargo xtask record --help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Build container images, without a container tool: static programs, one archive for each, and lists of their parts.
    Image(image::Order),
    /// Generate CRDs, RBAC, registrations, default policies, and what is made of the chart.
    Codegen {
        /// Write nothing; fail when a file is stale.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Demo { keep } => {
            run::build()?;
            run::program("smartops-demo", keep.then_some("--keep"))
        }
        Command::Test { node: true, filter } => real_node::run(&filter),
        Command::Test { node: false, filter } => {
            run::build()?;
            run::program("smartops-cluster", ["build", "--monitoring", "--helm"])?;
            tests_command::run(&filter)
        }
        Command::Cluster { arguments } => {
            run::build()?;
            run::program("smartops-cluster", arguments)
        }
        Command::Bench { bench } => bench::run(bench),
        Command::Soak { arguments } => {
            run::build()?;
            run::program("smartops-soak", arguments)
        }
        Command::Record { arguments } => {
            run::build()?;
            run::program("smartops-record", arguments)
        }
        Command::Image(order) => image::make(&order),
        Command::Codegen { check } => {
            run::build()?;
            run::program(
                "smartops-manifests",
                ["generate"].into_iter().chain(check.then_some("--check")),
            )?;
            // Made of what was just generated.
            run::program("smartops-chart", check.then_some("--check"))
        }
    }
}
