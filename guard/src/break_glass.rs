//! Breaking the glass: a member of a group that may lets a write past every policy, for a reason that stands on the
//! object. It counts only where a write would be refused, and automation can never do it.

use std::sync::Arc;

use smartops_change::Resource;
use smartops_common::names;

use crate::judge::Needs;
use crate::rules::Case;
use crate::skim::Skimmed;
use crate::verdict::shortened;
use crate::wording::Wording;

/// Characters a reason has at least.
pub const SHORTEST_REASON: usize = 10;
/// Characters of it that are told.
const LONGEST_REASON: usize = 200;

/// What a member of a group that may break the glass is told.
pub(crate) const HINT: Wording = Wording::new(
    "you may break the glass: give the object the annotation smartops.dev/break-glass with a reason of at least 10 characters",
);
pub(crate) const HINT_SHORT: Wording = Wording::new(
    "smartops.dev/break-glass gives a reason of {} characters; at least 10 break the glass",
);

/// That a write may happen only because the glass was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakGlass {
    /// Why, shortened.
    pub reason: String,
    /// The policies that would have refused it.
    pub policies: Vec<Arc<str>>,
    /// The kind of the object, or of the one the subresource is of; empty where it is not known.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid; empty where it is not known.
    pub uid: String,
}

/// What came of asking whether the glass was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Glass {
    /// It was; the policies are to be filled in.
    Broken(BreakGlass),
    /// It was not, and this is what a member might do.
    Whole(String),
    /// Whoever asks may not break it.
    OutOfReach,
}

/// Whether the glass was broken for this write.
///
/// # Errors
/// The whole object, where a subresource of it is written.
pub(crate) fn ask(case: &Case<'_>) -> Result<Glass, Needs> {
    if !case.subject.may_break_glass() {
        return Ok(Glass::OutOfReach);
    }
    let key = names::BREAK_GLASS;
    let Some(object) = Skimmed::of(case.change, case.facts)? else {
        let hint = format!("whether {key} stands on the object cannot be read: retry");
        return Ok(Glass::Whole(hint));
    };
    let reason = object.annotation(key).map(str::trim);
    let hint = match reason.map(|reason| reason.chars().count()) {
        Some(length) if length >= SHORTEST_REASON => None,
        Some(length) => Some(HINT_SHORT.say(&[&length])),
        None => Some(HINT.say(&[])),
    };
    if let Some(hint) = hint {
        return Ok(Glass::Whole(hint));
    }
    let asked = case.change.resource();
    let kind = Resource { subresource: "", ..asked }.kind().name();
    let metadata = case.change.old().or_else(|| case.change.new());
    Ok(Glass::Broken(BreakGlass {
        reason: shortened(reason.unwrap_or_default(), LONGEST_REASON),
        policies: Vec::new(),
        kind: kind.unwrap_or_else(|| object.kind()).to_owned(),
        name: case.change.name().to_owned(),
        uid: metadata.map(|m| m.uid.to_string()).unwrap_or_default(),
    }))
}

#[cfg(test)]
mod tests {
    use smartops_change::Operation;
    use smartops_common::config::{self, SmartOpsConfigSpec};
    use smartops_common::denial::Rule;

    use super::*;
    use crate::amend::amend;
    use crate::facts::{Facts, Whole};
    use crate::judge::{Judgement, Needs, judge};
    use crate::policy::Applied;
    use crate::rules::replicas::{OnViolation, ReplicasSpec};
    use crate::sample::{self, Write};
    use crate::subject::Subject;
    use crate::verdict::{Effect, Verdict};

    fn subject(user: &str, groups: &[&str]) -> Subject {
        let config = SmartOpsConfigSpec {
            break_glass: config::BreakGlass { groups: vec!["oncall".into()] },
            ..SmartOpsConfigSpec::default()
        };
        Subject::new(&config, user, groups)
    }

    fn member() -> Subject {
        subject("alice", &["oncall"])
    }

    /// A Deployment with this many replicas whose author gives this reason.
    fn object(replicas: i64, reason: Option<&str>) -> String {
        let annotations = reason
            .map(|r| format!(r#","annotations":{{"smartops.dev/break-glass":"{r}"}}"#))
            .unwrap_or_default();
        format!(
            r#"{{"kind":"Deployment","metadata":{{"name":"web","uid":"u1","generation":7{annotations}}},"spec":{{"replicas":{replicas}}}}}"#
        )
    }

    fn verdict(
        write: &Write,
        subject: &Subject,
        policies: &[Applied],
        whole: Whole<'_>,
    ) -> Verdict {
        let facts = Facts { whole, ..sample::facts(policies) };
        sample::verdict_with(write, subject, &facts)
    }

    const WHY: &str = "the shop is down";

    #[test]
    fn a_member_with_a_reason_passes_and_nobody_else_and_no_other_reason_does() {
        let policies = sample::shipped_policies();
        let controller = "system:serviceaccount:smartops-system:smartops-orchestrator";
        for (subject, reason, passes) in [
            (member(), Some(WHY), true),
            (member(), Some("0123456789"), true),
            (member(), Some("  12345678   "), false),
            (member(), Some(""), false),
            (member(), None, false),
            (subject("alice", &["on-call"]), Some(WHY), false),
            (subject(controller, &["oncall"]), Some(WHY), false),
            (member().as_automation(), Some(WHY), false),
        ] {
            let write = Write::update("", &object(3, None), &object(50, reason));
            let verdict = verdict(&write, &subject, &policies, Whole::NotAsked);
            let name = subject.username();
            assert_eq!(verdict.denial().is_none(), passes, "{name} {reason:?}");
            assert_eq!(verdict.break_glass.is_some(), passes, "{name} {reason:?}");
        }
    }

    #[test]
    fn what_is_lifted_is_told_in_a_warning_an_annotation_and_the_outcome() {
        let write = Write::update("", &object(3, None), &object(50, Some(WHY)));
        let policies = sample::shipped_policies();
        let verdict = verdict(&write, &member(), &policies, Whole::NotAsked);
        assert_eq!(verdict.warnings, ["smartops-baseline/replicas: the glass was broken"]);
        let audit =
            [("excepted-by", "smartops-baseline/replicas by break-glass"), ("break-glass", WHY)];
        assert_eq!(verdict.audit, audit.map(|(k, v)| (k.to_owned(), v.to_owned())));
        let effects: Vec<_> = verdict.outcomes.iter().map(|o| (o.rule, o.effect)).collect();
        assert_eq!(effects, [(Rule::Replicas, Effect::Except)]);
        let broken = verdict.break_glass.unwrap();
        assert_eq!((broken.kind.as_str(), broken.uid.as_str()), ("Deployment", "u1"));
        assert_eq!((broken.reason.as_str(), broken.policies.len()), (WHY, 1));
    }

    #[test]
    fn a_glass_is_not_broken_where_nothing_refuses() {
        let write = Write::update("", &object(3, None), &object(4, Some(WHY)));
        let verdict = verdict(&write, &member(), &sample::shipped_policies(), Whole::NotAsked);
        assert_eq!((verdict.break_glass, verdict.warnings), (None, vec![]));
    }

    #[test]
    fn of_a_scale_the_reason_stands_on_its_object_which_is_read() {
        let policies = sample::shipped_policies();
        let scale = sample::scale(3, 50);
        let judged = judge(&scale.change(), &member(), &sample::facts(&policies), sample::now());
        assert_eq!(judged, Judgement::Needs(Needs::WHOLE));
        let (with, without) = (object(3, Some(WHY)), object(3, None));
        for (whole, passes) in [
            (Whole::Known(&with), true),
            (Whole::Known(&without), false),
            (Whole::Unavailable, false),
        ] {
            let verdict = verdict(&scale, &member(), &policies, whole);
            assert_eq!(verdict.denial().is_none(), passes, "{whole:?}");
        }
    }

    #[test]
    fn what_goes_carries_the_reason_it_had() {
        let mut spec = sample::baseline();
        spec.match_.operations = vec![crate::policy::OperationName::Delete];
        spec.rules = serde_json::from_str(r#"{"deletion":{"allow":"Never"}}"#).unwrap();
        let policies = [sample::applied("keep", &spec)];
        for (reason, passes) in [(Some(WHY), true), (None, false)] {
            let mut write = Write::of(Operation::Delete, "apps", "deployments");
            write.old = Some(object(3, reason));
            let verdict = verdict(&write, &member(), &policies, Whole::NotAsked);
            assert_eq!(verdict.denial().is_none(), passes, "{reason:?}");
        }
    }

    #[test]
    fn a_denial_tells_members_and_only_them_how_to_break_the_glass() {
        let policies = sample::shipped_policies();
        let message = |reason, subject: &Subject| {
            let write = Write::update("", &object(3, None), &object(50, reason));
            let verdict = verdict(&write, subject, &policies, Whole::NotAsked);
            verdict.denial().unwrap().message.clone()
        };
        let missing = message(None, &member());
        assert!(missing.ends_with("; you may break the glass: give the object the annotation smartops.dev/break-glass with a reason of at least 10 characters"), "{missing}");
        let short = message(Some("fix"), &member());
        assert!(short.ends_with("; smartops.dev/break-glass gives a reason of 3 characters; at least 10 break the glass"), "{short}");
        let stranger = message(Some(WHY), &sample::person());
        assert!(!stranger.contains("glass"), "{stranger}");
    }

    #[test]
    fn a_policy_that_cannot_be_judged_by_is_passed_too() {
        let mut spec = sample::baseline();
        spec.rules.paths =
            Some(crate::rules::paths::PathsSpec { allow: None, forbid: vec!["spec..x".into()] });
        let policy = Arc::new(crate::policy::blind("bad", &spec));
        let policies = [Applied { policy, is_certain: true }];
        let write = Write::update("", &object(3, None), &object(4, Some(WHY)));
        let with = |subject| verdict(&write, &subject, &policies, Whole::NotAsked);
        assert_eq!(with(member()).denial(), None);
        assert!(with(sample::person()).denial().is_some());
    }

    #[test]
    fn behind_a_broken_glass_nothing_is_clamped() {
        let mut spec = sample::baseline();
        spec.rules.replicas = Some(ReplicasSpec {
            max: Some(10),
            on_violation: OnViolation::Clamp,
            ..ReplicasSpec::default()
        });
        let policies = [sample::applied("p", &spec)];
        for (reason, clamps) in [(Some(WHY), 0), (None, 1)] {
            let write = Write::update("", &object(3, None), &object(50, reason));
            let facts = sample::facts(&policies);
            let amendment = amend(&write.change(), &member(), &facts, sample::now()).unwrap();
            assert_eq!(amendment.ops.len(), clamps, "{reason:?}");
        }
    }
}
