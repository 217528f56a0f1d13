//! Replicas of the controller side by side: each a process with an address of its own, the first of them the controller
//! the cluster was installed with.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::authority::Authority;
use crate::cluster::{Cluster, free_ports};
use crate::http::Client;
use crate::metrics;
use crate::places;
use crate::process::{self, Signal};
use crate::programs::{Program, endpoints};
use crate::state::Endpoints;
use crate::wait::{Seen, eventually};

const READY: Duration = Duration::from_mins(1);

/// One replica of the controller. It may run or not.
#[derive(Debug)]
pub struct Replica<'a> {
    cluster: &'a Cluster,
    name: String,
    endpoints: Endpoints,
}

impl<'a> Replica<'a> {
    /// The controller of the cluster.
    pub fn first(cluster: &'a Cluster) -> Result<Self> {
        let name = Program::Controller.name().to_owned();
        Ok(Self { cluster, name, endpoints: endpoints(cluster)?.clone() })
    }

    /// Another one, of this number, which is not started yet.
    pub fn further(cluster: &'a Cluster, number: usize) -> Result<Self> {
        let [controller_port] = free_ports()?;
        let endpoints = Endpoints { controller_port, ..endpoints(cluster)?.clone() };
        let name = format!("{}-{number}", Program::Controller.name());
        Ok(Self { cluster, name, endpoints })
    }

    /// Its name among the cluster's processes, and of its log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts it with `flags` besides its own and waits until it is ready, which it is whether it leads or not.
    pub fn start(&self, flags: &[&str]) -> Result<()> {
        self.launch(flags)?;
        self.wait_ready()
    }

    /// Starts it without waiting.
    pub fn launch(&self, flags: &[&str]) -> Result<()> {
        let address = format!("--listen-address=127.0.0.1:{}", self.endpoints.controller_port);
        let flags = [&[address.as_str()], flags].concat();
        Program::Controller.launch_as(&self.name, self.cluster, &flags).map(drop)
    }

    /// Waits until it says that it is ready; fails at once when it ends instead.
    pub fn wait_ready(&self) -> Result<()> {
        let api = self.api();
        eventually(READY, &format!("{} is ready", self.name), || {
            process::check_runs(self.cluster.dir(), &self.name)?;
            Ok(match api.get("/readyz") {
                Ok(answer) => Seen::when(answer.status == 200, answer.text),
                Err(error) => Seen::NotYet(format!("{error:#}")),
            })
        })
        .with_context(|| self.last_words())
    }

    /// A client of its API with the API key.
    pub fn api(&self) -> Client {
        let client = Client::new(&self.endpoints.controller_url());
        client.trusting(Authority::of(self.cluster)).with_key(&self.endpoints.api_key)
    }

    /// The value of one of its metrics without labels; none where it does not answer.
    pub fn metric(&self, name: &str) -> Option<f64> {
        metrics::sum(&self.api().get("/metrics").ok()?.text, name, &[])
    }

    /// Whether it says that it leads.
    pub fn leads(&self) -> bool {
        self.metric("smartops_orchestrator_leader") == Some(1.0)
    }

    /// Waits until it says that it leads, or that it does not.
    pub fn wait_leads(&self, leads: bool, limit: Duration) -> Result<()> {
        let wanted = Some(f64::from(u8::from(leads)));
        eventually(limit, &format!("{} leads: {leads}", self.name), || {
            let told = self.metric("smartops_orchestrator_leader");
            Ok(Seen::when(told == wanted, format!("it says {told:?}")))
        })
        .with_context(|| self.last_words())
    }

    /// Whether its process runs.
    pub fn runs(&self) -> Result<bool> {
        Ok(process::pid(self.cluster.dir(), &self.name)?.is_some())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        process::signal(self.cluster.dir(), &self.name, signal)
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::Kill)?;
        self.wait_ended(Duration::from_secs(10))
    }

    /// Waits until it has ended.
    pub fn wait_ended(&self, limit: Duration) -> Result<()> {
        process::wait_ended(self.cluster.dir(), &self.name, limit)
            .with_context(|| self.last_words())
    }

    /// Waits until it is frozen, as at a failpoint.
    pub fn wait_frozen(&self, limit: Duration) -> Result<()> {
        process::wait_frozen(self.cluster.dir(), &self.name, limit)
            .with_context(|| self.last_words())
    }

    fn last_words(&self) -> String {
        let path = process::log(self.cluster.dir(), &self.name);
        format!("the end of {}:\n{}", path.display(), places::tail(&path, 10))
    }
}
