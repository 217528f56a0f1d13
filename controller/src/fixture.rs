//! Objects for the unit tests of this crate.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};
use smartops_common::action::Action;
use smartops_common::approval::{Approved, Decision, RemediationApproval, RemediationApprovalSpec};
use smartops_common::remediation::{Handling, Remediation, Source, Target, TargetKind};

use crate::intake::place::{self, Order};
use crate::remediation::autoscaler::Autoscaler;
use crate::remediation::means::Revision;
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
        checks: Vec::new(),
        handling: Handling::default(),
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

/// A pod of that Deployment whose container restarted so often.
pub(crate) fn pod(name: &str, restarts: i32, is_ready: bool, is_leaving: bool) -> Pod {
    let ready = if is_ready { "True" } else { "False" };
    let mut pod = json!({
        "metadata": {"name": name, "uid": format!("uid-{name}")},
        "status": {
            "conditions": [{"type": "Ready", "status": ready}],
            "containerStatuses": [{
                "name": "web", "image": "web:1", "imageID": "", "ready": is_ready,
                "restartCount": restarts,
            }],
        },
    });
    if is_leaving {
        pod["metadata"]["deletionTimestamp"] = json!("2023-11-14T22:13:20Z");
    }
    serde_json::from_value(pod).unwrap()
}

/// The ReplicaSet of a revision of that Deployment: its number, image, pods and those available.
pub(crate) fn replica_set(number: i64, image: &str, replicas: i64, available: i64) -> Value {
    json!({
        "metadata": {
            "name": format!("web-{number}"), "uid": format!("uid-{number}"),
            "annotations": {"deployment.kubernetes.io/revision": number.to_string()},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "u-1", "controller": true}],
        },
        "spec": {"template": {
            "metadata": {"labels": {"app": "web", "pod-template-hash": number.to_string()}},
            "spec": {"containers": [{"name": "web", "image": image}]},
        }},
        "status": {"replicas": replicas, "availableReplicas": available},
    })
}

/// The revision it holds.
pub(crate) fn revision(number: i64, image: &str, replicas: i64, available: i64) -> Revision {
    Revision::of(&replica_set(number, image, replicas, available), "u-1").unwrap()
}

/// The HorizontalPodAutoscaler `web` of that Deployment, at resourceVersion 100.
pub(crate) fn autoscaler(min_replicas: i32, max_replicas: i32) -> Autoscaler {
    Autoscaler {
        name: "web".into(),
        uid: "uid-hpa".into(),
        resource_version: "100".into(),
        min_replicas,
        max_replicas,
        scaled_object: None,
    }
}
