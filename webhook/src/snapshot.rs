//! What reviews are judged by: the configuration and the compiled policies, by namespace. Fed by watches, worked out
//! when something changes, read without a lock.
//!
//! A policy or configuration that cannot be used leaves its last good version in force. A policy that has none locks
//! what it matches. One of which not even that can be read, and a configuration that never could be, hold everything
//! as it is: what was last worked out stays in force, no registration narrows, and before there is anything every
//! review is undecided, until an operator corrects or deletes it.
//!
//! What a change costs does not grow with policies times namespaces: which policies apply where is worked out by the
//! index when it is first asked.

mod listing;
mod sources;
mod stored;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use smartops_common::config::{SmartOpsConfig, SmartOpsConfigSpec};
use smartops_common::names;
use smartops_guard::policy::{GuardrailPolicySpec, GuardrailPolicyStatus, Index, blind, compile};
use smartops_guard::registration::Demand;
use smartops_guard::vap::Backstop;
use smartops_process::watch::Event;
use tokio::sync::{Notify, watch};

pub(crate) use self::listing::Listing;
use self::sources::{Config, Force, Policy, Sources};
pub use self::stored::{Stored, Unread};
use crate::decisions::recent::Recent;
use crate::exceptions::Exceptions;
use crate::metrics::WebhookMetrics;
use crate::status::{Report, Standing};

/// What one review is judged by; it does not change while it is.
#[derive(Debug)]
pub struct Snapshot {
    /// Who automation is, and which namespaces are guarded.
    pub config: SmartOpsConfigSpec,
    /// Which policies apply where.
    pub index: Index,
    /// What the policies ask of the registrations.
    pub demands: Arc<[Arc<Demand>]>,
    /// What of the policies the API server can judge by itself.
    pub backstops: Arc<[Arc<Backstop>]>,
}

/// Where watches write and reviews read.
#[derive(Debug)]
pub struct Board {
    sources: Mutex<Sources>,
    snapshot: ArcSwapOption<Snapshot>,
    changes: watch::Sender<()>,
    reported: Notify,
    recent: Recent,
    exceptions: Exceptions,
    metrics: WebhookMetrics,
}

impl Board {
    /// Nothing has been read yet: there is no snapshot.
    pub fn new(metrics: WebhookMetrics) -> Arc<Self> {
        Arc::new(Self {
            sources: Mutex::default(),
            snapshot: ArcSwapOption::empty(),
            changes: watch::Sender::new(()),
            reported: Notify::new(),
            recent: Recent::default(),
            exceptions: Exceptions::default(),
            metrics,
        })
    }

    /// What to judge by; `None` until policies, configuration and namespaces have all been read once.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.load_full()
    }

    /// Tells whenever there is another configuration or there are other policies.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// The exceptions from policies, which change more often than what they are from.
    pub fn exceptions(&self) -> &Exceptions {
        &self.exceptions
    }

    /// What policies did lately, for their status.
    pub fn recent(&self) -> &Recent {
        &self.recent
    }

    /// What is to be said about policies and configuration.
    pub fn reports(&self) -> Vec<Report> {
        self.sources().reports()
    }

    /// Waits until there may be something new to say.
    pub async fn reported(&self) {
        self.reported.notified().await;
    }

    /// An event of the watch of policies.
    pub fn policy(&self, event: Event<Stored>) {
        let mut sources = self.sources();
        let sources = &mut *sources;
        let mut changed = false;
        if let Some(gone) = sources.policies_listing.follow(&event) {
            sources.policies.retain(|name, _| !gone.is_gone(name));
            changed = true;
        }
        match event {
            Event::InitApply(policy) | Event::Apply(policy) => {
                changed |= self.accept(sources, policy);
            }
            Event::Unreadable { metadata, error } => {
                let spec = Err(Unread { error, match_alone: None });
                let status = GuardrailPolicyStatus::default();
                changed |= self.accept(sources, Stored { metadata: *metadata, spec, status });
            }
            Event::Delete(metadata) => {
                sources.policies.remove(&metadata.name.unwrap_or_default());
                changed = true;
            }
            Event::Init | Event::InitDone => {}
        }
        if changed {
            self.work_out(sources);
        } else {
            self.reported.notify_one();
        }
    }

    /// An event of the watch of the configuration.
    pub fn config(&self, event: Event<SmartOpsConfig>) {
        let mut sources = self.sources();
        let sources = &mut *sources;
        if let Some(gone) = sources.config_listing.follow(&event)
            && gone.is_gone(names::CONFIG_NAME)
        {
            sources.config = None;
        }
        let mut only_told = false;
        match event {
            Event::InitApply(config) | Event::Apply(config) if is_the_one(&config.metadata) => {
                let generation = config.metadata.generation;
                let former = sources.config.as_ref();
                only_told = generation.is_some()
                    && former.is_some_and(|f| f.generation == generation && f.outcome.is_ok());
                sources.config = Some(Config {
                    generation,
                    resource_version: config.metadata.resource_version,
                    standing: Standing {
                        conditions: config.status.unwrap_or_default().conditions,
                        ..Standing::default()
                    },
                    outcome: Ok(()),
                    good: Some(config.spec),
                });
            }
            Event::Unreadable { metadata, error } if is_the_one(&metadata) => {
                let good = sources.config.take().and_then(|former| former.good);
                sources.config = Some(Config {
                    generation: metadata.generation,
                    resource_version: metadata.resource_version,
                    standing: Standing::default(),
                    outcome: Err(error),
                    good,
                });
            }
            Event::Delete(metadata) if is_the_one(&metadata) => sources.config = None,
            _ => {}
        }
        if only_told {
            self.reported.notify_one();
        } else {
            self.work_out(sources);
        }
    }

    /// An event of the watch of namespaces.
    pub fn namespace(&self, event: Event<Namespace>) {
        let mut sources = self.sources();
        let sources = &mut *sources;
        if let Some(gone) = sources.namespaces_listing.follow(&event) {
            sources.namespaces.retain(|name, _| !gone.is_gone(name));
            self.work_out(sources);
        }
        match event {
            Event::InitApply(mut namespace) | Event::Apply(mut namespace) => {
                let labels = std::mem::take(namespace.labels_mut());
                let name = namespace.name_any();
                if sources.namespaces.get(&name) != Some(&labels) {
                    self.work_out_namespace(sources, &name, Some(&labels));
                    sources.namespaces.insert(name, labels);
                }
            }
            Event::Delete(metadata) => {
                let name = metadata.name.unwrap_or_default();
                if sources.namespaces.remove(&name).is_some() {
                    self.work_out_namespace(sources, &name, None);
                }
            }
            Event::Init | Event::InitDone | Event::Unreadable { .. } => {}
        }
    }

    /// Takes a policy in. False where only its status changed.
    fn accept(&self, sources: &mut Sources, policy: Stored) -> bool {
        let Stored { metadata, spec, status } = policy;
        let name = metadata.name.unwrap_or_default();
        let uid = metadata.uid.unwrap_or_default();
        let (generation, resource_version) = (metadata.generation, metadata.resource_version);
        let standing = Standing {
            conditions: status.conditions,
            matches: status.matches,
            last_decisions: status.last_decisions,
        };
        let former = sources.policies.remove(&name);
        // Only the status changed: what became of the spec still holds.
        let same = |p: &Policy| generation.is_some() && p.generation == generation;
        let former = match former {
            Some(former) if same(&former) => {
                let policy = Policy { resource_version, standing, ..former };
                sources.policies.insert(name, policy);
                return false;
            }
            former => former.and_then(|former| former.force),
        };
        let (outcome, force) = match spec.map(|spec| (compile(&name, &spec), spec)) {
            Ok((Ok(compiled), spec)) => (Ok(()), Some(Force::new(&uid, &spec, compiled))),
            Ok((Err(error), spec)) => {
                let blind = || Force::new(&uid, &spec, blind(&name, &spec));
                (Err(error.to_string()), Some(former.unwrap_or_else(blind)))
            }
            Err(Unread { error, match_alone }) => {
                let blind =
                    |spec: GuardrailPolicySpec| Force::new(&uid, &spec, blind(&name, &spec));
                (Err(error), former.or_else(|| match_alone.map(blind)))
            }
        };
        if let Err(error) = &outcome {
            self.reject(&name, error, force.is_some());
        }
        let policy = Policy { generation, resource_version, standing, outcome, force };
        sources.policies.insert(name, policy);
        true
    }

    fn reject(&self, policy: &str, error: &str, is_in_force: bool) {
        self.metrics.rejected_policies.inc();
        if is_in_force {
            tracing::warn!(
                policy,
                error,
                "a policy cannot be judged by: its last good version stays, or what it matches is undecided"
            );
        } else {
            tracing::error!(
                policy,
                error,
                "a policy says nothing that can be read: nothing else that changes rules before it is corrected or deleted"
            );
        }
    }

    /// Works the snapshot out anew.
    fn work_out(&self, sources: &Sources) {
        let Some((config, policies)) = self.in_force(sources) else { return };
        let compiled: Vec<_> = policies.iter().map(|force| Arc::clone(&force.policy)).collect();
        let namespaces = sources.namespaces.iter().map(|(name, labels)| (name.as_str(), labels));
        let index = Index::build(&compiled, namespaces, &config);
        self.metrics.policies.set(i64::try_from(policies.len()).unwrap_or(i64::MAX));
        let demands = policies.iter().map(|force| Arc::clone(&force.demand)).collect();
        let backstops = policies.iter().map(|force| Arc::clone(&force.backstop)).collect();
        self.snapshot.store(Some(Arc::new(Snapshot { config, index, demands, backstops })));
        self.changes.send_replace(());
    }

    /// Works out one namespace anew: what else the snapshot holds stays as it is.
    fn work_out_namespace(
        &self,
        sources: &Sources,
        name: &str,
        labels: Option<&BTreeMap<String, String>>,
    ) {
        let Some(former) = self.in_force(sources).and_then(|_| self.snapshot()) else { return };
        let index = former.index.with_namespace(name, labels);
        let (config, demands) = (former.config.clone(), Arc::clone(&former.demands));
        let backstops = Arc::clone(&former.backstops);
        self.snapshot.store(Some(Arc::new(Snapshot { config, index, demands, backstops })));
    }

    /// What is in force; whoever reports is told that there may be something new to say.
    fn in_force<'s>(&self, sources: &'s Sources) -> Option<(SmartOpsConfigSpec, Vec<&'s Force>)> {
        if !sources.are_complete() {
            return None;
        }
        self.reported.notify_one();
        sources.in_force()
    }

    fn sources(&self) -> MutexGuard<'_, Sources> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_the_one(metadata: &ObjectMeta) -> bool {
    metadata.name.as_deref() == Some(names::CONFIG_NAME)
}

#[cfg(test)]
mod tests;
