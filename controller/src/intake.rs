//! Intake: from a signal or a request to one durable Remediation. `map` says what policies are asked about a signal, `resolve`
//! which Deployment a name means, `owner` which one a pod belongs to, `place` whether it joins what is under way,
//! `recall` what is called off when a signal is taken back; this file fetches what they ask for
//! and writes what they say.

pub mod alert;
pub mod anomaly;
pub mod map;
pub mod owner;
pub mod place;
pub mod rca;
pub mod recall;
pub mod resolve;

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use smartops_common::remediation::{Remediation, Target, TargetKind};

use self::place::{Order, Place};
use self::resolve::{Candidate, Unresolved};
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::remediation::trace;

/// How often a race with another writer is run again before the caller is asked to come back.
const RACES: usize = 10;

/// Why a name led to no Deployment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The namespace does not exist.
    #[error("there is no namespace {0}")]
    NoNamespace(String),
    /// No Deployment, or more than one, answers to the name.
    #[error(transparent)]
    Unresolved(#[from] Unresolved),
    /// What was named belongs to no Deployment, or is gone.
    #[error("{0}")]
    NoOwner(String),
    /// The API server did not say.
    #[error(transparent)]
    Failure(Failure),
}

/// A Deployment that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// As a Remediation names it.
    pub target: Target,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// Finds the Deployment a caller's name means.
pub async fn lookup(
    cluster: &Cluster,
    namespace: &str,
    service: &str,
    prefix: &str,
) -> Result<Found, LookupError> {
    let listed = match cluster.deployment_names(namespace).await {
        Ok(listed) => listed,
        // Without a binding there, a namespace that does not exist looks like one that is not ours.
        Err(failure @ Failure::Forbidden { .. }) => {
            return Err(match cluster.namespace_exists(namespace).await {
                Ok(false) => LookupError::NoNamespace(namespace.to_owned()),
                _ => LookupError::Failure(failure),
            });
        }
        Err(failure) => return Err(LookupError::Failure(failure)),
    };
    let candidates: Vec<Candidate> =
        listed.into_iter().filter_map(|d| Candidate::read(d.metadata)).collect();
    if candidates.is_empty() && matches!(cluster.namespace_exists(namespace).await, Ok(false)) {
        return Err(LookupError::NoNamespace(namespace.to_owned()));
    }
    let found = resolve::resolve(service, prefix, &candidates)?;
    let Candidate { name, uid, labels, .. } = found.clone();
    Ok(Found { target: Target { kind: TargetKind::Deployment, name, uid }, labels })
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq)]
pub enum Submitted {
    /// A Remediation of its own.
    Created(Box<Remediation>),
    /// It joined an open one.
    Joined(Box<Remediation>),
    /// Not accepted: this one is open on the target.
    Busy(Box<Remediation>),
    /// Not accepted: its idempotency key belongs to this one, which was another request.
    Taken(Box<Remediation>),
}

/// Makes an order durable: when this returns `Created` or `Joined`, it stands in etcd.
pub async fn submit(
    cluster: &Cluster,
    order: &Order,
    now: Timestamp,
) -> Result<Submitted, Failure> {
    trace::intake(order).around(store(cluster, order, now)).await
}

async fn store(cluster: &Cluster, order: &Order, now: Timestamp) -> Result<Submitted, Failure> {
    for _ in 0..RACES {
        let all = cluster.remediations_of(&order.namespace, &order.target.uid).await?;
        let attempt = match place::place(order, &all, now) {
            Place::Busy(open) => return Ok(Submitted::Busy(Box::new(open.clone()))),
            Place::Taken(known) => return Ok(Submitted::Taken(Box::new(known.clone()))),
            Place::Join(open) => {
                let Some(joined) = place::joined(order, open, Time(now)) else {
                    return Ok(Submitted::Joined(Box::new(open.clone())));
                };
                let joined = cluster.replace_status(&order.namespace, &joined).await;
                joined.map(|r| Submitted::Joined(Box::new(r)))
            }
            Place::New(sequence) => {
                let made = trace::keep(place::make(order, sequence));
                let made = cluster.create_remediation(&order.namespace, &made).await;
                made.map(|r| Submitted::Created(Box::new(r)))
            }
        };
        match attempt {
            Err(Failure::Conflict(_)) => {}
            other => return other,
        }
    }
    let message = format!("{RACES} other writers were faster; ask again in a moment");
    Err(Failure::Unavailable(message.into()))
}

/// What became of a signal that was taken back.
#[derive(Debug, Clone, PartialEq)]
pub enum Recalled {
    /// These were called off.
    Cancelled(Vec<Remediation>),
    /// Nothing rested on it alone that had not begun.
    Nothing,
}

/// Calls off what rests on this signal alone and has not begun, among `waiting`; what begins meanwhile goes on.
pub async fn recall(
    cluster: &Cluster,
    namespace: &str,
    waiting: Vec<Remediation>,
    id: &str,
    now: Timestamp,
) -> Result<Recalled, Failure> {
    let mut cancelled = Vec::new();
    for mut remediation in waiting {
        for _ in 0..RACES {
            let Some(recalled) = recall::recalled(&remediation, id, now) else { break };
            match cluster.replace_status(namespace, &recalled).await {
                Ok(stored) if !stored.is_open() => {
                    cancelled.push(stored);
                    break;
                }
                Ok(_) | Err(Failure::NotFound(_)) => break,
                Err(Failure::Conflict(_)) => {}
                Err(failure) => return Err(failure),
            }
            let name = remediation.metadata.name.as_deref().unwrap_or_default();
            let Some(again) = cluster.remediation(namespace, name).await? else { break };
            remediation = again;
        }
    }
    Ok(if cancelled.is_empty() { Recalled::Nothing } else { Recalled::Cancelled(cancelled) })
}
