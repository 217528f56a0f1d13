//! What reviews are judged by: the configuration and the compiled policies, by namespace. Fed by watches, worked out
//! when something changes, read without a lock.
//!
//! A policy or configuration that cannot be used leaves its last good version in force.

mod listing;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use smartops_common::config::{SmartOpsConfig, SmartOpsConfigSpec};
use smartops_common::names;
use smartops_guard::policy::{CompiledPolicy, GuardrailPolicy, Index, blind, compile};
use smartops_guard::registration::Demand;
use smartops_process::watch::Event;
use tokio::sync::{Notify, watch};

use self::listing::Listing;
use crate::decisions::recent::Recent;
use crate::metrics::WebhookMetrics;
use crate::status::{Kind, Report, Standing};

/// What one review is judged by; it does not change while it is.
#[derive(Debug)]
pub struct Snapshot {
    /// Who automation is, and which namespaces are guarded.
    pub config: SmartOpsConfigSpec,
    /// Which policies apply where.
    pub index: Index,
    /// What the policies ask of the registrations.
    pub demands: Vec<Demand>,
}

/// Where watches write and reviews read.
#[derive(Debug)]
pub struct Board {
    sources: Mutex<Sources>,
    snapshot: ArcSwapOption<Snapshot>,
    changes: watch::Sender<()>,
    reported: Notify,
    recent: Recent,
    metrics: WebhookMetrics,
}

#[derive(Debug, Default)]
struct Sources {
    policies: BTreeMap<String, Policy>,
    policies_listing: Listing,
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
    namespaces_listing: Listing,
    config: Option<Config>,
    config_listing: Listing,
}

#[derive(Debug)]
struct Policy {
    generation: Option<i64>,
    resource_version: Option<String>,
    standing: Standing,
    outcome: Result<(), String>,
    /// The last version that could be compiled.
    good: Option<Arc<CompiledPolicy>>,
    /// What that version asks of the registrations.
    demand: Option<Demand>,
}

#[derive(Debug)]
struct Config {
    generation: Option<i64>,
    resource_version: Option<String>,
    standing: Standing,
    outcome: Result<(), String>,
    /// The last version that could be read.
    good: Option<SmartOpsConfigSpec>,
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
            metrics,
        })
    }

    /// What to judge by; `None` until policies, configuration and namespaces have all been read once.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.load_full()
    }

    /// Tells whenever there is another snapshot.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// What policies did lately, for their status.
    pub fn recent(&self) -> &Recent {
        &self.recent
    }

    /// What is to be said about policies and configuration.
    pub fn reports(&self) -> Vec<Report> {
        let sources = self.sources();
        let policies = sources.policies.iter().map(|(name, policy)| Report {
            kind: Kind::Policy,
            name: name.clone(),
            generation: policy.generation,
            resource_version: policy.resource_version.clone(),
            standing: policy.standing.clone(),
            outcome: policy.outcome.clone(),
        });
        let config = sources.config.iter().map(|config| Report {
            kind: Kind::Config,
            name: names::CONFIG_NAME.to_owned(),
            generation: config.generation,
            resource_version: config.resource_version.clone(),
            standing: config.standing.clone(),
            outcome: config.outcome.clone(),
        });
        policies.chain(config).collect()
    }

    /// Waits until there may be something new to say.
    pub async fn reported(&self) {
        self.reported.notified().await;
    }

    /// An event of the watch of policies.
    pub fn policy(&self, event: Event<GuardrailPolicy>) {
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
                let name = metadata.name.clone().unwrap_or_default();
                let former = sources.policies.remove(&name).map(|p| (p.good, p.demand));
                let (good, demand) = former.unwrap_or_default();
                self.reject(&name, &error);
                let policy = Policy {
                    generation: metadata.generation,
                    resource_version: metadata.resource_version,
                    standing: Standing::default(),
                    outcome: Err(error),
                    good,
                    demand,
                };
                sources.policies.insert(name, policy);
                changed = true;
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
        match event {
            Event::InitApply(config) | Event::Apply(config) if is_the_one(&config.metadata) => {
                sources.config = Some(Config {
                    generation: config.metadata.generation,
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
        self.work_out(sources);
    }

    /// An event of the watch of namespaces.
    pub fn namespace(&self, event: Event<Namespace>) {
        let mut sources = self.sources();
        let sources = &mut *sources;
        let mut changed = false;
        if let Some(gone) = sources.namespaces_listing.follow(&event) {
            sources.namespaces.retain(|name, _| !gone.is_gone(name));
            changed = true;
        }
        match event {
            Event::InitApply(mut namespace) | Event::Apply(mut namespace) => {
                let labels = std::mem::take(namespace.labels_mut());
                changed |= sources.namespaces.get(&namespace.name_any()) != Some(&labels);
                sources.namespaces.insert(namespace.name_any(), labels);
            }
            Event::Delete(metadata) => {
                let name = metadata.name.unwrap_or_default();
                changed |= sources.namespaces.remove(&name).is_some();
            }
            Event::Init | Event::InitDone | Event::Unreadable { .. } => {}
        }
        if changed {
            self.work_out(sources);
        }
    }

    /// Takes a policy in. False where only its status changed.
    fn accept(&self, sources: &mut Sources, policy: GuardrailPolicy) -> bool {
        let name = policy.name_any();
        let generation = policy.metadata.generation;
        let resource_version = policy.metadata.resource_version;
        let status = policy.status.unwrap_or_default();
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
            former => former,
        };
        let (outcome, good, demand) = match compile(&name, &policy.spec) {
            Ok(compiled) => {
                let demand = Demand::of(&policy.spec, &compiled);
                (Ok(()), Arc::new(compiled), demand)
            }
            Err(error) => {
                self.reject(&name, &error.to_string());
                let former = former.and_then(|f| Some((f.good?, f.demand?)));
                let (good, demand) = former.unwrap_or_else(|| {
                    let blind = blind(&name, &policy.spec);
                    let demand = Demand::of(&policy.spec, &blind);
                    (Arc::new(blind), demand)
                });
                (Err(error.to_string()), good, demand)
            }
        };
        let (good, demand) = (Some(good), Some(demand));
        let policy = Policy { generation, resource_version, standing, outcome, good, demand };
        sources.policies.insert(name, policy);
        true
    }

    fn reject(&self, policy: &str, error: &str) {
        self.metrics.rejected_policies.inc();
        tracing::warn!(
            policy,
            error,
            "a policy cannot be judged by: its last good version stays, or what it matches is undecided"
        );
    }

    /// Works the snapshot out anew, unless a list is under way or something has never been read.
    fn work_out(&self, sources: &Sources) {
        let listings =
            [&sources.policies_listing, &sources.namespaces_listing, &sources.config_listing];
        if !listings.iter().all(|listing| listing.is_complete()) {
            return;
        }
        self.reported.notify_one();
        let config = match &sources.config {
            None => SmartOpsConfigSpec::default(),
            Some(Config { good: Some(config), .. }) => config.clone(),
            Some(Config { good: None, .. }) => return,
        };
        let policies: Vec<_> = sources.policies.values().filter_map(|p| p.good.clone()).collect();
        let namespaces = sources.namespaces.iter().map(|(name, labels)| (name.as_str(), labels));
        let index = Index::build(&policies, namespaces, &config);
        self.metrics.policies.set(i64::try_from(policies.len()).unwrap_or(i64::MAX));
        let demands = sources.policies.values().filter_map(|p| p.demand.clone()).collect();
        self.snapshot.store(Some(Arc::new(Snapshot { config, index, demands })));
        self.changes.send_replace(());
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
