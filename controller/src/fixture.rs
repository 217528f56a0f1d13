//! Objects for the unit tests of this crate.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};
use smartops_common::action::Action;
use smartops_common::approval::{Approved, Decision, RemediationApproval, RemediationApprovalSpec};
use smartops_common::remediation::{Remediation, Source, Target, TargetKind};

use crate::intake::place::{self, Order};
use crate::target::Live;

/// A moment, in seconds since 1970.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A healthy Deployment `web` (uid `u-1`, generation 7, resourceVersion 70) with this many replicas.
pub(crate) fn deployment(replicas: i32) -> Live {
    edited(replicas, |_| {})
}

/// The same, edited.
pub(crate) fn edited(replicas: i32, edit: impl FnOnce(&mut Value)) -> Live {
    let mut object = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "web", "namespace": "ns", "uid": "u-1", "generation": 7,
            "resourceVersion": "70", "labels": {"app": "web"},
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "web:1"}]},
            },
        },
        "status": {
            "observedGeneration": 7, "replicas": replicas, "updatedReplicas": replicas,
            "readyReplicas": replicas, "availableReplicas": replicas,
        },
    });
    edit(&mut object);
    serde_json::from_value(object).unwrap()
}

/// Three replicas, restarted at this value.
pub(crate) fn restarted(value: &str) -> Live {
    edited(3, |d| {
        d["spec"]["template"]["metadata"]["annotations"] =
            json!({"kubectl.kubernetes.io/restartedAt": value});
    })
}

/// A Remediation of that Deployment by a caller of the API, named and identified by `name`, created at second 0.
pub(crate) fn remediation(name: &str, action: Action) -> Remediation {
    let order = Order {
        namespace: "ns".into(),
        target: Target { kind: TargetKind::Deployment, name: "web".into(), uid: "u-1".into() },
        cause: format!("api/{}", action.type_),
        action,
        source: Source::User,
        requested_by: "apikey:test".into(),
        idempotency: None,
        signal: None,
        dry_run: false,
        require_approval: false,
        verify: true,
        verify_timeout_seconds: 60,
        verify_poll_seconds: 2,
    };
    let mut made = place::make(&order, 1);
    made.metadata.name = Some(name.into());
    made.metadata.uid = Some(name.into());
    made.metadata.creation_timestamp = Some(Time(at(0)));
    made
}

/// What `approver` said of this intent of the Remediation at this second.
pub(crate) fn approval(
    remediation: &Remediation,
    hash: &str,
    decision: Decision,
    approver: &str,
    second: i64,
) -> RemediationApproval {
    let spec = RemediationApprovalSpec {
        remediation: Approved {
            name: remediation.metadata.name.clone().unwrap(),
            uid: remediation.metadata.uid.clone().unwrap(),
        },
        intent_hash: hash.into(),
        decision,
        reason: String::new(),
        approver: approver.into(),
    };
    let mut made = RemediationApproval::new(approver, spec);
    made.metadata.creation_timestamp = Some(Time(at(second)));
    made
}
