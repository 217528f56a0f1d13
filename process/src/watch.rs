//! A watch that never gives up: backoff with jitter after errors, an object that cannot be read never stops it.

use std::fmt::Debug;

use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DeserializeGuard;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource};
use prometheus::{GaugeVec, IntCounterVec};
use serde::de::DeserializeOwned;

use crate::BoxError;
use crate::client;
use crate::clock::Clock;
use crate::health::Handle;
use crate::metrics::{self, Metrics};
use crate::shutdown::Shutdown;

/// What a watch tells. Between `Init` and `InitDone` everything that exists is told anew; what was known before and
/// is not told then is gone.
#[derive(Debug, Clone)]
pub enum Event<K> {
    /// A list begins.
    Init,
    /// An object of that list.
    InitApply(K),
    /// The list is complete.
    InitDone,
    /// Made or changed.
    Apply(K),
    /// Gone; only its metadata is told.
    Delete(Box<ObjectMeta>),
    /// Exists, but cannot be read. It has been logged and counted; what was known of it is the best there is.
    Unreadable {
        /// Its metadata.
        metadata: Box<ObjectMeta>,
        /// Why it cannot be read.
        error: String,
    },
}

/// What watches tell about themselves. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WatchMetrics {
    errors: IntCounterVec,
    unreadable: IntCounterVec,
    last_event: GaugeVec,
}

impl WatchMetrics {
    /// Registers them.
    pub fn new(metrics: &Metrics) -> Result<Self, metrics::Error> {
        Ok(Self {
            errors: metrics.counters(
                "smartops_watch_errors_total",
                "Errors of a watch, each followed by a new attempt.",
                &["watch"],
            )?,
            unreadable: metrics.counters(
                "smartops_watch_unreadable_objects_total",
                "Objects a watch told that could not be read.",
                &["watch"],
            )?,
            last_event: metrics.float_gauges(
                "smartops_watch_last_event_timestamp_seconds",
                "When a watch last told something, in seconds since 1970.",
                &["watch"],
            )?,
        })
    }
}

/// One watch, before it runs.
#[derive(Debug)]
pub struct Watch<K> {
    /// Its name in logs and metrics.
    pub name: &'static str,
    /// What is watched.
    pub api: Api<DeserializeGuard<K>>,
    /// Selectors and page size.
    pub config: watcher::Config,
    /// Told ready once the first list is complete.
    pub ready: Handle,
    /// Where it counts.
    pub metrics: WatchMetrics,
}

impl<K> Watch<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    /// Tells every event to `tell` until the stop. Returns early only when the watch cannot go on at all.
    pub async fn run(
        self,
        shutdown: Shutdown,
        mut tell: impl FnMut(Event<K>) + Send,
    ) -> Result<(), BoxError> {
        let mut events = watcher(self.api.clone(), self.config.clone()).default_backoff().boxed();
        let clock = Clock;
        loop {
            let next = tokio::select! {
                () = shutdown.stopping() => return Ok(()),
                next = events.try_next() => next,
            };
            match next {
                Ok(Some(event)) => {
                    let event = read(event);
                    let done = matches!(event, Event::InitDone);
                    self.count(&event, clock.now());
                    tell(event);
                    if done {
                        self.ready.ready();
                    }
                }
                Ok(None) => return Err(format!("the watch {:?} ended", self.name).into()),
                Err(error) => {
                    self.metrics.errors.with_label_values(&[self.name]).inc();
                    let error = words(&error);
                    tracing::warn!(watch = self.name, error, "watch interrupted: trying again");
                }
            }
        }
    }

    fn count(&self, event: &Event<K>, now: Timestamp) {
        #[expect(clippy::cast_precision_loss, reason = "seconds stay exact for 285 million years")]
        let seconds = now.as_second() as f64;
        self.metrics.last_event.with_label_values(&[self.name]).set(seconds);
        if let Event::Unreadable { metadata, error } = event {
            self.metrics.unreadable.with_label_values(&[self.name]).inc();
            tracing::warn!(
                watch = self.name,
                namespace = metadata.namespace.as_deref(),
                name = metadata.name.as_deref(),
                error,
                "an object cannot be read: what was known of it stays"
            );
        }
    }
}

fn words(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => client::brief(error),
        watcher::Error::WatchError(status) => status.message.clone(),
        watcher::Error::NoResourceVersion => error.to_string(),
    }
}

fn read<K: Resource>(event: watcher::Event<DeserializeGuard<K>>) -> Event<K> {
    let unreadable = |invalid: kube::core::error_boundary::InvalidObject| Event::Unreadable {
        metadata: Box::new(invalid.metadata),
        error: invalid.error,
    };
    match event {
        watcher::Event::Init => Event::Init,
        watcher::Event::InitDone => Event::InitDone,
        watcher::Event::InitApply(object) => object.0.map_or_else(unreadable, Event::InitApply),
        watcher::Event::Apply(object) => object.0.map_or_else(unreadable, Event::Apply),
        watcher::Event::Delete(object) => Event::Delete(Box::new(object.meta().clone())),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;

    fn guarded(object: serde_json::Value) -> DeserializeGuard<ConfigMap> {
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn an_object_that_cannot_be_read_is_told_by_its_metadata() {
        let bad = json!({"metadata": {"name": "bad", "namespace": "a"}, "data": 5});
        let Event::Unreadable { metadata, .. } = read(watcher::Event::Apply(guarded(bad.clone())))
        else {
            panic!("it should not have been readable");
        };
        assert_eq!(metadata.name.as_deref(), Some("bad"));
        let Event::Delete(metadata) = read(watcher::Event::Delete(guarded(bad))) else {
            panic!("a deletion is told whether or not the object can be read");
        };
        assert_eq!(metadata.name.as_deref(), Some("bad"));
    }

    #[test]
    fn a_good_object_comes_through() {
        let good = json!({"metadata": {"name": "good"}, "data": {"a": "b"}});
        assert!(matches!(
            read(watcher::Event::InitApply(guarded(good))),
            Event::InitApply(ConfigMap { .. })
        ));
    }
}
