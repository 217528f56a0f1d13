//! More replicas than there may be, or fewer: on a Deployment and on its scale, by every way of writing.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::ground::{EVERYBODY, Ground};

const WEB: &str = "deployment/web";
const NUMBER: [&str; 1] = ["rule replicas"];

fn patch<'a>(kind: &'a str, patch: &'a str) -> [&'a str; 6] {
    ["patch", WEB, "--type", kind, "-p", patch]
}

fn with_replicas(object: &Value, replicas: u32) -> Value {
    let mut object = object.clone();
    object["spec"]["replicas"] = json!(replicas);
    object
}

#[test]
fn fifty_replicas_by_merge_patch() -> Result<()> {
    let ground = Ground::with_web("merge")?;
    ground.refused(&patch("merge", r#"{"spec":{"replicas":50}}"#), &NUMBER)?;
    ground.allowed("developer", &patch("merge", r#"{"spec":{"replicas":10}}"#))?;
    Ok(())
}

#[test]
fn fifty_replicas_by_strategic_patch() -> Result<()> {
    let ground = Ground::with_web("strategic")?;
    ground.refused(&patch("strategic", r#"{"spec":{"replicas":50}}"#), &NUMBER)?;
    ground.allowed("owner", &patch("strategic", r#"{"spec":{"replicas":10}}"#))?;
    Ok(())
}

#[test]
fn fifty_replicas_by_json_patch_with_a_test_that_holds() -> Result<()> {
    let ground = Ground::with_web("json")?;
    let to = |n: u32| {
        json!([{"op": "test", "path": "/spec/replicas", "value": 3},
            {"op": "replace", "path": "/spec/replicas", "value": n}])
        .to_string()
    };
    ground.refused(&patch("json", &to(50)), &NUMBER)?;
    ground.allowed("developer", &patch("json", &to(10)))?;
    Ok(())
}

#[test]
fn fifty_replicas_by_server_side_apply() -> Result<()> {
    let ground = Ground::with_web("apply")?;
    let apply = ["apply", "--server-side", "--force-conflicts"];
    let manifest = ground.manifest("web", 3);
    ground.refused_object(&apply, &with_replicas(&manifest, 50), &NUMBER)?;
    ground.allowed_object("developer", &apply, &with_replicas(&manifest, 10))
}

#[test]
fn fifty_replicas_by_replacing_the_object() -> Result<()> {
    let ground = Ground::with_web("replace")?;
    let manifest = ground.manifest("web", 3);
    ground.refused_object(&["replace"], &with_replicas(&manifest, 50), &NUMBER)?;
    ground.allowed_object("developer", &["replace"], &with_replicas(&manifest, 10))
}

#[test]
fn fifty_replicas_on_the_scale() -> Result<()> {
    let ground = Ground::with_web("scale")?;
    ground.refused(&["scale", WEB, "--replicas=50"], &NUMBER)?;
    ground.allowed("developer", &["scale", WEB, "--replicas=10"])?;
    Ok(())
}

#[test]
fn fifty_replicas_by_a_patch_of_the_scale() -> Result<()> {
    let ground = Ground::with_web("scale-patch")?;
    let to = |n: u32| json!({"spec": {"replicas": n}}).to_string();
    let (fifty, four) = (to(50), to(4));
    let patch = |text| ["patch", WEB, "--subresource=scale", "--type=merge", "-p", text];
    ground.refused(&patch(fifty.as_str()), &NUMBER)?;
    ground.observed("web")?;
    ground.allowed("agent", &patch(four.as_str()))?;
    Ok(())
}

#[test]
fn fifty_replicas_under_a_key_that_is_written_another_way() -> Result<()> {
    let ground = Ground::with_web("written")?;
    ground.refused(&patch("merge", "{\"spec\":{\"\\u0072eplicas\":50}}"), &NUMBER)?;
    ground.allowed("developer", &patch("merge", "{\"spec\":{\"\\u0072eplicas\":5}}"))?;
    Ok(())
}

#[test]
fn fifty_replicas_under_another_name() -> Result<()> {
    let ground = Ground::new("another")?;
    let other = ground.manifest("other", 50);
    ground.refused_object(&["create"], &other, &NUMBER)?;
    ground.allowed_object("developer", &["create"], &with_replicas(&other, 10))
}

#[test]
fn fifty_replicas_under_a_name_the_server_generates() -> Result<()> {
    let ground = Ground::new("generated")?;
    let mut object = ground.manifest("other", 50);
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("name");
        metadata.insert("generateName".to_owned(), json!("other-"));
    }
    ground.refused_object(&["create"], &object, &NUMBER)?;
    ground.allowed_object("developer", &["create"], &with_replicas(&object, 5))
}

#[test]
fn fifty_replicas_after_the_object_was_deleted() -> Result<()> {
    let ground = Ground::with_web("recreated")?;
    ground.allowed("developer", &["delete", WEB, "--wait=false"])?;
    let manifest = ground.manifest("web", 50);
    ground.refused_object(&["create"], &manifest, &NUMBER)?;
    ground.allowed_object("developer", &["create"], &with_replicas(&manifest, 3))
}

#[test]
fn fifty_replicas_after_a_dry_run_that_was_fine() -> Result<()> {
    let ground = Ground::with_web("dry")?;
    let fine = ["scale", WEB, "--replicas=5", "--dry-run=server"];
    for actor in EVERYBODY {
        ground.observed("web")?;
        // The controller tries out nothing that it has not announced.
        if actor == "controller" {
            ground.denied(actor, &fine, &["rule warrant"])?;
        } else {
            ground.allowed(actor, &fine)?;
        }
    }
    ground.refused(&["scale", WEB, "--replicas=50", "--dry-run=server"], &NUMBER)?;
    ground.refused(&["scale", WEB, "--replicas=50"], &NUMBER)?;
    ensure!(ground.replicas("web")? == 3, "a dry run was stored");
    ground.allowed("agent", &["scale", WEB, "--replicas=5"])?;
    Ok(())
}

#[test]
fn fifty_replicas_while_the_rollout_is_paused() -> Result<()> {
    let ground = Ground::with_web("paused")?;
    ground.allowed("developer", &["rollout", "pause", WEB])?;
    ground.refused(&["scale", WEB, "--replicas=50"], &NUMBER)?;
    let resumed = r#"{"spec":{"paused":false,"replicas":50}}"#;
    ground.refused(&patch("merge", resumed), &NUMBER)?;
    ground.allowed("developer", &patch("merge", r#"{"spec":{"paused":false,"replicas":5}}"#))?;
    Ok(())
}

#[test]
fn fifty_replicas_beside_a_harmless_annotation() -> Result<()> {
    let ground = Ground::with_web("beside")?;
    let with = |n: u32| {
        json!({"metadata": {"annotations": {"note": "it's \"fine\""}}, "spec": {"replicas": n}})
            .to_string()
    };
    ground.refused(&patch("merge", &with(50)), &NUMBER)?;
    ground.allowed("developer", &patch("merge", &with(5)))?;
    Ok(())
}

#[test]
fn a_number_in_a_status_write_is_stored_for_nobody() -> Result<()> {
    let ground = Ground::with_web("status")?;
    let status = |text| ["patch", WEB, "--subresource=status", "--type=merge", "-p", text];
    ground.refused_to_automation(&status(r#"{"spec":{"replicas":50}}"#))?;
    // Whoever may write the status at all writes nothing but the status.
    ground.allowed("admin", &status(r#"{"spec":{"replicas":50}}"#))?;
    ensure!(ground.replicas("web")? == 3, "a status write was stored as a spec");
    Ok(())
}

#[test]
fn no_replicas_on_the_scale() -> Result<()> {
    let ground = Ground::with_web("zero-scale")?;
    ground.refused(&["scale", WEB, "--replicas=0"], &NUMBER)?;
    ground.allowed("developer", &["scale", WEB, "--replicas=1"])?;
    Ok(())
}

#[test]
fn no_replicas_on_the_object() -> Result<()> {
    let ground = Ground::with_web("zero-object")?;
    ground.refused(&patch("merge", r#"{"spec":{"replicas":0}}"#), &NUMBER)?;
    ground.allowed("developer", &patch("merge", r#"{"spec":{"replicas":1}}"#))?;
    Ok(())
}

#[test]
fn replicas_set_to_null_mean_one() -> Result<()> {
    let ground = Ground::with_labelled_web("null", "pair")?;
    ground.refused(&patch("merge", r#"{"spec":{"replicas":null}}"#), &["bypass-pair"])?;
    ground.allowed("developer", &patch("merge", r#"{"spec":{"replicas":2}}"#))?;
    Ok(())
}

#[test]
fn replicas_taken_out_by_json_patch_mean_one() -> Result<()> {
    let ground = Ground::with_labelled_web("removed", "pair")?;
    let removed = r#"[{"op":"remove","path":"/spec/replicas"}]"#;
    ground.refused(&patch("json", removed), &["bypass-pair"])?;
    ground.allowed(
        "developer",
        &patch("json", r#"[{"op":"replace","path":"/spec/replicas","value":2}]"#),
    )?;
    Ok(())
}

#[test]
fn replicas_left_out_of_the_manifest_mean_one() -> Result<()> {
    let ground = Ground::new("dropped")?;
    let mut manifest = ground.manifest("web", 3);
    manifest["metadata"]["labels"]["pair"] = json!("yes");
    let apply = ["apply", "--server-side", "--force-conflicts"];
    ground.allowed_object("developer", &apply, &manifest)?;
    let mut without = manifest.clone();
    if let Some(spec) = without["spec"].as_object_mut() {
        spec.remove("replicas");
    }
    // Whoever owns the field gives it up with it; a PUT gives up everybody's.
    ground.denied(
        "developer",
        &[&apply[..], &["-f", &ground.file(&without)?]].concat(),
        &["bypass-pair"],
    )?;
    ground.refused_object(&["replace"], &without, &["bypass-pair"])?;
    ground.allowed_object("developer", &["replace"], &with_replicas(&manifest, 2))
}

#[test]
fn writes_that_race_never_leave_more_than_there_may_be() -> Result<()> {
    let ground = Ground::with_web("race")?;
    std::thread::scope(|scope| {
        for (number, actor) in EVERYBODY.into_iter().cycle().take(8).enumerate() {
            let ground = &ground;
            let replicas = format!("--replicas={}", [10, 50, 11, 12][number % 4]);
            scope.spawn(move || ground.kubectl(actor, &["scale", WEB, &replicas]));
        }
    });
    let replicas = ground.replicas("web")?;
    ensure!(replicas <= 10, "{replicas} replicas got through");
    ground.allowed("developer", &["scale", WEB, "--replicas=10"])?;
    Ok(())
}

#[test]
fn a_user_with_quotes_in_the_name_is_judged_like_everybody() -> Result<()> {
    let ground = Ground::with_web("quotes")?;
    let by = ["--as=o'neil\\\" || true", "--as-group=system:masters"];
    ground.denied("admin", &[&["scale", WEB, "--replicas=50"], &by[..]].concat(), &NUMBER)?;
    ground.allowed("admin", &[&["scale", WEB, "--replicas=5"], &by[..]].concat())?;
    Ok(())
}

#[test]
fn whoever_is_impersonated_is_the_one_who_is_judged() -> Result<()> {
    let ground = Ground::with_web("as")?;
    ground.observed("web")?;
    let by = "--as=system:serviceaccount:smartops-dev:agent";
    ground.denied("admin", &["scale", WEB, "--replicas=6", by], &["smartops-automation"])?;
    ground.allowed("admin", &["scale", WEB, "--replicas=5", by])?;
    Ok(())
}
