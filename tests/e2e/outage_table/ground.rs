//! The cluster of the table: its policies, its namespaces full of objects, and the four states its webhook can be in.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use smartops_tests::cluster::Cluster;
use smartops_tests::identities;
use smartops_tests::kubectl::Outcome;
use smartops_tests::process::{self, Signal};
use smartops_tests::programs::Program;
use smartops_tests::wait::{Seen, eventually};

use super::writes::{Way, Write, all};
use crate::support::silent;

const SECONDS: Duration = Duration::from_secs(30);
/// The label of the namespaces the policies are for.
const LABEL: (&str, &str) = ("proof", "outage");

/// What an outage means for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Fail,
    Backstop,
    Ignore,
}

/// What the webhook does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It answers.
    Up,
    /// It was killed (SIGKILL): nobody listens.
    Killed,
    /// It is frozen (SIGSTOP): whoever asks waits until the time is up.
    Frozen,
    /// It answers with a certificate that is not for its address.
    WrongCertificate,
}

/// Who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Actor {
    Person,
    Automation,
}

impl Mode {
    pub(super) const ALL: [Self; 3] = [Self::Fail, Self::Backstop, Self::Ignore];

    /// As the configuration spells it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Fail => "Fail",
            Self::Backstop => "Backstop",
            Self::Ignore => "Ignore",
        }
    }
}

impl State {
    pub(super) const ALL: [Self; 4] =
        [Self::Up, Self::Killed, Self::Frozen, Self::WrongCertificate];

    /// For headings and names.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Killed => "killed",
            Self::Frozen => "frozen",
            Self::WrongCertificate => "wrong-certificate",
        }
    }

    /// What the API server says, in one of these ways, where a write fails because of it.
    pub(super) const fn failures(self) -> &'static [&'static str] {
        match self {
            Self::Up => &["SmartOps denies"],
            Self::Killed => &["connection refused"],
            // It may meet the silence while it still shakes hands.
            Self::Frozen => &["deadline exceeded", "TLS handshake timeout"],
            Self::WrongCertificate => &["failed to verify certificate"],
        }
    }
}

impl Actor {
    pub(super) const ALL: [Self; 2] = [Self::Person, Self::Automation];

    /// For names.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Automation => "automation",
        }
    }

    /// Whose kubeconfig.
    const fn kubeconfig(self) -> &'static str {
        match self {
            Self::Person => "developer",
            Self::Automation => "agent",
        }
    }
}

/// A cluster under the table's policies, in which no controller touches what was written.
pub(super) struct Ground {
    pub(super) cluster: Cluster,
}

/// One of a cell's writes: what, by whom, and whether it goes beyond the limit.
#[derive(Clone, Copy)]
pub(super) struct Try<'a> {
    pub(super) number: usize,
    pub(super) write: &'a Write,
    pub(super) actor: Actor,
    pub(super) is_beyond: bool,
}

impl Try<'_> {
    /// The object it is for: each try has its own.
    pub(super) fn name(&self) -> String {
        let side = if self.is_beyond { "beyond" } else { "within" };
        format!("w{:02}-{}-{side}", self.number, self.actor.name())
    }

    /// What it writes.
    pub(super) const fn value(&self) -> &Value {
        if self.is_beyond { &self.write.beyond } else { &self.write.within }
    }
}

impl Ground {
    pub(super) fn new() -> Result<Self> {
        let cluster = silent("outage-table")?;
        let operator = cluster.kubectl("operator");
        operator.run(&["delete", "guardrailpolicy/smartops-automation"])?.ok()?;
        operator.apply_all(&policies())?;
        for policy in policies() {
            let name = policy["metadata"]["name"].as_str().context("a policy without a name")?;
            let policy = format!("guardrailpolicy/{name}");
            let accepted = ["wait", "--for=condition=Accepted", &policy, "--timeout=30s"];
            cluster.kubectl("admin").run(&accepted)?.ok()?;
        }
        Ok(Self { cluster })
    }

    /// Sets the mode and waits until each of the policies is told by whoever speaks first in it.
    pub(super) fn set_mode(&self, mode: Mode) -> Result<()> {
        let patch = json!({"spec": {"people": {"outage": mode.name()}}}).to_string();
        let patch = ["patch", "smartopsconfig/default", "--type=merge", "-p", &patch];
        self.cluster.kubectl("operator").run(&patch)?.ok()?;
        let unanswered = if mode == Mode::Fail { "Fail" } else { "Ignore" };
        let get = ["validatingwebhookconfiguration", "smartops-people"];
        eventually(SECONDS, &format!("people's registration follows mode {}", mode.name()), || {
            let registration = self.cluster.kubectl("admin").get(&get)?;
            let entries = registration["webhooks"].as_array().cloned().unwrap_or_default();
            // What nobody may be locked out of is asked about by entries of their own.
            let spared = |entry: &Value| entry["name"].to_string().contains("spared.");
            let held = entries
                .iter()
                .filter(|entry| entry["rules"].to_string().contains("\"deployments\""))
                .filter(|entry| mode != Mode::Fail || !spared(entry));
            let held: Vec<&Value> = held.map(|entry| &entry["failurePolicy"]).collect();
            let done = !held.is_empty() && held.iter().all(|policy| **policy == unanswered);
            Ok(Seen::when(done, format!("{held:?}")))
        })
    }

    /// Makes a namespace with an object for each of the writes.
    pub(super) fn namespace(&self, mode: Mode, state: State, tries: &[Try<'_>]) -> Result<String> {
        let name = format!("{}-{}", mode.name().to_lowercase(), state.name());
        identities::grant_namespace(&self.cluster, &name)?;
        let admin = self.cluster.kubectl("admin");
        admin.run(&["label", "namespace", &name, &format!("{}={}", LABEL.0, LABEL.1)])?.ok()?;
        let objects: Vec<Value> =
            tries.iter().filter_map(|each| each.write.before(&name, &each.name())).collect();
        admin.apply_all(&objects)?;
        Ok(name)
    }

    /// Waits until every write beyond a limit is refused in the first namespace of a mode, and one in each of the others:
    /// for people by whoever speaks first in this mode.
    pub(super) fn policies_rule(
        &self,
        (mode, state): (Mode, State),
        namespace: &str,
        tries: &[Try<'_>],
    ) -> Result<()> {
        let last = tries.last().map(|each| each.number);
        let asked = |each: &&Try<'_>| state == State::Up || Some(each.number) == last;
        for each in tries.iter().filter(|each| each.is_beyond).filter(asked) {
            let by_cluster = mode == Mode::Backstop && each.actor == Actor::Person;
            let what = format!("{} of a {} is refused", each.write.what, each.actor.name());
            eventually(SECONDS, &what, || {
                let text = self.send(each, namespace, true)?.text();
                let speaks = text.contains("ValidatingAdmissionPolicy") == by_cluster;
                Ok(Seen::when(speaks && text.contains("SmartOps denies"), text))
            })?;
        }
        Ok(())
    }

    /// Sends one write.
    pub(super) fn send(&self, each: &Try<'_>, namespace: &str, is_dry: bool) -> Result<Outcome> {
        let (write, name, value) = (each.write, each.name(), each.value());
        let kubectl = self.cluster.kubectl(each.actor.kubeconfig());
        let object = write.after(namespace, &name, value).to_string();
        let (target, replicas) = (format!("{}/{name}", write.kind), format!("--replicas={value}"));
        let patch;
        let (arguments, input): (Vec<&str>, _) = match write.way {
            Way::Scale => (vec!["scale", &target, &replicas], None),
            Way::Patch(kind, body) => {
                patch = body(value).to_string();
                (vec!["patch", &target, "--type", kind, "-p", &patch], None)
            }
            Way::Apply => {
                (vec!["apply", "--server-side", "--force-conflicts", "-f", "-"], Some(&*object))
            }
            Way::Replace => (vec!["replace", "-f", "-"], Some(&*object)),
            Way::Create => (vec!["create", "-f", "-"], Some(&*object)),
        };
        let dry: &[&str] = if is_dry { &["--dry-run=server"] } else { &[] };
        kubectl.run_with(&[&["--namespace", namespace], &arguments[..], dry].concat(), input)
    }

    /// Every object of the namespace that a write could be for.
    pub(super) fn objects(&self, namespace: &str) -> Result<Vec<Value>> {
        let mut kinds: Vec<&str> = all().iter().map(|write| write.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let list = self.cluster.kubectl("admin").get(&["-n", namespace, &kinds.join(",")])?;
        list["items"].as_array().cloned().context("not a list")
    }

    /// Brings the webhook into a state from being up.
    pub(super) fn break_down(&self, state: State) -> Result<()> {
        match state {
            State::Up => Ok(()),
            State::Killed => Program::Webhook.kill(&self.cluster),
            State::Frozen => process::signal(self.cluster.dir(), "webhook", Signal::Stop),
            State::WrongCertificate => {
                let before = self.certificate()?;
                let elsewhere = "--certificate-names=elsewhere.example.com";
                Program::Webhook.kill(&self.cluster)?;
                Program::Webhook.start(&self.cluster, &[elsewhere])?;
                eventually(SECONDS, "the certificate is for elsewhere", || {
                    Ok(Seen::when(self.certificate()? != before, "it is as before"))
                })?;
                // Once more: while it had the former one, its own trial opened a connection, and the API server keeps it.
                Program::Webhook.kill(&self.cluster)?;
                Program::Webhook.start(&self.cluster, &[elsewhere]).map(drop)
            }
        }
    }

    fn certificate(&self) -> Result<Value> {
        let get = ["secret/smartops-webhook-certificate", "-n", "smartops-system"];
        Ok(self.cluster.kubectl("admin").get(&get)?["data"]["tls.crt"].clone())
    }

    /// Brings it back, and waits until the API server asks it again: it sits out a connection that just failed.
    pub(super) fn bring_back(&self, state: State) -> Result<()> {
        if state == State::Up {
            return Ok(());
        }
        Program::Webhook.kill(&self.cluster)?;
        Program::Webhook.start(&self.cluster, &[])?;
        let probe = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "probe"}});
        let create = ["-n", identities::AGENT.0, "create", "--dry-run=server", "-f", "-"];
        eventually(SECONDS, "the API server asks the webhook again", || {
            let outcome =
                self.cluster.kubectl("agent").run_with(&create, Some(&probe.to_string()))?;
            if outcome.succeeded {
                bail!("automation made a ConfigMap: {}", outcome.text());
            }
            let text = outcome.text();
            Ok(Seen::when(text.contains("SmartOps denies"), text))
        })
    }
}

/// The policies beside the shipped baseline. Automation's own names everything the writes touch, so that each of them
/// has an allowed twin for automation too.
fn policies() -> Vec<Value> {
    let of = |group: &str, resources: &[&str]| -> Vec<Value> {
        resources.iter().map(|resource| json!({"group": group, "resource": resource})).collect()
    };
    let deployments = of("apps", &["deployments", "deployments/scale"]);
    let jobs = of("batch", &["jobs", "cronjobs"]);
    let sets = ["statefulsets", "statefulsets/scale", "replicasets", "replicasets/scale"];
    let everything = [
        deployments.clone(),
        jobs.clone(),
        of("apps", &sets),
        of("", &["replicationcontrollers", "replicationcontrollers/scale"]),
        of("autoscaling", &["horizontalpodautoscalers"]),
    ]
    .concat();
    let mut steps = policy("steps", &deployments, &json!({"replicas": {"maxStep": 4}}));
    steps["spec"]["match"]["operations"] = json!(["UPDATE"]);
    let images = json!({"registries": ["registry.smartops.dev"], "forbidTags": ["latest"]});
    let digests = json!({"images": {"requireDigest": true}});
    let mut digests = policy("digests", &of("apps", &["deployments"]), &digests);
    digests["spec"]["match"]["objects"] = json!({"matchLabels": {"images": "digested"}});
    let mut automation = policy("automation", &everything, &json!({}));
    automation["spec"]["match"]["subjects"] = json!({"include": {"automation": true}});
    vec![
        steps,
        policy("jobs", &jobs, &json!({"replicas": {"min": 1, "max": 10}})),
        policy("images", &of("apps", &["deployments"]), &json!({"images": images})),
        digests,
        automation,
    ]
}

fn policy(name: &str, kinds: &[Value], rules: &Value) -> Value {
    json!({
        "apiVersion": "smartops.dev/v1alpha1", "kind": "GuardrailPolicy",
        "metadata": {"name": format!("outage-{name}")},
        "spec": {
            "match": {
                "kinds": kinds, "operations": ["CREATE", "UPDATE"],
                "namespaces": {"selector": {"matchLabels": {LABEL.0: LABEL.1}}},
            },
            "rules": rules,
        },
    })
}
