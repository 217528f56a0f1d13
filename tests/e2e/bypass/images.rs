//! Images from elsewhere, in every place that carries one.

use anyhow::Result;
use serde_json::{Value, json};

use super::ground::Ground;

const WEB: &str = "deployment/web";
const WORDS: [&str; 2] = ["bypass-images", "elsewhere.example.com"];
const FOREIGN: &str = "elsewhere.example.com/tool:1";
const OWN: &str = "registry.smartops.dev/tool:1";

fn patch(text: &str) -> [&str; 4] {
    ["patch", WEB, "-p", text]
}

fn in_pod_spec(spec: &Value) -> String {
    json!({"spec": {"template": {"spec": spec}}}).to_string()
}

#[test]
fn a_foreign_image_in_a_container() -> Result<()> {
    let ground = Ground::with_web("image")?;
    ground.refused(&["set", "image", WEB, "web=elsewhere.example.com/web:1"], &WORDS)?;
    ground.allowed("developer", &["set", "image", WEB, "web=registry.smartops.dev/web:2"])?;
    Ok(())
}

#[test]
fn a_foreign_image_in_a_new_sidecar() -> Result<()> {
    let ground = Ground::with_web("sidecar")?;
    let with =
        |image: &str| in_pod_spec(&json!({"containers": [{"name": "side", "image": image}]}));
    ground.refused(&patch(&with(FOREIGN)), &WORDS)?;
    ground.allowed("developer", &patch(&with(OWN)))?;
    Ok(())
}

#[test]
fn a_foreign_image_in_an_init_container() -> Result<()> {
    let ground = Ground::with_web("init")?;
    let with =
        |image: &str| in_pod_spec(&json!({"initContainers": [{"name": "init", "image": image}]}));
    ground.refused(&patch(&with(FOREIGN)), &WORDS)?;
    ground.allowed("developer", &patch(&with(OWN)))?;
    Ok(())
}

#[test]
fn a_foreign_image_as_a_volume() -> Result<()> {
    let ground = Ground::with_web("volume")?;
    let with = |image: &str| {
        in_pod_spec(&json!({"volumes": [{"name": "model", "image": {"reference": image}}]}))
    };
    ground.refused(&patch(&with(FOREIGN)), &WORDS)?;
    ground.allowed("developer", &patch(&with(OWN)))?;
    Ok(())
}

#[test]
fn a_foreign_image_that_looks_like_our_registry() -> Result<()> {
    let ground = Ground::with_web("lookalike")?;
    for image in [
        "registry.smartops.dev.elsewhere.example.com/web:1",
        "elsewhere.example.com/registry.smartops.dev/web:1",
    ] {
        ground.refused(&["set", "image", WEB, &format!("web={image}")], &WORDS)?;
    }
    ground
        .allowed("developer", &["set", "image", WEB, "web=registry.smartops.dev/deep/er/web:1"])?;
    Ok(())
}

#[test]
fn the_latest_tag_by_leaving_the_tag_out() -> Result<()> {
    let ground = Ground::with_web("latest")?;
    ground.refused(
        &["set", "image", WEB, "web=registry.smartops.dev/web"],
        &["bypass-images", "latest"],
    )?;
    ground.allowed("developer", &["set", "image", WEB, "web=registry.smartops.dev/web:2"])?;
    Ok(())
}

#[test]
fn a_foreign_image_in_a_pod_that_nobody_owns() -> Result<()> {
    let ground = Ground::new("pod-image")?;
    ground.refused_object(&["create"], &ground.bare_pod("lone", FOREIGN), &WORDS)?;
    ground.allowed_object("developer", &["create"], &ground.bare_pod("lone", OWN))
}

#[test]
fn a_foreign_image_in_a_running_pod() -> Result<()> {
    let ground = Ground::new("pod-in-place")?;
    ground.create(&ground.bare_pod("lone", OWN))?;
    ground.refused(&["set", "image", "pod/lone", &format!("lone={FOREIGN}")], &WORDS)?;
    ground
        .allowed("developer", &["set", "image", "pod/lone", "lone=registry.smartops.dev/tool:2"])?;
    Ok(())
}

#[test]
fn a_foreign_image_as_an_ephemeral_container() -> Result<()> {
    let ground = Ground::new("ephemeral")?;
    ground.create(&ground.bare_pod("lone", OWN))?;
    let with = |image: &str| {
        json!({"spec": {"ephemeralContainers": [{"name": "shell", "image": image}]}}).to_string()
    };
    let (foreign, own) = (with(FOREIGN), with(OWN));
    let patch = |text| ["patch", "pod/lone", "--subresource=ephemeralcontainers", "-p", text];
    ground.refused(&patch(foreign.as_str()), &WORDS)?;
    ground.allowed("developer", &patch(own.as_str()))?;
    Ok(())
}

#[test]
fn a_foreign_image_in_a_replica_set_of_a_deployment() -> Result<()> {
    let ground = Ground::with_web("rs-image")?;
    let set = format!("rs/{}", ground.set_of("web")?);
    ground.refused(&["set", "image", &set, "web=elsewhere.example.com/web:1"], &WORDS)?;
    ground.allowed("developer", &["set", "image", &set, "web=registry.smartops.dev/web:2"])?;
    Ok(())
}

#[test]
fn a_foreign_image_in_a_daemon_set() -> Result<()> {
    let ground = Ground::new("daemon-image")?;
    ground.create(&ground.workload("DaemonSet", "agentd", 0))?;
    ground.refused(
        &["set", "image", "daemonset/agentd", "agentd=elsewhere.example.com/web:1"],
        &WORDS,
    )?;
    ground.allowed(
        "developer",
        &["set", "image", "daemonset/agentd", "agentd=registry.smartops.dev/web:2"],
    )?;
    Ok(())
}

#[test]
fn a_foreign_image_in_a_cron_job() -> Result<()> {
    let ground = Ground::new("cron-image")?;
    ground.create(&ground.job("CronJob", "nightly", 1))?;
    ground.refused(
        &["set", "image", "cronjob/nightly", "nightly=elsewhere.example.com/web:1"],
        &WORDS,
    )?;
    ground.allowed(
        "developer",
        &["set", "image", "cronjob/nightly", "nightly=registry.smartops.dev/web:2"],
    )?;
    Ok(())
}

#[test]
fn a_pinned_container_under_another_name() -> Result<()> {
    let ground = Ground::with_labelled_web("renamed", "pinned")?;
    let renamed =
        r#"[{"op":"replace","path":"/spec/template/spec/containers/0/name","value":"other"}]"#;
    ground.refused(&["patch", WEB, "--type=json", "-p", renamed], &["bypass-pinned"])?;
    let variable = r#"[{"op":"add","path":"/spec/template/spec/containers/0/env","value":[{"name":"A","value":"b"}]}]"#;
    ground.allowed("developer", &["patch", WEB, "--type=json", "-p", variable])?;
    Ok(())
}

#[test]
fn pinned_images_that_change_places() -> Result<()> {
    let ground = Ground::new("swapped")?;
    let mut manifest = ground.manifest("web", 1);
    manifest["metadata"]["labels"]["pinned"] = json!("yes");
    manifest["spec"]["template"]["spec"]["containers"] = json!([{"name": "a", "image": OWN},
        {"name": "b", "image": "registry.smartops.dev/other:1"}]);
    ground.create(&manifest)?;
    let swapped = r#"[{"op":"move","from":"/spec/template/spec/containers/0/image","path":"/spec/template/spec/x"},
        {"op":"copy","from":"/spec/template/spec/containers/1/image","path":"/spec/template/spec/containers/0/image"},
        {"op":"move","from":"/spec/template/spec/x","path":"/spec/template/spec/containers/1/image"}]"#;
    ground.refused(&["patch", WEB, "--type=json", "-p", swapped], &["bypass-pinned"])?;
    let reordered = r#"[{"op":"move","from":"/spec/template/spec/containers/0","path":"/spec/template/spec/containers/1"}]"#;
    ground.refused(&["patch", WEB, "--type=json", "-p", reordered], &["bypass-pinned"])?;
    ground.allowed("developer", &["label", WEB, "team=a"])?;
    Ok(())
}

#[test]
fn a_pinned_image_by_server_side_apply_as_somebody_else() -> Result<()> {
    let ground = Ground::with_labelled_web("as-manager", "pinned")?;
    let mut manifest = ground.manifest("web", 3);
    manifest["metadata"]["labels"]["pinned"] = json!("yes");
    let apply =
        ["apply", "--server-side", "--force-conflicts", "--field-manager=kube-controller-manager"];
    let mut other = manifest.clone();
    other["spec"]["template"]["spec"]["containers"][0]["image"] =
        json!("registry.smartops.dev/web:9");
    ground.refused_object(&apply, &other, &["bypass-pinned"])?;
    ground.allowed_object("developer", &apply, &manifest)
}
