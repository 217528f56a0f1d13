//! How a status is written: attempts opened and settled, the end recorded once. Pure edits of a
//! [`RemediationStatus`]; when each is due is `machine`'s.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use smartops_common::action::{ActionType, Intent, PatchParameters};
use smartops_common::condition::{self, Setting};
use smartops_common::remediation::{
    Attempt, AttemptKind, AttemptResult, AttemptTarget, Bounds, Comparison, FormerState, Observed,
    Outcome, Phase, RemediationStatus, Standing, Verification, VerificationStatus,
};

use crate::action::{Seen, hpa_bounds};
use crate::remediation::surroundings::HELD;
use crate::target::Live;

/// The condition that says how the question of approval stands.
pub const APPROVED: &str = "Approved";
/// How long an attempt may be written after it was recorded.
pub const ATTEMPT_LIMIT: SignedDuration = SignedDuration::from_secs(60);
/// What an attempt that another process recorded and never sent ends with.
const TAKEN_OVER: &str =
    "taken over before it was sent: the process that recorded it does not lead any more";
/// What is said while a rollout is watched.
const WATCHING: &str = "watching the rollout";
/// Attempts of one Remediation in all, conflicts included; the schema keeps no more.
pub const MOST_ATTEMPTS: usize = 8;

/// Opens an attempt at the remedy: from here on the intent is on record.
pub fn begin<'a>(
    status: &mut RemediationStatus,
    intent: Intent,
    seen: impl Into<Seen<'a>>,
    leader: &str,
    now: Timestamp,
) {
    open(status, (AttemptKind::Apply, intent), seen.into(), leader, now);
}

/// Opens an attempt to take back what was written.
pub fn begin_undo(
    status: &mut RemediationStatus,
    intent: Intent,
    seen: Seen<'_>,
    leader: &str,
    now: Timestamp,
) {
    open(status, (AttemptKind::Undo, intent), seen, leader, now);
}

fn open(
    status: &mut RemediationStatus,
    (kind, intent): (AttemptKind, Intent),
    seen: Seen<'_>,
    leader: &str,
    now: Timestamp,
) {
    let live = seen.live;
    let bounds = bounds_before(&intent, seen);
    let number = u32::try_from(status.attempts.len() + 1).unwrap_or(u32::MAX);
    status.attempts.push(Attempt {
        number,
        kind,
        intent,
        target: target_of(live),
        former: FormerState {
            replicas: live.replicas(),
            template: Some(live.template_digest()),
            ready_replicas: Some(live.observed().ready_replicas),
            bounds,
        },
        leader: leader.to_owned(),
        started_at: Time(now),
        deadline: Time(now.saturating_add(ATTEMPT_LIMIT).unwrap_or(now)),
        sent_at: None,
        inverse: None,
        result: None,
        written_at: None,
        written_generation: None,
        written_template: None,
        message: None,
    });
    status.phase = Phase::Executing;
    status.verification = None;
}

/// The bounds there are, where they are to move.
pub fn bounds_before(intent: &Intent, seen: Seen<'_>) -> Option<Bounds> {
    let autoscaler = seen.means.autoscaler.as_ref();
    autoscaler.filter(|_| intent.type_ == ActionType::HpaBounds).map(hpa_bounds::bounds)
}

/// The object as it was read.
pub fn target_of(live: &Live) -> AttemptTarget {
    AttemptTarget {
        uid: live.uid().to_owned(),
        generation: live.generation(),
        resource_version: live.resource_version().to_owned(),
    }
}

/// Says how the question of approval stands.
pub fn decide(
    status: &mut RemediationStatus,
    approved: Option<bool>,
    reason: &str,
    message: String,
    now: Timestamp,
) {
    set(&mut status.conditions, (APPROVED, approved), reason, message, now);
}

/// Says what holds it back, or that nothing does any more.
pub fn hold(status: &mut RemediationStatus, reason: Option<&str>, message: String, now: Timestamp) {
    let held = (HELD, Some(reason.is_some()));
    set(&mut status.conditions, held, reason.unwrap_or("Released"), message, now);
}

/// Notes that the open attempt is about to be sent, and what will take it back where that is more than was there before.
pub fn send(status: &mut RemediationStatus, inverse: Option<PatchParameters>, now: Timestamp) {
    if let Some(attempt) = status.attempts.last_mut().filter(|a| a.result.is_none())
        && attempt.sent_at.is_none()
    {
        attempt.sent_at = Some(Time(now));
        attempt.inverse = inverse;
    }
}

/// Settles the open attempt.
pub fn settle(status: &mut RemediationStatus, result: AttemptResult, message: Option<&str>) {
    if let Some(attempt) = status.attempts.last_mut().filter(|a| a.result.is_none()) {
        attempt.result = Some(result);
        attempt.message = message.map(str::to_owned);
    }
}

/// Settles the open attempt of a process that does not lead any more. One that was never sent is no try.
pub fn take_over(status: &mut RemediationStatus) {
    let was_sent = status.attempts.last().is_some_and(|a| a.sent_at.is_some());
    let words = if was_sent {
        "taken over: it was sent by a process that does not lead any more, and the target shows nothing of it"
    } else {
        TAKEN_OVER
    };
    settle(status, AttemptResult::Expired, Some(words));
}

/// Whether an attempt was a try: one that met a conflict, or was taken over before it was sent, was none.
pub fn was_tried(attempt: &Attempt) -> bool {
    let is_taken_over = attempt.sent_at.is_none() && attempt.message.as_deref() == Some(TAKEN_OVER);
    attempt.result != Some(AttemptResult::Conflict) && !is_taken_over
}

/// Notes on the open attempt what keeps it waiting.
pub fn note(status: &mut RemediationStatus, words: &str) {
    if let Some(attempt) = status.attempts.last_mut().filter(|a| a.result.is_none()) {
        attempt.message = Some(words.to_owned());
    }
}

/// States how the target stands now beside how it stood before the first write.
pub fn compare(status: &mut RemediationStatus, live: &Live) {
    let is_written = |a: &Attempt| a.result == Some(AttemptResult::Written);
    let Some(former) = status.attempts.iter().find(|a| is_written(a)).map(|a| &a.former) else {
        return;
    };
    let observed = live.observed();
    let after = Standing {
        replicas: live.replicas(),
        ready_replicas: observed.ready_replicas,
        template: live.template_digest(),
    };
    let before = Standing {
        replicas: former.replicas,
        ready_replicas: former.ready_replicas.unwrap_or_default(),
        template: former.template.clone().unwrap_or_default(),
    };
    let is_worse = after.ready_replicas < before.ready_replicas.min(after.replicas);
    let template = if before.template == after.template { "the same" } else { "another" };
    let message = format!(
        "{}: {} of {} replicas were ready before the first write, {} of {} are now, with {template} pod template",
        if is_worse { "worse than before" } else { "not worse than before" },
        before.ready_replicas,
        before.replicas,
        after.ready_replicas,
        after.replicas,
    );
    status.comparison = Some(Comparison { before, after, is_worse, message });
}

/// Settles the open attempt as written (or as having nothing to write), `live` being the object since.
pub fn settle_written(
    status: &mut RemediationStatus,
    result: AttemptResult,
    live: &Live,
    now: Timestamp,
) {
    if let Some(attempt) = status.attempts.last_mut().filter(|a| a.result.is_none()) {
        end_with(attempt, result, live, now);
    }
}

/// Notes on an earlier attempt that its write is what `live` shows.
pub fn mark_written(attempt: &mut Attempt, live: &Live, now: Timestamp) {
    end_with(attempt, AttemptResult::Written, live, now);
}

/// Ends an attempt with what verification must find unchanged. Which write it was is said once: what is on record
/// already stays, whatever `live` has become since.
fn end_with(attempt: &mut Attempt, result: AttemptResult, live: &Live, now: Timestamp) {
    let is_written = result == AttemptResult::Written;
    let (mut generation, mut template) = (live.generation(), live.template_digest());
    // A scale depends on the version that was recorded: it makes the very next generation, of the same template. What
    // somebody else made of that before it could be looked at is not what was written.
    if is_written && attempt.intent.type_ == ActionType::Scale {
        generation = generation.min(attempt.target.generation.saturating_add(1));
        template = attempt.former.template.clone().unwrap_or(template);
    }
    attempt.result = Some(result);
    attempt.message = None;
    attempt.written_generation.get_or_insert(generation);
    attempt.written_template.get_or_insert(template);
    if is_written {
        attempt.written_at.get_or_insert(Time(now));
    }
}

/// Makes the open attempt depend on the object as it is now. Whatever was sent on the former condition can no longer
/// be committed.
pub fn rebase(status: &mut RemediationStatus, live: &Live) {
    if let Some(attempt) = status.attempts.last_mut().filter(|a| a.result.is_none()) {
        live.resource_version().clone_into(&mut attempt.target.resource_version);
    }
}

/// Begins watching the rollout.
pub fn begin_verification(status: &mut RemediationStatus, now: Timestamp) {
    status.phase = Phase::Verifying;
    status.verification = Some(Verification {
        status: None,
        message: WATCHING.into(),
        observed: None,
        healthy_since: None,
        started_at: Time(now),
        finished_at: None,
    });
}

/// Notes how the rollout looks: healthy, or not any more.
pub fn look(
    status: &mut RemediationStatus,
    healthy: Option<&str>,
    observed: Observed,
    now: Timestamp,
) {
    if let Some(verification) = &mut status.verification {
        healthy.unwrap_or(WATCHING).clone_into(&mut verification.message);
        verification.observed = Some(observed);
        verification.healthy_since = healthy.map(|_| Time(now));
    }
}

/// Ends watching with a verdict.
pub fn end_verification(
    status: &mut RemediationStatus,
    verdict: VerificationStatus,
    message: &str,
    observed: Observed,
    now: Timestamp,
) {
    let watched = status.verification.as_ref();
    let started_at = watched.map_or(Time(now), |v| v.started_at.clone());
    let healthy_since = watched.and_then(|v| v.healthy_since.clone());
    status.verification = Some(Verification {
        status: Some(verdict),
        message: message.to_owned(),
        observed: Some(observed),
        healthy_since,
        started_at,
        finished_at: Some(Time(now)),
    });
}

/// Ends the Remediation.
pub fn finish(
    status: &mut RemediationStatus,
    phase: Phase,
    reason: &str,
    message: impl Into<String>,
    now: Timestamp,
) {
    let message = message.into();
    status.phase = phase;
    set(&mut status.conditions, ("Complete", Some(true)), reason, message.clone(), now);
    if let Some(verification) = &status.verification {
        let (value, word) = match verification.status {
            Some(VerificationStatus::Success) => (Some(true), "RolloutHealthy"),
            Some(VerificationStatus::Failed) => (Some(false), "RolloutFailed"),
            Some(VerificationStatus::Timeout) => (None, "TimedOut"),
            None => (None, "NotFinished"),
        };
        set(&mut status.conditions, ("Verified", value), word, verification.message.clone(), now);
    }
    status.outcome = Some(Outcome { reason: reason.to_owned(), message, finished_at: Time(now) });
}

fn set(
    conditions: &mut Vec<Condition>,
    (type_, status): (&str, Option<bool>),
    reason: &str,
    message: String,
    now: Timestamp,
) {
    let setting = Setting { type_, status, reason, message, observed_generation: Some(1) };
    condition::set(conditions, setting, now);
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use smartops_common::action::Action;

    use super::*;
    use crate::action;
    use crate::fixture::{at, deployment, edited};

    /// A status with an attempt at this action, begun at second 10 and sent a second later; three replicas are live.
    fn sent(action: &Action) -> RemediationStatus {
        let (mut status, live) = (RemediationStatus::default(), deployment(3));
        let intent = action::plan(action, None, &live, at(10)).unwrap();
        begin(&mut status, intent, &live, "controller/1", at(10));
        send(&mut status, None, at(11));
        status
    }

    /// What the target has become: this generation, number and image.
    fn since(generation: i64, replicas: i32, image: &str) -> Live {
        edited(replicas, |d| {
            d["metadata"]["generation"] = json!(generation);
            d["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
        })
    }

    fn write_of(attempt: &Attempt) -> (Option<i64>, Option<&str>, Option<Timestamp>) {
        let at = attempt.written_at.as_ref().map(|t| t.0);
        (attempt.written_generation, attempt.written_template.as_deref(), at)
    }

    #[test]
    fn which_write_an_attempt_made_is_said_once_and_kept() {
        let mut status = sent(&Action::restart());
        let live = since(8, 3, "web:2");
        settle_written(&mut status, AttemptResult::Written, &live, at(12));
        let (written, digest) = (status.clone(), live.template_digest());
        assert_eq!(write_of(&written.attempts[0]), (Some(8), Some(digest.as_str()), Some(at(12))));
        mark_written(&mut status.attempts[0], &since(9, 3, "web:3"), at(20));
        settle_written(&mut status, AttemptResult::Written, &since(9, 3, "web:3"), at(20));
        send(&mut status, None, at(20));
        assert_eq!(status, written);

        // The twin: one of which nothing was said yet is said to have made what is there.
        let mut status = sent(&Action::restart());
        settle(&mut status, AttemptResult::Expired, Some("no answer"));
        mark_written(&mut status.attempts[0], &live, at(20));
        let found = &status.attempts[0];
        assert_eq!((found.result, &found.message), (Some(AttemptResult::Written), &None));
        assert_eq!(write_of(found), (Some(8), Some(digest.as_str()), Some(at(20))));
    }

    #[test]
    fn a_repeated_send_keeps_the_moment_of_the_first() {
        let mut status = sent(&Action::restart());
        send(&mut status, None, at(30));
        assert_eq!(status.attempts[0].sent_at, Some(Time(at(11))));
    }

    #[test]
    fn what_somebody_else_made_of_it_before_the_second_look_is_not_what_a_scale_wrote() {
        let former = deployment(3).template_digest();
        for (live, what) in [
            (since(8, 4, "web:1"), "nobody"),
            (since(9, 6, "web:1"), "scaled further"),
            (since(9, 4, "web:2"), "another image"),
        ] {
            let mut status = sent(&Action::scale_by(1));
            settle_written(&mut status, AttemptResult::Written, &live, at(12));
            let expected = (Some(8), Some(former.as_str()), Some(at(12)));
            assert_eq!(write_of(&status.attempts[0]), expected, "{what}");
        }
        // The twin: where nothing had to be written, what is there is what is watched.
        let (mut status, live) = (sent(&Action::scale_by(1)), since(9, 4, "web:2"));
        settle_written(&mut status, AttemptResult::Unchanged, &live, at(12));
        let digest = live.template_digest();
        assert_eq!(write_of(&status.attempts[0]), (Some(9), Some(digest.as_str()), None));
    }
}
