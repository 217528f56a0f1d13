//! smartops-webhook: judges changes to workloads for the Kubernetes API server.

use std::io::{stderr, stdout};
use std::process::ExitCode;

use clap::Parser;
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

#[tokio::main(flavor = "current_thread")]
async fn once(task: Task<'_>) -> anyhow::Result<ExitCode> {
    Ok(install::run(task, &mut stdout().lock(), &mut stderr().lock()).await?)
}

#[tokio::main]
async fn serve(args: &Args) -> anyhow::Result<ExitCode> {
    let names = args.check()?;
    let telemetry = telemetry::init("smartops-webhook", &args.common)?;
    app::run(args, names, &telemetry).await.map_err(anyhow::Error::from_boxed)?;
    Ok(ExitCode::SUCCESS)
}
