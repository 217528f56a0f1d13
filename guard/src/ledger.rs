//! ChangeLedger: what was observed of a namespace's workloads, written down so that it outlives every replica.
//!
//! Lives here: the kind, what of a history is written, and how it is read back. Does not live here: who writes it and
//! when (the webhook's leader), and what a gap in which nobody watched means (`Record::after` with
//! `Via::List`): what was read back is a record like any other, and the first list after it
//! tells what moved since.

mod entry;

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube_core::CustomResourceExt;
use kube_derive::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

pub use self::entry::{Changed, Entry, MoveEntry};
use crate::history::NamespaceRecord;

/// What was observed of the workloads of one namespace, by the webhook: it stands in SmartOps' namespace under that
/// namespace's name. Written by the webhook's leader and by nobody else; whoever edits it edits what cooldowns, steps
/// and budgets rest on.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[kube(
    group = "smartops.dev",
    version = "v1alpha1",
    kind = "ChangeLedger",
    plural = "changeledgers",
    shortname = "ledger",
    namespaced,
    derive = "PartialEq",
    crates(kube_core = "::kube_core"),
    printcolumn(name = "Last-Change", type_ = "date", json_path = ".spec.lastChangeAt"),
    printcolumn(name = "Workloads", type_ = "integer", json_path = ".spec.kept"),
    printcolumn(name = "Omitted", type_ = "integer", json_path = ".spec.omitted"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct ChangeLedgerSpec {
    /// The workloads that exist, and those deleted less than a day ago.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<Entry>,
    /// How many they are.
    #[serde(default)]
    pub kept: i64,
    /// How many had no room: those count as changed whenever every replica was gone.
    #[serde(default)]
    pub omitted: i64,
    /// When workloads of the namespace changed or were deleted, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub changes: Vec<Timestamp>,
    /// When the newest change was made that is no longer among these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub forgotten_at: Option<Timestamp>,
    /// When the last of them changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub last_change_at: Option<Timestamp>,
}

/// The most of a ledger's workloads, in bytes of JSON: two thirds of what etcd takes. Room for 4,000 workloads that
/// are quiet, or for 200 of which each changed as often as is kept.
const MOST: usize = 900 * 1024;

impl ChangeLedgerSpec {
    /// The ledger of these workloads. Where they are too many those that changed last are kept.
    pub fn new(entries: impl IntoIterator<Item = Entry>, namespace: &NamespaceRecord) -> Self {
        let changes: Vec<Timestamp> = namespace.changes().collect();
        let mut left = MOST;
        let mut workloads: Vec<Entry> = entries.into_iter().collect();
        workloads.sort_by_cached_key(|entry| std::cmp::Reverse(entry.last_change()));
        let fitting = workloads.iter().take_while(|entry| {
            let size = entry.size();
            let fits = size <= left;
            left = left.saturating_sub(size);
            fits
        });
        let kept = fitting.count();
        let omitted = workloads.len() - kept;
        workloads.truncate(kept);
        let latest = workloads.first().and_then(Entry::last_change).max(changes.last().copied());
        workloads.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
        Self {
            workloads,
            kept: count(kept),
            omitted: count(omitted),
            changes,
            forgotten_at: namespace.forgotten(),
            last_change_at: latest,
        }
    }

    /// The changes of the namespace, with no time after `now`.
    pub fn namespace(&self, now: Timestamp) -> NamespaceRecord {
        NamespaceRecord::stored(self.changes.iter().copied(), self.forgotten_at).no_later_than(now)
    }

    /// Whether every workload of the namespace is among those written.
    pub const fn is_complete(&self) -> bool {
        self.omitted == 0
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The CustomResourceDefinition.
pub fn crd() -> CustomResourceDefinition {
    ChangeLedger::crd()
}

#[cfg(test)]
mod tests;
