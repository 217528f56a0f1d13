//! What goes on around a Remediation, read from the API server and from what is watched, and the one place where it is
//! decided who begins: what is counted there counts those that begin just now.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use kube::runtime::reflector::Store;
use smartops_common::remediation::{Phase, Remediation, Source};

use super::Shell;
use crate::failure::Failure;
use crate::remediation::autoscaler::Autoscaler;
use crate::remediation::machine::Step;
use crate::remediation::surroundings::{Surroundings, Traffic};
use crate::target::Live;

/// Every Remediation, as watched, and those that begin before the watch shows it.
#[derive(Debug)]
pub struct Crowd {
    store: Store<Remediation>,
    begun: Mutex<HashSet<String>>,
}

impl Crowd {
    /// Of what is watched.
    pub fn new(store: Store<Remediation>) -> Self {
        Self { store, begun: Mutex::default() }
    }

    /// Takes a step that rests on how much is going on. One at a time: whoever begins is counted by the next.
    pub(super) fn decide(
        &self,
        remediation: &Remediation,
        surroundings: &mut Surroundings,
        now: Timestamp,
        step: impl FnOnce(&Surroundings) -> Step,
    ) -> Step {
        let status = remediation.status.as_ref();
        let has_begun = status.is_some_and(|status| !status.attempts.is_empty());
        if remediation.spec.source != Source::ClosedLoop || remediation.spec.dry_run || has_begun {
            return step(surroundings);
        }
        let uid = remediation.metadata.uid.as_deref().unwrap_or_default();
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        // Whatever it was about to begin when it was last looked at did not come to be recorded.
        begun.remove(uid);
        let all = self.store.state();
        let begins = |uid: &str| {
            all.iter().any(|r| {
                r.metadata.uid.as_deref() == Some(uid)
                    && matches!(r.phase(), Phase::Pending | Phase::AwaitingApproval)
            })
        };
        begun.retain(|uid| begins(uid));
        let each = all.iter().map(AsRef::as_ref);
        surroundings.traffic =
            Traffic::around(remediation, each, &begun, &surroundings.limits, now);
        let step = step(surroundings);
        if let Step::Record(status) = &step
            && status.phase == Phase::Executing
        {
            begun.insert(uid.to_owned());
        }
        step
    }
}

impl Shell {
    /// What goes on around a Remediation, but for how much of it: that is counted when it is decided.
    pub(super) async fn surroundings(
        &self,
        namespace: &str,
        remediation: &Remediation,
        live: &Live,
        with_autoscaler: bool,
    ) -> Result<Surroundings, Failure> {
        let mut found = Surroundings { limits: self.switch.limits(), ..Surroundings::default() };
        if remediation.spec.source == Source::ClosedLoop {
            let of_namespace = self.cluster.namespace(namespace).await?;
            found.annotations =
                of_namespace.and_then(|metadata| metadata.annotations).unwrap_or_default();
        }
        if with_autoscaler {
            let listed = self.cluster.autoscalers(namespace).await?;
            found.autoscaler = Autoscaler::of(live.name(), &listed);
        }
        Ok(found)
    }
}
