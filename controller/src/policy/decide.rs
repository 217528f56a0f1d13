//! What a signal leads to: which policy governs its target, which rule of it fits, and how the remedy is handled. Pure.

use std::collections::BTreeMap;

use kube::core::{Selector, SelectorExt};
use smartops_common::action::{Action, ActionType};
use smartops_common::remediation::{Handling, MetricCheck};
use smartops_common::remediation_policy::{
    self, Incomplete, Options, RemediationPolicySpec, RemedyRule, Selects, When,
};
use smartops_common::signal::SignalKind;

/// How long the closed loop watches a rollout where no policy says, in seconds.
const VERIFY_TIMEOUT_SECONDS: u32 = 120;
/// How the table is called that decides where no policy governs.
const BUILT_IN: &str = "built-in";

/// Labels, as selectors see them.
pub type Labels = BTreeMap<String, String>;

/// A signal, as far as policies ask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Told<'a> {
    /// By which route it came.
    pub kind: SignalKind,
    /// The type of an anomaly, the first cause of an analysis, the name of an alert.
    pub cause: &'a str,
    /// The score or confidence, where it has one: an absent one is not zero.
    pub score: Option<f64>,
    /// Whether it says all it takes to act on it.
    pub is_complete: bool,
}

impl Told<'_> {
    /// The cause as it stands in a Remediation.
    pub fn full_cause(&self) -> String {
        format!("{}/{}", self.kind, self.cause)
    }
}

/// What a signal leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Nothing: no rule fits, or the one that does names no action.
    Nothing,
    /// Nothing: its score or confidence is below what the rule asks for.
    BelowThreshold,
    /// This.
    Remedy(Box<Remedy>),
}

/// What is to be done, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Remedy {
    /// The action; relative where the rule says so.
    pub action: Action,
    /// Only try it out.
    pub dry_run: bool,
    /// Write nothing before somebody else has approved it.
    pub require_approval: bool,
    /// How long the rollout may take, in seconds.
    pub verify_timeout_seconds: u32,
    /// What else has to hold for it to have helped.
    pub checks: Vec<MetricCheck>,
    /// How it is handled.
    pub handling: Handling,
}

/// How requests about a target are handled that no signal began.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Governed {
    /// What else has to hold for a remedy to have helped.
    pub checks: Vec<MetricCheck>,
    /// How it is handled.
    pub handling: Handling,
}

/// A policy, read.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Its name.
    pub name: String,
    spec: RemediationPolicySpec,
    namespaces: Option<Selector>,
    objects: Option<Selector>,
    /// Why it cannot be decided by, where it cannot and no earlier one of its name could.
    invalid: Option<String>,
}

impl Policy {
    /// Reads one. What is wrong with it is in words.
    pub fn read(name: &str, spec: RemediationPolicySpec) -> Result<Self, String> {
        let wrong = remediation_policy::check(&spec);
        if !wrong.is_empty() {
            let words = wrong.iter().map(|wrong| format!("{} {}", wrong.field, wrong.reason));
            return Err(words.collect::<Vec<_>>().join("; "));
        }
        Ok(Self::of(name, spec, None))
    }

    /// One that cannot be decided by, for these reasons. Its targets are held to nothing; a selector of it that cannot
    /// be read selects everything.
    pub fn invalid(name: &str, spec: RemediationPolicySpec, why: String) -> Self {
        Self::of(name, spec, Some(why))
    }

    /// One that cannot even be read: whom it was for, and before which others it went, nobody can say.
    pub fn unreadable(name: &str, why: String) -> Self {
        let spec = RemediationPolicySpec { priority: i32::MAX, ..RemediationPolicySpec::default() };
        Self::of(name, spec, Some(why))
    }

    /// The table that decides where no policy governs.
    pub fn built_in() -> Self {
        Self::of(BUILT_IN, remediation_policy::shipped().spec, None)
    }

    fn of(name: &str, spec: RemediationPolicySpec, invalid: Option<String>) -> Self {
        let Selects { namespaces, objects } = &spec.selects;
        let read = |selector: &Option<_>| {
            selector.clone().and_then(|selector| Selector::try_from(selector).ok())
        };
        let (namespaces, objects) = (read(namespaces), read(objects));
        Self { name: name.to_owned(), spec, namespaces, objects, invalid }
    }

    /// Why it cannot be decided by.
    pub fn why_invalid(&self) -> Option<&str> {
        self.invalid.as_deref()
    }

    /// Its place among others: the highest priority first, of several the first by name.
    pub fn precedence(&self) -> (std::cmp::Reverse<i32>, &str) {
        (std::cmp::Reverse(self.spec.priority), &self.name)
    }

    fn selects(&self, namespace: &Labels, object: &Labels) -> bool {
        let fits = |selector: &Option<Selector>, labels| {
            selector.as_ref().is_none_or(|selector| selector.matches(labels))
        };
        fits(&self.namespaces, namespace) && fits(&self.objects, object)
    }

    fn rule(&self, told: &Told<'_>) -> Option<&RemedyRule> {
        self.spec.rules.iter().find(|rule| fits(&rule.when, told))
    }
}

fn fits(when: &When, told: &Told<'_>) -> bool {
    (when.signals.is_empty() || when.signals.contains(&told.kind))
        && (when.causes.is_empty() || when.causes.iter().any(|cause| cause == told.cause))
}

/// The policy that governs a target with these labels, among those in the order of their precedence.
pub fn governing<'a>(
    policies: &'a [Policy],
    built_in: &'a Policy,
    namespace: &Labels,
    object: &Labels,
) -> &'a Policy {
    policies.iter().find(|policy| policy.selects(namespace, object)).unwrap_or(built_in)
}

/// Whether any of them could make something of a signal, whatever its target is.
pub fn may_matter(policies: &[Policy], built_in: &Policy, told: &Told<'_>) -> bool {
    policies
        .iter()
        .chain([built_in])
        .any(|policy| policy.rule(told).is_some_and(|rule| rule.action.is_some()))
}

/// What `policy` makes of a signal. One that cannot be decided by leads to a Remediation that says so, where it or the
/// built-in table would have had one made.
pub fn decide(policy: &Policy, built_in: &Policy, told: &Told<'_>) -> Decision {
    if let Some(why) = &policy.invalid {
        let rule = policy.rule(told).or_else(|| built_in.rule(told));
        let Some(rule) = rule.filter(|rule| rule.action.is_some()) else {
            return Decision::Nothing;
        };
        let mut decision = remedy(policy, rule, told);
        if let Decision::Remedy(remedy) = &mut decision {
            let words = format!("RemediationPolicy {} cannot be decided by: {why}", policy.name);
            remedy.handling.policy_invalid = Some(words.chars().take(1024).collect());
            // What it says of checks and time-outs may be just what is wrong.
            remedy.checks = Vec::new();
            remedy.verify_timeout_seconds = VERIFY_TIMEOUT_SECONDS;
        }
        return decision;
    }
    let Some(rule) = policy.rule(told) else { return Decision::Nothing };
    let least = rule.when.min_score.as_deref().and_then(|least| least.parse::<f64>().ok());
    if least.zip(told.score).is_some_and(|(least, score)| score < least) {
        return Decision::BelowThreshold;
    }
    remedy(policy, rule, told)
}

fn remedy(policy: &Policy, rule: &RemedyRule, told: &Told<'_>) -> Decision {
    let Some(action) = rule.action.clone() else { return Decision::Nothing };
    let options = rule.options.or(&policy.spec.defaults);
    let acts = options.incomplete.unwrap_or_default() == Incomplete::Act;
    // A threshold that nothing can be held against was not met either. An alert has no score and is held to none.
    let is_unmeasured =
        rule.when.min_score.is_some() && told.score.is_none() && told.kind != SignalKind::Alert;
    let is_incomplete = !told.is_complete && (!acts || is_unmeasured);
    Decision::Remedy(Box::new(Remedy {
        action,
        dry_run: options.dry_run.unwrap_or_default() || is_incomplete,
        require_approval: options.require_approval.unwrap_or_default(),
        verify_timeout_seconds: options.verify_timeout_seconds.unwrap_or(VERIFY_TIMEOUT_SECONDS),
        checks: options.checks.clone().unwrap_or_default(),
        handling: handling(&options, format!("{}/{}", policy.name, rule.name)),
    }))
}

/// How requests about a target are handled that no signal began: as the defaults of its policy say. What it is decided
/// by rests on the caller, and never on the policy.
pub fn governed(policy: &Policy) -> Governed {
    if policy.invalid.is_some() {
        return Governed::default();
    }
    let options = &policy.spec.defaults;
    let handling = handling(options, policy.name.clone());
    Governed { checks: options.checks.clone().unwrap_or_default(), handling }
}

fn handling(options: &Options, decided_by: String) -> Handling {
    Handling {
        decided_by: Some(decided_by),
        policy_invalid: None,
        cooldown_seconds: options.cooldown_seconds,
        debounce_seconds: options.debounce_seconds,
        undo: options.undo.unwrap_or_default(),
        autoscaler: options.autoscaler.unwrap_or_default(),
        git_ops: options.git_ops.unwrap_or_default(),
    }
}

/// The same step at the bounds of an autoscaler, for a relative scale of what it owns: the upper bound makes room, the
/// lower one has it take effect now. `None` where the action is none.
pub fn at_bounds(action: &Action) -> Option<Action> {
    let delta = action.scale.as_ref()?.delta?;
    let mut bounds = Action::of(ActionType::HpaBounds);
    bounds.hpa_bounds = Some(smartops_common::action::HpaBoundsParameters {
        min_delta: Some(delta),
        max_delta: Some(delta),
        ..smartops_common::action::HpaBoundsParameters::default()
    });
    Some(bounds)
}

#[cfg(test)]
mod tests;
