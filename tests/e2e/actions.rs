//! The further actions: refused while their capability is off, and doing exactly what they say where it is on; a dry run
//! shows what would be written, and a disruption budget has its say.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::{Value, json};
use smartops_tests::cluster::Cluster;
use smartops_tests::http::Answer;
use smartops_tests::programs::controller_api;
use smartops_tests::wait::{Seen, eventually};

use crate::scene::{Scene, post};
use crate::support::own;

const SOON: Duration = Duration::from_mins(1);
/// The capabilities and the roles that are off and unbound unless somebody switches them on.
const CAPABILITIES: [&str; 4] = ["rollback", "podEviction", "pause", "hpaBounds"];
const ROLES: [&str; 2] = ["smartops-orchestrator-evict-pods", "smartops-orchestrator-hpa-bounds"];
const RBAC_DENIED: &str = "smartops_orchestrator_rbac_denied_total";

/// A cluster whose operator switched every capability on.
pub(crate) fn capable() -> Result<&'static Cluster> {
    static CAPABLE: OnceLock<Result<Cluster, String>> = OnceLock::new();
    let made = CAPABLE.get_or_init(|| switched_on().map_err(|error| format!("{error:#}")));
    made.as_ref().map_err(|error| anyhow!("the cluster with capabilities: {error}"))
}

fn switched_on() -> Result<Cluster> {
    let cluster = own("capable")?;
    let on: Value = CAPABILITIES.into_iter().map(|name| (name.to_owned(), json!(true))).collect();
    // A rollback changes the template, which rests for two minutes after each change: not here.
    let patch = json!({"spec": {"rules": {"capabilities": on, "cooldown": null}}}).to_string();
    let operator = cluster.kubectl("operator");
    for policy in ["smartops-automation", "smartops-controller"] {
        let policy = format!("guardrailpolicy/{policy}");
        operator.run(&["patch", &policy, "--type=merge", "-p", &patch])?.ok()?;
    }
    Ok(cluster)
}

/// A namespace there, where the controller is given the roles too.
pub(crate) fn scene(prefix: &str) -> Result<Scene> {
    let ns = Scene::on(capable()?, prefix)?;
    let account = "--serviceaccount=smartops-system:smartops-orchestrator";
    for role in ROLES {
        let role_flag = format!("--clusterrole={role}");
        ns.allowed("admin", &["create", "rolebinding", role, &role_flag, account])?;
    }
    Ok(ns)
}

/// An envelope for the Deployment `web`.
fn envelope(ns: &Scene, type_: &str, more: &Value) -> Value {
    let mut body = json!({
        "type": type_, "target": {"namespace": ns.name(), "name": "web"},
        "verify": true, "verify_timeout_seconds": 60,
    });
    if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
        body.extend(more.clone());
    }
    body
}

fn execute(ns: &Scene, type_: &str, more: &Value) -> Result<Answer> {
    controller_api(capable()?)?.post("/v1/actions/execute", &envelope(ns, type_, more))
}

/// Does it, and waits until it has succeeded.
fn done(ns: &Scene, type_: &str, more: &Value) -> Result<Value> {
    let reply = execute(ns, type_, more)?;
    ensure!([200, 202].contains(&reply.status), "{type_}: {} {}", reply.status, reply.text);
    let name = reply.body["details"]["remediation"].as_str().context("no name")?.to_owned();
    let ended = eventually(SOON, &format!("{type_} has ended"), || {
        let found = ns.remediations()?.into_iter().find(|r| r["metadata"]["name"] == *name);
        Ok(match found {
            Some(r) if r["status"]["outcome"].is_object() => Seen::Done(r),
            other => Seen::NotYet(format!("{other:?}")),
        })
    })?;
    ensure!(ended["status"]["phase"] == "Succeeded", "{type_}: {:#}", ended["status"]);
    Ok(ended)
}

/// Annotates the pod template, which makes a revision.
fn revise(ns: &Scene, version: &str) -> Result<()> {
    let annotations = json!({"version": version});
    let patch = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
    ns.allowed("developer", &["patch", "deployment/web", "-p", &patch.to_string()])?;
    ns.rolled_out("web")
}

#[test]
fn while_its_capability_is_off_an_action_is_denied_in_a_sentence_that_names_it() -> Result<()> {
    let ns = Scene::new("incapable")?;
    ns.deploy("web", 2)?;
    revise(&ns, "1")?;
    revise(&ns, "2")?;
    for (type_, capability) in [("rollback", "rollback"), ("pause", "pause")] {
        let reply = post("/v1/actions/execute", &envelope(&ns, type_, &json!({})))?;
        ensure!(reply.status == 422, "{type_}: {} {}", reply.status, reply.text);
        ensure!(reply.text.contains(capability), "{}", reply.text);
    }
    ensure!(ns.committed_writes("web")? == 0);
    Ok(())
}

#[test]
fn a_capability_without_its_role_is_refused_by_rbac_once_and_counted() -> Result<()> {
    let ns = Scene::on(capable()?, "no-role")?;
    ns.deploy("web", 2)?;
    autoscale(&ns)?;
    let labels = [("verb", "patch"), ("resource", "horizontalpodautoscalers")];
    let before = ns.counted(RBAC_DENIED, &labels)?;
    let reply = execute(&ns, "hpa_bounds", &json!({"hpa_bounds": {"max_replicas": 6}}))?;
    ensure!(reply.body["success"] != true && reply.text.contains("cannot patch"), "{}", reply.text);
    let counted = ns.counts(RBAC_DENIED, &labels, before + 1.0)? - before;
    ensure!(counted < 2.0, "tried {counted} times: asking again gives nobody a right");
    Ok(())
}

#[test]
fn a_rollback_brings_back_the_template_before_and_the_next_one_knows_it_by_its_digest() -> Result<()>
{
    let ns = scene("rollback")?;
    ns.deploy("web", 2)?;
    revise(&ns, "1")?;
    revise(&ns, "2")?;
    let tried = execute(&ns, "rollback", &json!({"dry_run": true}))?;
    let revision = &tried.body["details"]["runner"]["result"]["revision"];
    ensure!(revision["number"] == 2, "{}", tried.text);
    ensure!(ns.template_annotation("web", "version")?.as_deref() == Some("2"), "only tried");

    let ended = done(&ns, "rollback", &json!({}))?;
    ensure!(ns.template_annotation("web", "version")?.as_deref() == Some("1"));
    let intent = &ended["status"]["attempts"][0]["intent"]["revision"];
    ensure!(intent["template"] == revision["template"], "{intent} {revision}");
    // Revision 2 has become 4; the number says which is meant.
    done(&ns, "rollback", &json!({"rollback": {"to_revision": 3}}))?;
    ensure!(ns.template_annotation("web", "version")?.as_deref() == Some("2"));
    let unknown = execute(&ns, "rollback", &json!({"rollback": {"to_revision": 99}}))?;
    ensure!(unknown.status == 400 && unknown.text.contains("no revision 99"), "{}", unknown.text);
    Ok(())
}

#[test]
fn a_rollout_is_paused_and_resumed() -> Result<()> {
    let ns = scene("pause")?;
    ns.deploy("web", 2)?;
    done(&ns, "pause", &json!({}))?;
    ensure!(ns.get("web")?["spec"]["paused"] == true);
    let busy = execute(&ns, "restart", &json!({}))?;
    ensure!(busy.status == 409 && busy.text.contains("paused"), "{}", busy.text);
    done(&ns, "resume", &json!({}))?;
    ensure!(ns.get("web")?["spec"]["paused"].is_null());
    Ok(())
}

#[test]
fn an_unhealthy_pod_is_evicted_once_its_budget_lets_it_go_and_a_ready_one_never_is() -> Result<()> {
    let ns = scene("evict")?;
    ns.deploy("web", 2)?;
    let healthy = execute(&ns, "evict_pod", &json!({}))?;
    ensure!(healthy.status == 400 && healthy.text.contains("is ready"), "{}", healthy.text);
    let mut crashing = ns.manifest("web", 2);
    crashing["metadata"]["name"] = json!("sick");
    crashing["spec"]["selector"]["matchLabels"] = json!({"app": "sick"});
    crashing["spec"]["template"]["metadata"]["labels"] =
        json!({"app": "sick", "smartops.dev/crash-loop": "true"});
    ns.create(&crashing)?;
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"namespace": ns.name(), "name": "sick"},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "sick"}}},
    });
    let file = ns.file(&budget)?;
    ns.allowed("admin", &["apply", "-f", &file])?;
    let pods = || -> Result<Vec<String>> {
        let uids = "jsonpath={.items[*].metadata.uid}";
        let text = ns.allowed("developer", &["get", "pods", "-l", "app=sick", "-o", uids])?;
        Ok(text.split_whitespace().map(str::to_owned).collect())
    };
    eventually(SOON, "both pods crash and the budget is looked after", || {
        let seen = ns.allowed(
            "admin",
            &["get", "pdb/sick", "-o", "jsonpath={.status.observedGeneration}"],
        )?;
        let phases = "jsonpath={.items[*].status.phase}";
        let run = ns.allowed("developer", &["get", "pods", "-l", "app=sick", "-o", phases])?;
        Ok(Seen::when(run.trim() == "Running Running" && seen == "1", format!("{run} {seen}")))
    })?;
    let before = pods()?;
    let mut body = envelope(&ns, "evict_pod", &json!({"verify": false}));
    body["target"]["name"] = json!("sick");
    let api = controller_api(capable()?)?;
    let asked = std::thread::spawn(move || api.post("/v1/actions/execute", &body));
    let cause = "api/evict-pod";
    let of = || -> Result<Option<Value>> {
        let all = ns.remediations()?.into_iter();
        let mut those =
            all.filter(|r| r["spec"]["cause"] == cause && r["spec"]["target"]["name"] == "sick");
        Ok(those.next())
    };
    eventually(SOON, "the budget says not now, in its own words", || {
        let seen = of()?.unwrap_or_default();
        let words = seen["status"]["attempts"][0]["message"].as_str().unwrap_or_default();
        Ok(Seen::when(words.contains("disruption budget"), format!("{:#}", seen["status"])))
    })?;
    ensure!(pods()? == before, "and the pod stays");
    ns.allowed("admin", &["delete", "pdb/sick"])?;
    let ended = eventually(SOON, "the pod is evicted", || {
        let seen = of()?.unwrap_or_default();
        let has_ended = seen["status"]["outcome"].is_object();
        Ok(if has_ended { Seen::Done(seen) } else { Seen::NotYet(format!("{:#}", seen["status"])) })
    })?;
    ensure!(ended["status"]["phase"] == "Succeeded", "{:#}", ended["status"]);
    let evicted = ended["status"]["attempts"][0]["intent"]["pod"]["uid"].as_str().context("uid")?;
    ensure!(before.iter().any(|uid| uid == evicted));
    eventually(SOON, "another takes its place", || {
        let now = pods()?;
        Ok(Seen::when(!now.iter().any(|uid| uid == evicted), format!("{now:?}")))
    })?;
    asked.join().ok().context("the caller")??;
    Ok(())
}

/// Gives `web` an autoscaler between 2 and 5 replicas.
fn autoscale(ns: &Scene) -> Result<()> {
    let hpa = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"namespace": ns.name(), "name": "web"},
        "spec": {
            "minReplicas": 2, "maxReplicas": 5,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "metrics": [{"type": "Resource", "resource": {
                "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}],
        },
    });
    let file = ns.file(&hpa)?;
    ns.allowed("admin", &["apply", "-f", &file]).map(drop)
}

#[test]
fn an_autoscalers_bounds_are_moved_and_verified_by_what_it_does() -> Result<()> {
    let ns = scene("bounds")?;
    ns.deploy("web", 2)?;
    autoscale(&ns)?;
    let asked = json!({"hpa_bounds": {"min_replicas": 3, "max_replicas": 6}});
    let ended = done(&ns, "hpa_bounds", &asked)?;
    let former = &ended["status"]["attempts"][0]["former"]["bounds"];
    ensure!(*former == json!({"minReplicas": 2, "maxReplicas": 5}), "{former}");
    ensure!(ns.replicas("web")? == 3, "the autoscaler did it");
    ensure!(ns.committed_writes("web")? == 0, "and the controller did not touch the Deployment");
    Ok(())
}
