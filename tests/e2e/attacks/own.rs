//! Automation, given every right, on the objects SmartOps rests on: refused, told on the object, and counted.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::ground::{CONTROLLER, Ground, at, merge};

/// An agent to whom somebody gave every right there is.
pub(super) const AGENT: [&str; 2] =
    ["--as=system:serviceaccount:smartops-dev:agent", "--as-group=system:masters"];
pub(super) const SYSTEM: &str = "smartops-system";

/// An agent and the controller try, each with every right, and are refused; a person is not.
fn only_people(ground: &Ground, person: &str, attempt: &[&str]) -> Result<()> {
    for who in [&AGENT[..], &CONTROLLER[..]] {
        ground.denied("admin", &[attempt, who].concat(), &[])?;
    }
    ground.allowed(person, &[attempt, &["--dry-run=server"]].concat())?;
    Ok(())
}

/// The same, and each attempt is counted and told on the object of this name, whose Events are in this namespace.
fn only_people_and_told(
    ground: &Ground,
    person: &str,
    attempt: &[&str],
    resource: &str,
    (namespace, name): (&str, &str),
) -> Result<()> {
    let before = ground.counted(resource)?;
    only_people(ground, person, attempt)?;
    let counted = ground.counted(resource)? - before;
    ensure!(counted >= 2.0, "{attempt:?}: two attempts counted as {counted}");
    ground.attempt_is_told(namespace, name)
}

fn merge_patch<'a>(what: &'a str, patch: &'a str) -> [&'a str; 5] {
    ["patch", what, "--type=merge", "-p", patch]
}

/// An object in a file and the arguments that create it.
fn creating(ground: &Ground, object: &Value) -> Result<[String; 3]> {
    Ok(["create".to_owned(), "-f".to_owned(), ground.file(object)?])
}

fn texts(arguments: &[String; 3]) -> [&str; 3] {
    [&arguments[0], &arguments[1], &arguments[2]]
}

#[test]
fn a_policy_that_automation_audits_only() -> Result<()> {
    let ground = Ground::new("policy")?;
    let patch = merge_patch("gp/smartops-baseline", r#"{"spec":{"mode":"Audit"}}"#);
    let told = ("default", "smartops-baseline");
    only_people_and_told(&ground, "operator", &patch, "guardrailpolicies", told)
}

#[test]
fn a_policy_that_automation_deletes() -> Result<()> {
    let ground = Ground::new("policy-gone")?;
    let told = ("default", "smartops-controller");
    let delete = ["delete", "gp/smartops-controller"];
    only_people_and_told(&ground, "operator", &delete, "guardrailpolicies", told)
}

#[test]
fn an_exception_that_automation_writes_for_itself() -> Result<()> {
    let ground = Ground::new("exception")?;
    let object = json!({
        "apiVersion": "smartops.dev/v1alpha1", "kind": "GuardrailException",
        "metadata": {"namespace": ground.name(), "name": "mine"},
        "spec": {
            "policy": "smartops-automation", "rules": ["replicas"],
            "target": {"group": "apps", "kind": "Deployment", "name": "web"},
            "reason": "I need more", "ticket": "T-1", "expiresAt": at(600)?,
        },
    });
    let create = creating(&ground, &object)?;
    let told = (ground.name(), "mine");
    only_people_and_told(&ground, "operator", &texts(&create), "guardrailexceptions", told)
}

#[test]
fn a_configuration_in_which_automation_approves() -> Result<()> {
    let ground = Ground::new("config")?;
    let groups = r#"{"spec":{"approval":{"groups":["bots"]}}}"#;
    let patch = merge_patch("smartopsconfig/default", groups);
    let told = ("default", "default");
    only_people_and_told(&ground, "operator", &patch, "smartopsconfigs", told)
}

#[test]
fn a_ledger_that_is_rewritten_by_anybody_but_the_webhook() -> Result<()> {
    let ground = Ground::new("ledger")?;
    let name = format!("{}-forged", ground.name());
    let entry = json!({"apiVersion": "smartops.dev/v1alpha1", "kind": "ChangeLedger",
        "metadata": {"name": name, "namespace": SYSTEM}, "spec": {}});
    let file = ground.file(&entry)?;
    let create = ["create", "-n", SYSTEM, "-f", &file];
    let before = ground.counted("changeledgers")?;
    for who in [&AGENT[..], &CONTROLLER[..]] {
        ground.denied("admin", &[&create[..], who].concat(), &[])?;
    }
    ground.denied("meddler", &create, &[])?;
    ensure!(ground.counted("changeledgers")? >= before + 3.0);
    for person in ["operator", "admin"] {
        ground.denied(person, &create, &["written by it alone"])?;
    }
    ground.allowed("webhook", &[&create[..], &["--dry-run=server"]].concat())?;
    Ok(())
}

#[test]
fn a_remediation_that_automation_deletes() -> Result<()> {
    let ground = Ground::new("record")?;
    ground.made("developer", "more", &json!({}))?;
    let told = (ground.name(), "more");
    let delete = ["delete", "remediation/more"];
    only_people_and_told(&ground, "developer", &delete, "remediations", told)
}

#[test]
fn the_record_of_what_just_ended_deleted_by_the_controller() -> Result<()> {
    // That it deletes what ended long ago, `pruning` shows: nobody makes such a record while SmartOps runs.
    let ground = Ground::new("pruned")?;
    ground.made("controller", "open", &json!({}))?;
    let made = ground.made("controller", "just", &json!({}))?;
    let outcome = json!({"reason": "Cooldown", "message": "m", "finishedAt": at(-30)?});
    ground.tells(&made, &json!({"phase": "Skipped", "outcome": outcome}))?;
    for (name, words) in [("open", "has not ended"), ("just", "has only just ended")] {
        ground.denied("controller", &["delete", &format!("remediation/{name}")], &[words])?;
    }
    let delete = ["delete", "remediation/just"];
    ground.denied("admin", &[&delete[..], &AGENT[..]].concat(), &[])?;
    ground.allowed("developer", &delete).map(drop)
}

#[test]
fn a_remediation_policy_that_automation_writes() -> Result<()> {
    let ground = Ground::new("remedies")?;
    let policy = json!({
        "apiVersion": "smartops.dev/v1alpha1", "kind": "RemediationPolicy",
        "metadata": {"name": ground.name()},
        "spec": {"rules": [{"name": "leak", "when": {"signals": ["rca"]}, "action": {"type": "restart"}}]},
    });
    let create = creating(&ground, &policy)?;
    let told = ("default", ground.name());
    only_people_and_told(&ground, "admin", &texts(&create), "remediationpolicies", told)?;
    let mut wrong = policy;
    let first = wrong["spec"]["rules"][0].clone();
    wrong["spec"]["rules"] = json!([first, first]);
    ground.denied("admin", &texts(&creating(&ground, &wrong)?), &["spec.rules[1].name"])?;
    ground.allowed("admin", &texts(&create))?;
    let what = format!("remediationpolicy/{}", ground.name());
    let status = r#"{"status":{"observedGeneration":1}}"#;
    let patch = ["patch", &what, "--subresource=status", "--type=merge", "-p", status];
    ground.denied("admin", &patch, &["written by it alone"])?;
    ground.allowed("admin", &[&patch[..], &CONTROLLER[..]].concat())?;
    ground.allowed("admin", &["delete", &what]).map(drop)
}

#[test]
fn an_approval_that_automation_deletes() -> Result<()> {
    let ground = Ground::new("word")?;
    let made = ground.made("developer", "more", &json!({"spec": {"requireApproval": true}}))?;
    let waiting = ground.put_forward(&made, &super::ground::to(5))?;
    let edit = json!({"metadata": {"name": "no"}, "spec": {"decision": "Reject"}});
    ground.allowed_object("approver", &ground.word(&waiting, &edit))?;
    let told = (ground.name(), "no");
    only_people_and_told(&ground, "approver", &["delete", "rema/no"], "remediationapprovals", told)
}

#[test]
fn a_registration_that_automation_narrows() -> Result<()> {
    let ground = Ground::new("registration")?;
    for kind in ["validatingwebhookconfiguration", "mutatingwebhookconfiguration"] {
        for name in ["smartops-automation", "smartops-own"] {
            let what = format!("{kind}/{name}");
            only_people(&ground, "admin", &merge_patch(&what, r#"{"webhooks":null}"#))?;
            only_people(&ground, "admin", &["delete", &what])?;
        }
    }
    Ok(())
}

#[test]
fn the_webhooks_certificate_changed_by_automation() -> Result<()> {
    let ground = Ground::new("secret")?;
    let patch =
        merge_patch("secret/smartops-webhook-certificate", r#"{"data":{"tls.key":"bWluZQ=="}}"#);
    only_people(&ground, "admin", &[&["-n", SYSTEM], &patch[..]].concat())
}

/// The controller's token makes an object and writes another one over it, and is refused either where it is changed by an
/// edit; as it is, both pass.
fn no_more_than_that(prefix: &str, object: &Value, edits: &[Value]) -> Result<()> {
    let ground = Ground::new(prefix)?;
    let write = |verb: &str, object: &Value| -> Result<[String; 6]> {
        let file = ground.file(object)?;
        Ok([verb, "--dry-run=server", "-n", SYSTEM, "-f", &file].map(str::to_owned))
    };
    let refused = |verb: &str| -> Result<()> {
        for edit in edits {
            let mut more = object.clone();
            merge(&mut more, edit);
            let arguments = write(verb, &more)?;
            ground.denied("controller", &arguments.each_ref().map(String::as_str), &[])?;
        }
        let arguments = write(verb, object)?;
        ground.allowed("controller", &arguments.each_ref().map(String::as_str)).map(drop)
    };
    refused("create")?;
    ground.allowed("admin", &["create", "-n", SYSTEM, "-f", &ground.file(object)?])?;
    refused("replace")?;
    let kind = object["kind"].as_str().unwrap_or_default();
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    ground.allowed("admin", &["delete", "-n", SYSTEM, kind, name]).map(drop)
}

/// What makes other objects hang on one.
fn ties() -> [Value; 2] {
    let owner = json!({"apiVersion": "v1", "kind": "Namespace", "name": SYSTEM, "uid": "u-1"});
    [
        json!({"metadata": {"ownerReferences": [owner]}}),
        json!({"metadata": {"finalizers": ["attack.example/stay"]}}),
    ]
}

#[test]
fn a_certificate_of_the_controllers_that_would_hold_the_webhooks_token() -> Result<()> {
    let name = "smartops-orchestrator-certificate";
    let certificate = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": SYSTEM, "name": name},
        "type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""},
    });
    let webhooks = json!({"metadata": {"annotations": {"kubernetes.io/service-account.name": "smartops-webhook"}}});
    let edits = [&[webhooks.clone()][..], &ties()].concat();
    no_more_than_that("its-token", &certificate, &edits)?;
    // The type of a Secret never changes, so this one could only be made.
    let ground = Ground::new("its-token-at-once")?;
    let mut token = certificate;
    merge(&mut token, &webhooks);
    token["type"] = json!("kubernetes.io/service-account-token");
    let file = ground.file(&token)?;
    ground.denied("controller", &["create", "-n", SYSTEM, "-f", &file], &[])?;
    ground.allowed("admin", &["create", "-n", SYSTEM, "-f", &file, "--dry-run=server"]).map(drop)
}

#[test]
fn a_lease_of_the_controllers_that_hangs_on_another_object() -> Result<()> {
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"namespace": SYSTEM, "name": "smartops-orchestrator"},
        "spec": {"holderIdentity": "attacker", "leaseDurationSeconds": 15},
    });
    no_more_than_that("its-lease", &lease, &ties())
}

#[test]
fn a_deployment_of_smartops_that_automation_stops() -> Result<()> {
    let ground = Ground::new("stopped")?;
    let mut object = ground.manifest(ground.name(), 1);
    object["metadata"]["namespace"] = json!(SYSTEM);
    let file = ground.file(&object)?;
    ground.cluster().kubectl("admin").run(&["create", "-f", &file])?.ok()?;
    let target = format!("deployment/{}", ground.name());
    let scale = ["-n", SYSTEM, "scale", &target, "--replicas=0"];
    for who in [&AGENT[..], &CONTROLLER[..]] {
        ground.denied("admin", &[&scale[..], who].concat(), &[])?;
    }
    only_people(&ground, "admin", &["-n", SYSTEM, "delete", &target])
}

#[test]
fn an_account_or_a_role_of_smartops_changed_by_automation() -> Result<()> {
    let ground = Ground::new("roles")?;
    let accounts = ["-n", SYSTEM, "annotate", "serviceaccount/smartops-webhook", "note=mine"];
    only_people(&ground, "admin", &accounts)?;
    for role in ["clusterrole/smartops-orchestrator", "clusterrolebinding/smartops-webhook-cluster"]
    {
        only_people(&ground, "admin", &["annotate", role, "note=mine"])?;
        only_people(&ground, "admin", &["delete", role])?;
    }
    Ok(())
}

#[test]
fn an_attempt_that_is_only_a_dry_run_leaves_no_event() -> Result<()> {
    let ground = Ground::new("dry-attempt")?;
    for name in ["dry", "real"] {
        ground.made("developer", name, &json!({}))?;
    }
    ground.denied("agent", &["annotate", "remediation/dry", "a=b", "--dry-run=server"], &[])?;
    ground.denied("agent", &["annotate", "remediation/real", "a=b"], &[])?;
    // Told in the order in which they were made: once the second is there, the first would be.
    ground.attempt_is_told(ground.name(), "real")?;
    let list = ground.allowed("admin", &["get", "events.events.k8s.io", "-o", "json"])?;
    let list: Value = serde_json::from_str(&list)?;
    let events = list["items"].as_array().cloned().unwrap_or_default();
    ensure!(events.iter().all(|event| event["regarding"]["name"] != "dry"), "{events:?}");
    Ok(())
}
