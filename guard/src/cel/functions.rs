//! The functions an expression may call. Each pays for what it goes over and for what it makes, before it makes it.

use std::cmp::Ordering;

use smartops_change::Quantity;

use super::evaluate::{Fault, Outcome, Run, error, steps};
use super::node::Function;
use super::value::{Value, bytes};

/// Calls a function; how many arguments there are was checked when the expression was read.
pub(super) fn call<'a>(
    run: &mut Run<'a>,
    function: Function,
    arguments: &[Value<'a>],
) -> Outcome<'a> {
    let first = arguments.first().unwrap_or(&Value::Null);
    let second = arguments.get(1);
    match function {
        Function::Size => size(run, first),
        Function::Contains => ask(run, first, second, |text, part| text.contains(part)),
        Function::StartsWith => ask(run, first, second, |text, part| text.starts_with(part)),
        Function::EndsWith => ask(run, first, second, |text, part| text.ends_with(part)),
        Function::LowerAscii => make(run, first, str::to_ascii_lowercase),
        Function::UpperAscii => make(run, first, str::to_ascii_uppercase),
        Function::Trim => make(run, first, |text| text.trim().to_owned()),
        Function::Split => split(run, first, second),
        Function::Join => join(run, first, second),
        Function::Replace => replace(run, first, second, arguments.get(2)),
        Function::Substring => substring(run, first, second, arguments.get(2)),
        Function::ToInt => to_int(first),
        Function::ToDouble => match first {
            Value::Int(_) | Value::Double(_) => {
                Ok(first.double().map_or(Value::Null, Value::Double))
            }
            other => parsed(other, "double", |text| text.parse().ok().map(Value::Double)),
        },
        Function::ToText => to_text(first),
        Function::Quantity => {
            parsed(first, "quantity", |text| Quantity::parse(text).map(Value::Quantity))
        }
        Function::IsQuantity => {
            Ok(Value::Bool(text(Some(first)).is_ok_and(|text| Quantity::parse(text).is_some())))
        }
        Function::IsLessThan => quantities(first, second).map(|order| Value::Bool(order.is_lt())),
        Function::IsGreaterThan => {
            quantities(first, second).map(|order| Value::Bool(order.is_gt()))
        }
        Function::CompareTo => {
            quantities(first, second).map(|order| Value::Int(i64::from(order as i8)))
        }
    }
}

fn text<'v>(value: Option<&'v Value<'_>>) -> Result<&'v str, Fault> {
    value.and_then(Value::text).ok_or_else(|| {
        let kind = value.map_or("nothing", Value::kind);
        error(format!("a string is wanted where there is {kind}"))
    })
}

fn size<'a>(run: &mut Run<'a>, of: &Value<'a>) -> Outcome<'a> {
    let size = if let Some(text) = of.text() {
        run.pay(bytes(text.len()))?;
        text.chars().count()
    } else if let Value::Map(map) = of {
        map.len()
    } else {
        of.length().ok_or_else(|| error(format!("{} has no size", of.kind())))?
    };
    Ok(Value::Int(i64::try_from(size).unwrap_or(i64::MAX)))
}

fn ask<'a>(
    run: &mut Run<'a>,
    of: &Value<'a>,
    part: Option<&Value<'a>>,
    question: fn(&str, &str) -> bool,
) -> Outcome<'a> {
    let (of, part) = (text(Some(of))?, text(part)?);
    run.pay(bytes(of.len() + part.len()))?;
    Ok(Value::Bool(question(of, part)))
}

fn make<'a>(run: &mut Run<'a>, of: &Value<'a>, how: fn(&str) -> String) -> Outcome<'a> {
    let of = text(Some(of))?;
    run.pay(bytes(of.len()))?;
    Ok(Value::Made(how(of).into()))
}

fn split<'a>(run: &mut Run<'a>, of: &Value<'a>, by: Option<&Value<'a>>) -> Outcome<'a> {
    let (of, by) = (text(Some(of))?, text(by)?);
    run.pay(bytes(of.len()))?;
    let parts = of.split(by);
    run.pay(steps(parts.clone().count()))?;
    Ok(Value::Built(parts.map(|part| Value::Made(part.into())).collect()))
}

fn join<'a>(run: &mut Run<'a>, list: &Value<'a>, by: Option<&Value<'a>>) -> Outcome<'a> {
    let by = by.map_or(Ok(""), |by| text(Some(by)))?;
    let Some(length) = list.length() else {
        return Err(error(format!("join joins a list of strings, not {}", list.kind())));
    };
    let mut joined = String::new();
    for place in 0..length {
        let item = list.item(place);
        let item = text(item.as_ref())?;
        run.pay(1 + bytes(item.len() + by.len()))?;
        joined.push_str(if place == 0 { "" } else { by });
        joined.push_str(item);
    }
    Ok(Value::Made(joined.into()))
}

fn replace<'a>(
    run: &mut Run<'a>,
    of: &Value<'a>,
    part: Option<&Value<'a>>,
    by: Option<&Value<'a>>,
) -> Outcome<'a> {
    let (of, part, by) = (text(Some(of))?, text(part)?, text(by)?);
    run.pay(bytes(of.len() + part.len()))?;
    let places = of.matches(part).count();
    run.pay(steps(places).saturating_mul(1 + bytes(by.len())))?;
    Ok(Value::Made(of.replace(part, by).into()))
}

fn substring<'a>(
    run: &mut Run<'a>,
    of: &Value<'a>,
    from: Option<&Value<'a>>,
    to: Option<&Value<'a>>,
) -> Outcome<'a> {
    let of = text(Some(of))?;
    run.pay(bytes(of.len()))?;
    let length = of.chars().count();
    let place = |value: Option<&Value<'_>>| match value {
        None => Ok(length),
        Some(Value::Int(n)) => usize::try_from(*n)
            .ok()
            .filter(|n| *n <= length)
            .ok_or_else(|| error(format!("there is no place {n} in a string of {length}"))),
        Some(other) => Err(error(format!("substring takes numbers, not {}", other.kind()))),
    };
    let (from, to) = (place(from)?, place(to)?);
    let count = to
        .checked_sub(from)
        .ok_or_else(|| error(format!("substring would end at {to}, before it begins at {from}")))?;
    Ok(Value::Made(of.chars().skip(from).take(count).collect::<String>().into()))
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn to_int<'a>(of: &Value<'a>) -> Outcome<'a> {
    match of {
        Value::Int(n) => Ok(Value::Int(*n)),
        // Below 2^63, so that truncation is exact.
        Value::Double(n) if n.abs() < 9.2e18 => Ok(Value::Int(*n as i64)),
        Value::Double(_) => Err(error("the number does not fit 64 bits".to_owned())),
        other => parsed(other, "int", |text| text.parse().ok().map(Value::Int)),
    }
}

fn to_text<'a>(of: &Value<'a>) -> Outcome<'a> {
    Ok(match of {
        Value::Text(_) | Value::Made(_) => of.clone(),
        Value::Bool(b) => Value::Made(b.to_string().into()),
        Value::Int(n) => Value::Made(n.to_string().into()),
        Value::Double(n) => Value::Made(n.to_string().into()),
        other => return Err(error(format!("string makes no text of {}", other.kind()))),
    })
}

/// Reads a text. What it holds stands in no message, for any of it may be a secret.
fn parsed<'a>(of: &Value<'a>, what: &str, read: impl Fn(&str) -> Option<Value<'a>>) -> Outcome<'a> {
    read(text(Some(of))?).ok_or_else(|| error(format!("the string is no {what}")))
}

fn quantities(first: &Value<'_>, second: Option<&Value<'_>>) -> Result<Ordering, Fault> {
    match (first, second) {
        (Value::Quantity(a), Some(Value::Quantity(b))) => Ok(a.cmp(b)),
        _ => Err(error(
            "quantities compare with quantities; write quantity(…) around both".to_owned(),
        )),
    }
}
