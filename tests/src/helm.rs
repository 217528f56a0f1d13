//! Running `helm`: with one kubeconfig (or none, to render and lint), and with nothing of the person's own helm or
//! cluster within reach. Does not live here: which values a test sets, and what it expects.

use std::env;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use crate::components::Helm;
use crate::kubectl::Outcome;
use crate::wait::{Seen, eventually};

/// Longer than any `--timeout` a test gives; helm waits 5 minutes unless told otherwise.
const LIMIT: Duration = Duration::from_mins(10);

/// `helm` with a home of its own.
#[derive(Debug, Clone)]
pub struct Runner {
    program: PathBuf,
    home: PathBuf,
    kubeconfig: Option<PathBuf>,
}

/// A release by name and namespace.
#[derive(Debug, Clone, Copy)]
pub struct Release<'a> {
    /// What helm calls it.
    pub name: &'a str,
    /// Where helm keeps its record, and where the chart's objects go.
    pub namespace: &'a str,
}

impl Runner {
    /// Helm without a cluster: it renders, lints and packages. `home` is where it keeps its caches; give every cluster
    /// one of its own, because what one cluster serves is remembered there by address.
    pub fn new(helm: &Helm, home: &Path) -> Self {
        Self { program: helm.path().to_path_buf(), home: home.to_path_buf(), kubeconfig: None }
    }

    /// Helm with the cluster and the identity of a kubeconfig.
    #[must_use]
    pub fn with_kubeconfig(mut self, kubeconfig: &Path) -> Self {
        self.kubeconfig = Some(kubeconfig.to_path_buf());
        self
    }

    /// Runs helm with these arguments to its end.
    pub fn run(&self, arguments: &[&str]) -> Result<Outcome> {
        let child = self
            .command()
            .args(arguments)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        finish(child, &format!("helm {}", arguments.join(" ")))
    }

    /// The output of a command that must succeed.
    pub fn text(&self, arguments: &[&str]) -> Result<String> {
        self.run(arguments)?.ok().with_context(|| format!("helm {}", arguments.join(" ")))
    }

    /// The answer of a command that must succeed and knows `-o json`: install, upgrade, status, history, list.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.text(&[arguments, &["-o", "json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("helm did not answer in JSON: {text}"))
    }

    /// Looks for mistakes in a chart; `--strict`, so that a warning is one too. `more` are values: `--set`, `-f`.
    pub fn lint(&self, chart: &Path, more: &[&str]) -> Result<Outcome> {
        self.run(&[&["lint", "--strict", path(chart)?], more].concat())
    }

    /// What a chart renders to.
    pub fn template(&self, release: Release<'_>, chart: &Path, more: &[&str]) -> Result<Outcome> {
        self.with_chart("template", release, chart, more)
    }

    /// Puts a chart into the cluster. Give `--wait` to come back when everything is ready.
    pub fn install(&self, release: Release<'_>, chart: &Path, more: &[&str]) -> Result<Outcome> {
        self.with_chart("install", release, chart, more)
    }

    /// Brings a release to another chart or to other values.
    pub fn upgrade(&self, release: Release<'_>, chart: &Path, more: &[&str]) -> Result<Outcome> {
        self.with_chart("upgrade", release, chart, more)
    }

    /// Brings a release back to an earlier revision.
    pub fn rollback(&self, release: Release<'_>, revision: u32, more: &[&str]) -> Result<Outcome> {
        self.with_release("rollback", release, &[&[revision.to_string().as_str()], more].concat())
    }

    /// Runs the chart's own tests against the cluster.
    pub fn test(&self, release: Release<'_>, more: &[&str]) -> Result<Outcome> {
        self.with_release("test", release, more)
    }

    /// Takes a release out of the cluster.
    pub fn uninstall(&self, release: Release<'_>, more: &[&str]) -> Result<Outcome> {
        self.with_release("uninstall", release, more)
    }

    /// How a release stands.
    pub fn status(&self, release: Release<'_>) -> Result<Value> {
        self.json(&["status", release.name, "--namespace", release.namespace])
    }

    /// The revisions of a release, oldest first.
    pub fn history(&self, release: Release<'_>) -> Result<Value> {
        self.json(&["history", release.name, "--namespace", release.namespace])
    }

    /// The objects of a release as helm sent them, hooks left out.
    pub fn manifest(&self, release: Release<'_>) -> Result<String> {
        self.text(&["get", "manifest", release.name, "--namespace", release.namespace])
    }

    fn with_chart(
        &self,
        verb: &str,
        release: Release<'_>,
        chart: &Path,
        more: &[&str],
    ) -> Result<Outcome> {
        self.with_release(verb, release, &[&[path(chart)?], more].concat())
    }

    fn with_release(&self, verb: &str, release: Release<'_>, more: &[&str]) -> Result<Outcome> {
        self.run(&[&[verb, release.name, "--namespace", release.namespace], more].concat())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in env::vars_os() {
            let name = name.to_string_lossy();
            if ["HELM_", "KUBE"].iter().any(|prefix| name.starts_with(prefix)) {
                command.env_remove(&*name);
            }
        }
        for (variable, folder) in [
            ("HELM_CACHE_HOME", "cache"),
            ("HELM_CONFIG_HOME", "config"),
            ("HELM_DATA_HOME", "data"),
            ("KUBECACHEDIR", "discovery"),
            // Nobody's: a command that needs a cluster fails without one instead of finding the person's.
            ("KUBECONFIG", "no-kubeconfig"),
        ] {
            command.env(variable, self.home.join(folder));
        }
        if let Some(kubeconfig) = &self.kubeconfig {
            command.env("KUBECONFIG", kubeconfig);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

fn path(chart: &Path) -> Result<&str> {
    chart.to_str().with_context(|| format!("{} is not text", chart.display()))
}

/// Waits for the end of `child` while both its streams are read, and ends it when it takes too long.
fn finish(mut child: Child, what: &str) -> Result<Outcome> {
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        let output = scope.spawn(|| read(output));
        let errors = scope.spawn(|| read(errors));
        let ended = eventually(LIMIT, &format!("{what} ends"), || {
            let status = child.try_wait().context("cannot wait for helm")?;
            Ok(status.map_or_else(|| Seen::NotYet("it still runs".into()), Seen::Done))
        });
        if ended.is_err() {
            child.kill().context("cannot end helm")?;
            child.wait().context("cannot wait for helm")?;
        }
        let joined = (output.join(), errors.join());
        let (Ok(output), Ok(errors)) = joined else { bail!("cannot read what helm says") };
        let (output, errors) = (output?, errors?);
        let status = ended.map_err(|error| anyhow!("{error}: {output}{errors}"))?;
        Ok(Outcome { succeeded: status.success(), output, errors })
    })
}

fn read(stream: Option<impl Read>) -> Result<String> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        stream.read_to_end(&mut bytes).context("cannot read what helm says")?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    #[test]
    fn both_streams_are_read_however_much_is_said() {
        let script = "head -c 300000 /dev/zero | tr '\\0' o; head -c 300000 /dev/zero | tr '\\0' e >&2; exit 3";
        let outcome = finish(shell(script), "much").unwrap();
        assert!(!outcome.succeeded);
        assert_eq!((outcome.output.len(), outcome.errors.len()), (300_000, 300_000));
    }

    #[test]
    fn an_exit_status_of_zero_is_a_success() {
        let outcome = finish(shell("echo said"), "echo").unwrap();
        assert_eq!(outcome.ok().unwrap(), "said\n");
    }
}
