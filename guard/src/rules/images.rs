//! Whether an update may change images: over containers, init containers, ephemeral containers and image volumes,
//! where renaming, moving, adding or removing a container is a change of image too.

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smartops_change::ImageChange;
use smartops_common::denial::Rule;

use super::Case;
use crate::findings::Finding;
use crate::verdict::shortened;

/// Whether an update may change images.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImagesSpec {
    /// Whether they may change.
    pub change: ImageRule,
}

/// Whether images may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ImageRule {
    /// No.
    Deny,
    /// As far as this policy is concerned.
    Allow,
}

/// The rule, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Images {
    change: ImageRule,
}

/// Most image changes one policy names in a denial.
const MOST_CHANGES: usize = 16;

impl Images {
    pub(super) fn compile(spec: &ImagesSpec) -> Self {
        Self { change: spec.change }
    }

    pub(super) fn judge(self, case: &Case<'_>, found: &mut Vec<Finding>) {
        if self.change == ImageRule::Deny {
            found.extend(case.change.images().iter().take(MOST_CHANGES).map(refusal));
        }
    }
}

fn refusal(change: &ImageChange) -> Finding {
    let path = shortened(&change.path.to_string(), 200);
    let image = |image: &Option<String>| shortened(image.as_deref().unwrap_or("no image"), 200);
    let exchanged = match (&change.old, &change.new) {
        (None, None) => String::new(),
        (old, new) => format!(" ({} → {})", image(old), image(new)),
    };
    Finding {
        rule: Rule::Images,
        message: format!(
            "{path} {}{exchanged}: images may not change here; deploy the image the way people do",
            change.kind.as_str()
        ),
        path,
        retry_after: None,
        refuses: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, Write};

    #[test]
    fn automation_never_changes_an_image_wherever_it_stands() {
        let image = |image: &str| sample::pods(&format!(r#"{{"name":"web","image":"{image}"}}"#));
        let two = |a: &str, b: &str| {
            sample::pods(&format!(r#"{{"name":"{a}","image":"i"}},{{"name":"{b}","image":"i"}}"#))
        };
        for write in [
            Write::update("", &image("shop:1"), &image("shop:2")),
            Write::update("", &two("a", "b"), &two("b", "a")),
            Write::update(
                "",
                &image("shop:1"),
                &sample::pods(r#"{"name":"other","image":"shop:1"}"#),
            ),
            sample::adds(r#""initContainers":[{"name":"i","image":"x"}]"#),
            sample::adds(r#""volumes":[{"name":"v","image":{"reference":"x"}}]"#),
        ] {
            let rules = sample::refused(&write, &sample::automation());
            assert_eq!(rules.first(), Some(&Rule::Images), "{rules:?}");
        }
    }
}
