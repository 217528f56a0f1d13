//! The guardrails, each in a file of its own: what a policy may say, its check, its judgement. Listed here once.

pub mod budget;
pub mod capabilities;
pub mod cooldown;
pub mod custom;
pub mod deletion;
pub(crate) mod evidence;
pub mod freeze;
pub mod images;
pub mod paths;
mod readings;
pub mod replicas;
pub mod resources;
pub mod warrant;

use jiff::Timestamp;
use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};
use smartops_change::{Change, NumberPath, Operation};
use smartops_common::denial::Rule;

use self::budget::{Budget, BudgetSpec};
use self::capabilities::{Capabilities, CapabilitiesSpec, Used};
use self::cooldown::{Cooldown, CooldownSpec};
use self::custom::{Custom, CustomSpec};
use self::deletion::{Deletion, DeletionSpec};
use self::evidence::unknown;
use self::freeze::{Freeze, FreezeSpec};
use self::images::{Images, ImagesSpec};
use self::paths::{Paths, PathsSpec};
pub(crate) use self::readings::Readings;
use self::replicas::{OnViolation, Replicas, ReplicasSpec};
use self::resources::{Resources, ResourcesSpec};
use self::warrant::{WarrantSpec, Warranted};
use crate::cel::Inputs;
use crate::facts::Facts;
use crate::findings::Finding;
use crate::judge::Needs;
use crate::policy::{Flaw, Reach};
use crate::subject::Subject;
use crate::warrant::restores_what_was;

/// What the writes a policy means may not do. A rule that is absent binds nothing.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RulesSpec {
    /// How many replicas there may be, and how far one write may move them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<ReplicasSpec>,
    /// How long to wait between two restarts, and between two changes of the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<CooldownSpec>,
    /// Which paths an update may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<PathsSpec>,
    /// Which images there may be, and whether an update may change them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<ImagesSpec>,
    /// How far an update may raise requests and limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourcesSpec>,
    /// Whether objects may be deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<DeletionSpec>,
    /// When nothing may change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub freeze: Vec<FreezeSpec>,
    /// How many changes a target and a namespace may have in a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetSpec>,
    /// Rules of one's own, in CEL: each must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub custom: Vec<CustomSpec>,
    /// That every write has to be announced by a Remediation, and approved where that is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warrant: Option<WarrantSpec>,
    /// Which of its further actions SmartOps' controller may take, each off unless it is switched on here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<CapabilitiesSpec>,
}

impl RulesSpec {
    /// Which rules there are to be lifted; of warrants and capabilities nothing is lifted.
    pub(crate) fn given(&self) -> Vec<Rule> {
        let all = [
            (Rule::Images, self.images.is_some()),
            (Rule::Replicas, self.replicas.is_some()),
            (Rule::Resources, self.resources.is_some()),
            (Rule::Paths, self.paths.is_some()),
            (Rule::Deletion, self.deletion.is_some()),
            (Rule::Custom, !self.custom.is_empty()),
            (Rule::Cooldown, self.cooldown.is_some()),
            (Rule::Budget, self.budget.is_some()),
            (Rule::Freeze, !self.freeze.is_empty()),
        ];
        all.into_iter().filter_map(|(rule, is_given)| is_given.then_some(rule)).collect()
    }
}

/// The rules of a policy, checked.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) replicas: Option<Replicas>,
    cooldown: Option<Cooldown>,
    paths: Option<Paths>,
    pub(crate) images: Option<Images>,
    resources: Option<Resources>,
    deletion: Option<Deletion>,
    freeze: Freeze,
    budget: Option<Budget>,
    custom: Custom,
    warrant: Option<Warranted>,
    capabilities: Option<Capabilities>,
    /// Nothing of the policy but its match can be read: whatever it matches is undecided.
    is_blind: bool,
    binds_something: bool,
    is_only_a_condition: bool,
}

/// What a rule looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) change: &'a Change<'a>,
    pub(crate) subject: &'a Subject,
    pub(crate) facts: &'a Facts<'a>,
    pub(crate) inputs: &'a Inputs<'a>,
    pub(crate) readings: &'a Readings,
    pub(crate) now: Timestamp,
}

impl Rules {
    /// Checks every rule; what is wrong is added to `flaws`.
    pub(crate) fn compile(spec: &RulesSpec, flaws: &mut Vec<Flaw>) -> Self {
        Self {
            replicas: spec.replicas.as_ref().map(|s| Replicas::compile(s, flaws)),
            cooldown: spec.cooldown.as_ref().map(|s| Cooldown::compile(s, flaws)),
            paths: spec.paths.as_ref().map(|s| Paths::compile(s, flaws)),
            images: spec.images.as_ref().map(|s| Images::compile(s, flaws)),
            resources: spec.resources.as_ref().map(|s| Resources::compile(s, flaws)),
            deletion: spec.deletion.as_ref().map(|s| Deletion::compile(s, flaws)),
            freeze: Freeze::compile(&spec.freeze, flaws),
            budget: spec.budget.as_ref().map(|s| Budget::compile(s, flaws)),
            custom: Custom::compile(&spec.custom, flaws),
            warrant: spec.warrant.as_ref().map(|s| Warranted::compile(s, flaws)),
            capabilities: spec.capabilities.map(Capabilities::new),
            is_blind: false,
            binds_something: *spec != RulesSpec::default(),
            is_only_a_condition: spec.warrant.is_some()
                && RulesSpec { warrant: None, capabilities: None, ..spec.clone() }
                    == RulesSpec::default(),
        }
    }

    /// The rules of a policy that cannot be judged by.
    pub(crate) fn blind() -> Self {
        let nothing = Self::compile(&RulesSpec::default(), &mut Vec::new());
        Self { is_blind: true, binds_something: true, ..nothing }
    }

    /// Whether nothing but the policy's match can be read.
    pub(crate) fn are_blind(&self) -> bool {
        self.is_blind
    }

    /// Whether there is any rule.
    pub(crate) fn bind_something(&self) -> bool {
        self.binds_something
    }

    /// Whether writes need a warrant; then nothing of them is changed.
    pub(crate) fn want_a_warrant(&self) -> bool {
        self.warrant.is_some()
    }

    /// Whether there is a rule about warrants and none about the write itself: that says on which condition something may be written, and
    /// not what.
    pub(crate) fn are_only_a_condition(&self) -> bool {
        self.is_only_a_condition
    }

    /// Whether numbers are changed instead of refused.
    pub(crate) fn clamps(&self) -> bool {
        self.replicas.is_some_and(|r| r.on_violation() == OnViolation::Clamp)
    }

    /// Adds what every rule that reaches the write finds in the case. A neighbour of what the policy names is held to
    /// what the policy says of numbers, pods and time, and not to rules about the shape of another kind.
    pub(crate) fn judge(
        &self,
        case: &Case<'_>,
        reach: Reach,
        number: Option<&NumberPath>,
        found: &mut Vec<Finding>,
    ) -> Result<(), Needs> {
        if self.is_blind {
            found.push(blind());
        }
        if reach == Reach::Recreation && case.predecessor().is_none() {
            return Ok(());
        }
        let used = self.used(case)?;
        match (used, self.capabilities) {
            (Used::By(capability), Some(rule)) => rule.judge(capability, found),
            (Used::Unknown(what), _) => found.push(unknown("", what)),
            _ if reach == Reach::Capability => return Ok(()),
            _ => {}
        }
        // What an action may change is said by its warrant, exactly.
        let yields = used != Used::Nothing;
        let is_named = reach == Reach::Named;
        let is_update = case.change.operation() == Operation::Update;
        let is_deletion = case.change.operation() == Operation::Delete;
        if is_named || (reach == Reach::ReplicaSet && !is_deletion) {
            if let Some(rule) = &self.images {
                rule.judge(case, reach, yields, found);
            }
            if let Some(rule) = &self.resources {
                rule.judge(case, found);
            }
        }
        if let Some(rule) = &self.paths
            && is_update
            && !yields
            && reach != Reach::Autoscaler
        {
            rule.judge(case, number, found);
        }
        if is_named {
            if let Some(rule) = &self.deletion {
                rule.judge(case, number, found);
            }
            self.custom.judge(case, found);
        }
        if reach != Reach::Pod || yields {
            self.freeze.judge(case, found);
        }
        if let Some(rule) = &self.images {
            rule.judge_replacement(case, found);
        }
        let mut needs = Needs::default();
        if reach == Reach::Scale {
            needs.also(self.custom.judge_scale(case, number, found));
        }
        needs.also(self.judge_pace(case, reach, number, found));
        if let Some(rule) = &self.warrant {
            needs.also(rule.judge(case, found));
        }
        needs.or_ok()
    }

    /// Which capability the write uses, as far as the policy has a say in it.
    fn used(&self, case: &Case<'_>) -> Result<Used, Needs> {
        self.capabilities.map_or(Ok(Used::Nothing), |_| capabilities::used(case))
    }

    /// Whether the write uses a capability that the policy says something of, or may.
    pub(crate) fn have_a_say(&self, case: &Case<'_>) -> bool {
        self.used(case).is_ok_and(|used| used != Used::Nothing)
    }

    /// The rules that hold up what comes too soon or goes too far at once. An undo that brings back what was is held to
    /// the bounds alone.
    fn judge_pace(
        &self,
        case: &Case<'_>,
        reach: Reach,
        number: Option<&NumberPath>,
        found: &mut Vec<Finding>,
    ) -> Result<(), Needs> {
        let before = found.len();
        let mut needs = Needs::default();
        if let Some(rule) = &self.replicas {
            needs.also(rule.judge(case, reach, number, found));
        }
        if let Some(rule) = &self.cooldown {
            needs.also(rule.judge(case, found));
        }
        if let Some(rule) = &self.budget {
            needs.also(rule.judge(case, found));
        }
        needs.or_ok()?;
        let refuses = found.iter().skip(before).any(|finding| finding.refuses);
        if refuses && restores_what_was(case)? {
            found.truncate(before);
            if let Some(rule) = &self.replicas {
                rule.without_step().judge(case, reach, number, found)?;
            }
        }
        Ok(())
    }
}

fn blind() -> Finding {
    Finding {
        rule: Rule::Undecided,
        path: String::new(),
        message:
            "the policy cannot be judged by as it is written; its condition Accepted says why: \
                  have an operator correct it"
                .to_owned(),
        retry_after: None,
        refuses: true,
    }
}
