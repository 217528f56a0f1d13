//! The check that makes a policy fit to judge by: everything wrong with it, all at once. Which writes it then means
//! is `fit`'s.

use std::fmt;
use std::sync::Arc;

use super::allowance::Allowance;
use super::coverage::Coverage;
use super::fit::{Objects, Subjects};
use super::kind::{GuardrailPolicySpec, Match, Mode};
use super::selector::Selector;
use super::unjudged::unjudged;
use crate::rules::custom::Conditions;
use crate::rules::{Rules, RulesSpec, warrant};

/// A policy that was checked, with its patterns and selectors ready to be asked.
#[derive(Debug, Clone)]
pub struct CompiledPolicy {
    pub(super) name: Arc<str>,
    pub(super) mode: Mode,
    pub(super) coverage: Coverage,
    pub(super) namespaces: Option<Namespaces>,
    pub(super) objects: Objects,
    pub(super) subjects: Subjects,
    pub(super) conditions: Conditions,
    rules: Rules,
    allowance: Allowance,
    named: String,
}

#[derive(Debug, Clone)]
pub(super) struct Namespaces {
    pub(super) guarded: bool,
    pub(super) exclude: Vec<String>,
    pub(super) selector: Option<Selector>,
}

/// Why a policy cannot be judged by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct CompileError {
    /// The policy.
    pub policy: String,
    /// Everything wrong with it.
    pub flaws: Vec<Flaw>,
}

/// One thing wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// The field, as in `spec.rules.paths.allow[2]`.
    pub field: String,
    /// What is wrong and what is allowed.
    pub reason: String,
}

impl Flaw {
    pub(crate) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policy {} cannot be judged by", self.policy)?;
        for (place, Flaw { field, reason }) in self.flaws.iter().enumerate() {
            write!(f, "{} {field}: {reason}", if place == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

/// Checks a policy and makes it fit to judge by.
pub fn compile(name: &str, spec: &GuardrailPolicySpec) -> Result<CompiledPolicy, CompileError> {
    let mut flaws = Vec::new();
    let policy = assemble(name, spec, &mut flaws);
    if flaws.is_empty() {
        unjudged(spec, &policy.coverage, &mut flaws);
        warrant::check_subjects(spec, &mut flaws);
    }
    if flaws.is_empty() { Ok(policy) } else { Err(CompileError { policy: name.to_owned(), flaws }) }
}

/// A policy that does not compile, as far as it can be read: every write it matches is undecided, so that a mistake
/// in a policy locks what it was to guard instead of opening it.
pub fn blind(name: &str, spec: &GuardrailPolicySpec) -> CompiledPolicy {
    let mut policy = assemble(name, spec, &mut Vec::new());
    policy.coverage = policy.coverage.by_any_operation();
    if spec.rules == RulesSpec::default() {
        // Of rules that could not be read any may have been there.
        policy.coverage = policy.coverage.with_every_neighbour();
    }
    policy.rules = Rules::blind();
    policy
}

fn assemble(name: &str, spec: &GuardrailPolicySpec, flaws: &mut Vec<Flaw>) -> CompiledPolicy {
    let coverage = Coverage::compile(&spec.match_, &spec.rules, flaws);
    let namespaces = namespaces(&spec.match_, flaws);
    let objects = match spec.match_.objects.as_ref().map(Selector::compile).transpose() {
        Ok(selector) => Objects(selector),
        Err(reason) => {
            flaws.push(Flaw::new("spec.match.objects", reason));
            Objects(None)
        }
    };
    let conditions = Conditions::compile(&spec.match_.conditions, flaws);
    CompiledPolicy {
        name: name.into(),
        mode: spec.mode,
        named: named(&coverage),
        rules: Rules::compile(&spec.rules, flaws),
        allowance: Allowance::compile(&spec.exceptions, &spec.rules, flaws),
        subjects: Subjects::compile(spec.match_.subjects.as_ref()),
        coverage,
        namespaces,
        objects,
        conditions,
    }
}

fn namespaces(match_: &Match, flaws: &mut Vec<Flaw>) -> Option<Namespaces> {
    let namespaces = match_.namespaces.as_ref()?;
    let selector = match namespaces.selector.as_ref().map(Selector::compile).transpose() {
        Ok(selector) => selector,
        Err(reason) => {
            flaws.push(Flaw::new("spec.match.namespaces.selector", reason));
            None
        }
    };
    Some(Namespaces { guarded: namespaces.guarded, exclude: namespaces.exclude.clone(), selector })
}

/// The writes a policy names, for messages.
fn named(coverage: &Coverage) -> String {
    let operations: Vec<&str> = coverage.operations().iter().map(|o| o.as_str()).collect();
    let kinds: Vec<String> = coverage.kinds().iter().map(ToString::to_string).collect();
    let text = format!("{} of {}", operations.join(", "), kinds.join(", "));
    crate::verdict::shortened(&text, 200)
}

impl CompiledPolicy {
    /// The policy's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How strictly it is meant.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Whether nothing of it but its match can be read.
    pub fn is_blind(&self) -> bool {
        self.rules.are_blind()
    }

    /// Which exceptions from it there may be.
    pub(crate) fn allowance(&self) -> &Allowance {
        &self.allowance
    }

    pub(super) fn namespaces(&self) -> Option<&Namespaces> {
        self.namespaces.as_ref()
    }

    /// The writes it names, for messages.
    pub(crate) fn named(&self) -> &str {
        &self.named
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::kind::{KindMatch, NamespaceMatch};
    use crate::rules::paths::PathsSpec;
    use crate::rules::replicas::ReplicasSpec;
    use crate::sample;

    #[test]
    fn a_place_of_a_number_is_given_with_the_version_it_holds_for() {
        let mut spec = sample::baseline();
        for (version, expected) in
            [(None, false), (Some("v1"), true), (Some("v1beta2"), true), (Some("V1"), false)]
        {
            spec.match_.kinds = vec![KindMatch {
                group: "shop.example".into(),
                resource: "carts".into(),
                version: version.map(str::to_owned),
                replicas_path: Some("spec.size".into()),
            }];
            let flaws = compile("p", &spec).map_or_else(|error| error.flaws, |_| Vec::new());
            let fields: Vec<_> = flaws.iter().map(|f| f.field.as_str()).collect();
            let wrong: &[&str] = if expected { &[] } else { &["spec.match.kinds[0].version"] };
            assert_eq!(fields, wrong, "{version:?}");
        }
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let mut spec = sample::baseline();
        spec.match_.operations.clear();
        spec.match_.kinds = vec![KindMatch {
            group: "apps".into(),
            resource: "*/*".into(),
            ..KindMatch::default()
        }];
        spec.match_.namespaces = Some(NamespaceMatch {
            selector: serde_json::from_str(
                r#"{"matchExpressions":[{"key":"a","operator":"Like"}]}"#,
            )
            .unwrap(),
            ..NamespaceMatch::default()
        });
        spec.rules.replicas =
            Some(ReplicasSpec { min: Some(5), max: Some(2), ..ReplicasSpec::default() });
        spec.rules.paths =
            Some(PathsSpec { allow: Some(vec!["spec".into(), "a..b".into()]), forbid: vec![] });
        let error = compile("bad", &spec).unwrap_err();
        let fields: Vec<_> = error.flaws.iter().map(|f| f.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "spec.match.kinds[0].resource",
                "spec.match.operations",
                "spec.match.namespaces.selector",
                "spec.rules.replicas",
                "spec.rules.paths.allow[1]",
            ]
        );
        assert!(error.to_string().starts_with("policy bad cannot be judged by: spec.match"));
    }
}
