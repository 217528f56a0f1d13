//! An expression: read once, when its policy is written, and asked of every write the policy means.

use std::sync::Arc;

use super::evaluate::evaluate;
use super::input::Inputs;
use super::node::Node;
use super::parser::parse;
use super::value::Value;

/// Longest expression. Bytes.
pub(super) const LONGEST: usize = 2048;

/// An expression, checked.
#[derive(Debug, Clone)]
pub(crate) struct Expression(Arc<Node>);

impl Expression {
    /// Reads an expression. The error says where something is wrong, what, and what is allowed.
    pub(crate) fn compile(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err(
                "the expression is empty; write one, as in object.spec.replicas <= 5".into()
            );
        }
        if text.len() > LONGEST {
            let length = text.len();
            return Err(format!(
                "the expression has {length} bytes; at most {LONGEST} are allowed"
            ));
        }
        let node = parse(text).map_err(|mistake| {
            let before = text.get(..mistake.at).unwrap_or(text);
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            format!("line {line}, column {column}: {}", mistake.reason)
        })?;
        Ok(Self(Arc::new(node)))
    }

    /// Whether it holds. An error where it is no bool, does not fit the objects, or takes too many steps.
    pub(crate) fn evaluate_bool(&self, input: &Inputs<'_>) -> Result<bool, String> {
        match evaluate(&self.0, input)? {
            Value::Bool(b) => Ok(b),
            other => Err(format!("it comes to {} where a bool is wanted", other.kind())),
        }
    }

    /// The text it comes to. An error where it is none, does not fit the objects, or takes too many steps.
    pub(crate) fn evaluate_text(&self, input: &Inputs<'_>) -> Result<String, String> {
        let value = evaluate(&self.0, input)?;
        let text = value.text().map(str::to_owned);
        text.ok_or_else(|| format!("it comes to {} where a string is wanted", value.kind()))
    }
}
