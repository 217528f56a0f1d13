//! The check that makes a policy fit to judge by: everything wrong with it, all at once.

use std::fmt;
use std::sync::Arc;

use smartops_change::{Change, Operation};

use super::kind::{GuardrailPolicySpec, Match, Mode, OperationName, SubjectSet};
use super::selector::Selector;
use crate::rules::{Rules, RulesSpec};
use crate::subject::Subject;

/// A policy that was checked, with its patterns and selectors ready to be asked.
#[derive(Debug, Clone)]
pub struct CompiledPolicy {
    name: Arc<str>,
    mode: Mode,
    kinds: Vec<Kind>,
    operations: Vec<Operation>,
    namespaces: Option<Namespaces>,
    include: Option<SubjectSet>,
    exclude: Option<SubjectSet>,
    rules: Rules,
    named: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Kind {
    group: String,
    resource: String,
    subresource: String,
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
    let kinds = kinds(&spec.match_, &mut flaws);
    if spec.match_.operations.is_empty() {
        flaws.push(Flaw::new("spec.match.operations", "is empty; give at least one"));
    }
    let namespaces = namespaces(&spec.match_, &mut flaws);
    let rules = Rules::compile(&spec.rules, &mut flaws);
    if flaws.is_empty() {
        unjudged(spec, &mut flaws);
    }
    if !flaws.is_empty() {
        return Err(CompileError { policy: name.to_owned(), flaws });
    }
    Ok(assemble(name, spec, kinds, namespaces, rules))
}

/// A policy that does not compile, as far as it can be read: every write it matches is undecided, so that a mistake
/// in a policy locks what it was to guard instead of opening it.
pub fn blind(name: &str, spec: &GuardrailPolicySpec) -> CompiledPolicy {
    let mut ignored = Vec::new();
    let kinds = kinds(&spec.match_, &mut ignored);
    let namespaces = namespaces(&spec.match_, &mut ignored);
    let mut policy = assemble(name, spec, kinds, namespaces, Rules::blind());
    if policy.operations.is_empty() {
        policy.operations = ALL_OPERATIONS.to_vec();
    }
    policy
}

const ALL_OPERATIONS: [Operation; 4] =
    [Operation::Create, Operation::Update, Operation::Delete, Operation::Connect];

fn assemble(
    name: &str,
    spec: &GuardrailPolicySpec,
    kinds: Vec<Kind>,
    namespaces: Option<Namespaces>,
    rules: Rules,
) -> CompiledPolicy {
    let operations: Vec<Operation> = spec.match_.operations.iter().map(|o| (*o).into()).collect();
    let subjects = spec.match_.subjects.clone().unwrap_or_default();
    CompiledPolicy {
        name: name.into(),
        mode: spec.mode,
        named: named(&kinds, &operations),
        kinds,
        operations,
        namespaces,
        include: subjects.include,
        exclude: subjects.exclude,
        rules,
    }
}

/// Kinds of whose replicas, pod template and bounds there is a judgement.
const JUDGED: [(&str, &str); 3] = [
    ("apps", "deployments"),
    ("apps", "deployments/scale"),
    ("autoscaling", "horizontalpodautoscalers"),
];

/// A rule that binds nothing of what the policy matches is a mistake: it would look like a guard and be none.
fn unjudged(spec: &GuardrailPolicySpec, flaws: &mut Vec<Flaw>) {
    let RulesSpec { replicas, cooldown, paths, images } = &spec.rules;
    let given = [
        ("replicas", replicas.is_some()),
        ("cooldown", cooldown.is_some()),
        ("images", images.is_some()),
    ];
    let given: Vec<&str> = given.into_iter().filter_map(|(rule, is)| is.then_some(rule)).collect();
    for (place, kind) in spec.match_.kinds.iter().enumerate() {
        if given.is_empty() || JUDGED.contains(&(kind.group.as_str(), kind.resource.as_str())) {
            continue;
        }
        let reason = format!(
            "rule {} does not judge {:?} of group {:?}; judged are apps/deployments, apps/deployments/scale and autoscaling/horizontalpodautoscalers: name any other kind in a policy without these rules",
            given.join(", "),
            kind.resource,
            kind.group
        );
        flaws.push(Flaw::new(format!("spec.match.kinds[{place}]"), reason));
    }
    let unjudged = [OperationName::Delete, OperationName::Connect];
    let has_rules = !given.is_empty() || paths.is_some();
    if has_rules && spec.match_.operations.iter().any(|o| unjudged.contains(o)) {
        let reason = "no rule judges DELETE or CONNECT; name them in a policy without rules";
        flaws.push(Flaw::new("spec.match.operations", reason));
    }
}

fn kinds(match_: &Match, flaws: &mut Vec<Flaw>) -> Vec<Kind> {
    if match_.kinds.is_empty() {
        flaws.push(Flaw::new("spec.match.kinds", "is empty; give at least one"));
    }
    let word = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
    };
    let mut kinds = Vec::new();
    for (place, kind) in match_.kinds.iter().enumerate() {
        let (resource, subresource) = kind
            .resource
            .split_once('/')
            .map_or((kind.resource.as_str(), None), |(r, s)| (r, Some(s)));
        if !word(resource) || subresource.is_some_and(|s| !word(s)) {
            flaws.push(Flaw::new(
                format!("spec.match.kinds[{place}].resource"),
                format!(
                    "{:?} is no resource; write the plural, with a subresource where one is meant, as in deployments or deployments/scale",
                    kind.resource
                ),
            ));
        }
        kinds.push(Kind {
            group: kind.group.clone(),
            resource: resource.to_owned(),
            subresource: subresource.unwrap_or_default().to_owned(),
        });
    }
    kinds
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
fn named(kinds: &[Kind], operations: &[Operation]) -> String {
    let operations: Vec<&str> = operations.iter().map(|o| o.as_str()).collect();
    let kinds: Vec<String> = kinds
        .iter()
        .map(|k| {
            let group = if k.group.is_empty() { String::new() } else { format!(".{}", k.group) };
            let sub = if k.subresource.is_empty() {
                String::new()
            } else {
                format!("/{}", k.subresource)
            };
            format!("{}{group}{sub}", k.resource)
        })
        .collect();
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

    pub(super) fn namespaces(&self) -> Option<&Namespaces> {
        self.namespaces.as_ref()
    }

    /// Whether kind, operation and subject of the change fit. The namespace is the index's.
    pub(crate) fn fits(&self, change: &Change<'_>, subject: &Subject) -> bool {
        let resource = change.resource();
        self.operations.contains(&change.operation())
            && self.kinds.iter().any(|k| {
                k.resource == resource.resource
                    && k.group == resource.group
                    && k.subresource == resource.subresource
            })
            && self.include.as_ref().is_none_or(|set| set.holds(subject))
            && !self.is_excluded(subject)
    }

    /// Whether the policy was written for this subject: it includes it by word, not as one of everybody.
    pub(crate) fn is_written_for(&self, subject: &Subject) -> bool {
        self.include.as_ref().is_some_and(|set| set.holds(subject)) && !self.is_excluded(subject)
    }

    /// Whether the policy names this write for this subject.
    pub(crate) fn names(&self, change: &Change<'_>, subject: &Subject) -> bool {
        // What is only observed allows nothing.
        self.mode == Mode::Enforce && self.is_written_for(subject) && self.fits(change, subject)
    }

    /// The writes it names, for messages.
    pub(crate) fn named(&self) -> &str {
        &self.named
    }

    fn is_excluded(&self, subject: &Subject) -> bool {
        self.exclude.as_ref().is_some_and(|set| set.holds(subject))
    }
}

impl SubjectSet {
    fn holds(&self, subject: &Subject) -> bool {
        (self.automation && subject.is_automation())
            || self.users.iter().any(|user| user == subject.username())
            || self.groups.iter().any(|group| subject.groups().contains(group))
            || self.service_accounts.iter().any(|account| {
                subject.username()
                    == smartops_common::names::service_account_user(
                        &account.namespace,
                        &account.name,
                    )
            })
    }
}

#[cfg(test)]
mod tests {
    use smartops_common::config::ServiceAccount;

    use super::*;
    use crate::policy::kind::{KindMatch, NamespaceMatch, SubjectMatch};
    use crate::rules::paths::PathsSpec;
    use crate::rules::replicas::ReplicasSpec;
    use crate::sample;

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

    #[test]
    fn a_rule_that_binds_nothing_of_what_it_matches_is_a_flaw_and_its_absence_is_none() {
        let kind = |group: &str, resource: &str| KindMatch {
            group: group.into(),
            resource: resource.into(),
            ..KindMatch::default()
        };
        let mut spec = sample::baseline();
        for (kind, is_judged) in [
            (kind("apps", "deployments"), true),
            (kind("", "deployments"), false),
            (kind("apps", "statefulsets"), false),
            (kind("", "configmaps"), false),
        ] {
            spec.match_.kinds = vec![kind];
            assert_eq!(compile("p", &spec).is_ok(), is_judged, "{:?}", spec.match_.kinds);
        }
        let mut naming_only = spec.clone();
        naming_only.rules = RulesSpec::default();
        assert!(compile("p", &naming_only).is_ok());
        spec.match_.kinds = vec![kind("apps", "deployments")];
        spec.match_.operations = vec![OperationName::Delete];
        assert!(compile("p", &spec).is_err());
    }

    #[test]
    fn each_way_of_naming_a_subject_holds_and_exclusion_beats_inclusion() {
        let set = SubjectSet {
            automation: false,
            users: vec!["alice".into()],
            groups: vec!["ops".into()],
            service_accounts: vec![ServiceAccount { namespace: "a".into(), name: "x".into() }],
        };
        let scale = sample::scale(1, 2);
        let mut spec = sample::baseline();
        for (user, groups, expected) in [
            ("alice", vec![], true),
            ("bob", vec!["ops"], true),
            ("system:serviceaccount:a:x", vec![], true),
            ("system:serviceaccount:a:y", vec![], false),
            ("bob", vec!["op"], false),
        ] {
            let subject = sample::subject(user, &groups);
            spec.match_.subjects = Some(SubjectMatch { include: Some(set.clone()), exclude: None });
            let policy = compile("p", &spec).unwrap();
            assert_eq!(policy.fits(&scale.change(), &subject), expected, "{user}");
            spec.match_.subjects =
                Some(SubjectMatch { include: Some(set.clone()), exclude: Some(set.clone()) });
            assert!(!compile("p", &spec).unwrap().fits(&scale.change(), &subject), "{user}");
        }
    }
}
