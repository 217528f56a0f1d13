//! What the API server judges by itself, as ValidatingAdmissionPolicies: the rules of a policy about numbers and images,
//! for people, while no webhook answers; and SmartOps' own objects, out of automation's reach whether one answers or
//! not. Worked out as values; who writes them into the cluster, and when, is the shell's.
//!
//! A ValidatingAdmissionPolicy speaks before the webhook and is all that is heard then. So it refuses nothing that the
//! judgement would let pass, and says it in the judgement's sentence. What cannot be said that way is left out and told.

pub(crate) mod cel;
mod lifted;
mod own;
pub(crate) mod part;
mod sentence;
mod subjects;
mod written;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use smartops_common::config::SmartOpsConfigSpec;
use smartops_common::denial::Rule;

use self::lifted::Lifting;
pub use self::own::{OWN_OBJECTS, own_objects};
use self::part::Part;
use crate::exception::Exception;
use crate::policy::{CompiledPolicy, Flaw, GuardrailPolicySpec, Mode};
use crate::registration::Demand;
use crate::rules::images::Images;
use crate::rules::replicas::Replicas;

/// A ValidatingAdmissionPolicy and the binding that makes it hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// What it says.
    pub policy: ValidatingAdmissionPolicy,
    /// That it refuses.
    pub binding: ValidatingAdmissionPolicyBinding,
}

/// What of a policy the API server can judge by itself, before configuration and exceptions are known.
#[derive(Debug, Clone)]
pub struct Backstop {
    spec: GuardrailPolicySpec,
    policy: Arc<CompiledPolicy>,
    demand: Arc<Demand>,
    uid: String,
    parts: Vec<Part>,
    replicas: Option<Replicas>,
    images: Option<Images>,
    missing: Vec<String>,
}

impl Backstop {
    /// What there is of a policy as it is in force; `uid` is the GuardrailPolicy's.
    pub fn of(
        uid: &str,
        spec: &GuardrailPolicySpec,
        policy: &Arc<CompiledPolicy>,
        demand: &Arc<Demand>,
    ) -> Self {
        let mut missing = Vec::new();
        let rules = policy.rules();
        let mut replicas = rules.replicas;
        if replicas.is_some_and(|rule| rule.clamps()) {
            missing
                .push("replicas: a number is brought to one allowed by the webhook alone".into());
            replicas = None;
        }
        if replicas.is_some_and(|rule| rule.has_window()) {
            missing.push("replicas: stepWindowSeconds needs what was observed".into());
        }
        let judged = [Rule::Replicas, Rule::Images];
        let others = spec.rules.given();
        let others = others.iter().filter(|rule| !judged.contains(rule));
        missing
            .extend(others.map(|rule| format!("{rule}: the rule is judged by the webhook alone")));
        let selects_namespaces =
            spec.match_.namespaces.as_ref().is_some_and(|namespaces| namespaces.selector.is_some());
        for (selects, what) in [
            (spec.match_.objects.is_some(), "match.objects"),
            (selects_namespaces, "match.namespaces.selector"),
        ] {
            if selects {
                missing.push(format!("{what}: that labels take anything out of the policy"));
            }
        }
        let mut parts = part::parts(spec, policy, &mut missing);
        parts.retain(|part| part.has_something(replicas.as_ref(), rules.images.as_ref()));
        if !spec.match_.conditions.is_empty() {
            missing
                .push("match.conditions: whether they hold is found by the webhook alone".into());
            parts.clear();
        }
        if spec.mode != Mode::Enforce || !policy.means_people() {
            parts.clear();
        }
        Self {
            spec: spec.clone(),
            policy: Arc::clone(policy),
            demand: Arc::clone(demand),
            uid: uid.to_owned(),
            parts,
            replicas,
            images: rules.images.clone(),
            missing,
        }
    }

    /// The name of what is written for it.
    pub fn name(&self) -> String {
        written::name(self.policy.name())
    }

    /// The policy's name.
    pub fn policy(&self) -> &Arc<str> {
        self.policy.name()
    }

    /// Whether the policy says nothing that can be read: what stands for it stays.
    pub fn is_blind(&self) -> bool {
        self.policy.is_blind()
    }

    /// Whether it refuses anything to anybody who is not automation.
    pub fn binds_people(&self) -> bool {
        self.spec.mode == Mode::Enforce && self.policy.means_people()
    }

    /// Whether there is something to write under this configuration, with these exceptions.
    pub fn is_written(
        &self,
        config: &SmartOpsConfigSpec,
        exceptions: &[Arc<Exception>],
        now: Timestamp,
    ) -> bool {
        self.write(config, exceptions, now).is_some()
    }

    /// What to write under this configuration, with these exceptions; `None` where nothing of the policy can be.
    pub fn write(
        &self,
        config: &SmartOpsConfigSpec,
        exceptions: &[Arc<Exception>],
        now: Timestamp,
    ) -> Option<Written> {
        if self.parts.is_empty() || self.is_blind() {
            return None;
        }
        written::write(self, config, &self.lifting(exceptions, now)).ok()
    }

    /// What of the policy is not written, each with its reason.
    pub fn missing(
        &self,
        config: &SmartOpsConfigSpec,
        exceptions: &[Arc<Exception>],
        now: Timestamp,
    ) -> Vec<String> {
        let mut missing = self.missing.clone();
        if self.is_blind() {
            missing.push("the policy cannot be judged by as it is written".into());
        }
        if !self.parts.is_empty() {
            let lifting = self.lifting(exceptions, now);
            missing.extend(lifting.missing());
            if let Err(Flaw { field, reason }) = written::write(self, config, &lifting) {
                missing.push(format!("{field} {reason}"));
            }
            let unlifted: BTreeSet<String> = self
                .holding(exceptions, now)
                .filter_map(|exception| lifted::unlifted(exception, &self.parts))
                .map(Part::key)
                .collect();
            missing.extend(unlifted.into_iter().map(|key| {
                format!(
                    "exceptions on {key}: a Scale names no kind; write the number of the object itself"
                )
            }));
        }
        let has_scale = self.parts.iter().any(Part::is_scale);
        if has_scale && !config.break_glass.groups.is_empty() {
            missing.push(
                "break-glass on /scale: a Scale carries no annotation; break it on the object itself".into(),
            );
        }
        missing
    }

    /// Those exceptions that lift something of the policy now.
    fn holding<'e>(
        &self,
        exceptions: &'e [Arc<Exception>],
        now: Timestamp,
    ) -> impl Iterator<Item = &'e Exception> {
        let holds = move |exception: &&Arc<Exception>| {
            *exception.policy() == **self.policy.name()
                && !exception.has_expired(now)
                && exception.flaws_under(Some(&self.policy)).is_empty()
        };
        exceptions.iter().filter(holds).map(AsRef::as_ref)
    }

    /// What of them is written.
    fn lifting<'e>(&self, exceptions: &'e [Arc<Exception>], now: Timestamp) -> Lifting<'e> {
        let rules = [
            self.images.as_ref().map(|_| Rule::Images),
            self.replicas.as_ref().map(|_| Rule::Replicas),
        ];
        let rules: Vec<Rule> = rules.into_iter().flatten().collect();
        Lifting::of(self.holding(exceptions, now), &self.parts, &rules)
    }
}

#[cfg(test)]
mod tests;
