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

/// Carries one out, unless `stop` comes first, which names why. What was done is written to `output`, what is wrong to
/// `errors`. The exit code is 0 when it was done and 1 when something is wrong.
pub async fn run(
    task: Task<'_>,
    stop: impl Future<Output = &'static str>,
    output: &mut dyn Write,
    errors: &mut dyn Write,
) -> io::Result<ExitCode> {
    let done = tokio::select! {
        biased;
        done = carry_out(task, output) => done,
        why = stop => Err(stopped(why)),
    };
    output.flush()?;
    let Err(Fault(sentences)) = done else { return Ok(ExitCode::SUCCESS) };
    for sentence in sentences {
        writeln!(errors, "{sentence}")?;
    }
    Ok(ExitCode::FAILURE)
}

async fn carry_out(task: Task<'_>, output: &mut dyn Write) -> Result<(), Fault> {
    match task {
        Task::ApplyCrds(args) => {
            let (client, term) = begin(args).await?;
            crds::apply(&client, term, output).await
        }
        Task::RemoveRegistrations(args) => {
            let (client, term) = begin(args).await?;
            removal::remove(&client, term, output).await
        }
        Task::SelfTest(args) => {
            let (client, term) = begin(&args.common).await?;
            self_test::test(&client, term, args, output).await
        }
    }
}

/// That it was stopped on its way.
fn stopped(why: &str) -> Fault {
    format!(
        "stopped by {why} before it was done: what it did so far stays as it is; run it again, which does what is left"
    )
    .into()
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

#[cfg(test)]
mod tests {
    use std::future::pending;

    use serde_json::json;
    use tokio::net::TcpListener;

    use super::*;

    /// What became of bringing up the kinds at this address, and what was said of it.
    async fn ended(port: u16, stop: impl Future<Output = &'static str>) -> (ExitCode, String) {
        let file = format!("smartops-install-{}-{port}", std::process::id());
        let file = std::env::temp_dir().join(file);
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "a",
            "clusters": [{"name": "a", "cluster": {"server": format!("http://127.0.0.1:{port}")}}],
            "users": [{"name": "a", "user": {}}],
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        });
        std::fs::write(&file, kubeconfig.to_string()).unwrap();
        let args = InstallArgs { kubeconfig: Some(file.clone()), timeout_seconds: 1 };
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let code = run(Task::ApplyCrds(&args), stop, &mut output, &mut errors).await.unwrap();
        std::fs::remove_file(file).unwrap();
        (code, String::from_utf8(errors).unwrap())
    }

    #[tokio::test]
    async fn what_is_stopped_on_its_way_says_so_and_what_fails_by_itself_says_why() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = silent.local_addr().unwrap().port();
        let asked = async {
            let _kept = silent.accept().await.unwrap();
            "SIGTERM"
        };
        let (code, errors) = ended(port, asked).await;
        assert_eq!(code, ExitCode::FAILURE);
        assert!(errors.starts_with("stopped by SIGTERM before it was done"), "{errors}");
        drop(silent);
        let (code, errors) = ended(port, pending()).await;
        assert_eq!(code, ExitCode::FAILURE);
        assert!(!errors.is_empty() && !errors.contains("stopped by"), "{errors}");
    }
}
