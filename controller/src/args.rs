//! The controller's flags, and everything that can be wrong with them.

pub mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::Uri;
use clap::Parser;
use jiff::SignedDuration;
use smartops_common::names;
use smartops_process::args::{CommonArgs, InvalidArguments, verdict};

use self::tls::{Tls, TlsArgs};
use crate::api::limits::Rate;

/// The shortest, the usual and the longest term of the leader's Lease.
const LEASE_SECONDS: (u16, u16, u16) = (3, 15, 300);

/// The SmartOps remediation controller: takes signals and requests, writes what the webhook lets pass, and verifies
/// the rollout.
#[derive(Debug, Clone, Parser)]
#[command(name = "smartops-controller", version)]
pub struct Args {
    /// Flags both programs take.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Address of the HTTP API, health and metrics; `[::]` is every address of IPv6 and IPv4, and port 0 takes a free one.
    #[arg(long, env = "SMARTOPS_LISTEN_ADDRESS", default_value = "[::]:8001")]
    pub listen_address: SocketAddr,
    /// Flags about the API's certificate.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// Namespace meant by requests and signals that name none.
    #[arg(long, env = "SMARTOPS_DEFAULT_NAMESPACE", default_value = names::DEFAULT_TARGET_NAMESPACE)]
    pub default_namespace: String,
    /// Prefix tried when a service name is not itself a Deployment's name.
    #[arg(long, env = "SMARTOPS_DEPLOYMENT_PREFIX", default_value = names::DEPLOYMENT_PREFIX)]
    pub deployment_prefix: String,
    /// File of API keys: one `name sha256hex` a line, or `name sign:secrethex` for a key that signs requests, then perhaps
    /// `namespaces=a,b` and `actions=scale,restart,patch,verify,closed-loop`; `#` begins a comment; read again when it
    /// changes. Without it only Kubernetes bearer tokens are accepted.
    #[arg(long, env = "SMARTOPS_API_KEYS_FILE", value_name = "PATH")]
    pub api_keys_file: Option<PathBuf>,
    /// Requests a second one caller may make in the long run.
    #[arg(long, env = "SMARTOPS_RATE_PER_SECOND", default_value_t = 50)]
    pub rate_per_second: u32,
    /// Requests one caller may make at once after a rest.
    #[arg(long, env = "SMARTOPS_RATE_BURST", default_value_t = 200)]
    pub rate_burst: u32,
    /// Seconds the closed loop leaves a target alone after it acted on it, where no RemediationPolicy says.
    #[arg(long, env = "SMARTOPS_COOLDOWN_SECONDS", default_value_t = 300)]
    pub cooldown_seconds: u32,
    /// Address of the Prometheus that is asked whether a remedy helped, as `http://prometheus.monitoring:9090`; it may end
    /// in a path. Without it such checks are inconclusive, and a remedy that has some never succeeds.
    #[arg(long, env = "SMARTOPS_PROMETHEUS_URL", value_name = "URL")]
    pub prometheus_url: Option<Uri>,
    /// Remediations worked on at once.
    #[arg(long, env = "SMARTOPS_MAX_CONCURRENT", default_value_t = 8)]
    pub max_concurrent: u16,
    /// Seconds after which another replica takes over from one that worked on Remediations and says nothing any more.
    #[arg(long, env = "SMARTOPS_LEASE_SECONDS", default_value_t = LEASE_SECONDS.1)]
    pub lease_seconds: u16,
    /// Die at this point, or freeze (NAME=stop), the first time or a later one (NAME@3), to prove that work is picked up
    /// again (debug builds only).
    #[cfg(debug_assertions)]
    #[arg(long, env = "SMARTOPS_FAILPOINT", value_name = "NAME")]
    pub failpoint: Option<String>,
}

impl Args {
    /// How the API is served, or everything that cannot work in one error.
    pub fn check(&self) -> Result<Tls, InvalidArguments> {
        let mut problems = Vec::new();
        self.common.check(&mut problems);
        let tls = self.tls.check(&self.common.namespace, &mut problems).unwrap_or(Tls::Off);
        if self.default_namespace.is_empty() {
            problems.push(
                "--default-namespace must not be empty: name the namespace requests mean by default"
                    .into(),
            );
        }
        if self
            .prometheus_url
            .as_ref()
            .is_some_and(|url| url.host().is_none() || url.scheme().is_none())
        {
            problems.push(
                "--prometheus-url must be a whole address: give it as http://HOST:PORT".into(),
            );
        }
        if self.max_concurrent == 0 {
            problems
                .push("--max-concurrent must be at least 1: with 0 nothing is worked on".into());
        }
        let (least, _, most) = LEASE_SECONDS;
        if !(least..=most).contains(&self.lease_seconds) {
            problems.push(format!(
                "--lease-seconds {} must be between {least} and {most}: in less a leader cannot prove that it lives",
                self.lease_seconds
            ));
        }
        if self.rate_per_second == 0 || self.rate_burst == 0 {
            problems.push(
                "--rate-per-second and --rate-burst must be at least 1: with 0 nobody may ask anything"
                    .into(),
            );
        }
        verdict(problems)?;
        Ok(tls)
    }

    /// How often one caller may ask.
    pub fn rate(&self) -> Rate {
        Rate { per_second: self.rate_per_second, burst: self.rate_burst }
    }

    /// The closed loop's cooldown of a target.
    pub fn cooldown(&self) -> SignedDuration {
        SignedDuration::from_secs(self.cooldown_seconds.into())
    }

    /// How long the others wait for a leader that says nothing.
    pub fn lease_term(&self) -> Duration {
        Duration::from_secs(self.lease_seconds.into())
    }

    /// The point to die at, in debug builds.
    pub fn failpoint(&self) -> Option<&str> {
        #[cfg(debug_assertions)]
        return self.failpoint.as_deref();
        #[cfg(not(debug_assertions))]
        None
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_defaults_are_the_contracts_and_work() {
        Args::command().debug_assert();
        let args = Args::try_parse_from(["smartops-controller"]).unwrap();
        args.check().unwrap();
        assert_eq!(args.listen_address.to_string(), "[::]:8001");
        assert_eq!(args.default_namespace, "smartops-dev");
        assert_eq!(args.deployment_prefix, "smartops-");
        assert_eq!(args.cooldown().as_secs(), 300);
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let flags = [
            ["--max-concurrent", "0"],
            ["--default-namespace", ""],
            ["--namespace", ""],
            ["--rate-burst", "0"],
            ["--lease-seconds", "2"],
        ];
        let flags = std::iter::once("x").chain(flags.into_iter().flatten());
        let error = Args::try_parse_from(flags).unwrap().check().unwrap_err().to_string();
        for flag in ["--max-concurrent", "--default-namespace", "--namespace", "--rate-burst"] {
            assert!(error.contains(flag), "{flag} in {error}");
        }
    }
}
