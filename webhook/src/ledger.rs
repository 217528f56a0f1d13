//! The ledgers in etcd: read by every replica before its first lists are told, written by the leader alone.
//!
//! A change is written within a second of being observed; what changes nothing but a generation follows within ten. A
//! change that was never written, because every replica was killed in that second, has still moved the object's
//! generation: whoever loads the ledger then takes the object as changed at that moment. Each write carries the
//! resourceVersion it replaces, so that a leader that was paused overwrites nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::core::DeserializeGuard;
use kube::{Api, Client, ResourceExt};
use smartops_common::names;
use smartops_guard::ledger::ChangeLedger;
use smartops_process::BoxError;
use smartops_process::client::{Error, deadline};
use smartops_process::health::Handle;
use smartops_process::shutdown::Shutdown;
use tokio::sync::{oneshot, watch};
use tokio::time::MissedTickBehavior;

use crate::history::{Histories, Urgency};
use crate::metrics::WebhookMetrics;

/// How often what is due is written.
const EVERY: Duration = Duration::from_secs(1);
/// In which of these rounds everything is written, not only what counts.
const ROUNDS: u32 = 10;
/// How long one call may take.
const CALL: Duration = Duration::from_secs(5);
/// The pause after ledgers could not be read or written.
const RETRY: Duration = Duration::from_secs(2);
/// Writes under way at once.
const AT_ONCE: usize = 8;
/// Ledgers in a page of a list: each may take a megabyte.
const PAGE: u32 = 16;

/// Reads and writes ledgers.
pub struct Book {
    reading: Api<DeserializeGuard<ChangeLedger>>,
    writing: Api<ChangeLedger>,
    histories: Arc<Histories>,
    ready: Handle,
    metrics: WebhookMetrics,
}

impl std::fmt::Debug for Book {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Book").finish_non_exhaustive()
    }
}

/// The resourceVersion of each ledger, by namespace.
type Versions = BTreeMap<Arc<str>, String>;

impl Book {
    /// For the ledgers in `system`, SmartOps' own namespace. `ready` is told once they have been read.
    pub fn new(
        client: Client,
        system: &str,
        histories: Arc<Histories>,
        ready: Handle,
        metrics: WebhookMetrics,
    ) -> Self {
        Self {
            reading: Api::namespaced(client.clone(), system),
            writing: Api::namespaced(client, system),
            histories,
            ready,
            metrics,
        }
    }

    /// Loads, then writes while this replica leads, until the stop; what is due then is written before `done` is
    /// dropped.
    pub async fn run(
        self,
        mut leading: watch::Receiver<bool>,
        shutdown: Shutdown,
        done: oneshot::Sender<()>,
    ) -> Result<(), BoxError> {
        tokio::select! {
            () = self.load() => {}
            () = shutdown.stopping() => return Ok(()),
        }
        loop {
            tokio::select! {
                () = shutdown.stopping() => break,
                won = won(&mut leading) => if !won { break },
            }
            self.metrics.leader.set(1);
            self.lead(&mut leading, &shutdown).await;
            self.metrics.leader.set(0);
            if shutdown.is_stopping() {
                break;
            }
        }
        drop(done);
        Ok(())
    }

    /// Tells the histories every ledger; tried until it can be done.
    async fn load(&self) {
        loop {
            let load = |name: &str, ledger: Option<&ChangeLedger>, _: String| {
                self.histories.load(name, ledger.map(|ledger| &ledger.spec));
            };
            match self.read_all(load).await {
                Ok(()) => break,
                Err(error) => {
                    tracing::warn!(%error, "the ledgers cannot be read: trying again");
                    self.ready.not_ready(error.to_string());
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
        self.histories.loaded();
        self.ready.ready();
    }

    /// Writes what is due until the leadership is lost, or until the stop and what was due then.
    async fn lead(&self, leading: &mut watch::Receiver<bool>, shutdown: &Shutdown) {
        let Some(mut versions) = self.take_over(leading, shutdown).await else { return };
        let mut rounds = tokio::time::interval(EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut round = 0_u32;
        loop {
            tokio::select! {
                () = shutdown.stopping() => {
                    self.write(&mut versions, Urgency::Whenever).await;
                    return;
                }
                () = lost(leading) => return,
                _ = rounds.tick() => {}
            }
            // What is written must be all there is.
            if !self.histories.is_loaded() {
                continue;
            }
            round = round.wrapping_add(1);
            let all = round.is_multiple_of(ROUNDS);
            let least = if all { Urgency::Whenever } else { Urgency::Soon };
            let written = tokio::select! {
                written = self.write(&mut versions, least) => written,
                () = lost(leading) => return,
            };
            if !written {
                rounds.reset_after(RETRY);
            }
        }
    }

    /// Reads what the former leader wrote, and marks what of it is not as it should be. `None` where the leadership
    /// was lost or the stop came before that was done.
    async fn take_over(
        &self,
        leading: &mut watch::Receiver<bool>,
        shutdown: &Shutdown,
    ) -> Option<Versions> {
        loop {
            let mut versions = Versions::new();
            let take = |name: &str, ledger: Option<&ChangeLedger>, version: String| {
                if ledger.is_none_or(|ledger| self.histories.merge(name, &ledger.spec)) {
                    self.histories.mark(name, Urgency::Soon);
                }
                versions.insert(name.into(), version);
            };
            let read = tokio::select! {
                read = self.read_all(take) => read,
                () = lost(leading) => return None,
                () = shutdown.stopping() => return None,
            };
            match read {
                Ok(()) => {
                    let unwritten = self.histories.namespaces().into_iter();
                    for namespace in unwritten.filter(|n| !versions.contains_key(n)) {
                        self.histories.mark(&namespace, Urgency::Soon);
                    }
                    return Some(versions);
                }
                Err(error) => {
                    tracing::warn!(%error, "the ledgers cannot be read: trying again");
                    tokio::select! {
                        () = tokio::time::sleep(RETRY) => {}
                        () = lost(leading) => return None,
                        () = shutdown.stopping() => return None,
                    }
                }
            }
        }
    }

    /// Tells every ledger by its name, with its resourceVersion; `None` where it cannot be read.
    async fn read_all(
        &self,
        mut tell: impl FnMut(&str, Option<&ChangeLedger>, String),
    ) -> Result<(), Error> {
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = deadline("listing the ledgers", CALL, self.reading.list(&params)).await?;
            for DeserializeGuard(ledger) in page.items {
                match ledger {
                    Ok(ledger) => {
                        let version = ledger.resource_version().unwrap_or_default();
                        tell(&ledger.name_any(), Some(&ledger), version);
                    }
                    Err(invalid) => {
                        let name = invalid.metadata.name.unwrap_or_default();
                        tracing::warn!(
                            ledger = name,
                            error = invalid.error,
                            "a ledger cannot be read: its namespace counts as changed just now"
                        );
                        let version = invalid.metadata.resource_version.unwrap_or_default();
                        tell(&name, None, version);
                    }
                }
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(()),
            }
        }
    }

    /// Writes what is due; whether all of it could be written.
    async fn write(&self, versions: &mut Versions, least: Urgency) -> bool {
        let due = self.histories.take_due(least).into_iter();
        let due: Vec<_> = due.map(|name| (versions.get(&name).cloned(), name)).collect();
        let mut writes = stream::iter(due)
            .map(|(version, name)| async move {
                let written = self.write_one(&name, version).await;
                (name, written)
            })
            .buffer_unordered(AT_ONCE);
        let mut all = true;
        while let Some((name, written)) = writes.next().await {
            match written {
                Ok(Some(version)) => {
                    versions.insert(name, version);
                }
                Ok(None) => {
                    versions.remove(&name);
                }
                Err(error) => {
                    tracing::warn!(namespace = %name, %error, "a ledger was not written: trying again");
                    self.histories.mark(&name, Urgency::Soon);
                    all = false;
                }
            }
        }
        all
    }

    /// Writes one ledger in place of the version given, or deletes it with its namespace. Returns its version.
    async fn write_one(
        &self,
        name: &str,
        version: Option<String>,
    ) -> Result<Option<String>, Error> {
        let Some(spec) = self.histories.ledger(name) else {
            return self.delete(name).await.map(|()| None);
        };
        let params =
            PostParams { field_manager: Some(names::WEBHOOK_FIELD_MANAGER.into()), dry_run: false };
        let mut ledger = ChangeLedger::new(name, spec);
        ledger.metadata.resource_version.clone_from(&version);
        let written = if version.is_some() {
            let call = self.writing.replace(name, &params, &ledger);
            deadline("writing a ledger", CALL, call).await
        } else {
            deadline("writing a ledger", CALL, self.writing.create(&params, &ledger)).await
        };
        match written {
            Ok(ledger) => {
                self.count("ok");
                Ok(ledger.resource_version())
            }
            // Somebody else wrote or deleted it.
            Err(e) if e.is_conflict() || e.is_already_exists() || e.is_not_found() => {
                self.count("conflict");
                self.read_again(name).await
            }
            Err(error) => {
                self.count("error");
                Err(error)
            }
        }
    }

    /// Takes in what somebody else wrote, to be written over in the next round.
    async fn read_again(&self, name: &str) -> Result<Option<String>, Error> {
        let read = deadline("reading a ledger", CALL, self.reading.get_opt(name)).await?;
        self.histories.mark(name, Urgency::Soon);
        Ok(read.and_then(|DeserializeGuard(ledger)| match ledger {
            Ok(ledger) => {
                self.histories.merge(name, &ledger.spec);
                ledger.metadata.resource_version
            }
            Err(invalid) => invalid.metadata.resource_version,
        }))
    }

    async fn delete(&self, name: &str) -> Result<(), Error> {
        let params = DeleteParams::default();
        let call = self.writing.delete(name, &params);
        match deadline("deleting a ledger", CALL, call).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn count(&self, result: &str) {
        self.metrics.ledger_writes.with_label_values(&[result]).inc();
    }
}

/// Waits until this replica leads; false once there is no election any more.
async fn won(leading: &mut watch::Receiver<bool>) -> bool {
    leading.wait_for(|leads| *leads).await.is_ok()
}

/// Waits until this replica leads no more.
async fn lost(leading: &mut watch::Receiver<bool>) {
    let _ended = leading.wait_for(|leads| !*leads).await;
}

#[cfg(test)]
mod tests;
