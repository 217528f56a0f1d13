//! What the watches told so far: policies, namespaces and configuration, each with what became of it. What is worked
//! out from it is the board's.

use std::collections::BTreeMap;
use std::sync::Arc;

use smartops_common::config::SmartOpsConfigSpec;
use smartops_common::names;
use smartops_guard::policy::{CompiledPolicy, GuardrailPolicySpec};
use smartops_guard::registration::Demand;
use smartops_guard::vap::Backstop;

use super::listing::Listing;
use crate::status::{Kind, Report, Standing};

/// Everything that was told.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) policies: BTreeMap<String, Policy>,
    pub(super) policies_listing: Listing,
    pub(super) namespaces: BTreeMap<String, BTreeMap<String, String>>,
    pub(super) namespaces_listing: Listing,
    pub(super) config: Option<Config>,
    pub(super) config_listing: Listing,
}

/// A policy as it stands.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) generation: Option<i64>,
    pub(super) resource_version: Option<String>,
    pub(super) standing: Standing,
    pub(super) outcome: Result<(), String>,
    /// What it is judged by: the last version that could be compiled, or its match alone. `None` where there is
    /// neither.
    pub(super) force: Option<Force>,
}

/// A policy as it is in force.
#[derive(Debug, Clone)]
pub(super) struct Force {
    pub(super) policy: Arc<CompiledPolicy>,
    /// What it asks of the registrations.
    pub(super) demand: Arc<Demand>,
    /// What of it the API server can judge by itself.
    pub(super) backstop: Arc<Backstop>,
}

impl Force {
    /// What a compiled policy of this uid is in force as.
    pub(super) fn new(uid: &str, spec: &GuardrailPolicySpec, policy: CompiledPolicy) -> Self {
        let policy = Arc::new(policy);
        let demand = Arc::new(Demand::of(spec, &policy));
        let backstop = Arc::new(Backstop::of(uid, spec, &policy, &demand));
        Self { policy, demand, backstop }
    }
}

/// The configuration as it stands.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) generation: Option<i64>,
    pub(super) resource_version: Option<String>,
    pub(super) standing: Standing,
    pub(super) outcome: Result<(), String>,
    /// The last version that could be read.
    pub(super) good: Option<SmartOpsConfigSpec>,
}

impl Sources {
    /// What is to be said about policies and configuration.
    pub(super) fn reports(&self) -> Vec<Report> {
        let policies = self.policies.iter().map(|(name, policy)| Report {
            kind: Kind::Policy,
            name: name.clone(),
            generation: policy.generation,
            resource_version: policy.resource_version.clone(),
            standing: policy.standing.clone(),
            outcome: policy.outcome.clone(),
            backstop: None,
        });
        let config = self.config.iter().map(|config| Report {
            kind: Kind::Config,
            name: names::CONFIG_NAME.to_owned(),
            generation: config.generation,
            resource_version: config.resource_version.clone(),
            standing: config.standing.clone(),
            outcome: config.outcome.clone(),
            backstop: None,
        });
        policies.chain(config).collect()
    }

    /// Whether everything has been read and no list is under way.
    pub(super) fn are_complete(&self) -> bool {
        let listings = [&self.policies_listing, &self.namespaces_listing, &self.config_listing];
        listings.iter().all(|listing| listing.is_complete())
    }

    /// Configuration and policies; `None` where something holds everything as it is.
    pub(super) fn in_force(&self) -> Option<(SmartOpsConfigSpec, Vec<&Force>)> {
        let config = match &self.config {
            None => SmartOpsConfigSpec::default(),
            Some(config) => config.good.clone()?,
        };
        let policies = self.policies.values().map(|policy| policy.force.as_ref());
        Some((config, policies.collect::<Option<_>>()?))
    }
}
