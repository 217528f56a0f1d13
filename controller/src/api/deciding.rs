//! From a signal whose target was looked for to its order: the RemediationPolicy that governs the target decides, and the
//! caller has to be allowed to do what it decided.

use smartops_common::action::{Action, ActionType};
use smartops_common::remediation::{Autoscaler as Wanted, OriginatingSignal, Source, Target};

use super::Api;
use super::auth::{Caller, Deed};
use super::problem::Problem;
use crate::failure::Failure;
use crate::intake::place::Order;
use crate::intake::{Found, LookupError};
use crate::policy::decide::{Decision, Governed, Labels, Remedy, Told, at_bounds};
use crate::remediation::autoscaler::Autoscaler;

/// How often the loop looks at a rollout, in seconds.
const VERIFY_POLL_SECONDS: u32 = 1;

/// What becomes of a signal whose target is known.
#[derive(Debug)]
pub(super) enum Ordered {
    /// An order.
    Order(Box<Order>),
    /// Nothing, as metrics call it.
    Nothing(&'static str),
}

impl Api {
    /// What a signal leads to for what was found in `namespace` by the name `meant`. A caller who may not have that done
    /// is told so before being told which Deployments there are.
    pub(super) async fn order(
        &self,
        caller: &Caller,
        (namespace, meant): (&str, &str),
        found: Result<Found, LookupError>,
        (told, signal): (&Told<'_>, OriginatingSignal),
    ) -> Result<Ordered, Problem> {
        let (nothing, of_namespace) = (Labels::new(), self.namespace_labels(namespace).await?);
        let labels = found.as_ref().map_or(&nothing, |found| &found.labels);
        let decision = self.policies.decide(told, &of_namespace, labels)?;
        let type_ = match &decision {
            Decision::Remedy(remedy) => remedy.action.type_,
            Decision::Nothing | Decision::BelowThreshold => ActionType::Restart,
        };
        let meant = found.as_ref().map_or(meant, |found| found.target.name.as_str());
        self.check(caller, Deed::of(type_), namespace, meant).await?;
        let target = found?.target;
        match decision {
            Decision::Nothing => Ok(Ordered::Nothing("noop")),
            Decision::BelowThreshold => Ok(Ordered::Nothing("below_threshold")),
            Decision::Remedy(remedy) => {
                let action = self.where_it_takes_effect(namespace, &target, &remedy).await?;
                if action.type_ != type_ {
                    self.check(caller, Deed::of(action.type_), namespace, &target.name).await?;
                }
                let place = (namespace.to_owned(), target);
                let order = order(place, *remedy, action, told, signal, caller);
                Ok(Ordered::Order(Box::new(order)))
            }
        }
    }

    /// How a caller's own request about this target is handled.
    pub(super) async fn governed(
        &self,
        namespace: &str,
        labels: &Labels,
    ) -> Result<Governed, Problem> {
        let of_namespace = self.namespace_labels(namespace).await?;
        Ok(self.policies.governed(&of_namespace, labels)?)
    }

    async fn namespace_labels(&self, namespace: &str) -> Result<Labels, Failure> {
        let found = self.cluster.namespace(namespace).await?;
        Ok(found.and_then(|metadata| metadata.labels).unwrap_or_default())
    }

    /// The action, or the same step at the bounds of the autoscaler that owns the number of replicas, where the policy
    /// has it so. What KEDA made is left as it was decided: the refusal names its ScaledObject.
    async fn where_it_takes_effect(
        &self,
        namespace: &str,
        target: &Target,
        remedy: &Remedy,
    ) -> Result<Action, Failure> {
        let action = remedy.action.clone();
        let bounds = at_bounds(&action).filter(|_| remedy.handling.autoscaler == Wanted::Bounds);
        let Some(bounds) = bounds else { return Ok(action) };
        let listed = self.cluster.autoscalers(namespace).await?;
        let owner = Autoscaler::of(&target.name, &listed);
        Ok(if owner.is_some_and(|owner| owner.scaled_object.is_none()) { bounds } else { action })
    }
}

fn order(
    (namespace, target): (String, Target),
    remedy: Remedy,
    action: Action,
    told: &Told<'_>,
    signal: OriginatingSignal,
    caller: &Caller,
) -> Order {
    Order {
        namespace,
        target,
        action,
        cause: told.full_cause(),
        source: Source::ClosedLoop,
        requested_by: caller.name.clone(),
        idempotency: None,
        signal: Some(signal),
        dry_run: remedy.dry_run,
        require_approval: remedy.require_approval,
        verify: true,
        verify_timeout_seconds: remedy.verify_timeout_seconds,
        verify_poll_seconds: VERIFY_POLL_SECONDS,
        checks: remedy.checks,
        handling: remedy.handling,
    }
}
