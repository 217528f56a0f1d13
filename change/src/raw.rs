//! The parser: one level of a JSON text at a time, everything below stays borrowed text. Nothing here knows
//! Kubernetes.

use std::borrow::Cow;

use crate::scan::{Quoted, Scanner};

/// Why a review could not be read as a change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not JSON, or not the shape Kubernetes objects have.
    #[error("{0}")]
    Unreadable(String),
    /// A key stands twice in one object, so that two readers could see two objects.
    #[error("the key {0:?} stands twice in one object; a key may stand once")]
    DuplicateKey(String),
    /// A part that must be there is missing.
    #[error("{0} is missing from the review; this operation carries it")]
    Missing(&'static str),
    /// A field holds what it may not.
    #[error("{field} is {found}; it must be {expected}")]
    Field {
        /// The field's path.
        field: String,
        /// What stands there, shortened.
        found: String,
        /// What may stand there.
        expected: &'static str,
    },
}

impl Error {
    pub(crate) fn field(field: &str, found: &str, expected: &'static str) -> Self {
        Self::Field { field: field.to_owned(), found: found.chars().take(40).collect(), expected }
    }
}

/// What a JSON text is, told by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Null,
    Scalar,
    List,
    Object,
}

pub(crate) fn shape(text: &str) -> Shape {
    match text.as_bytes().first() {
        Some(b'n') => Shape::Null,
        Some(b'[') => Shape::List,
        Some(b'{') => Shape::Object,
        _ => Shape::Scalar,
    }
}

/// One object: its members sorted by key, their values unparsed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Object<'a> {
    members: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'a> Object<'a> {
    /// Reads the members of an object.
    pub(crate) fn read(text: &'a str) -> Result<Self, Error> {
        let mut scanner = Scanner::new(text);
        scanner.expect(b'{')?;
        let mut members = Vec::with_capacity(8);
        if !scanner.take(b'}') {
            loop {
                let key = unquoted(&scanner.string()?)?;
                scanner.expect(b':')?;
                members.push((key, scanner.value()?));
                if !scanner.take(b',') {
                    break;
                }
            }
            scanner.expect(b'}')?;
        }
        scanner.end()?;
        if !members.is_sorted_by(|a, b| a.0 < b.0) {
            members.sort_by(|a, b| a.0.cmp(&b.0));
        }
        match members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(Error::DuplicateKey(pair[0].0.chars().take(60).collect())),
            None => Ok(Self { members }),
        }
    }

    /// Reads a member as an object; absent and null are an object without members.
    pub(crate) fn object(&self, key: &str) -> Result<Self, Error> {
        self.get(key).map_or_else(|| Ok(Self::default()), Self::read)
    }

    /// Reads a member as a list; absent and null are a list without items.
    pub(crate) fn list(&self, key: &str) -> Result<Vec<&'a str>, Error> {
        self.get(key).map_or_else(|| Ok(Vec::new()), list)
    }

    /// Reads a member as a string.
    pub(crate) fn string(&self, key: &str) -> Result<Option<Cow<'a, str>>, Error> {
        self.get(key).map(string).transpose()
    }

    /// A member's text; null counts as absent.
    pub(crate) fn get(&self, key: &str) -> Option<&'a str> {
        let found = self.members.binary_search_by(|(k, _)| k.as_ref().cmp(key)).ok()?;
        Some(self.members[found].1).filter(|text| shape(text) != Shape::Null)
    }

    /// The text at the end of these keys; absent where it, or a part on the way to it, is absent or null.
    pub(crate) fn find<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k str>,
    ) -> Result<Option<&'a str>, Error> {
        let mut keys = keys.into_iter();
        let Some(mut found) = keys.next().and_then(|key| self.get(key)) else { return Ok(None) };
        for key in keys {
            match Self::read(found)?.get(key) {
                Some(text) => found = text,
                None => return Ok(None),
            }
        }
        Ok(Some(found))
    }

    /// Reads the object at the end of these keys; absent and null are an object without members.
    pub(crate) fn object_at(&self, keys: &[&str]) -> Result<Self, Error> {
        self.find(keys.iter().copied())?.map_or_else(|| Ok(Self::default()), Self::read)
    }

    /// The members, sorted by key.
    pub(crate) fn members(&self) -> &[(Cow<'a, str>, &'a str)] {
        &self.members
    }
}

/// The items of a list, unparsed.
pub(crate) fn list(text: &str) -> Result<Vec<&str>, Error> {
    let mut scanner = Scanner::new(text);
    scanner.expect(b'[')?;
    let mut items = Vec::new();
    if !scanner.take(b']') {
        loop {
            items.push(scanner.value()?);
            if !scanner.take(b',') {
                break;
            }
        }
        scanner.expect(b']')?;
    }
    scanner.end()?;
    Ok(items)
}

/// A string, borrowed where it holds no escapes.
pub(crate) fn string(text: &str) -> Result<Cow<'_, str>, Error> {
    let mut scanner = Scanner::new(text);
    let quoted = scanner.string()?;
    scanner.end()?;
    unquoted(&quoted)
}

fn unquoted<'a>(quoted: &Quoted<'a>) -> Result<Cow<'a, str>, Error> {
    let inner = quoted.inner;
    if !quoted.has_escapes && !inner.bytes().any(|b| b < b' ') {
        return Ok(Cow::Borrowed(inner));
    }
    let read: Result<String, _> = serde_json::from_str(&format!("\"{inner}\""));
    read.map(Cow::Owned).map_err(|e| Error::Unreadable(format!("expected a string: {e}")))
}

/// A whole number within 64 bits.
pub(crate) fn integer(text: &str, field: &str) -> Result<i64, Error> {
    serde_json::from_str(text).map_err(|_| Error::field(field, text, "a whole number of 64 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_level_is_read_and_the_rest_stays_text() {
        let object = Object::read(r#"{"b": {"x":1} , "a":null}"#).unwrap();
        assert_eq!(object.get("b"), Some(r#"{"x":1}"#));
        assert_eq!(object.get("a"), None);
    }

    #[test]
    fn a_key_that_stands_twice_is_refused() {
        assert_eq!(
            Object::read(r#"{"replicas":1,"replicas":50}"#),
            Err(Error::DuplicateKey("replicas".into()))
        );
        assert!(Object::read(r#"{"replicas":1,"r\u0065plicas":50}"#).is_err());
    }

    #[test]
    fn numbers_that_are_not_whole_or_too_large_are_refused() {
        assert_eq!(integer("7", "spec.replicas"), Ok(7));
        for text in ["1.5", "9223372036854775808", "\"3\"", "true"] {
            assert!(integer(text, "spec.replicas").is_err(), "{text}");
        }
    }
}
