//! What holds a remedy of the closed loop back for a while, and says so: others may still say more about its target, a
//! storm, as many begun or under way as there may be. It stays Pending; what holds it too long makes it old news.

use std::time::Duration;

use jiff::SignedDuration;
use smartops_common::remediation::{Phase, Remediation, RemediationStatus, Source};
use smartops_common::signal::SignalKind;

use super::{Facts, Step};
use crate::remediation::record;
use crate::remediation::surroundings::{DEBOUNCE, HELD};

/// How long a signal that is no root cause waits for others, where no policy says.
const USUAL: SignedDuration = SignedDuration::from_secs(1);
/// How soon at the earliest what is held is looked at again, and how much later for each that waits beside it.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_millis(10));
/// How late at the latest.
const LATEST_LOOK: Duration = Duration::from_secs(5);

/// What holds it, for machines and for people, and when to look again.
struct Hold {
    reason: &'static str,
    message: String,
    again: Duration,
}

/// Holds it, where something does: said once for each reason, then waited for.
pub(super) fn held(
    remediation: &Remediation,
    status: &RemediationStatus,
    facts: Facts<'_>,
) -> Option<Step> {
    let spec = &remediation.spec;
    if spec.source != Source::ClosedLoop || spec.dry_run || !status.attempts.is_empty() {
        return None;
    }
    // What somebody approved is his word against a storm; room there has to be all the same.
    let is_approved = status.phase == Phase::AwaitingApproval;
    let hold = (!is_approved)
        .then(|| debounce(remediation, facts).or_else(|| storm(facts)).or_else(|| rate(facts)))
        .flatten()
        .or_else(|| (is_approved || !spec.require_approval).then(|| room(facts)).flatten())?;
    let said = status.conditions.iter().find(|condition| condition.type_ == HELD);
    if is_approved || said.is_some_and(|said| said.status == "True" && said.reason == hold.reason) {
        return Some(Step::Wait(hold.again));
    }
    let mut status = status.clone();
    record::hold(&mut status, Some(hold.reason), hold.message, facts.now);
    Some(Step::Record(Box::new(status)))
}

/// Says that nothing holds it any more, where something did.
pub(super) fn released(
    mut status: Box<RemediationStatus>,
    facts: Facts<'_>,
) -> Box<RemediationStatus> {
    let is_held = |status: &RemediationStatus| {
        status.conditions.iter().any(|held| held.type_ == HELD && held.status == "True")
    };
    if status.phase != Phase::Pending && is_held(&status) {
        record::hold(&mut status, None, "nothing holds it any more".to_owned(), facts.now);
    }
    status
}

fn debounce(remediation: &Remediation, facts: Facts<'_>) -> Option<Hold> {
    let spec = &remediation.spec;
    let is_rca = spec.signal.as_ref().is_some_and(|signal| signal.kind == SignalKind::Rca);
    let usual = if is_rca { SignedDuration::ZERO } else { USUAL };
    let asked = spec.handling.debounce_seconds.map(|s| SignedDuration::from_secs(s.into()));
    let debounce = asked.unwrap_or(usual);
    let age = facts.now.duration_since(remediation.metadata.creation_timestamp.as_ref()?.0);
    // Made in what is the future here: of two clocks that differ nobody can tell how long ago.
    if age.is_negative() || age >= debounce {
        return None;
    }
    let message = format!(
        "for {} s after the first signal others may say more about the target",
        debounce.as_secs()
    );
    Some(Hold { reason: DEBOUNCE, message, again: until(debounce - age) })
}

fn storm(facts: Facts<'_>) -> Option<Hold> {
    let (storm, traffic) = (&facts.surroundings.limits.storm, &facts.surroundings.traffic);
    if traffic.targets <= usize::try_from(storm.targets).unwrap_or(usize::MAX) {
        return None;
    }
    let message = format!(
        "signals came about {} targets within {} s: so many usually have one cause, which is none of them; held until it \
         is {} targets or fewer, which is in {} s at the earliest (SmartOpsConfig spec.closedLoop.storm)",
        traffic.targets,
        storm.window_seconds,
        storm.targets,
        traffic.storm_left.as_secs().max(1),
    );
    Some(Hold { reason: "Storm", message, again: look_again(facts) })
}

fn rate(facts: Facts<'_>) -> Option<Hold> {
    let (rate, traffic) = (&facts.surroundings.limits.namespace_rate, &facts.surroundings.traffic);
    if traffic.begun < usize::try_from(rate.remedies).unwrap_or(usize::MAX) {
        return None;
    }
    let message = format!(
        "{} remedies were begun in the namespace within {} s, and more than {} may not be; held for another {} s \
         (SmartOpsConfig spec.closedLoop.namespaceRate)",
        traffic.begun,
        rate.window_seconds,
        rate.remedies,
        traffic.rate_left.as_secs().max(1),
    );
    let again = until(traffic.rate_left).max(look_again(facts));
    Some(Hold { reason: "NamespaceRate", message, again: again.min(LATEST_LOOK) })
}

fn room(facts: Facts<'_>) -> Option<Hold> {
    let (limits, traffic) = (&facts.surroundings.limits, &facts.surroundings.traffic);
    if traffic.has_place(limits) {
        return None;
    }
    let message = format!(
        "{} remedies are under way, {} of them in the namespace, and {} go before this one: at most {} at once, shared \
         evenly between the namespaces that wait (SmartOpsConfig spec.closedLoop.maxInFlight)",
        traffic.in_flight, traffic.in_namespace, traffic.ahead, limits.max_in_flight,
    );
    Some(Hold { reason: "InFlight", message, again: look_again(facts) })
}

/// The more wait, the less often each looks.
fn look_again(facts: Facts<'_>) -> Duration {
    let waiting = u32::try_from(facts.surroundings.traffic.waiting).unwrap_or(u32::MAX);
    LOOK_AGAIN.0.max(LOOK_AGAIN.1.saturating_mul(waiting)).min(LATEST_LOOK)
}

fn until(left: SignedDuration) -> Duration {
    Duration::try_from(left).unwrap_or_default()
}
