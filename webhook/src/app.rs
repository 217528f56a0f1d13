//! Wiring: what runs, what it is given, and in which order. No decision is taken here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::ReplicationController;
use kube::core::DeserializeGuard;
use kube::runtime::watcher;
use kube::{Api, Client};
use smartops_certs::bundle::Names;
use smartops_certs::callers::Callers;
use smartops_certs::keeper::Keeper;
use smartops_certs::metrics::CertificateMetrics;
use smartops_certs::resolver::Resolver;
use smartops_certs::store::Store;
use smartops_common::names;
use smartops_guard::registration::Reach;
use smartops_process::health::{self, Readiness};
use smartops_process::lease::{Election, Leadership};
use smartops_process::metrics::Metrics;
use smartops_process::serve::{self, Options};
use smartops_process::shutdown::Shutdown;
use smartops_process::supervise::Supervisor;
use smartops_process::telemetry::Telemetry;
use smartops_process::watch::{Watch, WatchMetrics};
use smartops_process::{BoxError, client, failpoint};
use tokio::sync::{oneshot, watch};

use crate::admission::http;
use crate::args::Args;
use crate::exceptions;
use crate::handed_out::HandedOut;
use crate::history::Histories;
use crate::home::Home;
use crate::ledger::Book;
use crate::live::Live;
use crate::metrics::WebhookMetrics;
use crate::own::{self, Checker, Reads};
use crate::places::Doors;
use crate::registration::{Inputs, Registrar};
use crate::review::Reviewer;
use crate::snapshot::Board;
use crate::status::Writer;
use crate::told::{self, Alarm};
use crate::vap::{self, Backing};
use crate::workload::{Watchable, Workload};

/// Connections of reviews at once: the API server pools a few for each of its instances.
const MAX_CONNECTIONS: usize = 512;
/// Connections to the health port at once.
const MAX_HEALTH_CONNECTIONS: usize = 128;
/// How long the health port waits for a request: probes come with theirs, and whoever reads metrics comes again.
const HEALTH_PATIENCE: Duration = Duration::from_secs(10);
/// Objects in a page of a watch's list. A page is held whole until it has been read: a megabyte of large workloads.
const PAGE: u32 = 100;

/// Runs until the signal to stop.
pub async fn run(args: &Args, names: Names, telemetry: &Telemetry) -> Result<(), BoxError> {
    failpoint::configure(args.failpoint());
    let metrics = Metrics::new("webhook")?;
    telemetry.register(&metrics)?;
    let shutdown = Shutdown::new();
    let readiness = Readiness::new(shutdown.clone());
    let health_listener = serve::bind("health", args.health_address).await?;
    let listener = serve::bind("webhook", args.listen_address).await?;
    let client = client::connect(args.common.kubeconfig.as_deref()).await?;
    let program = Program {
        webhook_metrics: WebhookMetrics::new(&metrics)?,
        watch_metrics: WatchMetrics::new(&metrics)?,
        client,
        readiness,
        shutdown,
        tasks: Supervisor::new(),
    };
    program.start(args, names, metrics, listener, health_listener).await
}

/// What every part is given.
struct Program {
    client: Client,
    webhook_metrics: WebhookMetrics,
    watch_metrics: WatchMetrics,
    readiness: Readiness,
    shutdown: Shutdown,
    tasks: Supervisor,
}

impl Program {
    async fn start(
        mut self,
        args: &Args,
        names: Names,
        registry: Metrics,
        listener: serve::Listener,
        health_listener: serve::Listener,
    ) -> Result<(), BoxError> {
        let resolver = Resolver::new();
        let (done, written) = oneshot::channel();
        let leadership = self.election(args, listener.address(), written);
        let leading = leadership.changes();
        let metrics = CertificateMetrics::new(&registry)?;
        let presented = (Arc::clone(&resolver), metrics);
        let (trusted, told) = watch::channel(None);
        let doors = Doors::new(self.client.clone(), args.webhook_url.clone());
        let bundles = HandedOut::new(self.client.clone());
        let callers = Callers { trusted: told, bundles, places: Arc::<Doors>::clone(&doors) };
        let authority = self.certificate(args, names, presented, leading.clone(), Some(callers));
        let home = self.home(args.webhook_url.is_none());

        let board = Board::new(self.webhook_metrics.clone());
        let histories = Arc::new(Histories::new(self.webhook_metrics.clone()));
        self.watches(&board, &histories);
        self.ledgers(args, &histories, leading.clone(), done);
        let reach = args.webhook_url.clone().map_or(Reach::Service, Reach::Url);
        let backing = Backing::new();
        let inputs = Inputs {
            board: Arc::clone(&board),
            authority,
            trusted,
            leadership: leadership.clone(),
            ground: home.ground(),
            backing: Arc::clone(&backing),
            reach,
            doors,
        };
        let alarm = self.alarm();
        self.registrations(inputs, alarm.clone());
        let inputs = vap::Inputs {
            board: Arc::clone(&board),
            backing: Arc::clone(&backing),
            leadership,
            ground: home.ground(),
        };
        self.backstops(inputs, alarm.clone());
        self.statuses(&board, &histories, backing, leading);

        let live = Live::new(self.client.clone(), self.webhook_metrics.clone());
        let metrics = self.webhook_metrics.clone();
        let reads = Reads::new(live.clone(), self.client.clone());
        let checker =
            Checker::new(Arc::clone(&board), reads, alarm.clone(), self.webhook_metrics.clone());
        let reviewer = Reviewer::new(board, histories, live, alarm, metrics);
        let options = Options {
            tls: Some(Arc::new(resolver.server_config()?)),
            max_connections: MAX_CONNECTIONS,
        };
        let router = http::router(Arc::new(reviewer)).merge(own::router(Arc::new(checker)));
        self.tasks
            .spawn_answering("webhook", listener.serve(router, options, self.shutdown.clone()));

        // Last: whoever asks is not to be told "ready" before all that it takes is known.
        let router = health::router("webhook", self.readiness.clone(), registry);
        let options = Options { tls: None, max_connections: MAX_HEALTH_CONNECTIONS };
        let health_listener = health_listener.with_patience(HEALTH_PATIENCE);
        self.tasks.spawn("health", health_listener.serve(router, options, self.shutdown.clone()));

        let (drain, grace) = (args.common.drain(), args.common.grace());
        Ok(self.tasks.run(self.shutdown, drain, grace).await?)
    }

    /// The certificate; told is what callers must trust.
    fn certificate(
        &mut self,
        args: &Args,
        names: Names,
        (resolver, metrics): (Arc<Resolver>, CertificateMetrics),
        leading: watch::Receiver<bool>,
        callers: Option<Callers>,
    ) -> watch::Receiver<Option<Arc<str>>> {
        let (authority, told) = watch::channel(None);
        let secrets = Api::namespaced(self.client.clone(), &args.common.namespace);
        let keeper = Keeper {
            store: Store::new(secrets, &args.certificate_secret, names::WEBHOOK_FIELD_MANAGER),
            source: args.source(),
            names,
            resolver,
            ready: self.readiness.handle("certificate"),
            authority,
            leading,
            callers,
            metrics,
        };
        self.tasks.spawn("certificate", keeper.run(self.shutdown.clone()));
        told
    }

    /// The election; told is whether this replica leads. It goes on leading after the stop until its last ledger is
    /// written.
    fn election(
        &mut self,
        args: &Args,
        place: SocketAddr,
        written: oneshot::Receiver<()>,
    ) -> Leadership {
        let (client, namespace) = (self.client.clone(), &args.common.namespace);
        let election = Election::new(client, namespace, names::WEBHOOK_LEASE, place);
        let leadership = election.leadership();
        let run = election.run(self.shutdown.clone(), async {
            let _dropped = written.await;
        });
        self.tasks.spawn("election", run);
        leadership
    }

    /// The ledgers, which the leader writes; `done` is dropped after its last write.
    fn ledgers(
        &mut self,
        args: &Args,
        histories: &Arc<Histories>,
        leading: watch::Receiver<bool>,
        done: oneshot::Sender<()>,
    ) {
        let (client, ready) = (self.client.clone(), self.readiness.handle("ledgers"));
        let (histories, metrics) = (Arc::clone(histories), self.webhook_metrics.clone());
        let book = Book::new(client, &args.common.namespace, histories, ready, metrics);
        self.tasks.spawn("ledgers", book.run(leading, self.shutdown.clone(), done));
    }

    /// The registrations by which the API server asks.
    fn registrations(&mut self, inputs: Inputs, alarm: Alarm) {
        let registrar = Registrar::new(self.client.clone(), inputs, &self.readiness, alarm);
        let (watches, shutdown) = (self.watch_metrics.clone(), self.shutdown.clone());
        self.tasks.spawn("registrations", registrar.run(watches, shutdown));
    }

    /// What the API server judges by itself.
    fn backstops(&mut self, inputs: vap::Inputs, alarm: Alarm) {
        let keeper = vap::Keeper::new(self.client.clone(), inputs, alarm, &self.shutdown);
        let (watches, shutdown) = (self.watch_metrics.clone(), self.shutdown.clone());
        self.tasks.spawn("backstops", keeper.run(watches, shutdown));
    }

    /// What the webhook itself stands on.
    fn home(&mut self, is_in_cluster: bool) -> Arc<Home> {
        let home = Home::new(is_in_cluster);
        let (client, watches) = (self.client.clone(), self.watch_metrics.clone());
        let run = Arc::clone(&home).run(client, watches, self.shutdown.clone());
        self.tasks.spawn("home", run);
        home
    }

    /// What the judgement stands on.
    fn watches(&mut self, board: &Arc<Board>, histories: &Arc<Histories>) {
        let (policies, namespaces) = (Arc::clone(board), Arc::clone(board));
        let (configs, ended) = (Arc::clone(board), Arc::clone(histories));
        let excepting = Arc::clone(board);
        self.watch("policies", move |event| policies.policy(event));
        self.watch("exceptions", move |event| excepting.exceptions().observe(event));
        self.watch("config", move |event| configs.config(event));
        self.watch("namespaces", move |event| {
            ended.observe_namespace(&event);
            namespaces.namespace(event);
        });
        self.workloads::<Deployment>("deployments", histories);
        self.workloads::<StatefulSet>("statefulsets", histories);
        self.workloads::<DaemonSet>("daemonsets", histories);
        self.workloads::<ReplicationController>("replicationcontrollers", histories);
    }

    /// The watch of a kind of workload, which begins when the ledgers have been read.
    fn workloads<K: Watchable>(&mut self, name: &'static str, histories: &Arc<Histories>) {
        let (read, told) = (Arc::clone(histories), Arc::clone(histories));
        let (stop, watch) = (self.shutdown.clone(), self.prepare::<Workload<K>>(name));
        let watch = watch.run(self.shutdown.clone(), move |event| told.observe(event));
        self.tasks.spawn(name, async move {
            tokio::select! {
                () = read.ledgers_read() => {}
                () = stop.stopping() => return Ok(()),
            }
            watch.await
        });
    }

    fn watch<K>(
        &mut self,
        name: &'static str,
        tell: impl FnMut(smartops_process::watch::Event<K>) + Send + 'static,
    ) where
        K: kube::Resource<DynamicType = ()>
            + Clone
            + serde::de::DeserializeOwned
            + std::fmt::Debug
            + Send
            + 'static,
    {
        let watch = self.prepare::<K>(name);
        self.tasks.spawn(name, watch.run(self.shutdown.clone(), tell));
    }

    fn prepare<K>(&self, name: &'static str) -> Watch<K>
    where
        K: kube::Resource<DynamicType = ()>,
    {
        Watch {
            name,
            api: Api::<DeserializeGuard<K>>::all(self.client.clone()),
            config: watcher::Config::default().page_size(PAGE),
            ready: self.readiness.handle(name),
            metrics: self.watch_metrics.clone(),
        }
    }

    /// What is told on objects themselves.
    fn alarm(&mut self) -> Alarm {
        let (alarm, events) = told::alarm(&self.webhook_metrics);
        self.tasks.spawn("events", events.run(self.client.clone(), self.shutdown.clone()));
        alarm
    }

    fn statuses(
        &mut self,
        board: &Arc<Board>,
        histories: &Arc<Histories>,
        backing: Arc<Backing>,
        leading: watch::Receiver<bool>,
    ) {
        let writer = exceptions::Writer::new(self.client.clone(), Arc::clone(board), leading);
        self.tasks.spawn("exception-statuses", writer.run(self.shutdown.clone()));
        let (board, histories) = (Arc::clone(board), Arc::clone(histories));
        let writer = Writer::new(self.client.clone(), board, histories, backing);
        self.tasks.spawn("statuses", writer.run(self.shutdown.clone()));
    }
}
