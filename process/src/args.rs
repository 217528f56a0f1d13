//! The arguments both programs take, and the way all mistakes in them are told at once.
//!
//! Lives here: flags with their environment names and defaults. Does not live here: flags of one program only.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use smartops_common::names;
use tracing_subscriber::EnvFilter;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people's eyes.
    Text,
}

/// Flags both programs take; flatten it into the program's own.
#[derive(Debug, Clone, Args)]
pub struct CommonArgs {
    /// Kubeconfig file to reach the API server with; without it the pod's own ServiceAccount is used.
    #[arg(long, env = "SMARTOPS_KUBECONFIG", value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,
    /// Namespace SmartOps itself runs in.
    #[arg(long, env = "SMARTOPS_NAMESPACE", default_value = names::SYSTEM_NAMESPACE)]
    pub namespace: String,
    /// How log lines are written.
    #[arg(long, env = "SMARTOPS_LOG_FORMAT", value_enum, default_value = "json")]
    pub log_format: LogFormat,
    /// Which log lines are written: a level, or directives such as `info,kube=warn`.
    #[arg(long, env = "SMARTOPS_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
    /// Seconds to go on serving, asking every client to close, after the signal to stop.
    #[arg(long, env = "SMARTOPS_DRAIN_SECONDS", default_value_t = 5)]
    pub drain_seconds: u64,
    /// Seconds from the signal to stop until the process ends whatever is still running.
    #[arg(long, env = "SMARTOPS_GRACE_SECONDS", default_value_t = 25)]
    pub grace_seconds: u64,
}

impl CommonArgs {
    /// Adds a sentence to `problems` for everything that cannot work.
    pub fn check(&self, problems: &mut Vec<String>) {
        if let Err(error) = EnvFilter::try_new(&self.log_level) {
            problems.push(format!(
                "--log-level {:?} cannot be read ({error}): give a level (error, warn, info, debug, trace) or \
                 directives such as info,kube=warn",
                self.log_level
            ));
        }
        if self.drain_seconds >= self.grace_seconds {
            problems.push(format!(
                "--drain-seconds {} must be less than --grace-seconds {}: what is in flight needs time after the drain",
                self.drain_seconds, self.grace_seconds
            ));
        }
        if self.grace_seconds > 3600 {
            problems.push(format!("--grace-seconds {} must be at most 3600", self.grace_seconds));
        }
        if self.namespace != names::SYSTEM_NAMESPACE {
            // Who the controller is, and which namespace the baseline leaves alone, is told by this very name.
            problems.push(format!(
                "--namespace {:?} is not supported: SmartOps runs in {}",
                self.namespace,
                names::SYSTEM_NAMESPACE
            ));
        }
    }

    /// How long to go on serving after the signal to stop.
    pub const fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }

    /// How long everything may take after the signal to stop.
    pub const fn grace(&self) -> Duration {
        Duration::from_secs(self.grace_seconds)
    }
}

/// Everything that is wrong with the arguments.
#[derive(Debug, thiserror::Error)]
#[error("the arguments cannot work:\n  - {}", .0.join("\n  - "))]
pub struct InvalidArguments(pub Vec<String>);

/// Turns the problems found into one error that names them all.
pub fn verdict(problems: Vec<String>) -> Result<(), InvalidArguments> {
    if problems.is_empty() { Ok(()) } else { Err(InvalidArguments(problems)) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        common: CommonArgs,
    }

    fn parse(arguments: &[&str]) -> CommonArgs {
        Program::try_parse_from([&["program"], arguments].concat()).unwrap().common
    }

    #[test]
    fn the_defaults_work() {
        let mut problems = Vec::new();
        let args = parse(&[]);
        args.check(&mut problems);
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(args.namespace, "smartops-system");
        assert_eq!((args.drain(), args.grace()), (Duration::from_secs(5), Duration::from_secs(25)));
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let mut problems = Vec::new();
        parse(&["--log-level", "a=b=c", "--drain-seconds", "30", "--namespace", ""])
            .check(&mut problems);
        assert_eq!(problems.len(), 3, "{problems:?}");
        let error = verdict(problems).unwrap_err().to_string();
        assert!(error.contains("--log-level") && error.contains("--drain-seconds"), "{error}");
    }
}
