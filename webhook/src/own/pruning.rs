//! The deletion of Remediations by the controller: the one thing of SmartOps' own it may delete, once it has ended and
//! whoever looks for it has had time to see it. Whether more are kept, and how many, is the controller's.

use jiff::Timestamp;
use smartops_common::names;
use smartops_common::remediation::{KEPT, Remediation};

use super::answer::out_of_reach;
use super::object;
use crate::admission::envelope::Request;
use crate::admission::reply::Answer;

/// The answer where the controller deletes a Remediation; `None` where it does not.
pub fn answer(request: &Request<'_>, now: Timestamp) -> Option<Answer> {
    let what = (request.resource.group.as_ref(), request.resource.resource.as_ref());
    let is_pruning = what == (names::GROUP, "remediations")
        && request.sub_resource.is_empty()
        && request.operation == "DELETE"
        && names::is_controller(&request.user_info.username);
    is_pruning.then(|| match object::<Remediation>(request.old_object) {
        Err(why) => Answer::undecided(&why),
        Ok(remediation) if remediation.may_be_pruned(now) => Answer::allowed(),
        Ok(remediation) => {
            let since = if remediation.is_open() { "has not ended" } else { "has only just ended" };
            let minutes = KEPT.as_mins();
            out_of_reach(
                request,
                &format!(
                    "the controller deletes Remediations that ended at least {minutes} minutes ago and no others, and this \
                     one {since}; leave it, or have a person delete it"
                ),
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::admission::envelope::Envelope;

    const CONTROLLER: &str = "system:serviceaccount:smartops-system:smartops-orchestrator";

    fn deletion(user: &str, resource: &str, operation: &str, status: &Value) -> Option<Answer> {
        let body =
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
                "uid": "u", "operation": operation, "name": "web-1", "namespace": "shop",
                "resource": {"group": "smartops.dev", "version": "v1alpha1", "resource": resource},
                "userInfo": {"username": user},
                "oldObject": {
                    "metadata": {"name": "web-1"},
                    "spec": {
                        "target": {"kind": "Deployment", "name": "web", "uid": "u-1"},
                        "action": {"type": "restart"}, "cause": "c", "source": "user",
                    },
                    "status": status,
                },
            }})
            .to_string();
        let envelope = Envelope::read(body.as_bytes()).unwrap();
        let now = "2026-11-21T10:00:00Z".parse().unwrap();
        answer(envelope.request.as_ref().unwrap(), now)
    }

    fn ended(at: &str) -> Value {
        json!({"phase": "Failed", "outcome": {"reason": "R", "message": "m", "finishedAt": at}})
    }

    #[test]
    fn the_controller_deletes_what_ended_a_while_ago_and_neither_what_is_open_nor_what_just_ended()
    {
        let asked = |status: &Value| {
            let answer = deletion(CONTROLLER, "remediations", "DELETE", status).unwrap();
            answer.denial.map(|denial| denial.message)
        };
        assert_eq!(asked(&ended("2026-11-21T09:50:00Z")), None);
        let just = asked(&ended("2026-11-21T09:50:01Z")).unwrap();
        assert!(just.contains("has only just ended"), "{just}");
        let open = asked(&json!({"phase": "Executing"})).unwrap();
        assert!(open.contains("has not ended"), "{open}");
        assert!(asked(&Value::Null).is_some());
        assert!(asked(&json!({"phase": 5})).is_some());
    }

    #[test]
    fn of_others_and_of_other_writes_nothing_is_said_here() {
        let status = ended("2026-11-20T10:00:00Z");
        for (user, resource, operation) in [
            ("system:serviceaccount:agents:bot", "remediations", "DELETE"),
            (CONTROLLER, "remediationapprovals", "DELETE"),
            (CONTROLLER, "remediations", "UPDATE"),
        ] {
            assert!(deletion(user, resource, operation, &status).is_none(), "{user} {resource}");
        }
    }
}
