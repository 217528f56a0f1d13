//! Alertmanager: whom it delivers to, and how soon.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::server::{self, Plan, Server};
use crate::components::Monitors;
use crate::{metrics, pki};

/// How an Alertmanager proves who it is, in clear; it reads it from a file.
#[derive(Debug, Clone)]
pub enum Proof {
    /// An API key.
    Key(String),
    /// A Kubernetes token.
    Token(String),
}

/// Whom an Alertmanager delivers to: one webhook, told of firing and resolved alerts, grouped by name and namespace.
#[derive(Debug, Clone)]
pub struct Receiver {
    /// Where deliveries are posted.
    pub url: String,
    /// The PEM of the authority that vouches for an https URL; the system's own without.
    pub authority: Option<String>,
    /// How it proves who delivers.
    pub proof: Proof,
    /// How long a new group waits for more of its kind.
    pub group_wait: Duration,
    /// How often what still fires is told again.
    pub repeat_interval: Duration,
}

impl Receiver {
    /// One that is told at once, and again every two seconds for as long as an alert fires.
    pub fn eager(url: &str, authority: Option<&str>, proof: Proof) -> Self {
        Self {
            url: url.to_owned(),
            authority: authority.map(str::to_owned),
            proof,
            group_wait: Duration::ZERO,
            repeat_interval: Duration::from_secs(2),
        }
    }
}

/// A running Alertmanager.
#[derive(Debug)]
pub struct Alertmanager {
    /// The process.
    pub server: Server,
}

impl Alertmanager {
    /// Starts one for the cluster in `cluster`. Its process is `alertmanager-NAME`: several may run beside one cluster.
    pub fn start(
        monitors: &Monitors,
        cluster: &Path,
        name: &str,
        receiver: &Receiver,
    ) -> Result<Self> {
        let name = format!("alertmanager-{name}");
        let folder = server::folder(cluster, &name)?;
        let write = |name: &str, text: &str| -> Result<PathBuf> {
            let path = folder.join(name);
            pki::write(&path, text)?;
            Ok(path)
        };
        let proof = match &receiver.proof {
            Proof::Key(text) | Proof::Token(text) => write("proof", text)?,
        };
        let authority =
            receiver.authority.as_ref().map(|pem| write("authority.crt", pem)).transpose()?;
        let config = folder.join("alertmanager.json");
        server::write_settings(&config, &settings(receiver, &proof, authority.as_deref()))?;
        let arguments = vec![
            format!("--config.file={}", config.display()),
            format!("--storage.path={}", folder.join("data").display()),
            // Alone: it looks for no others of its kind.
            "--cluster.listen-address=".to_owned(),
        ];
        let program = monitors.tool("alertmanager")?;
        let server = Plan { cluster, name, program, arguments }.start()?;
        Ok(Self { server })
    }

    /// The alerts it knows to be firing.
    pub fn alerts(&self) -> Result<Vec<Value>> {
        self.server
            .get("/api/v2/alerts", &[])?
            .as_array()
            .cloned()
            .context("there is no list of alerts")
    }

    /// How often it tried to deliver, by what became of it.
    pub fn deliveries(&self) -> Result<Deliveries> {
        let text = self.server.metrics()?;
        let count = |name: &str| {
            metrics::sum(&text, name, &[("integration", "webhook")]).unwrap_or_default()
        };
        let failed = count("alertmanager_notification_requests_failed_total");
        Ok(Deliveries { taken: count("alertmanager_notification_requests_total") - failed, failed })
    }
}

/// Tries to deliver.
#[derive(Debug, Clone, Copy)]
pub struct Deliveries {
    /// Answered 2xx.
    pub taken: f64,
    /// Refused, put off or not answered.
    pub failed: f64,
}

fn settings(receiver: &Receiver, proof: &Path, authority: Option<&Path>) -> Value {
    let mut http = match receiver.proof {
        Proof::Key(_) => json!({"http_headers": {"X-API-Key": {"files": [proof]}}}),
        Proof::Token(_) => json!({"authorization": {"credentials_file": proof}}),
    };
    if let Some(path) = authority {
        http["tls_config"] = json!({"ca_file": path});
    }
    json!({
        "route": {
            "receiver": "smartops",
            "group_by": ["alertname", "namespace"],
            "group_wait": in_milliseconds(receiver.group_wait),
            // The shortest there is: how soon a change of a group is told.
            "group_interval": "1s",
            "repeat_interval": in_milliseconds(receiver.repeat_interval),
        },
        "receivers": [{
            "name": "smartops",
            "webhook_configs": [{
                "url": receiver.url,
                "send_resolved": true,
                "http_config": http,
            }],
        }],
    })
}

fn in_milliseconds(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(proof: Proof, authority: Option<&Path>) -> Value {
        let receiver = Receiver::eager("https://127.0.0.1:1/x", None, proof);
        let settings = settings(&receiver, Path::new("/proof"), authority);
        settings["receivers"][0]["webhook_configs"][0]["http_config"].clone()
    }

    #[test]
    fn whoever_delivers_proves_itself_by_key_or_by_token_from_a_file() {
        let key = http(Proof::Key("k".to_owned()), None);
        assert_eq!(key, json!({"http_headers": {"X-API-Key": {"files": ["/proof"]}}}));
        let token = http(Proof::Token("t".to_owned()), None);
        assert_eq!(token, json!({"authorization": {"credentials_file": "/proof"}}));
    }

    #[test]
    fn a_receivers_own_authority_is_named_where_there_is_one() {
        let own = http(Proof::Token("t".to_owned()), Some(Path::new("/ca.crt")));
        assert_eq!(own["tls_config"]["ca_file"], "/ca.crt");
    }

    #[test]
    fn a_receiver_is_told_at_once_and_of_the_end_too() {
        let receiver = Receiver::eager("http://127.0.0.1:1/x", None, Proof::Key("k".to_owned()));
        let settings = settings(&receiver, Path::new("/proof"), None);
        let webhook = &settings["receivers"][0]["webhook_configs"][0];
        assert_eq!(webhook["url"], "http://127.0.0.1:1/x");
        assert_eq!(webhook["send_resolved"], true);
        assert_eq!(settings["route"]["group_wait"], "0ms");
        assert_eq!(settings["route"]["repeat_interval"], "2000ms");
    }
}
