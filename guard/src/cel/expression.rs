//! An expression: read once, when its policy is written, and asked of every write the policy means.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use cel::{Program, Value};

use super::check::{Checked, checked};
use super::input::Inputs;
use super::value::{kind, reason};
use super::{cost, text};

/// The stack on which expressions are read: the library's reader takes some 70 KiB for every bracket in a debug build.
const STACK: usize = 32 << 20;

/// An expression, checked.
#[derive(Clone)]
pub(crate) struct Expression(Arc<Checked>);

impl Expression {
    /// Reads an expression. The error says where something is wrong, what, and what is allowed.
    pub(crate) fn compile(text: &str) -> Result<Self, String> {
        text::check(text)?;
        let owned = text.to_owned();
        let reader = thread::Builder::new().stack_size(STACK).spawn(move || read(&owned));
        let reader =
            reader.map_err(|error| format!("the expression cannot be read now: {error}"))?;
        let read = reader.join();
        let checked = read.map_err(|_| "the expression cannot be read; write it more simply")??;
        Ok(Self(Arc::new(checked)))
    }

    /// Whether it holds. An error where it is no bool, does not fit the objects, or could cost too much.
    pub(crate) fn evaluate_bool(&self, input: &Inputs<'_>) -> Result<bool, String> {
        match self.evaluate(input)? {
            Value::Bool(b) => Ok(b),
            other => Err(format!("it comes to {} where a bool is wanted", kind(&other))),
        }
    }

    /// The text it comes to. An error where it is none, does not fit the objects, or could cost too much.
    pub(crate) fn evaluate_text(&self, input: &Inputs<'_>) -> Result<String, String> {
        match self.evaluate(input)? {
            Value::String(text) => Ok(text.as_ref().clone()),
            other => Err(format!("it comes to {} where a string is wanted", kind(&other))),
        }
    }

    fn evaluate(&self, input: &Inputs<'_>) -> Result<Value, String> {
        let Checked { expression, paths, functions, .. } = &*self.0;
        let found: Vec<_> = paths.iter().map(|path| path.find(input)).collect();
        cost::check(&self.0, &found)?;
        let mut scope = functions.new_inner_scope();
        for (path, found) in paths.iter().zip(&found) {
            if let Ok(found) = found {
                scope.add_variable_from_value(path.name.as_str(), found.value());
            }
        }
        let run = catch_unwind(AssertUnwindSafe(|| Value::resolve(expression, &scope)));
        let result = run.map_err(|_| "the evaluation broke off; write the expression otherwise")?;
        result.map_err(|error| {
            let missing = |name: &str| {
                let place = paths.iter().position(|path| path.name == name)?;
                found.get(place)?.as_ref().err().cloned()
            };
            reason(&error, missing)
        })
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.0.expression).finish()
    }
}

fn read(text: &str) -> Result<Checked, String> {
    let program = Program::compile(text).map_err(|errors| {
        let Some(first) = errors.errors.first() else { return "it cannot be read".to_owned() };
        let message = first.msg.strip_prefix("Syntax error: ").unwrap_or(&first.msg);
        let message = message.split(" expecting {").next().unwrap_or(message);
        let (line, column) = first.pos;
        format!("line {}, column {}: {message}", line.max(1), column.max(1))
    })?;
    checked(program.expression())
}
