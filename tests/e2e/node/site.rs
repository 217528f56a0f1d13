//! The shared machine and what is done with it: SmartOps by helm, a developer whose writes are judged, streams of them
//! while something happens.

use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use smartops_tests::components::Helm;
use smartops_tests::helm::{Release, Runner};
use smartops_tests::kubectl::{Kubectl, Outcome, Proof, write_kubeconfig};
use smartops_tests::node::Machine;
use smartops_tests::pki::Authority;
use smartops_tests::places;
use smartops_tests::stream::{Stream, Tally, Target};
use smartops_tests::wait::{Seen, eventually};

use super::report;
use crate::support;

/// The shared site. A test that wants a machine of its own ends it first: an address is there once.
static SHARED: Mutex<Option<Site>> = Mutex::new(None);

/// Nodes of a machine: two, so that one can be lost.
pub(super) const NODES: usize = 2;
/// Writers of a stream.
const WRITERS: usize = 4;
/// Writes a stream has at least.
pub(super) const WRITES: u64 = 2_000;

pub(super) const SYSTEM: &str = "smartops-system";
pub(super) const TARGET: &str = "smartops-dev";
const RELEASE: Release<'static> = Release { name: "smartops", namespace: SYSTEM };
const DEVELOPER: &str = "developer";

const LIMIT: Duration = Duration::from_mins(2);

/// The one place for a site, with or without one in it.
pub(super) fn place() -> MutexGuard<'static, Option<Site>> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn start_machine(name: &str) -> Result<Machine> {
    let _turn = support::swept()?;
    Machine::start(&support::folder(name), NODES, &images()?, &|_| {})
}

/// The archives of images that nodes start with.
fn images() -> Result<Vec<PathBuf>> {
    let folder = places::root().join("target/images");
    let found = ["smartops-pause", "smartops-controller", "smartops-webhook"]
        .map(|name| folder.join(format!("{name}.tar")));
    if let Some(missing) = found.iter().find(|path| !path.is_file()) {
        bail!("there is no {}: run `cargo xtask test --node`, which builds it", missing.display());
    }
    Ok(found.into())
}

/// Runs a test on the shared site, which is started when nobody did. A failed test leaves none behind for the next.
pub(super) fn with(test: impl FnOnce(&Site) -> Result<()>) -> Result<()> {
    let mut place = place();
    let site = match place.take() {
        Some(site) => site,
        None => Site::start()?,
    };
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| test(&site)));
    if matches!(outcome, Ok(Ok(()))) {
        *place = Some(site);
    } else {
        site.tell_state();
        // What failed first is what the test ends with.
        if let Err(error) = site.machine.stop() {
            report::show(&format!("--- the machine did not stop: {error:#}"));
        }
    }
    outcome.unwrap_or_else(|panicked| panic::resume_unwind(panicked))
}

/// A machine, and helm.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) machine: Machine,
    helm: Runner,
}

impl Site {
    fn start() -> Result<Self> {
        let machine = start_machine("site")?;
        let dir = machine.cluster.dir();
        Authority::open(&dir.join("pki"))?.issue(DEVELOPER, DEVELOPER, &[], &[])?;
        let file = |extension: &str| dir.join("pki").join(format!("{DEVELOPER}.{extension}"));
        let state = &machine.cluster.state;
        let proof = Proof::Files(file("crt"), file("key"));
        write_kubeconfig(&state.kubeconfig(DEVELOPER), &state.cluster, DEVELOPER, &proof)?;
        let helm = Runner::new(&Helm::ensure(&|_| {})?, &dir.join("helm"))
            .with_kubeconfig(&state.kubeconfig("admin"));
        Ok(Self { machine, helm })
    }

    pub(super) fn admin(&self) -> Kubectl {
        self.machine.admin()
    }

    pub(super) fn developer(&self) -> Kubectl {
        self.machine.cluster.kubectl(DEVELOPER)
    }

    /// Ends the site.
    pub(super) fn stop(self) -> Result<()> {
        self.machine.stop()
    }

    /// What a person would look at after a failure.
    fn tell_state(&self) {
        for arguments in [
            &["get", "pods", "-A", "-o", "wide"][..],
            &["get", "events", "-n", SYSTEM, "--sort-by=.lastTimestamp"],
            &["logs", "-n", SYSTEM, "-l", "app.kubernetes.io/part-of=smartops", "--tail=15"],
        ] {
            let said = match self.admin().run(arguments) {
                Ok(outcome) => outcome.text(),
                Err(error) => format!("{error:#}"),
            };
            report::show(&format!("--- kubectl {}\n{said}", arguments.join(" ")));
        }
    }

    /// The chart as it is in the repository.
    pub(super) fn chart() -> PathBuf {
        places::root().join("charts/smartops")
    }

    /// The chart as it was before.
    pub(super) fn previous_chart() -> PathBuf {
        places::root().join("tests/fixtures/charts/smartops-0.1.0.tgz")
    }

    /// `helm install --wait`. The time it took.
    pub(super) fn install(&self, chart: &Path, values: &[&str]) -> Result<Duration> {
        let fixed = ["--create-namespace", "--wait", "--timeout", "90s"];
        let begun = Instant::now();
        let images = ["--set", "image.registry=localhost"];
        let more = [&fixed[..], &images, values].concat();
        self.helm.install(RELEASE, chart, &more)?.ok().context("helm install")?;
        Ok(begun.elapsed())
    }

    /// `helm install` without `--wait`, of images nobody has. What helm says of it.
    pub(super) fn install_in_vain(&self, values: &[&str]) -> Result<Outcome> {
        let tags = "webhook.image.tag=nobody-has-it,controller.image.tag=nobody-has-it";
        let more = ["--create-namespace", "--timeout", "20s", "--set", "image.registry=localhost"];
        let more = [&more[..], &["--set", tags], values].concat();
        self.helm.install(RELEASE, &Self::chart(), &more)
    }

    /// `helm upgrade --wait` to a chart, with values beside those that were given before, as docs/upgrade.md has it. The
    /// time it took.
    pub(super) fn upgrade(&self, chart: &Path, values: &[&str]) -> Result<Duration> {
        let fixed = ["--wait", "--timeout", "120s", "--reset-then-reuse-values"];
        let begun = Instant::now();
        let more = [&fixed[..], values].concat();
        self.helm.upgrade(RELEASE, chart, &more)?.ok().context("helm upgrade")?;
        Ok(begun.elapsed())
    }

    /// `helm rollback --wait` to the revision before. The time it took.
    pub(super) fn roll_back(&self) -> Result<Duration> {
        let history = self.helm.history(RELEASE)?;
        let last = history.as_array().and_then(|all| all.last()?["revision"].as_u64());
        let before = u32::try_from(last.context("the release has no revision")? - 1)?;
        let begun = Instant::now();
        let more = ["--wait", "--timeout", "120s"];
        self.helm.rollback(RELEASE, before, &more)?.ok().context("helm rollback")?;
        Ok(begun.elapsed())
    }

    /// `helm test`. The time it took and what the tests printed.
    pub(super) fn test(&self) -> Result<(Duration, String)> {
        let begun = Instant::now();
        let said = self.helm.test(RELEASE, &["--timeout", "90s", "--logs"])?.ok();
        Ok((begun.elapsed(), said.context("helm test")?))
    }

    /// `helm uninstall --wait`. The time it took.
    pub(super) fn uninstall(&self, more: &[&str]) -> Result<Duration> {
        let begun = Instant::now();
        let more = [&["--wait", "--timeout", "90s"], more].concat();
        self.helm.uninstall(RELEASE, &more)?.ok().context("helm uninstall")?;
        Ok(begun.elapsed())
    }

    /// Whether helm knows the release.
    pub(super) fn is_installed(&self) -> Result<bool> {
        let list = self.helm.json(&["list", "--all", "--namespace", SYSTEM])?;
        Ok(list.as_array().is_some_and(|releases| !releases.is_empty()))
    }

    /// SmartOps by the chart's defaults, whatever was there before, with both replicas of both programs ready and writes
    /// judged.
    pub(super) fn ready(&self) -> Result<()> {
        if !self.is_installed()? {
            self.install(&Self::chart(), &[])?;
        }
        self.wait_whole()?;
        self.wait_judged()?;
        self.wait_deployments()
    }

    /// Waits until two pods of each program are ready, none is ending, and the API server knows both of the webhook's.
    pub(super) fn wait_whole(&self) -> Result<()> {
        eventually(LIMIT, "both replicas of both programs are ready", || {
            let pods = self.programs()?;
            let ready = pods.iter().filter(|pod| is_ready(pod)).count();
            let addresses = self.addresses()?;
            let whole = ready == 4 && pods.len() == 4 && addresses.len() == 2;
            Ok(Seen::when(
                whole,
                format!("{ready} of {} pods are ready, addresses {addresses:?}", pods.len()),
            ))
        })
    }

    /// The webhook's pods.
    pub(super) fn webhooks(&self) -> Result<Vec<Value>> {
        self.pods(WEBHOOK)
    }

    /// The pods of both programs.
    pub(super) fn programs(&self) -> Result<Vec<Value>> {
        self.pods(PROGRAMS)
    }

    fn pods(&self, labels: &str) -> Result<Vec<Value>> {
        let pods = self.admin().get(&["pods", "-n", SYSTEM, "-l", labels])?;
        Ok(pods["items"].as_array().cloned().unwrap_or_default())
    }

    /// The addresses at which the API server would reach the webhook now.
    pub(super) fn addresses(&self) -> Result<Vec<String>> {
        let service = "kubernetes.io/service-name=smartops-webhook";
        let slices = self.admin().get(&["endpointslices", "-n", SYSTEM, "-l", service])?;
        let slices = slices["items"].as_array().into_iter().flatten();
        let endpoints = slices.filter_map(|slice| slice["endpoints"].as_array()).flatten();
        let ready = endpoints.filter(|endpoint| endpoint["conditions"]["ready"] == json!(true));
        let addresses = ready.filter_map(|endpoint| endpoint["addresses"].as_array()).flatten();
        Ok(addresses.filter_map(|address| address.as_str().map(str::to_owned)).collect())
    }

    /// Waits until a write that policies forbid is denied, and its allowed twin passes.
    pub(super) fn wait_judged(&self) -> Result<()> {
        self.grant()?;
        eventually(LIMIT, "99 replicas are denied by the webhook, and 2 pass", || {
            let (bad, good) = (self.try_replicas(99)?, self.try_replicas(2)?);
            let judged = bad.contains("denied the request") && good.is_empty();
            Ok(Seen::when(judged, format!("99: {bad:?}; 2: {good:?}")))
        })
    }

    /// Lets the developer write in the target namespace.
    pub(super) fn grant(&self) -> Result<()> {
        self.admin().apply_all(&[json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"namespace": TARGET, "name": DEVELOPER},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit",
            },
            "subjects": [{
                "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": DEVELOPER,
            }],
        })])?;
        Ok(())
    }

    /// What the API server says against a Deployment of so many replicas, in a dry run; empty when it takes it.
    pub(super) fn try_replicas(&self, replicas: u32) -> Result<String> {
        let probe = deployment("probe", replicas).to_string();
        let outcome =
            self.developer().run_with(&["create", "--dry-run=server", "-f", "-"], Some(&probe))?;
        Ok(if outcome.succeeded { String::new() } else { outcome.text() })
    }

    /// Makes the Deployments that streams write, without pods.
    fn wait_deployments(&self) -> Result<()> {
        let all: Vec<Value> = names().iter().map(|name| deployment(name, 1)).collect();
        self.developer().apply_all(&all)?;
        Ok(())
    }

    /// Starts a stream of a developer's writes.
    pub(super) fn stream(&self) -> Result<Stream> {
        let target = Target::deployments(&self.machine.cluster, DEVELOPER, TARGET, &names())?;
        Stream::start(&target)
    }

    /// Runs something under a stream that goes on until it has its writes.
    pub(super) fn under_writes(&self, action: impl FnOnce(&Stream) -> Result<()>) -> Result<Tally> {
        let stream = self.stream()?;
        let enough = |stream: &Stream, writes: u64| {
            eventually(LIMIT, &format!("{writes} writes are done"), || {
                Ok(Seen::when(stream.calls() >= writes, format!("{}", stream.calls())))
            })
        };
        enough(&stream, 100)?;
        let outcome = action(&stream);
        let wanted = WRITES.max(stream.calls() + 100);
        let end = outcome.and_then(|()| enough(&stream, wanted));
        let tally = stream.stop()?;
        end.with_context(|| format!("{:?}", tally.reasons()))?;
        Ok(tally)
    }
}

const WEBHOOK: &str = "app.kubernetes.io/name=smartops,app.kubernetes.io/component=webhook";
const PROGRAMS: &str =
    "app.kubernetes.io/name=smartops,app.kubernetes.io/component in (webhook,controller)";

fn names() -> Vec<String> {
    (0..WRITERS).map(|number| format!("stream-{number}")).collect()
}

/// Whether a pod is ready and nobody ends it.
pub(super) fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    pod["metadata"]["deletionTimestamp"].is_null()
        && conditions
            .into_iter()
            .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn deployment(name: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": TARGET, "name": name},
        "spec": {
            "replicas": replicas,
            // Without pods: they are not what is measured.
            "paused": true,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{
                    "name": "quiet",
                    "image": "localhost/smartops-pause:1",
                    "resources": {
                        "requests": {"cpu": "10m", "memory": "16Mi"},
                        "limits": {"cpu": "50m", "memory": "32Mi"},
                    },
                }]},
            },
        },
    })
}
