//! Wiring: what runs, what it is given, and in which order. No decision is taken here.

use std::sync::Arc;

use kube::core::DeserializeGuard;
use kube::runtime::watcher;
use kube::{Api, Client};
use smartops_certs::bundle::Names;
use smartops_certs::keeper::Keeper;
use smartops_certs::resolver::Resolver;
use smartops_certs::store::Store;
use smartops_common::names;
use smartops_process::health::{self, Readiness};
use smartops_process::metrics::Metrics;
use smartops_process::serve::{self, Options};
use smartops_process::shutdown::Shutdown;
use smartops_process::supervise::Supervisor;
use smartops_process::telemetry::Telemetry;
use smartops_process::watch::{Watch, WatchMetrics};
use smartops_process::{BoxError, client};
use tokio::sync::watch;

use crate::admission::http;
use crate::args::Args;
use crate::history::Histories;
use crate::live::Live;
use crate::metrics::WebhookMetrics;
use crate::registration::Filler;
use crate::review::Reviewer;
use crate::snapshot::Board;
use crate::status::Writer;

/// Connections of reviews at once: the API server pools a few for each of its instances.
const MAX_CONNECTIONS: usize = 512;
/// Connections to the health port at once.
const MAX_HEALTH_CONNECTIONS: usize = 32;
/// Objects in a page of a watch's list.
const PAGE: u32 = 500;

/// Runs until the signal to stop.
pub async fn run(args: &Args, names: Names, telemetry: &Telemetry) -> Result<(), BoxError> {
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
        metrics: Metrics,
        listener: serve::Listener,
        health_listener: serve::Listener,
    ) -> Result<(), BoxError> {
        let router = health::router("webhook", self.readiness.clone(), metrics);
        let options = Options { tls: None, max_connections: MAX_HEALTH_CONNECTIONS };
        self.tasks.spawn("health", health_listener.serve(router, options, self.shutdown.clone()));

        let resolver = Resolver::new();
        self.certificate(args, names, &resolver);

        let board = Board::new(self.webhook_metrics.clone());
        let histories = Arc::new(Histories::new(self.webhook_metrics.clone()));
        self.watches(&board, &histories);
        self.statuses(&board);

        let live = Live::new(self.client.clone(), self.webhook_metrics.clone());
        let reviewer = Reviewer::new(board, histories, live, self.webhook_metrics.clone());
        let options = Options {
            tls: Some(Arc::new(resolver.server_config()?)),
            max_connections: MAX_CONNECTIONS,
        };
        let router = http::router(Arc::new(reviewer));
        self.tasks.spawn("webhook", listener.serve(router, options, self.shutdown.clone()));

        let (drain, grace) = (args.common.drain(), args.common.grace());
        Ok(self.tasks.run(self.shutdown, drain, grace).await?)
    }

    /// The certificate, and its CA in the registrations.
    fn certificate(&mut self, args: &Args, names: Names, resolver: &Arc<Resolver>) {
        let (authority, told) = watch::channel(None);
        let secrets = Api::namespaced(self.client.clone(), &args.common.namespace);
        let keeper = Keeper {
            store: Store::new(secrets, &args.certificate_secret, names::WEBHOOK_FIELD_MANAGER),
            names,
            resolver: Arc::clone(resolver),
            ready: self.readiness.handle("certificate"),
            authority,
        };
        self.tasks.spawn("certificate", keeper.run(self.shutdown.clone()));
        let filler =
            Filler::new(self.client.clone(), told, &self.readiness, self.webhook_metrics.clone());
        let (watches, shutdown) = (self.watch_metrics.clone(), self.shutdown.clone());
        self.tasks.spawn("registrations", filler.run(watches, shutdown));
    }

    /// What the judgement stands on.
    fn watches(&mut self, board: &Arc<Board>, histories: &Arc<Histories>) {
        let (policies, namespaces) = (Arc::clone(board), Arc::clone(board));
        let (configs, histories) = (Arc::clone(board), Arc::clone(histories));
        self.watch("policies", move |event| policies.policy(event));
        self.watch("config", move |event| configs.config(event));
        self.watch("namespaces", move |event| namespaces.namespace(event));
        self.watch("deployments", move |event| histories.observe(event));
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
        let watch = Watch::<K> {
            name,
            api: Api::<DeserializeGuard<K>>::all(self.client.clone()),
            config: watcher::Config::default().page_size(PAGE),
            ready: self.readiness.handle(name),
            metrics: self.watch_metrics.clone(),
        };
        self.tasks.spawn(name, watch.run(self.shutdown.clone(), tell));
    }

    fn statuses(&mut self, board: &Arc<Board>) {
        let writer = Writer::new(self.client.clone(), Arc::clone(board));
        self.tasks.spawn("statuses", writer.run(self.shutdown.clone()));
    }
}
