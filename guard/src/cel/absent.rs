//! Expressions in a build without them: none can be written.

use std::convert::Infallible;

use super::input::Inputs;

/// An expression, of which there is none.
#[derive(Debug, Clone)]
pub(crate) struct Expression(Infallible);

impl Expression {
    /// Refuses every expression.
    pub(crate) fn compile(_: &str) -> Result<Self, String> {
        Err("this build has no CEL; leave expressions out or use a build with it".to_owned())
    }

    /// Never asked.
    pub(crate) fn evaluate_bool(&self, _: &Inputs<'_>) -> Result<bool, String> {
        match self.0 {}
    }

    /// Never asked.
    pub(crate) fn evaluate_text(&self, _: &Inputs<'_>) -> Result<String, String> {
        match self.0 {}
    }
}
