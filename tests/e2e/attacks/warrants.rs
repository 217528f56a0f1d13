//! The controller's token writes what no attempt announced, or more than one did.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use smartops_tests::identities;
use smartops_tests::wait::{Seen, eventually};

use super::ground::{Ground, SECONDS, WEB, at, to, with_another};

const CONTROLLER: &str = "controller";

/// The controller's token scales `web` to five, which its attempt announced.
fn scales(ground: &Ground) -> Result<()> {
    let outcome = ground.scale(CONTROLLER, WEB, 5)?;
    ensure!(outcome.succeeded, "what was announced should pass: {}", outcome.text());
    ensure!(ground.replicas("web")? == 5);
    Ok(())
}

#[test]
fn a_write_that_nothing_announced() -> Result<()> {
    let ground = Ground::new("nothing")?;
    ground.unwarranted(&ground.scale(CONTROLLER, WEB, 5)?, "")?;
    let restart = json!({"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}});
    let restart = ["patch", WEB, "-p", &restart.to_string()];
    ground.unwarranted(&ground.kubectl(CONTROLLER, &restart)?, "")?;
    ground.scaling("more")?;
    scales(&ground)
}

#[test]
fn a_write_after_its_remediation_has_ended() -> Result<()> {
    let ground = Ground::new("ended")?;
    let scaling = ground.scaling("more")?;
    let mut status = scaling["status"].clone();
    status["attempts"][0]["result"] = json!("Failed");
    let settled = ground.tells(&scaling, &status)?;
    ground.unwarranted(&ground.scale(CONTROLLER, WEB, 5)?, "no open attempt")?;
    status["phase"] = json!("Failed");
    status["outcome"] = json!({"reason": "Failed", "message": "it failed", "finishedAt": at(0)?});
    ground.tells(&settled, &status)?;
    ground.unwarranted(&ground.scale(CONTROLLER, WEB, 5)?, "")?;
    ground.scaling("again")?;
    scales(&ground)
}

#[test]
fn a_write_whose_remediation_was_deleted() -> Result<()> {
    let ground = Ground::new("deleted")?;
    ground.scaling("more")?;
    ground.allowed("developer", &["delete", "remediation/more"])?;
    ground.unwarranted(&ground.scale(CONTROLLER, WEB, 5)?, "")?;
    ground.scaling("again")?;
    scales(&ground)
}

#[test]
fn a_second_write_under_one_attempt() -> Result<()> {
    let ground = Ground::new("second")?;
    ground.scaling("more")?;
    scales(&ground)?;
    ground.allowed("developer", &["scale", WEB, "--replicas=4"])?;
    let again = ground.scale(CONTROLLER, WEB, 5)?;
    ground.unwarranted(&again, "")?;
    ensure!(ground.replicas("web")? == 4);
    Ok(())
}

#[test]
fn a_write_that_was_announced_in_another_namespace() -> Result<()> {
    let (here, there) = (Ground::new("not-here")?, Ground::new("but-there")?);
    there.scaling("more")?;
    here.unwarranted(&here.scale(CONTROLLER, WEB, 5)?, "")?;
    scales(&there)
}

#[test]
fn a_write_that_was_announced_for_another_object() -> Result<()> {
    let ground = Ground::new("another")?;
    ground.create(&ground.manifest("api", 3))?;
    ground.scaling("more")?;
    ground.unwarranted(&ground.scale(CONTROLLER, "deployment/api", 5)?, "")?;
    scales(&ground)
}

#[test]
fn a_write_for_an_object_that_was_made_anew_under_the_name() -> Result<()> {
    let ground = Ground::new("anew")?;
    ground.scaling("more")?;
    ground.allowed("admin", &["delete", WEB, "--cascade=orphan", "--wait=false"])?;
    let finalizers = r#"{"metadata":{"finalizers":null}}"#;
    ground.kubectl("admin", &["patch", WEB, "--type=merge", "-p", finalizers])?;
    ground.create(&ground.manifest("web", 3))?;
    ground.unwarranted(&ground.scale(CONTROLLER, WEB, 5)?, "")?;
    ground.scaling("again")?;
    scales(&ground)
}

#[test]
fn more_replicas_than_were_announced() -> Result<()> {
    let ground = Ground::new("bigger")?;
    ground.at_work("more", &json!({}), &to(4), &json!({}))?;
    ground.unwarranted(&ground.scale(CONTROLLER, WEB, 5)?, "spec.replicas")?;
    let outcome = ground.scale(CONTROLLER, WEB, 4)?;
    ensure!(outcome.succeeded, "{}", outcome.text());
    Ok(())
}

#[test]
fn something_beside_the_announced_patch() -> Result<()> {
    let ground = Ground::new("beside")?;
    let template = |annotations: &Value| json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
    let body = template(&json!({"team": "shop"})).to_string();
    let patch = json!({"format": "strategic", "body": body});
    let spec = json!({"action": {"type": "patch", "scale": null, "patch": patch}});
    let intent = json!({"type": "patch", "patch": patch});
    ground.at_work("more", &spec, &intent, &json!({}))?;
    let write = |body: &str| ground.kubectl(CONTROLLER, &["patch", WEB, "-p", body]);
    let more = template(&json!({"team": "shop", "proxy": "other"})).to_string();
    ground.unwarranted(&write(&more)?, "proxy")?;
    let number = json!({"spec": {"replicas": 4, "template": template(&json!({"team": "shop"}))["spec"]["template"]}});
    ground.unwarranted(&write(&number.to_string())?, "spec.replicas")?;
    let outcome = write(&body)?;
    ensure!(outcome.succeeded, "{}", outcome.text());
    Ok(())
}

#[test]
fn books_that_others_keep_in_an_annotation() -> Result<()> {
    let ground = Ground::new("books")?;
    let applied = "kubectl.kubernetes.io/last-applied-configuration";
    let planted = |key: &str, replicas: u32| {
        let metadata = json!({"annotations": {key: "{}"}});
        json!({"metadata": metadata, "spec": {"replicas": replicas}}).to_string()
    };
    let refused = |actor: &str, key: &str, replicas: u32, word: &str| {
        let body = planted(key, replicas);
        let patch = ["patch", WEB, "--type=merge", "-p", &body];
        // A cluster that has just come up may not have read its Remediations yet; then it is undecided, and denied.
        eventually(SECONDS, &format!("{key} is refused to {actor} by {word}"), || {
            let outcome = ground.kubectl(actor, &patch)?;
            let text = outcome.text();
            ensure!(
                !outcome.succeeded && text.contains("rule paths") && text.contains(key),
                "{text}"
            );
            Ok(Seen::when(text.contains(word), text))
        })
    };
    for key in [applied, "deployment.kubernetes.io/revision"] {
        // Alone, and riding along with what the safelist allows.
        for replicas in [3, 4] {
            refused("agent", key, replicas, "rule paths")?;
            refused(CONTROLLER, key, replicas, "smartops-controller/warrant")?;
        }
    }
    // Or with what was announced.
    ground.scaling("more")?;
    refused(CONTROLLER, applied, 5, "smartops-controller/warrant")?;
    scales(&ground)?;
    // The twins: a person's `kubectl apply`, and an agent's that leaves the books alone.
    let file = |replicas: u32| ground.file(&ground.manifest("web", replicas));
    ground.allowed("developer", &["apply", "-f", &file(4)?])?;
    ground.denied("agent", &["apply", "-f", &file(5)?], &["rule paths", applied])?;
    let own = ["apply", "--server-side", "--force-conflicts", "--field-manager=bot"];
    ground.allowed("agent", &[&own[..], &["-f", &file(5)?]].concat())?;
    ensure!(ground.replicas("web")? == 5);
    Ok(())
}

#[test]
fn a_real_write_under_the_warrant_of_a_dry_run() -> Result<()> {
    let ground = Ground::new("dry")?;
    ground.at_work("more", &json!({"dryRun": true}), &to(5), &json!({}))?;
    ground.unwarranted(&ground.scale(CONTROLLER, WEB, 5)?, "dry run")?;
    let patch = json!({"spec": {"replicas": 5}}).to_string();
    let dry = ["patch", WEB, "--subresource=scale", "--type=merge", "-p", &patch];
    ground.allowed(CONTROLLER, &[&dry[..], &["--dry-run=server"]].concat())?;
    ensure!(ground.replicas("web")? == 3);
    Ok(())
}

#[test]
fn a_write_after_the_attempts_deadline() -> Result<()> {
    let ground = Ground::new("late")?;
    ground.at_work("more", &json!({}), &to(5), &json!({"deadline": at(8)?}))?;
    let patch = json!({"spec": {"replicas": 5}}).to_string();
    let dry = ["patch", WEB, "--subresource=scale", "--type=merge", "-p", &patch];
    let dry = [&dry[..], &["--dry-run=server"]].concat();
    // The twin: a moment ago it would have passed.
    ground.allowed(CONTROLLER, &dry)?;
    eventually(SECONDS, "the deadline has passed", || {
        let text = ground.kubectl(CONTROLLER, &dry)?.text();
        Ok(Seen::when(text.contains("has passed"), text))
    })?;
    ground.unwarranted(&ground.scale(CONTROLLER, WEB, 5)?, "has passed")
}

#[test]
fn an_agent_that_rides_on_the_controllers_warrant() -> Result<()> {
    let ground = Ground::new("riding")?;
    ground.binds_automation(&json!({"warrant": {"required": true}}))?;
    ground.scaling("more")?;
    ground.unwarranted(
        &ground.scale("agent", WEB, 5)?,
        "which system:serviceaccount:smartops-dev:agent is not",
    )?;
    scales(&ground)?;
    ground.allowed("operator", &["delete", "gp", ground.name()])?;
    Ok(())
}

#[test]
fn the_attempt_of_another_replica_of_the_controller() -> Result<()> {
    let ground = Ground::new("replica")?;
    let (mine, other) = (format!("{}-a", ground.name()), format!("{}-b", ground.name()));
    let leader = json!({"leader": format!("{mine}/1")});
    ground.at_work("more", &json!({}), &to(5), &leader)?;
    let other = identities::controller_in_pod(ground.cluster(), &other)?;
    ground.unwarranted(&ground.scale(&other, WEB, 5)?, "leave it to that pod")?;
    let mine = identities::controller_in_pod(ground.cluster(), &mine)?;
    let outcome = ground.scale(&mine, WEB, 5)?;
    ensure!(outcome.succeeded, "{}", outcome.text());
    Ok(())
}

#[test]
fn a_warranted_write_beyond_what_a_policy_allows() -> Result<()> {
    let ground = Ground::new("beyond")?;
    ground.at_work("more", &json!({}), &to(11), &json!({}))?;
    let text = ground.scale(CONTROLLER, WEB, 11)?.text();
    ensure!(text.contains("rule replicas") && !text.contains("rule warrant"), "{text}");
    ensure!(ground.replicas("web")? == 3);
    Ok(())
}

#[test]
fn an_undo_that_would_leave_less_than_there_has_to_be() -> Result<()> {
    let ground = Ground::new("undone")?;
    // Somebody had it at nothing before the policies came; the remedy brought it to two.
    let scale = ["patch", WEB, "--type=merge", "-p", r#"{"spec":{"replicas":0}}"#];
    let annotate = ["annotate", WEB, "smartops.dev/break-glass=nothing runs before the opening"];
    ground.allowed("developer", &annotate)?;
    ground.allowed(
        "admin",
        &[&scale[..], &["--as=olga", "--as-group=oncall", "--as-group=system:masters"]].concat(),
    )?;
    let scaling = ground.at_work("more", &json!({}), &to(2), &json!({}))?;
    let outcome = ground.scale(CONTROLLER, WEB, 2)?;
    ensure!(outcome.succeeded, "{}", outcome.text());
    let live = ground.get("web")?;
    let mut status = scaling["status"].clone();
    status["phase"] = json!("Verifying");
    status["attempts"][0]["result"] = json!("Written");
    status["attempts"][0]["writtenGeneration"] = live["metadata"]["generation"].clone();
    let verifying = ground.tells(&scaling, &status)?;
    let mut undo = ground.attempt("web", &to(0))?;
    undo["number"] = json!(2);
    undo["kind"] = json!("Undo");
    let mut status = with_another(&verifying["status"], &undo);
    status["phase"] = json!("Executing");
    ground.tells(&verifying, &status)?;
    let text = ground.scale(CONTROLLER, WEB, 0)?.text();
    ensure!(text.contains("rule replicas"), "{text}");
    ensure!(ground.replicas("web")? == 2);
    Ok(())
}

#[test]
fn something_that_a_foreign_mutator_adds_to_an_announced_write() -> Result<()> {
    let ground = Ground::new("mutator")?;
    let name = ground.name();
    let admin = ground.cluster().kubectl("admin");
    let expression = "Object{spec: Object.spec{template: Object.spec.template{metadata: \
        Object.spec.template.metadata{annotations: \
        Object.spec.template.metadata.annotations{injected: 'yes'}}}}}";
    let rule = json!({"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"],
        "resources": ["deployments"]});
    let labels = json!({"kubernetes.io/metadata.name": name});
    let group = "admissionregistration.k8s.io/v1";
    admin.apply_all(&[
        json!({"apiVersion": group, "kind": "MutatingAdmissionPolicy", "metadata": {"name": name}, "spec": {
            "matchConstraints": {"resourceRules": [rule]}, "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}],
        }}),
        json!({"apiVersion": group, "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": name}, "spec": {
            "policyName": name, "matchResources": {"namespaceSelector": {"matchLabels": labels}},
        }}),
    ])?;
    let annotation = json!({"metadata": {"annotations": {"note": "seen"}}}).to_string();
    eventually(SECONDS, "the foreign mutator is at work", || {
        let patch = ["patch", WEB, "--dry-run=server", "-o", "json", "-p", &annotation];
        let outcome = ground.kubectl("developer", &patch)?;
        let text = outcome.text();
        Ok(Seen::when(text.contains("injected"), text))
    })?;
    let body = json!({"spec": {"template": {"metadata": {"annotations": {"team": "shop"}}}}});
    let patch = json!({"format": "strategic", "body": body.to_string()});
    let spec = json!({"action": {"type": "patch", "scale": null, "patch": patch}});
    let intent = json!({"type": "patch", "patch": patch});
    ground.at_work("more", &spec, &intent, &json!({}))?;
    let write = || ground.kubectl(CONTROLLER, &["patch", WEB, "-p", &body.to_string()]);
    ground.unwarranted(&write()?, "injected")?;
    for kind in ["mutatingadmissionpolicybinding", "mutatingadmissionpolicy"] {
        ground.allowed("admin", &["delete", kind, name])?;
    }
    eventually(SECONDS, "without it the announced write passes", || {
        let outcome = write()?;
        Ok(Seen::when(outcome.succeeded, outcome.text()))
    })
}
