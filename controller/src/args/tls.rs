//! Flags about the certificate of the API.

use std::path::PathBuf;

use clap::{Args as Flags, ValueEnum};
use smartops_certs::args::LifetimeArgs;
use smartops_certs::bundle::Names;
use smartops_certs::issue::Lifetimes;
use smartops_common::names;

/// By which certificate the API is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// One the controller issues and renews itself, kept in a Secret with its CA.
    SelfManaged,
    /// One somebody else keeps in two files.
    Files,
    /// None: plain HTTP, for whoever ends TLS before it.
    Off,
}

/// Flags about the certificate of the API.
#[derive(Debug, Clone, Flags)]
pub struct TlsArgs {
    /// How the API is served: by a certificate of the controller's own making, by one in files, or without TLS.
    #[arg(long, env = "SMARTOPS_TLS", value_enum, default_value = "self-managed")]
    pub tls: Mode,
    /// Further names that certificate is for, DNS or IP, besides those of the Service and of this machine.
    #[arg(long, env = "SMARTOPS_CERTIFICATE_NAMES", value_delimiter = ',')]
    pub certificate_names: Vec<String>,
    /// With --tls=files: the certificate and whatever leads to its CA, PEM; read again when it changes.
    #[arg(long, env = "SMARTOPS_TLS_CERTIFICATE_FILE", value_name = "PATH")]
    pub tls_certificate_file: Option<PathBuf>,
    /// With --tls=files: its key, PEM.
    #[arg(long, env = "SMARTOPS_TLS_KEY_FILE", value_name = "PATH")]
    pub tls_key_file: Option<PathBuf>,
    /// How long certificates live that the controller issues.
    #[command(flatten)]
    pub lifetimes: LifetimeArgs,
}

/// What the flags come to.
#[derive(Debug, Clone, PartialEq)]
pub enum Tls {
    /// A certificate of the controller's own making for these names and this long.
    SelfManaged(Names, Lifetimes),
    /// Certificate and key in these files.
    Files {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// None.
    Off,
}

impl TlsArgs {
    /// What the flags come to; what is wrong with them is added to `problems`.
    pub fn check(&self, namespace: &str, problems: &mut Vec<String>) -> Option<Tls> {
        let lifetimes = self.lifetimes.check(problems);
        let files = (&self.tls_certificate_file, &self.tls_key_file);
        match (self.tls, files) {
            (Mode::Off, (None, None)) => Some(Tls::Off),
            (Mode::SelfManaged, (None, None)) => self.own(namespace, lifetimes, problems),
            (Mode::Files, (Some(certificate), Some(key))) => {
                Some(Tls::Files { certificate: certificate.clone(), key: key.clone() })
            }
            (Mode::Files, _) => {
                problems.push(
                    "--tls=files needs both --tls-certificate-file and --tls-key-file".to_owned(),
                );
                None
            }
            (Mode::Off | Mode::SelfManaged, _) => {
                problems.push(
                    "--tls-certificate-file and --tls-key-file are for --tls=files: say that, or leave them out".to_owned(),
                );
                None
            }
        }
    }

    fn own(
        &self,
        namespace: &str,
        lifetimes: Lifetimes,
        problems: &mut Vec<String>,
    ) -> Option<Tls> {
        let service = names::CONTROLLER_SERVICE;
        let usual = [
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.cluster.local"),
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
        ];
        let further = self.certificate_names.iter().filter(|name| !name.is_empty()).cloned();
        match Names::new(usual.into_iter().chain(further)) {
            Ok(names) => Some(Tls::SelfManaged(names, lifetimes)),
            Err(bad) => {
                problems.extend(bad.into_iter().map(|bad| format!("--certificate-names: {bad}")));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Args;

    fn check(flags: &[&str]) -> (Option<Tls>, Vec<String>) {
        let mut problems = Vec::new();
        let args = Args::try_parse_from([&["x"], flags].concat()).unwrap();
        (args.tls.check("smartops-system", &mut problems), problems)
    }

    #[test]
    fn without_a_word_the_api_is_served_by_a_certificate_of_its_own_for_its_service_and_this_machine()
     {
        let (tls, problems) = check(&["--certificate-names", "10.0.0.7"]);
        let Some(Tls::SelfManaged(names, _)) = tls else { panic!("{tls:?} {problems:?}") };
        let names: Vec<&str> = names.iter().collect();
        assert_eq!(
            names,
            [
                "10.0.0.7",
                "127.0.0.1",
                "localhost",
                "smartops-orchestrator.smartops-system.svc",
                "smartops-orchestrator.smartops-system.svc.cluster.local",
            ]
        );
    }

    #[test]
    fn flags_that_belong_together_come_together() {
        let files = ["--tls-certificate-file", "/c", "--tls-key-file", "/k"];
        for (flags, expected) in [
            (vec!["--tls", "off"], true),
            ([&["--tls", "files"][..], &files].concat(), true),
            ([&["--tls", "files"][..], &files[..2]].concat(), false),
            (vec!["--tls", "files"], false),
            ([&["--tls", "off"][..], &files].concat(), false),
            (files.to_vec(), false),
            (vec!["--certificate-names", "a b"], false),
            (vec!["--certificate-lifetime", "1m", "--ca-lifetime", "2m"], true),
            (vec!["--certificate-lifetime", "1m", "--ca-lifetime", "1m"], false),
        ] {
            let (tls, problems) = check(&flags);
            assert_eq!(tls.is_some() && problems.is_empty(), expected, "{flags:?} {problems:?}");
        }
    }
}
