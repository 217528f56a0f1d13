//! `smartops-manifests`: writes or checks the generated files, or renders an installation for one cluster.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use smartops_common::config::{SmartOpsConfig, SmartOpsConfigSpec};
use smartops_manifests::output;
use smartops_manifests::render::{self, Part};

/// Generates the CRDs, RBAC, registrations and default policies of SmartOps.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write the generated files below the repository's root, or only say which are stale.
    Generate {
        /// The repository's root.
        #[arg(long, default_value = ".")]
        root: PathBuf,
        /// Write nothing; fail when a file is stale.
        #[arg(long)]
        check: bool,
    },
    /// Print an installation as one YAML stream for `kubectl apply --server-side -f -`.
    Render {
        /// A SmartOpsConfig; the default one when absent.
        #[arg(long)]
        config: Option<PathBuf>,
        /// Only these parts, in the order in which they must be applied.
        #[arg(long, value_enum, value_delimiter = ',')]
        only: Vec<PartArg>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PartArg {
    /// Namespaces, CRDs, RBAC.
    Base,
    /// SmartOpsConfig and the shipped policies.
    Policies,
    /// Webhook registrations.
    Registrations,
}

fn main() -> Result<()> {
    let Args { command } = Args::parse();
    match command {
        Command::Generate { root, check: true } => check(&root),
        Command::Generate { root, check: false } => output::write(&root),
        Command::Render { config, only } => print(config.as_deref(), &only),
    }
}

fn check(root: &Path) -> Result<()> {
    let stale = output::stale(root)?;
    if !stale.is_empty() {
        bail!("stale generated files: {stale:?}; run `cargo xtask codegen` and commit the result");
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the stream is this command's product")]
fn print(config: Option<&Path>, only: &[PartArg]) -> Result<()> {
    let config = config.map_or_else(|| Ok(SmartOpsConfigSpec::default()), read_config)?;
    let wanted = |part: &Part| only.is_empty() || only.iter().any(|arg| Part::from(*arg) == *part);
    let mut objects = Vec::new();
    for part in Part::ALL.into_iter().filter(wanted) {
        objects.extend(render::objects(part, &config)?);
    }
    print!("{}", output::stream(&objects)?);
    Ok(())
}

fn read_config(path: &Path) -> Result<SmartOpsConfigSpec> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let config: SmartOpsConfig = serde_saphyr::from_str(&text)
        .with_context(|| format!("{} is not a SmartOpsConfig", path.display()))?;
    Ok(config.spec)
}

impl From<PartArg> for Part {
    fn from(arg: PartArg) -> Self {
        match arg {
            PartArg::Base => Self::Base,
            PartArg::Policies => Self::Policies,
            PartArg::Registrations => Self::Registrations,
        }
    }
}
