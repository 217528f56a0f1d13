//! What an expression works with: values borrowed from the objects as far as possible, and what may be asked of them.
//! Every question that costs more than a step says how much.

use std::cmp::Ordering;
use std::rc::Rc;

use serde_json::{Map, Value as Json};
use smartops_change::Quantity;

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(&'a str),
    /// A text made by the expression.
    Made(Rc<str>),
    List(&'a [Json]),
    /// A list made by the expression.
    Built(Rc<[Self]>),
    Map(&'a Map<String, Json>),
    Quantity(Quantity),
}

impl<'a> Value<'a> {
    pub(super) fn of(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(b) => Self::Bool(*b),
            Json::Number(n) => match (n.as_i64(), n.as_f64()) {
                (Some(n), _) => Self::Int(n),
                (None, n) => Self::Double(n.unwrap_or(f64::NAN)),
            },
            Json::String(text) => Self::Text(text),
            Json::Array(items) => Self::List(items),
            Json::Object(map) => Self::Map(map),
        }
    }

    /// Its type, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "an int",
            Self::Double(_) => "a double",
            Self::Text(_) | Self::Made(_) => "a string",
            Self::List(_) | Self::Built(_) => "a list",
            Self::Map(_) => "a map",
            Self::Quantity(_) => "a quantity",
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Made(text) => Some(text),
            _ => None,
        }
    }

    /// How many items a list has or, of what is no list, none.
    pub(super) fn length(&self) -> Option<usize> {
        match self {
            Self::List(items) => Some(items.len()),
            Self::Built(items) => Some(items.len()),
            _ => None,
        }
    }

    /// An item of a list.
    pub(super) fn item(&self, place: usize) -> Option<Self> {
        match self {
            Self::List(items) => items.get(place).map(Self::of),
            Self::Built(items) => items.get(place).cloned(),
            _ => None,
        }
    }

    /// Whether both are equal, and in how many steps that was found. Of different types are only numbers equal.
    pub(super) fn equals(&self, other: &Self) -> (bool, u64) {
        let mut steps = 1;
        let equal = match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Quantity(a), Self::Quantity(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => {
                a.len() == b.len()
                    && a.iter().all(|(key, a)| {
                        steps += 1 + bytes(key.len());
                        b.get(key).is_some_and(|b| {
                            let (equal, more) = Self::of(a).equals(&Self::of(b));
                            steps += more;
                            equal
                        })
                    })
            }
            _ => {
                if let (Some(a), Some(b)) = (self.text(), other.text()) {
                    steps += bytes(a.len().min(b.len()));
                    a == b
                } else if let (Some(length), Some(others)) = (self.length(), other.length()) {
                    length == others
                        && (0..length).all(|place| {
                            let pair = self.item(place).zip(other.item(place));
                            let (equal, more) = pair.map_or((false, 1), |(a, b)| a.equals(&b));
                            steps += more;
                            equal
                        })
                } else {
                    self.number_order(other) == Some(Ordering::Equal)
                }
            }
        };
        (equal, steps)
    }

    /// The order of two values of which there is one.
    pub(super) fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            _ => match (self.text(), other.text()) {
                (Some(a), Some(b)) => Some(a.cmp(b)),
                _ => self.number_order(other),
            },
        }
    }

    fn number_order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            _ => self.double()?.partial_cmp(&other.double()?),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "numbers of both kinds compare as doubles")]
    pub(super) fn double(&self) -> Option<f64> {
        match self {
            Self::Int(n) => Some(*n as f64),
            Self::Double(n) => Some(*n),
            _ => None,
        }
    }
}

/// The steps that going over so many bytes takes.
pub(super) fn bytes(count: usize) -> u64 {
    u64::try_from(count / 8).unwrap_or(u64::MAX)
}
