//! What is not begun, and why: what has become pointless, and targets that are left alone.

use jiff::SignedDuration;
use smartops_common::action::ActionType;
use smartops_common::remediation::{
    Attempt, AttemptResult, GitOps, Phase, Remediation, RemediationStatus, Source,
};
use smartops_common::signal::SignalKind;

use super::{Facts, UNSEEN_LIMIT, elapsed, others_of, reason};
use crate::remediation::{gitops, record};
use crate::target::Live;
use crate::verify::rollout::{self, Assessment};

/// Whether a target is left alone.
pub(super) enum Refusal {
    /// It is not.
    None,
    /// That cannot be told yet.
    NotYet,
    /// It is, for this reason.
    For(&'static str, String),
}

/// The end of one of the closed loop that has become pointless while it waited.
pub(super) fn moot(
    remediation: &Remediation,
    status: &RemediationStatus,
    facts: Facts<'_>,
) -> Option<RemediationStatus> {
    let spec = &remediation.spec;
    if spec.source != Source::ClosedLoop || status.phase != Phase::Pending {
        return None;
    }
    let end = |phase, reason, message| {
        let mut status = status.clone();
        record::finish(&mut status, phase, reason, message, facts.now);
        Some(status)
    };
    if let Some(why) = &spec.handling.policy_invalid {
        let message = format!("{why}; mend it, and signals are acted on again");
        return end(Phase::Skipped, reason::POLICY_INVALID, message);
    }
    if spec.dry_run {
        return None;
    }
    if let Some(analysis) = others_of(remediation, facts.others).find(|o| says_more(o, remediation))
    {
        let name = analysis.metadata.name.as_deref().unwrap_or_default();
        let message = format!(
            "a root-cause analysis of the same target says more: {} (Remediation {name})",
            analysis.spec.cause
        );
        return end(Phase::Cancelled, reason::SUPERSEDED_BY_RCA, message);
    }
    let stale = SignedDuration::from_secs(facts.surroundings.limits.stale_seconds.into());
    let made = remediation.metadata.creation_timestamp.as_ref()?.0;
    let age = elapsed(made, facts.now);
    if age < stale {
        return None;
    }
    let message = format!(
        "it waited for {} s, and after {} s a signal is old news: what still holds will be told again",
        age.as_secs(),
        stale.as_secs()
    );
    end(Phase::Skipped, reason::STALE, message)
}

/// Whether `other` is a root-cause analysis that is acted on, or was since, where `remediation` rests on less.
fn says_more(other: &Remediation, remediation: &Remediation) -> bool {
    let is_analysis =
        |r: &Remediation| r.spec.signal.as_ref().is_some_and(|s| s.kind == SignalKind::Rca);
    let made = |r: &Remediation| r.metadata.creation_timestamp.as_ref().map(|made| made.0);
    let acted = matches!(
        other.phase(),
        Phase::Succeeded | Phase::Failed | Phase::TimedOut | Phase::RolledBack
    );
    is_analysis(other)
        && !is_analysis(remediation)
        && other.spec.source == Source::ClosedLoop
        && !other.spec.dry_run
        && other.spec.handling.policy_invalid.is_none()
        && (other.is_open() || (acted && made(other) >= made(remediation)))
}

/// Why the target is left alone, if it is. Only the closed loop waits for a rollout and keeps a cooldown: callers
/// of the API are told by the webhook.
pub(super) fn refusal(
    remediation: &Remediation,
    status: &RemediationStatus,
    live: &Live,
    facts: Facts<'_>,
) -> Refusal {
    let spec = &remediation.spec;
    let name = &spec.target.name;
    let may_be_paused = matches!(spec.action.type_, ActionType::Resume | ActionType::Pause);
    if live.is_paused() && !may_be_paused {
        let message = format!(
            "the rollout of Deployment {name} is paused: resume it (kubectl rollout resume), then ask again"
        );
        return Refusal::For(reason::PAUSED, message);
    }
    // What was begun is gone through with: whoever owns a field said so before.
    if status.attempts.is_empty() {
        if let Some(message) = owned_by_autoscaler(remediation, facts) {
            return Refusal::For(reason::AUTOSCALER, message);
        }
        let reverts = (spec.handling.git_ops == GitOps::Refuse)
            .then(|| gitops::would_revert(&spec.action, live))
            .flatten();
        if let Some(tool) = reverts {
            let message = format!(
                "Deployment {name} is managed by {tool}, which would take this back: change it there, or have a RemediationPolicy say `gitOps: Act`"
            );
            return Refusal::For(reason::GITOPS, message);
        }
    }
    if spec.source != Source::ClosedLoop || spec.dry_run || !status.attempts.is_empty() {
        return Refusal::None;
    }
    if let Some(left) = cooldown_left(remediation, facts) {
        let message = format!(
            "the closed loop acted on Deployment {name} less than {} s ago: {} s are left",
            cooldown(remediation, facts).as_secs(),
            left.as_secs().max(1),
        );
        return Refusal::For(reason::COOLDOWN, message);
    }
    let observed = live.observed();
    if !live.is_observed() {
        let made = remediation.metadata.creation_timestamp.as_ref().map_or(facts.now, |t| t.0);
        return if elapsed(made, facts.now) < UNSEEN_LIMIT {
            Refusal::NotYet
        } else {
            let message = format!(
                "the Deployment controller has not seen the last change of Deployment {name} for {} s",
                UNSEEN_LIMIT.as_secs()
            );
            Refusal::For(reason::MOVING, message)
        };
    }
    if observed.updated_replicas < observed.total_replicas && !has_given_up(live) {
        let message = format!(
            "a rollout of Deployment {name} is on its way: {} of {} pods are updated",
            observed.updated_replicas, observed.total_replicas
        );
        return Refusal::For(reason::MOVING, message);
    }
    Refusal::None
}

/// Who owns the number of replicas this would write, in words.
fn owned_by_autoscaler(remediation: &Remediation, facts: Facts<'_>) -> Option<String> {
    let spec = &remediation.spec;
    let owner = facts.surroundings.autoscaler.as_ref()?;
    let (who, name) = (owner.described(), &spec.target.name);
    match (&owner.scaled_object, spec.action.type_) {
        (Some(_), _) => Some(format!(
            "{who} owns the number of replicas of Deployment {name}, and KEDA would take this back within seconds: change \
             its minReplicaCount and maxReplicaCount"
        )),
        (None, ActionType::HpaBounds) => None,
        (None, _) => Some(format!(
            "{who} owns the number of replicas of Deployment {name} and would take this back within seconds: move its \
             bounds (action hpa-bounds), or have a RemediationPolicy say `autoscaler: Bounds`"
        )),
    }
}

/// Whether the Deployment controller itself says the rollout makes no progress: a remedy is what it needs.
fn has_given_up(live: &Live) -> bool {
    matches!(rollout::assess(live, &[], None).1, Assessment::Failed(..))
}

/// For how long the closed loop leaves this target alone.
fn cooldown(remediation: &Remediation, facts: Facts<'_>) -> SignedDuration {
    let asked = remediation.spec.handling.cooldown_seconds;
    asked.map_or(facts.cooldown, |seconds| SignedDuration::from_secs(seconds.into()))
}

fn cooldown_left(remediation: &Remediation, facts: Facts<'_>) -> Option<SignedDuration> {
    let latest = others_of(remediation, facts.others)
        .filter(|o| o.spec.source == Source::ClosedLoop && !o.spec.dry_run)
        .filter_map(|o| o.status.as_ref())
        .flat_map(|s| s.attempts.iter().filter(|a| is_issued(a)).map(|a| a.started_at.0))
        .max()?;
    let left = cooldown(remediation, facts) - elapsed(latest, facts.now);
    left.is_positive().then_some(left)
}

/// Whether an attempt was sent, or may be any moment: what was refused or never left starts no cooldown. What was sent and
/// not answered may have been written.
fn is_issued(attempt: &Attempt) -> bool {
    match attempt.result {
        None | Some(AttemptResult::Written) => true,
        Some(AttemptResult::Expired) => attempt.sent_at.is_some(),
        Some(_) => false,
    }
}
