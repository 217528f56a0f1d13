//! What several rules of several policies read of one change: read when the first of them asks, and once.

use std::cell::OnceCell;

use smartops_change::{Change, Error, ImageUse, ResourceIncrease};

/// What was read of a change so far.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    increases: OnceCell<Result<Vec<ResourceIncrease>, Error>>,
    images: OnceCell<Result<Vec<ImageUse>, Error>>,
}

impl Readings {
    /// The requests and limits that the change raises.
    pub(super) fn increases(&self, change: &Change<'_>) -> Result<&[ResourceIncrease], &Error> {
        self.increases.get_or_init(|| change.resource_increases()).as_deref()
    }

    /// The images of the object after the change.
    pub(super) fn images(&self, change: &Change<'_>) -> Result<&[ImageUse], &Error> {
        self.images.get_or_init(|| change.images_after()).as_deref()
    }
}
