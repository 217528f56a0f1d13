//! What clusters of providers ask for: quotas for priorities, ports their control planes reach, nodes of several kinds;
//! and what upgrades there must not wait for.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{find, rendered, template};

fn deployment<'a>(objects: &'a [Value], name: &str) -> Result<&'a Value> {
    let found = find(objects, "Deployment", name).with_context(|| name.to_owned())?;
    Ok(&found["spec"])
}

#[test]
fn a_priority_of_the_systems_comes_with_a_quota_that_speaks_of_it() -> Result<()> {
    let of = |class: &str| format!("webhook.priorityClassName={class}");
    for (values, classes) in [
        ("webhook.replicas=2".to_owned(), Some(json!(["system-cluster-critical"]))),
        (
            "controller.priorityClassName=system-node-critical".to_owned(),
            Some(json!(["system-cluster-critical", "system-node-critical"])),
        ),
        (
            "controller.priorityClassName=system-cluster-critical".to_owned(),
            Some(json!(["system-cluster-critical"])),
        ),
        (of("ours"), None),
        (of(""), None),
    ] {
        let objects = rendered(&["--set", &values])?;
        let quotas: Vec<&Value> =
            objects.iter().filter(|object| object["kind"] == "ResourceQuota").collect();
        let found = quotas.first().map(|quota| {
            let scope = &quota["spec"]["scopeSelector"]["matchExpressions"][0];
            (scope["scopeName"].clone(), scope["operator"].clone(), scope["values"].clone())
        });
        let expected = classes.map(|classes| (json!("PriorityClass"), json!("In"), classes));
        ensure!(found == expected && quotas.len() < 2, "{values}: {quotas:?}");
        // Sixteen pods of each, and those that take their place.
        ensure!(quotas.iter().all(|quota| quota["spec"]["hard"] == json!({"pods": "100"})));
    }
    Ok(())
}

#[test]
fn the_webhook_listens_where_the_control_plane_reaches_it() -> Result<()> {
    for (port, flag) in [(8443, None), (10250, Some(json!("--listen-address=[::]:10250")))] {
        let objects = rendered(&["--set", &format!("webhook.port={port}")])?;
        let container =
            &deployment(&objects, "smartops-webhook")?["template"]["spec"]["containers"][0];
        let given = container["args"].as_array().into_iter().flatten().find(|argument| {
            argument.as_str().is_some_and(|text| text.starts_with("--listen-address"))
        });
        ensure!(given == flag.as_ref(), "{container}");
        let ports = json!([
            {"name": "https", "containerPort": port},
            {"name": "health", "containerPort": 8081},
        ]);
        ensure!(container["ports"] == ports, "{container}");
        ensure!(container["readinessProbe"]["httpGet"]["port"] == "health");
        // Services and network policies go by its name.
        let policy = find(&objects, "NetworkPolicy", "smartops-webhook").context("no policy")?;
        ensure!(policy["spec"]["ingress"][0]["ports"][0]["port"] == "https", "{policy}");
        let service = find(&objects, "Service", "smartops-webhook").context("no Service")?;
        ensure!(service["spec"]["ports"][0]["targetPort"] == "https", "{service}");
    }
    Ok(())
}

#[test]
fn every_pod_asks_for_a_node_that_can_run_its_image() -> Result<()> {
    let objects = rendered(&[])?;
    let mut seen = 0;
    for object in &objects {
        let pod = match object["kind"].as_str() {
            Some("Deployment" | "Job") => &object["spec"]["template"]["spec"],
            Some("Pod") => &object["spec"],
            _ => continue,
        };
        let wanted = json!({"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"});
        ensure!(pod["nodeSelector"] == wanted, "{object}");
        seen += 1;
    }
    ensure!(seen == 5, "{seen}");
    Ok(())
}

#[test]
fn where_each_pod_needs_a_node_of_its_own_an_upgrade_waits_for_none_to_spare() -> Result<()> {
    let (first_one_more, first_one_less) =
        (json!({"maxUnavailable": 0, "maxSurge": 1}), json!({"maxUnavailable": 1, "maxSurge": 0}));
    for program in ["webhook", "controller"] {
        for (values, expected) in [
            ("PROGRAM.antiAffinity=soft", &first_one_more),
            ("PROGRAM.antiAffinity=hard", &first_one_less),
            // The only one stops after another serves.
            ("PROGRAM.antiAffinity=hard,PROGRAM.replicas=1", &first_one_more),
        ] {
            let objects = rendered(&["--set", &values.replace("PROGRAM", program)])?;
            let found = deployment(&objects, &format!("smartops-{program}"))?;
            ensure!(found["strategy"]["rollingUpdate"] == *expected, "{values}: {found}");
        }
    }
    Ok(())
}

#[test]
fn an_object_of_our_kinds_says_nothing_of_the_charts_version() -> Result<()> {
    let objects = rendered(&[])?;
    let versioned = |object: &&Value| {
        let labels = &object["metadata"]["labels"];
        ["helm.sh/chart", "app.kubernetes.io/version"].iter().any(|key| !labels[*key].is_null())
    };
    let of_ours = |object: &&Value| object["apiVersion"] == "smartops.dev/v1alpha1";
    let ours: Vec<&Value> = objects.iter().filter(of_ours).collect();
    ensure!(ours.len() == 5, "{ours:?}");
    ensure!(!ours.iter().any(versioned), "{ours:?}");
    ensure!(
        ours.iter().all(|o| o["metadata"]["labels"]["app.kubernetes.io/part-of"] == "smartops")
    );
    ensure!(
        deployment(&objects, "smartops-webhook").is_ok() && objects.iter().any(|o| versioned(&o))
    );
    Ok(())
}

#[test]
fn a_ca_that_cert_manager_makes_has_no_name_by_which_the_programs_know_their_own() -> Result<()> {
    let values = "certificates.source=cert-manager,controller.tls.source=cert-manager";
    let objects = rendered(&["--set", values])?;
    let authority = find(&objects, "Certificate", "smartops-ca").context("no CA")?;
    let name = &authority["spec"]["commonName"];
    ensure!(name == "SmartOps webhook CA (cert-manager)", "{authority}");
    Ok(())
}

#[test]
fn a_ca_that_cert_manager_makes_keeps_its_key_and_is_renewed_before_what_it_signed_outlives_it()
-> Result<()> {
    // The shortest that is taken: twice as long as what it signs.
    let values =
        "certificates.source=cert-manager,certificates.lifetime=2h,certificates.caLifetime=4h";
    let objects = rendered(&["--set", values])?;
    let authority = &find(&objects, "Certificate", "smartops-ca").context("no CA")?["spec"];
    ensure!(authority["duration"] == "4h" && authority["renewBefore"] == "2h", "{authority}");
    ensure!(authority["privateKey"]["rotationPolicy"] == "Never", "{authority}");
    // What it signs has another key each time.
    let serving = &find(&objects, "Certificate", "smartops-webhook").context("none")?["spec"];
    ensure!(serving["duration"] == "2h" && serving["renewBefore"].is_null(), "{serving}");
    ensure!(serving["privateKey"]["rotationPolicy"] == "Always", "{serving}");
    Ok(())
}

#[test]
fn a_lifetime_that_cert_manager_refuses_is_refused_before_it_is_asked() -> Result<()> {
    for (values, is_taken) in [
        ("certificates.source=cert-manager,certificates.lifetime=59m", false),
        ("controller.tls.source=cert-manager,certificates.lifetime=59m", false),
        ("certificates.source=cert-manager,certificates.lifetime=1h", true),
        ("certificates.lifetime=59m", true),
    ] {
        let outcome = template(&["--set", values])?;
        ensure!(outcome.succeeded == is_taken, "{values}: {}", outcome.text());
        let told = "certificates.lifetime 59m must be at least 1h where cert-manager issues";
        ensure!(is_taken || outcome.errors.contains(told), "{values}: {}", outcome.text());
    }
    Ok(())
}
