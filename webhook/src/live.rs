//! What a review reads from the API server because no watch can answer it: a Deployment as it is now, and when its
//! ReplicaSets were made. Each read is one call under the review's deadline.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::ListParams;
use kube::core::Selector;
use kube::{Api, Client, ResourceExt};
use smartops_process::client::{Error, deadline};
use tokio::time::Instant;

use crate::metrics::WebhookMetrics;
use crate::workload::Workload;

/// The longest a single read may take, whatever the review's deadline.
const LONGEST: Duration = Duration::from_secs(5);
/// ReplicaSets read at most; a Deployment keeps ten old ones unless told otherwise.
const MOST: u32 = 500;

/// Reads from the API server. Cheap to clone.
#[derive(Clone)]
pub struct Live {
    client: Client,
    metrics: WebhookMetrics,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}

impl Live {
    /// Reads through this client.
    pub fn new(client: Client, metrics: WebhookMetrics) -> Self {
        Self { client, metrics }
    }

    /// The Deployment as it is now; `None` where there is none.
    pub async fn deployment(
        &self,
        namespace: &str,
        name: &str,
        until: Instant,
    ) -> Result<Option<Workload>, Error> {
        let api: Api<Workload> = Api::namespaced(self.client.clone(), namespace);
        let read = deadline("reading the Deployment", left(until), api.get_opt(name)).await;
        self.count("deployment", read)
    }

    /// When each of the Deployment's own ReplicaSets was made, in no order; `None` where there are too many to list.
    pub async fn replica_sets(
        &self,
        deployment: &Workload,
        until: Instant,
    ) -> Result<Option<Vec<Timestamp>>, Error> {
        let namespace = deployment.namespace().unwrap_or_default();
        let api: Api<ReplicaSet> = Api::namespaced(self.client.clone(), &namespace);
        let mut params = ListParams::default().limit(MOST);
        if let Some(selector) = deployment.spec.selector.clone().and_then(selector) {
            params = params.labels_from(&selector);
        }
        let list = api.list_metadata(&params);
        let read = deadline("listing the ReplicaSets", left(until), list).await;
        let sets = self.count("replicasets", read)?;
        if sets.metadata.continue_.is_some_and(|more| !more.is_empty()) {
            return Ok(None);
        }
        let uid = deployment.uid().unwrap_or_default();
        let own = sets.items.iter().filter(|set| {
            set.owner_references().iter().any(|o| o.uid == uid && o.controller == Some(true))
        });
        Ok(Some(own.filter_map(|set| set.creation_timestamp().map(|time| time.0)).collect()))
    }

    fn count<T>(&self, what: &str, read: Result<T, Error>) -> Result<T, Error> {
        let result = if read.is_ok() { "ok" } else { "error" };
        self.metrics.live_reads.with_label_values(&[what, result]).inc();
        read
    }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now()).min(LONGEST)
}

/// A selector the API server reads; `None` where it holds something unknown, and everything is listed.
fn selector(selector: LabelSelector) -> Option<Selector> {
    Selector::try_from(selector).ok()
}
