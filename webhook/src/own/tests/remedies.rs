//! Remediations, their status and approvals through the checker, with an API server that answers its reads.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode};
use kube::client::Body;
use smartops_process::BoxError;

use super::super::remediation::tests::{CONTROLLER, remediation};
use super::*;

const RIGHTS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
const WEB: &str = "/apis/apps/v1/namespaces/shop/deployments/web";
const MORE: &str = "/apis/smartops.dev/v1alpha1/namespaces/shop/remediations/web-more";

/// An API server that answers with what stands under a path, and that nothing else is there.
pub(super) fn api(objects: Vec<(&'static str, Value)>) -> Client {
    let objects = Arc::new(objects);
    let answer = tower::service_fn(move |request: Request<Body>| {
        let objects = Arc::clone(&objects);
        async move {
            let found = objects.iter().find(|(path, _)| *path == request.uri().path());
            let none = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                "reason": "NotFound", "message": "not found", "code": 404});
            let body = found.map_or(&none, |(_, object)| object).to_string();
            let mut response = Response::new(Full::new(Bytes::from(body)));
            if found.is_none() {
                *response.status_mut() = StatusCode::NOT_FOUND;
            }
            Ok::<_, BoxError>(response)
        }
    });
    Client::new(answer, "shop")
}

fn rights(allowed: bool) -> (&'static str, Value) {
    (RIGHTS, json!({"spec": {}, "status": {"allowed": allowed}}))
}

fn web(version: &str) -> (&'static str, Value) {
    let metadata =
        json!({"name": "web", "uid": "u-1", "generation": 3, "resourceVersion": version});
    (WEB, json!({"metadata": metadata, "spec": {"replicas": 3, "template": {}}}))
}

struct Review<'a> {
    user: &'a str,
    resource: &'a str,
    half: Half,
    old: Option<Value>,
    new: Value,
}

impl Review<'_> {
    async fn answer(&self, objects: Vec<(&'static str, Value)>) -> Answer {
        let (resource, below) = self.resource.split_once('/').unwrap_or((self.resource, ""));
        let operation = if self.old.is_some() { "UPDATE" } else { "CREATE" };
        let body =
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
                "uid": "u", "operation": operation, "name": "web-more", "namespace": "shop",
                "resource": {"group": "smartops.dev", "version": "v1alpha1", "resource": resource},
                "subResource": below, "userInfo": {"username": self.user, "groups": ["leads"]},
                "object": self.new, "oldObject": self.old,
            }})
            .to_string();
        let config = json!({"approval": {"groups": ["leads"]}, "automation": {"users": ["bot"]}});
        let envelope = Envelope::read(body.as_bytes()).unwrap();
        checker(&config, api(objects)).review(&envelope, self.half, soon()).await
    }
}

fn made(user: &'static str, members: &Value) -> Review<'static> {
    let new = serde_json::to_value(remediation(members)).unwrap();
    Review { user, resource: "remediations", half: Half::Validating, old: None, new }
}

fn first(answer: &Answer) -> (Option<Rule>, &str) {
    let cause = answer.denial.as_ref().and_then(|denial| denial.causes.first());
    (cause.map(|cause| cause.rule), cause.map_or("", |cause| &cause.path))
}

#[tokio::test]
async fn whoever_may_do_it_himself_may_ask_for_it() {
    let asks = made("alice", &json!({}));
    assert_eq!(asks.answer(vec![rights(true)]).await, Answer::allowed());
    let denied = asks.answer(vec![rights(false)]).await;
    assert_eq!(first(&denied), (Some(Rule::Invalid), "spec.action"));
    let undecided = asks.answer(vec![]).await;
    assert_eq!(first(&undecided).0, Some(Rule::Undecided));
}

#[tokio::test]
async fn a_policy_written_for_somebody_alone_is_not_gone_past_by_a_remediation_of_his() {
    let by = |user: &'static str| made(user, &json!({"createdBy": user, "requestedBy": user}));
    let past = by("bound").answer(vec![rights(true)]).await;
    assert_eq!(first(&past), (Some(Rule::Invalid), "spec.action"));
    let message = past.denial.unwrap().message;
    assert!(message.contains("for-bound is written for bound and not for the controller"));
    for free in ["free", "alice"] {
        assert_eq!(by(free).answer(vec![rights(true)]).await, Answer::allowed(), "{free}");
    }
}

#[tokio::test]
async fn a_claim_a_proposal_and_an_attempt_are_each_held_against_the_target() {
    let old = serde_json::to_value(remediation(&json!({}))).unwrap();
    let now = Clock.now();
    let later = (now + jiff::SignedDuration::from_secs(60)).to_string();
    let target = json!({"uid": "u-1", "generation": 2, "resourceVersion": "6"});
    let open = json!({
        "number": 1, "kind": "Apply", "intent": {"type": "scale", "replicas": 5}, "target": target,
        "former": {"replicas": 2}, "leader": "pod/1", "startedAt": now.to_string(), "deadline": later,
    });
    let mut written = open.clone();
    written["result"] = json!("Written");
    written["writtenGeneration"] = json!(3);
    let (intent, target) = (&open["intent"], &open["target"]);
    let read = |value: &Value| serde_json::from_value(value.clone()).unwrap();
    let hash = smartops_common::remediation::intent_hash(
        "r-1",
        &read(target),
        &serde_json::from_value(intent.clone()).unwrap(),
        None,
    );
    let proposal = json!({
        "intent": intent, "target": target, "hash": hash, "proposedAt": now.to_string(), "expiresAt": later,
    });
    let records = |before: Value, after: Value| {
        let (mut was, mut is) = (old.clone(), old.clone());
        (was["status"], is["status"]) = (before, after);
        Review {
            user: CONTROLLER,
            resource: "remediations/status",
            half: Half::Validating,
            old: Some(was),
            new: is,
        }
    };
    let executing = |attempt: &Value| json!({"phase": "Executing", "attempts": [attempt]});
    let waiting = json!({"phase": "AwaitingApproval", "proposal": proposal});
    // The target has three replicas at generation 3.
    let claim = records(executing(&open), executing(&written)).answer(vec![web("7")]).await;
    assert_eq!(first(&claim).1, "status.attempts[0].result");
    assert_eq!(claim.denial.unwrap().retry_after_seconds, None);
    let old_target = records(json!({"phase": "Pending"}), waiting).answer(vec![web("7")]).await;
    assert_eq!(first(&old_target).1, "status.proposal.target");
    assert_eq!(old_target.denial.unwrap().retry_after_seconds, Some(1));
    let attempt =
        records(json!({"phase": "Pending"}), executing(&open)).answer(vec![web("7")]).await;
    assert_eq!(first(&attempt).1, "status.attempts[0].target.generation");
}

#[tokio::test]
async fn the_controller_makes_them_for_others_without_being_asked_for_its_rights() {
    let members = json!({"createdBy": CONTROLLER, "requestedBy": "apikey:detector", "source": "closed-loop", "cause": "rca/x"});
    assert_eq!(made(CONTROLLER, &members).answer(vec![]).await, Answer::allowed());
    let bot = made("bot", &json!({"createdBy": "bot", "requestedBy": "bot"}));
    assert_eq!(first(&bot.answer(vec![rights(true)]).await).0, Some(Rule::Unnamed));
}

#[tokio::test]
async fn a_stamp_that_was_undone_is_refused_and_what_was_stamped_passes() {
    let undone = made("alice", &json!({"createdBy": "bob"}));
    assert_eq!(first(&undone.answer(vec![rights(true)]).await).1, "spec.createdBy");
    let mutating = Review { half: Half::Mutating, ..undone };
    let patch = mutating.answer(vec![]).await.patch.unwrap();
    assert_eq!(patch, r#"[{"op":"add","path":"/spec/createdBy","value":"alice"}]"#);
}

#[tokio::test]
async fn only_the_controller_says_what_became_of_one_and_only_what_is_true() {
    let old = serde_json::to_value(remediation(&json!({}))).unwrap();
    let now = Clock.now();
    let mut new = old.clone();
    new["status"] = json!({"phase": "Executing", "attempts": [{
        "number": 1, "kind": "Apply", "intent": {"type": "scale", "replicas": 5},
        "target": {"uid": "u-1", "generation": 3, "resourceVersion": "7"},
        "former": {"replicas": 3}, "leader": "pod/1",
        "startedAt": now.to_string(), "deadline": (now + jiff::SignedDuration::from_secs(60)).to_string(),
    }]});
    let records = |user| Review {
        user,
        resource: "remediations/status",
        half: Half::Validating,
        old: Some(old.clone()),
        new: new.clone(),
    };
    assert_eq!(records(CONTROLLER).answer(vec![web("7")]).await, Answer::allowed());
    let moved = records(CONTROLLER).answer(vec![web("8")]).await;
    assert_eq!(first(&moved).1, "status.attempts[0].target.resourceVersion");
    assert_eq!(moved.denial.unwrap().retry_after_seconds, Some(1));
    let gone = records(CONTROLLER).answer(vec![]).await;
    assert_eq!(first(&gone).1, "status.attempts[0].target.uid");
    let alice = records("alice").answer(vec![web("7")]).await;
    assert_eq!(first(&alice), (Some(Rule::Invalid), "status"));
    assert_eq!(first(&records("bot").answer(vec![web("7")]).await).0, Some(Rule::Unnamed));
}

#[tokio::test]
async fn a_word_counts_for_what_waits_in_the_same_namespace() {
    let now = Clock.now();
    let mut waits = serde_json::to_value(remediation(&json!({}))).unwrap();
    let hash = "0".repeat(64);
    waits["status"] = json!({"phase": "AwaitingApproval", "proposal": {
        "intent": {"type": "scale", "replicas": 5}, "hash": hash,
        "target": {"uid": "u-1", "generation": 3, "resourceVersion": "7"}, "proposedAt": now.to_string(),
        "expiresAt": (now + jiff::SignedDuration::from_secs(60)).to_string(),
    }});
    let decides = |user, resource| Review {
        user,
        resource,
        half: Half::Validating,
        old: None,
        new: json!({
            "apiVersion": "smartops.dev/v1alpha1", "kind": "RemediationApproval", "metadata": {"name": "a"},
            "spec": {"remediation": {"name": "web-more", "uid": "r-1"}, "intentHash": hash,
                     "decision": "Approve", "approver": user},
        }),
    };
    let carol = decides("carol", "remediationapprovals");
    assert_eq!(carol.answer(vec![(MORE, waits.clone())]).await, Answer::allowed());
    assert_eq!(first(&carol.answer(vec![]).await).1, "spec.remediation.name");
    let alice = decides("alice", "remediationapprovals").answer(vec![(MORE, waits.clone())]).await;
    assert_eq!(first(&alice).1, "spec.approver");
    let bot = decides("bot", "remediationapprovals").answer(vec![(MORE, waits)]).await;
    assert_eq!(first(&bot).0, Some(Rule::Unnamed));
    let labelled = Review { old: Some(carol.new.clone()), ..carol };
    assert_eq!(labelled.answer(vec![]).await, Answer::allowed());
}

#[tokio::test]
async fn metadata_may_be_edited_by_people_as_long_as_our_labels_stay_true() {
    let object = serde_json::to_value(remediation(&json!({}))).unwrap();
    let edited = |pointer: &str, value: Value| {
        let mut new = object.clone();
        new["metadata"]["finalizers"] = json!([]);
        new["metadata"]["labels"][pointer] = value;
        Review { old: Some(object.clone()), new, ..made("alice", &json!({})) }
    };
    assert_eq!(edited("team", json!("shop")).answer(vec![]).await, Answer::allowed());
    let other = edited("smartops.dev/cause", json!("other")).answer(vec![]).await;
    assert_eq!(first(&other).1, "metadata.labels[smartops.dev/cause]");
}
