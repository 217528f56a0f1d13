//! Whether a policy means a write: kind, operation, subject, labels and conditions. The namespace is the index's.

use smartops_change::{Change, Kind, NumberPath, Operation, Resource};
use smartops_common::names;

use super::compile::CompiledPolicy;
use super::coverage::{Covers, Reach};
use super::covered::Covered;
use super::kind::{Mode, SubjectMatch, SubjectSet};
use super::relabel::{is_of_a_namespace, may_relabel};
use super::selector::Selector;
use crate::cel::{Held, Inputs};
use crate::facts::{Related, RelatedObject, Relation};
use crate::subject::Subject;

/// Whether a policy means a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It does not.
    No,
    /// It does.
    Yes {
        /// By naming it or through a neighbour.
        reach: Reach,
        /// Whether that is beyond doubt. Where it is not the policy binds all the same, and names nothing.
        is_certain: bool,
    },
    /// Only what the object belongs to can tell, and that has not been asked for.
    Needs,
}

/// Which objects a policy means, by label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Objects(pub(super) Option<Selector>);

/// Whom a policy means.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Subjects {
    include: Option<Set>,
    exclude: Option<Set>,
}

/// A set of subjects, its ServiceAccounts as user names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Set {
    automation: bool,
    users: Vec<String>,
    groups: Vec<String>,
}

/// Whether labels select, and whether all of them do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Selected {
    No,
    /// Some of those known do: those before the write, those after it, or a relative's.
    Some,
    All,
    Needs,
}

impl Objects {
    /// Asks the labels before and after the write, then those of what the object belongs to.
    fn select(&self, change: &Change<'_>, related: Related<'_>) -> Selected {
        let Some(selector) = &self.0 else { return Selected::All };
        let own = [change.labels_before(), change.labels_after()];
        let own: Vec<bool> = own
            .iter()
            .filter_map(|labels| match labels {
                Ok(Some(labels)) => Some(selector.selects(|key| labels.get(key))),
                Ok(None) => None,
                // Unreadable labels may be any.
                Err(_) => Some(true),
            })
            .collect();
        if own.contains(&true) {
            return if own.contains(&false) { Selected::Some } else { Selected::All };
        }
        match related {
            _ if !has_relatives(change) => Selected::No,
            Related::NotAsked => Selected::Needs,
            Related::Unavailable => Selected::Some,
            Related::Known { objects, .. } => {
                // Labels that are not known may be any.
                let selects = |object: &RelatedObject| {
                    let labels = object.labels.as_ref();
                    labels.is_none_or(|l| selector.selects(|key| l.get(key).map(String::as_str)))
                };
                match objects.iter().find(|object| selects(object)) {
                    None => Selected::No,
                    // A subresource carries no labels of its own: its object's are the only ones.
                    Some(RelatedObject { relation: Relation::Parent, labels: Some(_), .. })
                        if own.is_empty() =>
                    {
                        Selected::All
                    }
                    Some(_) => Selected::Some,
                }
            }
        }
    }
}

/// Whether the write takes its object out of what is selected by label.
fn is_left(selector: Option<&Selector>, change: &Change<'_>) -> bool {
    let Some(selector) = selector else { return false };
    let (Ok(Some(before)), Ok(Some(after))) = (change.labels_before(), change.labels_after())
    else {
        return false;
    };
    selector.selects(|key| before.get(key)) && !selector.selects(|key| after.get(key))
}

/// Whether an object may have relatives by whose labels it is selected too.
fn has_relatives(change: &Change<'_>) -> bool {
    !change.resource().subresource.is_empty()
        || change.operation() == Operation::Create
        || matches!(change.kind(), Kind::HorizontalPodAutoscaler | Kind::ReplicaSet | Kind::Pod)
        || change.controller().is_some()
}

impl Subjects {
    pub(super) fn compile(spec: Option<&SubjectMatch>) -> Self {
        let set = |set: &Option<SubjectSet>| set.as_ref().map(Set::compile);
        spec.map_or_else(Self::default, |spec| Self {
            include: set(&spec.include),
            exclude: set(&spec.exclude),
        })
    }

    fn mean(&self, subject: &Subject) -> bool {
        self.include.as_ref().is_none_or(|set| set.holds(subject)) && !self.leave_out(subject)
    }

    /// Whether they include it by word, not as one of everybody.
    fn name(&self, subject: &Subject) -> bool {
        self.include.as_ref().is_some_and(|set| set.holds(subject)) && !self.leave_out(subject)
    }

    fn leave_out(&self, subject: &Subject) -> bool {
        self.exclude.as_ref().is_some_and(|set| set.holds(subject))
    }

    /// Whether only automation can be meant; the controller always is.
    fn are_automation(&self) -> bool {
        let account = names::CONTROLLER_SERVICE_ACCOUNT;
        let controller = names::service_account_user(names::SYSTEM_NAMESPACE, account);
        self.include.as_ref().is_some_and(|set| {
            let is_given = set.automation || !set.users.is_empty();
            is_given && set.groups.is_empty() && set.users.iter().all(|user| *user == controller)
        })
    }
}

impl Set {
    fn compile(spec: &SubjectSet) -> Self {
        let accounts = spec
            .service_accounts
            .iter()
            .map(|a| names::service_account_user(&a.namespace, &a.name));
        Self {
            automation: spec.automation,
            users: spec.users.iter().cloned().chain(accounts).collect(),
            groups: spec.groups.clone(),
        }
    }

    fn holds(&self, subject: &Subject) -> bool {
        (self.automation && subject.is_automation())
            || self.users.iter().any(|user| user == subject.username())
            || self.groups.iter().any(|group| subject.groups().contains(group))
    }
}

impl CompiledPolicy {
    /// Whether the policy means this write by this subject.
    pub(crate) fn fit(
        &self,
        change: &Change<'_>,
        subject: &Subject,
        related: Related<'_>,
        inputs: &Inputs<'_>,
    ) -> Fit {
        let reach = match self.coverage.covers(change, related) {
            Covers::No => return Fit::No,
            _ if !self.subjects.mean(subject) => return Fit::No,
            Covers::Needs => return Fit::Needs,
            Covers::Yes(reach) => reach,
        };
        let is_whole = match self.objects.select(change, related) {
            Selected::No => return Fit::No,
            Selected::Needs => return Fit::Needs,
            Selected::Some => false,
            Selected::All => true,
        };
        match self.held(change, inputs) {
            Held::No => Fit::No,
            Held::Yes => Fit::Yes { reach, is_certain: is_whole },
            Held::Unknown => Fit::Yes { reach, is_certain: false },
        }
    }

    /// Whether the conditions hold of the object after the write or, as labels do, of that before it.
    fn held(&self, change: &Change<'_>, inputs: &Inputs<'_>) -> Held {
        match self.conditions.hold(inputs) {
            Held::No if change.operation() == Operation::Update => {
                match self.conditions.hold(&inputs.before()) {
                    Held::Yes => Held::Unknown,
                    held => held,
                }
            }
            held => held,
        }
    }

    /// Whether the policy was written for this subject: it includes it by word, not as one of everybody.
    pub(crate) fn is_written_for(&self, subject: &Subject) -> bool {
        self.subjects.name(subject)
    }

    /// Whether the policy may hold one subject, by word, to rules about updates of such objects, and not another, so that
    /// whatever the second did for the first would go past it. Which objects it means by label or condition is not asked.
    pub fn is_gone_past(&self, bound: &Subject, by: &Subject, resource: Resource<'_>) -> bool {
        self.mode == Mode::Enforce
            && (self.is_blind() || self.rules().bind_something())
            && self.coverage.operations().contains(&Operation::Update)
            && self.coverage.means(resource)
            && self.is_written_for(bound)
            && !self.subjects.mean(by)
    }

    /// Whether the policy names this write for this subject, given how it fits.
    pub(crate) fn names(&self, subject: &Subject, fit: Fit) -> bool {
        // What is only observed allows nothing.
        self.mode == Mode::Enforce
            && matches!(fit, Fit::Yes { reach: Reach::Named, is_certain: true })
            && self.is_written_for(subject)
    }

    /// Whether the policy could name this write for this subject by a capability, given how it fits.
    pub(crate) fn may_name(&self, subject: &Subject, fit: Fit) -> bool {
        self.mode == Mode::Enforce
            && matches!(fit, Fit::Yes { is_certain: true, .. })
            && self.is_written_for(subject)
    }

    /// Whether this write takes its object out of what the policy selects by label. Any update may, whichever
    /// operations the policy names, and of whichever part: what it forbids to delete could be relabelled first, and a
    /// status carries labels too.
    pub(crate) fn is_left_by(
        &self,
        change: &Change<'_>,
        subject: &Subject,
        inputs: &Inputs<'_>,
    ) -> bool {
        may_relabel(change)
            && self.rules().bind_something()
            && self.coverage.means(change.resource())
            && self.subjects.mean(subject)
            && is_left(self.objects.0.as_ref(), change)
            && self.held(change, inputs) != Held::No
    }

    /// Whether this write takes a namespace out of those the policy selects by label.
    pub(crate) fn is_left_by_namespace(&self, change: &Change<'_>, subject: &Subject) -> bool {
        let selector = self.namespaces().and_then(|n| n.selector.as_ref());
        may_relabel(change)
            && is_of_a_namespace(change)
            && self.rules().bind_something()
            && self.subjects.mean(subject)
            && is_left(selector, change)
    }

    /// Whether it selects objects by label.
    pub(super) fn selects_objects(&self) -> bool {
        self.objects.0.is_some()
    }

    /// Whether it selects namespaces by label.
    pub fn selects_namespaces(&self) -> bool {
        self.namespaces().is_some_and(|n| n.selector.is_some())
    }

    /// Where the object of a change keeps its number, as far as the policy has to say it; of a Scale, its object.
    pub(crate) fn number(&self, change: &Change<'_>) -> Option<&NumberPath> {
        self.coverage.number(change)
    }

    /// Everything a registration must send, so that the policy sees what it means.
    pub fn covered(&self) -> Vec<Covered> {
        let mut covered = self.coverage.covered();
        if self.objects.0.is_some() && self.rules().bind_something() {
            let is_named = |covered: &Covered| {
                let kinds = self.coverage.kinds();
                covered.subresource.is_empty()
                    && kinds.iter().any(|kind| kind.is(&covered.group, &covered.resource, ""))
            };
            // An update may relabel an object out of it.
            for covered in covered.iter_mut().filter(|covered| is_named(covered)) {
                covered.operations.push(Operation::Update);
                covered.operations.sort_unstable();
                covered.operations.dedup();
            }
        }
        covered
    }

    /// Whether it can mean somebody who is not automation.
    pub fn means_people(&self) -> bool {
        !self.subjects.are_automation()
    }

    /// Whether it means objects of guarded namespaces only; else those of all namespaces.
    pub fn is_for_guarded_namespaces(&self) -> bool {
        self.namespaces().is_some_and(|n| n.guarded)
    }

    /// Whether it changes numbers instead of refusing them.
    pub fn clamps(&self) -> bool {
        self.mode == Mode::Enforce && self.rules().clamps()
    }

    /// Whether an object of this kind with these labels is one the policy means, for counting.
    pub fn means_object<'l>(
        &self,
        group: &str,
        resource: &str,
        label: impl Fn(&str) -> Option<&'l str>,
    ) -> bool {
        self.coverage.names(group, resource)
            && self.objects.0.as_ref().is_none_or(|selector| selector.selects(label))
    }
}

#[cfg(test)]
mod tests {
    use smartops_common::config::ServiceAccount;

    use super::*;
    use crate::policy::compile;
    use crate::sample;

    fn fits(policy: &CompiledPolicy, subject: &Subject) -> bool {
        let scale = sample::scale(1, 2);
        let change = scale.change();
        policy.fit(&change, subject, Related::NotAsked, &Inputs::new(&change, subject)) != Fit::No
    }

    #[test]
    fn a_policy_for_the_controller_or_for_automation_means_no_people_and_any_other_may() {
        for (include, means_people) in [
            (r#"{"automation":true}"#, false),
            (CONTROLLER, false),
            (r#"{"serviceAccounts":[{"namespace":"a","name":"x"}]}"#, true),
            (r#"{"automation":true,"users":["alice"]}"#, true),
            (r#"{"automation":true,"groups":["ops"]}"#, true),
            ("{}", true),
        ] {
            let mut spec = sample::baseline();
            let include = serde_json::from_str(include).unwrap();
            spec.match_.subjects = Some(SubjectMatch { include: Some(include), exclude: None });
            let policy = compile("p", &spec).unwrap();
            assert_eq!(
                policy.means_people(),
                means_people,
                "{include:?}",
                include = spec.match_.subjects
            );
        }
    }

    const CONTROLLER: &str =
        r#"{"serviceAccounts":[{"namespace":"smartops-system","name":"smartops-orchestrator"}]}"#;

    #[test]
    fn each_way_of_naming_a_subject_holds_and_exclusion_beats_inclusion() {
        let set = SubjectSet {
            automation: false,
            users: vec!["alice".into()],
            groups: vec!["ops".into()],
            service_accounts: vec![ServiceAccount { namespace: "a".into(), name: "x".into() }],
        };
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
            assert_eq!(fits(&policy, &subject), expected, "{user}");
            spec.match_.subjects =
                Some(SubjectMatch { include: Some(set.clone()), exclude: Some(set.clone()) });
            assert!(!fits(&compile("p", &spec).unwrap(), &subject), "{user}");
        }
    }
}
