//! Says on each exception whether it is active: once when it begins to lift, once when it has expired, and whenever its
//! policy lets it lift no more. Written by the leader, and only where it differs from what stands there.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use smartops_common::condition::{self, Setting};
use smartops_common::names;
use smartops_guard::exception::GuardrailException;
use smartops_guard::policy::Index;
use smartops_process::BoxError;
use smartops_process::client::deadline;
use smartops_process::clock::Clock;
use smartops_process::shutdown::Shutdown;
use tokio::sync::watch;

use super::{Exceptions, Place, Written, told};
use crate::snapshot::Board;

/// How long one write may take.
const CALL: Duration = Duration::from_secs(5);
/// The pause after a failure.
const RETRY: Duration = Duration::from_secs(5);
/// How long changes are gathered before it is looked what is to be said.
const GATHER: Duration = Duration::from_millis(200);
/// The longest it is waited for the next end of an exception; clocks are set meanwhile.
const LONGEST: Duration = Duration::from_mins(1);

impl Written {
    /// The status that should stand there; `None` where it stands already.
    fn due(&self, index: &Index, now: Timestamp) -> Option<Value> {
        let (status, reason, message) = match &self.exception {
            Err(flaws) => (false, "Invalid", flaws.clone()),
            Ok(exception) if exception.has_expired(now) => {
                (false, "Expired", format!("it ended at {}", exception.expires_at()))
            }
            Ok(exception) => {
                let policy = index.named(exception.policy());
                let flaws = exception.flaws_under(policy.map(AsRef::as_ref));
                if flaws.is_empty() {
                    let until = format!("it lifts what it says until {}", exception.expires_at());
                    (true, "InForce", until)
                } else {
                    (false, "NotAllowed", told(&flaws))
                }
            }
        };
        let setting = Setting {
            type_: "Active",
            status: Some(status),
            reason,
            message,
            observed_generation: self.generation,
        };
        let mut conditions = self.conditions.clone();
        condition::set(&mut conditions, setting, now);
        (conditions != self.conditions).then(|| {
            let status = json!({"observedGeneration": self.generation, "conditions": conditions});
            // Whoever changed it meanwhile is seen first.
            json!({"metadata": {"resourceVersion": self.resource_version}, "status": status})
        })
    }

    /// When it ends, if it has not.
    fn ends(&self, now: Timestamp) -> Option<Timestamp> {
        let exception = self.exception.as_ref().ok()?;
        Some(exception.expires_at()).filter(|end| *end > now)
    }
}

impl Exceptions {
    /// The statuses that are due, and when the next exception ends.
    fn due(&self, index: &Index, now: Timestamp) -> (Vec<(Place, Value)>, Option<Timestamp>) {
        let kept = self.kept();
        let due =
            kept.all.iter().filter_map(|(place, w)| Some((place.clone(), w.due(index, now)?)));
        (due.collect(), kept.all.values().filter_map(|written| written.ends(now)).min())
    }
}

/// Writes what is to be said about exceptions while this replica leads.
pub struct Writer {
    client: Client,
    board: Arc<Board>,
    leading: watch::Receiver<bool>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    /// Writes through this client.
    pub fn new(client: Client, board: Arc<Board>, leading: watch::Receiver<bool>) -> Self {
        Self { client, board, leading }
    }

    /// Runs until the stop.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), BoxError> {
        let mut policies = self.board.changes();
        loop {
            let leads = *self.leading.borrow_and_update();
            let wait = if leads { self.pass(&shutdown).await } else { LONGEST };
            tokio::select! {
                () = shutdown.stopping() => return Ok(()),
                () = self.board.exceptions().changed() => {}
                Ok(()) = policies.changed() => {}
                Ok(()) = self.leading.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
            tokio::select! {
                () = shutdown.stopping() => return Ok(()),
                () = tokio::time::sleep(GATHER) => {}
            }
        }
    }

    /// Writes what is due. How long nothing more will be.
    async fn pass(&self, shutdown: &Shutdown) -> Duration {
        let Some(snapshot) = self.board.snapshot() else { return LONGEST };
        let now = Clock.now();
        let (due, next) = self.board.exceptions().due(&snapshot.index, now);
        let until = next.map(|next| next.duration_since(now).max(SignedDuration::ZERO));
        let mut wait = until.map_or(LONGEST, |until| until.unsigned_abs().min(LONGEST));
        for ((namespace, name), status) in due {
            if shutdown.is_stopping() {
                break;
            }
            let api: Api<GuardrailException> = Api::namespaced(self.client.clone(), &namespace);
            let params = PatchParams {
                field_manager: Some(names::WEBHOOK_FIELD_MANAGER.to_owned()),
                ..PatchParams::default()
            };
            let patch = Patch::Merge(&status);
            let call = api.patch_status(&name, &params, &patch);
            match deadline("writing a status", CALL, call).await {
                Ok(_) => {}
                // Gone, or written meanwhile: the watch tells.
                Err(error) if error.is_not_found() || error.is_conflict() => {}
                Err(error) => {
                    tracing::warn!(namespace, name, %error, "the status of an exception was not written: trying again");
                    wait = wait.min(RETRY);
                }
            }
        }
        wait
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
    use smartops_common::config::SmartOpsConfigSpec;
    use smartops_guard::policy::{GuardrailPolicySpec, compile};
    use smartops_process::watch::Event;

    use super::*;

    fn index(max_hours: u16) -> Index {
        let spec: GuardrailPolicySpec = serde_json::from_value(json!({
            "match": {"kinds": [{"group": "apps", "resource": "deployments"}], "operations": ["UPDATE"]},
            "rules": {"replicas": {"max": 5}}, "exceptions": {"maxHours": max_hours},
        }))
        .unwrap();
        let policy = Arc::new(compile("p", &spec).unwrap());
        let none = BTreeMap::new();
        Index::build(&[policy], [("shop", &none)], &SmartOpsConfigSpec::default())
    }

    fn exceptions(conditions: &[Condition]) -> Exceptions {
        let exceptions = Exceptions::default();
        exceptions.observe(Event::Apply(
            serde_json::from_value(json!({
                "metadata": {
                    "namespace": "shop", "name": "sale", "generation": 3, "resourceVersion": "7",
                    "creationTimestamp": "2026-11-21T10:00:00Z",
                },
                "spec": {
                    "policy": "p", "rules": ["replicas"],
                    "target": {"group": "apps", "kind": "Deployment", "name": "web"},
                    "reason": "the sale", "ticket": "T-1", "expiresAt": "2026-11-21T12:00:00Z",
                },
                "status": {"conditions": conditions},
            }))
            .unwrap(),
        ));
        exceptions
    }

    /// The conditions as they would stand.
    fn conditions(status: &Value) -> Vec<Condition> {
        serde_json::from_value(status["status"]["conditions"].clone()).unwrap()
    }

    #[test]
    fn it_is_said_once_that_an_exception_began_and_once_that_it_ended() {
        let (before, end) = ("2026-11-21T11:59:59Z".parse().unwrap(), "2026-11-21T12:00:00Z");
        let end: Timestamp = end.parse().unwrap();
        let (due, next) = exceptions(&[]).due(&index(24), before);
        let [(place, began)] = due.as_slice() else { panic!("{due:?}") };
        assert_eq!((place.0.as_str(), place.1.as_str(), next), ("shop", "sale", Some(end)));
        assert_eq!(began["metadata"]["resourceVersion"], "7");
        let stands = conditions(began);
        assert_eq!((stands[0].status.as_str(), stands[0].reason.as_str()), ("True", "InForce"));
        assert_eq!(exceptions(&stands).due(&index(24), before).0, []);
        let (due, next) = exceptions(&stands).due(&index(24), end);
        assert_eq!(next, None);
        let stands = conditions(&due[0].1);
        assert_eq!((stands[0].status.as_str(), stands[0].reason.as_str()), ("False", "Expired"));
        assert_eq!(exceptions(&stands).due(&index(24), end).0, []);
    }

    #[test]
    fn an_exception_that_its_policy_does_not_allow_says_why() {
        let now = "2026-11-21T10:30:00Z".parse().unwrap();
        let (due, _) = exceptions(&[]).due(&index(1), now);
        let stands = conditions(&due[0].1);
        assert_eq!((stands[0].status.as_str(), stands[0].reason.as_str()), ("False", "NotAllowed"));
        assert!(stands[0].message.starts_with("spec.expiresAt: "), "{}", stands[0].message);
    }
}
