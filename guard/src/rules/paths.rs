//! Which paths an update may change: first none that is forbidden, then, where there is a safelist, only what it
//! covers. Values never stand in a message, for any of them may be a secret.

use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};
use smartops_change::{Difference, Pattern};
use smartops_common::denial::Rule;

use super::Case;
use crate::policy::Flaw;
use crate::verdict::{Finding, shortened};

/// Which paths an update may change. A path is `spec.template.spec.containers[].resources`: from the object's root,
/// `[]` for any item, and means everything below it.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PathsSpec {
    /// Only these; absent means all that are not forbidden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub allow: Option<Vec<String>>,
    /// Never these, whatever is allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub forbid: Vec<String>,
}

/// The rule, checked.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    allow: Option<Vec<Pattern>>,
    forbid: Vec<Pattern>,
    /// The safelist, for messages.
    allowed: String,
}

/// Most paths one policy names in a denial.
const MOST_PATHS: usize = 16;

impl Paths {
    pub(super) fn compile(spec: &PathsSpec, flaws: &mut Vec<Flaw>) -> Self {
        let allowed = spec.allow.as_deref().unwrap_or_default().join(", ");
        Self {
            allow: spec.allow.as_ref().map(|list| patterns("allow", list, flaws)),
            forbid: patterns("forbid", &spec.forbid, flaws),
            allowed: shortened(&allowed, 400),
        }
    }

    pub(super) fn judge(&self, case: &Case<'_>, found: &mut Vec<Finding>) {
        let differences = case.change.differences();
        let refused = differences.listed().iter().filter_map(|d| self.refusal(d));
        found.extend(refused.take(MOST_PATHS));
        if differences.is_truncated() {
            let message = format!(
                "more paths change than the {} that are judged; change fewer at once",
                differences.listed().len()
            );
            found.push(finding(String::new(), message));
        }
    }

    fn refusal(&self, difference: &Difference<'_>) -> Option<Finding> {
        let path = shortened(&difference.path.to_string(), 200);
        let what = difference.kind.as_str();
        if let Some(pattern) = self.forbid.iter().find(|p| p.touches(difference)) {
            let message = format!(
                "{path} {what}: changing {pattern} is forbidden here; leave it as it is or ask a person to change it"
            );
            return Some(finding(path, message));
        }
        let allow = self.allow.as_ref()?;
        if allow.iter().any(|p| p.covers(&difference.path)) {
            return None;
        }
        let allowed = if allow.is_empty() { "nothing" } else { &self.allowed };
        let message =
            format!("{path} {what}: it is not on the safelist; allowed to change: {allowed}");
        Some(finding(path, message))
    }
}

fn patterns(list: &str, texts: &[String], flaws: &mut Vec<Flaw>) -> Vec<Pattern> {
    let mut patterns = Vec::with_capacity(texts.len());
    for (place, text) in texts.iter().enumerate() {
        match text.parse() {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => {
                let error: smartops_change::PatternError = error;
                flaws.push(Flaw::new(
                    format!("spec.rules.paths.{list}[{place}]"),
                    error.to_string(),
                ));
            }
        }
    }
    patterns
}

fn finding(path: String, message: String) -> Finding {
    Finding { rule: Rule::Paths, path, message, retry_after: None, refuses: true }
}
