//! The RemediationPolicies, as every replica watches them: what a signal leads to, and how requests are handled. A policy
//! that cannot be decided by is said to be so in its status; the last one of its name that could stays in force. What a
//! policy makes of a signal is `decide`'s, the words in its status are `standing`'s.

pub mod decide;
mod standing;

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use kube::Api;
use kube::core::DeserializeGuard;
use kube::runtime::watcher;
use smartops_common::remediation_policy::RemediationPolicy;
use smartops_process::BoxError;
use smartops_process::health::Handle;
use smartops_process::shutdown::Shutdown;
use smartops_process::watch::{Event, Watch, WatchMetrics};
use tokio::sync::watch;

use self::decide::{Decision, Governed, Labels, Policy, Told};
use crate::cluster::Cluster;

/// The policies, to decide by anywhere. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Policies {
    known: Shared,
}

/// What is known of them; nothing until they were listed for the first time.
type Shared = Arc<ArcSwapOption<Known>>;

/// The policies were not listed yet, so nobody knows which one governs: the built-in table is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the RemediationPolicies were not listed yet")]
pub struct NotListed;

/// Every policy in the order of precedence, and the table that decides where none governs.
#[derive(Debug)]
struct Known {
    ordered: Vec<Policy>,
    built_in: Policy,
}

impl Policies {
    /// Whether it is known which there are.
    pub fn are_listed(&self) -> Result<(), NotListed> {
        self.known().map(drop)
    }

    /// What a signal about a target with these labels leads to.
    pub fn decide(
        &self,
        told: &Told<'_>,
        namespace: &Labels,
        object: &Labels,
    ) -> Result<Decision, NotListed> {
        let known = self.known()?;
        let Known { ordered, built_in } = &*known;
        let policy = decide::governing(ordered, built_in, namespace, object);
        Ok(decide::decide(policy, built_in, told))
    }

    /// Whether anything could come of a signal, whatever its target is.
    pub fn may_matter(&self, told: &Told<'_>) -> Result<bool, NotListed> {
        let known = self.known()?;
        Ok(decide::may_matter(&known.ordered, &known.built_in, told))
    }

    /// How requests about a target with these labels are handled that no signal began.
    pub fn governed(&self, namespace: &Labels, object: &Labels) -> Result<Governed, NotListed> {
        let known = self.known()?;
        let policy = decide::governing(&known.ordered, &known.built_in, namespace, object);
        Ok(decide::governed(policy))
    }

    fn known(&self) -> Result<Arc<Known>, NotListed> {
        self.known.load_full().ok_or(NotListed)
    }
}

/// Keeps [`Policies`] as they are written.
#[derive(Debug)]
pub struct Keeper {
    known: Shared,
    /// By name: the policy in force, and the object as last seen.
    policies: BTreeMap<String, Policy>,
    /// Those told by the list that is under way.
    listed: Option<Vec<String>>,
    /// What each object's status should say.
    verdicts: watch::Sender<BTreeMap<String, standing::Verdict>>,
}

/// No policies yet, and what keeps them.
pub fn policies() -> (Policies, Keeper) {
    let known = Shared::default();
    let keeper = Keeper {
        known: Arc::clone(&known),
        policies: BTreeMap::new(),
        listed: None,
        verdicts: watch::channel(BTreeMap::new()).0,
    };
    (Policies { known }, keeper)
}

impl Keeper {
    /// Follows until the stop, and says in each policy's status how it stands.
    pub async fn run(
        mut self,
        cluster: Cluster,
        metrics: WatchMetrics,
        ready: Handle,
        shutdown: Shutdown,
    ) -> Result<(), BoxError> {
        let api: Api<DeserializeGuard<RemediationPolicy>> = Api::all(cluster.client());
        let config = watcher::Config::default();
        let watch = Watch { name: "remediationpolicies", api, config, ready, metrics };
        let telling = standing::tell(cluster, self.verdicts.subscribe(), shutdown.clone());
        let (watched, ()) =
            tokio::join!(watch.run(shutdown, move |event| self.tell(event)), telling);
        watched
    }

    fn tell(&mut self, event: Event<RemediationPolicy>) {
        match event {
            Event::Init => self.listed = Some(Vec::new()),
            Event::InitApply(policy) => {
                let name = self.take(policy);
                self.listed.get_or_insert_default().push(name);
            }
            Event::InitDone => {
                let listed = self.listed.take().unwrap_or_default();
                self.policies.retain(|name, _| listed.contains(name));
                self.verdicts.send_modify(|all| all.retain(|name, _| listed.contains(name)));
                self.publish(true);
            }
            Event::Apply(policy) => {
                self.take(policy);
                self.publish(false);
            }
            Event::Delete(metadata) => {
                let name = metadata.name.unwrap_or_default();
                self.policies.remove(&name);
                self.verdicts.send_modify(|all| drop(all.remove(&name)));
                self.publish(false);
            }
            Event::Unreadable { metadata, error } => {
                let name = metadata.name.unwrap_or_default();
                if self.policies.get(&name).is_none_or(|known| known.why_invalid().is_some()) {
                    self.policies.insert(name.clone(), Policy::unreadable(&name, error));
                }
                match &mut self.listed {
                    Some(listed) => listed.push(name),
                    None => self.publish(false),
                }
            }
        }
    }

    /// Takes in a policy as it is now, and hands back its name.
    fn take(&mut self, policy: RemediationPolicy) -> String {
        let name = policy.metadata.name.clone().unwrap_or_default();
        let read = Policy::read(&name, policy.spec.clone());
        let verdict = standing::Verdict::of(&policy, read.as_ref().err().cloned());
        self.verdicts.send_modify(|all| drop(all.insert(name.clone(), verdict)));
        match read {
            Ok(read) => drop(self.policies.insert(name.clone(), read)),
            Err(why) => {
                tracing::warn!(policy = name, why, "a RemediationPolicy cannot be decided by");
                let last = self.policies.get(&name);
                if last.is_none_or(|last| last.why_invalid().is_some()) {
                    let invalid = Policy::invalid(&name, policy.spec, why);
                    self.policies.insert(name.clone(), invalid);
                }
            }
        }
        name
    }

    /// Puts in force what is known. Only a whole list begins that: of what came before it, others may be missing.
    fn publish(&self, is_list: bool) {
        if !is_list && self.known.load().is_none() {
            return;
        }
        let mut ordered: Vec<Policy> = self.policies.values().cloned().collect();
        ordered.sort_by(|a, b| a.precedence().cmp(&b.precedence()));
        self.known.store(Some(Arc::new(Known { ordered, built_in: Policy::built_in() })));
    }
}

#[cfg(test)]
pub(crate) mod tests;
