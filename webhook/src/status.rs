//! Says on the objects what became of them: on each GuardrailPolicy whether it is accepted, how many workloads it
//! matches and what it last did; on the SmartOpsConfig whether it is ready. Written only where it differs from what
//! stands there, and what a policy did at most once in five seconds.

mod backstop;
mod matches;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource};
use serde_json::{Value, json};
use smartops_common::condition::{self, Setting};
use smartops_common::config::SmartOpsConfig;
use smartops_common::names;
use smartops_guard::policy::{GuardrailPolicy, PolicyDecision};
use smartops_process::BoxError;
use smartops_process::client::{Error, deadline};
use smartops_process::clock::Clock;
use smartops_process::shutdown::Shutdown;
use tokio::time::{Instant, sleep_until};

pub use self::backstop::Backstopped;
use self::matches::Matches;
use crate::decisions::recent::{self, Recent};
use crate::history::Histories;
use crate::snapshot::Board;
use crate::vap::Backing;

/// How long one write may take.
const CALL: Duration = Duration::from_secs(5);
/// The pause after a failure.
const RETRY: Duration = Duration::from_secs(5);
/// The shortest time between two writes of what a policy did.
const BETWEEN_WRITES: Duration = Duration::from_secs(5);
/// How long decisions are gathered before it is looked which policies they are of.
const GATHER: Duration = Duration::from_secs(1);

/// What is to be said about one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Which kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The generation spoken of.
    pub generation: Option<i64>,
    /// The version that was seen.
    pub resource_version: Option<String>,
    /// What stands there now.
    pub standing: Standing,
    /// Good, or everything that is wrong.
    pub outcome: Result<(), String>,
    /// What holds of a policy while no webhook answers; `None` where nothing is to hold then.
    pub backstop: Option<Backstopped>,
}

/// A status as it stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Standing {
    /// The conditions.
    pub conditions: Vec<Condition>,
    /// How many workloads a policy matches.
    pub matches: Option<i64>,
    /// What a policy last did.
    pub last_decisions: Vec<PolicyDecision>,
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
    /// The status that should stand there, and whether it can wait; `None` where it stands already.
    fn due(
        &self,
        matches: Option<i64>,
        decided: &[PolicyDecision],
        now: jiff::Timestamp,
    ) -> Option<(Value, bool)> {
        let due = Standing {
            conditions: self.conditions(now),
            matches: matches.or(self.standing.matches),
            last_decisions: recent::merged(&self.standing.last_decisions, decided),
        };
        if due == self.standing {
            return None;
        }
        let can_wait = due.conditions == self.standing.conditions;
        let mut status = json!({
            "observedGeneration": self.generation,
            "conditions": due.conditions,
        });
        if self.kind == Kind::Policy {
            status["matches"] = json!(due.matches);
            status["lastDecisions"] = json!(due.last_decisions);
        }
        // Another replica's decisions are not written over: whoever comes second sees them first.
        let metadata = json!({"resourceVersion": self.resource_version});
        Some((json!({"metadata": metadata, "status": status}), can_wait))
    }

    fn conditions(&self, now: jiff::Timestamp) -> Vec<Condition> {
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
        let mut conditions = self.standing.conditions.clone();
        condition::set(&mut conditions, setting, now);
        match &self.backstop {
            Some(backstop) => {
                condition::set(&mut conditions, backstop.setting(self.generation), now);
            }
            None => conditions.retain(|condition| condition.type_ != backstop::CONDITION),
        }
        conditions
    }
}

/// Writes what the board, the histories and the decisions have to say.
pub struct Writer {
    client: Client,
    board: Arc<Board>,
    histories: Arc<Histories>,
    backing: Arc<Backing>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    /// Writes through this client.
    pub fn new(
        client: Client,
        board: Arc<Board>,
        histories: Arc<Histories>,
        backing: Arc<Backing>,
    ) -> Self {
        Self { client, board, histories, backing }
    }

    /// Runs until the stop.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), BoxError> {
        let mut matches = Matches::default();
        let mut written = HashMap::new();
        let mut lacking = self.backing.lacking();
        loop {
            lacking.mark_unchanged();
            let recount = matches.refresh(&self.board, &self.histories, Instant::now());
            let Some(again) = self.pass(&matches, &mut written, &shutdown).await else {
                return Ok(());
            };
            let decided = async {
                self.recent().changed().await;
                tokio::time::sleep(GATHER).await;
            };
            tokio::select! {
                () = shutdown.stopping() => return Ok(()),
                () = self.board.reported() => {}
                told = lacking.changed() => if told.is_err() { return Ok(()); },
                () = decided => {}
                () = sleep_until(again.map_or(recount, |again| again.min(recount))) => {}
            }
        }
    }

    fn recent(&self) -> &Recent {
        self.board.recent()
    }

    /// Writes what is due. When to look again, where something had to wait; nothing at all at the stop.
    async fn pass(
        &self,
        matches: &Matches,
        written: &mut HashMap<String, Instant>,
        shutdown: &Shutdown,
    ) -> Option<Option<Instant>> {
        let pending = self.recent().pending();
        let mut reports = self.board.reports();
        let lacking = Arc::clone(&self.backing.lacking().borrow());
        backstop::tell(&mut reports, &self.board, &lacking, Clock.now());
        self.forget(&pending, &reports);
        written.retain(|_, at| at.elapsed() < BETWEEN_WRITES);
        let mut again: Option<Instant> = None;
        for report in reports {
            if shutdown.is_stopping() {
                return None;
            }
            let is_policy = report.kind == Kind::Policy;
            let decided = pending.get(report.name.as_str()).filter(|_| is_policy);
            let decided = decided.map_or(&[][..], Vec::as_slice);
            let count = is_policy.then(|| matches.of(&report.name)).flatten();
            let Some((status, can_wait)) = report.due(count, decided, Clock.now()) else {
                self.recent().written(&report.name, decided);
                continue;
            };
            let last = written.get(&report.name).filter(|_| is_policy && can_wait);
            let wait = last.map(|at| *at + BETWEEN_WRITES);
            let retry = match wait {
                Some(wait) => Some(wait),
                None => self.write(&report, &status, decided, written).await,
            };
            again = again.into_iter().chain(retry).min();
        }
        Some(again)
    }

    /// Forgets decisions by policies that are gone.
    fn forget(&self, pending: &BTreeMap<Arc<str>, Vec<PolicyDecision>>, reports: &[Report]) {
        for (policy, decided) in pending {
            let stands = |report: &Report| report.kind == Kind::Policy && *report.name == **policy;
            if !reports.iter().any(stands) {
                self.recent().written(policy, decided);
            }
        }
    }

    /// Writes one status; when to try again, where that failed.
    async fn write(
        &self,
        report: &Report,
        status: &Value,
        decided: &[PolicyDecision],
        written: &mut HashMap<String, Instant>,
    ) -> Option<Instant> {
        let wrote = match report.kind {
            Kind::Policy => self.patch::<GuardrailPolicy>(&report.name, status).await,
            Kind::Config => self.patch::<SmartOpsConfig>(&report.name, status).await,
        };
        match wrote {
            Ok(()) => {
                written.insert(report.name.clone(), Instant::now());
                self.recent().written(&report.name, decided);
                None
            }
            // Gone, or written meanwhile: the watch tells.
            Err(error) if error.is_not_found() || error.is_conflict() => None,
            Err(error) => {
                tracing::warn!(name = report.name, %error, "a status was not written: trying again");
                Some(Instant::now() + RETRY)
            }
        }
    }

    async fn patch<K>(&self, name: &str, status: &Value) -> Result<(), Error>
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
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use smartops_common::denial::Rule;
    use smartops_guard::policy::DecisionName;

    use super::*;

    fn report(outcome: Result<(), String>, standing: Standing) -> Report {
        Report {
            kind: Kind::Policy,
            name: "p".into(),
            generation: Some(2),
            resource_version: Some("7".into()),
            standing,
            outcome,
            backstop: None,
        }
    }

    fn now() -> jiff::Timestamp {
        "2026-11-21T10:00:00Z".parse().unwrap()
    }

    /// What would stand once it was written.
    fn standing(status: &Value) -> Standing {
        let status = &status["status"];
        Standing {
            conditions: serde_json::from_value(status["conditions"].clone()).unwrap(),
            matches: status["matches"].as_i64(),
            last_decisions: serde_json::from_value(status["lastDecisions"].clone()).unwrap(),
        }
    }

    #[test]
    fn a_status_is_written_once_and_again_only_when_it_changes() {
        let (due, can_wait) = report(Ok(()), Standing::default()).due(None, &[], now()).unwrap();
        assert!(!can_wait, "whether a policy is accepted is told at once");
        assert_eq!(due["status"]["conditions"][0]["status"], "True");
        assert_eq!(due["metadata"]["resourceVersion"], "7");
        let stands = standing(&due);
        assert_eq!(report(Ok(()), stands.clone()).due(None, &[], now()), None);
        let bad = report(Err("spec.rules.paths: no".into()), stands).due(None, &[], now());
        let (bad, _) = bad.unwrap();
        assert_eq!(bad["status"]["conditions"][0]["status"], "False");
        assert_eq!(bad["status"]["conditions"][0]["message"], "spec.rules.paths: no");
    }

    #[test]
    fn what_holds_without_a_webhook_is_told_while_it_is_to_hold_and_then_no_more() {
        let mut reported = report(Ok(()), Standing::default());
        let missing = vec!["cooldown: the rule is judged by the webhook alone".to_owned()];
        reported.backstop = Some(Backstopped { is_written: true, missing });
        let (partly, _) = reported.due(None, &[], now()).unwrap();
        let told = &partly["status"]["conditions"][1];
        assert_eq!(
            (told["type"].as_str(), told["status"].as_str()),
            (Some("Backstop"), Some("False"))
        );
        assert_eq!(told["reason"], "Partly");
        assert!(told["message"].as_str().unwrap().ends_with("the webhook alone"), "{told}");
        reported.standing = standing(&partly);
        reported.backstop = Some(Backstopped { is_written: true, missing: Vec::new() });
        let (wholly, _) = reported.due(None, &[], now()).unwrap();
        assert_eq!(wholly["status"]["conditions"][1]["status"], "True");
        reported.standing = standing(&wholly);
        assert_eq!(reported.due(None, &[], now()), None);
        reported.backstop = None;
        let (gone, _) = reported.due(None, &[], now()).unwrap();
        assert_eq!(gone["status"]["conditions"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn what_a_policy_matches_and_did_is_written_and_can_wait() {
        let (first, _) = report(Ok(()), Standing::default()).due(Some(3), &[], now()).unwrap();
        let stands = standing(&first);
        assert_eq!(stands.matches, Some(3));
        assert_eq!(report(Ok(()), stands.clone()).due(Some(3), &[], now()), None);
        let decision = PolicyDecision {
            time: Time(now()),
            decision: DecisionName::Warn,
            rule: Rule::Replicas,
            operation: "UPDATE".into(),
            resource: "deployments.apps".into(),
            namespace: "shop".into(),
            name: "web".into(),
            user: "alice".into(),
        };
        let decided = [decision.clone()];
        let (due, can_wait) = report(Ok(()), stands).due(Some(4), &decided, now()).unwrap();
        assert!(can_wait);
        assert_eq!(standing(&due).matches, Some(4));
        assert_eq!(standing(&due).last_decisions, decided);
        assert_eq!(report(Ok(()), standing(&due)).due(Some(4), &decided, now()), None);
    }
}
