//! What is done once, by hooks of the chart or by hand: bringing the kinds up, taking the registrations away, trying an
//! installation out. Each is run as the chart runs it, by an identity with the rights the chart gives it.

mod crds;
mod removal;
mod self_test;

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use smartops_tests::cluster::Cluster;
use smartops_tests::components::Helm;
use smartops_tests::helm::Runner;
use smartops_tests::identities::{self, Right};
use smartops_tests::wait::{Seen, eventually};
use smartops_tests::{chart, places, sample};

use crate::support::bare;

/// How long what takes no time may take.
const SOON: Duration = Duration::from_secs(30);
const REGISTRATIONS: [&str; 3] = ["smartops-automation", "smartops-people", "smartops-own"];

/// What a command said, and how it ended.
struct Ran {
    code: i32,
    output: String,
    errors: String,
}

impl Ran {
    fn of(output: &Output) -> Result<Self> {
        Ok(Self {
            code: output.status.code().context("it was killed")?,
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    fn text(&self) -> String {
        format!("exit code {}\n{}{}", self.code, self.output, self.errors)
    }

    /// That it ended with this code, saying each of these.
    fn ends(self, code: i32, words: &[&str]) -> Result<Self> {
        let text = self.text();
        ensure!(self.code == code, "not {code}: {text}");
        for word in words {
            ensure!(text.contains(word), "no word of {word:?}: {text}");
        }
        Ok(self)
    }
}

/// Runs a subcommand of the webhook as an actor.
fn run(cluster: &Cluster, actor: &str, arguments: &[&str]) -> Result<Ran> {
    let output = Command::new(places::program("smartops-webhook")?)
        .args(arguments)
        .arg("--kubeconfig")
        .arg(cluster.state.kubeconfig(actor))
        .output()
        .context("cannot start smartops-webhook")?;
    Ran::of(&output)
}

/// What the chart runs once, and its ServiceAccount, which is made with the rights that the chart gives it.
struct Hook {
    account: &'static str,
    arguments: Vec<String>,
}

impl Hook {
    /// The hook of this name, as the chart's defaults render it.
    fn install(cluster: &Cluster, name: &'static str) -> Result<Self> {
        let runner = Runner::new(&Helm::ensure(&|_| {})?, &cluster.dir().join("helm"));
        let rendered = runner
            .template(chart::RELEASE, &chart::folder(), &["--set", "hooks.render=always"])?
            .ok()?;
        let (mut rights, mut arguments) = (Vec::new(), None);
        for object in chart::objects(&rendered)? {
            let metadata = &object["metadata"];
            if metadata["name"] != name || metadata["annotations"]["helm.sh/hook"].is_null() {
                continue;
            }
            let pod = match object["kind"].as_str() {
                Some("Job") => &object["spec"]["template"]["spec"],
                Some("Pod") => &object["spec"],
                Some("ClusterRole" | "Role") => {
                    let namespace = metadata["namespace"].as_str().map(str::to_owned);
                    rights.push(Right { namespace, rules: object["rules"].clone() });
                    continue;
                }
                _ => continue,
            };
            ensure!(pod["serviceAccountName"] == name, "it runs as somebody else: {pod}");
            arguments = Some(serde_json::from_value(pod["containers"][0]["args"].clone())?);
        }
        ensure!(!rights.is_empty(), "the chart gives {name} no rights");
        let arguments = arguments.with_context(|| format!("the chart runs no {name}"))?;
        cluster.kubectl("admin").apply_all(&[namespace()])?;
        identities::account(cluster, name, &rights)?;
        Ok(Self { account: name, arguments })
    }

    /// Runs it as the chart does.
    fn run(&self, cluster: &Cluster) -> Result<Ran> {
        self.run_with(cluster, &[])
    }

    /// The same with other flags, which take the place of those of their name.
    fn run_with(&self, cluster: &Cluster, flags: &[&str]) -> Result<Ran> {
        let name = |flag: &str| flag.split('=').next().map(str::to_owned);
        let own = self.arguments.iter().map(String::as_str);
        let kept = own.filter(|own| flags.iter().all(|flag| name(flag) != name(own)));
        let arguments: Vec<&str> = kept.chain(flags.iter().copied()).collect();
        run(cluster, self.account, &arguments)
    }
}

fn namespace() -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "smartops-system"}})
}

/// Whether a write that every shipped policy refuses is refused, as a person makes it.
fn is_judged(cluster: &Cluster) -> Result<bool> {
    let many = sample::deployment(sample::NAMESPACE, "many", 99).to_string();
    let create = ["create", "--dry-run=server", "-f", "-"];
    Ok(!cluster.kubectl("developer").run_with(&create, Some(&many))?.succeeded)
}

#[test]
fn whoever_lacks_a_right_is_told_which_and_that_nothing_is_known_to_be_gone() -> Result<()> {
    let cluster = bare("no-rights")?;
    cluster.kubectl("admin").apply_all(&[namespace()])?;
    identities::account(&cluster, "nobody", &[])?;
    run(&cluster, "nobody", &["remove-registrations", "--timeout-seconds=1"])?
        .ends(1, &["not known to be gone", "cannot delete resource \"clusterrolebindings\""])?;
    run(&cluster, "nobody", &["apply-crds", "--timeout-seconds=1"])?
        .ends(1, &["cannot get resource \"customresourcedefinitions\""])?;
    run(&cluster, "nobody", &["self-test", "--timeout-seconds=1"])?
        .ends(1, &["cannot get resource \"validatingwebhookconfigurations\""])?;
    cluster.stop()
}

#[test]
fn a_command_that_is_asked_to_stop_ends_at_once_and_says_what_is_left() -> Result<()> {
    for command in ["apply-crds", "remove-registrations", "self-test"] {
        for signal in ["TERM", "INT"] {
            stopped(command, signal).with_context(|| format!("{command}, {signal}"))?;
        }
    }
    Ok(())
}

/// Sends a signal to a subcommand that waits for an API server which takes calls and answers none.
fn stopped(command: &str, signal: &str) -> Result<()> {
    let silent = TcpListener::bind("127.0.0.1:0")?;
    silent.set_nonblocking(true)?;
    let address = silent.local_addr()?;
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "a",
        "clusters": [{"name": "a", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "a", "user": {}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
    });
    let file = std::env::temp_dir().join(format!("smartops-stopped-{}", address.port()));
    fs::write(&file, kubeconfig.to_string())?;
    let child = Command::new(places::program("smartops-webhook")?)
        .args([command, "--timeout-seconds=120", "--kubeconfig"])
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let _called = eventually(SOON, "it calls the API server", || {
        let called = silent.accept();
        Ok(called.map_or_else(|error| Seen::NotYet(error.to_string()), Seen::Done))
    })?;
    let kill = format!("kill -s {signal} {}", child.id());
    ensure!(Command::new("/bin/sh").args(["-c", &kill]).status()?.success(), "{kill}");
    let asked = Instant::now();
    let ran = Ran::of(&child.wait_with_output()?)?;
    let told = format!("stopped by SIG{signal} before it was done");
    ran.ends(1, &[&told])?;
    ensure!(asked.elapsed() < SOON, "it took its time");
    Ok(fs::remove_file(file)?)
}
