//! Wiring: what is built, in which order, and what runs until the stop.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use smartops_certs::metrics::CertificateMetrics;
use smartops_process::clock::Clock;
use smartops_process::health::{self, Readiness};
use smartops_process::metrics::Metrics;
use smartops_process::serve::{self, Options};
use smartops_process::shutdown::Shutdown;
use smartops_process::supervise::Supervisor;
use smartops_process::telemetry::{self, Telemetry};
use smartops_process::watch::WatchMetrics;
use smartops_process::{client, failpoint};
use tokio::sync::oneshot;

use crate::api::auth::Authenticator;
use crate::api::keys::Keys;
use crate::api::limits::Limits;
use crate::api::remediations::watch::Watches;
use crate::api::{self, Api, tls};
use crate::args::Args;
use crate::args::tls::Tls;
use crate::cluster::Cluster;
use crate::leadership;
use crate::metrics::ControllerMetrics;
use crate::remediation::pruning::turn::Pruner;
use crate::remediation::queue::{self, Queue};
use crate::remediation::refusals::Refusals;
use crate::remediation::shell::{Crowd, Shell};
use crate::remediation::telling::Teller;
use crate::verify::prometheus::Prometheus;
use crate::{policy, switch};

/// Connections to the API at once.
const MAX_CONNECTIONS: usize = 1024;
/// How long what is left may take after the grace, before the process ends without it.
const LEFTOVERS: Duration = Duration::from_millis(500);

/// Runs the controller until a signal to stop.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let tls = args.check()?;
    let telemetry = telemetry::init("smartops-controller", &args.common)?;
    failpoint::configure(args.failpoint());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the async runtime could not be started")?;
    let result = runtime.block_on(serve(args, tls, &telemetry));
    runtime.shutdown_timeout(LEFTOVERS);
    if let Err(error) = &result {
        tracing::error!(error = %format!("{error:#}"), "the controller ends");
    }
    result
}

/// This process, as attempts name it: in a pod every process id is 1, so the host's name (the pod's) goes with it.
fn leader() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}/{}", host.trim(), std::process::id())
}

async fn serve(args: &Args, tls: Tls, telemetry: &Telemetry) -> anyhow::Result<()> {
    let metrics = Metrics::new("controller")?;
    telemetry.register(&metrics)?;
    let ours = ControllerMetrics::new(&metrics)?;
    let keys = Keys::load(args.api_keys_file.as_deref())?;
    let client = client::connect(args.common.kubeconfig.as_deref()).await?;
    let cluster = Cluster::new(client.clone(), ours.clone());
    let shutdown = Shutdown::new();
    let readiness = Readiness::new(shutdown.clone());

    let listener = serve::bind("api", args.listen_address).await?;
    let namespace = &args.common.namespace;
    let (place, term) = (listener.address(), args.lease_term());
    let election = leadership::election(client.clone(), namespace, place, term);
    let leadership = election.leadership();
    let leader = leader();
    let (switch, follower) = switch::switch();
    let (policies, keeper) = policy::policies();
    let queue = Queue::default();
    let (store, tidings) = (queue.store(), queue.tidings());
    let shell = Arc::new(Shell {
        cluster: cluster.clone(),
        clock: Clock,
        teller: Teller::new(&cluster, ours.clone(), &leader),
        leader,
        cooldown: args.cooldown(),
        switch,
        crowd: Crowd::new(store.clone()),
        refusals: Refusals::default(),
        prometheus: Prometheus::at(args.prometheus_url.as_ref())?,
        leadership: leadership.clone(),
        shutdown: shutdown.clone(),
    });
    let api = Arc::new(Api {
        cluster,
        remediations: store.clone(),
        authenticator: Authenticator::new(keys.clone()),
        policies,
        watches: Watches::new(tidings, shutdown.clone()),
        limits: Limits::new(args.rate()),
        default_namespace: args.default_namespace.clone(),
        prefix: args.deployment_prefix.clone(),
        clock: Clock,
        metrics: ours.clone(),
    });
    let synced = readiness.handle("remediations");
    let seen = readiness.handle("smartopsconfigs");
    let policed = readiness.handle("remediationpolicies");
    let watched = WatchMetrics::new(&metrics)?;
    let keeps = (api.cluster.clone(), watched.clone());
    let follows = (client.clone(), (watched, ours.clone()));
    let mut tasks = Supervisor::new();
    let keeps_tls = (leadership.changes(), CertificateMetrics::new(&metrics)?);
    let tls =
        tls::serve(tls, (&client, namespace), (&readiness, &shutdown), keeps_tls, &mut tasks)?;
    let health = health::router("orchestrator", readiness, metrics);
    let router = api::with_fallbacks(api::router(api).merge(health));

    let options = Options { tls, max_connections: MAX_CONNECTIONS };
    tasks.spawn_answering("api", listener.serve(router, options, shutdown.clone()));
    // It leads on after the stop until no step is under way any more, and then hands over at once.
    let (done, idle) = oneshot::channel::<()>();
    let last_work = async {
        let _dropped = idle.await;
    };
    tasks.spawn("election", election.run(shutdown.clone(), last_work));
    let shown = leadership::show(leadership, ours.clone(), shutdown.clone());
    tasks.spawn("leadership", shown);
    let pruner = Pruner {
        cluster: shell.cluster.clone(),
        store: store.clone(),
        listed: queue.tidings(),
        leadership: shell.leadership.clone(),
        cooldown: args.cooldown(),
        metrics: ours.clone(),
    };
    tasks.spawn("pruning", pruner.run(shutdown.clone()));
    let concurrency = args.max_concurrent;
    let worker = queue.run(shell, concurrency, synced, shutdown.clone(), done);
    tasks.spawn("remediations", worker);
    tasks.spawn("queue-depth", queue::count(store, ours, shutdown.clone()));
    tasks.spawn("closed-loop", follower.run(follows.0, follows.1, seen, shutdown.clone()));
    tasks.spawn("policies", keeper.run(keeps.0, keeps.1, policed, shutdown.clone()));
    tasks.spawn("api-keys", keys.follow(shutdown.clone()));
    tasks.run(shutdown, args.common.drain(), args.common.grace()).await?;
    Ok(())
}
