//! Which Deployment a pod or ReplicaSet belongs to: read live, link by link, each by name and uid. A label may be old;
//! what has gone since, or belongs to something else, leads nowhere.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
use kube::api::ObjectMeta;
use smartops_common::remediation::{Target, TargetKind};

use super::alert::subject::is_exporter;
use super::{Found, LookupError};
use crate::cluster::Cluster;

/// The Deployment of exactly this name.
pub async fn of_deployment(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<Found, LookupError> {
    let live = cluster.deployment(namespace, name).await.map_err(LookupError::Failure)?;
    let Some(live) = live else { return Err(gone("Deployment", namespace, name)) };
    let uid = live.uid().to_owned();
    let labels = live.meta().labels.clone().unwrap_or_default();
    let target = Target { kind: TargetKind::Deployment, name: name.to_owned(), uid };
    measured(Found { target, labels }, namespace)
}

/// The Deployment a ReplicaSet belongs to.
pub async fn of_replica_set(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<Found, LookupError> {
    let found = cluster.replica_set(namespace, name).await.map_err(LookupError::Failure)?;
    let set = found.ok_or_else(|| gone("ReplicaSet", namespace, name))?;
    let owner = owner(&set, "Deployment")
        .ok_or_else(|| astray("ReplicaSet", namespace, name, "Deployment"))?;
    let found = of_deployment(cluster, namespace, &owner.name).await?;
    same(found, &owner.uid, "Deployment", namespace)
}

/// The Deployment a pod belongs to, by its ReplicaSet.
pub async fn of_pod(cluster: &Cluster, namespace: &str, name: &str) -> Result<Found, LookupError> {
    let found = cluster.pod(namespace, name).await.map_err(LookupError::Failure)?;
    let pod = found.ok_or_else(|| gone("pod", namespace, name))?;
    let owner =
        owner(&pod, "ReplicaSet").ok_or_else(|| astray("pod", namespace, name, "ReplicaSet"))?;
    of_replica_set(cluster, namespace, &owner.name).await
}

fn owner<'a>(metadata: &'a ObjectMeta, kind: &str) -> Option<&'a OwnerReference> {
    let owners = metadata.owner_references.iter().flatten();
    let mut controllers = owners.filter(|owner| owner.controller == Some(true));
    controllers.find(|owner| owner.kind == kind && owner.api_version.starts_with("apps/"))
}

fn same(
    found: Found,
    uid: &str,
    kind: &'static str,
    namespace: &str,
) -> Result<Found, LookupError> {
    if found.target.uid == uid { Ok(found) } else { Err(gone(kind, namespace, &found.target.name)) }
}

fn measured(found: Found, namespace: &str) -> Result<Found, LookupError> {
    let target = &found.target;
    if is_exporter(&target.name) {
        let told = format!(
            "Deployment {namespace}/{} measures others: an alert that names it is about something else",
            target.name
        );
        return Err(LookupError::NoOwner(told));
    }
    Ok(found)
}

fn gone(kind: &str, namespace: &str, name: &str) -> LookupError {
    LookupError::NoOwner(format!("there is no {kind} {namespace}/{name} any more"))
}

fn astray(kind: &str, namespace: &str, name: &str, owner: &str) -> LookupError {
    LookupError::NoOwner(format!("{kind} {namespace}/{name} belongs to no {owner}"))
}
