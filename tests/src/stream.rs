//! A steady stream of writes to the API server, each of them judged by the webhook and each of them counted: several
//! writers at once, each with a connection it keeps and an object of its own, so that nothing fails but what is measured.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustls::crypto::aws_lc_rs;
use serde_json::json;
use ureq::Agent;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider};

use crate::cluster::Cluster;

/// Longer than the API server waits for any webhook.
const CALL: Duration = Duration::from_secs(30);
/// At most how often one writer writes; a machine at its limit would measure itself.
const PACE: Duration = Duration::from_millis(20);

/// Whose writes, and on what.
#[derive(Debug, Clone)]
pub struct Target {
    /// The API server.
    server: String,
    /// The CA that vouches for it.
    authority: PathBuf,
    /// The writer's certificate and key.
    certificate: PathBuf,
    key: PathBuf,
    /// Paths of Deployments, one for each writer.
    paths: Vec<String>,
}

impl Target {
    /// Deployments of these names in a namespace, written by a user whose certificate the cluster's authority issued under
    /// that name.
    pub fn deployments(
        cluster: &Cluster,
        user: &str,
        namespace: &str,
        names: &[String],
    ) -> Result<Self> {
        let pki = cluster.dir().join("pki");
        let server =
            cluster.state.cluster["server"].as_str().context("where is the API server?")?;
        let path =
            |name: &String| format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
        Ok(Self {
            server: server.to_owned(),
            authority: pki.join("ca.crt"),
            certificate: pki.join(format!("{user}.crt")),
            key: pki.join(format!("{user}.key")),
            paths: names.iter().map(path).collect(),
        })
    }

    fn agent(&self) -> Result<Agent> {
        let read = |path: &PathBuf| {
            fs::read(path).with_context(|| format!("cannot read {}", path.display()))
        };
        let certificate = Certificate::from_pem(&read(&self.certificate)?)?.to_owned();
        let key = PrivateKey::from_pem(&read(&self.key)?)?.to_owned();
        let authority = Certificate::from_pem(&read(&self.authority)?)?.to_owned();
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::new_with_certs(&[authority]))
            .client_cert(Some(ClientCert::new_with_certs(&[certificate], key)))
            .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()));
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(CALL))
            .tls_config(tls.build());
        Ok(config.build().into())
    }
}

/// A write that did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// When it began, since the stream did.
    pub began: Duration,
    /// When its answer was there.
    pub ended: Duration,
    /// What was said.
    pub text: String,
}

/// What became of a stream's writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Writes in all.
    pub calls: u64,
    /// How long the stream ran.
    pub lasted: Duration,
    /// The longest that a write which passed took.
    pub slowest: Duration,
    /// Those that did not pass, in the order they began.
    pub failures: Vec<Failure>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.lasted = self.lasted.max(other.lasted);
        self.slowest = self.slowest.max(other.slowest);
        self.failures.extend(other.failures);
        self.failures.sort_by_key(|failure| failure.began);
    }

    /// How often each thing was said, with what differs from call to call left out.
    pub fn reasons(&self) -> BTreeMap<String, usize> {
        let mut reasons = BTreeMap::new();
        for failure in &self.failures {
            *reasons.entry(without_digits(&failure.text)).or_default() += 1;
        }
        reasons
    }
}

/// A text without the addresses and numbers in it.
fn without_digits(text: &str) -> String {
    let mut short = String::with_capacity(text.len());
    for letter in text.chars() {
        let letter = if letter.is_ascii_digit() { '#' } else { letter };
        if letter != '#' || !short.ends_with('#') {
            short.push(letter);
        }
    }
    short
}

/// A stream that runs.
#[derive(Debug)]
pub struct Stream {
    begun: Instant,
    calls: Arc<AtomicU64>,
    writers: Vec<(Sender<()>, JoinHandle<Tally>)>,
}

impl Stream {
    /// Starts one writer for each path of the target.
    pub fn start(target: &Target) -> Result<Self> {
        let begun = Instant::now();
        let calls = Arc::new(AtomicU64::new(0));
        let mut writers = Vec::new();
        for path in &target.paths {
            let (stop, stopped) = channel();
            let writer = Writer {
                agent: target.agent()?,
                url: format!("{}{path}", target.server),
                begun,
                calls: Arc::clone(&calls),
            };
            writers.push((stop, std::thread::spawn(move || writer.run(&stopped))));
        }
        Ok(Self { begun, calls, writers })
    }

    /// How many writes are done so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// How long it has run: the clock that failures are told by.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Ends it once every writer has its last answer.
    pub fn stop(self) -> Result<Tally> {
        let mut tally = Tally::default();
        for (stop, writer) in self.writers {
            drop(stop);
            tally.add(writer.join().map_err(|_| anyhow!("a writer panicked"))?);
        }
        Ok(tally)
    }
}

struct Writer {
    agent: Agent,
    url: String,
    begun: Instant,
    calls: Arc<AtomicU64>,
}

impl Writer {
    /// Writes until the other end of `stopped` is gone.
    fn run(&self, stopped: &Receiver<()>) -> Tally {
        let mut tally = Tally::default();
        while stopped.recv_timeout(PACE) == Err(RecvTimeoutError::Timeout) {
            let began = self.begun.elapsed();
            let outcome = self.write(tally.calls);
            let ended = self.begun.elapsed();
            tally.calls += 1;
            self.calls.fetch_add(1, Ordering::Relaxed);
            match outcome {
                Ok(()) => tally.slowest = tally.slowest.max(ended.saturating_sub(began)),
                Err(error) => {
                    tally.failures.push(Failure { began, ended, text: format!("{error:#}") });
                }
            }
        }
        tally.lasted = self.begun.elapsed();
        tally
    }

    /// Changes an annotation: a write that policies mean and that no controller acts on.
    fn write(&self, number: u64) -> Result<()> {
        let patch = json!({"metadata": {"annotations": {"example.com/write": number.to_string()}}});
        let mut answer = self
            .agent
            .patch(&self.url)
            .header("content-type", "application/merge-patch+json")
            .send(patch.to_string())?;
        let text = answer.body_mut().read_to_string()?;
        let status = answer.status().as_u16();
        if status == 200 {
            return Ok(());
        }
        let body: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        Err(anyhow!("{status}: {}", body["message"].as_str().unwrap_or(&text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_that_differ_by_address_alone_are_one_reason() {
        let failure = |text: &str| Failure {
            began: Duration::ZERO,
            ended: Duration::ZERO,
            text: text.to_owned(),
        };
        let tally = Tally {
            failures: vec![
                failure("dial tcp 10.244.0.17:8443: refused"),
                failure("dial tcp 10.244.0.72:8443: refused"),
                failure("EOF"),
            ],
            ..Tally::default()
        };
        let reasons: Vec<(String, usize)> = tally.reasons().into_iter().collect();
        assert_eq!(reasons, [("EOF".into(), 1), ("dial tcp #.#.#.#:#: refused".into(), 2)]);
    }
}
