//! What an expression comes to. Every step costs, and so does every byte and item it goes over; an expression that
//! spends more than it may ends with an error whatever it was about to say.

use std::rc::Rc;

use serde_json::Value as Json;

use super::functions;
use super::input::{Inputs, Root};
use super::node::{Loop, LoopKind, Node, Operator};
use super::value::{Value, bytes};

/// Steps one evaluation may take.
pub(super) const MOST_STEPS: u64 = 1_000_000;

/// Why an evaluation came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The expression does not fit what it looks at. `||` and `&&` may do without the part that failed.
    Error(String),
    /// It took too many steps. Nothing makes up for this.
    Spent,
}

pub(super) type Outcome<'a> = Result<Value<'a>, Fault>;

/// One evaluation.
#[derive(Debug)]
pub(super) struct Run<'a> {
    input: &'a Inputs<'a>,
    locals: Vec<Value<'a>>,
    left: u64,
}

/// Evaluates an expression.
pub(super) fn evaluate<'a>(node: &'a Node, input: &'a Inputs<'a>) -> Result<Value<'a>, String> {
    let mut run = Run { input, locals: Vec::new(), left: MOST_STEPS };
    run.value(node).map_err(|fault| match fault {
        Fault::Error(reason) => reason,
        Fault::Spent => format!(
            "it takes more than {MOST_STEPS} steps on this object; ask for less, above all within all, exists, map and filter"
        ),
    })
}

impl<'a> Run<'a> {
    /// Pays for so many steps.
    pub(super) fn pay(&mut self, steps: u64) -> Result<(), Fault> {
        self.left = self.left.checked_sub(steps).ok_or_else(|| {
            self.left = 0;
            Fault::Spent
        })?;
        Ok(())
    }

    fn value(&mut self, node: &'a Node) -> Outcome<'a> {
        self.pay(1)?;
        match node {
            Node::Null => Ok(Value::Null),
            Node::Bool(b) => Ok(Value::Bool(*b)),
            Node::Int(n) => Ok(Value::Int(*n)),
            Node::Double(n) => Ok(Value::Double(*n)),
            Node::Text(text) => Ok(Value::Text(text)),
            Node::Root(root) => self.root(*root),
            Node::Local(depth) => Ok(self.locals.get(*depth).cloned().unwrap_or(Value::Null)),
            Node::List(items) => self.values(items).map(|items| Value::Built(items.into())),
            Node::Field(operand, name) => {
                let operand = self.value(operand)?;
                field(&operand, name)?.map(Value::of).ok_or_else(|| missing(name))
            }
            Node::Has(operand, name) => {
                let operand = self.value(operand)?;
                Ok(Value::Bool(field(&operand, name)?.is_some()))
            }
            Node::Index(operand, index) => {
                let operand = self.value(operand)?;
                let index = self.value(index)?;
                at(&operand, &index)
            }
            Node::Not(operand) => Ok(Value::Bool(!self.bool(operand)?)),
            Node::Negate(operand) => match self.value(operand)? {
                Value::Int(n) => n.checked_neg().map(Value::Int).ok_or_else(overflow),
                Value::Double(n) => Ok(Value::Double(-n)),
                other => Err(error(format!("minus {} means nothing", other.kind()))),
            },
            Node::And(parts) => self.joined(parts, false),
            Node::Or(parts) => self.joined(parts, true),
            Node::Choice(choice) => {
                let [condition, yes, no] = choice.as_ref();
                if self.bool(condition)? { self.value(yes) } else { self.value(no) }
            }
            Node::Binary(operator, operands) => {
                let [left, right] = operands.as_ref();
                let (left, right) = (self.value(left)?, self.value(right)?);
                self.binary(*operator, &left, &right)
            }
            Node::Call(function, arguments) => {
                let arguments = self.values(arguments)?;
                functions::call(self, *function, &arguments)
            }
            Node::Matches(operand, pattern) => {
                let operand = self.value(operand)?;
                let Some(text) = operand.text() else {
                    return Err(error(format!("matches asks a string, not {}", operand.kind())));
                };
                self.pay((bytes(text.len()) + 1).saturating_mul(8 * pattern.cost))?;
                Ok(Value::Bool(pattern.regex.is_match(text.as_bytes())))
            }
            Node::Loop(each) => self.each(each),
        }
    }

    fn root(&self, root: Root) -> Outcome<'a> {
        self.input.root(root).map(Value::of).map_err(Fault::Error)
    }

    fn values(&mut self, nodes: &'a [Node]) -> Result<Vec<Value<'a>>, Fault> {
        nodes.iter().map(|node| self.value(node)).collect()
    }

    fn bool(&mut self, node: &'a Node) -> Result<bool, Fault> {
        match self.value(node)? {
            Value::Bool(b) => Ok(b),
            other => Err(error(format!("a bool is wanted where there is {}", other.kind()))),
        }
    }

    /// `||` ends at the first true, `&&` at the first false; an error counts only where no part decides.
    fn joined(&mut self, parts: &'a [Node], deciding: bool) -> Outcome<'a> {
        let mut failed = None;
        for part in parts {
            match self.bool(part) {
                Ok(b) if b == deciding => return Ok(Value::Bool(deciding)),
                Ok(_) => {}
                Err(Fault::Spent) => return Err(Fault::Spent),
                Err(fault) => failed = failed.or(Some(fault)),
            }
        }
        failed.map_or(Ok(Value::Bool(!deciding)), Err)
    }

    fn binary(&mut self, operator: Operator, left: &Value<'a>, right: &Value<'a>) -> Outcome<'a> {
        match operator {
            Operator::Equal => self.equal(left, right).map(Value::Bool),
            Operator::Unequal => self.equal(left, right).map(|equal| Value::Bool(!equal)),
            Operator::Less
            | Operator::LessOrEqual
            | Operator::Greater
            | Operator::GreaterOrEqual => {
                let length = |value: &Value<'_>| value.text().map_or(0, str::len);
                self.pay(bytes(length(left).min(length(right))))?;
                let order = left.order(right).ok_or_else(|| mismatch("compare", left, right))?;
                Ok(Value::Bool(match operator {
                    Operator::Less => order.is_lt(),
                    Operator::LessOrEqual => order.is_le(),
                    Operator::Greater => order.is_gt(),
                    _ => order.is_ge(),
                }))
            }
            Operator::In => self.is_in(left, right),
            Operator::Add => self.sum(left, right),
            _ => arithmetic(operator, left, right),
        }
    }

    fn equal(&mut self, left: &Value<'a>, right: &Value<'a>) -> Result<bool, Fault> {
        let (equal, steps) = left.equals(right);
        self.pay(steps)?;
        Ok(equal)
    }

    fn is_in(&mut self, left: &Value<'a>, right: &Value<'a>) -> Outcome<'a> {
        if let (Some(key), Value::Map(map)) = (left.text(), right) {
            return Ok(Value::Bool(map.contains_key(key)));
        }
        let length = right.length().ok_or_else(|| mismatch("look with in for", left, right))?;
        for place in 0..length {
            if let Some(item) = right.item(place)
                && self.equal(left, &item)?
            {
                return Ok(Value::Bool(true));
            }
        }
        Ok(Value::Bool(false))
    }

    fn sum(&mut self, left: &Value<'a>, right: &Value<'a>) -> Outcome<'a> {
        if let (Some(a), Some(b)) = (left.text(), right.text()) {
            self.pay(bytes(a.len() + b.len()))?;
            return Ok(Value::Made([a, b].concat().into()));
        }
        if let (Some(a), Some(b)) = (left.length(), right.length()) {
            self.pay(steps(a + b))?;
            let items = |list: &Value<'a>, length| {
                (0..length).filter_map(|place| list.item(place)).collect::<Vec<_>>()
            };
            let both = [items(left, a), items(right, b)].concat();
            return Ok(Value::Built(both.into()));
        }
        arithmetic(Operator::Add, left, right)
    }

    fn each(&mut self, each: &'a Loop) -> Outcome<'a> {
        let range = self.value(&each.range)?;
        let mut keys = match &range {
            Value::Map(map) => Some(map.keys()),
            _ => None,
        };
        let length = match &range {
            Value::Map(map) => map.len(),
            other => other.length().ok_or_else(|| {
                error(format!("a macro goes over a list or a map, not over {}", other.kind()))
            })?,
        };
        let mut tally = Tally { kind: each.kind, failed: None, count: 0, items: Vec::new() };
        for place in 0..length {
            let item = match &mut keys {
                Some(keys) => keys.next().map(|key| Value::Text(key)),
                None => range.item(place),
            };
            self.locals.push(item.unwrap_or(Value::Null));
            let decided = self.turn(each, &mut tally);
            self.locals.pop();
            if let Some(decided) = decided? {
                return Ok(Value::Bool(decided));
            }
        }
        tally.result()
    }

    /// One item; the answer, where it decides.
    fn turn(&mut self, each: &'a Loop, tally: &mut Tally<'a>) -> Result<Option<bool>, Fault> {
        self.pay(1)?;
        if let Some(filter) = &each.filter
            && !self.bool(filter)?
        {
            return Ok(None);
        }
        let deciding = match each.kind {
            LoopKind::Collect => {
                tally.items.push(self.value(&each.body)?);
                return Ok(None);
            }
            LoopKind::ExistsOne => {
                tally.count += usize::from(self.bool(&each.body)?);
                return Ok(None);
            }
            LoopKind::All => false,
            LoopKind::Exists => true,
        };
        match self.bool(&each.body) {
            Ok(b) => return Ok((b == deciding).then_some(deciding)),
            Err(Fault::Spent) => return Err(Fault::Spent),
            Err(fault) => tally.failed = tally.failed.take().or(Some(fault)),
        }
        Ok(None)
    }
}

/// What a macro found so far.
#[derive(Debug)]
struct Tally<'a> {
    kind: LoopKind,
    failed: Option<Fault>,
    count: usize,
    items: Vec<Value<'a>>,
}

impl<'a> Tally<'a> {
    fn result(self) -> Outcome<'a> {
        match (self.failed, self.kind) {
            (Some(fault), _) => Err(fault),
            (None, LoopKind::All) => Ok(Value::Bool(true)),
            (None, LoopKind::Exists) => Ok(Value::Bool(false)),
            (None, LoopKind::ExistsOne) => Ok(Value::Bool(self.count == 1)),
            (None, LoopKind::Collect) => Ok(Value::Built(Rc::from(self.items))),
        }
    }
}

fn field<'a>(operand: &Value<'a>, name: &str) -> Result<Option<&'a Json>, Fault> {
    match operand {
        Value::Map(map) => Ok(map.get(name)),
        other => Err(error(format!("{} has no field {name:?}; guard it with has", other.kind()))),
    }
}

fn at<'a>(operand: &Value<'a>, index: &Value<'a>) -> Outcome<'a> {
    if let (Value::Map(map), Some(key)) = (operand, index.text()) {
        return map.get(key).map(Value::of).ok_or_else(|| missing("of that name"));
    }
    match (operand.length(), index) {
        (Some(length), Value::Int(place)) => {
            let item = usize::try_from(*place).ok().and_then(|place| operand.item(place));
            item.ok_or_else(|| error(format!("there is no item {place} in a list of {length}")))
        }
        _ => Err(mismatch("index", operand, index)),
    }
}

fn arithmetic<'a>(operator: Operator, left: &Value<'a>, right: &Value<'a>) -> Outcome<'a> {
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => {
            let result = match operator {
                Operator::Add => a.checked_add(*b),
                Operator::Subtract => a.checked_sub(*b),
                Operator::Multiply => a.checked_mul(*b),
                Operator::Divide => a.checked_div(*b),
                _ => a.checked_rem(*b),
            };
            result.map(Value::Int).ok_or_else(overflow)
        }
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(match operator {
            Operator::Add => a + b,
            Operator::Subtract => a - b,
            Operator::Multiply => a * b,
            Operator::Divide => a / b,
            _ => return Err(error("% takes whole numbers".to_owned())),
        })),
        _ => Err(mismatch("calculate with", left, right)),
    }
}

pub(super) fn error(reason: String) -> Fault {
    Fault::Error(reason)
}

fn missing(name: &str) -> Fault {
    error(format!("there is no field {name:?}; guard it with has"))
}

fn overflow() -> Fault {
    error("the number does not fit 64 bits, or is divided by 0".to_owned())
}

fn mismatch(what: &str, left: &Value<'_>, right: &Value<'_>) -> Fault {
    error(format!("cannot {what} {} and {}", left.kind(), right.kind()))
}

/// So many steps.
pub(super) fn steps(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
