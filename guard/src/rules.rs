//! The guardrails, each in a file of its own: what a policy may say, its check, its judgement. Listed here once.

pub mod cooldown;
pub mod images;
pub mod paths;
pub mod replicas;

use jiff::Timestamp;
use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};
use smartops_change::Change;
use smartops_common::denial::Rule;

use self::cooldown::{Cooldown, CooldownSpec};
use self::images::{Images, ImagesSpec};
use self::paths::{Paths, PathsSpec};
use self::replicas::{Replicas, ReplicasSpec};
use crate::facts::Facts;
use crate::findings::Finding;
use crate::judge::Needs;
use crate::policy::Flaw;
use crate::subject::Subject;

/// What the writes a policy means may not do. A rule that is absent binds nothing.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RulesSpec {
    /// How many replicas there may be, and how far one write may move them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<ReplicasSpec>,
    /// How long to wait between two changes of the pod template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<CooldownSpec>,
    /// Which paths an update may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<PathsSpec>,
    /// Whether an update may change images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<ImagesSpec>,
}

/// The rules of a policy, checked.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) replicas: Option<Replicas>,
    cooldown: Option<Cooldown>,
    paths: Option<Paths>,
    images: Option<Images>,
    /// Nothing of the policy but its match can be read: whatever it matches is undecided.
    is_blind: bool,
}

/// What a rule looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) change: &'a Change<'a>,
    pub(crate) subject: &'a Subject,
    pub(crate) facts: &'a Facts<'a>,
    pub(crate) now: Timestamp,
}

impl Rules {
    /// Checks every rule; what is wrong is added to `flaws`.
    pub(crate) fn compile(spec: &RulesSpec, flaws: &mut Vec<Flaw>) -> Self {
        Self {
            replicas: spec.replicas.as_ref().map(|s| Replicas::compile(s, flaws)),
            cooldown: spec.cooldown.as_ref().map(|s| Cooldown::compile(s, flaws)),
            paths: spec.paths.as_ref().map(|s| Paths::compile(s, flaws)),
            images: spec.images.as_ref().map(Images::compile),
            is_blind: false,
        }
    }

    /// The rules of a policy that cannot be judged by.
    pub(crate) fn blind() -> Self {
        Self { replicas: None, cooldown: None, paths: None, images: None, is_blind: true }
    }

    /// Adds what every rule finds in the case.
    pub(crate) fn judge(&self, case: &Case<'_>, found: &mut Vec<Finding>) -> Result<(), Needs> {
        if self.is_blind {
            found.push(Finding {
                rule: Rule::Undecided,
                path: String::new(),
                message: "the policy cannot be judged by as it is written; its condition Accepted says why: \
                          have an operator correct it"
                    .to_owned(),
                retry_after: None,
                refuses: true,
            });
        }
        if let Some(rule) = &self.images {
            rule.judge(case, found);
        }
        if let Some(rule) = &self.replicas {
            rule.judge(case, found);
        }
        if let Some(rule) = &self.paths {
            rule.judge(case, found);
        }
        match &self.cooldown {
            Some(rule) => rule.judge(case, found),
            None => Ok(()),
        }
    }
}
