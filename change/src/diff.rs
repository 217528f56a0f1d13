//! The semantic difference of two objects. Equal bytes are equal and never parsed; only subtrees that differ are
//! read, one level at a time.

mod differences;

pub use self::differences::{Difference, DifferenceKind, Differences};

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use crate::context::{Context, Notation, Scalar, item_name, present};
use crate::path::{Path, Segment, starts_with};
use crate::raw::{self, Error, Object, Shape};

/// Depth below which differing bytes are a difference and are not looked into.
const DEEPEST: usize = 64;

/// Where an object's pod template stands, and how its controller compares two.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Template {
    pub(crate) keys: &'static [&'static str],
    pub(crate) notation: Notation,
}

/// Compares two versions of an object.
pub(crate) fn between<'a>(
    old: &Object<'a>,
    new: &Object<'a>,
    context: Context,
    template: Option<Template>,
) -> Result<Differences<'a>, Error> {
    let mut walk = Walk { template, path: Vec::new(), found: Differences::default() };
    walk.objects(context, old, new)?;
    Ok(walk.found)
}

struct Walk<'a> {
    template: Option<Template>,
    path: Vec<Segment>,
    found: Differences<'a>,
}

/// On which side a part stands that the other does not have.
#[derive(Clone, Copy)]
enum Side {
    Old,
    New,
}

impl<'a> Walk<'a> {
    fn report(&mut self, kind: DifferenceKind, old: Option<&'a str>, new: Option<&'a str>) {
        self.found.total += 1;
        self.found.template |= self.template.is_some_and(|template| {
            // What differs above the template as a whole differs in it too.
            starts_with(&self.path, template.keys.get(..self.path.len()).unwrap_or(template.keys))
        });
        if self.found.list.len() < Differences::LISTED {
            let path = Path::new(self.path.clone());
            self.found.list.push(Difference { path, kind, old, new });
        }
    }

    fn report_one_sided(&mut self, side: Side, text: &'a str) {
        match side {
            Side::Old => self.report(DifferenceKind::Removed, Some(text), None),
            Side::New => self.report(DifferenceKind::Added, None, Some(text)),
        }
    }

    fn objects(
        &mut self,
        context: Context,
        old: &Object<'a>,
        new: &Object<'a>,
    ) -> Result<(), Error> {
        let (mut olds, mut news) =
            (old.members().iter().peekable(), new.members().iter().peekable());
        loop {
            let order = match (olds.peek(), news.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(a), Some(b)) => a.0.cmp(&b.0),
            };
            let before = if order.is_le() { olds.next() } else { None };
            let after = if order.is_ge() { news.next() } else { None };
            let Some((key, _)) = before.or(after) else { return Ok(()) };
            self.member(context, key, before.map(|m| m.1), after.map(|m| m.1))?;
        }
    }

    fn member(
        &mut self,
        parent: Context,
        key: &str,
        old: Option<&'a str>,
        new: Option<&'a str>,
    ) -> Result<(), Error> {
        if old == new {
            return Ok(());
        }
        let Some(context) = parent.child(key) else {
            return if parent == Context::Annotations { self.books(key, old, new) } else { Ok(()) };
        };
        let (old, new) = (old.and_then(present), new.and_then(present));
        self.path.push(Segment::Key(key.to_owned()));
        match (old, new) {
            (None, None) => {}
            (Some(old), Some(new)) => self.pair(context, key, old, new)?,
            (Some(text), None) => {
                self.one_sided(context, key, Side::Old, text, parent.empty_is_absent(key))?;
            }
            (None, Some(text)) => {
                self.one_sided(context, key, Side::New, text, parent.empty_is_absent(key))?;
            }
        }
        self.path.pop();
        Ok(())
    }

    /// An annotation in which somebody keeps his books: kept apart, for whoever minds.
    fn books(
        &mut self,
        key: &str,
        old: Option<&'a str>,
        new: Option<&'a str>,
    ) -> Result<(), Error> {
        let (old, new) = (old.and_then(present), new.and_then(present));
        let kind = match (old, new) {
            (None, None) => return Ok(()),
            (Some(old), Some(new)) => {
                let are_scalars = [old, new].into_iter().all(|t| raw::shape(t) == Shape::Scalar);
                if are_scalars && self.is_same(Context::Strings, old, new)? {
                    return Ok(());
                }
                DifferenceKind::Changed
            }
            (Some(_), None) => DifferenceKind::Removed,
            (None, Some(_)) => DifferenceKind::Added,
        };
        let mut path = self.path.clone();
        path.push(Segment::Key(key.to_owned()));
        self.found.bookkeeping.push(Difference { path: Path::new(path), kind, old, new });
        Ok(())
    }

    /// A part that only one side has. Objects are looked into, so that what came is named as finely as what changed.
    fn one_sided(
        &mut self,
        context: Context,
        key: &str,
        side: Side,
        text: &'a str,
        empty_is_absent: bool,
    ) -> Result<(), Error> {
        match raw::shape(text) {
            Shape::Object if self.path.len() < DEEPEST => {
                let object = Object::read(text)?;
                let before = self.found.total;
                match side {
                    Side::Old => self.objects(context, &object, &Object::default())?,
                    Side::New => self.objects(context, &Object::default(), &object)?,
                }
                if self.found.total == before && !empty_is_absent {
                    self.report_one_sided(side, text);
                }
            }
            Shape::List if self.path.len() < DEEPEST => match side {
                Side::Old => self.lists(context, key, &raw::list(text)?, &[])?,
                Side::New => self.lists(context, key, &[], &raw::list(text)?)?,
            },
            _ => self.report_one_sided(side, text),
        }
        Ok(())
    }

    fn pair(
        &mut self,
        context: Context,
        key: &str,
        old: &'a str,
        new: &'a str,
    ) -> Result<(), Error> {
        if old == new {
            return Ok(());
        }
        let deep = self.path.len() >= DEEPEST;
        match (raw::shape(old), raw::shape(new)) {
            (Shape::Object, Shape::Object) if !deep => {
                self.objects(context, &Object::read(old)?, &Object::read(new)?)
            }
            (Shape::List, Shape::List) if !deep => {
                self.lists(context, key, &raw::list(old)?, &raw::list(new)?)
            }
            (Shape::Null | Shape::Scalar, Shape::Null | Shape::Scalar)
                if self.is_same(context, old, new)? =>
            {
                Ok(())
            }
            _ => {
                self.report(DifferenceKind::Changed, Some(old), Some(new));
                Ok(())
            }
        }
    }

    fn is_same(&self, context: Context, old: &str, new: &str) -> Result<bool, Error> {
        let notation = match self.template {
            Some(template) if starts_with(&self.path, template.keys) => template.notation,
            _ => Notation::ByValue,
        };
        let read = |text| Scalar::read(text, context, notation);
        Ok(read(old)? == read(new)?)
    }

    fn lists(
        &mut self,
        context: Context,
        key: &str,
        old: &[&'a str],
        new: &[&'a str],
    ) -> Result<(), Error> {
        match (names(context, key, old)?, names(context, key, new)?) {
            (Some(old_names), Some(new_names)) if old_names == new_names => {
                for ((name, old), new) in old_names.iter().zip(old).zip(new) {
                    self.item(context, name, old, new)?;
                }
                Ok(())
            }
            (Some(old_names), Some(new_names)) => {
                self.named(context, (old, &old_names), (new, &new_names))
            }
            _ => self.by_place(context, old, new),
        }
    }

    fn item(
        &mut self,
        context: Context,
        name: &str,
        old: &'a str,
        new: &'a str,
    ) -> Result<(), Error> {
        if old == new {
            return Ok(());
        }
        self.path.push(Segment::Item(name.to_owned()));
        self.pair(context, "", old, new)?;
        self.path.pop();
        Ok(())
    }

    fn named(
        &mut self,
        context: Context,
        (old, old_names): (&[&'a str], &[Cow<'_, str>]),
        (new, new_names): (&[&'a str], &[Cow<'_, str>]),
    ) -> Result<(), Error> {
        let places: HashMap<&str, usize> =
            new_names.iter().enumerate().map(|(i, name)| (name.as_ref(), i)).collect();
        let former: HashSet<&str> = old_names.iter().map(AsRef::as_ref).collect();
        let common: Vec<usize> =
            old_names.iter().filter_map(|name| places.get(name.as_ref()).copied()).collect();
        if !common.is_sorted() {
            self.report(DifferenceKind::Reordered, None, None);
        }
        for (name, text) in old_names.iter().zip(old) {
            match places.get(name.as_ref()) {
                Some(place) => self.item(context, name, text, new[*place])?,
                None => self.one_sided_item(Side::Old, name, text),
            }
        }
        for (name, text) in new_names.iter().zip(new) {
            if !former.contains(name.as_ref()) {
                self.one_sided_item(Side::New, name, text);
            }
        }
        Ok(())
    }

    fn one_sided_item(&mut self, side: Side, name: &str, text: &'a str) {
        self.path.push(Segment::Item(name.to_owned()));
        self.report_one_sided(side, text);
        self.path.pop();
    }

    fn by_place(
        &mut self,
        context: Context,
        old: &[&'a str],
        new: &[&'a str],
    ) -> Result<(), Error> {
        for place in 0..old.len().max(new.len()) {
            self.path.push(Segment::Index(place));
            match (old.get(place), new.get(place)) {
                (Some(old), Some(new)) => self.pair(context, "", old, new)?,
                (Some(text), None) => self.report_one_sided(Side::Old, text),
                (None, Some(text)) => self.report_one_sided(Side::New, text),
                (None, None) => {}
            }
            self.path.pop();
        }
        Ok(())
    }
}

/// The names of all items, where each has one and no two share one.
fn names<'a>(
    context: Context,
    key: &str,
    items: &[&'a str],
) -> Result<Option<Vec<Cow<'a, str>>>, Error> {
    let mut names = Vec::with_capacity(items.len());
    for item in items {
        match item_name(context, key, item)? {
            Some(name) => names.push(name),
            None => return Ok(None),
        }
    }
    let mut sorted: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    sorted.sort_unstable();
    Ok(sorted.windows(2).all(|pair| pair[0] != pair[1]).then_some(names))
}

#[cfg(test)]
mod tests;
