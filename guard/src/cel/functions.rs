//! The functions an expression may call. The library's own are not used: they count bytes where CEL counts characters,
//! compile patterns at every call, and answer `false` where an argument does not fit.

use std::cmp::Ordering;
use std::ops::RangeInclusive;

use cel::extractors::Arguments;
use cel::objects::Opaque;
use cel::{Context, ExecutionError, Value};
use smartops_change::Quantity;

use super::operators::{
    ADD, EQUAL, FIELD, HAS, ITEMS, NEGATE, UNEQUAL, WITHIN, add, field, has, items, negate, within,
};
use super::text::LONGEST;
use super::value::kind;

/// A function: the value a method is called on is the first argument.
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) called: Called,
    /// How many arguments it takes.
    pub(super) takes: RangeInclusive<usize>,
    pub(super) makes: Makes,
    run: fn(&[Value]) -> Outcome,
}

/// How a function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Called {
    Method,
    Plain,
    Either,
    /// By no one who writes an expression: it stands for an operator (`operators`).
    Inside,
}

/// How large what a function makes may be, by its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Makes {
    /// A number or bool.
    One,
    /// No more than the first.
    First,
    /// No more than all together.
    All,
    /// What stands in the first, one deeper for each of the others.
    Below,
    /// Of each byte of the first, the third.
    Replaced,
    /// Of each byte of the first, an item.
    Split,
    /// The first, with the second after each item.
    Joined,
}

/// What a function comes to, or why it comes to nothing.
pub(super) type Outcome = Result<Value, String>;

const fn function(
    name: &'static str,
    called: Called,
    takes: RangeInclusive<usize>,
    makes: Makes,
    run: fn(&[Value]) -> Outcome,
) -> Function {
    Function { name, called, takes, makes, run }
}

/// `matches`, with the number of its pattern after it.
pub(super) const MATCHES: &str = "@matches";

use Called::{Either, Inside, Method, Plain};

pub(super) static FUNCTIONS: [Function; 27] = [
    function("size", Either, 1..=1, Makes::One, |v| size(first(v))),
    function("contains", Method, 2..=2, Makes::One, |v| ask(v, |text, part| text.contains(part))),
    function("startsWith", Method, 2..=2, Makes::One, |v| {
        ask(v, |text, part| text.starts_with(part))
    }),
    function("endsWith", Method, 2..=2, Makes::One, |v| ask(v, |text, part| text.ends_with(part))),
    function("lowerAscii", Method, 1..=1, Makes::First, |v| {
        Ok(text(v.first())?.to_ascii_lowercase().into())
    }),
    function("upperAscii", Method, 1..=1, Makes::First, |v| {
        Ok(text(v.first())?.to_ascii_uppercase().into())
    }),
    function("trim", Method, 1..=1, Makes::First, |v| Ok(text(v.first())?.trim().into())),
    function("substring", Method, 2..=3, Makes::First, substring),
    function("replace", Method, 3..=3, Makes::Replaced, |v| {
        Ok(text(v.first())?.replace(text(v.get(1))?, text(v.get(2))?).into())
    }),
    function("split", Method, 2..=2, Makes::Split, |v| {
        let parts = text(v.first())?.split(text(v.get(1))?);
        Ok(parts.map(Value::from).collect::<Vec<_>>().into())
    }),
    function("join", Method, 1..=2, Makes::Joined, join),
    function("int", Plain, 1..=1, Makes::One, |v| to_int(first(v))),
    function("double", Plain, 1..=1, Makes::One, |v| to_double(first(v))),
    function("string", Plain, 1..=1, Makes::First, |v| to_text(first(v))),
    function("quantity", Plain, 1..=1, Makes::One, |v| {
        parsed(first(v), "quantity", |text| {
            Quantity::parse(text).map(|q| Value::Opaque(std::sync::Arc::new(Amount(q))))
        })
    }),
    function("isQuantity", Plain, 1..=1, Makes::One, |v| {
        Ok(text(v.first()).is_ok_and(|text| Quantity::parse(text).is_some()).into())
    }),
    function("isLessThan", Method, 2..=2, Makes::One, |v| Ok(order(v)?.is_lt().into())),
    function("isGreaterThan", Method, 2..=2, Makes::One, |v| Ok(order(v)?.is_gt().into())),
    function("compareTo", Method, 2..=2, Makes::One, |v| Ok(i64::from(order(v)? as i8).into())),
    function(FIELD, Inside, 2..=LONGEST, Makes::Below, |v| field(v).cloned()),
    function(HAS, Inside, 2..=LONGEST, Makes::One, has),
    function(EQUAL, Inside, 2..=2, Makes::One, |v| Ok((v.first() == v.get(1)).into())),
    function(UNEQUAL, Inside, 2..=2, Makes::One, |v| Ok((v.first() != v.get(1)).into())),
    function(WITHIN, Inside, 2..=2, Makes::One, within),
    function(ADD, Inside, 2..=LONGEST, Makes::All, add),
    function(NEGATE, Inside, 1..=1, Makes::One, |v| negate(first(v))),
    function(ITEMS, Inside, 1..=1, Makes::First, items),
];

/// What an expression is evaluated in, without its variables.
pub(super) fn context() -> Context<'static> {
    let mut context = Context::empty();
    for Function { name, run, .. } in &FUNCTIONS {
        context.add_function(name, move |Arguments(values): Arguments| {
            run(&values).map_err(|reason| ExecutionError::function_error(name, reason))
        });
    }
    context
}

/// A quantity as a value.
#[derive(Debug, PartialEq, Eq)]
struct Amount(Quantity);

impl Opaque for Amount {
    fn runtime_type_name(&self) -> &'static str {
        "quantity"
    }
}

pub(super) fn first(values: &[Value]) -> &Value {
    values.first().unwrap_or(&Value::Null)
}

/// The text a value is.
pub(super) fn text(value: Option<&Value>) -> Result<&str, String> {
    match value {
        Some(Value::String(text)) => Ok(text),
        other => {
            let kind = other.map_or("nothing", kind);
            Err(format!("a string is wanted where there is {kind}"))
        }
    }
}

fn number(count: usize) -> Value {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

fn size(of: &Value) -> Outcome {
    Ok(number(match of {
        Value::String(text) => text.chars().count(),
        Value::List(items) => items.len(),
        Value::Map(map) => map.map.len(),
        other => return Err(format!("{} has no size", kind(other))),
    }))
}

fn ask(values: &[Value], question: fn(&str, &str) -> bool) -> Outcome {
    Ok(question(text(values.first())?, text(values.get(1))?).into())
}

fn substring(values: &[Value]) -> Outcome {
    let of = text(values.first())?;
    let length = of.chars().count();
    let place = |value: Option<&Value>| match value {
        None => Ok(length),
        Some(Value::Int(n)) => usize::try_from(*n).ok().filter(|n| *n <= length).ok_or_else(|| {
            "substring reaches beyond the string; ask for its size first".to_owned()
        }),
        Some(other) => Err(format!("substring takes numbers, not {}", kind(other))),
    };
    let (from, to) = (place(values.get(1))?, place(values.get(2))?);
    let count = to.checked_sub(from).ok_or("substring would end before it begins")?;
    Ok(of.chars().skip(from).take(count).collect::<String>().into())
}

fn join(values: &[Value]) -> Outcome {
    let by = values.get(1).map_or(Ok(""), |by| text(Some(by)))?;
    let Value::List(items) = first(values) else {
        return Err(format!("join joins a list of strings, not {}", kind(first(values))));
    };
    let items = items.iter().map(|item| text(Some(item))).collect::<Result<Vec<_>, _>>()?;
    Ok(items.join(by).into())
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn to_int(of: &Value) -> Outcome {
    match of {
        Value::Int(_) => Ok(of.clone()),
        // Below 2^63, so that truncation is exact.
        Value::Float(n) if n.abs() < 9.2e18 => Ok(Value::Int(*n as i64)),
        Value::Float(_) => Err(too_large()),
        other => parsed(other, "int", |text| text.parse().ok().map(Value::Int)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a double is asked for")]
fn to_double(of: &Value) -> Outcome {
    match of {
        Value::Float(_) => Ok(of.clone()),
        Value::Int(n) => Ok(Value::Float(*n as f64)),
        other => parsed(other, "double", |text| text.parse().ok().map(Value::Float)),
    }
}

fn to_text(of: &Value) -> Outcome {
    Ok(match of {
        Value::String(_) => of.clone(),
        Value::Bool(b) => b.to_string().into(),
        Value::Int(n) => n.to_string().into(),
        Value::Float(n) => n.to_string().into(),
        other => return Err(format!("string makes no text of {}", kind(other))),
    })
}

/// Reads a text. What it holds stands in no message, for any of it may be a secret.
fn parsed(of: &Value, what: &str, read: impl Fn(&str) -> Option<Value>) -> Outcome {
    read(text(Some(of))?).ok_or_else(|| format!("the string is no {what}"))
}

fn order(values: &[Value]) -> Result<Ordering, String> {
    let amount = |value: Option<&Value>| match value {
        Some(Value::Opaque(opaque)) => opaque.downcast_ref::<Amount>().map(|amount| amount.0),
        _ => None,
    };
    match (amount(values.first()), amount(values.get(1))) {
        (Some(a), Some(b)) => Ok(a.cmp(&b)),
        _ => Err("quantities compare with quantities; write quantity(…) around both".to_owned()),
    }
}

pub(super) fn too_large() -> String {
    "the number does not fit 64 bits".to_owned()
}
