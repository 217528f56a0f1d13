//! What the object under review belongs to or speaks for, read live: the object a subresource is of, the owners of
//! either, the target of an autoscaler. Which of it matters is the guard's.

use jiff::Timestamp;
use kube::api::ObjectMeta;
use kube::core::{ApiResource, Selector};
use smartops_change::{Change, Kind, Operation, Resource};
use smartops_guard::history::newest_replacement;
use smartops_guard::policy::ends_a_pod;
use smartops_guard::{RelatedObject, Relation};
use smartops_process::client::Error;
use tokio::time::Instant;

use crate::history::{Histories, Parent};
use crate::live::{Live, resource};

/// The longest chain of owners that is climbed: a pod, its ReplicaSet, its Deployment.
const HIGHEST: usize = 3;

/// Kinds whose plural and version are known from their name, as owners and targets are named.
const KNOWN: [(&str, &str, &str, &str); 8] = [
    ("apps", "v1", "Deployment", "deployments"),
    ("apps", "v1", "StatefulSet", "statefulsets"),
    ("apps", "v1", "DaemonSet", "daemonsets"),
    ("apps", "v1", "ReplicaSet", "replicasets"),
    ("", "v1", "ReplicationController", "replicationcontrollers"),
    ("", "v1", "Pod", "pods"),
    ("batch", "v1", "Job", "jobs"),
    ("batch", "v1", "CronJob", "cronjobs"),
];

/// The kind a resource is of, where that is known; else empty.
pub(crate) fn kind_of(group: &str, plural: &str) -> &'static str {
    let known = KNOWN.iter().find(|(g, _, _, p)| *g == group && *p == plural);
    known.map_or("", |(_, _, kind, _)| kind)
}

/// What was read.
#[derive(Debug, Default)]
pub struct Relatives {
    /// The objects, nearest first.
    pub objects: Vec<RelatedObject>,
    /// Where a pod is about to end: when a pod of its controller last took the place of another.
    pub newest_pod: Option<Timestamp>,
}

/// An object to be read.
struct Named {
    relation: Relation,
    resource: ApiResource,
    name: String,
    uid: Option<String>,
}

/// Reads all relatives of the object under review; `None` where they are too many.
pub async fn read(
    change: &Change<'_>,
    live: &Live,
    histories: &Histories,
    until: Instant,
) -> Result<Option<Relatives>, Error> {
    let Some(namespace) = change.namespace() else { return Ok(Some(Relatives::default())) };
    let reader = Reader { live, histories, namespace, until };
    let mut relatives = Relatives::default();
    let mut pod = None;
    for next in first(change) {
        reader.climb(next, &mut relatives, &mut pod).await?;
    }
    relatives.add_predecessor(change, histories);
    if ends_a_pod(change) {
        let Some(pods) = reader.siblings(change, pod.as_ref(), &relatives).await? else {
            return Ok(None);
        };
        let owners = || relatives.objects.iter().filter(|o| o.relation == Relation::Owner);
        let made = owners().next().and_then(|owner| owner.created);
        let workload = owners().find_map(|owner| owner.record.as_ref());
        relatives.newest_pod = newest_replacement(pods, made, workload);
    }
    Ok(Some(relatives))
}

/// The relatives that what is watched tells for certain: the object of a Scale that is of exactly the version seen,
/// those that would adopt what nobody owns, and what was deleted under the name of what comes into being.
pub fn known(change: &Change<'_>, histories: &Histories) -> Option<Relatives> {
    let asked = change.resource();
    if change.kind() == Kind::Scale {
        let old = change.old()?;
        let parent = histories.parent(&old.uid)?;
        let is_it =
            *parent.resource_version == *old.resource_version && parent.controller.is_none();
        let mut relatives = Relatives::default();
        relatives.watched(Relation::Parent, &old.uid, &parent, histories);
        return is_it.then_some(relatives);
    }
    let may_be_adopted = matches!(change.kind(), Kind::ReplicaSet | Kind::Pod)
        && asked.subresource.is_empty()
        && change.operation() != Operation::Delete
        && change.controller_after().is_none();
    let is_made_by_itself = change.operation() == Operation::Create
        && asked.subresource.is_empty()
        && first(change).is_empty();
    (may_be_adopted || is_made_by_itself).then(|| {
        let mut relatives = Relatives::default();
        relatives.add_predecessor(change, histories);
        if !may_be_adopted {
            return relatives;
        }
        let sides = [change.labels_before(), change.labels_after()];
        for labels in sides.into_iter().filter_map(|side| side.ok().flatten()) {
            let namespace = change.namespace().unwrap_or_default();
            for (uid, parent) in histories.selecting(namespace, |key| labels.get(key)) {
                relatives.watched(Relation::Adopter, &uid, &parent, histories);
            }
        }
        relatives
    })
}

/// The nearest relatives, told by the review itself.
fn first(change: &Change<'_>) -> Vec<Named> {
    let asked = change.resource();
    if !asked.subresource.is_empty() && !matches!(change.kind(), Kind::Pod) {
        let kind = kind_of(asked.group, asked.resource);
        return vec![Named {
            relation: Relation::Parent,
            resource: resource(asked.group, asked.version, kind, asked.resource),
            name: change.name().to_owned(),
            uid: None,
        }];
    }
    let owner = change.controller().map(|owner| {
        let uid = Some(owner.uid.to_string());
        named(Relation::Owner, &owner.group, &owner.kind, &owner.name, uid)
    });
    let targets = [change.scale_target_before(), change.scale_target_after()];
    let targets = targets
        .into_iter()
        .flatten()
        .map(|target| named(Relation::Target, &target.group, &target.kind, &target.name, None));
    let mut all: Vec<Named> = owner.into_iter().chain(targets).collect();
    all.dedup_by(|a, b| a.resource == b.resource && a.name == b.name && a.relation == b.relation);
    all
}

/// An object named by its kind; one of a kind that is not known has no plural and is not read.
fn named(relation: Relation, group: &str, kind: &str, name: &str, uid: Option<String>) -> Named {
    let known = KNOWN.iter().find(|(g, _, k, _)| *g == group && *k == kind);
    let (version, plural) = known.map_or(("", ""), |(_, version, _, plural)| (version, plural));
    Named { relation, resource: resource(group, version, kind, plural), name: name.to_owned(), uid }
}

struct Reader<'a> {
    live: &'a Live,
    histories: &'a Histories,
    namespace: &'a str,
    until: Instant,
}

impl Reader<'_> {
    /// Reads an object and those that own it.
    async fn climb(
        &self,
        first: Named,
        relatives: &mut Relatives,
        pod: &mut Option<ObjectMeta>,
    ) -> Result<(), Error> {
        let mut next = Some(first);
        for _ in 0..HIGHEST {
            let Some(this) = next.take() else { return Ok(()) };
            if this.resource.plural.is_empty() {
                relatives.add_unknown(this);
                return Ok(());
            }
            let read = self.live.metadata(&this.resource, self.namespace, &this.name, self.until);
            let metadata = read.await?;
            // Another object of the same name is no relative.
            let is_it = |metadata: &ObjectMeta| this.uid.is_none() || metadata.uid == this.uid;
            let Some(metadata) = metadata.filter(is_it) else {
                // An object has what it is a subresource of; what it only names may come into being yet.
                if this.relation != Relation::Parent {
                    relatives.add_unknown(this);
                }
                return Ok(());
            };
            let uid = metadata.uid.clone().unwrap_or_default();
            let relation = this.relation;
            let is_pod = this.resource.plural == "pods";
            relatives.add(this, &metadata, self.histories.record(&uid));
            if relation != Relation::Target {
                let owners = metadata.owner_references.iter().flatten();
                let owner = owners.into_iter().find(|owner| owner.controller == Some(true));
                next = owner.map(|owner| {
                    let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
                    let uid = Some(owner.uid.clone());
                    named(Relation::Owner, group, &owner.kind, &owner.name, uid)
                });
            }
            if is_pod {
                *pod = Some(metadata);
            }
        }
        Ok(())
    }

    /// When the pods were made that share a pod's controller, itself included; `None` where they are too many.
    async fn siblings(
        &self,
        change: &Change<'_>,
        pod: Option<&ObjectMeta>,
        relatives: &Relatives,
    ) -> Result<Option<Vec<Timestamp>>, Error> {
        let mut owners = relatives.objects.iter().filter(|o| o.relation == Relation::Owner);
        let Some(RelatedObject { uid, .. }) = owners.next() else {
            return Ok(Some(Vec::new()));
        };
        let shared = match self.histories.parent(uid) {
            Some(controller) => controller.selector.labels().to_map().into_iter().collect(),
            // Of a deletion the review holds the pod; of an eviction it was read.
            None => match pod {
                Some(pod) => shared(pod.labels.iter().flatten()),
                None => match change.labels_before() {
                    Ok(Some(labels)) => shared(labels.iter()),
                    Ok(None) | Err(_) => Selector::default(),
                },
            },
        };
        self.live.pods(self.namespace, uid, shared, self.until).await
    }
}

/// The label that all pods of a ReplicaSet share, of a pod's labels; without one, all pods of a namespace are looked
/// at.
fn shared<K: AsRef<str>, V: AsRef<str>>(labels: impl Iterator<Item = (K, V)>) -> Selector {
    labels
        .filter(|(key, _)| key.as_ref() == "pod-template-hash")
        .map(|(key, value)| (key.as_ref().to_owned(), value.as_ref().to_owned()))
        .collect()
}

impl Relatives {
    fn watched(&mut self, relation: Relation, uid: &str, parent: &Parent, histories: &Histories) {
        let kind = parent.named.kind;
        self.objects.push(RelatedObject {
            relation,
            group: kind.group().to_owned(),
            kind: kind_of(kind.group(), kind.resource()).to_owned(),
            name: parent.named.name.to_string(),
            uid: uid.to_owned(),
            labels: Some(parent.labels.to_map()),
            generation: Some(parent.generation),
            created: None,
            record: histories.record(uid),
        });
    }

    /// What was deleted under the kind, namespace and name of an object that comes into being.
    fn add_predecessor(&mut self, change: &Change<'_>, histories: &Histories) {
        let Resource { group, resource, subresource, .. } = change.resource();
        let comes_into_being = change.operation() == Operation::Create && subresource.is_empty();
        let Some(namespace) = change.namespace().filter(|_| comes_into_being) else { return };
        let known = KNOWN.iter().find(|(g, _, _, p)| *g == group && *p == resource);
        let predecessor = histories.predecessor(group, resource, namespace, change.name());
        let Some((predecessor, (_, _, kind, _))) = predecessor.zip(known) else { return };
        self.objects.push(RelatedObject {
            relation: Relation::Predecessor,
            group: group.to_owned(),
            kind: (*kind).to_owned(),
            name: change.name().to_owned(),
            uid: predecessor.uid.to_string(),
            labels: predecessor.labels,
            generation: Some(predecessor.record.generation),
            created: None,
            record: Some(predecessor.record),
        });
    }

    /// One of a kind that nobody here reads, or that does not exist: its labels may be any.
    fn add_unknown(&mut self, named: Named) {
        self.objects.push(RelatedObject {
            relation: named.relation,
            group: named.resource.group,
            kind: named.resource.kind,
            name: named.name,
            uid: named.uid.unwrap_or_default(),
            labels: None,
            generation: None,
            created: None,
            record: None,
        });
    }

    fn add(
        &mut self,
        named: Named,
        metadata: &ObjectMeta,
        record: Option<smartops_guard::history::Record>,
    ) {
        self.objects.push(RelatedObject {
            relation: named.relation,
            group: named.resource.group,
            kind: named.resource.kind,
            name: named.name,
            uid: metadata.uid.clone().unwrap_or_default(),
            labels: Some(metadata.labels.clone().unwrap_or_default()),
            generation: metadata.generation,
            created: metadata.creation_timestamp.as_ref().map(|time| time.0),
            record,
        });
    }
}

#[cfg(test)]
mod tests;
