//! The digest of a pod template: what a watch keeps instead of the template. Two templates have the same digest
//! exactly when the difference finds nothing between them.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::context::{Context, Scalar};

/// A digest of 128 bits, read from a template's JSON as it streams by. Equal within one build of the program only:
/// not for storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TemplateDigest(u128);

impl TemplateDigest {
    /// The digest of a template that says nothing.
    pub const NOTHING: Self = Self(0);
}

impl<'de> Deserialize<'de> for TemplateDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let part = Reader(Context::Structure).deserialize(deserializer)?;
        Ok(if part.is_absent || part.is_empty_object { Self::NOTHING } else { Self(part.hash) })
    }
}

/// What is kept of a subtree.
struct Part {
    hash: u128,
    /// Null or an empty list: as if it were not there.
    is_absent: bool,
    is_empty_object: bool,
}

impl Part {
    fn of(value: &impl Hash) -> Self {
        Self { hash: hash(value), is_absent: false, is_empty_object: false }
    }

    fn scalar(scalar: Scalar<'_>, context: Context) -> Self {
        let is_absent = scalar == Scalar::Null;
        Self { is_absent, ..Self::of(&(0_u8, scalar.normalised(context))) }
    }
}

fn hash(value: &impl Hash) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        value.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}

/// Reads a subtree into its [`Part`].
struct Reader(Context);

impl<'de> DeserializeSeed<'de> for Reader {
    type Value = Part;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Part, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader {
    type Value = Part;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a part of a pod template")
    }
    fn visit_unit<E>(self) -> Result<Part, E> {
        Ok(Part::scalar(Scalar::Null, self.0))
    }
    fn visit_bool<E>(self, value: bool) -> Result<Part, E> {
        Ok(Part::scalar(Scalar::Bool(value), self.0))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Part, E> {
        let scalar = u64::try_from(value).map_or(Scalar::Signed(value), Scalar::Unsigned);
        Ok(Part::scalar(scalar, self.0))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Part, E> {
        Ok(Part::scalar(Scalar::Unsigned(value), self.0))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Part, E> {
        Ok(Part::scalar(Scalar::Float(value.to_bits()), self.0))
    }
    fn visit_str<E>(self, value: &str) -> Result<Part, E> {
        Ok(Part::scalar(Scalar::Text(value.into()), self.0))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Part, A::Error> {
        let mut hashes = Vec::new();
        while let Some(item) = items.next_element_seed(Self(self.0))? {
            hashes.push(item.hash);
        }
        Ok(Part { is_absent: hashes.is_empty(), ..Part::of(&(1_u8, hashes)) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Part, A::Error> {
        let mut members: Vec<(String, u128)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let Some(context) = self.0.child(&key) else {
                map.next_value::<serde::de::IgnoredAny>()?;
                continue;
            };
            let part = map.next_value_seed(Self(context))?;
            let says_nothing =
                part.is_absent || (part.is_empty_object && self.0.empty_is_absent(&key));
            if !says_nothing {
                members.push((key, part.hash));
            }
        }
        members.sort_unstable();
        Ok(Part { is_empty_object: members.is_empty(), ..Part::of(&(2_u8, members)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> TemplateDigest {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_order_of_keys_and_the_notation_of_quantities_leave_the_digest() {
        let a = r#"{"spec":{"containers":[{"name":"a","resources":{"limits":{"cpu":"1000m"}}}]},"metadata":{"creationTimestamp":null}}"#;
        let b = r#"{"metadata":{},"spec":{"containers":[{"resources":{"limits":{"cpu":"1"}},"name":"a"}]}}"#;
        assert_eq!(digest(a), digest(b));
    }

    #[test]
    fn what_makes_a_new_replica_set_makes_a_new_digest() {
        let of = |inner: &str| digest(&format!(r#"{{"spec":{{"containers":[{inner}]}}}}"#));
        let plain = of(r#"{"name":"a"},{"name":"b"}"#);
        assert_ne!(plain, of(r#"{"name":"b"},{"name":"a"}"#));
        assert_ne!(plain, of(r#"{"name":"a","securityContext":{}},{"name":"b"}"#));
        assert_ne!(plain, of(r#"{"name":"a","env":[{"name":"X"}]},{"name":"b"}"#));
    }

    #[test]
    fn nothing_null_and_empty_are_one_digest() {
        assert_eq!(digest("null"), digest("{}"));
        assert_eq!(digest("{}"), digest(r#"{"spec":{},"metadata":{"labels":{}}}"#));
    }
}
