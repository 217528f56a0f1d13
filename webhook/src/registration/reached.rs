//! Whether the API server reaches the webhook, as far as the leader has to know it: whether what stands leads to it, what
//! an answer to its trial says, and when it tries again. Pure; who tries is `trial`'s.

use std::collections::BTreeMap;
use std::time::Duration;

use smartops_guard::registration::{PROBE, REACHED, Reach};
use tokio::time::Instant;

use super::standing::{Key, Standing};

/// How long what was seen holds for what is filled after it.
const FRESH: Duration = Duration::from_secs(10);
/// How often it is looked whether it is still so, once everything is filled.
const LOOK: Duration = Duration::from_secs(30);
/// The first and the longest pause after a trial that nobody was asked about: the entry is on its way.
const UNASKED: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// The first and the longest pause after one that failed.
const FAILED: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));
/// So many that fail alike in a row are told once.
const TOLD_AGAIN: u32 = 12;

/// Whether what stands was filled by somebody who saw that he is reached, so that no trial goes before the next write:
/// by this leader, or by one before it for the place where this one is.
pub(super) fn is_filled(
    seen: &BTreeMap<Key, Standing>,
    reach: &Reach,
    was_filled_here: bool,
) -> bool {
    let mut asking = seen.values().filter(|standing| standing.asks_about_others());
    asking.any(|standing| was_filled_here || standing.leads_to(reach))
}

/// Whether, beside what automation and people are asked about, the entry stands by which it is looked again.
pub(super) fn is_looked_at(seen: &BTreeMap<Key, Standing>) -> bool {
    seen.values().any(Standing::asks_about_others)
        && seen.values().any(|standing| standing.calls().iter().any(|(name, _)| *name == PROBE))
}

/// What a trial came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// A webhook has refused it in its own words.
    Reached,
    /// The API server asked nobody.
    Unasked,
    /// The API server could not ask. Its words.
    Unreachable(String),
    /// Nothing is known. Why.
    Unknown(String),
}

impl Answer {
    /// What the dry run's outcome says; an error in the API server's words.
    pub(super) fn of(outcome: Result<(), String>) -> Self {
        match outcome {
            Ok(()) => Self::Unasked,
            Err(words) if words.contains(REACHED) => Self::Reached,
            Err(words) if words.contains("failed calling webhook") => Self::Unreachable(words),
            Err(words) => Self::Unknown(words),
        }
    }
}

/// What has been found out.
#[derive(Debug, Default)]
pub(super) struct Reached {
    seen: Option<Instant>,
    next: Option<Instant>,
    last: Option<Answer>,
    in_a_row: u32,
}

impl Reached {
    /// Whether a webhook was reached a moment ago.
    pub(super) fn is_seen(&self, now: Instant) -> bool {
        self.seen.is_some_and(|seen| now < seen + FRESH)
    }

    /// Until when the next trial waits; `None` where it need not.
    pub(super) fn pause(&self, now: Instant) -> Option<Instant> {
        self.next.filter(|next| now < *next)
    }

    /// When it is looked again, once everything is filled; `None` where nothing is known, so at once.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.seen.map(|seen| seen + LOOK).or(self.next)
    }

    /// Takes note of an answer. Whether it is to be told: good news once, bad news when it is new and now and then, and
    /// that nobody was asked only when it goes on.
    pub(super) fn note(&mut self, answer: Answer, now: Instant) -> bool {
        let kind = std::mem::discriminant(&answer);
        let is_new = self.last.as_ref().map(std::mem::discriminant) != Some(kind);
        self.in_a_row = if is_new { 0 } else { self.in_a_row.saturating_add(1) };
        let pause = |(first, longest): (Duration, Duration)| {
            (first * (1 << self.in_a_row.min(8))).min(longest)
        };
        (self.seen, self.next) = match &answer {
            Answer::Reached => (Some(now), None),
            Answer::Unasked => (None, Some(now + pause(UNASKED))),
            Answer::Unreachable(_) | Answer::Unknown(_) => (None, Some(now + pause(FAILED))),
        };
        let is_turn = self.in_a_row.is_multiple_of(TOLD_AGAIN);
        let is_told = match &answer {
            Answer::Reached => is_new,
            Answer::Unasked => is_turn && !is_new,
            Answer::Unreachable(_) | Answer::Unknown(_) => is_turn,
        };
        self.last = Some(answer);
        is_told
    }
}

#[cfg(test)]
mod tests {
    use smartops_common::config::SmartOpsConfigSpec;
    use smartops_guard::registration::registrations;

    use super::super::order;
    use super::*;

    #[test]
    fn only_the_webhooks_own_words_show_that_it_is_reached() {
        let words = |words: &str| Err(words.to_owned());
        let unreachable = "Internal error occurred: failed calling webhook \"reach.smartops.dev\": dial tcp: i/o timeout";
        let denied = format!(
            "admission webhook \"reach.smartops.dev\" denied the request: SmartOps denies CREATE: metadata.name: {REACHED}"
        );
        for (outcome, expected) in [
            (Ok(()), Answer::Unasked),
            (Err(denied), Answer::Reached),
            (words(unreachable), Answer::Unreachable(unreachable.to_owned())),
            (words("changeledgers is forbidden"), Answer::Unknown("changeledgers is forbidden".to_owned())),
            (
                words("admission webhook \"reach.smartops.dev\" denied the request: its time was over"),
                Answer::Unknown(
                    "admission webhook \"reach.smartops.dev\" denied the request: its time was over".to_owned(),
                ),
            ),
        ] {
            assert_eq!(Answer::of(outcome.clone()), expected, "{outcome:?}");
        }
    }

    #[test]
    fn nothing_but_a_fresh_answer_lets_anything_be_filled_and_failures_are_told_now_and_then() {
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        let failed = || Answer::Unreachable("x".to_owned());
        let mut reached = Reached::default();
        assert!(!reached.is_seen(start) && reached.pause(start).is_none());
        let mut now = 0;
        for (answer, told, pause) in [
            (Answer::Unasked, false, 100),
            (Answer::Unasked, false, 200),
            (failed(), true, 500),
            (failed(), false, 1000),
            (failed(), false, 2000),
            (failed(), false, 4000),
            (failed(), false, 5000),
            (failed(), false, 5000),
            (Answer::Unknown("y".to_owned()), true, 500),
        ] {
            assert_eq!(reached.note(answer.clone(), after(now)), told, "{answer:?} at {now}");
            assert_eq!(reached.pause(after(now)), Some(after(now + pause)), "{answer:?} at {now}");
            now += pause;
            assert!(!reached.is_seen(after(now)) && reached.pause(after(now)).is_none());
        }
        let told = (0..24).filter(|_| reached.note(failed(), after(now))).count();
        assert_eq!(told, 2);
        reached.note(Answer::Reached, after(now));
        assert!(reached.is_seen(after(now)) && reached.pause(after(now)).is_none());
        assert!(reached.is_seen(after(now + 9999)) && !reached.is_seen(after(now + 10_000)));
        reached.note(Answer::Unasked, after(now));
        assert!(!reached.is_seen(after(now)), "what was seen before says nothing then");
    }

    #[test]
    fn once_all_is_filled_it_is_looked_now_and_then_and_sooner_after_bad_news() {
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut reached = Reached::default();
        assert_eq!(reached.next_look(), None, "whoever has just come to lead looks at once");
        let failed = || Answer::Unreachable("x".to_owned());
        for (answer, told, next) in [
            (Answer::Reached, true, 30_000),
            (Answer::Reached, false, 30_000),
            (failed(), true, 500),
            (failed(), false, 1000),
            (Answer::Reached, true, 30_000),
        ] {
            assert_eq!(reached.note(answer.clone(), start), told, "{answer:?}");
            assert_eq!(reached.next_look(), Some(after(next)), "{answer:?}");
        }
        let told = (0..24).filter(|_| reached.note(Answer::Unasked, start)).count();
        assert_eq!(told, 1, "that nobody is asked is told when it goes on");
        assert_eq!(reached.next_look(), Some(after(1000)));
    }

    #[test]
    fn what_stands_for_another_place_is_not_believed_unless_this_leader_filled_it() {
        let url = |url: &str| Reach::Url(url.to_owned());
        let (laptop, here) = (url("https://laptop:8443"), url("https://here:8443"));
        let filled = |reach: &Reach| {
            let config = SmartOpsConfigSpec::default();
            let all = order::all(&registrations(&config, &[], reach, Some(b"ca")).unwrap());
            all.into_iter().map(|one| (one.key(), one)).collect::<BTreeMap<_, _>>()
        };
        for (stands, reach, is_believed) in [
            (&Reach::Service, &Reach::Service, true),
            (&laptop, &laptop, true),
            (&laptop, &Reach::Service, false),
            (&Reach::Service, &laptop, false),
            (&laptop, &here, false),
            (&laptop, &url("https://laptop:8443/"), true),
            (&url("https://laptop:84430"), &laptop, false),
        ] {
            let seen = filled(stands);
            assert_eq!(is_filled(&seen, reach, false), is_believed, "{stands:?} {reach:?}");
            assert!(is_filled(&seen, reach, true), "somebody led his own entries astray");
            assert!(is_looked_at(&seen));
        }
        let mut mixed = filled(&laptop);
        let own = mixed.clone().into_iter().filter(|(_, one)| !one.asks_about_others());
        let own: BTreeMap<Key, Standing> = own.collect();
        assert!(!is_filled(&own, &laptop, true), "nobody's write hangs on those");
        assert!(!is_looked_at(&own));
        mixed.extend(filled(&Reach::Service).into_iter().take(1));
        assert!(is_filled(&mixed, &Reach::Service, false), "on its way there, after a trial");
    }
}
