//! A review as the guard sees it: what is asked, of what, and what differs. Read once from borrowed bytes; whatever
//! cannot be read is an error here and never a guess later. What only some rules ask for is read when they ask.

use serde::Deserialize as _;

use crate::context::{Context, Notation};
use crate::diff::{self, Difference, Differences};
use crate::digest::TemplateDigest;
use crate::images::{self, ImageChange, ImageUse};
use crate::kind::Kind;
use crate::metadata::{self, Labels, Metadata, Owner};
use crate::numbers::{self, BoundsChange, NumberPath, ReplicasChange, ScaleTarget};
use crate::path::{Segment, starts_with};
use crate::raw::{Error, Object};
use crate::request::{Operation, Request, Resource};
use crate::resources::{self, ResourceIncrease};

/// A write under review: what is asked and what differs.
#[derive(Debug, Clone)]
pub struct Change<'a> {
    request: Request<'a>,
    kind: Kind,
    before: Option<Object<'a>>,
    after: Option<Object<'a>>,
    old: Option<Metadata<'a>>,
    new: Option<Metadata<'a>>,
    differences: Differences<'a>,
    replicas: Option<ReplicasChange>,
    bounds: Option<BoundsChange>,
    scale_target_before: Option<ScaleTarget<'a>>,
    scale_target_after: Option<ScaleTarget<'a>>,
    images: Vec<ImageChange>,
}

impl<'a> Change<'a> {
    /// Reads the change a review asks for.
    ///
    /// # Errors
    /// Where a text is no JSON object, a key stands twice, an object the operation carries is missing, or a field
    /// that rules read holds what it may not.
    pub fn read(request: Request<'a>) -> Result<Self, Error> {
        let (before, after) = match request.operation {
            // The object of CONNECT is its options, not the thing connected to.
            Operation::Connect => (None, None),
            Operation::Create => (None, Some(required(request.new, "object")?)),
            Operation::Update => {
                (Some(required(request.old, "oldObject")?), Some(required(request.new, "object")?))
            }
            Operation::Delete => (optional(request.old)?, None),
        };
        let metadata = |object: &Object<'a>| metadata::read(&object.object("metadata")?);
        let mut change = Self {
            kind: request.resource.kind(),
            old: before.as_ref().map(metadata).transpose()?,
            new: after.as_ref().map(metadata).transpose()?,
            request,
            before,
            after,
            differences: Differences::default(),
            replicas: None,
            bounds: None,
            scale_target_before: None,
            scale_target_after: None,
            images: Vec::new(),
        };
        change.compare()?;
        change.read_numbers()?;
        Ok(change)
    }

    fn compare(&mut self) -> Result<(), Error> {
        let (Some(old), Some(new)) = (&self.before, &self.after) else { return Ok(()) };
        let status = self.request.resource.subresource == "status";
        let template = self.kind.template().map(|keys| diff::Template {
            keys,
            notation: if self.kind.compares_as_written() {
                Notation::AsWritten
            } else {
                Notation::ByValue
            },
        });
        self.differences = diff::between(old, new, Context::Root { status }, template)?;
        if let Some(at) = self.kind.pod_spec()
            && images::may_differ(&self.differences, at)
        {
            self.images = images::between(&old.object_at(at)?, &new.object_at(at)?, at)?;
        }
        Ok(())
    }

    fn read_numbers(&mut self) -> Result<(), Error> {
        let (old, new) = (self.before.as_ref(), self.after.as_ref());
        if let Some(number) = self.kind.number() {
            let read = |object| numbers::replicas(object, number);
            let (old, new) = (old.map(read).transpose()?, new.map(read).transpose()?);
            self.replicas = Some(ReplicasChange { old, new });
        }
        if self.kind == Kind::HorizontalPodAutoscaler {
            let target = |object| numbers::scale_target(object).transpose();
            self.scale_target_before = old.and_then(target).transpose()?;
            self.scale_target_after = new.and_then(target).transpose()?;
            let (old, new) = (old.map(numbers::bounds), new.map(numbers::bounds));
            self.bounds = Some(BoundsChange { old: old.transpose()?, new: new.transpose()? });
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

    /// The kind of the object, as far as rules know its content.
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

    /// Metadata before the write; `None` where no old object is carried.
    pub fn old(&self) -> Option<&Metadata<'a>> {
        self.old.as_ref()
    }

    /// Metadata after the write; `None` where no new object is carried.
    #[expect(clippy::new_ret_no_self, reason = "the counterpart of `old`, not a constructor")]
    pub fn new(&self) -> Option<&Metadata<'a>> {
        self.new.as_ref()
    }

    /// The JSON text of the object before the write, as sent.
    pub fn old_text(&self) -> Option<&'a str> {
        text(self.request.old)
    }

    /// The JSON text of the object after the write, as sent; of CONNECT, its options.
    pub fn new_text(&self) -> Option<&'a str> {
        text(self.request.new)
    }

    /// The labels before the write; `None` where no old object is carried, or none that has labels of its own.
    ///
    /// # Errors
    /// Where they are no map of strings.
    pub fn labels_before(&self) -> Result<Option<Labels<'a>>, Error> {
        self.labels(self.old.as_ref())
    }

    /// The labels after the write; `None` where no new object is carried, or none that has labels of its own.
    ///
    /// # Errors
    /// Where they are no map of strings.
    pub fn labels_after(&self) -> Result<Option<Labels<'a>>, Error> {
        self.labels(self.new.as_ref())
    }

    /// A Scale says nothing of its parent's labels, and what is created under a subresource (an Eviction, a Binding)
    /// only what its creator likes.
    fn labels(&self, object: Option<&Metadata<'a>>) -> Result<Option<Labels<'a>>, Error> {
        let is_created_below = self.request.operation == Operation::Create
            && !self.request.resource.subresource.is_empty();
        let object = object.filter(|_| self.kind != Kind::Scale && !is_created_below);
        object.map(metadata::labels).transpose()
    }

    /// The object that controls this one: before the write or, where none did, after it.
    pub fn controller(&self) -> Option<&Owner<'a>> {
        self.old.as_ref().and_then(|m| m.controller.as_ref()).or_else(|| self.controller_after())
    }

    /// The object that controls this one after the write.
    pub fn controller_after(&self) -> Option<&Owner<'a>> {
        self.new.as_ref()?.controller.as_ref()
    }

    /// What differs between old and new object; nothing for operations that do not have both.
    pub fn differences(&self) -> &Differences<'a> {
        &self.differences
    }

    /// What differs in annotations that controllers and clients keep their books in, such as the one `kubectl apply`
    /// reads to learn what it may remove: no part of [`Self::differences`]. What the API server itself writes into
    /// such an annotation of this kind is left out.
    pub fn bookkeeping(&self) -> impl Iterator<Item = &Difference<'a>> {
        let is_servers = |difference: &Difference<'_>| match difference.path.segments().last() {
            Some(Segment::Key(annotation)) => self.kind.is_annotated_by_server(annotation),
            _ => false,
        };
        self.differences.bookkeeping().iter().filter(move |difference| !is_servers(difference))
    }

    /// The number of replicas, for every kind that keeps one; a Job's and a CronJob's is its parallelism.
    pub fn replicas(&self) -> Option<ReplicasChange> {
        self.replicas
    }

    /// Where the number of replicas stands: `spec.replicas`.
    pub fn replicas_path(&self) -> Option<&'static str> {
        Some(self.kind.number()?.path)
    }

    /// The same place as a JSON pointer.
    pub fn replicas_pointer(&self) -> Option<&'static str> {
        Some(self.kind.number()?.pointer)
    }

    /// The number at a path, for custom resources. Absent on one side it is 0 there; absent on both there is none.
    ///
    /// # Errors
    /// Where something else than a whole number stands there.
    pub fn number_at(&self, path: &NumberPath) -> Result<Option<ReplicasChange>, Error> {
        let read = |object: &Object<'a>| numbers::number_at(object, path);
        let old = self.before.as_ref().map(read).transpose()?;
        let new = self.after.as_ref().map(read).transpose()?;
        if matches!((old, new), (None | Some(None), None | Some(None))) {
            return Ok(None);
        }
        let number = |side: Option<Option<i64>>| side.map(Option::unwrap_or_default);
        Ok(Some(ReplicasChange { old: number(old), new: number(new) }))
    }

    /// The bounds, for a HorizontalPodAutoscaler.
    pub fn bounds(&self) -> Option<BoundsChange> {
        self.bounds
    }

    /// What a HorizontalPodAutoscaler scales before the write.
    pub fn scale_target_before(&self) -> Option<&ScaleTarget<'a>> {
        self.scale_target_before.as_ref()
    }

    /// What a HorizontalPodAutoscaler scales after the write.
    pub fn scale_target_after(&self) -> Option<&ScaleTarget<'a>> {
        self.scale_target_after.as_ref()
    }

    /// Whether the write replaces running pods: the two templates of a Deployment, StatefulSet or DaemonSet differ.
    pub fn rolls_pods(&self) -> bool {
        self.kind.rolls() && self.template_changed()
    }

    /// Whether the pod template of any kind that has one differs; of a Pod, its spec.
    pub fn template_changed(&self) -> bool {
        self.differences.touches_template()
    }

    /// The images that come, go or move with an update of any kind that has a pod template, Pods included.
    pub fn images(&self) -> &[ImageChange] {
        &self.images
    }

    /// Every image the new object would use; none for kinds without a pod template.
    ///
    /// # Errors
    /// Where a container or volume is not of the shape those have.
    pub fn images_after(&self) -> Result<Vec<ImageUse>, Error> {
        match (self.kind.pod_spec(), &self.after) {
            (Some(at), Some(object)) => images::all(&object.object_at(at)?, at),
            _ => Ok(Vec::new()),
        }
    }

    /// The digest of the new object's pod template, as its controller compares templates; `None` where the kind rolls no
    /// pods or the template cannot be read.
    pub fn template_digest_after(&self) -> Option<TemplateDigest> {
        let keys = self.kind.template().filter(|_| self.kind.has_number() || self.kind.rolls())?;
        let (last, above) = keys.split_last()?;
        let text = self.after.as_ref()?.object_at(above).ok()?.get(last)?;
        let mut deserializer = serde_json::Deserializer::from_str(text);
        if self.kind.compares_as_written() {
            TemplateDigest::as_written(&mut deserializer).ok()
        } else {
            TemplateDigest::deserialize(&mut deserializer).ok()
        }
    }

    /// The requests and limits an update raises; none for kinds without a pod template.
    ///
    /// # Errors
    /// Where a request or limit is no quantity.
    pub fn resource_increases(&self) -> Result<Vec<ResourceIncrease>, Error> {
        match (self.kind.pod_spec(), &self.before, &self.after) {
            (Some(at), Some(old), Some(new)) if self.template_changed() => {
                resources::increases(&old.object_at(at)?, &new.object_at(at)?, at)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Whether the new object has a `spec` to write into.
    pub fn has_spec(&self) -> bool {
        self.after.as_ref().is_some_and(|object| object.get("spec").is_some())
    }

    /// Whether this is an update of nothing but metadata and status.
    pub fn only_metadata_changes(&self) -> bool {
        self.request.operation == Operation::Update && self.differ_only(&["metadata", "status"])
    }

    /// Whether the object is being deleted and only its metadata changes, as when a finaliser lets go.
    pub fn is_finalising(&self) -> bool {
        self.old.as_ref().is_some_and(|old| old.is_deleting) && self.differ_only(&["metadata"])
    }

    fn differ_only(&self, below: &[&str]) -> bool {
        let lies_below = |d: &Difference<'_>| below.iter().any(|key| d.path.starts_with(&[key]));
        !self.differences.is_truncated()
            && self.differences.listed().iter().all(|d| lies_below(d) && !self.is_spec(d))
    }

    /// Whether a difference under metadata is one of the spec: `autoscaling/v1` carries an autoscaler's metrics and
    /// behaviour as annotations.
    fn is_spec(&self, difference: &Difference<'_>) -> bool {
        let segments = difference.path.segments();
        self.kind == Kind::HorizontalPodAutoscaler
            && starts_with(segments, &["metadata", "annotations"])
            && matches!(segments.get(2), Some(Segment::Key(key)) if key.starts_with("autoscaling.alpha.kubernetes.io/"))
    }
}

fn text(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| *text != "null")
}

fn optional(side: Option<&str>) -> Result<Option<Object<'_>>, Error> {
    text(side).map(Object::read).transpose()
}

fn required<'a>(side: Option<&'a str>, what: &'static str) -> Result<Object<'a>, Error> {
    optional(side)?.ok_or(Error::Missing(what))
}

#[cfg(test)]
pub(crate) mod tests;
