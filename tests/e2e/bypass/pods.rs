//! Pods themselves: sessions in them, more resources for them, placing them.

use anyhow::{Result, ensure};
use serde_json::json;

use super::ground::Ground;
use crate::scene::Scene;

const IMAGE: &str = "registry.smartops.dev/tool:1";

/// Not refused by the webhook; behind these nodes no kubelet is there to go on.
fn is_let_through(scene: &Scene, actor: &str, arguments: &[&str]) -> Result<()> {
    let text = scene.kubectl(actor, arguments)?.text();
    ensure!(!text.contains("SmartOps denies"), "{actor} {arguments:?}: {text}");
    Ok(())
}

#[test]
fn a_command_in_a_pod() -> Result<()> {
    let ground = Ground::new("exec")?;
    ground.create(&ground.bare_pod("lone", IMAGE))?;
    ground.refused(
        &["exec", "lone", "--", "true"],
        &["bypass-sessions", "sessions are closed here"],
    )?;
    let warden = ["--as=warden", "--as-group=system:masters"];
    is_let_through(&ground, "admin", &[&["exec", "lone"], &warden[..], &["--", "true"]].concat())
}

#[test]
fn a_terminal_attached_to_a_pod() -> Result<()> {
    let ground = Ground::new("attach")?;
    ground.create(&ground.bare_pod("lone", IMAGE))?;
    ground.refused(&["attach", "lone"], &["bypass-sessions"])?;
    let warden = ["--as=warden", "--as-group=system:masters"];
    is_let_through(&ground, "admin", &[&["attach", "lone"], &warden[..]].concat())
}

#[test]
fn a_port_forwarded_from_a_pod() -> Result<()> {
    let ground = Ground::new("forward")?;
    ground.create(&ground.bare_pod("lone", IMAGE))?;
    let path = format!("/api/v1/namespaces/{}/pods/lone/portforward?ports=80", ground.name());
    let nothing = ground.file(&json!({}))?;
    let forward = ["create", "--raw", &path, "-f", &nothing];
    ground.refused(&forward, &["bypass-sessions"])?;
    is_let_through(
        &ground,
        "admin",
        &[&forward[..], &["--as=warden", "--as-group=system:masters"]].concat(),
    )
}

#[test]
fn a_session_of_automation_where_no_policy_speaks_of_sessions() -> Result<()> {
    let scene = Scene::new("session")?;
    scene.create(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "lone", "namespace": scene.name()},
        "spec": {"containers": [{"name": "lone", "image": IMAGE}]}}))?;
    scene.denied("agent", &["exec", "lone", "--", "true"], &["unnamed"])?;
    is_let_through(&scene, "developer", &["exec", "lone", "--", "true"])
}

#[test]
fn a_pod_that_is_resized_beyond_measure() -> Result<()> {
    let ground = Ground::new("resize")?;
    let mut pod = ground.bare_pod("lone", IMAGE);
    pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "100m"}});
    ground.create(&pod)?;
    ground.allowed("admin", &["wait", "--for=condition=Ready", "pod/lone", "--timeout=30s"])?;
    // What a kubelet reports where it can resize.
    let reported = json!([{"op": "add", "path": "/status/containerStatuses/0/resources",
        "value": {"requests": {"cpu": "100m"}}}]);
    ground.allowed(
        "admin",
        &["patch", "pod/lone", "--subresource=status", "--type=json", "-p", &reported.to_string()],
    )?;
    let to = |cpu: &str| {
        json!({"spec": {"containers": [{"name": "lone", "resources": {"requests": {"cpu": cpu}}}]}})
            .to_string()
    };
    let (tenfold, double) = (to("1"), to("200m"));
    let resize = |text| ["patch", "pod/lone", "--subresource=resize", "-p", text];
    ground.refused(&resize(tenfold.as_str()), &["bypass-growth"])?;
    ground.allowed("developer", &resize(double.as_str()))?;
    Ok(())
}

#[test]
fn a_pod_that_automation_places_on_a_node() -> Result<()> {
    let ground = Ground::new("binding")?;
    let mut pod = ground.bare_pod("lone", IMAGE);
    pod["spec"]["schedulerName"] = json!("nobody");
    ground.create(&pod)?;
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "lone", "namespace": ground.name()},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "node-0"}});
    let file = ground.file(&binding)?;
    let path = format!("/api/v1/namespaces/{}/pods/lone/binding", ground.name());
    ground.refused_to_automation(&["create", "--raw", &path, "-f", &file])?;
    // The scheduler's own bindings go on.
    ground.create(&ground.bare_pod("placed", IMAGE))?;
    ground.allowed(
        "admin",
        &["wait", "--for=condition=PodScheduled", "pod/placed", "--timeout=30s"],
    )?;
    Ok(())
}
