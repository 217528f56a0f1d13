//! The two programs under test: started with their own kubeconfigs, killed, frozen, started again.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::authority::Authority;
use crate::cluster::Cluster;
use crate::http::Client;
use crate::monitoring::{Proof, Receiver};
use crate::places;
use crate::process::{self, Launch, Signal};
use crate::state::Endpoints;
use crate::wait::{Seen, eventually};

/// One of the programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// smartops-webhook.
    Webhook,
    /// smartops-controller.
    Controller,
}

const READY: Duration = Duration::from_mins(1);

impl Program {
    /// Its name among the cluster's processes, of its log and of its kubeconfig.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Controller => "controller",
        }
    }

    /// Starts it with `flags` besides its own, or instead of those of the same name, and waits until it is ready. Returns
    /// the process id.
    pub fn start(self, cluster: &Cluster, flags: &[&str]) -> Result<u32> {
        let pid = self.launch(cluster, flags)?;
        self.wait_ready(cluster)?;
        Ok(pid)
    }

    /// Starts it without waiting.
    pub fn launch(self, cluster: &Cluster, flags: &[&str]) -> Result<u32> {
        self.launch_as(self.name(), cluster, flags)
    }

    /// The same under another name among the cluster's processes.
    pub fn launch_as(self, name: &str, cluster: &Cluster, flags: &[&str]) -> Result<u32> {
        let mut arguments = self.arguments(cluster)?;
        let flag_name = |argument: &str| argument.split_once('=').map(|(name, _)| name.to_owned());
        arguments.retain(|own| flags.iter().all(|flag| flag_name(flag) != flag_name(own)));
        arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
        // By environment, so that `flags` may say otherwise. Nobody waits here for endpoints to be forgotten.
        let environment = vec![("SMARTOPS_DRAIN_SECONDS".to_owned(), "1".to_owned())];
        let program = places::program(&format!("smartops-{}", self.name()))?;
        let launch = Launch { name, program, arguments, environment };
        process::start(cluster.dir(), &launch)
    }

    /// Waits until it says that it is ready; fails at once when it ends instead.
    pub fn wait_ready(self, cluster: &Cluster) -> Result<()> {
        let client = self.health(cluster)?;
        eventually(READY, &format!("the {} is ready", self.name()), || {
            process::check_runs(cluster.dir(), self.name())?;
            Ok(match client.get("/readyz") {
                Ok(answer) => Seen::when(answer.status == 200, answer.text),
                Err(error) => Seen::NotYet(format!("{error:#}")),
            })
        })
        .with_context(|| self.last_words(cluster))
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub fn kill(self, cluster: &Cluster) -> Result<()> {
        process::signal(cluster.dir(), self.name(), Signal::Kill)?;
        self.wait_ended(cluster, Duration::from_secs(10))
    }

    /// Asks it to end (SIGTERM) and waits for at most `limit`.
    pub fn terminate(self, cluster: &Cluster, limit: Duration) -> Result<()> {
        process::signal(cluster.dir(), self.name(), Signal::Terminate)?;
        self.wait_ended(cluster, limit)
    }

    /// Waits until it has ended by itself, as at a failpoint.
    pub fn wait_ended(self, cluster: &Cluster, limit: Duration) -> Result<()> {
        process::wait_ended(cluster.dir(), self.name(), limit)
            .with_context(|| self.last_words(cluster))
    }

    /// The end of its log.
    pub fn last_words(self, cluster: &Cluster) -> String {
        let path = process::log(cluster.dir(), self.name());
        format!("the end of {}:\n{}", path.display(), places::tail(&path, 10))
    }

    /// A client of where it tells health and metrics.
    pub fn health(self, cluster: &Cluster) -> Result<Client> {
        match self {
            Self::Webhook => Ok(Client::new(&self.health_url(cluster)?)),
            Self::Controller => controller(cluster),
        }
    }

    /// Where it tells health and metrics.
    pub fn health_url(self, cluster: &Cluster) -> Result<String> {
        let endpoints = endpoints(cluster)?;
        Ok(match self {
            Self::Webhook => endpoints.webhook_health_url(),
            Self::Controller => endpoints.controller_url(),
        })
    }

    fn arguments(self, cluster: &Cluster) -> Result<Vec<String>> {
        let endpoints = endpoints(cluster)?;
        let kubeconfig = cluster.state.kubeconfig(self.name()).display().to_string();
        let mut pairs = vec![("kubeconfig", kubeconfig)];
        match self {
            Self::Webhook => {
                // Somebody else's API server comes from outside.
                let listen = if cluster.state.own_control_plane { "127.0.0.1" } else { "0.0.0.0" };
                pairs.extend([
                    ("listen-address", format!("{listen}:{}", endpoints.webhook_port)),
                    ("health-address", format!("127.0.0.1:{}", endpoints.webhook_health_port)),
                    ("certificate-names", endpoints.webhook_host.clone()),
                    ("webhook-url", endpoints.webhook_url()),
                ]);
            }
            Self::Controller => {
                let keys = cluster.dir().join("api-keys").display().to_string();
                pairs.extend([
                    ("listen-address", format!("127.0.0.1:{}", endpoints.controller_port)),
                    ("api-keys-file", keys),
                ]);
            }
        }
        Ok(pairs.into_iter().map(|(name, value)| format!("--{name}={value}")).collect())
    }
}

/// A client of the controller's API that proves nothing.
pub fn controller(cluster: &Cluster) -> Result<Client> {
    let url = endpoints(cluster)?.controller_url();
    Ok(Client::new(&url).trusting(Authority::of(cluster)))
}

/// A client of the controller's API with the API key.
pub fn controller_api(cluster: &Cluster) -> Result<Client> {
    let endpoints = endpoints(cluster)?;
    Ok(controller(cluster)?.with_key(&endpoints.api_key))
}

/// The controller as an Alertmanager's receiver, with the API key.
pub fn alert_receiver(cluster: &Cluster) -> Result<Receiver> {
    let endpoints = endpoints(cluster)?;
    let url = format!("{}/v1/alerts/alertmanager", endpoints.controller_url());
    let authority = Authority::of(cluster).pem()?;
    Ok(Receiver::eager(&url, Some(&authority), Proof::Key(endpoints.api_key.clone())))
}

/// Where SmartOps listens in this cluster.
pub fn endpoints(cluster: &Cluster) -> Result<&Endpoints> {
    cluster.state.smartops.as_ref().context("SmartOps is not installed in this cluster")
}
