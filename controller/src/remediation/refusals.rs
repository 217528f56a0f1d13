//! Statuses that admission would not have: how long until each is offered again, and for how long they were refused.
//! Such a refusal means that what is recorded is not what is the case, which time alone may heal, but not any time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// How long a refusal is remembered, and how far apart two in a row may be: longer than the longest pause.
const REMEMBERED: Duration = Duration::from_mins(2);
/// How long statuses may be refused in a row before the Remediation is ended.
pub const PATIENCE: Duration = Duration::from_mins(5);

/// The refusals in a row of each Remediation's statuses, by uid.
#[derive(Debug, Default)]
pub struct Refusals {
    rows: Mutex<HashMap<String, Row>>,
}

#[derive(Debug)]
struct Row {
    times: u32,
    first: Instant,
    last: Instant,
}

impl Refusals {
    /// Notes one more. Says for how long statuses have been refused now.
    pub fn note(&self, uid: &str, now: Instant) -> Duration {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.retain(|_, row| now.saturating_duration_since(row.last) < REMEMBERED);
        let row = rows.entry(uid.to_owned()).or_insert(Row { times: 0, first: now, last: now });
        row.last = now;
        row.times = row.times.saturating_add(1);
        now.saturating_duration_since(row.first)
    }

    /// How long to wait: at first this long, and twice as long after each further refusal in a row.
    pub fn pause(&self, uid: &str, first: Duration) -> Duration {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let doublings = rows.get(uid).map_or(0, |row| row.times.saturating_sub(1).min(16));
        first.saturating_mul(1 << doublings).min(LONGEST_PAUSE)
    }

    /// Forgets them: a status was taken.
    pub fn forget(&self, uid: &str) {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_in_a_row_waits_twice_as_long_up_to_a_minute() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let refused = |uid: &str, now: Instant| {
            refusals.note(uid, now);
            refusals.pause(uid, SECOND).as_secs()
        };
        let row: Vec<u64> = (0..8).map(|_| refused("a", now)).collect();
        assert_eq!(row, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(refused("b", now), 1, "another Remediation's row is its own");
        assert_eq!(refusals.pause("c", SECOND), SECOND, "and who was not refused is not held up");
        refusals.forget("a");
        assert_eq!(refused("a", now), 1);
        assert_eq!(refused("a", now + REMEMBERED), 1, "a row that is long over is none");
    }

    #[test]
    fn refused_for_five_minutes_is_too_long_and_a_status_that_was_taken_begins_anew() {
        let (refusals, begun) = (Refusals::default(), Instant::now());
        let is_too_long =
            |second| refusals.note("a", begun + Duration::from_secs(second)) >= PATIENCE;
        let each_minute = [0, 60, 120, 180, 240, 299].map(is_too_long);
        assert_eq!(each_minute, [false; 6]);
        assert!(is_too_long(300));
        assert!(is_too_long(360), "and still, where the end is refused as well");
        refusals.forget("a");
        assert!(!is_too_long(361), "the twin: one that was taken in between");
        assert!(!is_too_long(700), "and one that was not even offered for a while");
    }
}
