//! smartops-webhook: judges changes to workloads for the Kubernetes API server.

use std::io::{stderr, stdout};
use std::process::ExitCode;

use clap::Parser;
use smartops_process::signals::Signals;
use smartops_process::telemetry;
use smartops_webhook::args::{Args, Cli, Command};
use smartops_webhook::install::{self, Task};
use smartops_webhook::{app, judge_command};

fn main() -> anyhow::Result<ExitCode> {
    let Cli { command, serve: flags } = Cli::parse();
    match command {
        None => serve(&flags),
        Some(Command::Serve(flags)) => serve(&flags),
        Some(Command::Judge(judge)) => {
            Ok(judge_command::run(&judge, &mut stdout().lock(), &mut stderr().lock())?)
        }
        Some(Command::ApplyCrds(args)) => once(Task::ApplyCrds(&args)),
        Some(Command::RemoveRegistrations(args)) => once(Task::RemoveRegistrations(&args)),
        Some(Command::SelfTest(args)) => once(Task::SelfTest(&args)),
    }
}

fn once(task: Task<'_>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        install::run(task, signals.next(), &mut stdout().lock(), &mut stderr().lock()).await
    });
    // A name that is being looked up keeps nobody waiting.
    runtime.shutdown_background();
    Ok(code?)
}

#[tokio::main]
async fn serve(args: &Args) -> anyhow::Result<ExitCode> {
    let names = args.check()?;
    let telemetry = telemetry::init("smartops-webhook", &args.common)?;
    app::run(args, names, &telemetry).await.map_err(anyhow::Error::from_boxed)?;
    Ok(ExitCode::SUCCESS)
}
