//! The same through another kind of workload, or through the ReplicaSet in between.

use anyhow::Result;
use serde_json::json;

use super::ground::Ground;

const WORDS: [&str; 1] = ["rule replicas"];

#[test]
fn a_stateful_set_of_fifty() -> Result<()> {
    let ground = Ground::new("sts-create")?;
    ground.refused_object(&["create"], &ground.workload("StatefulSet", "store", 50), &WORDS)?;
    ground.allowed_object("developer", &["create"], &ground.workload("StatefulSet", "store", 2))
}

#[test]
fn a_stateful_set_that_is_scaled_to_fifty() -> Result<()> {
    let ground = Ground::new("sts-scale")?;
    ground.create(&ground.workload("StatefulSet", "store", 2))?;
    ground.refused(&["scale", "statefulset/store", "--replicas=50"], &WORDS)?;
    let patch = |text| ["patch", "statefulset/store", "--type=merge", "-p", text];
    ground.refused(&patch(r#"{"spec":{"replicas":50}}"#), &WORDS)?;
    ground.allowed("developer", &patch(r#"{"spec":{"replicas":3}}"#))?;
    ground.allowed("owner", &["scale", "statefulset/store", "--replicas=4"])?;
    Ok(())
}

#[test]
fn a_stateful_set_that_is_scaled_to_nothing() -> Result<()> {
    let ground = Ground::new("sts-zero")?;
    ground.create(&ground.workload("StatefulSet", "store", 2))?;
    ground.refused(&["scale", "statefulset/store", "--replicas=0"], &WORDS)?;
    ground.allowed("developer", &["scale", "statefulset/store", "--replicas=1"])?;
    Ok(())
}

#[test]
fn a_deployments_replica_set_that_is_scaled_by_hand() -> Result<()> {
    let ground = Ground::with_web("rs-scale")?;
    let set = format!("rs/{}", ground.set_of("web")?);
    ground.refused(&["scale", &set, "--replicas=50"], &WORDS)?;
    let patch = |text| ["patch", &set, "--type=merge", "-p", text];
    ground.refused(&patch(r#"{"spec":{"replicas":50}}"#), &WORDS)?;
    ground.allowed("developer", &["scale", &set, "--replicas=4"])?;
    Ok(())
}

#[test]
fn a_replica_set_of_fifty_that_nobody_owns() -> Result<()> {
    let ground = Ground::new("rs-bare")?;
    ground.refused_object(&["create"], &ground.workload("ReplicaSet", "loose", 50), &WORDS)?;
    ground.allowed_object("developer", &["create"], &ground.workload("ReplicaSet", "loose", 2))
}

#[test]
fn a_replica_set_of_a_guarded_deployments_labels_that_it_would_adopt() -> Result<()> {
    let ground = Ground::with_labelled_web("rs-adopted", "pinned")?;
    // Not owned, and by its labels the Deployment's: what it runs would be taken for the Deployment's.
    let mut foreign = ground.workload("ReplicaSet", "web", 1);
    foreign["metadata"]["name"] = json!("web-by-hand");
    foreign["spec"]["replicas"] = json!(50);
    ground.refused_object(&["create"], &foreign, &WORDS)?;
    foreign["spec"]["replicas"] = json!(1);
    ground.allowed_object("developer", &["create"], &foreign)
}

#[test]
fn a_replica_set_that_is_taken_from_its_deployment_first() -> Result<()> {
    let ground = Ground::with_web("rs-orphan")?;
    let set = format!("rs/{}", ground.set_of("web")?);
    let patch = |text| ["patch", &set, "--type=merge", "-p", text];
    ground.refused(
        &patch(r#"{"metadata":{"ownerReferences":null},"spec":{"replicas":50}}"#),
        &WORDS,
    )?;
    ground.allowed("developer", &patch(r#"{"metadata":{"annotations":{"note":"mine"}}}"#))?;
    Ok(())
}

#[test]
fn a_replication_controller_of_fifty() -> Result<()> {
    let ground = Ground::new("rc")?;
    ground.refused_object(
        &["create"],
        &ground.workload("ReplicationController", "old", 50),
        &WORDS,
    )?;
    ground.allowed_object(
        "developer",
        &["create"],
        &ground.workload("ReplicationController", "old", 2),
    )?;
    ground.refused(&["scale", "rc/old", "--replicas=50"], &WORDS)?;
    ground.allowed("developer", &["scale", "rc/old", "--replicas=3"])?;
    Ok(())
}

#[test]
fn a_job_of_fifty_pods_at_once() -> Result<()> {
    let ground = Ground::new("job")?;
    ground.refused_object(&["create"], &ground.job("Job", "import", 50), &["bypass-numbers"])?;
    ground.allowed_object("developer", &["create"], &ground.job("Job", "import", 2))?;
    let patch = |text| ["patch", "job/import", "--type=merge", "-p", text];
    ground.refused(&patch(r#"{"spec":{"parallelism":50}}"#), &["bypass-numbers"])?;
    ground.allowed("developer", &patch(r#"{"spec":{"parallelism":10}}"#))?;
    Ok(())
}

#[test]
fn a_cron_job_of_fifty_pods_at_once() -> Result<()> {
    let ground = Ground::new("cronjob")?;
    ground.refused_object(
        &["create"],
        &ground.job("CronJob", "nightly", 50),
        &["bypass-numbers"],
    )?;
    ground.allowed_object("developer", &["create"], &ground.job("CronJob", "nightly", 2))?;
    let patch = |text| ["patch", "cronjob/nightly", "--type=merge", "-p", text];
    let fifty = r#"{"spec":{"jobTemplate":{"spec":{"parallelism":50}}}}"#;
    ground.refused(&patch(fifty), &["bypass-numbers"])?;
    ground
        .allowed("developer", &patch(r#"{"spec":{"jobTemplate":{"spec":{"parallelism":3}}}}"#))?;
    Ok(())
}

#[test]
fn a_custom_resource_of_fifty() -> Result<()> {
    let ground = Ground::new("custom")?;
    ground.refused_object(&["create"], &ground.cache("hot", 50), &["bypass-numbers"])?;
    ground.allowed_object("developer", &["create"], &ground.cache("hot", 2))?;
    let patch = |text| ["patch", "caches/hot", "--type=merge", "-p", text];
    ground.refused(&patch(r#"{"spec":{"size":50}}"#), &["bypass-numbers"])?;
    ground.allowed("developer", &patch(r#"{"spec":{"size":3}}"#))?;
    Ok(())
}

#[test]
fn a_custom_resource_that_is_scaled_to_fifty() -> Result<()> {
    let ground = Ground::new("custom-scale")?;
    ground.create(&ground.cache("hot", 2))?;
    ground.refused(&["scale", "caches/hot", "--replicas=50"], &["bypass-numbers"])?;
    ground.refused(&["scale", "caches/hot", "--replicas=0"], &["bypass-numbers"])?;
    ground.allowed("developer", &["scale", "caches/hot", "--replicas=3"])?;
    Ok(())
}
