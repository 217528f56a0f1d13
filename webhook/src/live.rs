//! What a review reads from the API server because no watch can answer it: an object's metadata as it is now, when a
//! workload's revisions and its pods were made, what announces a write and who approved it. Everything is read under the
//! review's deadline; what is too much to be read in it is not to be had, and never taken for nothing.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{GetParams, ListParams, ObjectMeta};
use kube::core::{ApiResource, DynamicObject, NamespaceResourceScope, Request, Selector};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use smartops_common::approval::RemediationApproval;
use smartops_common::remediation::{Phase, Remediation};
use smartops_guard::history::WorkloadKind;
use smartops_process::client::{Error, deadline};
use tokio::time::Instant;

use crate::metrics::WebhookMetrics;

/// The longest a single read may take, whatever the review's deadline.
const LONGEST: Duration = Duration::from_secs(5);
/// Objects in a page of a list; a workload keeps ten old revisions unless told otherwise.
const PAGE: u32 = 500;
/// Pages read at most.
const PAGES: usize = 10;
/// Remediations in a page of a list: each may hold eight patches.
const REMEDIATIONS: u32 = 50;

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

/// A kind of which revisions are kept, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revisioned {
    /// Its ReplicaSets are its revisions.
    Deployment,
    /// Its ControllerRevisions are.
    StatefulSet,
    /// Its ControllerRevisions are.
    DaemonSet,
}

impl Revisioned {
    /// The kind, where revisions of it are kept.
    pub const fn of(kind: WorkloadKind) -> Option<Self> {
        match kind {
            WorkloadKind::Deployment => Some(Self::Deployment),
            WorkloadKind::StatefulSet => Some(Self::StatefulSet),
            WorkloadKind::DaemonSet => Some(Self::DaemonSet),
            WorkloadKind::ReplicationController => None,
        }
    }

    fn resource(self) -> ApiResource {
        match self {
            Self::Deployment => resource("apps", "v1", "Deployment", "deployments"),
            Self::StatefulSet => resource("apps", "v1", "StatefulSet", "statefulsets"),
            Self::DaemonSet => resource("apps", "v1", "DaemonSet", "daemonsets"),
        }
    }

    fn revisions(self) -> ApiResource {
        match self {
            Self::Deployment => resource("apps", "v1", "ReplicaSet", "replicasets"),
            Self::StatefulSet | Self::DaemonSet => {
                resource("apps", "v1", "ControllerRevision", "controllerrevisions")
            }
        }
    }
}

/// A resource to read.
pub fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    let api_version =
        if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version,
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

impl Live {
    /// Reads through this client.
    pub fn new(client: Client, metrics: WebhookMetrics) -> Self {
        Self { client, metrics }
    }

    /// The metadata of an object as it is now; `None` where there is none.
    pub async fn metadata(
        &self,
        resource: &ApiResource,
        namespace: &str,
        name: &str,
        until: Instant,
    ) -> Result<Option<ObjectMeta>, Error> {
        let api = self.api(resource, namespace);
        let read = deadline("reading an object", left(until), api.get_metadata_opt(name)).await;
        Ok(self.count("metadata", read)?.map(|object| object.metadata))
    }

    /// The whole object as it is now, as its JSON text; `None` where there is none.
    pub async fn text(
        &self,
        resource: &ApiResource,
        namespace: &str,
        name: &str,
        until: Instant,
    ) -> Result<Option<String>, Error> {
        let path = DynamicObject::url_path(resource, Some(namespace));
        let read = async {
            let request = Request::new(path)
                .get(name, &GetParams::default())
                .map_err(kube::Error::BuildRequest)?;
            self.client.request_text(request).await
        };
        match self.count("object", deadline("reading an object", left(until), read).await) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// When each of a workload's own revisions was made, in no order; `None` where the workload is not the one of
    /// this uid any more, or has too many to list.
    pub async fn revisions(
        &self,
        kind: Revisioned,
        namespace: &str,
        name: &str,
        uid: &str,
        until: Instant,
    ) -> Result<Option<Vec<Timestamp>>, Error> {
        let api = self.api(&kind.resource(), namespace);
        let read = deadline("reading the workload", left(until), api.get_opt(name)).await;
        let Some(workload) =
            self.count("workload", read)?.filter(|w| w.uid().as_deref() == Some(uid))
        else {
            return Ok(None);
        };
        let selector: Option<LabelSelector> =
            serde_json::from_value(workload.data["spec"]["selector"].clone()).ok();
        let selector = selector.and_then(|s| Selector::try_from(s).ok()).unwrap_or_default();
        self.owned(&kind.revisions(), namespace, uid, &selector, "revisions", until).await
    }

    /// When each pod was made that the object of this uid controls, in no order; all that these labels leave are
    /// looked at. `None` where there are too many to list.
    pub async fn pods(
        &self,
        namespace: &str,
        controller: &str,
        labels: Selector,
        until: Instant,
    ) -> Result<Option<Vec<Timestamp>>, Error> {
        let pods = resource("", "v1", "Pod", "pods");
        self.owned(&pods, namespace, controller, &labels, "pods", until).await
    }

    /// When each object was made that the object of this uid controls; `None` where there are too many.
    async fn owned(
        &self,
        resource: &ApiResource,
        namespace: &str,
        uid: &str,
        selector: &Selector,
        what: &str,
        until: Instant,
    ) -> Result<Option<Vec<Timestamp>>, Error> {
        let api = self.api(resource, namespace);
        let mut params = ListParams::default().limit(PAGE).labels_from(selector);
        let mut made = Vec::new();
        for _ in 0..PAGES {
            let page = api.list_metadata(&params);
            let page = deadline("listing what it owns", left(until), page).await;
            let page = self.count(what, page)?;
            let own = page.items.iter().filter(|object| {
                object.owner_references().iter().any(|o| o.uid == uid && o.controller == Some(true))
            });
            made.extend(own.filter_map(|o| o.creation_timestamp().map(|time| time.0)));
            match page.metadata.continue_.filter(|more| !more.is_empty()) {
                Some(more) => params = params.continue_token(&more),
                None => return Ok(Some(made)),
            }
        }
        Ok(None)
    }

    /// The Remediations of a namespace that are Executing, on the object of this uid or on any, and have an open attempt, as
    /// etcd has them now; and one that has none, so that whoever finds no other can say so. `None` where they are more
    /// than are looked at: those that wait to try again and dry runs may be many.
    pub async fn executing(
        &self,
        namespace: &str,
        target: Option<&str>,
        until: Instant,
    ) -> Result<Option<Vec<Remediation>>, Error> {
        let executing = format!("status.phase={}", Phase::Executing.as_str());
        let of_target = target.map(|target| format!("spec.target.uid={target},{executing}"));
        let fields = of_target.unwrap_or(executing);
        let mut open = Vec::new();
        let mut ended: Option<Remediation> = None;
        let keep = |remediation: Remediation| {
            let last = remediation.status.as_ref().and_then(|status| status.attempts.last());
            if last.is_some_and(|attempt| attempt.result.is_none()) {
                open.push(remediation);
            } else {
                ended.get_or_insert(remediation);
            }
        };
        let params = ListParams::default().fields(&fields).limit(REMEDIATIONS);
        let are_all = self.listed(namespace, "remediations", params, until, keep).await?;
        open.extend(ended);
        Ok(are_all.then_some(open))
    }

    /// The approvals of the Remediation of this uid, as etcd has them now; `None` where they are more than are looked
    /// at.
    pub async fn approvals(
        &self,
        namespace: &str,
        remediation: &str,
        until: Instant,
    ) -> Result<Option<Vec<RemediationApproval>>, Error> {
        let fields = format!("spec.remediation.uid={remediation}");
        let params = ListParams::default().fields(&fields).limit(PAGE);
        let mut approvals = Vec::new();
        let keep = |approval| approvals.push(approval);
        let are_all = self.listed(namespace, "approvals", params, until, keep).await?;
        Ok(are_all.then_some(approvals))
    }

    /// Goes through the objects of one of SmartOps' own kinds that these parameters select, a page at a time; whether
    /// those were all.
    async fn listed<K>(
        &self,
        namespace: &str,
        what: &str,
        mut params: ListParams,
        until: Instant,
        mut keep: impl FnMut(K),
    ) -> Result<bool, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        for _ in 0..PAGES {
            let page = deadline("listing what was announced", left(until), api.list(&params)).await;
            let page = self.count(what, page)?;
            page.items.into_iter().for_each(&mut keep);
            match page.metadata.continue_.filter(|more| !more.is_empty()) {
                Some(more) => params = params.continue_token(&more),
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    fn api(&self, resource: &ApiResource, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, resource)
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

#[cfg(test)]
pub(crate) mod tests;
