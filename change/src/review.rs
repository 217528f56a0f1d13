//! A review as the guard sees it: what is asked, of what, and what differs. Read once from borrowed bytes; whatever
//! cannot be read is an error here and never a guess later.

use std::borrow::Cow;

use crate::context::Context;
use crate::diff::{self, Differences};
use crate::images::{self, ImageChange};
use crate::raw::{self, Error, Object};
use crate::request::{Kind, Operation, Request, Resource};

/// What is read of an object's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata<'a> {
    /// Its uid; for a Scale, its Deployment's. Empty where none is given.
    pub uid: Cow<'a, str>,
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
        let kind = request.resource.kind();
        let mut change = Self {
            request,
            kind,
            old: None,
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
mod tests;
