//! What is done once when SmartOps is installed, upgraded, tried or taken away: subcommands that end by themselves, each
//! run with an identity of its own that holds the rights of that one task.
//!
//! Lives here: what they have in common, that is their arguments, their time, their exit code. Does not live here: what
//! each does (`crds`, `removal`, `self_test`).

mod answers;
mod checks;
mod crds;
mod removal;
mod self_test;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, value_parser};
use kube::Client;
use smartops_process::client::{self, Error};
use tokio::time::Instant;

pub use self::self_test::SelfTestArgs;

/// How long one call may take.
const CALL: Duration = Duration::from_secs(10);
/// The pause before a call that failed is made again.
const PAUSE: Duration = Duration::from_millis(500);

/// What every one of them takes.
#[derive(Debug, Clone, Args)]
pub struct InstallArgs {
    /// Kubeconfig file to reach the API server with; without it the pod's own ServiceAccount is used.
    #[arg(long, env = "SMARTOPS_KUBECONFIG", value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,
    /// Seconds it may take in all. What fails is tried again until then.
    #[arg(long, default_value_t = 30, value_parser = value_parser!(u64).range(1..=3600))]
    pub timeout_seconds: u64,
}

/// One of them, with its arguments.
#[derive(Debug, Clone, Copy)]
pub enum Task<'a> {
    /// Bring the CustomResourceDefinitions to what this release knows.
    ApplyCrds(&'a InstallArgs),
    /// Take away everything by which SmartOps judges a write.
    RemoveRegistrations(&'a InstallArgs),
    /// See whether an installation does what it is there for.
    SelfTest(&'a SelfTestArgs),
}

/// Why one came to nothing: a sentence each.
#[derive(Debug)]
struct Fault(Vec<String>);

impl From<String> for Fault {
    fn from(sentence: String) -> Self {
        Self(vec![sentence])
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        error.to_string().into()
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        format!("what was done cannot be told: {error}").into()
    }
}

/// Carries one out. What was done is written to `output`, what is wrong to `errors`. The exit code is 0 when it was done
/// and 1 when something is wrong.
pub async fn run(
    task: Task<'_>,
    output: &mut dyn Write,
    errors: &mut dyn Write,
) -> io::Result<ExitCode> {
    let done = match task {
        Task::ApplyCrds(args) => match begin(args).await {
            Ok((client, term)) => crds::apply(&client, term, output).await,
            Err(fault) => Err(fault),
        },
        Task::RemoveRegistrations(args) => match begin(args).await {
            Ok((client, term)) => removal::remove(&client, term, output).await,
            Err(fault) => Err(fault),
        },
        Task::SelfTest(args) => match begin(&args.common).await {
            Ok((client, term)) => self_test::test(&client, term, args, output).await,
            Err(fault) => Err(fault),
        },
    };
    output.flush()?;
    let Err(Fault(sentences)) = done else { return Ok(ExitCode::SUCCESS) };
    for sentence in sentences {
        writeln!(errors, "{sentence}")?;
    }
    Ok(ExitCode::FAILURE)
}

async fn begin(args: &InstallArgs) -> Result<(Client, Term), Fault> {
    let term = Term::new(Duration::from_secs(args.timeout_seconds));
    let connecting = client::connect(args.kubeconfig.as_deref());
    match tokio::time::timeout(term.call(), connecting).await {
        Ok(client) => Ok((client?, term)),
        Err(_) => Err("connecting to the API server took too long".to_owned().into()),
    }
}

/// The time a task has in all.
#[derive(Debug, Clone, Copy)]
struct Term {
    given: Duration,
    end: Instant,
}

impl Term {
    fn new(given: Duration) -> Self {
        Self { given, end: Instant::now() + given }
    }

    /// How long the next call may take.
    fn call(self) -> Duration {
        self.left().clamp(PAUSE, CALL)
    }

    fn left(self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    fn is_over(self) -> bool {
        self.left().is_zero()
    }

    /// Waits a moment before something is tried again; false where there is no time for that any more.
    async fn pause(self) -> bool {
        let is_left = !self.is_over();
        if is_left {
            tokio::time::sleep(PAUSE.min(self.left())).await;
        }
        is_left
    }
}
