//! Where in an object a difference lies, as operators read it.

use std::fmt;

/// One step from an object towards a part of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// A member of an object.
    Key(String),
    /// An item of a list, by its merge key or, in a set, by its value.
    Item(String),
    /// An item of a list that has no merge key, by its place.
    Index(usize),
}

/// Where a difference lies: `spec.template.spec.containers[web].image`, `metadata.annotations["a.b/c"]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Path(Vec<Segment>);

impl Path {
    /// A path of these segments, from the object's root.
    pub fn new(segments: Vec<Segment>) -> Self {
        Self(segments)
    }

    /// The segments, from the object's root.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Whether the path begins with these keys.
    pub fn starts_with(&self, keys: &[&str]) -> bool {
        starts_with(&self.0, keys)
    }
}

/// Whether segments begin with these keys.
pub(crate) fn starts_with(segments: &[Segment], keys: &[&str]) -> bool {
    segments.len() >= keys.len()
        && segments.iter().zip(keys).all(|(s, k)| matches!(s, Segment::Key(key) if key == k))
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(key) if is_plain(key) => {
                    let dot = if place == 0 { "" } else { "." };
                    write!(f, "{dot}{key}")?;
                }
                Segment::Key(key) => write!(f, "[{key:?}]")?,
                Segment::Item(name) if is_readable(name) => write!(f, "[{name}]")?,
                Segment::Item(name) => write!(f, "[{name:?}]")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Whether a key reads as a plain word of a path.
pub(crate) fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn is_readable(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'[' | b']' | b'"' | b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_operators_write_it() {
        let key = |k: &str| Segment::Key(k.to_owned());
        let item = |k: &str| Segment::Item(k.to_owned());
        for (segments, text) in [
            (vec![key("spec"), key("replicas")], "spec.replicas"),
            (vec![key("containers"), item("web"), key("image")], "containers[web].image"),
            (
                vec![key("metadata"), key("annotations"), key("a.b/c")],
                "metadata.annotations[\"a.b/c\"]",
            ),
            (vec![key("ports"), item("80/TCP")], "ports[80/TCP]"),
            (vec![key("args"), Segment::Index(3)], "args[3]"),
            (vec![key("volumeMounts"), item("/a]b")], "volumeMounts[\"/a]b\"]"),
        ] {
            assert_eq!(Path::new(segments).to_string(), text);
        }
    }
}
