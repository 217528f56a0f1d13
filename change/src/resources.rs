//! Which requests and limits a change raises, and by how much: of every container and of the pod as a whole.
//! Quantities are no secrets and may stand in messages.

use std::collections::HashMap;

use crate::images::{CONTAINERS, item, place};
use crate::path::{Path, Segment};
use crate::quantity::Quantity;
use crate::ratio::{NANO, Ratio, nano};
use crate::raw::{self, Error, Object, Shape};

/// A request or limit that an update raises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceIncrease {
    /// Where: `spec.template.spec.containers[web].resources.limits.cpu`.
    pub path: Path,
    /// Before, as written; `None` where none was given.
    pub old: Option<String>,
    /// After, as written; `None` where none is given.
    pub new: Option<String>,
    /// By how much.
    pub growth: Growth,
}

/// By how much a request or limit grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// So many times what it was.
    Times(Ratio),
    /// From none, or from zero, to some: a request where there was none.
    FromNothing,
    /// Without bound: a limit is gone, or is the zero that means none.
    Unbounded,
}

impl ResourceIncrease {
    /// Whether it grows to more than `ratio` times what it was. What grows without bound does; what there was none of
    /// has nothing to be a multiple of and does not.
    pub fn exceeds(&self, ratio: f64) -> bool {
        match self.growth {
            Growth::Times(times) => times.exceeds(ratio),
            Growth::FromNothing => false,
            Growth::Unbounded => true,
        }
    }

    /// The greatest quantity that is at most `ratio` times what it was, in the unit it was written in or a finer one.
    pub fn most(&self, ratio: f64) -> Option<String> {
        let (old, ratio) = (self.old.as_deref()?, nano(ratio)?);
        let value = u128::try_from(Quantity::parse(old)?.nano()).ok()?;
        let most = value.checked_mul(ratio)? / NANO;
        let unit = old.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        Some(written(most, unit))
    }
}

/// Billionths of a unit, written as a multiple of `unit`, of a thousandth or of one.
fn written(nano: u128, unit: &str) -> String {
    let size = |unit: &str| {
        let one = Quantity::parse(&format!("1{unit}"))?;
        u128::try_from(one.nano()).ok()
    };
    for unit in [unit, ""] {
        if let Some(size) = size(unit)
            && nano >= size
            && nano.is_multiple_of(size)
        {
            return format!("{}{unit}", nano / size);
        }
    }
    match size(unit) {
        // Bytes have no thousandths worth telling.
        Some(size) if size > NANO => format!("{}", nano / NANO),
        _ => format!("{}m", nano / (NANO / 1000)),
    }
}

/// All increases between two pod specs, `at` being the path of the pod spec. A container that is new has nothing to
/// grow from.
pub(crate) fn increases(
    old: &Object<'_>,
    new: &Object<'_>,
    at: &[&str],
) -> Result<Vec<ResourceIncrease>, Error> {
    let mut found = Vec::new();
    let pod: Vec<Segment> =
        at.iter().chain(&["resources"]).map(|k| Segment::Key((*k).to_owned())).collect();
    resources(&mut found, &pod, &old.object("resources")?, &new.object("resources")?)?;
    for list in CONTAINERS {
        let mut before = HashMap::new();
        for container in old.list(list)? {
            let container = Object::read(container)?;
            let name = container.string("name")?.unwrap_or_default();
            before.entry(name).or_insert(container);
        }
        for container in new.list(list)? {
            let container = Object::read(container)?;
            let name = container.string("name")?.unwrap_or_default();
            if let Some(former) = before.get(&name) {
                let at = item(&place(at, list), &name, &["resources"]);
                let (old, new) = (former.object("resources")?, container.object("resources")?);
                resources(&mut found, at.segments(), &old, &new)?;
            }
        }
    }
    Ok(found)
}

/// A quantity with its text.
struct Amount {
    text: String,
    nano: u128,
}

fn resources(
    found: &mut Vec<ResourceIncrease>,
    at: &[Segment],
    old: &Object<'_>,
    new: &Object<'_>,
) -> Result<(), Error> {
    if old == new {
        return Ok(());
    }
    let (old_requests, new_requests) = (old.object("requests")?, new.object("requests")?);
    let (old_limits, new_limits) = (old.object("limits")?, new.object("limits")?);
    let mut tell = |section: &str, name: &str, old: Option<Amount>, new: Option<Amount>, growth| {
        let tail = [section, name].map(|key| Segment::Key(key.to_owned()));
        found.push(ResourceIncrease {
            path: Path::new(at.iter().cloned().chain(tail).collect()),
            old: old.map(|amount| amount.text),
            new: new.map(|amount| amount.text),
            growth,
        });
    };
    for name in names(&old_requests, &new_requests) {
        let old = request(&old_requests, &old_limits, name)?;
        let new = request(&new_requests, &new_limits, name)?;
        let from = old.as_ref().map_or(0, |amount| amount.nano);
        let to = new.as_ref().map_or(0, |amount| amount.nano);
        if let Some(growth) = growth(from, to) {
            tell("requests", name, old, new, growth);
        }
    }
    for name in names(&old_limits, &new_limits) {
        let (old, new) = (amount(&old_limits, name)?, amount(&new_limits, name)?);
        let bound = |amount: &Option<Amount>| {
            amount.as_ref().map(|a| a.nano).filter(|n| *n > 0 || !zero_is_none(name))
        };
        let growth = match (bound(&old), bound(&new)) {
            (None, _) => None,
            (Some(_), None) => Some(Growth::Unbounded),
            (Some(from), Some(to)) => growth(from, to),
        };
        if let Some(growth) = growth {
            tell("limits", name, old, new, growth);
        }
    }
    Ok(())
}

/// A request; where it is absent, the limit, as the API server fills it in when the pod is made.
fn request(
    requests: &Object<'_>,
    limits: &Object<'_>,
    name: &str,
) -> Result<Option<Amount>, Error> {
    match amount(requests, name)? {
        Some(amount) => Ok(Some(amount)),
        None => amount(limits, name),
    }
}

fn growth(from: u128, to: u128) -> Option<Growth> {
    match (from, to) {
        (from, to) if to <= from => None,
        (0, _) => Some(Growth::FromNothing),
        (old, new) => Some(Growth::Times(Ratio::of(new, old))),
    }
}

/// Whether a limit of zero on this resource means that there is no limit.
fn zero_is_none(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage")
}

/// The names of both, each once, sorted.
fn names<'o>(old: &'o Object<'_>, new: &'o Object<'_>) -> Vec<&'o str> {
    let mut names: Vec<&str> =
        old.members().iter().chain(new.members()).map(|(name, _)| name.as_ref()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn amount(section: &Object<'_>, name: &str) -> Result<Option<Amount>, Error> {
    let Some(text) = section.get(name) else { return Ok(None) };
    let text = match raw::shape(text) {
        Shape::Scalar if text.starts_with('"') => raw::string(text)?.into_owned(),
        _ => text.to_owned(),
    };
    let nano = Quantity::parse(&text).and_then(|q| u128::try_from(q.nano()).ok());
    let nano = nano.ok_or_else(|| {
        Error::field(&format!("a resource's {name}"), &text, "a quantity of 0 or more")
    })?;
    Ok(Some(Amount { text, nano }))
}

#[cfg(test)]
mod tests;
