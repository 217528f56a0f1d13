//! The arguments both programs take, and the way all mistakes in them are told at once.
//!
//! Lives here: flags with their environment names and defaults. Does not live here: flags of one program only.

use std::path::PathBuf;
use std::time::Duration;

use axum::http::Uri;
use axum::http::uri::Scheme;
use clap::{Args, ValueEnum};
use smartops_common::names;
use tracing_subscriber::EnvFilter;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people's eyes.
    Text,
}

/// Flags both programs take; flatten it into the program's own.
#[derive(Debug, Clone, Args)]
pub struct CommonArgs {
    /// Kubeconfig file to reach the API server with; without it the pod's own ServiceAccount is used.
    #[arg(long, env = "SMARTOPS_KUBECONFIG", value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,
    /// Namespace SmartOps itself runs in.
    #[arg(long, env = "SMARTOPS_NAMESPACE", default_value = names::SYSTEM_NAMESPACE)]
    pub namespace: String,
    /// How log lines are written.
    #[arg(long, env = "SMARTOPS_LOG_FORMAT", value_enum, default_value = "json")]
    pub log_format: LogFormat,
    /// Which log lines are written: a level, or directives such as `info,kube=warn`.
    #[arg(long, env = "SMARTOPS_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
    /// Seconds to go on serving, asking every client to close, after the signal to stop.
    #[arg(long, env = "SMARTOPS_DRAIN_SECONDS", default_value_t = 5)]
    pub drain_seconds: u64,
    /// Seconds from the signal to stop until the process ends whatever is still running.
    #[arg(long, env = "SMARTOPS_GRACE_SECONDS", default_value_t = 25)]
    pub grace_seconds: u64,
    /// Collector of traces, such as http://collector:4317 (OTLP over gRPC, without TLS); `off` for none. Where this is not
    /// given, what OTEL_EXPORTER_OTLP_ENDPOINT says, and else none.
    #[arg(long, env = "SMARTOPS_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// Share of the traces that begin here to be recorded, 0 to 1; one that begins elsewhere is recorded where it is there.
    #[arg(long, env = "SMARTOPS_TRACE_SAMPLE_RATIO", default_value_t = 1.0)]
    pub trace_sample_ratio: f64,
}

/// Who takes traces, and how many.
#[derive(Debug, Clone, PartialEq)]
pub struct Collector {
    /// Where.
    pub endpoint: String,
    /// The share of those that begin here.
    pub sample_ratio: f64,
}

/// What operators set for all that speak OTLP.
const STANDARD_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// The port of OTLP over gRPC.
const OTLP_PORT: u16 = 4317;

impl CommonArgs {
    /// Adds a sentence to `problems` for everything that cannot work.
    pub fn check(&self, problems: &mut Vec<String>) {
        if let Err(error) = EnvFilter::try_new(&self.log_level) {
            problems.push(format!(
                "--log-level {:?} cannot be read ({error}): give a level (error, warn, info, debug, trace) or \
                 directives such as info,kube=warn",
                self.log_level
            ));
        }
        if self.drain_seconds >= self.grace_seconds {
            problems.push(format!(
                "--drain-seconds {} must be less than --grace-seconds {}: what is in flight needs time after the drain",
                self.drain_seconds, self.grace_seconds
            ));
        }
        if self.grace_seconds > 3600 {
            problems.push(format!("--grace-seconds {} must be at most 3600", self.grace_seconds));
        }
        if !(0.0..=1.0).contains(&self.trace_sample_ratio) {
            problems.push(format!(
                "--trace-sample-ratio {} must be between 0 (none) and 1 (all)",
                self.trace_sample_ratio
            ));
        }
        if let Err(InvalidArguments(found)) = self.collector() {
            problems.extend(found);
        }
        if self.namespace != names::SYSTEM_NAMESPACE {
            // Who the controller is, and which namespace the baseline leaves alone, is told by this very name.
            problems.push(format!(
                "--namespace {:?} is not supported: SmartOps runs in {}",
                self.namespace,
                names::SYSTEM_NAMESPACE
            ));
        }
    }

    /// Who takes traces; `None` where nobody does.
    pub fn collector(&self) -> Result<Option<Collector>, InvalidArguments> {
        let standard = std::env::var(STANDARD_ENDPOINT).ok();
        self.collector_or(standard.as_deref()).map_err(|problem| InvalidArguments(vec![problem]))
    }

    fn collector_or(&self, standard: Option<&str>) -> Result<Option<Collector>, String> {
        let (flag, given) = match (&self.otlp_endpoint, standard) {
            (Some(own), _) => ("--otlp-endpoint", own.as_str()),
            (None, Some(standard)) => (STANDARD_ENDPOINT, standard),
            (None, None) => return Ok(None),
        };
        if matches!(given, "" | "off") {
            return Ok(None);
        }
        let endpoint = endpoint(given).ok_or_else(|| {
            format!(
                "{flag} {given:?} cannot be used: give http:// with host and port of a collector that takes OTLP over \
                 gRPC without TLS, such as http://collector:{OTLP_PORT}, or off"
            )
        })?;
        Ok(Some(Collector { endpoint, sample_ratio: self.trace_sample_ratio }))
    }

    /// How long to go on serving after the signal to stop.
    pub const fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }

    /// How long everything may take after the signal to stop.
    pub const fn grace(&self) -> Duration {
        Duration::from_secs(self.grace_seconds)
    }
}

/// The collector's address with its port, where it is one.
fn endpoint(given: &str) -> Option<String> {
    let uri: Uri = given.parse().ok()?;
    if uri.scheme() != Some(&Scheme::HTTP) || uri.path() != "/" || uri.query().is_some() {
        return None;
    }
    let authority = uri.authority()?;
    let host = Some(authority.host()).filter(|host| !host.is_empty())?;
    // What precedes the host would be a password.
    let port = match authority.as_str().strip_prefix(host)? {
        "" => OTLP_PORT,
        port => port.strip_prefix(':')?.parse().ok().filter(|port| *port > 0)?,
    };
    Some(format!("http://{host}:{port}"))
}

/// Everything that is wrong with the arguments.
#[derive(Debug, thiserror::Error)]
#[error("the arguments cannot work:\n  - {}", .0.join("\n  - "))]
pub struct InvalidArguments(pub Vec<String>);

/// Turns the problems found into one error that names them all.
pub fn verdict(problems: Vec<String>) -> Result<(), InvalidArguments> {
    if problems.is_empty() { Ok(()) } else { Err(InvalidArguments(problems)) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        common: CommonArgs,
    }

    fn parse(arguments: &[&str]) -> CommonArgs {
        Program::try_parse_from([&["program"], arguments].concat()).unwrap().common
    }

    #[test]
    fn the_defaults_work() {
        let mut problems = Vec::new();
        let args = parse(&[]);
        args.check(&mut problems);
        assert_eq!(args.collector_or(None), Ok(None));
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(args.namespace, "smartops-system");
        assert_eq!((args.drain(), args.grace()), (Duration::from_secs(5), Duration::from_secs(25)));
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let mut problems = Vec::new();
        parse(&["--log-level", "a=b=c", "--drain-seconds", "30", "--namespace", ""])
            .check(&mut problems);
        assert_eq!(problems.len(), 3, "{problems:?}");
        let error = verdict(problems).unwrap_err().to_string();
        assert!(error.contains("--log-level") && error.contains("--drain-seconds"), "{error}");
    }

    #[test]
    fn a_collector_is_named_by_the_flag_or_else_by_the_standard_variable() {
        for (flag, standard, expected) in [
            (Some("http://a:1"), None, Some("http://a:1")),
            (Some("http://a:1"), Some("http://b:2"), Some("http://a:1")),
            (None, Some("http://b:2/"), Some("http://b:2")),
            (Some("off"), Some("http://b:2"), None),
            (Some(""), Some("http://b:2"), None),
            (None, Some(""), None),
            (None, None, None),
            (Some("http://a"), None, Some("http://a:4317")),
            (Some("http://[::1]"), None, Some("http://[::1]:4317")),
        ] {
            let args = CommonArgs { otlp_endpoint: flag.map(str::to_owned), ..parse(&[]) };
            let found = args.collector_or(standard).unwrap().map(|c| c.endpoint);
            assert_eq!(found.as_deref(), expected, "{flag:?} {standard:?}");
        }
    }

    #[test]
    fn a_collector_that_cannot_be_spoken_to_is_told_with_what_can() {
        for endpoint in [
            "collector:4317",
            "https://collector:4317",
            "grpc://collector:4317",
            "http://collector:4317/v1/traces",
            "http://collector:4317/?a=b",
            "http://user:word@collector:4317",
            "http://collector:0",
            "http://collector:",
            "http://collector:99999",
            "http://",
            "a b",
        ] {
            let mut problems = Vec::new();
            parse(&["--otlp-endpoint", endpoint]).check(&mut problems);
            let [problem] = problems.as_slice() else { panic!("{endpoint}: {problems:?}") };
            assert!(problem.contains("http://collector:4317, or off"), "{problem}");
        }
    }

    #[test]
    fn a_share_of_traces_is_between_none_and_all() {
        for (ratio, works) in
            [("0", true), ("0.25", true), ("1", true), ("1.01", false), ("NaN", false)]
        {
            let mut problems = Vec::new();
            parse(&["--trace-sample-ratio", ratio]).check(&mut problems);
            assert_eq!(problems.is_empty(), works, "{ratio}: {problems:?}");
        }
    }
}
