//! The leader's task that deletes what is kept no longer, a few at a time, each on condition that it is still what was
//! looked at.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use kube::runtime::reflector::Store;
use smartops_common::remediation::Remediation;
use smartops_process::BoxError;
use smartops_process::clock::Clock;
use smartops_process::lease::Leadership;
use smartops_process::shutdown::Shutdown;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::{Keep, doubtful, prunable};
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::metrics::ControllerMetrics;
use crate::remediation::tidings::Tidings;

/// How often it is looked for what is kept no longer. By the monotonic clock.
const EVERY: Duration = Duration::from_secs(30);
/// Deleted at most in one turn.
const MOST: usize = 100;
/// In how many turns targets that may be gone are looked for once.
const LOOK_FOR_TARGETS: u32 = 120;

/// Deletes what is kept no longer.
#[derive(Debug)]
pub struct Pruner {
    /// The API server.
    pub cluster: Cluster,
    /// Every Remediation as last watched.
    pub store: Store<Remediation>,
    /// Whether all of them have been listed.
    pub listed: Tidings,
    /// Only the leader deletes.
    pub leadership: Leadership,
    /// The cooldown of a target, where its policy says no other.
    pub cooldown: SignedDuration,
    /// What is counted.
    pub metrics: ControllerMetrics,
}

impl Pruner {
    /// Works until the stop.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), BoxError> {
        let mut changes = self.leadership.changes();
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut turns, mut gone) = (0_u32, BTreeSet::new());
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.listed.wait_listed(), if !self.listed.is_listed() => {}
                // At once where this replica begins to lead; at the end of its election nothing more comes.
                told = begins(&mut changes), if !self.leadership.is_leader() => {
                    if !told {
                        shutdown.stopping().await;
                    }
                }
                () = shutdown.stopping() => {}
            }
            if shutdown.is_stopping() {
                return Ok(());
            }
            if self.leadership.is_leader() && self.listed.is_listed() {
                let looks = turns.is_multiple_of(LOOK_FOR_TARGETS);
                turns = turns.wrapping_add(1);
                if let Err(failure) = self.turn(looks, &mut gone).await {
                    tracing::warn!(%failure, "what has ended long ago is not pruned now");
                }
            }
        }
    }

    async fn turn(&self, looks: bool, gone: &mut BTreeSet<String>) -> Result<(), Failure> {
        let all = self.store.state();
        let config = self.cluster.config().await?;
        let (retention, limits) = (config.retention, config.closed_loop);
        let keep = Keep { retention, limits, cooldown: self.cooldown };
        if looks {
            *gone = self.gone(&all, &keep).await;
        }
        let mut pruned = 0_u64;
        for remediation in prunable(&all, &keep, gone, Clock.now()).into_iter().take(MOST) {
            if !self.leadership.is_certain() {
                break;
            }
            match self.cluster.delete_remediation(remediation).await {
                Ok(()) => pruned += 1,
                // Somebody was faster, or has changed it since.
                Err(Failure::NotFound(_) | Failure::Conflict(_)) => {}
                Err(failure) => {
                    let name = remediation.metadata.name.as_deref();
                    tracing::warn!(name, %failure, "a Remediation that is kept no longer stays");
                }
            }
        }
        if pruned > 0 {
            self.metrics.orchestrator.pruned.inc_by(pruned);
            tracing::info!(
                pruned,
                "Remediations that ended long ago, or were too many, are deleted"
            );
        }
        Ok(())
    }

    /// The targets that exist no more, of those for which something is still kept.
    async fn gone(&self, all: &[Arc<Remediation>], keep: &Keep) -> BTreeSet<String> {
        let mut gone = BTreeSet::new();
        for namespace in doubtful(all, keep, Clock.now()) {
            // Where they cannot be listed, nobody knows that one is gone.
            let Ok(listed) = self.cluster.deployment_names(namespace).await else { continue };
            let present: BTreeSet<String> =
                listed.into_iter().filter_map(|d| d.metadata.uid).collect();
            let targets = all
                .iter()
                .filter(|r| r.metadata.namespace.as_deref() == Some(namespace))
                .map(|r| &r.spec.target.uid);
            gone.extend(targets.filter(|uid| !present.contains(*uid)).cloned());
        }
        gone
    }
}

/// Waits until this replica leads; false where that cannot come any more.
async fn begins(changes: &mut watch::Receiver<bool>) -> bool {
    changes.wait_for(|leads| *leads).await.is_ok()
}
