//! One server of the monitoring: its port, its folder, its life.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cluster::free_ports;
use crate::http::Client;
use crate::process::{self, Launch, Signal};
use crate::wait::{Seen, eventually};
use crate::{pki, places};

/// How often another port is tried when one was taken meanwhile.
const TRIES: u32 = 5;
const READY: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(15);

/// A running server of the monitoring.
#[derive(Debug)]
pub struct Server {
    cluster: PathBuf,
    name: String,
    port: u16,
}

/// A server to start.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    /// The folder of the cluster it belongs to.
    pub(super) cluster: &'a Path,
    /// Its name among the cluster's processes.
    pub(super) name: String,
    /// The executable.
    pub(super) program: &'a Path,
    /// Its arguments but for the address.
    pub(super) arguments: Vec<String>,
}

impl Plan<'_> {
    /// Starts it and waits until it says that it is ready.
    pub(super) fn start(self) -> Result<Server> {
        ensure!(
            process::pid(self.cluster, &self.name)?.is_none(),
            "{} runs already in {}: give this one another name",
            self.name,
            self.cluster.display()
        );
        let log = process::log(self.cluster, &self.name);
        let mut attempt = 1;
        loop {
            let [port] = free_ports()?;
            let mut arguments = self.arguments.clone();
            arguments.push(format!("--web.listen-address=127.0.0.1:{port}"));
            let launch = Launch {
                name: &self.name,
                program: self.program.to_path_buf(),
                arguments,
                environment: Vec::new(),
            };
            process::start(self.cluster, &launch)?;
            let server =
                Server { cluster: self.cluster.to_path_buf(), name: self.name.clone(), port };
            match server.wait_ready() {
                Ok(()) => return Ok(server),
                Err(_) if attempt < TRIES && says_port_taken(&log) => {
                    fs::remove_file(&log).context("cannot clear a log")?;
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn says_port_taken(log: &Path) -> bool {
    places::tail(log, 50).contains("address already in use")
}

impl Server {
    /// `host:port`, as others are told where it is.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The base of its URLs.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// What it answers to a GET with these parameters, which must be 200.
    pub fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value> {
        let answer = Client::new(&self.url()).get_with(path, parameters)?;
        ensure!(
            answer.status == 200,
            "{} answers {path} with {}: {}",
            self.name,
            answer.status,
            answer.text
        );
        Ok(answer.body)
    }

    /// What it counts of itself.
    pub fn metrics(&self) -> Result<String> {
        Ok(Client::new(&self.url()).get("/metrics")?.text)
    }

    /// Ends it and waits for that. Nothing when it has ended.
    pub fn stop(&self) -> Result<()> {
        process::signal(&self.cluster, &self.name, Signal::Terminate)?;
        process::wait_ended(&self.cluster, &self.name, END).with_context(|| self.last_words())
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let path = process::log(&self.cluster, &self.name);
        format!("the end of {}:\n{}", path.display(), places::tail(&path, 15))
    }

    fn wait_ready(&self) -> Result<()> {
        let client = Client::new(&self.url());
        eventually(READY, &format!("{} is ready", self.name), || {
            process::check_runs(&self.cluster, &self.name)?;
            Ok(match client.get("/-/ready") {
                Ok(answer) => Seen::when(answer.status == 200, answer.text),
                Err(error) => Seen::NotYet(format!("{error:#}")),
            })
        })
        .with_context(|| self.last_words())
    }
}

/// An empty folder of a server's own, for settings and data.
pub(super) fn folder(cluster: &Path, name: &str) -> Result<PathBuf> {
    let folder = cluster.join("monitoring").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// Writes settings, which are JSON and therefore YAML. They may name keys: only their owner reads them.
pub(super) fn write_settings(path: &Path, settings: &Value) -> Result<()> {
    pki::write(path, &format!("{settings:#}\n"))
}
