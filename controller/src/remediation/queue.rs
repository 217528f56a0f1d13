//! The queue: every Remediation there is, watched, and handed to the shell one step at a time; an approval hands over
//! the one it speaks of, and the beginning of leadership every open one. Waiting and concurrency are kube's `applier`;
//! what a step is, is not known here.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, TryStreamExt};
use kube::core::DeserializeGuard;
use kube::runtime::controller::Config;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, applier, watcher};
use kube::{Api, Client};
use smartops_common::approval::RemediationApproval;
use smartops_common::remediation::{Phase, Remediation, Source};
use smartops_process::BoxError;
use smartops_process::health::Handle;
use smartops_process::lease::Leadership;
use smartops_process::shutdown::Shutdown;
use tokio::sync::oneshot;

use crate::metrics::ControllerMetrics;
use crate::remediation::shell::{self, Shell};
use crate::remediation::tidings::{Tiding, Tidings};

/// How often the queue is counted.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// The queue before it runs.
#[derive(Debug)]
pub struct Queue {
    writer: Writer<Remediation>,
    store: Store<Remediation>,
    tidings: Tidings,
}

impl Default for Queue {
    fn default() -> Self {
        let (store, writer) = reflector::store();
        Self { writer, store, tidings: Tidings::default() }
    }
}

impl Queue {
    /// Every Remediation as last watched.
    pub fn store(&self) -> Store<Remediation> {
        self.store.clone()
    }

    /// What the watch shows, as it shows it.
    pub fn tidings(&self) -> Tidings {
        self.tidings.clone()
    }

    /// Works until the stop, at most `concurrency` Remediations at once. `ready` is told once all of them were seen, and
    /// `done` is dropped when no step is under way any more.
    pub async fn run(
        self,
        shell: Arc<Shell>,
        concurrency: u16,
        ready: Handle,
        shutdown: Shutdown,
        done: oneshot::Sender<()>,
    ) -> Result<(), BoxError> {
        let api: Api<DeserializeGuard<Remediation>> = Api::all(shell.cluster.client());
        let tidings = self.tidings;
        let seen = watcher(api, watcher::Config::default())
            .default_backoff()
            .try_filter_map(|event| std::future::ready(Ok(readable(event))))
            .reflect(self.writer)
            .inspect_ok(move |event| match event {
                Event::Apply(r) | Event::InitApply(r) => {
                    tidings.tell(|| Tiding::Changed(Arc::new(r.clone())));
                }
                Event::Delete(r) => tidings.tell(|| Tiding::Gone(Arc::new(r.clone()))),
                Event::InitDone => {
                    tidings.tell_listed();
                    ready.ready();
                }
                Event::Init => {}
            })
            .inspect_err(|error| tracing::warn!(%error, "the watch of Remediations"))
            .applied_objects()
            .map_ok(|r| ObjectRef::from_obj(&r))
            // An error of the watch is followed by another try; to `applier` it would be the end.
            .filter_map(|seen| std::future::ready(seen.ok().map(Ok::<_, watcher::Error>)));
        let led = led(&shell.leadership, self.store.clone());
        let told = [seen.boxed(), approved(shell.cluster.client()).boxed(), led.boxed()];
        let seen = futures::stream::select_all(told)
            .take_until(shutdown.stopping_token().cancelled_owned());
        applier(
            |remediation, shell| Box::pin(shell::reconcile(remediation, shell)),
            shell::retry_later,
            shell,
            self.store,
            seen,
            Config::default().concurrency(concurrency),
        )
        .for_each(|result| async {
            if let Err(error) = result {
                tracing::debug!(%error, "the queue of Remediations");
            }
        })
        .await;
        drop(done);
        Ok(())
    }
}

/// Every open Remediation whenever this replica begins to lead: what was watched before that was left to another.
fn led(
    leadership: &Leadership,
    store: Store<Remediation>,
) -> impl Stream<Item = Result<ObjectRef<Remediation>, watcher::Error>> + Send + use<> {
    let begins = futures::stream::unfold(leadership.changes(), |mut changes| async {
        loop {
            changes.changed().await.ok()?;
            // Of changes in quick succession only the last is seen, so each may have been a beginning.
            if *changes.borrow_and_update() {
                return Some(((), changes));
            }
        }
    });
    begins.flat_map(move |()| {
        let open = store.state().into_iter().filter(|r| r.is_open());
        futures::stream::iter(open.map(|r| Ok(ObjectRef::from_obj(&*r))).collect::<Vec<_>>())
    })
}

/// The Remediation of each approval that is made. What the approval says is read anew before it is acted on.
fn approved(
    client: Client,
) -> impl Stream<Item = Result<ObjectRef<Remediation>, watcher::Error>> + Send {
    let api: Api<DeserializeGuard<RemediationApproval>> = Api::all(client);
    watcher(api, watcher::Config::default())
        .default_backoff()
        .inspect_err(|error| tracing::warn!(%error, "the watch of RemediationApprovals"))
        .applied_objects()
        .filter_map(|seen| {
            let named = seen.ok().and_then(|guard| guard.0.ok()).and_then(|approval| {
                let namespace = approval.metadata.namespace.as_deref()?;
                Some(ObjectRef::new(&approval.spec.remediation.name).within(namespace))
            });
            std::future::ready(named.map(Ok))
        })
}

/// The event without objects that cannot be read: they wait for somebody who can.
fn readable(event: Event<DeserializeGuard<Remediation>>) -> Option<Event<Remediation>> {
    let read = |object: DeserializeGuard<Remediation>| match object.0 {
        Ok(remediation) => Some(remediation),
        Err(error) => {
            let metadata = &error.metadata;
            let (namespace, name) = (metadata.namespace.as_deref(), metadata.name.as_deref());
            tracing::warn!(namespace, name, error = %error.error, "a Remediation that cannot be read");
            None
        }
    };
    match event {
        Event::Init => Some(Event::Init),
        Event::InitApply(object) => read(object).map(Event::InitApply),
        Event::InitDone => Some(Event::InitDone),
        Event::Apply(object) => read(object).map(Event::Apply),
        Event::Delete(object) => read(object).map(Event::Delete),
    }
}

/// Keeps counting the open Remediations of the closed loop, and those that wait for approval, until the stop.
pub async fn count(
    store: Store<Remediation>,
    metrics: ControllerMetrics,
    shutdown: Shutdown,
) -> Result<(), BoxError> {
    let mut tick = tokio::time::interval(COUNT_EVERY);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = shutdown.stopping() => return Ok(()),
        }
        let all = store.state();
        let count = |which: fn(&Remediation) -> bool| {
            i64::try_from(all.iter().filter(|r| which(r)).count()).unwrap_or(i64::MAX)
        };
        let open = count(|r| r.spec.source == Source::ClosedLoop && r.is_open());
        metrics.closed_loop.queue_depth.set(open);
        metrics.orchestrator.awaiting.set(count(|r| r.phase() == Phase::AwaitingApproval));
    }
}
