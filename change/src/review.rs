//! A review as the guard sees it: what is asked, of what, and what differs. Read once from borrowed bytes; whatever
//! cannot be read is an error here and never a guess later.

use std::borrow::Cow;

use crate::context::Context;
use crate::diff::{self, Differences};
use crate::images::{self, ImageChange};
use crate::raw::{self, Error, Object};

/// What a request does to the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// It comes into being.
    Create,
    /// It changes, whether by PUT, patch or apply.
    Update,
    /// It goes.
    Delete,
    /// A stream is opened to it (exec, attach, port-forward, proxy).
    Connect,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 4] = [Self::Create, Self::Update, Self::Delete, Self::Connect];

    /// The name reviews and policies use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }

    /// The operation of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.as_str() == name)
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which resource is written, as the review's `resource` and `subResource` name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource<'a> {
    /// Empty for the core group.
    pub group: &'a str,
    /// `v1` and the like; no judgement depends on it.
    pub version: &'a str,
    /// Plural, lower case.
    pub resource: &'a str,
    /// Empty for the object itself.
    pub subresource: &'a str,
}

impl std::fmt::Display for Resource<'_> {
    /// `deployments.apps/scale`, `pods/exec`, `configmaps`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if !self.subresource.is_empty() {
            write!(f, "/{}", self.subresource)?;
        }
        Ok(())
    }
}

/// The kinds whose content rules know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// apps Deployment.
    Deployment,
    /// The Scale of an apps Deployment.
    DeploymentScale,
    /// autoscaling HorizontalPodAutoscaler.
    HorizontalPodAutoscaler,
    /// Any other.
    Other,
}

/// The parts of a review a change is read from, all borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What is done.
    pub operation: Operation,
    /// To which resource.
    pub resource: Resource<'a>,
    /// Where; `None` for cluster-scoped kinds.
    pub namespace: Option<&'a str>,
    /// Its name; empty where the server will generate one.
    pub name: &'a str,
    /// The JSON text of `oldObject`; `null` counts as none.
    pub old: Option<&'a str>,
    /// The JSON text of `object`; `null` counts as none.
    pub new: Option<&'a str>,
}

/// What is read of an object's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata<'a> {
    /// Its uid; for a Scale, its Deployment's. Empty where none is given.
    pub uid: Cow<'a, str>,
    /// Its resourceVersion; for a Scale, its Deployment's. Empty where none is given.
    pub resource_version: Cow<'a, str>,
    /// Its generation; a Scale has none.
    pub generation: Option<i64>,
    /// RFC 3339.
    pub creation_timestamp: Option<Cow<'a, str>>,
    /// Whether it is being deleted.
    pub is_deleting: bool,
}

/// The number of replicas before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicasChange {
    /// Before; `None` on CREATE.
    pub old: Option<i64>,
    /// After; `None` on DELETE.
    pub new: Option<i64>,
}

/// The bounds of a HorizontalPodAutoscaler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// `spec.minReplicas`, 1 where absent.
    pub min: i64,
    /// `spec.maxReplicas`.
    pub max: i64,
}

/// The bounds of a HorizontalPodAutoscaler before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoundsChange {
    /// Before; `None` on CREATE.
    pub old: Option<Bounds>,
    /// After; `None` on DELETE.
    pub new: Option<Bounds>,
}

/// A write under review: what is asked and what differs.
#[derive(Debug, Clone)]
pub struct Change<'a> {
    request: Request<'a>,
    kind: Kind,
    old: Option<Metadata<'a>>,
    new: Option<Metadata<'a>>,
    differences: Differences<'a>,
    replicas: Option<ReplicasChange>,
    bounds: Option<BoundsChange>,
    images: Vec<ImageChange>,
    has_spec: bool,
}

const POD_SPEC: [&str; 3] = ["spec", "template", "spec"];

impl<'a> Change<'a> {
    /// Reads the change a review asks for.
    ///
    /// # Errors
    /// Where a text is no JSON object, a key stands twice, an object the operation carries is missing, or a field
    /// that rules read holds what it may not.
    pub fn read(request: Request<'a>) -> Result<Self, Error> {
        let kind = kind_of(&request.resource);
        let mut change = Self {
            request,
            kind,
            old: None,
            new: None,
            differences: Differences::default(),
            replicas: None,
            bounds: None,
            images: Vec::new(),
            has_spec: false,
        };
        let (old, new) = match request.operation {
            // The object of CONNECT is its options, not the thing connected to.
            Operation::Connect => return Ok(change),
            Operation::Create => (None, Some(required(request.new, "object")?)),
            Operation::Update => {
                (Some(required(request.old, "oldObject")?), Some(required(request.new, "object")?))
            }
            Operation::Delete => (optional(request.old)?, None),
        };
        change.old = old.as_ref().map(metadata).transpose()?;
        change.new = new.as_ref().map(metadata).transpose()?;
        change.has_spec = new.as_ref().is_some_and(|object| object.get("spec").is_some());
        if let (Some(old), Some(new)) = (&old, &new) {
            let status = request.resource.subresource == "status";
            change.differences = diff::between(old, new, Context::Root { status })?;
            if kind == Kind::Deployment && change.differences.touches_template() {
                change.images = images::between(&pod_spec(old)?, &pod_spec(new)?, &POD_SPEC)?;
            }
        }
        change.read_numbers(old.as_ref(), new.as_ref())?;
        Ok(change)
    }

    fn read_numbers(
        &mut self,
        old: Option<&Object<'a>>,
        new: Option<&Object<'a>>,
    ) -> Result<(), Error> {
        match self.kind {
            Kind::Deployment | Kind::DeploymentScale => {
                // The API server fills in 1 for a Deployment; a Scale omits its number when it is 0.
                let absent = i64::from(self.kind == Kind::Deployment);
                let read = |object| replicas(object, absent);
                let (old, new) = (old.map(read).transpose()?, new.map(read).transpose()?);
                self.replicas = Some(ReplicasChange { old, new });
            }
            Kind::HorizontalPodAutoscaler => {
                let (old, new) = (old.map(bounds).transpose()?, new.map(bounds).transpose()?);
                self.bounds = Some(BoundsChange { old, new });
            }
            Kind::Other => {}
        }
        Ok(())
    }

    /// What is done.
    pub fn operation(&self) -> Operation {
        self.request.operation
    }

    /// To which resource.
    pub fn resource(&self) -> Resource<'a> {
        self.request.resource
    }

    /// Which of the kinds that rules know.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where; `None` for cluster-scoped kinds.
    pub fn namespace(&self) -> Option<&'a str> {
        self.request.namespace
    }

    /// The object's name; empty where the server will generate one.
    pub fn name(&self) -> &'a str {
        self.request.name
    }

    /// Metadata before the write.
    pub fn old(&self) -> Option<&Metadata<'a>> {
        self.old.as_ref()
    }

    /// Metadata after the write.
    pub fn new_metadata(&self) -> Option<&Metadata<'a>> {
        self.new.as_ref()
    }

    /// What differs between old and new object; nothing for operations that do not have both.
    pub fn differences(&self) -> &Differences<'a> {
        &self.differences
    }

    /// The number of replicas, for a Deployment and its Scale.
    pub fn replicas(&self) -> Option<ReplicasChange> {
        self.replicas
    }

    /// The bounds, for a HorizontalPodAutoscaler.
    pub fn bounds(&self) -> Option<BoundsChange> {
        self.bounds
    }

    /// Whether the write makes a new ReplicaSet: the two templates differ.
    pub fn rolls_pods(&self) -> bool {
        self.kind == Kind::Deployment && self.differences.touches_template()
    }

    /// The images that come, go or move with an update of a Deployment.
    pub fn images(&self) -> &[ImageChange] {
        &self.images
    }

    /// Whether the new object has a `spec` to write into.
    pub fn has_spec(&self) -> bool {
        self.has_spec
    }

    /// Whether the object is being deleted and only its metadata changes, as when a finaliser lets go.
    pub fn is_finalising(&self) -> bool {
        self.old.as_ref().is_some_and(|old| old.is_deleting)
            && !self.differences.is_truncated()
            && self.differences.listed().iter().all(|d| d.path.starts_with(&["metadata"]))
    }
}

fn kind_of(resource: &Resource<'_>) -> Kind {
    match (resource.group, resource.resource, resource.subresource) {
        ("apps", "deployments", "") => Kind::Deployment,
        ("apps", "deployments", "scale") => Kind::DeploymentScale,
        ("autoscaling", "horizontalpodautoscalers", "") => Kind::HorizontalPodAutoscaler,
        _ => Kind::Other,
    }
}

fn optional(text: Option<&str>) -> Result<Option<Object<'_>>, Error> {
    text.map(str::trim).filter(|text| *text != "null").map(Object::read).transpose()
}

fn required<'a>(text: Option<&'a str>, what: &'static str) -> Result<Object<'a>, Error> {
    optional(text)?.ok_or(Error::Missing(what))
}

fn metadata<'a>(object: &Object<'a>) -> Result<Metadata<'a>, Error> {
    let metadata = object.object("metadata")?;
    Ok(Metadata {
        uid: metadata.string("uid")?.unwrap_or_default(),
        resource_version: metadata.string("resourceVersion")?.unwrap_or_default(),
        generation: metadata
            .get("generation")
            .map(|text| raw::integer(text, "metadata.generation"))
            .transpose()?,
        creation_timestamp: metadata.string("creationTimestamp")?,
        is_deleting: metadata.get("deletionTimestamp").is_some(),
    })
}

fn pod_spec<'a>(object: &Object<'a>) -> Result<Object<'a>, Error> {
    object.object("spec")?.object("template")?.object("spec")
}

fn replicas(object: &Object<'_>, absent: i64) -> Result<i64, Error> {
    match object.object("spec")?.get("replicas") {
        Some(text) => raw::integer(text, "spec.replicas"),
        None => Ok(absent),
    }
}

fn bounds(object: &Object<'_>) -> Result<Bounds, Error> {
    let spec = object.object("spec")?;
    let number = |key, field| spec.get(key).map(|text| raw::integer(text, field)).transpose();
    Ok(Bounds {
        min: number("minReplicas", "spec.minReplicas")?.unwrap_or(1),
        max: number("maxReplicas", "spec.maxReplicas")?
            .ok_or_else(|| Error::field("spec.maxReplicas", "absent", "a whole number"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPLOYMENTS: Resource<'_> =
        Resource { group: "apps", version: "v1", resource: "deployments", subresource: "" };

    fn read<'a>(
        resource: Resource<'a>,
        operation: Operation,
        old: Option<&'a str>,
        new: Option<&'a str>,
    ) -> Result<Change<'a>, Error> {
        let request = Request { operation, resource, namespace: Some("ns"), name: "web", old, new };
        Change::read(request)
    }

    fn update<'a>(subresource: &'a str, old: &'a str, new: &'a str) -> Result<Change<'a>, Error> {
        let resource = Resource { subresource, ..DEPLOYMENTS };
        read(resource, Operation::Update, Some(old), Some(new))
    }

    #[test]
    fn an_absent_number_is_zero_for_a_scale_and_one_for_a_deployment() {
        for (subresource, spec, expected) in [
            ("scale", r#"{"spec":{}}"#, 0),
            ("scale", "{}", 0),
            ("", r#"{"spec":{}}"#, 1),
            ("", r#"{"spec":{"replicas":null}}"#, 1),
            ("", r#"{"spec":{"replicas":0}}"#, 0),
        ] {
            let change = update(subresource, r#"{"spec":{"replicas":3}}"#, spec).unwrap();
            let replicas = ReplicasChange { old: Some(3), new: Some(expected) };
            assert_eq!(change.replicas(), Some(replicas), "{subresource} {spec}");
        }
    }

    #[test]
    fn a_number_that_is_none_is_an_error() {
        for text in ["1.5", "\"3\"", "99999999999999999999", "{}", "[3]"] {
            let new = format!(r#"{{"spec":{{"replicas":{text}}}}}"#);
            assert!(update("", "{}", &new).is_err(), "{text}");
        }
    }

    #[test]
    fn rolling_pods_is_any_difference_of_the_templates() {
        let of = |template: &str| format!(r#"{{"spec":{{"template":{template}}}}}"#);
        let plain = of(r#"{"spec":{"containers":[{"name":"a"}]}}"#);
        let stamped =
            of(r#"{"metadata":{"annotations":{"x":"1"}},"spec":{"containers":[{"name":"a"}]}}"#);
        let same = of(r#"{"metadata":{"annotations":{}},"spec":{"containers":[{"name":"a"}]}}"#);
        assert!(update("", &plain, &stamped).unwrap().rolls_pods());
        assert!(!update("", &plain, &same).unwrap().rolls_pods());
        assert!(
            !update("", r#"{"spec":{"replicas":1}}"#, r#"{"spec":{"replicas":2}}"#)
                .unwrap()
                .rolls_pods()
        );
    }

    #[test]
    fn pods_roll_even_where_the_difference_is_beyond_what_is_listed() {
        let labels: Vec<_> = (0..400).map(|i| format!(r#""k{i}":"v""#)).collect();
        let new = format!(
            r#"{{"metadata":{{"labels":{{{}}}}},"spec":{{"template":{{"x":1}}}}}}"#,
            labels.join(",")
        );
        let change = update("", "{}", &new).unwrap();
        assert!(change.differences().is_truncated());
        assert!(change.rolls_pods());
    }

    #[test]
    fn an_update_without_its_old_object_is_an_error() {
        let error = read(DEPLOYMENTS, Operation::Update, Some("null"), Some("{}")).unwrap_err();
        assert_eq!(error, Error::Missing("oldObject"));
    }

    #[test]
    fn garbage_is_an_error_and_never_a_guess() {
        for text in ["", "[]", "3", "{", r#"{"spec":7}"#, r#"{"metadata":"x"}"#] {
            assert!(update("", "{}", text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_finaliser_that_lets_go_is_told_from_an_edit_of_a_dying_object() {
        let old = r#"{"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["a/b"]},"spec":{"replicas":1}}"#;
        let freed =
            r#"{"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z"},"spec":{"replicas":1}}"#;
        let scaled =
            r#"{"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z"},"spec":{"replicas":9}}"#;
        assert!(update("", old, freed).unwrap().is_finalising());
        assert!(!update("", old, scaled).unwrap().is_finalising());
    }

    #[test]
    fn an_autoscaler_without_a_minimum_has_one() {
        let autoscalers = Resource {
            group: "autoscaling",
            version: "v2",
            resource: "horizontalpodautoscalers",
            subresource: "",
        };
        let new = r#"{"spec":{"maxReplicas":5}}"#;
        let change = read(autoscalers, Operation::Create, None, Some(new)).unwrap();
        let bounds = BoundsChange { old: None, new: Some(Bounds { min: 1, max: 5 }) };
        assert_eq!(change.bounds(), Some(bounds));
    }
}
