//! What the tests share: the cluster, namespaces, actors, and ways to wait. Functions return errors rather than panic,
//! so that each test says with `?` what it needs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::{Context as _, Result, anyhow};
use smartops_tests::cluster::{self, Cluster, Lifetime};
use smartops_tests::kubectl::{Kubectl, Outcome};
use smartops_tests::process::{self, Signal};
use smartops_tests::{identities, install, places};

/// The cluster all tests share, with SmartOps installed: ours, or the one `SMARTOPS_KUBECONFIG` names. It ends with
/// the test binary, however that ends.
pub(crate) fn shared() -> Result<&'static Cluster> {
    static SHARED: OnceLock<Result<Cluster, String>> = OnceLock::new();
    let cluster = SHARED.get_or_init(|| {
        start("shared", Cluster::start).and_then(installed).map_err(|error| format!("{error:#}"))
    });
    cluster.as_ref().map_err(|error| anyhow!("the shared cluster: {error}"))
}

/// The cluster shared by tests that play the controller themselves: the webhook judges there, no controller runs, and
/// nothing but the tests moves an object.
pub(crate) fn quiet() -> Result<&'static Cluster> {
    static QUIET: OnceLock<Result<Cluster, String>> = OnceLock::new();
    let cluster = QUIET.get_or_init(|| silent("quiet").map_err(|error| format!("{error:#}")));
    cluster.as_ref().map_err(|error| anyhow!("the quiet cluster: {error}"))
}

/// A cluster for one test alone in which the webhook judges, no controller runs, and nothing but the test moves an
/// object.
pub(crate) fn silent(name: &str) -> Result<Cluster> {
    let mut cluster = bare(name)?;
    install::install_base(&mut cluster, &|_| {})?;
    install::start_webhook(&cluster, &|_| {})?;
    process::signal(cluster.dir(), "kube-controller-manager", Signal::Stop)?;
    Ok(cluster)
}

/// A cluster with SmartOps for one test alone, to break as it likes.
pub(crate) fn own(name: &str) -> Result<Cluster> {
    bare(name).and_then(installed)
}

/// A control plane for one test alone, without SmartOps.
pub(crate) fn bare(name: &str) -> Result<Cluster> {
    start(name, Cluster::start_own)
}

fn installed(mut cluster: Cluster) -> Result<Cluster> {
    install::install(&mut cluster, &|_| {})?;
    Ok(cluster)
}

type Start = fn(&Path, Lifetime, &dyn Fn(&str)) -> Result<Cluster>;

fn start(name: &str, start: Start) -> Result<Cluster> {
    // One at a time: two starting together take longer than one after the other.
    let _turn = swept()?;
    start(&folder(name), Lifetime::Harness, &|_| {})
}

/// The turn to start a cluster, once what earlier runs left behind is gone.
pub(crate) fn swept() -> Result<MutexGuard<'static, bool>> {
    static SWEPT: Mutex<bool> = Mutex::new(false);
    let mut swept = SWEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if !*swept {
        sweep()?;
        *swept = true;
    }
    Ok(swept)
}

/// The folder of a cluster of this run.
pub(crate) fn folder(name: &str) -> PathBuf {
    clusters().join(format!("{}-{name}", std::process::id()))
}

fn clusters() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("clusters")
}

/// Removes what earlier runs left behind: their logs are kept until the next run, not for ever.
fn sweep() -> Result<()> {
    let Ok(entries) = fs::read_dir(clusters()) else { return Ok(()) };
    for entry in entries {
        let path = entry.context("cannot list the clusters of earlier runs")?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let owner = name.split('-').next().unwrap_or_default();
        if !Path::new("/proc").join(owner).exists() {
            // What a killed run left may still run, and a node has more than a folder.
            cluster::down(&path)
                .with_context(|| format!("cannot end what is left in {}", path.display()))?;
            fs::remove_dir_all(&path)
                .with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// A namespace of a test's own in a cluster, with rights for controller, agent and developer.
#[derive(Debug)]
pub(crate) struct Namespace<'a> {
    /// The cluster it is in.
    pub(crate) cluster: &'a Cluster,
    /// Its name.
    pub(crate) name: String,
}

impl<'a> Namespace<'a> {
    /// Makes a namespace whose name begins with `prefix`.
    pub(crate) fn create(cluster: &'a Cluster, prefix: &str) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{prefix}-{}-{number}", std::process::id());
        identities::grant_namespace(cluster, &name)?;
        Ok(Self { cluster, name })
    }

    /// kubectl as an actor.
    pub(crate) fn kubectl(&self, actor: &str) -> Kubectl {
        self.cluster.kubectl(actor)
    }

    /// Runs kubectl as an actor in this namespace.
    pub(crate) fn run(&self, actor: &str, arguments: &[&str]) -> Result<Outcome> {
        let all = [&["--namespace", self.name.as_str()], arguments].concat();
        self.kubectl(actor).run(&all)
    }
}

/// The harness' own programs, for tests that start and kill one.
pub(crate) fn harness() -> Result<PathBuf> {
    places::program("smartops-cluster")
}
