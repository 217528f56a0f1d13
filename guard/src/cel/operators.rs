//! What stands for operators of which the library's answer is not CEL's: fields of what is no map, equality of an int
//! and a double, sums of a list and a map, the order of a map's keys. No one who writes an expression can name these.

use cel::Value;
use cel::common::ast::{CallExpr, Expr, IdedExpr, operators};
use cel::objects::Key;

use super::functions::{Outcome, first, text, too_large};
use super::value::{kind, missing};

/// Fields of what is no path of a variable's.
pub(super) const FIELD: &str = "@field";
pub(super) const HAS: &str = "@has";
/// Operators.
pub(super) const EQUAL: &str = "@equal";
pub(super) const UNEQUAL: &str = "@unequal";
pub(super) const WITHIN: &str = "@within";
pub(super) const ADD: &str = "@add";
pub(super) const NEGATE: &str = "@negate";
/// What a macro goes over.
pub(super) const ITEMS: &str = "@items";
pub(super) fn field(values: &[Value]) -> Result<&Value, String> {
    let Some((of, fields)) = values.split_first() else { return Err(missing("")) };
    fields.iter().try_fold(of, |of, name| {
        let name = text(Some(name))?;
        let Value::Map(map) = of else { return Err(format!("{} has no field {name:?}", kind(of))) };
        map.get(&Key::from(name)).ok_or_else(|| missing(name))
    })
}

pub(super) fn has(values: &[Value]) -> Outcome {
    let Some((name, of)) = values.split_last() else { return Err(missing("")) };
    match field(of)? {
        Value::Map(map) => Ok(map.get(&Key::from(text(Some(name))?)).is_some().into()),
        other => Err(format!("{} has no field {:?}", kind(other), text(Some(name))?)),
    }
}

pub(super) fn within(values: &[Value]) -> Outcome {
    let item = first(values);
    match values.get(1) {
        Some(Value::List(items)) => Ok(items.contains(item).into()),
        Some(Value::Map(map)) => {
            let key = Key::from(text(Some(item))?);
            Ok(map.get(&key).is_some().into())
        }
        other => {
            let kind = other.map_or("nothing", kind);
            Err(format!("in asks a list or a map, not {kind}"))
        }
    }
}

/// The sum of numbers of one type, of texts, or of lists. What is summed so far grows in its place.
pub(super) fn add(values: &[Value]) -> Outcome {
    let Some((sum, more)) = values.split_first() else { return Ok(Value::Null) };
    more.iter().try_fold(sum.clone(), |sum, value| match (&sum, value) {
        (Value::Int(a), Value::Int(b)) => a.checked_add(*b).map(Value::Int).ok_or_else(too_large),
        (Value::Float(a), Value::Float(b)) => Ok(Value::Float(a + b)),
        (Value::String(_), Value::String(_)) | (Value::List(_), Value::List(_)) => {
            (sum + value.clone()).map_err(|_| too_large())
        }
        _ => Err(format!("cannot calculate with {} and {}", kind(&sum), kind(value))),
    })
}

pub(super) fn negate(of: &Value) -> Outcome {
    match of {
        Value::Int(n) => n.checked_neg().map(Value::Int).ok_or_else(too_large),
        Value::Float(n) => Ok(Value::Float(-n)),
        other => Err(format!("cannot calculate with {}", kind(other))),
    }
}

/// The items of a list or the keys of a map, always in the same order.
pub(super) fn items(values: &[Value]) -> Outcome {
    match first(values) {
        list @ Value::List(_) => Ok(list.clone()),
        Value::Map(map) => {
            let mut keys: Vec<&Key> = map.map.keys().collect();
            keys.sort();
            let keys = keys.into_iter().map(|key| Value::from(key.to_string()));
            Ok(keys.collect::<Vec<_>>().into())
        }
        other => Err(format!("a macro goes over a list or a map, not over {}", kind(other))),
    }
}

/// What a chain of sums adds up, so that a long one stands no deeper than a short one.
pub(super) fn summands(args: &[IdedExpr]) -> Vec<&IdedExpr> {
    let (mut args, mut parts) = (args, Vec::new());
    while let [left, right] = args {
        parts.push(right);
        match &left.expr {
            Expr::Call(CallExpr { func_name, target: None, args: more })
                if func_name == operators::ADD =>
            {
                args = more;
            }
            _ => {
                parts.push(left);
                break;
            }
        }
    }
    parts.reverse();
    parts
}
