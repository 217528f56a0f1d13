//! Cluster-scoped objects that SmartOps keeps as it wants them, registrations and what the API server judges by: how one
//! is written, and how a repair is told. What they should hold, and when they are written, is `registration`'s and
//! `vap`'s.

mod absences;
pub(crate) mod meaning;
mod repairs;
mod seen;

use std::time::Duration;

use k8s_openapi::ClusterResourceScope;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde::Serialize;
use serde::de::DeserializeOwned;
use smartops_common::names;
use smartops_process::client::{Error, deadline};

pub(crate) use self::absences::{Absences, Making};
pub(crate) use self::repairs::Repairs;
pub(crate) use self::seen::{Seen, Standing};
use crate::told::{Alarm, Notice};

/// How long one write may take.
pub(crate) const CALL: Duration = Duration::from_secs(5);

/// A kind of them.
pub(crate) trait Kept:
    kube::Resource<DynamicType = (), Scope = ClusterResourceScope>
    + Clone
    + std::fmt::Debug
    + Serialize
    + DeserializeOwned
{
}

impl<K> Kept for K where
    K: kube::Resource<DynamicType = (), Scope = ClusterResourceScope>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned
{
}

/// Applies one; what somebody else wrote beside it stays.
pub(crate) async fn apply<K: Kept>(client: &Client, wanted: &K) -> Result<K, Error> {
    let api: Api<K> = Api::all(client.clone());
    let params = PatchParams::apply(names::WEBHOOK_FIELD_MANAGER).force();
    let name = wanted.meta().name.clone().unwrap_or_default();
    let patch = Patch::Apply(wanted);
    deadline("applying an object of SmartOps' own", CALL, api.patch(&name, &params, &patch)).await
}

/// Replaces one as a whole; `None` where somebody wrote in between, and the watch tells what is due then.
pub(crate) async fn replace<K: Kept>(client: &Client, mut wanted: K) -> Result<Option<K>, Error> {
    wanted.meta_mut().managed_fields = None;
    let api: Api<K> = Api::all(client.clone());
    let params = PostParams {
        field_manager: Some(names::WEBHOOK_FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    let name = wanted.meta().name.clone().unwrap_or_default();
    let call = api.replace(&name, &params, &wanted);
    match deadline("replacing an object of SmartOps' own", CALL, call).await {
        Ok(replaced) => Ok(Some(replaced)),
        Err(error) if error.is_conflict() || error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Leaves an Event on one that somebody else had changed.
pub(crate) fn tell_of_repair(
    alarm: &Alarm,
    api_version: &str,
    (kind, name): (&str, &str),
    uid: &str,
    writers: &str,
) {
    let note = format!("changed by somebody else ({writers}) and repaired");
    let (reason, prefix) = ("Repaired", "smartops-repaired-");
    alarm.tell_of(api_version, Notice { reason, prefix, kind, name, uid, note: &note });
}
