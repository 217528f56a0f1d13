//! Out of a policy by a label: of the object, of the namespace, in the same write or in one before.

use anyhow::Result;
use serde_json::json;

use super::ground::Ground;

const WEB: &str = "deployment/web";

#[test]
fn a_deployment_that_is_relabelled_out_of_its_policy() -> Result<()> {
    let ground = Ground::with_labelled_web("relabel", "pinned")?;
    ground.refused(&["label", WEB, "pinned-"], &["bypass-pinned", "rule selection"])?;
    ground.refused(&["label", WEB, "pinned=no", "--overwrite"], &["bypass-pinned"])?;
    ground.allowed("developer", &["label", WEB, "team=a"])?;
    Ok(())
}

#[test]
fn a_deployment_that_is_relabelled_in_the_write_that_matters() -> Result<()> {
    let ground = Ground::with_labelled_web("at-once", "pinned")?;
    let both = json!({"metadata": {"labels": {"pinned": null}}, "spec": {"template": {"spec": {"containers":
        [{"name": "web", "image": "registry.smartops.dev/web:9"}]}}}});
    ground.refused(&["patch", WEB, "-p", &both.to_string()], &["bypass-pinned"])?;
    ground.allowed("developer", &["set", "env", WEB, "A=b"])?;
    Ok(())
}

#[test]
fn a_label_that_brings_a_deployment_under_a_policy_in_the_write_it_forbids() -> Result<()> {
    let ground = Ground::with_web("into")?;
    let both = |n: u32| {
        json!({"metadata": {"labels": {"pair": "yes"}}, "spec": {"replicas": n}}).to_string()
    };
    ground.refused(&["patch", WEB, "-p", &both(1)], &["bypass-pair"])?;
    ground.allowed("developer", &["patch", WEB, "-p", &both(2)])?;
    Ok(())
}

#[test]
fn a_kept_deployment_that_is_relabelled_before_it_is_deleted() -> Result<()> {
    let ground = Ground::with_labelled_web("keep", "keep")?;
    ground.refused(&["label", WEB, "keep-"], &["bypass-keep"])?;
    ground.refused(&["delete", WEB, "--wait=false"], &["bypass-keep", "rule deletion"])?;
    ground.create(&ground.manifest("other", 1))?;
    ground.allowed("developer", &["delete", "deployment/other", "--wait=false"])?;
    Ok(())
}

#[test]
fn kept_deployments_that_are_deleted_together() -> Result<()> {
    let ground = Ground::with_labelled_web("together", "keep")?;
    let all = |app: &str| {
        format!("/apis/apps/v1/namespaces/{}/deployments?labelSelector=app%3D{app}", ground.name())
    };
    ground.refused(&["delete", "--raw", &all("web")], &["bypass-keep", "rule deletion"])?;
    ground.create(&ground.manifest("other", 1))?;
    ground.allowed("developer", &["delete", "--raw", &all("other")])?;
    Ok(())
}

#[test]
fn a_namespace_that_is_relabelled_out_of_the_policies() -> Result<()> {
    let ground = Ground::new("namespace")?;
    let namespace = format!("namespace/{}", ground.name());
    ground.denied("owner", &["label", &namespace, "proof-"], &["rule selection"])?;
    ground.denied(
        "owner",
        &["label", &namespace, "proof=none", "--overwrite"],
        &["rule selection"],
    )?;
    // Neither may a developer or automation, whose rights end before.
    for actor in ["developer", "agent", "controller"] {
        let outcome = ground.kubectl(actor, &["label", &namespace, "proof-"])?;
        assert!(!outcome.succeeded, "{actor}: {}", outcome.text());
    }
    ground.allowed("owner", &["label", &namespace, "team=a"])?;
    Ok(())
}

#[test]
fn an_untidy_annotation_by_whatever_words_the_message_is_written_in() -> Result<()> {
    let ground = Ground::with_web("custom-rule")?;
    ground.refused(
        &["annotate", WEB, "untidy='; true || '"],
        &["bypass-tidy", "leave no annotation untidy"],
    )?;
    ground.allowed("developer", &["annotate", WEB, "tidy='; true || '"])?;
    Ok(())
}
