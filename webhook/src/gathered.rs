//! What was read for one review because its judgement lacked it: relatives, revisions, the whole object, what may have
//! announced it, who approved that and what a rollback brings back. Each is read at most once; what could not be read in time is as much an answer as what was.

use jiff::Timestamp;
use smartops_change::{Change, Resource};
use smartops_common::approval::RemediationApproval;
use smartops_common::remediation::Remediation;
use smartops_guard::history::WorkloadKind;
use smartops_guard::{
    Approvals, Needs, Origin, Related, Relation, Revisions, Warrants, Whole, is_of_target,
    may_be_warrant, origin,
};
use smartops_process::client::Error;
use tokio::time::Instant;

use crate::history::Histories;
use crate::live::{self, Live, Revisioned};
use crate::relatives::{self, Relatives};

/// What was read so far.
#[derive(Debug, Default)]
pub struct Gathered {
    relatives: Part<Relatives>,
    revisions: Part<Vec<Timestamp>>,
    whole: Part<String>,
    warrants: Part<Vec<Remediation>>,
    approvals: Part<Vec<RemediationApproval>>,
    origin: Part<Option<String>>,
}

/// One thing to be read.
#[derive(Debug, Default)]
enum Part<T> {
    #[default]
    NotAsked,
    Read(T),
    /// It was not to be had.
    Unavailable,
}

/// From where it is read, and until when.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The API server.
    pub live: &'a Live,
    /// What was observed.
    pub histories: &'a Histories,
    /// No read begins or lasts beyond it.
    pub until: Instant,
    /// The review's uid, for the log.
    pub uid: &'a str,
}

impl Gathered {
    /// Reads what is lacking of it.
    pub async fn gather(&mut self, change: &Change<'_>, needs: Needs, from: Sources<'_>) {
        let Sources { live, histories, until, .. } = from;
        if needs.related && self.relatives.is_due() {
            let read = relatives::read(change, live, histories, until).await;
            self.relatives = Part::of("relatives", from, read);
        }
        if needs.whole && self.whole.is_due() {
            let Resource { group, version, resource, .. } = change.resource();
            let resource = live::resource(group, version, "", resource);
            let namespace = change.namespace().unwrap_or_default();
            let read = live.text(&resource, namespace, change.name(), until).await;
            self.whole = Part::of("object", from, read);
        }
        if needs.revisions && self.revisions.is_due() {
            let read = self.read_revisions(change, live, until).await;
            self.revisions = Part::of("revisions", from, read);
        }
        if needs.warrants && self.warrants.is_due() {
            let read = match (change.namespace(), change.old()) {
                (Some(namespace), Some(old)) if is_of_target(change) => {
                    live.executing(namespace, Some(&old.uid), until).await
                }
                (Some(namespace), _) => live.executing(namespace, None, until).await,
                (None, _) => Ok(None),
            };
            self.warrants = Part::of("remediations", from, read);
        }
        if needs.origin && self.origin.is_due() {
            let read = self.read_origin(change, live, until).await;
            self.origin = Part::of("replica set", from, read);
        }
        if needs.approvals && self.approvals.is_due() {
            let read = self.read_approvals(change, live, until).await;
            self.approvals = Part::of("approvals", from, read);
        }
    }

    /// Every approval of what may have announced the write, which is one Remediation however many are Executing, unless
    /// two have recorded the same version.
    async fn read_approvals(
        &self,
        change: &Change<'_>,
        live: &Live,
        until: Instant,
    ) -> Result<Option<Vec<RemediationApproval>>, Error> {
        let namespace = change.namespace().unwrap_or_default();
        let mut approvals = Vec::new();
        let announced = self.warrants.get().into_iter().flatten();
        for remediation in announced.filter(|remediation| may_be_warrant(change, remediation)) {
            let uid = remediation.metadata.uid.as_deref().unwrap_or_default();
            match live.approvals(namespace, uid, until).await? {
                Some(more) => approvals.extend(more),
                None => return Ok(None),
            }
        }
        Ok(Some(approvals))
    }

    /// The ReplicaSet that a rollback brings back, which one Remediation may have announced.
    async fn read_origin(
        &self,
        change: &Change<'_>,
        live: &Live,
        until: Instant,
    ) -> Result<Option<Option<String>>, Error> {
        let announced = self.warrants.get().into_iter().flatten();
        let mut announced = announced.filter(|remediation| may_be_warrant(change, remediation));
        let (Some(name), Some(namespace)) = (announced.find_map(origin), change.namespace()) else {
            return Ok(None);
        };
        let sets = live::resource("apps", "v1", "ReplicaSet", "replicasets");
        live.text(&sets, namespace, name, until).await.map(Some)
    }

    /// When the revisions were made of the workload under review, or of the relative whose past matters.
    async fn read_revisions(
        &self,
        change: &Change<'_>,
        live: &Live,
        until: Instant,
    ) -> Result<Option<Vec<Timestamp>>, Error> {
        let Some(namespace) = change.namespace() else { return Ok(None) };
        // Of a Scale the uid is its object's.
        let Resource { group, resource, .. } = change.resource();
        let own = WorkloadKind::of(group, resource).zip(change.old());
        let own = own.map(|(kind, old)| (kind, change.name().to_owned(), old.uid.to_string()));
        let relatives = self.relatives.get().into_iter();
        let mut relatives = relatives.flat_map(|r| &r.objects);
        let related = relatives.find_map(|object| {
            let is_above = matches!(object.relation, Relation::Parent | Relation::Owner);
            let mut kinds = WorkloadKind::ALL.into_iter().filter(|_| is_above);
            let is_it = |kind: &WorkloadKind| {
                kind.group() == object.group && kind.to_string() == object.kind
            };
            Some((kinds.find(is_it)?, object.name.clone(), object.uid.clone()))
        });
        let Some((kind, name, uid)) = own.or(related) else { return Ok(None) };
        match Revisioned::of(kind) {
            Some(kind) => live.revisions(kind, namespace, &name, &uid, until).await,
            // Of its kind none are kept.
            None => Ok(Some(Vec::new())),
        }
    }

    /// As the judgement takes it; `known` is what was known without a read.
    pub fn related<'a>(&'a self, known: Option<&'a Relatives>) -> Related<'a> {
        match (known.or_else(|| self.relatives.get()), &self.relatives) {
            (Some(Relatives { objects, newest_pod, .. }), _) => {
                Related::Known { objects, newest_pod: *newest_pod }
            }
            (None, Part::NotAsked) => Related::NotAsked,
            (None, Part::Read(_) | Part::Unavailable) => Related::Unavailable,
        }
    }

    /// As the judgement takes it.
    pub fn revisions(&self) -> Revisions<'_> {
        match &self.revisions {
            Part::NotAsked => Revisions::NotAsked,
            Part::Read(revisions) => Revisions::Listed(revisions),
            Part::Unavailable => Revisions::Unavailable,
        }
    }

    /// As the judgement takes it.
    pub fn whole(&self) -> Whole<'_> {
        match &self.whole {
            Part::NotAsked => Whole::NotAsked,
            Part::Read(text) => Whole::Known(text),
            Part::Unavailable => Whole::Unavailable,
        }
    }

    /// As the judgement takes it.
    pub fn warrants(&self) -> Warrants<'_> {
        match &self.warrants {
            Part::NotAsked => Warrants::NotAsked,
            Part::Read(remediations) => Warrants::Known(remediations),
            Part::Unavailable => Warrants::Unavailable,
        }
    }

    /// As the judgement takes it.
    pub fn origin(&self) -> Origin<'_> {
        match &self.origin {
            Part::NotAsked => Origin::NotAsked,
            Part::Read(set) => Origin::Known(set.as_deref()),
            Part::Unavailable => Origin::Unavailable,
        }
    }

    /// As the judgement takes it.
    pub fn approvals(&self) -> Approvals<'_> {
        match &self.approvals {
            Part::NotAsked => Approvals::NotAsked,
            Part::Read(approvals) => Approvals::Known(approvals),
            Part::Unavailable => Approvals::Unavailable,
        }
    }
}

impl<T> Part<T> {
    /// What was read; an error is told, and is nothing.
    fn of(what: &str, from: Sources<'_>, read: Result<Option<T>, Error>) -> Self {
        match read {
            Ok(Some(read)) => Self::Read(read),
            Ok(None) => Self::Unavailable,
            Err(error) => {
                let reason = reason(&error);
                tracing::warn!(uid = from.uid, what, reason, %error, "what a review lacks cannot be read");
                Self::Unavailable
            }
        }
    }

    fn is_due(&self) -> bool {
        matches!(self, Self::NotAsked)
    }

    fn get(&self) -> Option<&T> {
        match self {
            Self::Read(read) => Some(read),
            Self::NotAsked | Self::Unavailable => None,
        }
    }
}

/// Why a read brought nothing, in one word for whoever looks after it: what is forbidden stays so until a role is
/// changed, what came too late may be there the next time.
fn reason(error: &Error) -> &'static str {
    match (error, error.code()) {
        (_, Some(401 | 403)) => "forbidden",
        (_, Some(_)) => "refused",
        (Error::Deadline { .. }, _) => "too late",
        _ => "unreachable",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kube::core::Status;
    use serde_json::json;
    use smartops_change::{Operation, Request};
    use smartops_process::metrics::Metrics;

    use super::*;
    use crate::live::tests::{Server, pod, soon};
    use crate::metrics::WebhookMetrics;

    #[tokio::test]
    async fn the_revisions_of_a_scale_are_its_objects_and_where_none_are_kept_there_are_none() {
        let shop = |plural: &str| format!("/apis/apps/v1/namespaces/shop/{plural}");
        let server = Server::default()
            .object(&shop("deployments/web"), json!({"metadata": {"name": "web", "uid": "d"}}))
            .list(&shop("replicasets"), vec![pod("d", 7), pod("another", 9)]);
        let metrics = WebhookMetrics::new(&Metrics::new("webhook").unwrap()).unwrap();
        let (live, histories) = (server.live(), Histories::new(metrics));
        let scale = r#"{"metadata":{"name":"web","uid":"d"},"spec":{"replicas":3}}"#;
        let made = ["2026-01-01T12:00:07Z".parse::<Timestamp>().unwrap()];
        for (group, resource, expected) in [
            ("apps", "deployments", Some(&made[..])),
            ("", "replicationcontrollers", Some(&[][..])),
            ("apps", "statefulsets", None),
        ] {
            let resource = Resource { group, version: "v1", resource, subresource: "scale" };
            let (operation, namespace, name) = (Operation::Update, Some("shop"), "web");
            let (old, new) = (Some(scale), Some(scale));
            let change = Change::read(Request { operation, resource, namespace, name, old, new });
            let from = Sources { live: &live, histories: &histories, until: soon(), uid: "u" };
            let mut gathered = Gathered::default();
            let needs = Needs { revisions: true, ..Needs::default() };
            gathered.gather(&change.unwrap(), needs, from).await;
            let listed = match gathered.revisions() {
                Revisions::Listed(listed) => Some(listed),
                Revisions::NotAsked | Revisions::Unavailable => None,
            };
            assert_eq!(listed, expected, "{}", resource.resource);
        }
    }

    #[tokio::test]
    async fn approvals_are_read_of_what_may_have_announced_the_write_and_once_each() {
        let own = |plural: &str| format!("/apis/smartops.dev/v1alpha1/namespaces/shop/{plural}");
        let remediation = |uid: &str, version: &str, result: Option<&str>| {
            let target = json!({"uid": "d", "generation": 7, "resourceVersion": version});
            json!({
                "metadata": {"name": uid, "namespace": "shop", "uid": uid},
                "spec": {
                    "target": {"kind": "Deployment", "name": "web", "uid": "d"},
                    "action": {"type": "restart"}, "cause": "c", "source": "user",
                },
                "status": {"phase": "Executing", "attempts": [{
                    "number": 1, "kind": "Apply", "target": target, "result": result,
                    "intent": {"type": "restart", "restartedAt": "t"}, "former": {"replicas": 1},
                    "leader": "pod/1", "startedAt": "2026-01-01T12:00:00Z",
                    "deadline": "2026-01-01T12:01:00Z",
                }]},
            })
        };
        let remediations = vec![
            remediation("waiting", "41", Some("Failed")),
            remediation("older", "40", None),
            remediation("r1", "41", None),
        ];
        let server = Server::default()
            .list(&own("remediations"), remediations)
            .list(&own("remediationapprovals"), vec![]);
        let metrics = WebhookMetrics::new(&Metrics::new("webhook").unwrap()).unwrap();
        let (live, histories) = (server.live(), Histories::new(metrics));
        let metadata = r#"{"name":"web","uid":"d","resourceVersion":"41"}"#;
        let scale = format!(r#"{{"metadata":{metadata},"spec":{{"replicas":3}}}}"#);
        let scale = scale.as_str();
        let resource = Resource {
            group: "apps",
            version: "v1",
            resource: "deployments",
            subresource: "scale",
        };
        let (operation, namespace, name) = (Operation::Update, Some("shop"), "web");
        let (old, new) = (Some(scale), Some(scale));
        let change = Change::read(Request { operation, resource, namespace, name, old, new });
        let change = change.unwrap();
        let from = Sources { live: &live, histories: &histories, until: soon(), uid: "u" };
        let mut gathered = Gathered::default();
        assert!(matches!(gathered.warrants(), Warrants::NotAsked));
        let warrants = Needs { warrants: true, ..Needs::default() };
        gathered.gather(&change, warrants, from).await;
        assert!(matches!(gathered.warrants(), Warrants::Known([_, _, _])));
        let both = Needs { approvals: true, ..warrants };
        gathered.gather(&change, both, from).await;
        gathered.gather(&change, both, from).await;
        assert!(matches!(gathered.approvals(), Approvals::Known([])));
        let asked = server.asked();
        assert_eq!(asked.len(), 2, "{asked:?}");
        assert!(asked[1].contains("spec.remediation.uid%3Dr1"), "{asked:?}");
    }

    #[test]
    fn what_is_forbidden_is_told_from_what_came_too_late() {
        let answered = |code| {
            let status = Box::new(Status { code, ..Status::default() });
            Error::Call { what: "reading", source: Box::new(kube::Error::Api(status)) }
        };
        let late = Error::Deadline { what: "reading", limit: Duration::from_secs(1) };
        for (error, expected) in [
            (answered(403), "forbidden"),
            (answered(401), "forbidden"),
            (answered(500), "refused"),
            (late, "too late"),
        ] {
            assert_eq!(reason(&error), expected, "{error}");
        }
    }
}
