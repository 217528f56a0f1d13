//! Remediations, attempts and writes that the tests of warrants start from: each test changes one thing.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};
use smartops_common::action::{Action, Intent, PatchFormat};
use smartops_common::approval::{Approved, Decision, RemediationApproval, RemediationApprovalSpec};
use smartops_common::remediation::{Attempt, Phase, Remediation, intent_hash};

use crate::facts::{Approvals, Facts, Warrants};
use crate::policy::{Applied, shipped};
use crate::sample::{self, Write};
use crate::subject::Subject;
use crate::verdict::Verdict;

pub(crate) const AT: &str = "2026-01-01T12:00:00Z";

pub(crate) fn time(text: &str) -> Time {
    Time(text.parse().unwrap())
}

pub(crate) fn later(seconds: i64) -> Timestamp {
    sample::now() + SignedDuration::from_secs(seconds)
}

/// The controller in the pod whose attempts these are.
pub(crate) fn controller() -> Subject {
    sample::controller().in_pod(Some("orchestrator-1"))
}

pub(crate) fn scale_intent(replicas: i32) -> Intent {
    Intent::scale(replicas)
}

pub(crate) fn restart_intent() -> Intent {
    Intent::restart(AT.to_owned())
}

pub(crate) fn patch_intent(format: PatchFormat, body: &Value) -> Intent {
    let Action { type_, patch, .. } = Action::patch(format, body);
    Intent { patch, ..Intent::of(type_) }
}

/// The first attempt at an intent, open, on the object at resourceVersion 41, generation 7.
pub(crate) fn attempt(intent: &Intent) -> Attempt {
    let attempt = json!({
        "number": 1, "kind": "Apply", "intent": intent,
        "target": {"uid": "u1", "generation": 7, "resourceVersion": "41"},
        "former": {"replicas": 3}, "leader": "orchestrator-1/17",
        "startedAt": "2026-01-01T11:59:59Z", "deadline": "2026-01-01T12:00:30Z",
    });
    serde_json::from_value(attempt).unwrap()
}

/// A Remediation that is Executing with one open attempt at this intent.
pub(crate) fn remediation(intent: &Intent) -> Remediation {
    let action = match intent.replicas {
        Some(replicas) => Action::scale_to(replicas),
        None => Action::restart(),
    };
    let text = json!({
        "apiVersion": "smartops.dev/v1alpha1", "kind": "Remediation",
        "metadata": {"name": "web-1", "namespace": "smartops-dev", "uid": "r1"},
        "spec": {
            "target": {"kind": "Deployment", "name": "web", "uid": "u1"}, "action": action,
            "cause": "api/scale", "source": "user", "requestedBy": "alice", "createdBy": "controller",
        },
        "status": {"phase": Phase::Executing, "attempts": [attempt(intent)]},
    });
    serde_json::from_value(text).unwrap()
}

/// An approval of what a Remediation's last attempt would write, made just now.
pub(crate) fn approval(
    remediation: &Remediation,
    by: &str,
    decision: Decision,
) -> RemediationApproval {
    let last = remediation.status.as_ref().unwrap().attempts.last().unwrap();
    let uid = remediation.metadata.uid.clone().unwrap();
    let spec = RemediationApprovalSpec {
        intent_hash: intent_hash(&uid, &last.target, &last.intent, last.former.bounds),
        remediation: Approved { name: "web-1".into(), uid },
        decision,
        reason: String::new(),
        approver: by.to_owned(),
    };
    let mut approval = RemediationApproval::new(by, spec);
    approval.metadata.namespace = Some("smartops-dev".into());
    approval.metadata.creation_timestamp = Some(Time(sample::now()));
    approval
}

/// A Deployment at resourceVersion 41, generation 7.
pub(crate) fn object(spec: &Value) -> Value {
    json!({
        "metadata": {"name": "web", "uid": "u1", "resourceVersion": "41", "generation": 7},
        "spec": spec,
    })
}

/// One with three replicas of this container, and this metadata of its template.
pub(crate) fn template(metadata: &Value, container: &Value) -> Value {
    object(&json!({
        "replicas": 3,
        "template": {"metadata": metadata, "spec": {"containers": [container]}},
    }))
}

pub(crate) fn plain() -> Value {
    template(&json!({}), &json!({"name": "web", "image": "shop:1"}))
}

pub(crate) fn update(subresource: &'static str, old: &Value, new: &Value) -> Write {
    Write::update(subresource, &old.to_string(), &new.to_string())
}

/// A write of the Scale of the object at resourceVersion 41; a number of zero is omitted, as the API server omits it.
pub(crate) fn scale(old: i64, new: i64) -> Write {
    let scale = |number: i64| {
        let spec = if number == 0 { json!({}) } else { json!({"replicas": number}) };
        json!({"metadata": {"name": "web", "uid": "u1", "resourceVersion": "41"}, "spec": spec})
    };
    update("scale", &scale(old), &scale(new))
}

/// The policy that ships for the controller, alone.
pub(crate) fn shipped_for_the_controller() -> [Applied; 1] {
    let policies = shipped();
    let policy =
        policies.iter().find(|p| p.metadata.name.as_deref() == Some("smartops-controller"));
    [sample::applied("smartops-controller", &policy.unwrap().spec)]
}

/// What all shipped policies say of a write by the controller, as this Remediation announced it.
pub(crate) fn verdict(write: &Write, remediations: &[Remediation]) -> Verdict {
    verdict_as(write, &controller(), remediations, &[], false)
}

pub(crate) fn verdict_as(
    write: &Write,
    subject: &Subject,
    remediations: &[Remediation],
    approvals: &[RemediationApproval],
    dry_run: bool,
) -> Verdict {
    let policies = sample::shipped_policies();
    let facts = Facts {
        warrants: Warrants::Known(remediations),
        approvals: Approvals::Known(approvals),
        dry_run,
        ..sample::facts(&policies)
    };
    sample::verdict_with(write, subject, &facts)
}

/// The message of the refusal for want of a warrant; `None` where nothing is refused, and no other rule refuses.
pub(crate) fn refusal(verdict: &Verdict) -> Option<String> {
    let causes = &verdict.denial()?.causes;
    assert!(causes.iter().all(|c| c.rule == smartops_common::denial::Rule::Warrant), "{causes:?}");
    let told = causes.iter().map(|c| format!("{}: {}", c.path, c.message));
    Some(told.collect::<Vec<_>>().join("; "))
}
