//! Remediations that pretend: made in another's name, by whoever may not, or changed into others.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::ground::Ground;

const BY_THE_SCHEMA: &str = "is invalid";

/// A person is refused a Remediation changed by `edit`, and nobody is refused one without it.
fn refused_beside_its_twin(prefix: &str, edit: &Value, words: &[&str]) -> Result<()> {
    let ground = Ground::new(prefix)?;
    let bad = ground.remediation("more", "web", edit)?;
    for actor in ["developer", "owner", "approver"] {
        ground.denied_object(actor, &bad, words)?;
    }
    ground.made("developer", "more", &json!({}))?;
    Ok(())
}

#[test]
fn a_remediation_in_somebody_elses_name() -> Result<()> {
    let ground = Ground::new("name")?;
    let edit = json!({"spec": {"requestedBy": "boss", "createdBy": "boss"}});
    for actor in ["developer", "owner"] {
        let stored = ground.made(actor, &format!("by-{actor}"), &edit)?;
        let (asked, made) = (&stored["spec"]["requestedBy"], &stored["spec"]["createdBy"]);
        ensure!(asked == actor && made == actor, "{stored}");
    }
    // The controller asks for others, and cannot hide that it was the one who made it.
    let stored = ground.made("controller", "by-controller", &edit)?;
    let made = "system:serviceaccount:smartops-system:smartops-orchestrator";
    ensure!(stored["spec"]["requestedBy"] == "boss", "{stored}");
    ensure!(stored["spec"]["createdBy"] == made, "{stored}");
    Ok(())
}

#[test]
fn a_remediation_that_poses_as_the_closed_loops() -> Result<()> {
    let edit = json!({"spec": {"source": "closed-loop"}});
    refused_beside_its_twin("posing", &edit, &["spec.source"])
}

#[test]
fn a_remediation_that_brings_a_signal_to_go_first() -> Result<()> {
    let edit = json!({"spec": {"signal": {"kind": "rca", "id": "w-1", "score": 1.0}}});
    refused_beside_its_twin("signal", &edit, &["spec.signal"])
}

#[test]
fn a_remediation_that_goes_past_a_policy_for_its_maker() -> Result<()> {
    let ground = Ground::new("past")?;
    let name = ground.name();
    let kinds =
        ["deployments", "deployments/scale"].map(|r| json!({"group": "apps", "resource": r}));
    let labels = json!({"kubernetes.io/metadata.name": name});
    let policy = json!({
        "apiVersion": "smartops.dev/v1alpha1", "kind": "GuardrailPolicy", "metadata": {"name": name},
        "spec": {
            "match": {
                "kinds": kinds,
                "operations": ["UPDATE"], "namespaces": {"selector": {"matchLabels": labels}},
                "subjects": {"include": {"users": ["developer"]}},
            },
            "rules": {"replicas": {"max": 4}},
        },
    });
    ground.allowed("operator", &["apply", "-f", &ground.file(&policy)?])?;
    let accepted = ["wait", "--for=condition=Accepted", &format!("gp/{name}"), "--timeout=20s"];
    ground.allowed("admin", &accepted)?;
    ground.denied(
        "developer",
        &["scale", super::ground::WEB, "--replicas=5"],
        &["rule replicas"],
    )?;
    let five = ground.remediation("more", "web", &json!({}))?;
    ground.denied_object("developer", &five, &["spec.action", name])?;
    ground.allowed_object("owner", &five)?;
    ground.allowed("operator", &["delete", "gp", name]).map(drop)
}

#[test]
fn a_remediation_for_a_cause_of_the_controllers() -> Result<()> {
    let edit = json!({"spec": {"cause": "rca/memory_leak"}});
    refused_beside_its_twin("cause", &edit, &["spec.cause"])
}

#[test]
fn a_remediation_under_a_name_the_controller_would_give() -> Result<()> {
    let edit = json!({"metadata": {"name": "web-0123456789abcdef"}});
    refused_beside_its_twin("reserved", &edit, &["metadata.name"])
}

#[test]
fn a_remediation_by_somebody_who_may_not_do_it_himself() -> Result<()> {
    let ground = Ground::new("may-not")?;
    let role = ["create", "rolebinding", "intern", "--clusterrole=smartops-test-party"];
    ground.allowed("admin", &[&role[..], &["--user=intern"]].concat())?;
    let object = ground.remediation("more", "web", &json!({}))?;
    let file = ground.file(&object)?;
    let create = ["create", "-f", &file, "--as=intern"];
    ground.denied("admin", &create, &["spec.action", "may not patch deployments/scale web"])?;
    let right = ["create", "role", "scaler", "--verb=patch", "--resource=deployments.apps/scale"];
    ground.allowed("admin", &right)?;
    let binding = ["create", "rolebinding", "scaler", "--role=scaler", "--user=intern"];
    ground.allowed("admin", &binding)?;
    ground.allowed("admin", &create)?;
    Ok(())
}

#[test]
fn a_remediation_made_by_an_agent() -> Result<()> {
    let ground = Ground::new("agents")?;
    let object = ground.remediation("more", "web", &json!({"spec": {"source": "ai-agent"}}))?;
    for actor in ["agent", "meddler"] {
        ground.denied_object(actor, &object, &[])?;
    }
    ground.allowed_object("developer", &object)?;
    Ok(())
}

#[test]
fn a_remediation_that_is_turned_to_another_target() -> Result<()> {
    let ground = Ground::new("turned")?;
    ground.made("developer", "more", &json!({}))?;
    for spec in [
        json!({"target": {"name": "api"}}),
        json!({"dryRun": true}),
        json!({"requestedBy": "boss"}),
    ] {
        let patch = json!({"spec": spec}).to_string();
        for actor in ["developer", "owner"] {
            let patch = ["patch", "remediation/more", "--type=merge", "-p", &patch];
            let text = ground.kubectl(actor, &patch)?.text();
            ensure!(text.contains(BY_THE_SCHEMA) && text.contains("immutable"), "{text}");
        }
    }
    ground.allowed("developer", &["annotate", "remediation/more", "note=seen"])?;
    Ok(())
}

#[test]
fn a_remediation_that_is_relabelled_to_another_target() -> Result<()> {
    let ground = Ground::new("relabelled")?;
    ground.made("developer", "more", &json!({}))?;
    for key in ["smartops.dev/target-uid", "smartops.dev/cause"] {
        let label = |value: &str| -> Vec<String> {
            ["label", "--overwrite", "remediation/more", value].map(str::to_owned).to_vec()
        };
        for other in [label(&format!("{key}=other")), label(&format!("{key}-"))] {
            let arguments: Vec<&str> = other.iter().map(String::as_str).collect();
            ground.denied("developer", &arguments, &[&format!("metadata.labels[{key}]")])?;
        }
    }
    ground.allowed("developer", &["label", "remediation/more", "team=shop"])?;
    Ok(())
}

#[test]
fn a_remediation_that_comes_with_a_status_of_its_makers() -> Result<()> {
    let ground = Ground::new("with-status")?;
    let attempt = ground.attempt("web", &super::ground::to(50))?;
    let status = json!({"phase": "Executing", "attempts": [attempt]});
    for actor in ["developer", "controller"] {
        let stored = ground.made(actor, actor, &json!({"status": status}))?;
        ensure!(stored["status"].is_null(), "{stored}");
    }
    Ok(())
}

#[test]
fn an_eviction_of_a_pod_that_is_ready() -> Result<()> {
    let ground = Ground::new("well")?;
    ground.allowed("admin", &["create", "serviceaccount", "default"])?;
    let web = ground.get("web")?;
    let owned = |api: &str, kind: &str, by: &Value| {
        json!([{"apiVersion": api, "kind": kind, "name": by["metadata"]["name"],
                "uid": by["metadata"]["uid"], "controller": true}])
    };
    let template = &web["spec"]["template"];
    let set = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"namespace": ground.name(), "name": "web-1", "labels": template["metadata"]["labels"],
                     "ownerReferences": owned("apps/v1", "Deployment", &web)},
        "spec": {"replicas": 1, "selector": web["spec"]["selector"], "template": template},
    });
    let set = ground.allowed_object("admin", &set)?;
    // No node takes it, so that nobody but the test says whether it is ready.
    let mut spec = template["spec"].clone();
    spec["schedulingGates"] = json!([{"name": "attack.example/none"}]);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": ground.name(), "name": "web-1-a", "labels": template["metadata"]["labels"],
                     "ownerReferences": owned("apps/v1", "ReplicaSet", &set)},
        "spec": spec,
    });
    let pod = ground.allowed_object("admin", &pod)?;
    let is_ready = |is: &str| -> Result<()> {
        let conditions = json!([{"type": "Ready", "status": is}]);
        let status = json!({"status": {"conditions": conditions}}).to_string();
        let patch = ["patch", "pod/web-1-a", "--subresource=status", "-p", &status];
        ground.allowed("admin", &patch).map(drop)
    };
    let asked = json!({"spec": {"action": {"type": "evict-pod", "scale": null}}});
    let made = ground.made("controller", "evict", &asked)?;
    let intent =
        json!({"type": "evict-pod", "pod": {"name": "web-1-a", "uid": pod["metadata"]["uid"]}});
    let status = json!({"phase": "Executing", "attempts": [ground.attempt("web", &intent)?]});
    is_ready("True")?;
    ground.lies(&made, &status, &["status.attempts[0].intent", "which is ready"])?;
    is_ready("False")?;
    ground.tells(&made, &status).map(drop)
}
