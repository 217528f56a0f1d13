//! The webhook's own flags.

use std::net::SocketAddr;

use clap::{Parser, Subcommand};
use smartops_certs::bundle::Names;
use smartops_common::names;
use smartops_process::args::{CommonArgs, InvalidArguments, verdict};

use crate::install::{InstallArgs, SelfTestArgs};
use crate::judge_command::JudgeArgs;

/// Judges changes to workloads for the Kubernetes API server.
#[derive(Debug, Clone, Parser)]
#[command(name = "smartops-webhook", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; serving, unless something else is asked for.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The flags of serving.
    #[command(flatten)]
    pub serve: Args,
}

/// What the program does.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Serve reviews; the same as no command at all.
    Serve(Box<Args>),
    /// Judge recorded reviews by policies in files, without a cluster.
    Judge(JudgeArgs),
    /// Bring the CustomResourceDefinitions in a cluster to what this release knows; refused where that would take away a
    /// version that is served or stored. Exit code 1 where it did not come to that.
    ApplyCrds(InstallArgs),
    /// Take away everything by which SmartOps judges a write, the webhook's rights to put it back first. Exit code 1 where
    /// something is left.
    RemoveRegistrations(InstallArgs),
    /// See, through the API server, whether an installation does what it is there for. Nothing is stored. Exit code 1 where
    /// a check failed.
    SelfTest(SelfTestArgs),
}

/// The flags of serving.
#[derive(Debug, Clone, Parser)]
pub struct Args {
    /// What every program takes.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Address reviews are taken at, over TLS. Port 0 picks a free one.
    #[arg(long, env = "SMARTOPS_LISTEN_ADDRESS", default_value = "0.0.0.0:8443")]
    pub listen_address: SocketAddr,
    /// Address of /healthz, /readyz and /metrics. Port 0 picks a free one.
    #[arg(long, env = "SMARTOPS_HEALTH_ADDRESS", default_value = "0.0.0.0:8081")]
    pub health_address: SocketAddr,
    /// Secret, in SmartOps' namespace, that holds the CA and the serving certificate.
    #[arg(
        long,
        env = "SMARTOPS_CERTIFICATE_SECRET",
        default_value = names::WEBHOOK_CERTIFICATE_SECRET
    )]
    pub certificate_secret: String,
    /// Further names the certificate is for, DNS or IP, besides those of the Service.
    #[arg(long, env = "SMARTOPS_CERTIFICATE_NAMES", value_delimiter = ',', value_name = "NAME,…")]
    pub certificate_names: Vec<String>,
    /// Base URL under which the API server reaches this webhook, for one that runs outside the cluster. Without it the
    /// registrations go on naming what they name, or else the Service.
    #[arg(long, env = "SMARTOPS_WEBHOOK_URL", value_name = "URL")]
    pub webhook_url: Option<String>,
}

impl Args {
    /// The names the certificate must be for, or everything that is wrong with the arguments.
    pub fn check(&self) -> Result<Names, InvalidArguments> {
        let mut problems = Vec::new();
        self.common.check(&mut problems);
        if self.certificate_secret.is_empty() {
            problems.push("--certificate-secret must not be empty: name a Secret".into());
        }
        if let Some(url) = self.webhook_url.as_ref().filter(|url| !is_base(url)) {
            problems.push(format!(
                "--webhook-url {url:?} must be https://HOST[:PORT], without a user, a query or a fragment"
            ));
        }
        if self.listen_address == self.health_address && self.listen_address.port() != 0 {
            problems.push(format!(
                "--listen-address and --health-address are both {}: give each its own",
                self.listen_address
            ));
        }
        let service = format!("{}.{}.svc", names::WEBHOOK_SERVICE, self.common.namespace);
        let ours = [format!("{service}.cluster.local"), service];
        let further = self.certificate_names.iter().filter(|name| !name.is_empty());
        match Names::new(ours.iter().chain(further)) {
            Ok(names) => verdict(problems).map(|()| names),
            Err(bad) => {
                problems.extend(bad.into_iter().map(|bad| format!("--certificate-names: {bad}")));
                Err(InvalidArguments(problems))
            }
        }
    }
}

/// What the API server takes as a webhook's URL, once a path is added.
fn is_base(url: &str) -> bool {
    url.strip_prefix("https://").is_some_and(|rest| {
        !rest.is_empty() && !rest.starts_with('/') && !rest.contains(['@', '?', '#', ' '])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Args {
        Args::try_parse_from([&["smartops-webhook"], arguments].concat()).unwrap()
    }

    #[test]
    fn the_certificate_is_always_for_the_service_and_for_what_is_added() {
        let names = parse(&["--certificate-names", "127.0.0.1,host.example"]).check().unwrap();
        assert_eq!(
            names.iter().collect::<Vec<_>>(),
            [
                "127.0.0.1",
                "host.example",
                "smartops-webhook.smartops-system.svc",
                "smartops-webhook.smartops-system.svc.cluster.local",
            ]
        );
    }

    #[test]
    fn no_command_serves_and_so_does_serve() {
        let cli = |arguments: &[&str]| Cli::try_parse_from([&["x"], arguments].concat());
        assert!(cli(&["--drain-seconds", "3"]).unwrap().command.is_none());
        let Some(Command::Serve(args)) = cli(&["serve", "--drain-seconds", "3"]).unwrap().command
        else {
            panic!("serve was not taken");
        };
        assert_eq!(args.common.drain_seconds, 3);
        assert!(matches!(
            cli(&["judge", "-f", "a", "-p", "b"]).unwrap().command,
            Some(Command::Judge(_))
        ));
        assert!(cli(&["judge", "-f", "a"]).is_err());
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let args = parse(&[
            "--certificate-names",
            "a b",
            "--drain-seconds",
            "60",
            "--listen-address",
            "127.0.0.1:1",
            "--health-address",
            "127.0.0.1:1",
            "--webhook-url",
            "http://127.0.0.1:1",
        ]);
        assert_eq!(args.check().unwrap_err().0.len(), 4);
    }
}
