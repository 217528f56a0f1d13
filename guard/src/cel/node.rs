//! An expression as it is evaluated: names are resolved, macros are loops, patterns are compiled. How text becomes it
//! is the parser's, what it comes to the evaluator's.

use regex::bytes::Regex;

use super::input::Root;

/// A part of an expression.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    Root(Root),
    /// A loop's variable, by the loop's depth.
    Local(usize),
    List(Vec<Self>),
    Field(Box<Self>, String),
    /// `has(a.b)`.
    Has(Box<Self>, String),
    Index(Box<Self>, Box<Self>),
    Not(Box<Self>),
    Negate(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
    Choice(Box<[Self; 3]>),
    Binary(Operator, Box<[Self; 2]>),
    /// The value a method is called on is the first.
    Call(Function, Vec<Self>),
    Matches(Box<Self>, Box<Pattern>),
    Loop(Box<Loop>),
}

/// A macro over a list, or over the keys of a map.
#[derive(Debug, Clone)]
pub(super) struct Loop {
    pub(super) kind: LoopKind,
    pub(super) range: Node,
    /// Which items count, for `filter` and `map` of three arguments.
    pub(super) filter: Option<Node>,
    /// What is asked of each item, or made of it.
    pub(super) body: Node,
}

/// What a macro makes of its items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoopKind {
    All,
    Exists,
    ExistsOne,
    /// `map`, and `filter` whose body is the item itself.
    Collect,
}

/// An operator of two operands that evaluates both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Operator {
    /// The operator of that sign and how tightly it binds.
    pub(super) fn of(sign: &str) -> Option<(Self, u8)> {
        Some(match sign {
            "==" => (Self::Equal, 3),
            "!=" => (Self::Unequal, 3),
            "<" => (Self::Less, 3),
            "<=" => (Self::LessOrEqual, 3),
            ">" => (Self::Greater, 3),
            ">=" => (Self::GreaterOrEqual, 3),
            "in" => (Self::In, 3),
            "+" => (Self::Add, 4),
            "-" => (Self::Subtract, 4),
            "*" => (Self::Multiply, 5),
            "/" => (Self::Divide, 5),
            "%" => (Self::Remainder, 5),
            _ => return None,
        })
    }
}

/// A regular expression that was written as a literal, with what asking it costs.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    pub(super) regex: Regex,
    /// Steps a byte of text.
    pub(super) cost: u64,
}

/// Programs of patterns up to so many bytes, and the steps a byte of text each may take.
const PATTERN_SIZES: [(usize, u64); 3] = [(2 << 10, 4), (8 << 10, 16), (32 << 10, 64)];

impl Pattern {
    /// Compiles a pattern: linear in the text, ASCII classes, bounded in size.
    pub(super) fn compile(pattern: &str) -> Result<Self, String> {
        for (size, cost) in PATTERN_SIZES {
            let mut builder = regex::bytes::RegexBuilder::new(pattern);
            match builder.unicode(false).size_limit(size).dfa_size_limit(1 << 20).build() {
                Ok(regex) => return Ok(Self { regex, cost }),
                Err(regex::Error::CompiledTooBig(_)) => {}
                Err(error) => {
                    let error = error.to_string();
                    let last =
                        error.lines().last().unwrap_or_default().trim_start_matches("error: ");
                    return Err(format!("the pattern cannot be read: {last}"));
                }
            }
        }
        Err("the pattern's program is over 32 KiB; repeat less".to_owned())
    }
}

/// A function, by whatever it is called on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    Contains,
    StartsWith,
    EndsWith,
    LowerAscii,
    UpperAscii,
    Trim,
    Split,
    Join,
    Replace,
    Substring,
    ToInt,
    ToDouble,
    ToText,
    Quantity,
    IsQuantity,
    IsLessThan,
    IsGreaterThan,
    CompareTo,
}

/// How a function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Method,
    Plain,
    Either,
}

impl Function {
    /// Name, how it is called, and how many arguments it takes, what it is called on included.
    pub(super) const ALL: [(&str, Self, Call, std::ops::RangeInclusive<usize>); 19] = [
        ("size", Self::Size, Call::Either, 1..=1),
        ("contains", Self::Contains, Call::Method, 2..=2),
        ("startsWith", Self::StartsWith, Call::Method, 2..=2),
        ("endsWith", Self::EndsWith, Call::Method, 2..=2),
        ("lowerAscii", Self::LowerAscii, Call::Method, 1..=1),
        ("upperAscii", Self::UpperAscii, Call::Method, 1..=1),
        ("trim", Self::Trim, Call::Method, 1..=1),
        ("split", Self::Split, Call::Method, 2..=2),
        ("join", Self::Join, Call::Method, 1..=2),
        ("replace", Self::Replace, Call::Method, 3..=3),
        ("substring", Self::Substring, Call::Method, 2..=3),
        ("int", Self::ToInt, Call::Plain, 1..=1),
        ("double", Self::ToDouble, Call::Plain, 1..=1),
        ("string", Self::ToText, Call::Plain, 1..=1),
        ("quantity", Self::Quantity, Call::Plain, 1..=1),
        ("isQuantity", Self::IsQuantity, Call::Plain, 1..=1),
        ("isLessThan", Self::IsLessThan, Call::Method, 2..=2),
        ("isGreaterThan", Self::IsGreaterThan, Call::Method, 2..=2),
        ("compareTo", Self::CompareTo, Call::Method, 2..=2),
    ];
}
