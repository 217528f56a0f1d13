//! Says on the objects what became of them: `Accepted` on each GuardrailPolicy, `Ready` on the SmartOpsConfig.
//! Written only where it differs from what stands there.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource};
use serde_json::json;
use smartops_common::condition::{self, Setting};
use smartops_common::config::SmartOpsConfig;
use smartops_common::names;
use smartops_guard::policy::GuardrailPolicy;
use smartops_process::BoxError;
use smartops_process::client::{Error, deadline};
use smartops_process::clock::Clock;
use smartops_process::shutdown::Shutdown;

use crate::snapshot::Board;

/// How long one write may take.
const CALL: Duration = Duration::from_secs(5);
/// The pause after a failure.
const RETRY: Duration = Duration::from_secs(5);

/// What is to be said about one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Which kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The generation spoken of.
    pub generation: Option<i64>,
    /// The conditions that stand there now.
    pub conditions: Vec<Condition>,
    /// Good, or everything that is wrong.
    pub outcome: Result<(), String>,
}

/// The kinds reported on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// GuardrailPolicy: `Accepted`.
    Policy,
    /// SmartOpsConfig: `Ready`.
    Config,
}

impl Report {
    /// The conditions that should stand there; `None` where they do already.
    fn due(&self, now: jiff::Timestamp) -> Option<Vec<Condition>> {
        let (type_, reason, good) = match (self.kind, &self.outcome) {
            (Kind::Policy, Ok(())) => ("Accepted", "Compiled", "the webhook judges by this policy"),
            (Kind::Policy, Err(_)) => ("Accepted", "Invalid", ""),
            (Kind::Config, Ok(())) => {
                ("Ready", "InUse", "the webhook judges by this configuration")
            }
            (Kind::Config, Err(_)) => ("Ready", "Invalid", ""),
        };
        let setting = Setting {
            type_,
            status: Some(self.outcome.is_ok()),
            reason,
            message: self.outcome.as_ref().err().cloned().unwrap_or_else(|| good.to_owned()),
            observed_generation: self.generation,
        };
        let mut conditions = self.conditions.clone();
        condition::set(&mut conditions, setting, now);
        (conditions != self.conditions).then_some(conditions)
    }
}

/// Writes what the board has to say.
pub struct Writer {
    client: Client,
    board: Arc<Board>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    /// Writes through this client.
    pub fn new(client: Client, board: Arc<Board>) -> Self {
        Self { client, board }
    }

    /// Runs until the stop.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), BoxError> {
        loop {
            let mut failed = false;
            for report in self.board.reports() {
                if shutdown.is_stopping() {
                    return Ok(());
                }
                if let Err(error) = self.write(&report).await {
                    tracing::warn!(name = report.name, %error, "a status was not written: trying again");
                    failed = true;
                }
            }
            let pause = async {
                if failed {
                    tokio::time::sleep(RETRY).await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = shutdown.stopping() => return Ok(()),
                () = self.board.reported() => {}
                () = pause => {}
            }
        }
    }

    async fn write(&self, report: &Report) -> Result<(), Error> {
        let Some(conditions) = report.due(Clock.now()) else {
            return Ok(());
        };
        let status = json!({"status": {
            "observedGeneration": report.generation,
            "conditions": conditions,
        }});
        let written = match report.kind {
            Kind::Policy => self.patch::<GuardrailPolicy>(&report.name, &status).await,
            Kind::Config => self.patch::<SmartOpsConfig>(&report.name, &status).await,
        };
        match written {
            Err(error) if error.is_not_found() => Ok(()),
            written => written,
        }
    }

    async fn patch<K>(&self, name: &str, status: &serde_json::Value) -> Result<(), Error>
    where
        K: Resource<DynamicType = (), Scope = kube::core::ClusterResourceScope>
            + Clone
            + serde::de::DeserializeOwned
            + std::fmt::Debug,
    {
        let api: Api<K> = Api::all(self.client.clone());
        let params = PatchParams {
            field_manager: Some(names::WEBHOOK_FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(status);
        let call = api.patch_status(name, &params, &patch);
        deadline("writing a status", CALL, call).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcome: Result<(), String>, conditions: Vec<Condition>) -> Report {
        let kind = Kind::Policy;
        Report { kind, name: "p".into(), generation: Some(2), conditions, outcome }
    }

    fn now() -> jiff::Timestamp {
        "2026-11-21T10:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_status_is_written_once_and_again_only_when_it_changes() {
        let due = report(Ok(()), Vec::new()).due(now()).unwrap();
        assert_eq!((due[0].type_.as_str(), due[0].status.as_str()), ("Accepted", "True"));
        assert_eq!(report(Ok(()), due.clone()).due(now()), None);
        let bad = report(Err("spec.rules.paths: no".into()), due).due(now()).unwrap();
        assert_eq!(bad[0].status, "False");
        assert_eq!(bad[0].message, "spec.rules.paths: no");
    }
}
