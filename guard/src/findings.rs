//! What the rules found and what it amounts to: the decision and the sentence an operator reads. What is a finding is
//! each rule's.

use std::collections::BTreeSet;
use std::sync::Arc;

use smartops_change::Change;
use smartops_common::denial::{Cause, Denial, Rule};

use crate::break_glass::BreakGlass;
use crate::exception::Lift;
use crate::policy::{CompiledPolicy, Mode};
use crate::subject::Subject;
use crate::verdict::{Decision, Effect, Outcome, Verdict, shortened};
use crate::wording::Wording;

/// Longest warning. Characters.
const LONGEST_WARNING: usize = 120;
/// Most bytes of warnings in one verdict.
const WARNINGS_IN_ALL: usize = 4096;
/// Most causes a denial lists.
const MOST_CAUSES: usize = 32;
/// Further causes the sentence names after the leading one.
pub(crate) const FURTHER_CAUSES: usize = 4;
/// Longest value of an audit annotation. Characters.
const LONGEST_AUDIT: usize = 500;

/// The sentence about a refusal: who asks for what, the leading cause in full, further ones by name.
pub(crate) const HEAD: Wording = Wording::new("SmartOps denies {} of {} {}{} by {}");
pub(crate) const LEADING: Wording = Wording::new("policy {}, rule {}: {}");
pub(crate) const FURTHER: Wording = Wording::new("also {}");
pub(crate) const FURTHER_AT: Wording = Wording::new("also {} at {}");
pub(crate) const MORE: Wording = Wording::new("and {} more");
/// What a person may do about a refusal whose every cause can be lifted.
pub(crate) const LIFTABLE: Wording =
    Wording::new("a GuardrailException could lift this for a while, for a reason");

/// What one rule found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) rule: Rule,
    pub(crate) path: String,
    pub(crate) message: String,
    /// After so many seconds the same write could pass.
    pub(crate) retry_after: Option<u32>,
    /// Whether the rule refuses, or only wants it said.
    pub(crate) refuses: bool,
}

/// Everything the rules of all policies found, in an order that no order of policies changes.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    found: Vec<Found>,
    broken: Option<BreakGlass>,
    hint: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    policy: Arc<str>,
    effect: Effect,
    finding: Finding,
    /// By what it was lifted, where it would have refused.
    lift: Option<Lift>,
    /// Whether an exception could lift it.
    is_liftable: bool,
}

impl Findings {
    /// Takes what a policy's rule found; the policy's mode says what comes of it.
    pub(crate) fn add_of(&mut self, policy: &CompiledPolicy, finding: Finding) {
        let is_liftable = policy.allowance().lifts(finding.rule);
        self.push(policy.name(), policy.mode(), finding, is_liftable);
    }

    /// Takes what was found beside the rules, which no exception lifts.
    pub(crate) fn add(&mut self, policy: &Arc<str>, mode: Mode, finding: Finding) {
        self.push(policy, mode, finding, false);
    }

    fn push(&mut self, policy: &Arc<str>, mode: Mode, finding: Finding, is_liftable: bool) {
        let effect = match mode {
            Mode::Enforce if finding.refuses => Effect::Deny,
            Mode::Enforce | Mode::Warn => Effect::Warn,
            Mode::Audit => Effect::Audit,
        };
        let policy = Arc::clone(policy);
        self.found.push(Found { policy, effect, finding, lift: None, is_liftable });
    }

    /// Takes what a policy's rule would have refused but for an exception.
    pub(crate) fn except(&mut self, policy: &Arc<str>, finding: Finding, lift: Lift) {
        let (policy, lift) = (Arc::clone(policy), Some(lift));
        let effect = Effect::Except;
        self.found.push(Found { policy, effect, finding, lift, is_liftable: true });
    }

    /// Whether anything refuses.
    pub(crate) fn refuse(&self) -> bool {
        self.with(Effect::Deny).next().is_some()
    }

    /// Lifts whatever refuses.
    pub(crate) fn break_glass(&mut self, broken: BreakGlass) {
        let refusing = self.found.iter_mut().filter(|f| f.effect == Effect::Deny);
        let mut policies = BTreeSet::new();
        for found in refusing {
            (found.effect, found.lift) = (Effect::Except, Some(Lift::BreakGlass));
            policies.insert(Arc::clone(&found.policy));
        }
        self.broken = Some(BreakGlass { policies: policies.into_iter().collect(), ..broken });
    }

    /// Ends the sentence of a refusal with what whoever asks might do.
    pub(crate) fn hint(&mut self, hint: String) {
        self.hint = Some(hint);
    }

    /// The verdict they amount to.
    pub(crate) fn verdict(mut self, change: &Change<'_>, subject: &Subject) -> Verdict {
        let key = |f: &Found| {
            let Finding { rule, path, message, .. } = &f.finding;
            let lift = f.lift.clone();
            (f.effect, *rule, Arc::clone(&f.policy), lift, path.clone(), message.clone())
        };
        self.found.sort_by_key(key);
        self.found.dedup();
        let outcomes: BTreeSet<Outcome> = self
            .found
            .iter()
            .map(|f| Outcome {
                policy: Arc::clone(&f.policy),
                rule: f.finding.rule,
                effect: f.effect,
            })
            .collect();
        let refusals: Vec<&Found> = self.with(Effect::Deny).collect();
        let mut audit = audit(&outcomes);
        audit.extend(self.excepted());
        Verdict {
            decision: if refusals.is_empty() {
                Decision::Allow
            } else {
                Decision::Deny(denial(&refusals, change, subject, self.hint.as_deref()))
            },
            warnings: self.warnings(),
            audit,
            outcomes: outcomes.into_iter().collect(),
            break_glass: self.broken.map(Box::new),
        }
    }

    /// What was lifted and by what, for the API server's audit log.
    fn excepted(&self) -> Vec<(String, String)> {
        let lifted = self.found.iter().filter_map(|found| {
            let by: &str = match found.lift.as_ref()? {
                Lift::Exception { name, .. } => name,
                Lift::BreakGlass => "break-glass",
            };
            Some(format!("{} by {by}", source(&found.policy, found.finding.rule)))
        });
        let lifted: BTreeSet<String> = lifted.collect();
        let lifted = Vec::from_iter(lifted).join(", ");
        let reason = self.broken.as_ref().map(|broken| broken.reason.clone());
        [("excepted-by", Some(lifted).filter(|all| !all.is_empty())), ("break-glass", reason)]
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), shortened(&value?, LONGEST_AUDIT))))
            .collect()
    }

    fn with(&self, effect: Effect) -> impl Iterator<Item = &Found> {
        self.found.iter().filter(move |f| f.effect == effect)
    }

    /// One warning for each rule of each policy: first what was lifted and by what, then what is only warned of.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let (mut bytes, mut last) = (0, None);
        for found in self.with(Effect::Except).chain(self.with(Effect::Warn)) {
            let this = (&found.policy, found.finding.rule);
            if last == Some(this) {
                continue;
            }
            last = Some(this);
            let warning = match &found.lift {
                Some(lift) => lifted(found, lift),
                None => shortened(&sentence(found), LONGEST_WARNING),
            };
            bytes += warning.len();
            if bytes > WARNINGS_IN_ALL {
                break;
            }
            warnings.push(warning);
        }
        warnings
    }
}

/// That a refusal was lifted, and by what; of long names the ends are cut, never the time.
fn lifted(found: &Found, lift: &Lift) -> String {
    let source = source(&found.policy, found.finding.rule);
    match lift {
        Lift::BreakGlass => shortened(&format!("{source}: the glass was broken"), LONGEST_WARNING),
        Lift::Exception { until, name } => {
            let (source, name) = (shortened(&source, 40), shortened(name, 36));
            format!("{source}: excepted by {name} until {until}")
        }
    }
}

fn source(policy: &str, rule: Rule) -> String {
    if policy.is_empty() { rule.to_string() } else { format!("{policy}/{rule}") }
}

fn sentence(found: &Found) -> String {
    let source = source(&found.policy, found.finding.rule);
    format!("{source}: {}", found.finding.message)
}

fn denial(
    refusals: &[&Found],
    change: &Change<'_>,
    subject: &Subject,
    hint: Option<&str>,
) -> Denial {
    let namespace = change.namespace().map(|n| format!("{n}/")).unwrap_or_default();
    let write = HEAD.say(&[
        &change.operation(),
        &change.resource(),
        &namespace,
        &change.name(),
        &subject.username(),
    ]);
    let mut causes = refusals.iter();
    let leading = causes.next().map(|f| reason(f));
    let further = causes.by_ref().take(FURTHER_CAUSES).map(|f| further(f));
    let mut parts: Vec<String> = leading.into_iter().chain(further).collect();
    let more = causes.count();
    if more > 0 {
        parts.push(MORE.say(&[&more]));
    }
    if !subject.is_automation() && refusals.iter().all(|f| f.is_liftable) {
        parts.push(LIFTABLE.say(&[]));
    }
    parts.extend(hint.map(str::to_owned));
    let message = format!("{write}: {}", parts.join("; "));
    let seconds: Option<Vec<u32>> = refusals.iter().map(|f| f.finding.retry_after).collect();
    let causes = refusals.iter().take(MOST_CAUSES).map(|f| Cause {
        policy: f.policy.as_ref().to_owned(),
        rule: f.finding.rule,
        path: f.finding.path.clone(),
        message: f.finding.message.clone(),
    });
    Denial {
        message,
        causes: causes.collect(),
        retry_after_seconds: seconds.and_then(|seconds| seconds.into_iter().max()),
    }
}

/// The leading cause, in full.
fn reason(found: &Found) -> String {
    let Found { policy, finding: Finding { rule, message, .. }, .. } = found;
    if policy.is_empty() {
        return format!("rule {rule}: {message}");
    }
    LEADING.say(&[policy, rule, message])
}

/// A further cause, by name.
fn further(found: &Found) -> String {
    let source = source(&found.policy, found.finding.rule);
    match found.finding.path.as_str() {
        "" => FURTHER.say(&[&source]),
        path => FURTHER_AT.say(&[&source, &path]),
    }
}

fn audit(outcomes: &BTreeSet<Outcome>) -> Vec<(String, String)> {
    let keys =
        [(Effect::Deny, "denied-by"), (Effect::Warn, "warned-by"), (Effect::Audit, "would-deny")];
    keys.into_iter()
        .filter_map(|(effect, key)| {
            let sources: Vec<String> = outcomes
                .iter()
                .filter(|o| o.effect == effect)
                .map(|o| source(&o.policy, o.rule))
                .collect();
            (!sources.is_empty())
                .then(|| (key.to_owned(), shortened(&sources.join(", "), LONGEST_AUDIT)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use smartops_change::Operation;

    use super::*;
    use crate::facts::{Facts, Watched};
    use crate::history::{Record, Rolled};
    use crate::sample::{self, Write};

    #[test]
    fn warning_and_audit_modes_refuse_nothing_and_say_so() {
        let mut spec = sample::baseline();
        spec.mode = Mode::Warn;
        let warn = sample::applied("soft", &spec);
        spec.mode = Mode::Audit;
        let audit = sample::applied("silent", &spec);
        let policies = [audit, warn];
        let verdict = sample::verdict_with(
            &sample::scale(3, 50),
            &sample::person(),
            &sample::facts(&policies),
        );
        assert_eq!(verdict.denial(), None);
        assert_eq!(
            verdict.warnings,
            ["soft/replicas: spec.replicas 3 → 50: the maximum is 10; ask for at most 10"]
        );
        let expected = [("warned-by", "soft/replicas"), ("would-deny", "silent/replicas")];
        assert_eq!(verdict.audit, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn warnings_are_short_and_one_a_rule() {
        let mut spec = sample::baseline();
        spec.mode = Mode::Warn;
        spec.rules.paths =
            Some(crate::rules::paths::PathsSpec { allow: Some(vec![]), forbid: vec![] });
        let policies = [sample::applied(&"long".repeat(30), &spec)];
        let write = sample::adds(r#""hostNetwork":true,"hostPID":true"#);
        let verdict = sample::verdict_with(&write, &sample::person(), &sample::facts(&policies));
        assert_eq!(verdict.warnings.len(), 1);
        assert_eq!(verdict.warnings[0].chars().count(), 120);
    }

    #[test]
    fn a_denial_says_who_what_where_why_and_what_next() {
        let message = |write: &Write, subject: &Subject| {
            sample::verdict(write, subject).denial().unwrap().message.clone()
        };
        insta::assert_snapshot!(message(&sample::scale(3, 50), &sample::person()), @"SmartOps denies UPDATE of deployments.apps/scale smartops-dev/web by alice: policy smartops-baseline, rule replicas: spec.replicas 3 → 50: the maximum is 10; ask for at most 10; a GuardrailException could lift this for a while, for a reason");
        let image = sample::pods(r#"{"name":"web","image":"shop:2"}"#);
        insta::assert_snapshot!(
            message(&Write::update("", &sample::pods(sample::CONTAINER), &image), &sample::automation()),
            @"SmartOps denies UPDATE of deployments.apps smartops-dev/web by system:serviceaccount:agents:bot: policy smartops-automation, rule images: spec.template.spec.containers[web].image changed (shop:1 → shop:2): images may not change here; deploy the image the way people do; also smartops-automation/paths at spec.template.spec.containers[web].image"
        );
        insta::assert_snapshot!(
            message(&Write::of(Operation::Delete, "apps", "deployments"), &sample::automation()),
            @"SmartOps denies DELETE of deployments.apps smartops-dev/web by system:serviceaccount:agents:bot: rule unnamed: automation may do only what a policy names, and none names DELETE of deployments.apps (smartops-automation names UPDATE of deployments.apps, deployments.apps/scale); leave it to a person or ask an operator for a policy"
        );
        let record =
            Record { rolled: Rolled::At("2026-01-01T11:59:27Z".parse().unwrap()), ..sample::QUIET };
        let policies = sample::shipped_policies();
        let facts = Facts { watched: Watched::Seen(&record), ..sample::facts(&policies) };
        let verdict = sample::verdict_with(&sample::restart(), &sample::automation(), &facts);
        insta::assert_snapshot!(verdict.denial().unwrap().message, @"SmartOps denies UPDATE of deployments.apps smartops-dev/web by system:serviceaccount:agents:bot: policy smartops-automation, rule cooldown: the pod template last changed (restarted) 33 s ago and may change again after 120 s; retry in 87 s");
    }

    #[test]
    fn a_person_hears_of_exceptions_where_every_policy_that_refuses_allows_them() {
        let open = sample::baseline();
        let mut closed = sample::baseline();
        closed.exceptions.allowed = false;
        for (specs, subject, told) in [
            (vec![&open], sample::person(), true),
            (vec![&open, &open], sample::person(), true),
            (vec![&closed], sample::person(), false),
            (vec![&open, &closed], sample::person(), false),
            (vec![&open], sample::automation(), false),
        ] {
            let policies: Vec<_> = specs
                .iter()
                .enumerate()
                .map(|(place, spec)| sample::applied(&format!("p{place}"), spec))
                .collect();
            let facts = sample::facts(&policies);
            let verdict = sample::verdict_with(&sample::scale(3, 50), &subject, &facts);
            let message = &verdict.denial().unwrap().message;
            assert_eq!(message.contains("GuardrailException"), told, "{message}");
        }
    }
}
