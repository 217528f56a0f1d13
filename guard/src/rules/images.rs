//! Whether an update may change images: over containers, init containers, ephemeral containers and image volumes,
//! where renaming, moving, adding or removing a container is a change of image too.

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smartops_change::ImageChange;
use smartops_common::denial::Rule;

use super::Case;
use crate::verdict::{Finding, shortened};

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
