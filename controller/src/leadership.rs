//! Which replica works on Remediations: the election on a Lease, and the metric that shows who won it. Every replica
//! serves the API, takes signals in and watches; only the one that leads takes steps, which `remediation` sees to.

use std::net::SocketAddr;
use std::time::Duration;

use kube::Client;
use smartops_common::names;
use smartops_process::BoxError;
use smartops_process::lease::{Election, Leadership};
use smartops_process::shutdown::Shutdown;

use crate::metrics::ControllerMetrics;

/// The election of the replica that works. `place` is where this one listens, and `term` for how long the others wait
/// for one that says nothing.
pub fn election(client: Client, namespace: &str, place: SocketAddr, term: Duration) -> Election {
    Election::new(client, namespace, names::CONTROLLER_LEASE, place).with_term(term)
}

/// Keeps showing whether this replica leads, until the stop.
pub async fn show(
    leadership: Leadership,
    metrics: ControllerMetrics,
    shutdown: Shutdown,
) -> Result<(), BoxError> {
    let mut changes = leadership.changes();
    loop {
        metrics.orchestrator.leader.set((*changes.borrow_and_update()).into());
        tokio::select! {
            // The election tells to its very end, so nothing more comes once it is over.
            told = changes.changed() => if told.is_err() { shutdown.stopping().await },
            () = shutdown.stopping() => {}
        }
        if shutdown.is_stopping() {
            return Ok(());
        }
    }
}
