//! Expressions that policies bring along, in the part of CEL that Kubernetes policies use, bounded before and while they
//! run: an expression is refused when it is written if its length, nesting or macros could cost too much, what it looks
//! at is bounded, and every evaluation counts its steps.
//!
//! Lives here: the language, behind the feature `cel`. Does not live here: what a policy asks in it (`rules::custom`).
//!
//! The language is read and evaluated here and by no library, because the public ones bound neither: thirty nested
//! parentheses exhaust a thread's stack in their parser, which ends the process, and their values are copied whole at
//! every field, so that the work an expression does cannot be told from what it says.

#[cfg(feature = "cel")]
mod evaluate;
#[cfg(feature = "cel")]
mod expression;
#[cfg(not(feature = "cel"))]
#[path = "cel/absent.rs"]
mod expression;
#[cfg(feature = "cel")]
mod functions;
mod input;
#[cfg(feature = "cel")]
mod lexer;
#[cfg(feature = "cel")]
mod node;
#[cfg(feature = "cel")]
mod parser;
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
