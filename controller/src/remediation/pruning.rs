//! Which Remediations that have ended are kept no longer. Pure; what is told of them in Events and logs stays. Who
//! deletes them is `pruning::turn`'s, and whether one may be deleted at all admission says once more.
//!
//! Causes are anybody's words, so what is kept of a target is bounded however many there are. Once all of a cause are gone
//! its sequence begins anew, and with it the names: nothing is confused by that, for approvals, warrants, Events, the audit
//! trail and the watch know a Remediation by its uid.

pub mod turn;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use smartops_common::config::{Limits, Retention};
use smartops_common::remediation::{AttemptResult, KEPT, Remediation, Source};
use smartops_common::signal::SignalKind;

use crate::intake::place::has_acted;

/// How long an idempotency key is answered by what it first asked for.
const KEY_KEPT: SignedDuration = SignedDuration::from_hours(1);

/// What is kept for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// For people.
    pub retention: Retention,
    /// For the limits of the closed loop, which count what is on record.
    pub limits: Limits,
    /// For the cooldown of a target, where its policy says no other.
    pub cooldown: SignedDuration,
}

/// Those that are kept no longer, the oldest first. `gone` are uids of targets that exist no more.
pub fn prunable<'a>(
    all: &'a [Arc<Remediation>],
    keep: &Keep,
    gone: &BTreeSet<String>,
    now: Timestamp,
) -> Vec<&'a Remediation> {
    let mut found: Vec<(SignedDuration, &Remediation)> = Vec::new();
    let most = usize::try_from(keep.retention.max_per_target).unwrap_or(usize::MAX);
    for (uid, mut group) in by_target(all) {
        group.sort_by_key(|r| age(r, now));
        let (latest, answers) = (latest(&group), answers(&group, most));
        for (newer, r) in group.into_iter().enumerate() {
            let Some(age) = age(r, now) else { continue };
            let is_old = age >= hours(keep.retention.max_age_hours);
            let is_surplus = newer >= most;
            let is = |those: &BTreeSet<Option<&str>>| those.contains(&r.metadata.uid.as_deref());
            let outlives = is(&answers) || (is(&latest) && !is_surplus);
            let is_kept = outlives && !(is_old && gone.contains(uid));
            if (is_old || is_surplus) && !is_kept && age >= needed_for(r, keep) {
                found.push((age, r));
            }
        }
    }
    found.sort_by_key(|(age, r)| (std::cmp::Reverse(*age), r.metadata.uid.as_deref()));
    found.into_iter().map(|(_, r)| r).collect()
}

/// The namespaces in which something is kept, beyond its age, only because of its target: whether that exists is worth a
/// look.
pub fn doubtful<'a>(all: &'a [Arc<Remediation>], keep: &Keep, now: Timestamp) -> BTreeSet<&'a str> {
    all.iter()
        .filter(|r| age(r, now).is_some_and(|age| age >= hours(keep.retention.max_age_hours)))
        .filter_map(|r| r.metadata.namespace.as_deref())
        .collect()
}

fn by_target(all: &[Arc<Remediation>]) -> BTreeMap<&str, Vec<&Remediation>> {
    let mut groups: BTreeMap<&str, Vec<&Remediation>> = BTreeMap::new();
    for r in all {
        groups.entry(&r.spec.target.uid).or_default().push(r);
    }
    groups
}

/// Of each cause the one of the highest sequence, by which the next is named: it outlives its age, but is one of those that
/// are counted.
fn latest<'a>(group: &[&'a Remediation]) -> BTreeSet<Option<&'a str>> {
    let mut latest: BTreeMap<&str, &Remediation> = BTreeMap::new();
    for r in group {
        let known = latest.entry(&r.spec.cause).or_insert(r);
        if known.spec.sequence < r.spec.sequence {
            *known = r;
        }
    }
    latest.into_values().map(|r| r.metadata.uid.as_deref()).collect()
}

/// Of each alert the last that acted: an alert that has held since before it is told again and again, and answered by it,
/// so it outlives its age and any number of others. At most so many, the newest; `group` has the newest first.
fn answers<'a>(group: &[&'a Remediation], most: usize) -> BTreeSet<Option<&'a str>> {
    let is_alert = |r: &Remediation| {
        let signal = r.spec.signal.as_ref();
        signal.is_some_and(|signal| signal.kind == SignalKind::Alert)
    };
    let mut causes = BTreeSet::new();
    let mut answers = BTreeSet::new();
    for r in group.iter().filter(|r| is_alert(r) && has_acted(r)) {
        if answers.len() < most && causes.insert(&r.spec.cause) {
            answers.insert(r.metadata.uid.as_deref());
        }
    }
    answers
}

/// How long ago it ended; none while it is open. What another clock puts into the future ended just now.
fn age(r: &Remediation, now: Timestamp) -> Option<SignedDuration> {
    let outcome = r.status.as_ref().filter(|_| !r.is_open())?.outcome.as_ref()?;
    Some(now.duration_since(outcome.finished_at.0).max(SignedDuration::ZERO))
}

/// For how long after its end something else is decided by it.
fn needed_for(r: &Remediation, keep: &Keep) -> SignedDuration {
    let seconds = |seconds: u32| SignedDuration::from_secs(seconds.into());
    // Signals that come once more, a storm's targets, and whoever looks for what he asked for.
    let mut needed = KEPT.max(seconds(keep.limits.storm.window_seconds));
    if r.spec.idempotency_key.is_some() {
        needed = needed.max(KEY_KEPT);
    }
    let attempts = r.status.iter().flat_map(|s| &s.attempts);
    let has_tried = attempts.into_iter().any(|a| a.result != Some(AttemptResult::Conflict));
    if has_tried && r.spec.source == Source::ClosedLoop {
        let own = r.spec.handling.cooldown_seconds.map(seconds);
        needed = needed
            .max(keep.cooldown)
            .max(own.unwrap_or_default())
            .max(seconds(keep.limits.namespace_rate.window_seconds));
    }
    needed
}

fn hours(hours: u32) -> SignedDuration {
    SignedDuration::from_hours(hours.into())
}

#[cfg(test)]
mod tests;
