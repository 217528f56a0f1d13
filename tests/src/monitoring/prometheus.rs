//! Prometheus: what it scrapes, by which rules it judges, whom it tells.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::server::{self, Plan, Server};
use crate::components::Monitors;
use crate::pki;

/// What a Prometheus does, every second.
#[derive(Debug, Clone, Default)]
pub struct Scraping {
    /// What it scrapes.
    pub jobs: Vec<Job>,
    /// Files of rules, as text.
    pub rules: Vec<String>,
    /// The addresses of the Alertmanagers it tells.
    pub alertmanagers: Vec<String>,
}

/// Targets of one kind.
#[derive(Debug, Clone)]
pub struct Job {
    /// The label `job` of everything they tell.
    pub name: String,
    /// `host:port` of each; `/metrics` is scraped.
    pub targets: Vec<String>,
}

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    /// The process.
    pub server: Server,
}

impl Prometheus {
    /// Starts one for the cluster in `cluster`, once promtool has found nothing wrong with its settings and rules. Its
    /// process is `prometheus-NAME`: several may run beside one cluster.
    pub fn start(
        monitors: &Monitors,
        cluster: &Path,
        name: &str,
        scraping: &Scraping,
    ) -> Result<Self> {
        let name = format!("prometheus-{name}");
        let folder = server::folder(cluster, &name)?;
        let mut rules = Vec::new();
        for (index, text) in scraping.rules.iter().enumerate() {
            let path = folder.join(format!("rules-{index}.yaml"));
            pki::write(&path, text)?;
            rules.push(path);
        }
        let config = folder.join("prometheus.json");
        server::write_settings(&config, &settings(scraping, &rules))?;
        check(monitors.tool("promtool")?, &config)?;
        let arguments = vec![
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", folder.join("data").display()),
            // Who forgot an alert, as an Alertmanager that started again, is told of it within seconds.
            "--rules.alert.resend-delay=5s".to_owned(),
        ];
        let program = monitors.tool("prometheus")?;
        let server = Plan { cluster, name, program, arguments }.start()?;
        Ok(Self { server })
    }

    /// The samples of an instant query: labels under `metric`, time and number as text under `value`.
    pub fn query(&self, expression: &str) -> Result<Vec<Value>> {
        let answer = self.server.get("/api/v1/query", &[("query", expression)])?;
        let samples = answer["data"]["result"].as_array().cloned();
        samples.with_context(|| format!("Prometheus tells no samples of {expression}: {answer}"))
    }

    /// The alerts that are pending or firing, as it sees them.
    pub fn alerts(&self) -> Result<Vec<Value>> {
        let answer = self.server.get("/api/v1/alerts", &[])?;
        answer["data"]["alerts"].as_array().cloned().context("Prometheus tells no alerts")
    }
}

fn settings(scraping: &Scraping, rules: &[PathBuf]) -> Value {
    let jobs: Vec<Value> = scraping
        .jobs
        .iter()
        .map(|job| json!({"job_name": job.name, "static_configs": [{"targets": job.targets}]}))
        .collect();
    json!({
        "global": {
            "scrape_interval": "1s",
            "scrape_timeout": "1s",
            "evaluation_interval": "1s",
        },
        "scrape_configs": jobs,
        "rule_files": rules,
        "alerting": {
            "alertmanagers": [{"static_configs": [{"targets": scraping.alertmanagers}]}],
        },
    })
}

/// Has promtool look at settings, and with them at the rules they name.
fn check(promtool: &Path, config: &Path) -> Result<()> {
    let output = Command::new(promtool)
        .args(["check", "config", "--lint=all", "--lint-fatal"])
        .arg(config)
        .output()
        .with_context(|| format!("cannot start {}", promtool.display()))?;
    if !output.status.success() {
        bail!(
            "promtool refuses {}: {}{}",
            config.display(),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_looked_at_each_second_and_told_to_whom_it_was_given() {
        let scraping = Scraping {
            jobs: vec![Job { name: "web".to_owned(), targets: vec!["127.0.0.1:1".to_owned()] }],
            rules: vec![String::new()],
            alertmanagers: vec!["127.0.0.1:2".to_owned()],
        };
        let settings = settings(&scraping, &[PathBuf::from("/rules-0.yaml")]);
        assert_eq!(settings["global"]["scrape_interval"], "1s");
        assert_eq!(settings["global"]["evaluation_interval"], "1s");
        let job = &settings["scrape_configs"][0];
        assert_eq!(job["job_name"], "web");
        assert_eq!(job["static_configs"][0]["targets"], json!(["127.0.0.1:1"]));
        assert_eq!(settings["rule_files"], json!(["/rules-0.yaml"]));
        let told = &settings["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"];
        assert_eq!(*told, json!(["127.0.0.1:2"]));
    }
}
