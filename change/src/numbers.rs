//! The numbers that rules bound: replicas, wherever a kind keeps them, and an autoscaler's bounds with what it
//! scales.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::kind::Number;
use crate::metadata::group_of;
use crate::path::is_plain;
use crate::raw::{self, Error, Object};

/// The number of replicas before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicasChange {
    /// Before; `None` on CREATE.
    pub old: Option<i64>,
    /// After; `None` on DELETE.
    pub new: Option<i64>,
}

/// The bounds of a HorizontalPodAutoscaler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// `spec.minReplicas`, 1 where absent.
    pub min: i64,
    /// `spec.maxReplicas`.
    pub max: i64,
}

/// The bounds of a HorizontalPodAutoscaler before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoundsChange {
    /// Before; `None` on CREATE.
    pub old: Option<Bounds>,
    /// After; `None` on DELETE.
    pub new: Option<Bounds>,
}

/// What a HorizontalPodAutoscaler scales, as its `spec.scaleTargetRef` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScaleTarget<'a> {
    /// Empty for the core group, and where no version is named.
    pub group: Cow<'a, str>,
    /// Its kind, as `Deployment`.
    pub kind: Cow<'a, str>,
    /// Its name.
    pub name: Cow<'a, str>,
}

/// Where a custom resource keeps its number of replicas: `spec.size`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NumberPath {
    text: String,
}

/// Why a text is no [`NumberPath`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no path of a number: {reason}; write plain keys joined by dots, from `spec` on, as in spec.size"
)]
pub struct NumberPathError {
    text: String,
    reason: &'static str,
}

/// Most keys a path of a number may have.
const LONGEST: usize = 16;

impl NumberPath {
    /// The same place as a JSON pointer.
    pub fn pointer(&self) -> String {
        format!("/{}", self.text.replace('.', "/"))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for NumberPath {
    type Err = NumberPathError;

    fn from_str(text: &str) -> Result<Self, NumberPathError> {
        let refuse = |reason| NumberPathError { text: text.chars().take(120).collect(), reason };
        let mut keys = 0_usize;
        for key in text.split('.') {
            if !is_plain(key) {
                return Err(refuse(
                    "a key is empty or holds a character other than letters, digits, `-` and `_`",
                ));
            }
            keys += 1;
        }
        if keys > LONGEST {
            return Err(refuse("it has more than 16 keys"));
        }
        if !text.starts_with("spec.") {
            return Err(refuse("it does not lie below `spec`"));
        }
        Ok(Self { text: text.to_owned() })
    }
}

impl fmt::Display for NumberPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads the number of a kind.
pub(crate) fn replicas(object: &Object<'_>, number: Number) -> Result<i64, Error> {
    match object.find(number.keys.iter().copied())? {
        Some(text) => raw::integer(text, number.path),
        None => Ok(number.absent),
    }
}

/// Reads the number at a path; absent where it or a part above it is.
pub(crate) fn number_at(object: &Object<'_>, path: &NumberPath) -> Result<Option<i64>, Error> {
    object.find(path.text.split('.'))?.map(|text| raw::integer(text, path.as_str())).transpose()
}

/// Reads an autoscaler's bounds.
pub(crate) fn bounds(object: &Object<'_>) -> Result<Bounds, Error> {
    let spec = object.object("spec")?;
    let number = |key, field| spec.get(key).map(|text| raw::integer(text, field)).transpose();
    Ok(Bounds {
        min: number("minReplicas", "spec.minReplicas")?.unwrap_or(1),
        max: number("maxReplicas", "spec.maxReplicas")?
            .ok_or_else(|| Error::field("spec.maxReplicas", "absent", "a whole number"))?,
    })
}

/// Reads what an autoscaler scales.
pub(crate) fn scale_target<'a>(object: &Object<'a>) -> Result<Option<ScaleTarget<'a>>, Error> {
    let target = object.object("spec")?.object("scaleTargetRef")?;
    let text = |key| Ok::<_, Error>(target.string(key)?.unwrap_or_default());
    let named = ScaleTarget {
        group: group_of(text("apiVersion")?),
        kind: text("kind")?,
        name: text("name")?,
    };
    Ok((!named.name.is_empty()).then_some(named))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_a_number_is_plain_keys_below_spec() {
        let path: NumberPath = "spec.worker-pool.size_max".parse().unwrap();
        assert_eq!(path.to_string(), "spec.worker-pool.size_max");
        assert_eq!(path.pointer(), "/spec/worker-pool/size_max");
        let long = format!("spec{}", ".a".repeat(16));
        for text in [
            "",
            "spec",
            ".spec.size",
            "spec.",
            "spec..a",
            "status.size",
            "specs.a",
            "spec.a[0]",
            "spec.a/b",
            &long,
        ] {
            let error = text.parse::<NumberPath>().unwrap_err().to_string();
            assert!(error.contains("as in spec.size"), "{text}: {error}");
        }
    }
}
