//! What the status of a RemediationPolicy says: whether signals are decided by it. Worked out anew of the object each
//! time, so that it makes no difference which replica writes it, or how often.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use smartops_common::condition::{self, Setting};
use smartops_common::remediation_policy::{RemediationPolicy, RemediationPolicyStatus};
use smartops_process::clock::Clock;
use smartops_process::shutdown::Shutdown;
use tokio::sync::watch;

use crate::cluster::Cluster;

/// The condition.
const ACCEPTED: &str = "Accepted";
/// How soon a status that could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// What one policy's status should say.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    generation: Option<i64>,
    /// The status as it was seen last.
    status: RemediationPolicyStatus,
    /// What is wrong with it, if anything is.
    wrong: Option<String>,
}

impl Verdict {
    pub(super) fn of(policy: &RemediationPolicy, wrong: Option<String>) -> Self {
        let status = policy.status.clone().unwrap_or_default();
        Self { generation: policy.metadata.generation, status, wrong }
    }

    /// The status that says so; `None` where it is there already.
    fn wanted(&self, now: Timestamp) -> Option<RemediationPolicyStatus> {
        let mut wanted = self.status.clone();
        wanted.observed_generation = self.generation;
        let setting = Setting {
            type_: ACCEPTED,
            status: Some(self.wrong.is_none()),
            reason: if self.wrong.is_none() { ACCEPTED } else { "Invalid" },
            message: match &self.wrong {
                None => "signals are decided by it".to_owned(),
                Some(wrong) => format!(
                    "signals are not decided by it, but by its last form that could be used; without one, signals about its targets end Skipped: {wrong}"
                ),
            },
            observed_generation: self.generation,
        };
        condition::set(&mut wanted.conditions, setting, now);
        (wanted != self.status).then_some(wanted)
    }
}

/// Writes what is not there yet, until the stop.
pub(super) async fn tell(
    cluster: Cluster,
    mut verdicts: watch::Receiver<BTreeMap<String, Verdict>>,
    shutdown: Shutdown,
) {
    let clock = Clock;
    loop {
        let all = verdicts.borrow_and_update().clone();
        let mut is_done = true;
        for (name, verdict) in all {
            let Some(wanted) = verdict.wanted(clock.now()) else { continue };
            if let Err(failure) = cluster.tell_policy(&name, &wanted).await {
                tracing::warn!(policy = name, %failure, "the status of a RemediationPolicy was not written");
                is_done = false;
            }
        }
        let again = async {
            if is_done { std::future::pending().await } else { tokio::time::sleep(AGAIN).await }
        };
        tokio::select! {
            changed = verdicts.changed() => if changed.is_err() { return },
            () = again => {}
            () = shutdown.stopping() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::at;

    fn policy(status: &RemediationPolicyStatus) -> RemediationPolicy {
        let mut policy: RemediationPolicy =
            serde_json::from_value(json!({"metadata": {"name": "p", "generation": 3}, "spec": {}}))
                .unwrap();
        policy.status = Some(status.clone());
        policy
    }

    #[test]
    fn what_is_there_already_is_not_written_again() {
        for wrong in [None, Some("spec.rules[0].name is taken".to_owned())] {
            let fresh = Verdict::of(&policy(&RemediationPolicyStatus::default()), wrong.clone());
            let wanted = fresh.wanted(at(5)).unwrap();
            let accepted = if wrong.is_none() { "True" } else { "False" };
            assert_eq!(wanted.conditions[0].status, accepted);
            assert_eq!(wanted.observed_generation, Some(3));
            let told = Verdict::of(&policy(&wanted), wrong.clone());
            assert_eq!(told.wanted(at(9)), None, "whoever comes later finds it said");
            let other = if wrong.is_none() { Some("bad".to_owned()) } else { None };
            assert!(Verdict::of(&policy(&wanted), other).wanted(at(9)).is_some());
        }
    }
}
