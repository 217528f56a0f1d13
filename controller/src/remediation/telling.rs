//! What is told about a Remediation: audit records, its metrics, and an Event on the target. The Remediation itself
//! is the record; all of this is best effort.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use smartops_common::names;
use smartops_common::remediation::{
    AttemptKind, AttemptResult, Phase, Remediation, RemediationStatus,
};

use crate::cluster::Cluster;
use crate::metrics::ControllerMetrics;
use crate::remediation::audit;
use crate::remediation::machine::reason;
use crate::remediation::record::APPROVED;
use crate::remediation::trace;

/// How long writing an Event may take.
const EVENT_LIMIT: Duration = Duration::from_secs(5);
/// Longest note of an Event the API server takes, in bytes.
const LONGEST_NOTE: usize = 1024;

/// Tells.
#[derive(Clone)]
pub struct Teller {
    recorder: Recorder,
    metrics: ControllerMetrics,
}

impl std::fmt::Debug for Teller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Teller").finish_non_exhaustive()
    }
}

impl Teller {
    /// Tells as `instance` of the controller.
    pub fn new(cluster: &Cluster, metrics: ControllerMetrics, instance: &str) -> Self {
        let reporter = Reporter {
            controller: names::CONTROLLER_FIELD_MANAGER.to_owned(),
            instance: Some(instance.to_owned()),
        };
        Self { recorder: Recorder::new(cluster.client(), reporter), metrics }
    }

    /// Tells what changed between the former status and the one just recorded.
    pub async fn tell(&self, former: Option<&RemediationStatus>, remediation: &Remediation) {
        let Some(status) = &remediation.status else { return };
        trace::verification(former, remediation);
        audit::ended(former, remediation).iter().for_each(audit::Record::tell);
        let namespace = remediation.metadata.namespace.as_deref().unwrap_or_default();
        let former_attempts = former.map_or(0, |s| s.attempts.len());
        let repeats = former.and_then(|s| s.attempts.last()).is_some_and(|a| {
            // A plan made anew because the target moved was never tried.
            a.result != Some(AttemptResult::Conflict)
        });
        let applies = status.attempts.last().is_some_and(|a| a.kind == AttemptKind::Apply);
        if status.attempts.len() > former_attempts
            && repeats
            && applies
            && remediation.spec.source == smartops_common::remediation::Source::ClosedLoop
        {
            self.metrics.closed_loop.retries.inc();
        }
        self.tell_write(former, status, namespace, &remediation.spec.target.name);
        self.tell_word(former, remediation, status, namespace).await;
        if status.phase.is_final() {
            self.tell_end(remediation, status, namespace).await;
        }
    }

    fn tell_write(
        &self,
        former: Option<&RemediationStatus>,
        status: &RemediationStatus,
        namespace: &str,
        deployment: &str,
    ) {
        let Some(attempt) = status.attempts.last() else { return };
        let was = former.and_then(|s| s.attempts.last()).and_then(|a| a.result);
        if attempt.result != Some(AttemptResult::Written) || was == attempt.result {
            return;
        }
        let labels = [namespace, deployment];
        let writes = &self.metrics.calls.writes;
        let counter = match attempt.intent.type_ {
            smartops_common::action::ActionType::Scale => Some(&writes.scale),
            smartops_common::action::ActionType::Restart => Some(&writes.restart),
            smartops_common::action::ActionType::Patch => Some(&writes.patch),
            _ => None,
        };
        if let Some(counter) = counter {
            counter.with_label_values(&labels).inc();
        }
        if let Some(at) = &attempt.written_at {
            let seconds = at.0.as_duration().as_secs_f64();
            self.metrics.orchestrator.last_action.with_label_values(&labels).set(seconds);
        }
        // Not the patch itself: it may hold values that belong in no log.
        tracing::info!(
            action = attempt.intent.type_.as_str(),
            replicas = attempt.intent.replicas,
            restarted_at = attempt.intent.restarted_at,
            attempt = attempt.number,
            "written"
        );
    }

    /// That somebody is asked, and that somebody said yes; a no is the end and told as such.
    async fn tell_word(
        &self,
        former: Option<&RemediationStatus>,
        remediation: &Remediation,
        status: &RemediationStatus,
        namespace: &str,
    ) {
        let Some(word) = word(status).filter(|w| former.and_then(word) != Some(w)) else { return };
        if status.phase.is_final() {
            return;
        }
        let name = remediation.metadata.name.as_deref().unwrap_or_default();
        tracing::info!(reason = %word.reason, "approval: {}", word.message);
        let type_ = if word.status == "True" { EventType::Normal } else { EventType::Warning };
        let note = format!("{name}: {}", word.message);
        self.publish(remediation, (type_, &word.reason), &note, namespace).await;
    }

    async fn tell_end(
        &self,
        remediation: &Remediation,
        status: &RemediationStatus,
        namespace: &str,
    ) {
        let Some(outcome) = &status.outcome else { return };
        let spec = &remediation.spec;
        let ended = outcome.finished_at.0;
        let since = |t: jiff::Timestamp| ended.duration_since(t).as_secs_f64().max(0.0);
        let total = remediation.metadata.creation_timestamp.as_ref().map_or(0.0, |t| since(t.0));
        let attempt = status.attempts.last().map(|a| since(a.started_at.0));
        self.metrics.count_end(remediation, total, attempt);
        let verification = status.verification.as_ref();
        if let Some((verdict, v)) = verification.and_then(|v| Some((v.status?, v))) {
            let seconds = since(v.started_at.0);
            let histogram = &self.metrics.orchestrator.verification_latency;
            histogram.with_label_values(&[verdict.as_str()]).observe(seconds);
        }
        if let Some(denial) = &status.denial {
            let rule = denial.leading_rule().map_or("unknown", |r| r.as_str());
            let action = spec.action.type_.as_str();
            self.metrics.orchestrator.guardrail_rejections.with_label_values(&[rule, action]).inc();
            tracing::warn!(rule, action, denial = %denial.message, "a guardrail refused");
        }
        tracing::info!(
            action = spec.action.type_.as_str(),
            dry_run = spec.dry_run,
            outcome = status.phase.as_str(),
            reason = %outcome.reason,
            seconds = total,
            "ended: {}", outcome.message
        );
        if !spec.dry_run {
            let type_ = match status.phase {
                Phase::Succeeded => EventType::Normal,
                _ => EventType::Warning,
            };
            let name = remediation.metadata.name.as_deref().unwrap_or_default();
            let (reason, note) = (event_reason(status.phase, &outcome.reason), &outcome.message);
            let note = format!("{name}: {note}");
            self.publish(remediation, (type_, reason), &note, namespace).await;
        }
    }

    async fn publish(
        &self,
        remediation: &Remediation,
        (type_, reason): (EventType, &str),
        note: &str,
        namespace: &str,
    ) {
        let spec = &remediation.spec;
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(bounded(note)),
            action: spec.action.type_.as_str().to_owned(),
            secondary: None,
        };
        let target = ObjectReference {
            api_version: Some("apps/v1".into()),
            kind: Some("Deployment".into()),
            name: Some(spec.target.name.clone()),
            namespace: Some(namespace.to_owned()),
            uid: Some(spec.target.uid.clone()),
            ..ObjectReference::default()
        };
        match tokio::time::timeout(EVENT_LIMIT, self.recorder.publish(&event, &target)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the Event was not written"),
            Err(_) => tracing::warn!("the Event was not written in time"),
        }
    }
}

/// How the question of approval stands.
fn word(status: &RemediationStatus) -> Option<&Condition> {
    status.conditions.iter().find(|condition| condition.type_ == APPROVED)
}

fn event_reason(phase: Phase, why: &str) -> &str {
    match (phase, why) {
        (_, reason::REJECTED_BY_APPROVER | reason::APPROVAL_EXPIRED | reason::APPROVAL_STALE) => {
            why
        }
        (Phase::Succeeded, _) => "RemediationSucceeded",
        (Phase::Denied, _) => "GuardrailRejected",
        (Phase::Skipped, _) => "RemediationSkipped",
        (Phase::TimedOut, _) => "RemediationTimedOut",
        (Phase::RolledBack, _) => "RemediationRolledBack",
        _ => "RemediationFailed",
    }
}

/// At most as long as an Event's note may be, cut between characters.
fn bounded(note: &str) -> String {
    let mut end = 0;
    for (start, character) in note.char_indices() {
        if start + character.len_utf8() > LONGEST_NOTE {
            break;
        }
        end = start + character.len_utf8();
    }
    note.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_cut_between_characters() {
        assert_eq!(bounded("short"), "short");
        let long = "ü".repeat(LONGEST_NOTE);
        assert_eq!(bounded(&long).len(), LONGEST_NOTE);
        let odd = format!("a{long}");
        assert_eq!(bounded(&odd).len(), LONGEST_NOTE - 1);
    }
}
