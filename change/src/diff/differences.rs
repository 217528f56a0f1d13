//! What a comparison finds. How it is found is `diff`'s.

use crate::path::Path;

/// One difference between two versions of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference<'a> {
    /// Where.
    pub path: Path,
    /// What happened there.
    pub kind: DifferenceKind,
    /// The JSON text before; `None` where nothing was there, or the order alone changed.
    pub old: Option<&'a str>,
    /// The JSON text after; `None` where nothing is there, or the order alone changed.
    pub new: Option<&'a str>,
}

/// What happened at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DifferenceKind {
    /// It was not there before.
    Added,
    /// It is not there any more.
    Removed,
    /// It has another value.
    Changed,
    /// The same items stand in another order.
    Reordered,
}

impl DifferenceKind {
    /// The word for it in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
            Self::Reordered => "reordered",
        }
    }
}

/// All differences between two versions of an object, in the order of the object's keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Differences<'a> {
    pub(super) list: Vec<Difference<'a>>,
    pub(super) bookkeeping: Vec<Difference<'a>>,
    pub(super) total: usize,
    pub(super) template: bool,
}

impl<'a> Differences<'a> {
    /// Most differences that are listed.
    pub const LISTED: usize = 256;

    /// The differences, at most [`Self::LISTED`].
    pub fn listed(&self) -> &[Difference<'a>] {
        &self.list
    }

    /// Whether there are more than are listed: something unknown changed too.
    pub fn is_truncated(&self) -> bool {
        self.total > self.list.len()
    }

    /// Differences in annotations that controllers and clients keep their books in, and that are no difference to
    /// anybody else; each is one of few keys.
    pub(crate) fn bookkeeping(&self) -> &[Difference<'a>] {
        &self.bookkeeping
    }

    /// Whether anything of the pod template differs, listed or not.
    pub(crate) fn touches_template(&self) -> bool {
        self.template
    }
}
