//! What is known about a cluster beyond its processes: `DIR/cluster.json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{authority, pki, process};

/// A cluster as it was set up.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Everything of the cluster lies below.
    pub dir: PathBuf,
    /// The folder with kubectl.
    pub bin: PathBuf,
    /// Whether the control plane is ours; otherwise `SMARTOPS_KUBECONFIG` named it.
    pub own_control_plane: bool,
    /// The cluster entry of every kubeconfig: server and how to trust it.
    pub cluster: Value,
    /// SmartOps, once it is installed.
    pub smartops: Option<Endpoints>,
}

/// Where SmartOps' programs listen, and the key of the controller's API.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// Address under which the API server reaches the webhook.
    pub webhook_host: String,
    /// TLS.
    pub webhook_port: u16,
    /// Plain: health and metrics.
    pub webhook_health_port: u16,
    /// Plain: the controller's API, health and metrics.
    pub controller_port: u16,
    /// The key of the controller's API, in clear.
    pub api_key: String,
}

impl Endpoints {
    /// The base of the registrations' URLs.
    pub fn webhook_url(&self) -> String {
        format!("https://{}:{}", self.webhook_host, self.webhook_port)
    }

    /// The webhook's health and metrics.
    pub fn webhook_health_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.webhook_health_port)
    }

    /// The controller's API.
    pub fn controller_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.controller_port)
    }
}

impl State {
    fn file(dir: &Path) -> PathBuf {
        dir.join("cluster.json")
    }

    /// What is known about the cluster in `dir`; none when there is none.
    pub fn read(dir: &Path) -> Result<Option<Self>> {
        let path = Self::file(dir);
        let Ok(text) = fs::read_to_string(&path) else { return Ok(None) };
        let state = serde_json::from_str(&text)
            .with_context(|| format!("{} is damaged: remove its folder", path.display()))?;
        Ok(Some(state))
    }

    /// Writes it down, whole or not at all.
    pub fn write(&self) -> Result<()> {
        let path = Self::file(&self.dir);
        let temporary = path.with_extension("partial");
        let text = serde_json::to_string_pretty(self).context("the state does not serialise")?;
        pki::write(&temporary, &text)?;
        fs::rename(&temporary, &path).with_context(|| format!("cannot write {}", path.display()))
    }

    /// An actor's kubeconfig.
    pub fn kubeconfig(&self, actor: &str) -> PathBuf {
        self.dir.join("kubeconfigs").join(format!("{actor}.kubeconfig"))
    }

    /// What scripts get: one object of paths and URLs. `None` until SmartOps is installed and runs.
    pub fn summary(&self) -> Result<Option<Value>> {
        let Some(endpoints) = &self.smartops else { return Ok(None) };
        let actors =
            ["admin", "controller", "agent", "developer", "operator", "approver", "deputy"];
        let kubeconfigs: BTreeMap<&str, PathBuf> =
            actors.into_iter().map(|actor| (actor, self.kubeconfig(actor))).collect();
        let pid = |name| process::pid(&self.dir, name);
        let (Some(controller), Some(webhook)) = (pid("controller")?, pid("webhook")?) else {
            return Ok(None);
        };
        Ok(Some(json!({
            "kubeconfigs": kubeconfigs,
            "bin": self.bin,
            "controllerUrl": endpoints.controller_url(),
            "controllerCa": authority::kept_in(&self.dir),
            "apiKey": endpoints.api_key,
            "controllerMetricsUrl": format!("{}/metrics", endpoints.controller_url()),
            "webhookMetricsUrl": format!("{}/metrics", endpoints.webhook_health_url()),
            "pids": {"controller": controller, "webhook": webhook},
        })))
    }
}
