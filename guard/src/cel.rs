//! Expressions that policies bring along, in the part of CEL that Kubernetes policies use, read and evaluated by the
//! `cel` library and bounded around it: what it may read is checked first, what it may evaluate is looked through when
//! the policy is written, and what an evaluation could cost is known before it runs.
//!
//! Lives here: the language, behind the feature `cel`. Does not live here: what a policy asks in it (`rules::custom`).

#[cfg(feature = "cel")]
mod check;
#[cfg(feature = "cel")]
mod cost;
#[cfg(feature = "cel")]
mod expression;
#[cfg(not(feature = "cel"))]
#[path = "cel/absent.rs"]
mod expression;
#[cfg(feature = "cel")]
mod functions;
mod input;
#[cfg(feature = "cel")]
mod operators;
#[cfg(feature = "cel")]
mod pattern;
#[cfg(feature = "cel")]
mod text;
#[cfg(feature = "cel")]
mod value;

#[cfg(test)]
#[cfg(feature = "cel")]
mod tests;

pub(crate) use self::expression::Expression;
pub(crate) use self::input::Inputs;

/// Whether conditions hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// All of them.
    Yes,
    /// One of them does not.
    No,
    /// None is known not to hold, and one could not be evaluated.
    Unknown,
}
