//! Writes, subjects and policies that the tests of several modules judge.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use jiff::{SignedDuration, Timestamp};
use smartops_change::{Change, Operation, Request, Resource, TemplateDigest};
use smartops_common::config::SmartOpsConfigSpec;

use crate::facts::{
    Approvals, Facts, Origin, Related, RelatedObject, Relation, Revisions, Warrants, Watched, Whole,
};
use smartops_common::denial::Rule;

use crate::history::{Recent, Record, Rolled};
use crate::judge::{Judgement, judge};
use crate::policy::{Applied, GuardrailPolicySpec, KindMatch, compile, shipped};
use crate::subject::Subject;
use crate::verdict::Verdict;

/// A write with the texts its change borrows from.
pub(crate) struct Write {
    pub(crate) operation: Operation,
    pub(crate) group: &'static str,
    pub(crate) resource: &'static str,
    pub(crate) subresource: &'static str,
    pub(crate) old: Option<String>,
    pub(crate) new: Option<String>,
}

impl Write {
    /// An update of a Deployment or of a subresource of it.
    pub(crate) fn update(subresource: &'static str, old: &str, new: &str) -> Self {
        Self {
            operation: Operation::Update,
            group: "apps",
            resource: "deployments",
            subresource,
            old: Some(old.to_owned()),
            new: Some(new.to_owned()),
        }
    }

    /// Any operation on any kind.
    pub(crate) fn of(operation: Operation, group: &'static str, resource: &'static str) -> Self {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let old = matches!(operation, Operation::Update | Operation::Delete);
        let new = matches!(operation, Operation::Update | Operation::Create);
        let object = deployment(r#"{"replicas":3,"maxReplicas":5}"#);
        Self {
            operation,
            group,
            resource,
            subresource,
            old: old.then(|| object.clone()),
            new: new.then_some(object),
        }
    }

    pub(crate) fn change(&self) -> Change<'_> {
        Change::read(Request {
            operation: self.operation,
            resource: Resource {
                group: self.group,
                version: "v1",
                resource: self.resource,
                subresource: self.subresource,
            },
            namespace: Some("smartops-dev"),
            name: "web",
            old: self.old.as_deref(),
            new: self.new.as_deref(),
        })
        .unwrap()
    }
}

/// A Deployment of generation 7 with this spec.
pub(crate) fn deployment(spec: &str) -> String {
    format!(
        r#"{{"metadata":{{"name":"web","uid":"u1","generation":7,"creationTimestamp":"2026-01-01T00:00:00Z"}},"spec":{spec}}}"#
    )
}

/// A Deployment of generation 7 with three replicas and this pod template.
pub(crate) fn with_template(template: &str) -> String {
    deployment(&format!(r#"{{"replicas":3,"template":{template}}}"#))
}

/// A write of a Scale; a number of zero is omitted, as the API server omits it.
pub(crate) fn scale(old: i64, new: i64) -> Write {
    let scale = |n: i64| match n {
        0 => r#"{"metadata":{"name":"web","uid":"u1"},"spec":{}}"#.to_owned(),
        n => format!(r#"{{"metadata":{{"name":"web","uid":"u1"}},"spec":{{"replicas":{n}}}}}"#),
    };
    Write::update("scale", &scale(old), &scale(new))
}

pub(crate) fn subject(user: &str, groups: &[&str]) -> Subject {
    Subject::new(&SmartOpsConfigSpec::default(), user, groups)
}

pub(crate) fn person() -> Subject {
    subject("alice", &["system:authenticated"])
}

/// An agent.
pub(crate) fn automation() -> Subject {
    subject("system:serviceaccount:agents:bot", &[]).as_automation()
}

/// The controller, which is automation without being named.
pub(crate) fn controller() -> Subject {
    subject("system:serviceaccount:smartops-system:smartops-orchestrator", &[])
}

pub(crate) fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

/// The spec of the shipped baseline.
pub(crate) fn baseline() -> GuardrailPolicySpec {
    shipped().remove(1).spec
}

/// A custom resource that keeps its number at `spec.size`.
pub(crate) fn widgets() -> Vec<KindMatch> {
    vec![KindMatch {
        group: "example.com".into(),
        resource: "widgets".into(),
        version: Some("v1".into()),
        replicas_path: Some("spec.size".into()),
    }]
}

pub(crate) fn applied(name: &str, spec: &GuardrailPolicySpec) -> Applied {
    Applied { policy: Arc::new(compile(name, spec).unwrap()), is_certain: true }
}

/// The shipped policies, as they apply in a guarded namespace.
pub(crate) fn shipped_policies() -> Vec<Applied> {
    shipped().iter().map(|p| applied(p.metadata.name.as_deref().unwrap(), &p.spec)).collect()
}

/// A workload seen at generation 7 that never rolled.
pub(crate) const QUIET: Record = Record {
    generation: 7,
    template: TemplateDigest::NOTHING,
    replicas: Some(3),
    rolled: Rolled::Never,
    scaled: Rolled::Never,
    recent: Recent::new(),
};
static SEEN_QUIET: Record = QUIET;

/// The Deployment a Scale is of.
static QUIET_PARENT: LazyLock<[RelatedObject; 1]> = LazyLock::new(|| {
    [RelatedObject {
        generation: Some(7),
        record: Some(QUIET),
        ..relative(Relation::Parent, "apps", "Deployment")
    }]
});

/// Facts about a workload that never changed, and of which nothing was announced.
pub(crate) fn facts(policies: &[Applied]) -> Facts<'_> {
    Facts {
        policies,
        selecting: &[],
        watched: Watched::Seen(&SEEN_QUIET),
        namespace: None,
        revisions: Revisions::NotAsked,
        related: Related::Known { objects: &*QUIET_PARENT, newest_pod: None },
        whole: Whole::NotAsked,
        exceptions: &[],
        dry_run: false,
        warrants: Warrants::Known(&[]),
        approvals: Approvals::Known(&[]),
        origin: Origin::NotAsked,
        approval_expiry: SignedDuration::from_secs(900),
    }
}

/// An object that the one under review belongs to, of which nothing is known.
pub(crate) fn relative(relation: Relation, group: &str, kind: &str) -> RelatedObject {
    RelatedObject {
        relation,
        group: group.to_owned(),
        kind: kind.to_owned(),
        name: "web".to_owned(),
        uid: "u1".to_owned(),
        labels: Some(BTreeMap::new()),
        generation: None,
        created: None,
        record: None,
    }
}

/// A write of the number on the object itself.
pub(crate) fn replicas(old: i64, new: i64) -> Write {
    let object = |n: i64| deployment(&format!(r#"{{"replicas":{n}}}"#));
    Write::update("", &object(old), &object(new))
}

/// The verdict, where nothing is missing to reach it.
pub(crate) fn verdict_with(write: &Write, subject: &Subject, facts: &Facts<'_>) -> Verdict {
    match judge(&write.change(), subject, facts, now()) {
        Judgement::Final(verdict) => verdict,
        Judgement::Needs(needs) => panic!("{needs:?}"),
    }
}

/// The verdict of the shipped policies on a workload that never rolled.
pub(crate) fn verdict(write: &Write, subject: &Subject) -> Verdict {
    verdict_with(write, subject, &facts(&shipped_policies()))
}

/// The rules that refused, in the order of the causes.
pub(crate) fn refused(write: &Write, subject: &Subject) -> Vec<Rule> {
    verdict(write, subject)
        .denial()
        .map(|d| d.causes.iter().map(|c| c.rule).collect())
        .unwrap_or_default()
}

/// The rules that refused with the path each means.
pub(crate) fn paths(write: &Write, subject: &Subject) -> Vec<String> {
    verdict(write, subject)
        .denial()
        .map(|d| d.causes.iter().map(|c| format!("{} {}", c.rule, c.path)).collect())
        .unwrap_or_default()
}

/// The one container of [`pods`], as other writes leave it.
pub(crate) const CONTAINER: &str = r#"{"name":"web","image":"shop:1"}"#;

/// A Deployment with these containers.
pub(crate) fn pods(containers: &str) -> String {
    with_template(&format!(r#"{{"spec":{{"containers":[{containers}]}}}}"#))
}

/// An update that puts this into the pod spec beside its one container.
pub(crate) fn adds(field: &str) -> Write {
    let new = format!(r#"{{"spec":{{"containers":[{CONTAINER}],{field}}}}}"#);
    Write::update("", &pods(CONTAINER), &with_template(&new))
}

/// A restart as kubectl makes it.
pub(crate) fn restart() -> Write {
    let new = format!(
        r#"{{"metadata":{{"annotations":{{"kubectl.kubernetes.io/restartedAt":"x"}}}},"spec":{{"containers":[{CONTAINER}]}}}}"#
    );
    Write::update("", &pods(CONTAINER), &with_template(&new))
}
