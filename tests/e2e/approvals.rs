//! Two people for one remedy: what needs approval waits, is written as it was approved and once, and whoever asked for
//! it, made it or is no member of the groups decides nothing.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use smartops_tests::cluster::Cluster;
use smartops_tests::http::Answer;
use smartops_tests::programs::{Program, controller, controller_api};
use smartops_tests::sample;
use smartops_tests::wait::{Seen, eventually};

use crate::scene::{Scene, post};
use crate::support::{own, shared};

/// How long one may take to be put forward, or put forward anew: the live object is looked at every 5 s.
const ASKED: Duration = Duration::from_secs(30);

fn body(ns: &Scene, replicas: u32) -> Value {
    json!({
        "namespace": ns.name(), "deployment": "web", "replicas": replicas, "require_approval": true,
    })
}

/// Has the API scale `web`, which must wait for approval.
fn asked(ns: &Scene, replicas: u32) -> Result<Answer> {
    waiting(post("/v1/k8s/scale", &body(ns, replicas))?)
}

fn waiting(reply: Answer) -> Result<Answer> {
    ensure!(reply.status == 202, "{} {}", reply.status, reply.text);
    ensure!(reply.body["state"] == "AwaitingApproval", "{}", reply.text);
    Ok(reply)
}

/// A RemediationApproval as the reply hands it out, with this decision and reason.
fn word(create: &Value, decision: &str, reason: &str) -> Value {
    let mut word = create.clone();
    word["spec"]["decision"] = json!(decision);
    word["spec"]["reason"] = json!(reason);
    word
}

/// The same for a Remediation as it stands in etcd.
fn word_on(remediation: &Value, decision: &str) -> Value {
    let (metadata, proposal) = (&remediation["metadata"], &remediation["status"]["proposal"]);
    json!({
        "apiVersion": "smartops.dev/v1alpha1", "kind": "RemediationApproval",
        "metadata": {"generateName": "word-", "namespace": metadata["namespace"]},
        "spec": {
            "remediation": {"name": metadata["name"], "uid": metadata["uid"]},
            "intentHash": proposal["hash"], "decision": decision,
        },
    })
}

fn says(ns: &Scene, actor: &str, word: &Value) -> Result<()> {
    ns.allowed(actor, &["create", "-f", &ns.file(word)?]).map(drop)
}

fn may_not_say(ns: &Scene, actor: &[&str], word: &Value, words: &[&str]) -> Result<()> {
    let (actor, posing) = actor.split_first().context("nobody")?;
    let file = ns.file(word)?;
    ns.denied(actor, &[posing, &["create", "-f", &file]].concat(), words)
}

/// The one Remediation of the namespace, once it waits for approval of another hash than this.
fn put_forward(ns: &Scene, not: &Value) -> Result<Value> {
    eventually(ASKED, "it waits for approval", || {
        let all = ns.remediations()?;
        let status = &all.first().context("there is none")?["status"];
        let is_new = status["phase"] == "AwaitingApproval" && status["proposal"]["hash"] != *not;
        Ok(if is_new { Seen::Done(all[0].clone()) } else { Seen::NotYet(status.to_string()) })
    })
}

fn condition<'a>(remediation: &'a Value, type_: &str) -> &'a Value {
    let conditions = remediation["status"]["conditions"].as_array();
    conditions.into_iter().flatten().find(|c| c["type"] == type_).unwrap_or(&Value::Null)
}

/// A Remediation that somebody makes himself.
fn by_hand(ns: &Scene, deployment: &Value, replicas: u32, require_approval: bool) -> Value {
    json!({
        "apiVersion": "smartops.dev/v1alpha1", "kind": "Remediation",
        "metadata": {"name": "by-hand", "namespace": ns.name()},
        "spec": {
            "target": {
                "kind": "Deployment", "name": "web", "uid": deployment["metadata"]["uid"],
            },
            "action": {"type": "scale", "scale": {"replicas": replicas}},
            "cause": "manual/sale", "source": "user", "requireApproval": require_approval,
        },
    })
}

#[test]
fn what_a_second_person_approves_is_written_once_and_everybody_can_read_who_it_was() -> Result<()> {
    let ns = Scene::new("approve")?;
    ns.deploy("web", 3)?;
    let reply = asked(&ns, 5)?;
    let (asked, message) = (&reply.body["approval"], reply.body["message"].to_string());
    assert_eq!(asked["intent"], json!({"type": "scale", "replicas": 5}));
    assert!(message.contains("from 3 to 5") && message.contains("kubectl create -f"), "{message}");
    assert_eq!((ns.replicas("web")?, ns.committed_writes("web")?), (3, 0));
    let columns = ns.allowed("approver", &["get", "remediations", "-o", "wide"])?;
    let hash = asked["intentHash"].as_str().context("no hash")?;
    assert!(columns.contains("AwaitingApproval") && columns.contains(hash), "{columns}");

    let busy = post(
        "/v1/k8s/scale",
        &json!({"namespace": ns.name(), "deployment": "web", "replicas": 4}),
    )?;
    assert_eq!(busy.status, 409, "{}", busy.text);
    assert!(busy.text.contains("approved or rejected"), "{}", busy.text);

    says(&ns, "approver", &word(&asked["create"], "Approve", "sale on Monday"))?;
    ns.scaled_to("web", 5)?;
    let ended = ns.ended("api/scale")?;
    assert_eq!(ended["status"]["phase"], "Succeeded", "{ended}");
    assert_eq!(ended["status"]["attempts"][0]["intent"], asked["intent"]);
    let approved = condition(&ended, "Approved");
    assert_eq!((&approved["status"], &approved["reason"]), (&json!("True"), &json!("Approved")));
    assert_eq!(approved["message"], "approved by approver: sale on Monday");
    assert_eq!(ns.committed_writes("web")?, 1);
    for reason in ["AwaitingApproval", "Approved"] {
        let field = format!("--field-selector=reason={reason},involvedObject.name=web");
        let events = ns.allowed("developer", &["get", "events", &field, "-o", "name"])?;
        assert!(!events.is_empty(), "no Event {reason} on the target");
    }
    Ok(())
}

#[test]
fn a_rejection_ends_it_unwritten_in_the_words_of_whoever_rejected() -> Result<()> {
    let ns = Scene::new("reject")?;
    ns.deploy("web", 3)?;
    let reply = asked(&ns, 5)?;
    says(&ns, "deputy", &word(&reply.body["approval"]["create"], "Reject", "not on a Friday"))?;
    let ended = ns.ended("api/scale")?;
    assert_eq!(ended["status"]["phase"], "Cancelled", "{ended}");
    assert_eq!(ended["status"]["outcome"]["reason"], "ApprovalRejected");
    assert_eq!(ended["status"]["outcome"]["message"], "rejected by deputy: not on a Friday");
    assert_eq!((ns.replicas("web")?, ns.committed_writes("web")?), (3, 0));
    Ok(())
}

#[test]
fn a_target_that_moved_on_is_asked_about_anew_and_the_former_hash_is_worth_nothing() -> Result<()> {
    let ns = Scene::new("moved")?;
    ns.deploy("web", 3)?;
    let reply = asked(&ns, 5)?;
    let former = reply.body["approval"]["intentHash"].clone();
    ns.allowed("developer", &["scale", "deployment/web", "--replicas=4"])?;
    let again = put_forward(&ns, &former)?;
    let question = condition(&again, "Approved")["message"].as_str().unwrap_or_default();
    ensure!(question.contains("does not count any more"), "{question}");
    ensure!(question.contains("from 4 to 5"), "{question}");
    let old = word(&reply.body["approval"]["create"], "Approve", "");
    let hash = again["status"]["proposal"]["hash"].as_str().unwrap_or_default();
    may_not_say(&ns, &["approver"], &old, &[hash])?;
    let mut unknown = word_on(&again, "Approve");
    unknown["spec"]["intentHash"] = json!("0".repeat(64));
    may_not_say(&ns, &["approver"], &unknown, &[hash])?;
    assert_eq!(ns.committed_writes("web")?, 0);
    says(&ns, "approver", &word_on(&again, "Approve"))?;
    ns.scaled_to("web", 5)?;
    assert_eq!(ns.ended("api/scale")?["status"]["phase"], "Succeeded");
    Ok(())
}

#[test]
fn whoever_asked_through_the_api_does_not_approve_it_himself_and_nor_does_automation() -> Result<()>
{
    let ns = Scene::new("own")?;
    ns.deploy("web", 3)?;
    ns.allowed("admin", &["create", "serviceaccount", "clerk"])?;
    let clerk = format!("{}:clerk", ns.name());
    let grant =
        ["create", "rolebinding", "clerk", "--clusterrole=edit", "--serviceaccount", &clerk];
    ns.allowed("admin", &grant)?;
    let token = ns.allowed("admin", &["create", "token", "clerk"])?;
    let api =
        controller(shared()?)?.with_header("authorization", &format!("Bearer {}", token.trim()));
    let reply = waiting(api.post("/v1/k8s/scale", &body(&ns, 5))?)?;
    let mut yes = word(&reply.body["approval"]["create"], "Approve", "");

    let clerk = format!("--as=system:serviceaccount:{clerk}");
    let as_requester =
        ["admin", clerk.as_str(), "--as-group=approvers", "--as-group=system:masters"];
    may_not_say(&ns, &as_requester, &yes, &["asked for"])?;
    may_not_say(&ns, &["agent"], &yes, &["automation"])?;
    may_not_say(&ns, &["developer"], &yes, &["approvers"])?;
    // A name that is claimed is overwritten by the one that is true.
    yes["spec"]["approver"] = json!("approver");
    may_not_say(&ns, &["developer"], &yes, &["approvers"])?;
    yes["spec"]["approver"] = json!("somebody else");
    assert_eq!((ns.replicas("web")?, ns.committed_writes("web")?), (3, 0));
    says(&ns, "deputy", &yes)?;
    ns.scaled_to("web", 5)?;
    let ended = ns.ended("api/scale")?;
    assert_eq!(condition(&ended, "Approved")["message"], "approved by deputy");
    Ok(())
}

#[test]
fn a_remediation_made_by_hand_works_as_any_other_and_its_maker_is_no_second_person() -> Result<()> {
    let ns = Scene::new("by-hand")?;
    let deployment = {
        ns.deploy("web", 3)?;
        ns.get("web")?
    };
    let made = by_hand(&ns, &deployment, 5, true);
    ns.allowed("approver", &["create", "-f", &ns.file(&made)?])?;
    let waiting = put_forward(&ns, &Value::Null)?;
    for stamp in ["createdBy", "requestedBy"] {
        assert_eq!(waiting["spec"][stamp], "approver", "{waiting}");
    }
    let yes = word_on(&waiting, "Approve");
    may_not_say(&ns, &["approver"], &yes, &["asked for"])?;
    says(&ns, "deputy", &yes)?;
    ns.scaled_to("web", 5)?;
    assert_eq!(ns.ended("manual/sale")?["status"]["phase"], "Succeeded");
    Ok(())
}

#[test]
fn a_remediation_made_by_hand_that_needs_no_approval_is_carried_out_at_once() -> Result<()> {
    let ns = Scene::new("by-hand-at-once")?;
    ns.deploy("web", 3)?;
    let made = by_hand(&ns, &ns.get("web")?, 4, false);
    ns.allowed("developer", &["create", "-f", &ns.file(&made)?])?;
    let ended = ns.ended("manual/sale")?;
    assert_eq!(ended["status"]["phase"], "Succeeded", "{ended}");
    assert_eq!((ns.replicas("web")?, ns.committed_writes("web")?), (4, 1));
    Ok(())
}

#[test]
fn a_controller_that_was_gone_hears_what_was_said_meanwhile_and_nobody_waits_longer_than_configured()
-> Result<()> {
    let cluster = own("approvals")?;
    heard_after_a_crash(&cluster)?;
    expires(&cluster)?;
    cluster.stop()
}

fn heard_after_a_crash(cluster: &Cluster) -> Result<()> {
    let body = json!({
        "namespace": sample::NAMESPACE, "deployment": sample::DEPLOYMENT, "replicas": 5,
        "require_approval": true,
    });
    let reply = waiting(controller_api(cluster)?.post("/v1/k8s/scale", &body)?)?;
    Program::Controller.kill(cluster)?;
    let yes = reply.body["approval"]["create"].to_string();
    cluster.kubectl("approver").run_with(&["create", "-f", "-"], Some(&yes))?.ok()?;
    Program::Controller.start(cluster, &[])?;
    let status = ended(cluster, "api/scale")?;
    ensure!(status["phase"] == "Succeeded", "{status}");
    let writes = cluster.writes()?;
    let committed = writes.iter().filter(|write| {
        write.committed()
            && write.user.ends_with(":smartops-orchestrator")
            && write.is_for("deployments", sample::NAMESPACE, sample::DEPLOYMENT)
    });
    ensure!(committed.count() == 1, "written more than once, or not at all");
    Ok(())
}

/// The status of the one Remediation of this cause that has ended last.
fn ended(cluster: &Cluster, cause: &str) -> Result<Value> {
    eventually(ASKED, &format!("what was asked for {cause} has ended"), || {
        let list = cluster.kubectl("admin").get(&["remediations", "-n", sample::NAMESPACE])?;
        let all = list["items"].as_array().into_iter().flatten();
        let of_cause = all.filter(|r| r["spec"]["cause"] == cause);
        let latest = of_cause.max_by_key(|r| r["spec"]["sequence"].as_u64());
        let status = latest.map_or(Value::Null, |r| r["status"].clone());
        let has_ended = status["outcome"].is_object();
        Ok(if has_ended { Seen::Done(status) } else { Seen::NotYet(status.to_string()) })
    })
}

fn expires(cluster: &Cluster) -> Result<()> {
    let operator = cluster.kubectl("operator");
    let short = r#"{"spec":{"approval":{"expirySeconds":10}}}"#;
    let patch = ["patch", "smartopsconfig", "default", "--type=merge", "-p", short];
    operator.run(&patch)?.ok()?;
    let body = json!({
        "namespace": sample::NAMESPACE, "deployment": sample::DEPLOYMENT, "replicas": 4,
        "require_approval": true,
    });
    let reply = waiting(controller_api(cluster)?.post("/v1/k8s/scale", &body)?)?;
    let ended = ended(cluster, "api/scale")?;
    ensure!(ended["phase"] == "Cancelled", "{ended}");
    ensure!(ended["outcome"]["reason"] == "ApprovalExpired", "{ended}");
    let late = word(&reply.body["approval"]["create"], "Approve", "");
    let outcome =
        cluster.kubectl("approver").run_with(&["create", "-f", "-"], Some(&late.to_string()))?;
    ensure!(!outcome.succeeded, "what has ended cannot be approved: {}", outcome.text());
    Ok(())
}
