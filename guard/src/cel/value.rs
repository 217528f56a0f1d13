//! Between the objects' JSON and the library's values: where a path leads, what of it becomes a value, and what an error
//! says. No value of an object stands in an error.

use std::collections::HashMap;

use cel::objects::{Key, Map};
use cel::{ExecutionError, Value};
use serde_json::Value as Json;

use super::input::{Inputs, Root};

/// Fields from a variable on, as an expression names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    /// The variable that stands for it.
    pub(super) name: String,
    pub(super) root: Root,
    pub(super) fields: Vec<String>,
    /// Whether it asks if the last field is there.
    pub(super) tests: bool,
}

/// What a path leads to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Found<'a> {
    Value(&'a Json),
    Test(bool),
}

impl Path {
    /// Follows the path. An error where a field is absent or stands on what is no map.
    pub(super) fn find<'a>(&self, input: &'a Inputs<'_>) -> Result<Found<'a>, String> {
        let mut at = input.root(self.root)?;
        for (place, field) in self.fields.iter().enumerate() {
            let Json::Object(map) = at else {
                return Err(format!("{} has no field {field:?}", kind_of(at)));
            };
            let next = map.get(field);
            if self.tests && place + 1 == self.fields.len() {
                return Ok(Found::Test(next.is_some()));
            }
            at = next.ok_or_else(|| missing(field))?;
        }
        Ok(Found::Value(at))
    }
}

impl Found<'_> {
    pub(super) fn value(self) -> Value {
        match self {
            Self::Value(json) => value(json),
            Self::Test(is) => Value::Bool(is),
        }
    }
}

fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => match n.as_i64() {
            Some(n) => Value::Int(n),
            None => Value::Float(n.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::List(items.iter().map(value).collect::<Vec<_>>().into()),
        Json::Object(map) => {
            let map: HashMap<Key, Value> =
                map.iter().map(|(key, item)| (Key::from(key.as_str()), value(item))).collect();
            Value::Map(Map { map: map.into() })
        }
    }
}

pub(super) fn missing(field: &str) -> String {
    format!("there is no field {field:?}; guard it with has")
}

fn kind_of(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a bool",
        Json::Number(n) if n.is_i64() => "an int",
        Json::Number(_) => "a double",
        Json::String(_) => "a string",
        Json::Array(_) => "a list",
        Json::Object(_) => "a map",
    }
}

/// The type of a value, for messages.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a bool",
        Value::Int(_) | Value::UInt(_) => "an int",
        Value::Float(_) => "a double",
        Value::String(_) => "a string",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
        Value::Opaque(_) => "a quantity",
        _ => "a value of another type",
    }
}

/// What an error of the library means, without the values it holds. `missing` knows why a path leads nowhere.
pub(super) fn reason(error: &ExecutionError, missing: impl Fn(&str) -> Option<String>) -> String {
    match error {
        ExecutionError::UndeclaredReference(name) => {
            missing(name).unwrap_or_else(|| "a variable is not known".to_owned())
        }
        ExecutionError::FunctionError { message, .. } => message.clone(),
        ExecutionError::NoSuchKey(_) => {
            "a map has no such key; ask with in before it is looked up".to_owned()
        }
        ExecutionError::IndexOutOfBounds(_) => {
            "a list has no such item; ask for its size before it is looked up".to_owned()
        }
        ExecutionError::DivisionByZero(_)
        | ExecutionError::RemainderByZero(_)
        | ExecutionError::Overflow(..) => {
            "the number does not fit 64 bits, or is divided by 0".to_owned()
        }
        ExecutionError::UnsupportedBinaryOperator(_, left, right) => {
            format!("cannot calculate with {} and {}", kind(left), kind(right))
        }
        _ => "an operator meets a value of a type it does not take, as in 1 < 'a'".to_owned(),
    }
}
