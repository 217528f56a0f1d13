//! `smartops-webhook judge`: judges recorded reviews by policies in files, with the server's own code and no cluster.
//!
//! Lives here: the arguments and the exit code. What only a live cluster knows is given by flags, and what was not given
//! is said with each verdict. Does not live here: any rule.

mod documents;
mod judged;
mod kin;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use serde::de::DeserializeOwned;
use serde_json::Value;
use smartops_common::config::{SmartOpsConfig, SmartOpsConfigSpec};
use smartops_guard::exception::{Exception, GuardrailException};
use smartops_guard::policy::{CompiledPolicy, GuardrailPolicy, Index, compile};
use smartops_process::clock::Clock;

use self::documents::Document;
use self::judged::{Judge, Judged};

/// All allowed.
const ALLOWED: u8 = 0;
/// At least one denied.
const DENIED: u8 = 1;
/// Something given cannot be used.
const UNUSABLE: u8 = 2;

/// Judges recorded reviews by policies in files, with the same code as the server, without a cluster.
///
/// Exit codes: 0 every review is allowed; 1 at least one is denied; 2 a file, a policy or a review cannot be used.
#[derive(Debug, Clone, Args)]
pub struct JudgeArgs {
    /// Reviews: a file or folder, JSON or YAML, `-` for standard input. One AdmissionReview, a list, an array, or a
    /// stream of documents.
    #[arg(short, long = "file", required = true, value_name = "PATH")]
    pub files: Vec<PathBuf>,
    /// Files or folders with GuardrailPolicies; GuardrailExceptions, SmartOpsConfig, Namespaces, Remediations with
    /// their approvals in them are used as well, and workloads for the labels of what a Scale, a pod or an autoscaler belongs to.
    #[arg(short, long, required = true, value_name = "PATH")]
    pub policies: Vec<PathBuf>,
    /// The SmartOpsConfig, where it is not among the policies; the default one when there is none.
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// Files or folders with Namespaces. One that is not given is selected by every selector by label.
    #[arg(long, value_name = "PATH")]
    pub namespaces: Vec<PathBuf>,
    /// The time of the judgement (RFC 3339), for freezes and cooldowns; now when absent.
    #[arg(long, value_name = "TIME")]
    pub now: Option<Timestamp>,
    /// How long ago the pods of every object were last replaced, as in 30s, 5m, 2h; never when absent.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub changed_ago: Option<Duration>,
    /// How long ago the number of every object last changed; never when absent.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub scaled_ago: Option<Duration>,
    /// How the verdicts are written.
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

/// How verdicts are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people: a line each, with what belongs to it below.
    Text,
    /// One JSON array.
    Json,
}

/// Judges what the arguments name, writes the verdicts to `output` and what is wrong to `errors`.
pub fn run(
    args: &JudgeArgs,
    output: &mut dyn Write,
    errors: &mut dyn Write,
) -> io::Result<ExitCode> {
    let code = match judge_all(args) {
        Ok(judged) => {
            match args.output {
                Output::Text => write_text(&judged, output)?,
                Output::Json => {
                    serde_json::to_writer_pretty(&mut *output, &judged)?;
                    writeln!(output)?;
                }
            }
            if judged.iter().any(|judged| !judged.allowed) { DENIED } else { ALLOWED }
        }
        Err(problems) => {
            for problem in problems {
                writeln!(errors, "{problem}")?;
            }
            UNUSABLE
        }
    };
    output.flush()?;
    Ok(ExitCode::from(code))
}

fn write_text(judged: &[Judged], output: &mut dyn Write) -> io::Result<()> {
    for judged in judged {
        judged.write(output)?;
    }
    let denied = judged.iter().filter(|judged| !judged.allowed).count();
    writeln!(output, "{} judged, {denied} denied", judged.len())
}

fn judge_all(args: &JudgeArgs) -> Result<Vec<Judged>, Vec<String>> {
    let mut problems = Vec::new();
    let mut read = |paths: &[PathBuf]| documents::read_all(paths, &mut problems);
    let reviews = read(&args.files);
    let mut given = read(&args.policies);
    given.extend(read(&args.namespaces));
    let named = read(args.config.as_slice());
    let configs: Vec<SmartOpsConfig> = of_kind(&named, "SmartOpsConfig", &mut problems);
    if args.config.is_some() && configs.is_empty() && problems.is_empty() {
        problems.push("--config holds no SmartOpsConfig".to_owned());
    }
    let among: Vec<SmartOpsConfig> = of_kind(&given, "SmartOpsConfig", &mut problems);
    let config = configs.into_iter().chain(among).next();
    let config = config.map_or_else(SmartOpsConfigSpec::default, |config| config.spec);
    let policies = policies(&given, &mut problems);
    let namespaces: Vec<Namespace> = of_kind(&given, "Namespace", &mut problems);
    let namespaces: BTreeMap<String, BTreeMap<String, String>> =
        namespaces.into_iter().map(|n| (n.name_any(), n.labels().clone())).collect();
    let known = namespaces.iter().map(|(name, labels)| (name.as_str(), labels));
    let now = args.now.unwrap_or_else(|| Clock.now());
    let exceptions = exceptions(&given, now, &mut problems);
    let judge = Judge {
        exceptions,
        remediations: of_kind(&given, "Remediation", &mut problems),
        approvals: of_kind(&given, "RemediationApproval", &mut problems),
        index: Index::build(&policies, known, &config),
        config,
        namespaces: namespaces.keys().cloned().collect(),
        given,
        now,
        rolled: args.changed_ago.and_then(|ago| now.checked_sub(ago).ok()),
        scaled: args.scaled_ago.and_then(|ago| now.checked_sub(ago).ok()),
    };
    let mut judged = Vec::new();
    for review in &reviews {
        match judge.review(review) {
            Ok(verdict) => judged.push(verdict),
            Err(problem) => problems.push(format!("{}: {problem}", review.source)),
        }
    }
    if reviews.is_empty() && problems.is_empty() {
        problems.push("--file names no review".to_owned());
    }
    if problems.is_empty() { Ok(judged) } else { Err(problems) }
}

/// The policies, compiled.
fn policies(given: &[Document], problems: &mut Vec<String>) -> Vec<Arc<CompiledPolicy>> {
    let policies: Vec<GuardrailPolicy> = of_kind(given, "GuardrailPolicy", problems);
    if policies.is_empty() && problems.is_empty() {
        problems.push("--policies names no GuardrailPolicy".to_owned());
    }
    let mut compiled = Vec::new();
    for policy in policies {
        match compile(&policy.name_any(), &policy.spec) {
            Ok(policy) => compiled.push(Arc::new(policy)),
            Err(error) => problems.push(error.to_string()),
        }
    }
    compiled
}

/// The exceptions, by namespace. One that was never in a cluster is taken as made now.
fn exceptions(
    given: &[Document],
    now: Timestamp,
    problems: &mut Vec<String>,
) -> BTreeMap<String, Vec<Arc<Exception>>> {
    let written: Vec<GuardrailException> = of_kind(given, "GuardrailException", problems);
    let mut exceptions: BTreeMap<String, Vec<Arc<Exception>>> = BTreeMap::new();
    for exception in written {
        let (namespace, name) = (exception.namespace().unwrap_or_default(), exception.name_any());
        let made = exception.creation_timestamp().map_or(now, |time| time.0);
        match Exception::check(&namespace, &name, made, exception.spec) {
            Ok(exception) => exceptions.entry(namespace).or_default().push(Arc::new(exception)),
            Err(flaws) => problems.extend(flaws.into_iter().map(|flaw| {
                format!("exception {namespace}/{name}: {}: {}", flaw.field, flaw.reason)
            })),
        }
    }
    exceptions
}

/// The objects of a kind among what was given.
fn of_kind<K: DeserializeOwned>(
    given: &[Document],
    kind: &str,
    problems: &mut Vec<String>,
) -> Vec<K> {
    let of_kind =
        given.iter().filter(|d| d.value.get("kind").and_then(Value::as_str) == Some(kind));
    let mut objects = Vec::new();
    for Document { source, value } in of_kind {
        match serde_json::from_value(value.clone()) {
            Ok(object) => objects.push(object),
            Err(error) => problems.push(format!("{source} is no {kind}: {error}")),
        }
    }
    objects
}

/// `30s`, `5m`, `2h`, `1d`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time; write a whole number and s, m, h or d, as in 30s");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u32 = text.trim_end_matches(unit).parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(u64::from(number) * factor))
}

#[cfg(test)]
mod tests;
