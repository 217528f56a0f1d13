//! Whether a write is one an exception is for: of its object or a subresource of it, or of a neighbour through which
//! the policy reached that object. Where several objects could be meant, all have to be the exception's.

use smartops_change::{Change, Resource};

use super::check::Exception;
use crate::facts::{Related, RelatedObject, Relation};
use crate::judge::Needs;
use crate::policy::Reach;
use crate::rules::Case;
use crate::skim::Skimmed;

impl Exception {
    /// Whether it is for this write, which its policy means in this way.
    ///
    /// # Errors
    /// What is lacking to tell.
    pub(super) fn is_for(&self, case: &Case<'_>, reach: Reach) -> Result<bool, Needs> {
        match reach {
            Reach::Named | Reach::Scale | Reach::Recreation => self.is_for_object(case),
            Reach::ReplicaSet => self.is_for_owner(case, |o| o.is_a("apps", "Deployment")),
            Reach::Pod => {
                // Of a pod's owners one is what the policy names; the exception may be for it or for one above.
                let Some(owners) = owners(case)? else { return Ok(false) };
                Ok(owners.iter().any(|owner| self.is_it(owner)))
            }
            // Of capabilities nothing is lifted.
            Reach::Capability => Ok(false),
            Reach::Autoscaler => {
                let targets = [case.change.scale_target_before(), case.change.scale_target_after()];
                let mut targets = targets.into_iter().flatten().peekable();
                Ok(targets.peek().is_some()
                    && targets.all(|t| self.is_target(&t.group, &t.kind, &t.name)))
            }
        }
    }

    fn is_target(&self, group: &str, kind: &str, name: &str) -> bool {
        let target = &self.spec.target;
        target.group == group && target.kind == kind && target.name == name
    }

    /// Whether it is for an object that exists and was read.
    fn is_it(&self, object: &RelatedObject) -> bool {
        object.labels.is_some() && self.is_target(&object.group, &object.kind, &object.name)
    }

    fn is_for_object(&self, case: &Case<'_>) -> Result<bool, Needs> {
        let change = case.change;
        let target = &self.spec.target;
        let asked = change.resource();
        if target.group != asked.group || target.name != change.name() {
            return Ok(false);
        }
        let object = Resource { subresource: "", ..asked };
        match object.kind().name() {
            Some(kind) => Ok(target.kind == kind),
            // Of another kind the name stands in the object alone.
            None => Ok(Skimmed::of(change, case.facts)?.is_some_and(|o| o.kind() == target.kind)),
        }
    }

    /// Whether it is for the one workload above, whichever of those it could be: those that were read, and those the
    /// object names before and after the write.
    fn is_for_owner(
        &self,
        case: &Case<'_>,
        is_above: impl Fn(&RelatedObject) -> bool,
    ) -> Result<bool, Needs> {
        let Some(owners) = owners(case)? else { return Ok(false) };
        let mut above = owners.into_iter().filter(|object| is_above(object)).peekable();
        let is_read = above.peek().is_some() && above.all(|object| self.is_it(object));
        Ok(is_read && named(case.change).all(|(g, k, n)| self.is_target(g, k, n)))
    }
}

/// What owns or would adopt the object, as far as it was read; `None` where it cannot be.
fn owners<'a>(case: &Case<'a>) -> Result<Option<Vec<&'a RelatedObject>>, Needs> {
    match case.facts.related {
        Related::NotAsked => Err(Needs::RELATED),
        Related::Unavailable => Ok(None),
        Related::Known { objects, .. } => {
            let is_above =
                |o: &&RelatedObject| matches!(o.relation, Relation::Owner | Relation::Adopter);
            Ok(Some(objects.iter().filter(is_above).collect()))
        }
    }
}

/// The controllers an object names as group, kind and name, before the write and after it.
fn named<'c>(change: &'c Change<'_>) -> impl Iterator<Item = (&'c str, &'c str, &'c str)> {
    let before = change.old().and_then(|old| old.controller.as_ref());
    let after = change.controller_after();
    let sides = [before, after].into_iter().flatten();
    sides.map(|owner| (owner.group.as_ref(), owner.kind.as_ref(), owner.name.as_ref()))
}
