//! The controller's further actions: each off until a policy switches it on, and then exactly as announced. What was
//! announced is written here with the controller's token; no controller runs, and nothing but the tests moves an object.

use std::sync::OnceLock;

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::{Value, json};
use smartops_tests::cluster::Cluster;
use smartops_tests::kubectl::Outcome;
use smartops_tests::wait::{Seen, eventually};

use crate::attacks::ground::{Ground, SECONDS, WEB};
use crate::support::{quiet, silent};

const CONTROLLER: &str = "controller";
const ALL: [&str; 4] = ["rollback", "podEviction", "pause", "hpaBounds"];

/// A cluster in which the shipped policy switches every capability on.
fn capable() -> Result<&'static Cluster> {
    static CAPABLE: OnceLock<Result<Cluster, String>> = OnceLock::new();
    let cluster = CAPABLE.get_or_init(|| {
        let cluster = silent("capabilities").map_err(|error| format!("{error:#}"))?;
        let on: Value = ALL.into_iter().map(|name| (name.to_owned(), json!(true))).collect();
        let patch = json!({"spec": {"rules": {"capabilities": on}}}).to_string();
        let patch = ["patch", "gp/smartops-automation", "--type=merge", "-p", &patch];
        let outcome = cluster.kubectl("admin").run(&patch).map_err(|error| format!("{error:#}"))?;
        if outcome.succeeded { Ok(cluster) } else { Err(outcome.text()) }
    });
    cluster.as_ref().map_err(|error| anyhow!("the cluster with all capabilities: {error}"))
}

/// A ground where the controller was given the rights that its further actions ask for.
fn ground(cluster: &'static Cluster, prefix: &str) -> Result<Ground> {
    let ground = Ground::on(cluster, prefix)?;
    for role in ["smartops-orchestrator-evict-pods", "smartops-orchestrator-hpa-bounds"] {
        let (role, account) = (
            format!("--clusterrole={role}"),
            "--serviceaccount=smartops-system:smartops-orchestrator",
        );
        let name = role.trim_start_matches("--clusterrole=").to_owned();
        ground.allowed("admin", &["create", "rolebinding", &name, &role, account])?;
    }
    // Nobody makes it while the controllers of the cluster rest.
    ground.allowed("admin", &["create", "serviceaccount", "default"])?;
    Ok(ground)
}

/// Creates an object of the admin's, and hands out what is stored.
fn made(ground: &Ground, object: &Value) -> Result<Value> {
    ground.allowed_object("admin", object)
}

fn owner(object: &Value) -> Value {
    let metadata = &object["metadata"];
    json!([{
        "apiVersion": "apps/v1", "kind": object["kind"], "name": metadata["name"],
        "uid": metadata["uid"], "controller": true,
    }])
}

/// A ReplicaSet of `web`, as its controller would have made it of this template.
fn revision(ground: &Ground, name: &str, template: &Value) -> Result<Value> {
    let web = ground.get("web")?;
    let mut template = template.clone();
    template["metadata"]["labels"]["pod-template-hash"] = json!(name);
    let mut selector = web["spec"]["selector"].clone();
    selector["matchLabels"]["pod-template-hash"] = json!(name);
    let mut owner = owner(&web);
    owner[0]["kind"] = json!("Deployment");
    made(
        ground,
        &json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "namespace": ground.name(), "name": name, "ownerReferences": owner,
                "labels": template["metadata"]["labels"],
                "annotations": {"deployment.kubernetes.io/revision": "1"},
            },
            "spec": {"replicas": 1, "selector": selector, "template": template},
        }),
    )
}

/// The template of `web`, with one annotation more.
fn former(ground: &Ground) -> Result<Value> {
    let mut template = ground.get("web")?["spec"]["template"].clone();
    template["metadata"]["annotations"] = json!({"note": "as it was"});
    Ok(template)
}

/// The digest of a pod template, as the webhook writes it down of a Deployment that has it.
fn digest(ground: &Ground, template: &Value) -> Result<String> {
    let mut twin = ground.manifest("twin", 1);
    twin["metadata"]["name"] = Value::Null;
    twin["metadata"]["generateName"] = json!("twin-");
    twin["spec"]["template"] = template.clone();
    twin["spec"]["selector"] = ground.get("web")?["spec"]["selector"].clone();
    let uid = made(ground, &twin)?["metadata"]["uid"].clone();
    let get = ["-n", "smartops-system", "changeledgers", ground.name()];
    eventually(SECONDS, "the ledger holds the digest", || {
        let ledger = ground.cluster().kubectl("admin").get(&get).unwrap_or_default();
        let mut entries = ledger["spec"]["workloads"].as_array().into_iter().flatten();
        let entry = entries.find(|entry| entry["uid"] == uid);
        let found = entry.and_then(|entry| entry["template"].as_str());
        Ok(found.map_or_else(
            || Seen::NotYet("no entry".to_owned()),
            |found| Seen::Done(found.to_owned()),
        ))
    })
}

fn back_to(ground: &Ground, set: &Value, template: &Value) -> Result<Value> {
    let (name, uid) = (&set["metadata"]["name"], &set["metadata"]["uid"]);
    Ok(json!({"type": "rollback", "revision": {
        "replicaSet": name, "uid": uid, "number": 1, "template": digest(ground, template)?,
    }}))
}

/// A Remediation that asks for an action of this type and is at work on this intent.
fn at_work(ground: &Ground, type_: &str, intent: &Value, edit: &Value) -> Result<Value> {
    let mut action = json!({"type": type_, "scale": null});
    if type_ == "hpa-bounds" {
        action["hpaBounds"] = json!({"maxReplicas": 8});
    }
    ground.at_work(type_, &json!({"action": action}), intent, edit)
}

fn patched(ground: &Ground, what: &str, how: &str, patch: &Value) -> Result<Outcome> {
    ground.kubectl(CONTROLLER, &["patch", what, how, "-p", &patch.to_string()])
}

fn rolled_back(ground: &Ground, template: &Value, beside: Option<Value>) -> Result<Outcome> {
    let mut patch = vec![json!({"op": "replace", "path": "/spec/template", "value": template})];
    patch.extend(beside);
    patched(ground, WEB, "--type=json", &json!(patch))
}

fn paused(ground: &Ground, is_paused: bool) -> Result<Outcome> {
    patched(ground, WEB, "--type=merge", &json!({"spec": {"paused": is_paused}}))
}

fn moved(ground: &Ground, min: u32, max: u32) -> Result<Outcome> {
    let bounds = json!({"spec": {"minReplicas": min, "maxReplicas": max}});
    patched(ground, "hpa/web", "--type=merge", &bounds)
}

fn evicted(ground: &Ground, pod: &Value, options: &Value) -> Result<Outcome> {
    let name = pod["metadata"]["name"].as_str().context("a pod without a name")?;
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"namespace": ground.name(), "name": name}, "deleteOptions": options,
    });
    let path = format!("/api/v1/namespaces/{}/pods/{name}/eviction", ground.name());
    ground.kubectl(CONTROLLER, &["create", "--raw", &path, "-f", &ground.file(&eviction)?])
}

/// A pod of this ReplicaSet that becomes ready.
fn pod(ground: &Ground, name: &str, set: &Value) -> Result<Value> {
    pod_with(ground, name, set, &set["spec"]["template"]["metadata"]["labels"])
}

/// A pod of this ReplicaSet that never becomes ready.
fn sick_pod(ground: &Ground, name: &str, set: &Value) -> Result<Value> {
    let mut labels = set["spec"]["template"]["metadata"]["labels"].clone();
    labels["smartops.dev/crash-loop"] = json!("true");
    pod_with(ground, name, set, &labels)
}

fn pod_with(ground: &Ground, name: &str, set: &Value, labels: &Value) -> Result<Value> {
    let mut owner = owner(set);
    owner[0]["kind"] = json!("ReplicaSet");
    made(
        ground,
        &json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": ground.name(), "name": name, "ownerReferences": owner,
                         "labels": labels},
            "spec": set["spec"]["template"]["spec"],
        }),
    )
}

fn eviction_of(pod: &Value) -> Value {
    json!({"type": "evict-pod", "pod": {"name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}})
}

fn exactly(pod: &Value) -> Value {
    json!({"preconditions": {"uid": pod["metadata"]["uid"]}})
}

fn autoscaler(ground: &Ground) -> Result<Value> {
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    made(
        ground,
        &json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"namespace": ground.name(), "name": "web"},
            "spec": {"minReplicas": 1, "maxReplicas": 5, "scaleTargetRef": target},
        }),
    )
}

fn bounds(autoscaler: &Value, min: u32, max: u32) -> Value {
    let metadata = &autoscaler["metadata"];
    json!({"type": "hpa-bounds", "bounds": {
        "name": metadata["name"], "uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"],
        "minReplicas": min, "maxReplicas": max,
    }})
}

fn former_bounds() -> Value {
    json!({"former": {"bounds": {"minReplicas": 1, "maxReplicas": 5}}})
}

/// That the policy refuses an action that it has not switched on, and says how that is done.
fn is_off(outcome: &Outcome, capability: &str) -> Result<()> {
    let text = outcome.text();
    let how = format!("by spec.rules.capabilities.{capability}: true");
    let names = "policy smartops-automation, rule capabilities";
    ensure!(!outcome.succeeded && text.contains(names) && text.contains(&how), "{text}");
    Ok(())
}

/// That a write on the target has no warrant; what else its policies say of it may come first.
fn has_no_warrant(outcome: &Outcome) -> Result<()> {
    let text = outcome.text();
    let is_refused = !outcome.succeeded && text.contains("SmartOps denies");
    let words = ["policy smartops-controller, rule warrant", "smartops-controller/warrant"];
    ensure!(is_refused && words.iter().any(|word| text.contains(word)), "{text}");
    Ok(())
}

fn passes(outcome: &Outcome) -> Result<()> {
    ensure!(outcome.succeeded, "{}", outcome.text());
    Ok(())
}

#[test]
fn going_back_is_off_until_it_is_switched_on_and_then_to_that_revision_and_nothing_else()
-> Result<()> {
    let off = ground(quiet()?, "back-off")?;
    let template = former(&off)?;
    let set = revision(&off, "web-1", &template)?;
    at_work(&off, "rollback", &back_to(&off, &set, &template)?, &json!({}))?;
    is_off(&rolled_back(&off, &template, None)?, "rollback")?;

    let on = ground(capable()?, "back")?;
    let template = former(&on)?;
    let set = revision(&on, "web-1", &template)?;
    at_work(&on, "rollback", &back_to(&on, &set, &template)?, &json!({}))?;
    let mut other = template.clone();
    other["metadata"]["annotations"]["note"] = json!("as it never was");
    has_no_warrant(&rolled_back(&on, &other, None)?)?;
    let beside = json!({"op": "add", "path": "/spec/minReadySeconds", "value": 5});
    has_no_warrant(&rolled_back(&on, &template, Some(beside))?)?;
    eventually(SECONDS, "what was announced passes", || {
        let outcome = rolled_back(&on, &template, None)?;
        Ok(Seen::when(outcome.succeeded, outcome.text()))
    })?;
    ensure!(on.get("web")?["spec"]["template"]["metadata"]["annotations"]["note"] == "as it was");
    Ok(())
}

#[test]
fn going_back_to_what_is_no_revision_of_the_target_or_to_other_images_unapproved_is_refused()
-> Result<()> {
    let on = ground(capable()?, "astray")?;
    on.create(&on.manifest("other", 1))?;
    let template = former(&on)?;
    let set = revision(&on, "web-1", &template)?;
    let action = json!({"spec": {"action": {"type": "rollback", "scale": null}}});
    let lies = |name: &str, intent: &Value, words: &str| -> Result<()> {
        let made = on.made(CONTROLLER, name, &action)?;
        let attempt = on.attempt("web", intent)?;
        on.lies(&made, &json!({"phase": "Executing", "attempts": [attempt]}), &[words])
    };
    let mut strange = back_to(&on, &set, &template)?;
    strange["revision"]["uid"] = json!("another");
    lies("strange", &strange, "is another one of that name")?;
    let mut gone = back_to(&on, &set, &template)?;
    gone["revision"]["replicaSet"] = json!("web-0");
    lies("gone", &gone, "is gone")?;
    let mut changed = template.clone();
    changed["spec"]["hostNetwork"] = json!(true);
    lies("changed", &back_to(&on, &set, &changed)?, "has another pod template")?;

    let mut image = template.clone();
    image["spec"]["containers"][0]["image"] = json!("registry.example/web:0");
    let set = revision(&on, "web-2", &image)?;
    at_work(&on, "rollback", &back_to(&on, &set, &image)?, &json!({}))?;
    has_no_warrant(&rolled_back(&on, &image, None)?)
}

#[test]
fn an_eviction_is_off_until_it_is_switched_on_and_then_of_that_pod_and_no_other_way() -> Result<()>
{
    let off = ground(quiet()?, "evict-off")?;
    let set = revision(&off, "web-1", &former(&off)?)?;
    let sick = sick_pod(&off, "web-1-a", &set)?;
    at_work(&off, "evict-pod", &eviction_of(&sick), &json!({}))?;
    is_off(&evicted(&off, &sick, &exactly(&sick))?, "podEviction")?;

    let on = ground(capable()?, "evict")?;
    let set = revision(&on, "web-1", &former(&on)?)?;
    let (sick, well) = (sick_pod(&on, "web-1-a", &set)?, pod(&on, "web-1-b", &set)?);
    on.allowed("admin", &["wait", "--for=condition=Ready", "pod/web-1-b", "--timeout=30s"])?;
    let action = json!({"spec": {"action": {"type": "evict-pod", "scale": null}}});
    let unwell = on.made(CONTROLLER, "unwell", &action)?;
    let claim =
        json!({"phase": "Executing", "attempts": [on.attempt("web", &eviction_of(&well))?]});
    on.lies(&unwell, &claim, &["which is ready"])?;
    at_work(&on, "evict-pod", &eviction_of(&sick), &json!({}))?;
    on.unwarranted(&evicted(&on, &well, &exactly(&well))?, "nothing announced this write")?;
    on.unwarranted(&evicted(&on, &sick, &json!({}))?, "deleteOptions.preconditions.uid")?;
    let mut at_once = exactly(&sick);
    at_once["gracePeriodSeconds"] = json!(0);
    on.unwarranted(&evicted(&on, &sick, &at_once)?, "deleteOptions.gracePeriodSeconds")?;
    on.denied(
        "admin",
        &[&["delete", "pod/web-1-a"], &crate::attacks::ground::CONTROLLER[..]].concat(),
        &[],
    )?;
    eventually(SECONDS, "what was announced passes", || {
        let outcome = evicted(&on, &sick, &exactly(&sick))?;
        Ok(Seen::when(outcome.succeeded, outcome.text()))
    })
}

#[test]
fn a_pause_is_off_until_it_is_switched_on_and_then_one_word() -> Result<()> {
    let off = ground(quiet()?, "pause-off")?;
    at_work(&off, "pause", &json!({"type": "pause"}), &json!({}))?;
    is_off(&paused(&off, true)?, "pause")?;

    let on = ground(capable()?, "pause")?;
    at_work(&on, "pause", &json!({"type": "pause"}), &json!({}))?;
    let more = json!({"spec": {"paused": true, "minReadySeconds": 5}});
    has_no_warrant(&patched(&on, WEB, "--type=merge", &more)?)?;
    passes(&paused(&on, true)?)?;
    has_no_warrant(&paused(&on, false)?)?;
    at_work(&on, "resume", &json!({"type": "resume"}), &json!({}))?;
    passes(&paused(&on, false)?)?;
    ensure!(on.get("web")?["spec"]["paused"].is_null());
    Ok(())
}

#[test]
fn an_autoscalers_bounds_are_off_until_they_are_switched_on_and_then_those_two_numbers()
-> Result<()> {
    let off = ground(quiet()?, "bounds-off")?;
    let present = autoscaler(&off)?;
    at_work(&off, "hpa-bounds", &bounds(&present, 1, 8), &former_bounds())?;
    is_off(&moved(&off, 1, 8)?, "hpaBounds")?;

    let on = ground(capable()?, "bounds")?;
    let present = autoscaler(&on)?;
    at_work(&on, "hpa-bounds", &bounds(&present, 1, 8), &former_bounds())?;
    on.unwarranted(&moved(&on, 1, 9)?, "spec.maxReplicas")?;
    on.unwarranted(&moved(&on, 2, 8)?, "spec.minReplicas")?;
    passes(&moved(&on, 1, 8)?)?;
    on.unwarranted(&moved(&on, 1, 5)?, "it was written since")
}

#[test]
fn bounds_that_were_never_there_and_an_autoscaler_of_another_are_not_taken_on_record() -> Result<()>
{
    let ground = ground(quiet()?, "bounds-forged")?;
    let present = autoscaler(&ground)?;
    let action = json!({"type": "hpa-bounds", "scale": null, "hpaBounds": {"maxReplicas": 8}});
    let made = ground.made(CONTROLLER, "forged", &json!({"spec": {"action": action}}))?;
    let mut attempt = ground.attempt("web", &bounds(&present, 1, 8))?;
    attempt["former"]["bounds"] = json!({"minReplicas": 1, "maxReplicas": 6});
    let status = |attempt: &Value| json!({"phase": "Executing", "attempts": [attempt]});
    ground.lies(&made, &status(&attempt), &["former.bounds"])?;
    attempt["former"]["bounds"] = former_bounds()["former"]["bounds"].clone();
    attempt["intent"]["bounds"]["maxReplicas"] = json!(9);
    ground.lies(&made, &status(&attempt), &["not what was asked for comes to"])?;
    attempt["intent"]["bounds"]["maxReplicas"] = json!(8);
    let executing = ground.tells(&made, &status(&attempt))?;
    // Nor is a write claimed that the autoscaler does not show.
    let mut claimed = executing["status"].clone();
    claimed["attempts"][0]["result"] = json!("Written");
    claimed["attempts"][0]["writtenGeneration"] = attempt["target"]["generation"].clone();
    ground.lies(&executing, &claimed, &["the bounds differ"])
}
