//! The alerts: Prometheus takes them, each speaks of metrics that are told, and each is raised by what it is about.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use smartops_tests::components::Monitors;
use smartops_tests::places;

use super::{find, rendered};
use crate::support::folder;

fn groups(more: &[&str]) -> Result<Value> {
    let objects = rendered(&[&["--set", "monitoring.prometheusRule.enabled=true"], more].concat())?;
    let rule = find(&objects, "PrometheusRule", "smartops").context("no PrometheusRule")?;
    Ok(json!({"groups": rule["spec"]["groups"]}))
}

fn alerts(groups: &Value) -> Vec<&Value> {
    let groups = groups["groups"].as_array().into_iter().flatten();
    groups.filter_map(|group| group["rules"].as_array()).flatten().collect()
}

fn promtool(arguments: &[&str]) -> Result<()> {
    let monitors = Monitors::ensure(&|_| {})?;
    let output = Command::new(monitors.tool("promtool")?).args(arguments).output()?;
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "promtool {arguments:?}: {told}");
    Ok(())
}

/// Words of an expression that begin as our metrics do.
fn metrics(expression: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = expression.split(|c| !is_word(c));
    let ours =
        words.filter(|word| word.starts_with("smartops_") || word.starts_with("orchestrator_"));
    ours.map(|word| word.trim_end_matches("_bucket")).collect()
}

#[test]
fn every_alert_speaks_of_metrics_that_are_told() -> Result<()> {
    let told = fs::read_to_string(places::root().join("docs/telemetry.md"))?;
    let groups = groups(&[])?;
    let alerts = alerts(&groups);
    ensure!(alerts.len() > 15, "{}", alerts.len());
    for alert in alerts {
        let expression = alert["expr"].as_str().unwrap_or_default();
        let named = metrics(expression);
        ensure!(!named.is_empty(), "{alert}");
        for name in named {
            ensure!(told.contains(&format!("`{name}`")), "{name} of {alert}");
        }
        for annotation in ["summary", "description"] {
            ensure!(alert["annotations"][annotation].is_string(), "{alert}");
        }
        ensure!(alert["labels"]["severity"].is_string(), "{alert}");
    }
    Ok(())
}

#[test]
fn every_alert_is_raised_by_what_it_is_about_and_by_nothing_less() -> Result<()> {
    let folder = folder("alerts");
    fs::create_dir_all(&folder)?;
    let rules = folder.join("rules.yaml");
    // JSON is YAML.
    fs::write(
        &rules,
        groups(&["--set", "monitoring.prometheusRule.denialsPerSecond=1"])?.to_string(),
    )?;
    let rules = super::file(&rules)?;
    promtool(&["check", "rules", rules])?;
    let scenes = places::root().join("tests/fixtures/alerts.yaml");
    let text = fs::read_to_string(&scenes)?.replace("rules.yaml", rules);
    let mut untold = Vec::new();
    for alert in alerts(&groups(&[])?) {
        let name = alert["alert"].as_str().unwrap_or_default();
        if !text.contains(&format!("alertname=\"{name}\"")) {
            untold.push(name.to_owned());
        }
    }
    ensure!(untold.is_empty(), "nothing in {} raises {untold:?}", scenes.display());
    let tests = folder.join("tests.yaml");
    fs::write(&tests, text)?;
    promtool(&["test", "rules", super::file(&tests)?])
}

/// What promtool is to see of the certificates' alert: a series of their end, sampled each minute, and at what minute nothing
/// was raised before and one is.
fn scene(name: &str, series: &str, quiet_until: u32, raised_at: Option<u32>) -> Value {
    let alert = "alertname=\"SmartOpsCertificateExpires\"";
    let mut expected = vec![json!({
        "expr": format!("count_over_time(ALERTS{{{alert}}}[{quiet_until}m])"),
        "eval_time": format!("{quiet_until}m"), "exp_samples": [],
    })];
    expected.extend(raised_at.map(|minute| {
        json!({
            "expr": format!("count by (severity) (ALERTS{{{alert},alertstate=\"firing\"}})"),
            "eval_time": format!("{minute}m"),
            "exp_samples": [{"labels": "{severity=\"critical\"}", "value": 1}],
        })
    }));
    json!({
        "name": name, "interval": "1m", "promql_expr_test": expected,
        "input_series": [{
            "series": "smartops_certificate_expiry_timestamp_seconds{certificate=\"serving\"}",
            "values": series,
        }],
    })
}

#[test]
fn a_certificate_is_an_alert_once_nobody_renewed_it_and_never_while_somebody_does() -> Result<()> {
    const DAY: u32 = 24 * 60;
    let folder = folder("certificate-alerts");
    fs::create_dir_all(&folder)?;
    let (rules, tests) = (folder.join("rules.yaml"), folder.join("tests.yaml"));
    let own = "certificates.source=secret,certificates.secretName=mine";
    // Two thirds of a day long it is good until its end, and then it is another.
    let renewed = scene("renewed in time", "86400x960 144000x480", DAY, None);
    for (values, seconds, scenes) in [
        ("certificates.lifetime=90d", 1_944_000, vec![]),
        ("certificates.lifetime=24h", 21_600, vec![renewed.clone()]),
        (
            "certificates.lifetime=24h,monitoring.prometheusRule.certificateExpirySeconds=28799",
            28_799,
            vec![renewed],
        ),
        (&format!("{own},controller.tls.source=off"), 1_209_600, vec![]),
        // One of each sort.
        (own, 1_209_600, vec![]),
        (&format!("{own},certificates.lifetime=24h"), 21_600, vec![]),
    ] {
        fs::write(&rules, groups(&["--set", values])?.to_string())?;
        let end = format!("{}x120", seconds + 3600);
        let scenes: Vec<Value> =
            scenes.into_iter().chain([scene("not renewed", &end, 60, Some(66))]).collect();
        let of_rules = json!({
            "rule_files": [super::file(&rules)?], "evaluation_interval": "1m", "tests": scenes,
        });
        fs::write(&tests, of_rules.to_string())?;
        promtool(&["test", "rules", super::file(&tests)?]).context(values.to_owned())?;
    }
    Ok(())
}
