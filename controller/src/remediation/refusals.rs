//! Statuses that admission would not have: how long until each is offered again. Such a refusal means that what is
//! recorded is not what is the case, which time alone may heal and an operator has to hear of once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The first pause; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// How long a refusal is remembered after the last one: longer than the longest pause.
const REMEMBERED: Duration = Duration::from_mins(10);

/// How often each Remediation's status was refused in a row, by uid.
#[derive(Debug, Default)]
pub struct Refusals {
    seen: Mutex<HashMap<String, (u32, Instant)>>,
}

impl Refusals {
    /// Notes one more. Says whether it is the first in a row, and how long to wait.
    pub fn note(&self, uid: &str, now: Instant) -> (bool, Duration) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, (_, last)| now.saturating_duration_since(*last) < REMEMBERED);
        let (times, last) = seen.entry(uid.to_owned()).or_insert((0, now));
        *last = now;
        let pause = FIRST_PAUSE.saturating_mul(1 << (*times).min(8)).min(LONGEST_PAUSE);
        *times = times.saturating_add(1);
        (*times == 1, pause)
    }

    /// Forgets them: a status was taken.
    pub fn forget(&self, uid: &str) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_in_a_row_is_told_and_each_waits_twice_as_long_up_to_a_minute() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let seconds: Vec<(bool, u64)> = (0..8)
            .map(|_| refusals.note("a", now))
            .map(|(first, pause)| (first, pause.as_secs()))
            .collect();
        let expected = [1, 2, 4, 8, 16, 32, 60, 60].map(|pause| (pause == 1, pause));
        assert_eq!(seconds, expected);
        assert!(refusals.note("b", now).0, "another Remediation's row is its own");
        refusals.forget("a");
        assert!(refusals.note("a", now).0);
        assert!(refusals.note("a", now + REMEMBERED).0, "and a row that is long over is forgotten");
    }
}
