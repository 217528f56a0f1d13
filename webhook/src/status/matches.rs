//! How many watched workloads each policy matches: counted when policies change and now and then, one pass over all
//! workloads for all policies together.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::history::Histories;
use crate::snapshot::{Board, Snapshot};

/// How often workloads are counted anew while the policies stay the same.
const RECOUNT: Duration = Duration::from_secs(30);

/// The counts, by policy.
#[derive(Debug, Default)]
pub(super) struct Matches {
    counted: Option<(Arc<Snapshot>, Instant)>,
    by_policy: HashMap<String, i64>,
}

impl Matches {
    /// Counts, if it is time. When it is next.
    pub(super) fn refresh(
        &mut self,
        board: &Board,
        histories: &Histories,
        now: Instant,
    ) -> Instant {
        let Some(snapshot) = board.snapshot().filter(|_| histories.is_loaded()) else {
            return now + RECOUNT;
        };
        if let Some((last, at)) = &self.counted
            && Arc::ptr_eq(last, &snapshot)
            && now < *at + RECOUNT
        {
            return *at + RECOUNT;
        }
        self.by_policy = count(&snapshot, histories);
        self.counted = Some((snapshot, now));
        now + RECOUNT
    }

    /// How many workloads a policy matches; `None` before they were counted.
    pub(super) fn of(&self, policy: &str) -> Option<i64> {
        self.counted.as_ref()?;
        Some(self.by_policy.get(policy).copied().unwrap_or(0))
    }
}

fn count(snapshot: &Snapshot, histories: &Histories) -> HashMap<String, i64> {
    let mut counts: HashMap<String, i64> = HashMap::new();
    histories.matching(|parent| {
        let kind = parent.named.kind;
        for applied in snapshot.index.policies(Some(&parent.named.namespace)) {
            let label = |key: &str| parent.labels.get(key);
            if applied.policy.means_object(kind.group(), kind.resource(), label) {
                *counts.entry(applied.policy.name().to_string()).or_default() += 1;
            }
        }
        true
    });
    counts
}
