//! Path patterns, as policies write them: which paths a rule means.

use std::fmt;
use std::str::FromStr;

use crate::diff::{Difference, DifferenceKind};
use crate::path::{Path, Segment, is_plain};
use crate::raw::{self, Object, Shape};

/// A pattern such as `spec.template.spec.containers[].resources`: from the object's root, `[]` is any item of a
/// list, `["a.b/c"]` a key that holds more than letters, digits, `-` and `_`. It means the path and all below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    AnyItem,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no path pattern: {reason}; write keys joined by dots from the object's root, `[]` for any item of a list and `[\"a.b/c\"]` for a key with other characters, as in spec.template.spec.containers[].resources"
)]
pub struct PatternError {
    text: String,
    reason: &'static str,
}

/// Most steps a pattern may have.
const LONGEST: usize = 32;

impl Pattern {
    /// Whether the path is the one meant or lies below it.
    pub fn covers(&self, path: &Path) -> bool {
        let segments = path.segments();
        segments.len() >= self.steps.len()
            && self.steps.iter().zip(segments).all(|(step, segment)| step.fits(segment))
    }

    /// Whether the difference changes what the pattern means: it lies there or below, or what came or went above
    /// it holds such a part.
    pub fn touches(&self, difference: &Difference<'_>) -> bool {
        if self.covers(&difference.path) {
            return true;
        }
        let segments = difference.path.segments();
        if difference.kind == DifferenceKind::Reordered
            || segments.len() >= self.steps.len()
            || !self.steps.iter().zip(segments).all(|(step, segment)| step.fits(segment))
        {
            return false;
        }
        let rest = &self.steps[segments.len()..];
        [difference.old, difference.new].into_iter().flatten().any(|text| holds(text, rest))
    }
}

impl Step {
    fn fits(&self, segment: &Segment) -> bool {
        match (self, segment) {
            (Self::Key(wanted), Segment::Key(key)) => wanted == key,
            (Self::AnyItem, Segment::Item(_) | Segment::Index(_)) => true,
            _ => false,
        }
    }
}

/// Whether the text has a part at these steps. What cannot be read counts as having it.
fn holds(text: &str, steps: &[Step]) -> bool {
    let Some((step, rest)) = steps.split_first() else { return raw::shape(text) != Shape::Null };
    match (step, raw::shape(text)) {
        (Step::Key(key), Shape::Object) => {
            Object::read(text).map_or(true, |o| o.get(key).is_some_and(|part| holds(part, rest)))
        }
        (Step::AnyItem, Shape::List) => {
            raw::list(text).map_or(true, |items| items.iter().any(|item| holds(item, rest)))
        }
        _ => false,
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let refuse = |reason| PatternError { text: text.chars().take(120).collect(), reason };
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (step, left) = next_step(rest, steps.is_empty()).map_err(refuse)?;
            steps.push(step);
            rest = left;
            if steps.len() > LONGEST {
                return Err(refuse("it has more than 32 steps"));
            }
        }
        match steps.first() {
            Some(Step::Key(_)) => Ok(Self { text: text.to_owned(), steps }),
            Some(Step::AnyItem) => Err(refuse("it begins with a list item")),
            None => Err(refuse("it is empty")),
        }
    }
}

fn next_step(rest: &str, first: bool) -> Result<(Step, &str), &'static str> {
    if let Some(left) = rest.strip_prefix("[]") {
        return Ok((Step::AnyItem, left));
    }
    if let Some(quoted) = rest.strip_prefix("[\"") {
        let (key, left) = quoted.split_once("\"]").ok_or("a quoted key does not end with `\"]`")?;
        if key.is_empty() || key.contains(['"', '\\']) {
            return Err("a quoted key is empty or holds a quote or backslash");
        }
        return Ok((Step::Key(key.to_owned()), left));
    }
    if rest.starts_with('[') {
        return Err("a bracket holds neither nothing nor a quoted key");
    }
    let word = match (first, rest.strip_prefix('.')) {
        (true, None) => rest,
        (false, Some(after)) => after,
        (true, Some(_)) => return Err("it begins with a dot"),
        (false, None) => return Err("a dot is missing between two keys"),
    };
    let (key, left) = word.split_at(word.find(['.', '[']).unwrap_or(word.len()));
    if is_plain(key) {
        Ok((Step::Key(key.to_owned()), left))
    } else {
        Err("a key is empty or holds a character other than letters, digits, `-` and `_`")
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    fn path(segments: &[&str]) -> Path {
        Path::new(
            segments
                .iter()
                .map(|s| match s.strip_prefix('@') {
                    Some(item) => Segment::Item(item.to_owned()),
                    None => Segment::Key((*s).to_owned()),
                })
                .collect(),
        )
    }

    #[test]
    fn a_pattern_covers_its_path_and_all_below_and_stops_at_segment_borders() {
        let annotations = pattern("metadata.annotations");
        assert!(annotations.covers(&path(&["metadata", "annotations"])));
        assert!(annotations.covers(&path(&["metadata", "annotations", "a/b"])));
        assert!(!annotations.covers(&path(&["metadata", "annotationsX"])));
        assert!(!annotations.covers(&path(&["metadata"])));
        assert!(!annotations.covers(&path(&["spec", "metadata", "annotations"])));
    }

    #[test]
    fn any_item_means_an_item_and_never_a_key() {
        let image = pattern("containers[].image");
        assert!(image.covers(&path(&["containers", "@web", "image"])));
        assert!(!image.covers(&path(&["containers", "web", "image"])));
        assert!(!image.covers(&path(&["initContainers", "@web", "image"])));
    }

    #[test]
    fn a_quoted_key_is_one_step() {
        let one = pattern("metadata.annotations[\"a.b/c\"]");
        assert!(one.covers(&path(&["metadata", "annotations", "a.b/c"])));
        assert!(!one.covers(&path(&["metadata", "annotations", "a.b/d"])));
    }

    #[test]
    fn what_came_above_the_pattern_touches_it_only_where_it_holds_such_a_part() {
        let context = pattern("containers[].securityContext");
        let added = |new| Difference {
            path: path(&["containers", "@new"]),
            kind: DifferenceKind::Added,
            old: None,
            new: Some(new),
        };
        assert!(context.touches(&added(r#"{"name":"new","securityContext":{}}"#)));
        assert!(!context.touches(&added(r#"{"name":"new"}"#)));
        assert!(!context.covers(&path(&["containers", "@new"])));
    }

    #[test]
    fn bad_patterns_say_what_is_allowed() {
        for text in
            ["", ".spec", "spec..x", "spec.", "[].x", "a[web]", "a[\"x", "**.x", "a[]b", "a b"]
        {
            let error = text.parse::<Pattern>().unwrap_err().to_string();
            assert!(error.contains("from the object's root"), "{text}: {error}");
        }
    }
}
