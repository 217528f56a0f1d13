//! How much the closed loop is doing and is asked to do, counted over every Remediation there is: what limits are held
//! against. Pure; whoever counts sees to it that nobody begins meanwhile.
//!
//! A free place goes to the first of those that could take it (root causes first, then the oldest), and while others wait
//! a namespace takes no more than its share. Whoever could take none (its target is in somebody's hands, its namespace has
//! begun enough for now) is passed over, so that of any that wait there is always one who may go on.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::{SignedDuration, Timestamp};
use smartops_common::config::Limits;
use smartops_common::remediation::{Phase, Remediation, Source};

use crate::remediation::machine::turn_key;

/// The condition that says that a Remediation is held, and by what.
pub const HELD: &str = "Held";

/// The reason of a hold that waits for further signals.
pub const DEBOUNCE: &str = "Debounce";

/// Whether a Remediation is held, as its status says.
pub fn is_held(remediation: &Remediation) -> bool {
    is_held_by(remediation, None)
}

/// The same, for this reason or for any.
fn is_held_by(remediation: &Remediation, reason: Option<&str>) -> bool {
    let mut conditions = remediation.status.iter().flat_map(|status| &status.conditions);
    remediation.phase() == Phase::Pending
        && conditions.any(|held| {
            held.type_ == HELD
                && held.status == "True"
                && reason.is_none_or(|reason| held.reason == reason)
        })
}

/// How much is going on, as it concerns one Remediation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Targets that signals were about within the window of a storm.
    pub targets: usize,
    /// How long that will be too many, if no further signal comes.
    pub storm_left: SignedDuration,
    /// Remedies begun in its namespace within the window of the rate.
    pub begun: usize,
    /// How long that will be as many as there may be.
    pub rate_left: SignedDuration,
    /// Remedies under way.
    pub in_flight: usize,
    /// Those of its namespace.
    pub in_namespace: usize,
    /// How many its namespace may have under way, as others wait: no limit where none does.
    pub share: Option<usize>,
    /// Those that wait and go before it.
    pub ahead: usize,
    /// All that wait.
    pub waiting: usize,
}

impl Traffic {
    /// What of `all` concerns `remediation`; `begun` are those that begin just now, by their uid, whatever `all` says.
    pub fn around<'a>(
        remediation: &Remediation,
        all: impl Iterator<Item = &'a Remediation> + Clone,
        begun: &HashSet<String>,
        limits: &Limits,
        now: Timestamp,
    ) -> Self {
        let is_in_hand = |r: &&Remediation| r.is_open() && !r.spec.dry_run && start_of(r).is_some();
        let in_hand = all.clone().filter(is_in_hand).map(|r| r.spec.target.uid.as_str());
        let mut taken: BTreeSet<&str> = in_hand.collect();
        let all = all.filter(|r| r.spec.source == Source::ClosedLoop);
        let (targets, storm_left) = storm(all.clone(), limits, now);
        let real = all.filter(|r| !r.spec.dry_run);
        let namespace = namespace_of(remediation);
        let mut starts = BTreeMap::<&str, Vec<Timestamp>>::new();
        let mut flying = BTreeMap::<&str, usize>::new();
        for r in real.clone() {
            let begins = begun.contains(uid_of(r));
            let window = SignedDuration::from_secs(limits.namespace_rate.window_seconds.into());
            // A start that lies ahead, by another clock, is one of just now.
            let start = start_of(r).or_else(|| begins.then_some(now)).map(|start| start.min(now));
            if let Some(start) = start.filter(|start| now.duration_since(*start) < window) {
                starts.entry(namespace_of(r)).or_default().push(start);
            }
            if r.is_open() && (begins || start_of(r).is_some()) {
                *flying.entry(namespace_of(r)).or_default() += 1;
                taken.insert(&r.spec.target.uid);
            }
        }
        let (begun_here, rate_left) = rate(starts.get(namespace), limits, now);
        let remedies = usize::try_from(limits.namespace_rate.remedies).unwrap_or(usize::MAX);
        let wants = |r: &&Remediation| {
            r.phase() == Phase::Pending
                && start_of(r).is_none()
                && !begun.contains(uid_of(r))
                && !r.spec.require_approval
                && !is_held_by(r, Some(DEBOUNCE))
                && r.spec.handling.policy_invalid.is_none()
                && !taken.contains(r.spec.target.uid.as_str())
                && starts.get(namespace_of(r)).map_or(0, Vec::len) < remedies
        };
        let waiting: Vec<&Remediation> = real.filter(wants).collect();
        let of = |namespace: &str| flying.get(namespace).copied().unwrap_or_default();
        let crowd: BTreeSet<&str> = flying
            .keys()
            .copied()
            .chain(waiting.iter().map(|r| namespace_of(r)))
            .chain([namespace])
            .collect();
        let most = usize::try_from(limits.max_in_flight).unwrap_or(usize::MAX);
        let share = most.div_ceil(crowd.len()).max(1);
        let others_wait = |namespace: &str| {
            let elsewhere = |r: &&Remediation| namespace_of(r) != namespace;
            waiting.iter().filter(|r| elsewhere(r)).any(|r| of(namespace_of(r)) < share)
        };
        let may_take = |namespace: &str| of(namespace) < share || !others_wait(namespace);
        let key = turn_key(remediation);
        let ahead: BTreeSet<&str> = waiting
            .iter()
            .filter(|r| turn_key(r) < key && uid_of(r) != uid_of(remediation))
            .filter(|r| may_take(namespace_of(r)))
            .map(|r| r.spec.target.uid.as_str())
            .filter(|target| *target != remediation.spec.target.uid)
            .collect();
        Self {
            targets,
            storm_left,
            begun: begun_here,
            rate_left,
            in_flight: flying.values().sum(),
            in_namespace: of(namespace),
            share: others_wait(namespace).then_some(share),
            ahead: ahead.len(),
            waiting: waiting.len(),
        }
    }

    /// Whether there is a place for it.
    pub fn has_place(&self, limits: &Limits) -> bool {
        let most = usize::try_from(limits.max_in_flight).unwrap_or(usize::MAX);
        self.in_flight + self.ahead < most
            && self.share.is_none_or(|share| self.in_namespace < share)
    }
}

fn storm<'a>(
    all: impl Iterator<Item = &'a Remediation>,
    limits: &Limits,
    now: Timestamp,
) -> (usize, SignedDuration) {
    let window = SignedDuration::from_secs(limits.storm.window_seconds.into());
    let mut latest = BTreeMap::<&str, Timestamp>::new();
    for r in all {
        let told = last_told(r).map_or(now, |told| told.min(now));
        if now.duration_since(told) < window {
            let known = latest.entry(&r.spec.target.uid).or_insert(told);
            *known = told.max(*known);
        }
    }
    let mut times: Vec<Timestamp> = latest.into_values().collect();
    times.sort_unstable_by(|a, b| b.cmp(a));
    let most = usize::try_from(limits.storm.targets).unwrap_or(usize::MAX);
    let left = times.get(most).map(|told| window - now.duration_since(*told));
    (times.len(), left.unwrap_or_default())
}

/// When a signal last told it, and was not taken back since.
fn last_told(r: &Remediation) -> Option<Timestamp> {
    let joined = r.status.iter().flat_map(|status| &status.signals);
    let joined = joined.filter(|signal| signal.resolved_at.is_none()).map(|s| s.accepted_at.0);
    joined.chain(r.metadata.creation_timestamp.as_ref().map(|made| made.0)).max()
}

fn rate(
    starts: Option<&Vec<Timestamp>>,
    limits: &Limits,
    now: Timestamp,
) -> (usize, SignedDuration) {
    let mut starts = starts.cloned().unwrap_or_default();
    starts.sort_unstable_by(|a, b| b.cmp(a));
    let most = usize::try_from(limits.namespace_rate.remedies).unwrap_or(usize::MAX);
    let window = SignedDuration::from_secs(limits.namespace_rate.window_seconds.into());
    let last = most.checked_sub(1).and_then(|place| starts.get(place));
    (starts.len(), last.map(|start| window - now.duration_since(*start)).unwrap_or_default())
}

fn start_of(r: &Remediation) -> Option<Timestamp> {
    r.status.as_ref()?.attempts.first().map(|attempt| attempt.started_at.0)
}

fn namespace_of(r: &Remediation) -> &str {
    r.metadata.namespace.as_deref().unwrap_or_default()
}

fn uid_of(r: &Remediation) -> &str {
    r.metadata.uid.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests;
