//! The webhook's own flags.

use std::net::SocketAddr;

use clap::{Parser, Subcommand, ValueEnum};
use smartops_certs::args::LifetimeArgs;
use smartops_certs::bundle::Names;
use smartops_certs::keeper::Source;
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

/// Whence the webhook's certificate comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CertificateSource {
    /// The webhook issues and renews it itself, and keeps it in a Secret with its CA.
    SelfManaged,
    /// Somebody else keeps it in a Secret (tls.crt, tls.key, ca.crt), which is only read.
    Secret,
}

/// The flags of serving.
#[derive(Debug, Clone, Parser)]
pub struct Args {
    /// What every program takes.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Address reviews are taken at, over TLS; `[::]` is every address of IPv6 and IPv4. Port 0 picks a free one.
    #[arg(long, env = "SMARTOPS_LISTEN_ADDRESS", default_value = "[::]:8443")]
    pub listen_address: SocketAddr,
    /// Address of /healthz, /readyz and /metrics, in the same way.
    #[arg(long, env = "SMARTOPS_HEALTH_ADDRESS", default_value = "[::]:8081")]
    pub health_address: SocketAddr,
    /// Whence the certificate comes: from the webhook itself, or from a Secret that somebody else keeps, which is followed
    /// and never written.
    #[arg(long, env = "SMARTOPS_CERTIFICATE_SOURCE", value_enum, default_value = "self-managed")]
    pub certificate_source: CertificateSource,
    /// Secret, in SmartOps' namespace, that holds the CA and the serving certificate.
    #[arg(
        long,
        env = "SMARTOPS_CERTIFICATE_SECRET",
        default_value = names::WEBHOOK_CERTIFICATE_SECRET
    )]
    pub certificate_secret: String,
    /// How long certificates live that the webhook issues.
    #[command(flatten)]
    pub lifetimes: LifetimeArgs,
    /// Further names the certificate is for, DNS or IP, besides those of the Service.
    #[arg(long, env = "SMARTOPS_CERTIFICATE_NAMES", value_delimiter = ',', value_name = "NAME,…")]
    pub certificate_names: Vec<String>,
    /// Base URL under which the API server reaches this webhook, for one that runs outside the cluster. Without it the
    /// registrations name the Service, whatever they named before.
    #[arg(long, env = "SMARTOPS_WEBHOOK_URL", value_name = "URL")]
    pub webhook_url: Option<String>,
    /// Die at this point, or freeze (NAME=stop), the first time or a later one (NAME@3), to prove that work is picked up
    /// again (debug builds only).
    #[cfg(debug_assertions)]
    #[arg(long, env = "SMARTOPS_FAILPOINT", value_name = "NAME")]
    pub failpoint: Option<String>,
}

impl Args {
    /// Whence the certificate comes.
    pub fn source(&self) -> Source {
        match self.certificate_source {
            CertificateSource::SelfManaged => {
                Source::SelfManaged(self.lifetimes.check(&mut Vec::new()))
            }
            CertificateSource::Secret => Source::Secret,
        }
    }

    /// The point to die at, in debug builds.
    pub fn failpoint(&self) -> Option<&str> {
        #[cfg(debug_assertions)]
        return self.failpoint.as_deref();
        #[cfg(not(debug_assertions))]
        None
    }

    /// The names the certificate must be for, or everything that is wrong with the arguments.
    pub fn check(&self) -> Result<Names, InvalidArguments> {
        let mut problems = Vec::new();
        self.common.check(&mut problems);
        self.lifetimes.check(&mut problems);
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
        let further = self.certificate_names.iter().filter(|name| !name.is_empty()).cloned();
        match Names::new(self.usual_names().into_iter().chain(further)) {
            Ok(names) => verdict(problems).map(|()| names),
            Err(bad) => {
                problems.extend(bad.into_iter().map(|bad| format!("--certificate-names: {bad}")));
                Err(InvalidArguments(problems))
            }
        }
    }
}

impl Args {
    /// The names the certificate is for in any case. One of somebody else's needs to be for no other than that by which
    /// the API server comes.
    fn usual_names(&self) -> Vec<String> {
        let service = format!("{}.{}.svc", names::WEBHOOK_SERVICE, self.common.namespace);
        match (self.certificate_source, &self.webhook_url) {
            (CertificateSource::SelfManaged, _) => {
                vec![format!("{service}.cluster.local"), service]
            }
            (CertificateSource::Secret, Some(url)) => host(url).into_iter().collect(),
            (CertificateSource::Secret, None) => vec![service],
        }
    }
}

/// The host of a base URL.
fn host(url: &str) -> Option<String> {
    let url: axum::http::Uri = url.parse().ok()?;
    Some(url.host()?.trim_matches(['[', ']']).to_owned())
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
    fn the_certificate_of_somebody_else_needs_only_the_name_by_which_it_is_called() {
        let names = |further: &[&str]| {
            let source = ["--certificate-source", "secret"];
            parse(&[&source, further].concat()).check().unwrap().to_string()
        };
        assert_eq!(names(&[]), "smartops-webhook.smartops-system.svc");
        assert_eq!(names(&["--webhook-url", "https://hook.example:8443"]), "hook.example");
        assert_eq!(names(&["--webhook-url", "https://[::1]:8443"]), "::1");
        assert_eq!(
            names(&["--certificate-names", "also.example"]),
            "also.example, smartops-webhook.smartops-system.svc"
        );
        let own = parse(&["--certificate-lifetime", "60s", "--ca-lifetime", "1h"]).source();
        let Source::SelfManaged(lifetimes) = own else { panic!("{own:?}") };
        assert_eq!(lifetimes.certificate.as_secs(), 60);
        assert_eq!(lifetimes.authority.as_secs(), 3600);
    }

    #[test]
    fn unless_told_otherwise_it_listens_on_every_address_of_either_family() {
        let args = parse(&[]);
        assert_eq!(args.listen_address.to_string(), "[::]:8443");
        assert_eq!(args.health_address.to_string(), "[::]:8081");
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
            "--certificate-lifetime",
            "59s",
        ]);
        assert_eq!(args.check().unwrap_err().0.len(), 5);
    }
}
