//! smartops-webhook: judges changes to workloads for the Kubernetes API server.

use clap::Parser;
use smartops_process::telemetry;
use smartops_webhook::app;
use smartops_webhook::args::Args;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let names = args.check()?;
    let telemetry = telemetry::init(args.common.log_format, &args.common.log_level)?;
    app::run(&args, names, &telemetry).await.map_err(anyhow::Error::from_boxed)?;
    Ok(())
}
