//! What is wrong with an exception: by itself, under the policy it is from, and with whoever writes it.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use smartops_common::denial::Rule;

use super::kind::GuardrailExceptionSpec;
use crate::policy::{CompiledPolicy, Flaw};
use crate::subject::Subject;

/// An exception that was checked by itself. Whether it lifts anything depends on its policy and on the time.
#[derive(Debug, Clone, PartialEq)]
pub struct Exception {
    name: Arc<str>,
    made: Timestamp,
    rules: Vec<Rule>,
    pub(super) spec: GuardrailExceptionSpec,
}

impl Exception {
    /// Checks an exception; `made` is when the API server made it.
    ///
    /// # Errors
    /// Everything wrong with it.
    pub fn check(
        namespace: &str,
        name: &str,
        made: Timestamp,
        spec: GuardrailExceptionSpec,
    ) -> Result<Self, Vec<Flaw>> {
        let mut flaws = Vec::new();
        let mut given = |field: &str, text: &str| {
            if text.trim().is_empty() {
                flaws.push(Flaw::new(field, "is empty; an exception says what it is for and why"));
            }
        };
        given("spec.policy", &spec.policy);
        given("spec.target.kind", &spec.target.kind);
        given("spec.target.name", &spec.target.name);
        given("spec.reason", &spec.reason);
        given("spec.ticket", &spec.ticket);
        if spec.rules.is_empty() {
            flaws.push(Flaw::new("spec.rules", "is empty; name the rules that are lifted"));
        }
        if spec.subjects.as_ref().is_some_and(|s| s.users.is_empty() && s.groups.is_empty()) {
            let reason = "names nobody; name users or groups, or leave it out";
            flaws.push(Flaw::new("spec.subjects", reason));
        }
        if !flaws.is_empty() {
            return Err(flaws);
        }
        let rules: BTreeSet<Rule> = spec.rules.iter().map(|rule| (*rule).into()).collect();
        let rules = rules.into_iter().collect();
        Ok(Self { name: format!("{namespace}/{name}").into(), made, rules, spec })
    }

    /// What keeps it from lifting anything of its policy, as that policy is in force; `None` where there is none.
    pub fn flaws_under(&self, policy: Option<&CompiledPolicy>) -> Vec<Flaw> {
        let name = &self.spec.policy;
        let Some(policy) = policy else {
            let reason = format!("there is no policy {name} in force; write the policy first");
            return vec![Flaw::new("spec.policy", reason)];
        };
        let allowance = policy.allowance();
        if !allowance.is_allowed {
            let reason = format!(
                "policy {name} allows no exceptions; have the policy changed by whoever owns it"
            );
            return vec![Flaw::new("spec.policy", reason)];
        }
        let mut flaws = Vec::new();
        for rule in self.rules.iter().filter(|rule| !allowance.rules.contains(rule)) {
            let given: Vec<&str> = allowance.rules.iter().map(|rule| rule.as_str()).collect();
            let given = if given.is_empty() { "none".to_owned() } else { given.join(", ") };
            let reason = format!("policy {name} has no rule {rule}; it has {given}");
            flaws.push(Flaw::new("spec.rules", reason));
        }
        // Beyond the end of time nothing lasts.
        let latest = self.made.checked_add(allowance.longest()).unwrap_or(self.made);
        if self.expires_at() > latest {
            let reason = format!(
                "is {}: an exception from policy {name} ends {} h after it was made at the latest, this one by {latest}",
                self.expires_at(),
                allowance.hours,
            );
            flaws.push(Flaw::new("spec.expiresAt", reason));
        }
        flaws
    }

    /// What speaks against its being written by this subject now, apart from what is wrong with it.
    pub fn flaws_for(
        &self,
        writer: &Subject,
        policy: Option<&CompiledPolicy>,
        now: Timestamp,
    ) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        if self.has_expired(now) {
            let reason = format!(
                "is {}, and now it is {now}: give a time to come, or write a new exception",
                self.expires_at()
            );
            flaws.push(Flaw::new("spec.expiresAt", reason));
        }
        let writers = policy.map_or(&[][..], |policy| &policy.allowance().writer_groups);
        if !writers.is_empty() && !writers.iter().any(|group| writer.groups().contains(group)) {
            let reason = format!(
                "exceptions from policy {} are written by members of {}, and {} is in none; ask one of them",
                self.spec.policy,
                writers.join(", "),
                writer.username(),
            );
            flaws.push(Flaw::new("spec.policy", reason));
        }
        flaws
    }

    /// Its namespace and name, as `shop/sale`.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The namespace it is in, and so its object.
    pub(crate) fn namespace(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    /// What it says.
    pub(crate) fn spec(&self) -> &GuardrailExceptionSpec {
        &self.spec
    }

    /// The name of the policy it is from.
    pub fn policy(&self) -> &str {
        &self.spec.policy
    }

    /// From when on it lifts nothing.
    pub fn expires_at(&self) -> Timestamp {
        self.spec.end()
    }

    /// Whether it lifts nothing any more.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        now >= self.expires_at()
    }

    pub(crate) fn lifts(&self, rule: Rule) -> bool {
        self.rules.contains(&rule)
    }

    pub(super) fn is_from(&self, policy: &CompiledPolicy) -> bool {
        self.spec.policy == **policy.name()
    }

    pub(super) fn is_for_subject(&self, subject: &Subject) -> bool {
        self.spec.subjects.as_ref().is_none_or(|set| {
            set.users.iter().any(|user| user == subject.username())
                || set.groups.iter().any(|group| subject.groups().contains(group))
        })
    }
}
