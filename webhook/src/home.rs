//! What the webhook stands on in the cluster: its namespace and, where the API server reaches it by its Service, the
//! Deployment that runs it. While one of them goes, nobody is left to answer, and nothing may be left that asks. Does not
//! live here: who fills, empties or removes what asks.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;
use kube::runtime::watcher;
use kube::{Api, Client};
use smartops_common::names;
use smartops_process::BoxError;
use smartops_process::health::Readiness;
use smartops_process::shutdown::Shutdown;
use smartops_process::watch::{Event, Watch, WatchMetrics};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// So long a Deployment that was deleted may take to come back: whoever replaces one deletes it first. Shorter than the
/// pods that were its last have left, who are the last to empty anything.
const REPLACED: Duration = Duration::from_secs(2);

/// What there is to stand on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ground {
    /// It has not been read yet.
    Unknown,
    /// The webhook is here to stay.
    Stands {
        /// The uid of the namespace, which owns what must not outlive it.
        namespace: Arc<str>,
        /// Whether what somebody deleted is made again: not where nothing says that the webhook itself is to stay.
        may_restore: bool,
    },
    /// The webhook is on its way out, for this reason.
    Leaves(&'static str),
}

impl Ground {
    /// The namespace as the owner of cluster-scoped objects; none where the webhook is not known to stay.
    pub fn owner(&self) -> Option<OwnerReference> {
        let Self::Stands { namespace, .. } = self else { return None };
        Some(OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Namespace".to_owned(),
            name: names::SYSTEM_NAMESPACE.to_owned(),
            uid: namespace.to_string(),
            ..OwnerReference::default()
        })
    }
}

/// What is known of an object that SmartOps stands on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Part {
    /// Nothing yet.
    #[default]
    Unread,
    /// It has never been seen.
    Absent,
    /// It is being deleted, or was, since then.
    Leaving(Instant),
    /// It is there; its uid.
    Stands(Arc<str>),
}

impl Part {
    fn after(&self, metadata: &ObjectMeta, now: Instant) -> Self {
        if metadata.deletion_timestamp.is_some() {
            return match self {
                Self::Leaving(since) => Self::Leaving(*since),
                Self::Unread | Self::Absent | Self::Stands(_) => Self::Leaving(now),
            };
        }
        Self::Stands(Arc::from(metadata.uid.as_deref().unwrap_or_default()))
    }

    fn gone(&self, now: Instant) -> Self {
        match self {
            Self::Unread | Self::Absent => Self::Absent,
            Self::Leaving(since) => Self::Leaving(*since),
            Self::Stands(_) => Self::Leaving(now),
        }
    }
}

/// A part as its watch tells it.
#[derive(Debug, Default)]
struct Told {
    part: Part,
    /// Whether the list under way has told it.
    is_listed: bool,
}

impl Told {
    fn see<K: kube::Resource>(&mut self, event: &Event<K>, now: Instant) {
        match event {
            Event::Init => self.is_listed = false,
            Event::InitApply(object) | Event::Apply(object) => {
                self.is_listed = true;
                self.part = self.part.after(object.meta(), now);
            }
            Event::Unreadable { metadata, .. } => {
                self.is_listed = true;
                self.part = self.part.after(metadata, now);
            }
            Event::InitDone if self.is_listed => {}
            Event::InitDone | Event::Delete(_) => self.part = self.part.gone(now),
        }
    }
}

/// What follows from both; `deployment` where it is asked. One that never was there says nothing, and one that was
/// deleted a moment ago may come back: until then nothing that was deleted is made again, and what stands is kept.
fn ground(namespace: &Part, deployment: Option<&Part>, now: Instant) -> Ground {
    let uid = match namespace {
        Part::Unread => return Ground::Unknown,
        Part::Absent | Part::Leaving(_) => {
            return Ground::Leaves("the namespace smartops-system is being deleted");
        }
        Part::Stands(uid) => Arc::clone(uid),
    };
    let may_restore = match deployment {
        Some(Part::Unread) => return Ground::Unknown,
        Some(Part::Leaving(since)) if *since + REPLACED <= now => {
            return Ground::Leaves("the Deployment smartops-webhook is being deleted");
        }
        Some(Part::Absent | Part::Leaving(_)) => false,
        Some(Part::Stands(_)) | None => true,
    };
    Ground::Stands { namespace: uid, may_restore }
}

/// What SmartOps stands on, watched.
#[derive(Debug)]
pub struct Home {
    namespace: Mutex<Told>,
    /// None where it is not asked.
    deployment: Option<Mutex<Told>>,
    ground: watch::Sender<Ground>,
    turned: Notify,
}

impl Home {
    /// Nothing is known yet. A webhook that runs outside the cluster has no Deployment to ask.
    pub fn new(is_in_cluster: bool) -> Arc<Self> {
        Arc::new(Self {
            namespace: Mutex::default(),
            deployment: is_in_cluster.then(Mutex::default),
            ground: watch::Sender::new(Ground::Unknown),
            turned: Notify::new(),
        })
    }

    /// What there is to stand on, whenever it changes.
    pub fn ground(&self) -> watch::Receiver<Ground> {
        self.ground.subscribe()
    }

    /// Watches until the stop.
    pub async fn run(
        self: Arc<Self>,
        client: Client,
        metrics: WatchMetrics,
        shutdown: Shutdown,
    ) -> Result<(), BoxError> {
        // Of its own, so that readiness does not hang on it.
        let listed = Readiness::new(shutdown.clone());
        let named =
            |name: &str| watcher::Config::default().fields(&format!("metadata.name={name}"));
        let namespace = Watch::<Namespace> {
            name: "own-namespace",
            api: Api::all(client.clone()),
            config: named(names::SYSTEM_NAMESPACE),
            ready: listed.handle("own-namespace"),
            metrics: metrics.clone(),
        };
        let deployment = Watch::<Deployment> {
            name: "own-deployment",
            api: Api::namespaced(client, names::SYSTEM_NAMESPACE),
            config: named(names::WEBHOOK_DEPLOYMENT),
            ready: listed.handle("own-deployment"),
            metrics,
        };
        tokio::try_join!(
            namespace.run(shutdown.clone(), |event| self.see(&self.namespace, &event)),
            async {
                let Some(told) = &self.deployment else { return Ok(()) };
                deployment.run(shutdown.clone(), |event| self.see(told, &event)).await
            },
            async {
                tokio::select! {
                    () = self.wait() => {}
                    () = shutdown.stopping() => {}
                }
                Ok(())
            },
        )?;
        Ok(())
    }

    fn see<K: kube::Resource>(&self, told: &Mutex<Told>, event: &Event<K>) {
        let now = Instant::now();
        told.lock().unwrap_or_else(PoisonError::into_inner).see(event, now);
        self.tell(now);
        self.turned.notify_one();
    }

    /// Tells what there is to stand on now.
    fn tell(&self, now: Instant) {
        let deployment = self.deployment.as_ref().map(part);
        let now = ground(&part(&self.namespace), deployment.as_ref(), now);
        self.ground.send_if_modified(|told| {
            let is_new = *told != now;
            *told = now;
            is_new
        });
    }

    /// Tells it again once a Deployment that was deleted has not come back.
    async fn wait(&self) {
        loop {
            let turned = self.turned.notified();
            let Some(Part::Leaving(since)) = self.deployment.as_ref().map(part) else {
                turned.await;
                continue;
            };
            tokio::select! {
                () = tokio::time::sleep_until(since + REPLACED) => {
                    self.tell(Instant::now());
                    self.turned.notified().await;
                }
                () = turned => {}
            }
        }
    }
}

fn part(told: &Mutex<Told>) -> Part {
    told.lock().unwrap_or_else(PoisonError::into_inner).part.clone()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn stands() -> Part {
        Part::Stands(Arc::from("u"))
    }

    #[test]
    fn whoever_goes_takes_the_registrations_along_and_one_never_seen_restores_nothing() {
        let here = |may_restore| Ground::Stands { namespace: Arc::from("u"), may_restore };
        let namespace = Ground::Leaves("the namespace smartops-system is being deleted");
        let deployment = Ground::Leaves("the Deployment smartops-webhook is being deleted");
        let start = Instant::now();
        let (just, over) = (start + REPLACED.mul_f32(0.9), start + REPLACED);
        let gone = || Part::Leaving(start);
        let rows = [
            (Part::Unread, Some(stands()), over, Ground::Unknown),
            (Part::Unread, None, over, Ground::Unknown),
            (stands(), Some(Part::Unread), over, Ground::Unknown),
            (stands(), Some(stands()), over, here(true)),
            (stands(), None, over, here(true)),
            (stands(), Some(Part::Absent), over, here(false)),
            (stands(), Some(gone()), start, here(false)),
            (stands(), Some(gone()), just, here(false)),
            (stands(), Some(gone()), over, deployment),
            (gone(), Some(stands()), start, namespace.clone()),
            (gone(), None, start, namespace.clone()),
            (Part::Absent, Some(gone()), start, namespace),
        ];
        for (namespace, deployment, now, expected) in rows {
            let found = ground(&namespace, deployment.as_ref(), now);
            assert_eq!(found, expected, "{namespace:?} {deployment:?}");
        }
    }

    #[test]
    fn what_a_list_no_longer_tells_is_gone_and_what_it_tells_again_stands() {
        let object = |leaving: bool| Namespace {
            metadata: ObjectMeta {
                uid: Some("u".into()),
                deletion_timestamp: leaving.then_some(Time(jiff::Timestamp::UNIX_EPOCH)),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let mut told = Told::default();
        let start = Instant::now();
        let mut after = |seconds: u64, events: Vec<Event<Namespace>>| {
            for event in &events {
                told.see(event, start + Duration::from_secs(seconds));
            }
            told.part.clone()
        };
        let gone = |seconds| Part::Leaving(start + Duration::from_secs(seconds));
        assert_eq!(after(0, vec![Event::Init, Event::InitDone]), Part::Absent);
        assert_eq!(after(1, vec![Event::Apply(object(false))]), stands());
        let listed = vec![Event::Init, Event::InitApply(object(false)), Event::InitDone];
        assert_eq!(after(2, listed), stands());
        assert_eq!(after(3, vec![Event::Apply(object(true))]), gone(3));
        assert_eq!(after(4, vec![Event::Apply(object(true))]), gone(3));
        assert_eq!(after(5, vec![Event::Delete(Box::default())]), gone(3));
        assert_eq!(after(6, vec![Event::Init, Event::InitDone]), gone(3));
        assert_eq!(after(7, vec![Event::Apply(object(false))]), stands());
        assert_eq!(after(8, vec![Event::Init, Event::InitDone]), gone(8));
    }
}
