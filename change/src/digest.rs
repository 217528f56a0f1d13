//! The digest of a pod template: what a watch and a ledger keep instead of the template. Two templates have the same
//! digest exactly when the difference finds nothing between them.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use sha2::{Digest, Sha256};

use crate::context::{Context, Notation, Scalar};

/// A digest of 128 bits, read from a template's JSON as it streams by and stored as 32 hexadecimal digits.
///
/// It is the first half of the SHA-256 of the template's encoding below, which rests on nothing of the build, the
/// machine or a library's whim: a stored digest holds until what counts as a difference, or the encoding, changes.
/// Then stored and fresh digests of one template differ, which says "changed" and never "the same".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TemplateDigest(u128);

/// Why a text is no stored [`TemplateDigest`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no template digest; it is 32 hexadecimal digits in lower case")]
pub struct TemplateDigestError(String);

impl TemplateDigest {
    /// The digest of a template that says nothing.
    pub const NOTHING: Self = Self(0);

    /// Reads a template whose controller compares as written, as a StatefulSet's and a DaemonSet's do: `1Gi` and
    /// `1073741824` are two templates. For `#[serde(deserialize_with)]`.
    ///
    /// # Errors
    /// Where the deserializer fails.
    pub fn as_written<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(deserializer, Notation::AsWritten)
    }

    fn read<'de, D: Deserializer<'de>>(
        deserializer: D,
        notation: Notation,
    ) -> Result<Self, D::Error> {
        let part = Reader(Context::Structure, notation).deserialize(deserializer)?;
        if part.is_absent || part.is_empty_object {
            return Ok(Self::NOTHING);
        }
        let hash = Sha256::new_with_prefix(SCHEME).chain_update(&part.code).finalize();
        Ok(Self(hash.iter().take(16).fold(0, |sum, byte| sum << 8 | u128::from(*byte))))
    }
}

/// Names the encoding, so that no other encoding's digest is taken for one of this.
const SCHEME: &[u8] = b"smartops template 1\n";

impl<'de> Deserialize<'de> for TemplateDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(deserializer, Notation::ByValue)
    }
}

impl fmt::Display for TemplateDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for TemplateDigest {
    type Err = TemplateDigestError;

    fn from_str(text: &str) -> Result<Self, TemplateDigestError> {
        let is_digest =
            text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let number = u128::from_str_radix(text, 16).ok().filter(|_| is_digest);
        number.map(Self).ok_or_else(|| TemplateDigestError(text.chars().take(60).collect()))
    }
}

/// A subtree, encoded: a letter for what it is, then its length or size where that varies, then its content; an
/// object's members sorted by key. No two subtrees that differ have the same encoding.
struct Part {
    code: Vec<u8>,
    /// Null or an empty list: as if it were not there.
    is_absent: bool,
    is_empty_object: bool,
}

impl Part {
    fn of(code: Vec<u8>) -> Self {
        Self { code, is_absent: false, is_empty_object: false }
    }

    fn sized(letter: u8, count: usize, content: usize) -> Vec<u8> {
        let mut code = Vec::with_capacity(1 + size_of::<u64>() + content);
        code.push(letter);
        put(&mut code, count);
        code
    }
}

fn put(code: &mut Vec<u8>, count: usize) {
    code.extend((count as u64).to_be_bytes());
}

/// Reads a subtree into its [`Part`].
struct Reader(Context, Notation);

impl Reader {
    fn scalar(&self, scalar: Scalar<'_>) -> Part {
        let is_absent = scalar == Scalar::Null;
        let tagged = |letter: u8, content: &[u8]| [&[letter], content].concat();
        let code = match scalar.normalised(self.0, self.1) {
            Scalar::Null => vec![b'n'],
            Scalar::Bool(value) => vec![b'b', u8::from(value)],
            Scalar::Signed(value) => tagged(b'i', &value.to_be_bytes()),
            Scalar::Unsigned(value) => tagged(b'u', &value.to_be_bytes()),
            Scalar::Float(bits) => tagged(b'f', &bits.to_be_bytes()),
            Scalar::Quantity(quantity) => tagged(b'q', &quantity.nano().to_be_bytes()),
            Scalar::Written(quantity, format) => {
                let mut code = tagged(b'w', &quantity.nano().to_be_bytes());
                code.push(format as u8);
                code
            }
            Scalar::Text(text) => {
                let mut code = Part::sized(b't', text.len(), text.len());
                code.extend_from_slice(text.as_bytes());
                code
            }
        };
        Part { is_absent, ..Part::of(code) }
    }
}

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
        Ok(self.scalar(Scalar::Null))
    }
    fn visit_bool<E>(self, value: bool) -> Result<Part, E> {
        Ok(self.scalar(Scalar::Bool(value)))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Part, E> {
        Ok(self.scalar(u64::try_from(value).map_or(Scalar::Signed(value), Scalar::Unsigned)))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Part, E> {
        Ok(self.scalar(Scalar::Unsigned(value)))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Part, E> {
        Ok(self.scalar(Scalar::Float(value.to_bits())))
    }
    fn visit_str<E>(self, value: &str) -> Result<Part, E> {
        Ok(self.scalar(Scalar::Text(value.into())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Part, A::Error> {
        let mut items: Vec<Vec<u8>> = Vec::new();
        while let Some(item) = list.next_element_seed(Self(self.0, self.1))? {
            items.push(item.code);
        }
        let mut code = Part::sized(b'l', items.len(), items.iter().map(Vec::len).sum());
        for item in &items {
            code.extend_from_slice(item);
        }
        Ok(Part { is_absent: items.is_empty(), ..Part::of(code) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Part, A::Error> {
        let mut members: Vec<(String, Vec<u8>)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let Some(context) = self.0.child(&key) else {
                map.next_value::<serde::de::IgnoredAny>()?;
                continue;
            };
            let part = map.next_value_seed(Self(context, self.1))?;
            let says_nothing =
                part.is_absent || (part.is_empty_object && self.0.empty_is_absent(&key));
            if !says_nothing {
                members.push((key, part.code));
            }
        }
        members.sort_unstable();
        let content = members.iter().map(|(key, code)| size_of::<u64>() + key.len() + code.len());
        let mut code = Part::sized(b'o', members.len(), content.sum());
        for (key, member) in &members {
            put(&mut code, key.len());
            code.extend_from_slice(key.as_bytes());
            code.extend_from_slice(member);
        }
        Ok(Part { is_empty_object: members.is_empty(), ..Part::of(code) })
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

    #[test]
    fn a_digest_survives_being_stored_and_is_the_same_in_every_build() {
        let template = r#"{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"web","image":"shop:1",
            "resources":{"limits":{"cpu":"500m"}}}],"terminationGracePeriodSeconds":30,"hostNetwork":false}}"#;
        let text = digest(template).to_string();
        assert_eq!(text, "0092a02e04fc25b70148a96a5eb6fbec");
        assert_eq!(text.parse(), Ok(digest(template)));
        assert_eq!(TemplateDigest::NOTHING.to_string().parse(), Ok(TemplateDigest::NOTHING));
    }

    #[test]
    fn a_text_that_is_no_stored_digest_is_refused() {
        let long = "0".repeat(33);
        for text in
            ["", "0", "+0000000000000000000000000000000", "A0000000000000000000000000000000", &long]
        {
            assert!(text.parse::<TemplateDigest>().is_err(), "{text}");
        }
    }

    #[test]
    fn notation_counts_only_where_the_controller_compares_as_written() {
        let of = |memory: &str| {
            format!(
                r#"{{"spec":{{"containers":[{{"resources":{{"limits":{{"memory":"{memory}"}}}}}}]}}}}"#
            )
        };
        let written = |text: &str| {
            TemplateDigest::as_written(&mut serde_json::Deserializer::from_str(text)).unwrap()
        };
        let (short, long) = (of("1Gi"), of("1073741824"));
        assert_eq!(digest(&short), digest(&long));
        assert_ne!(written(&short), written(&long));
        assert_eq!(written(&short), written(&of("1024Mi")));
    }
}
