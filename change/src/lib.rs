//! The vocabulary of difference between two versions of a Kubernetes object.
//!
//! Lives here: paths and path patterns, the semantic difference of two borrowed JSON texts, quantities, the kinds
//! whose content rules know, the view of a review that the guard judges, the digest of a pod template. Does not live
//! here: any judgement, policy, I/O, clock, or Kubernetes type. The parser is private: no signature hands out a parsed
//! document.

mod context;
mod diff;
mod digest;
mod images;
mod kind;
mod metadata;
mod numbers;
mod path;
mod pattern;
mod quantity;
mod ratio;
mod raw;
mod request;
mod resources;
mod review;
mod scan;

#[cfg(test)]
mod properties;

pub use self::diff::{Difference, DifferenceKind, Differences};
pub use self::digest::{TemplateDigest, TemplateDigestError};
pub use self::images::{ImageChange, ImageUse};
pub use self::kind::Kind;
pub use self::metadata::{Labels, Metadata, Owner};
pub use self::numbers::{
    Bounds, BoundsChange, NumberPath, NumberPathError, ReplicasChange, ScaleTarget,
};
pub use self::path::{Path, Segment};
pub use self::pattern::{Pattern, PatternError};
pub use self::quantity::Quantity;
pub use self::ratio::Ratio;
pub use self::raw::Error;
pub use self::request::{Operation, Request, Resource};
pub use self::resources::{Growth, ResourceIncrease};
pub use self::review::Change;
