//! `smartops-pause`: the container that holds a pod's namespaces open on a node of the tests, which can fetch no image.
//! It waits until it is told to end. It reaps no orphans: no pod of the tests shares its process namespace.

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    runtime.context("cannot wait for signals")?.block_on(wait())
}

async fn wait() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot await SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot await SIGINT")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
