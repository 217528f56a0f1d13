//! What evaluating an expression could cost at most on the objects at hand, known before it runs: nothing can stop it
//! once it does. The library copies values where it calls functions and at every step of a macro; the sizes of all it
//! could copy are bounded from those of the objects.

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators};
use serde_json::Value as Json;

use super::check::Checked;
use super::functions::{FUNCTIONS, MATCHES, Makes};
use super::value::Found;

/// Most that an evaluation may cost: below 100 ms in a release build. A step is a value copied.
pub(super) const MOST: u64 = 1_000_000;
/// Bytes of text that cost as much as a value.
const BYTES: u64 = 16;

/// An error where an evaluation could cost too much.
pub(super) fn check(checked: &Checked, found: &[Result<Found<'_>, String>]) -> Result<(), String> {
    let paths: Vec<Bound> = found.iter().map(Bound::of_found).collect();
    let reading = paths.iter().map(|bound| bound.weight).fold(0, u64::saturating_add);
    let mut estimate = Estimate { checked, paths: &paths, locals: Vec::new() };
    let (_, cost) = estimate.part(&checked.expression);
    if cost.saturating_add(reading.saturating_mul(3)) <= MOST {
        return Ok(());
    }
    Err(format!(
        "it could take more than {MOST} steps on objects of this size; go over shorter lists, or over one at a time"
    ))
}

/// The most a value can be.
#[derive(Debug, Clone, Copy, Default)]
struct Bound {
    /// Values in it and text of it.
    weight: u64,
    /// Items of a list or map.
    items: u64,
    /// The weight of the heaviest item.
    item: u64,
    /// Items of the longest list or map below.
    below: u64,
}

const ONE: Bound = Bound { weight: 1, items: 0, item: 0, below: 0 };
/// A map without entries, which takes longer to make than a list.
const MAP: Bound = Bound { weight: 3, ..ONE };

impl Bound {
    fn of_found(found: &Result<Found<'_>, String>) -> Self {
        match found {
            Ok(Found::Value(json)) => Self::of(json),
            Ok(Found::Test(_)) | Err(_) => ONE,
        }
    }

    fn of(json: &Json) -> Self {
        match json {
            Json::Array(items) => items.iter().map(Self::of).fold(ONE, Self::holding),
            Json::Object(map) => {
                let entry = |(key, item): (&String, &Json)| {
                    let item = Self::of(item);
                    Self { weight: item.weight + text(key.len()), ..item }
                };
                map.iter().map(entry).fold(MAP, Self::holding)
            }
            Json::String(string) => Self::text(string.len()),
            _ => ONE,
        }
    }

    fn text(bytes: usize) -> Self {
        Self { weight: text(bytes), ..ONE }
    }

    fn holding(self, item: Self) -> Self {
        Self {
            weight: self.weight.saturating_add(item.weight),
            items: self.items.saturating_add(1),
            item: self.item.max(item.weight),
            below: self.below.max(item.items).max(item.below),
        }
    }

    /// An item.
    fn item(self) -> Self {
        Self { weight: self.item.max(1), items: self.below, item: self.item, below: self.below }
    }

    fn or(self, other: Self) -> Self {
        Self {
            weight: self.weight.max(other.weight),
            items: self.items.max(other.items),
            item: self.item.max(other.item),
            below: self.below.max(other.below),
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            weight: self.weight.saturating_add(other.weight),
            items: self.items.saturating_add(other.items),
            ..self.or(other)
        }
    }

    /// So many of them in a list.
    fn times(self, count: u64) -> Self {
        Self {
            weight: self.weight.saturating_mul(count).saturating_add(1),
            items: count,
            item: self.weight,
            below: self.items.max(self.below),
        }
    }
}

fn text(bytes: usize) -> u64 {
    1 + u64::try_from(bytes).unwrap_or(u64::MAX) / BYTES
}

struct Estimate<'e> {
    checked: &'e Checked,
    paths: &'e [Bound],
    locals: Vec<(&'e str, Bound)>,
}

impl<'e> Estimate<'e> {
    /// The most a part comes to, and the most it costs.
    fn part(&mut self, part: &'e IdedExpr) -> (Bound, u64) {
        match &part.expr {
            Expr::Literal(LiteralValue::String(text)) => (Bound::text(text.inner().len()), 1),
            Expr::Ident(name) => (self.variable(name), 1),
            Expr::List(list) => {
                let mut cost = 1_u64;
                let mut held = ONE;
                for element in &list.elements {
                    let (bound, more) = self.part(element);
                    held = held.holding(bound);
                    cost = cost.saturating_add(more).saturating_add(bound.weight);
                }
                (held, cost)
            }
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(of) => self.comprehension(of),
            _ => (ONE, 1),
        }
    }

    fn variable(&self, name: &str) -> Bound {
        let local = self.locals.iter().rev().find(|(local, _)| *local == name);
        let path = || {
            let place = self.checked.paths.iter().position(|path| path.name == name)?;
            self.paths.get(place).copied()
        };
        local.map(|(_, bound)| *bound).or_else(path).unwrap_or(ONE)
    }

    fn call(&mut self, call: &'e CallExpr) -> (Bound, u64) {
        let mut cost = 4_u64;
        let mut bounds = Vec::with_capacity(call.args.len());
        for argument in &call.args {
            let (bound, more) = self.part(argument);
            cost = cost.saturating_add(more);
            bounds.push(bound);
        }
        let of = |place: usize| bounds.get(place).copied().unwrap_or(ONE);
        let weights = bounds.iter().map(|bound| bound.weight).fold(0, u64::saturating_add);
        let name = call.func_name.as_str();
        if let Some(pattern) = name.strip_prefix(MATCHES) {
            let pattern = pattern.parse::<usize>().ok();
            let each = pattern.and_then(|place| self.checked.patterns.get(place)).unwrap_or(&1);
            return (ONE, cost.saturating_add(weights.saturating_mul(2 + each)));
        }
        let makes = FUNCTIONS.iter().find(|known| known.name == name).map(|known| known.makes);
        let (made, copied) = match (makes, name) {
            (Some(makes), _) => (made(makes, &bounds), 2),
            (None, operators::CONDITIONAL) => (of(1).or(of(2)), 0),
            (None, operators::INDEX) => (of(0).item(), 1),
            (None, operators::ADD) => (of(0).and(of(1)), 1),
            (None, operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT) => {
                (ONE, 0)
            }
            (None, _) => (ONE, 1),
        };
        let made_inside = if makes.is_some() { made.weight } else { 0 };
        let copied = weights.saturating_add(made_inside).saturating_mul(copied);
        (made, cost.saturating_add(copied))
    }

    fn comprehension(&mut self, of: &'e ComprehensionExpr) -> (Bound, u64) {
        let (range, range_cost) = self.part(&of.iter_range);
        self.locals.push((&of.iter_var, range.item()));
        let mut so_far = ONE;
        if matches!(of.accu_init.expr, Expr::List(_)) {
            // What one step adds, times the steps.
            self.locals.push((&of.accu_var, ONE));
            let (step, _) = self.part(&of.loop_step);
            self.locals.pop();
            let added = Bound { weight: step.item.max(1), items: step.below, ..step };
            so_far = added.times(range.items);
        }
        self.locals.push((&of.accu_var, so_far));
        let (_, condition) = self.part(&of.loop_cond);
        let (_, step) = self.part(&of.loop_step);
        let (_, last) = self.part(&of.result);
        self.locals.truncate(self.locals.len() - 2);
        let kept = range.item().weight.saturating_mul(2).saturating_add(so_far.weight);
        let each = condition.saturating_add(step).saturating_add(kept).saturating_add(4);
        let cost = range_cost.saturating_add(range.items.saturating_mul(each));
        let is_collected = matches!(of.result.expr, Expr::Ident(_));
        let made = if is_collected { so_far } else { ONE };
        (made, cost.saturating_add(last).saturating_add(made.weight))
    }
}

/// The most that a function makes of its arguments.
fn made(makes: Makes, arguments: &[Bound]) -> Bound {
    let of = |place: usize| arguments.get(place).copied().unwrap_or(ONE);
    let bytes = of(0).weight.saturating_mul(BYTES);
    match makes {
        Makes::One => ONE,
        Makes::First => of(0),
        Makes::All => arguments.iter().copied().reduce(Bound::and).unwrap_or(ONE),
        Makes::Below => (1..arguments.len()).fold(of(0), |bound, _| bound.item()),
        Makes::Replaced => {
            let more = bytes.saturating_add(1).saturating_mul(of(2).weight);
            Bound { weight: of(0).weight.saturating_add(more), ..ONE }
        }
        Makes::Split => Bound {
            weight: of(0).weight.saturating_add(bytes).saturating_mul(2).saturating_add(2),
            items: bytes.saturating_add(2),
            item: of(0).weight,
            below: 0,
        },
        Makes::Joined => {
            let more = of(0).items.saturating_mul(of(1).weight);
            Bound { weight: of(0).weight.saturating_add(more), ..ONE }
        }
    }
}
