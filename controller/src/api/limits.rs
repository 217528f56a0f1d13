//! How often one caller may ask: a bucket of tokens each, filled at a steady rate. Bounded however many callers there
//! are: a bucket that is full again says nothing and is forgotten first.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Callers remembered at once.
const MOST_CALLERS: usize = 4096;

/// How much one caller may ask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Requests a second in the long run.
    pub per_second: u32,
    /// Requests at once after a rest.
    pub burst: u32,
}

/// The buckets of all callers.
#[derive(Debug)]
pub struct Limits {
    rate: Rate,
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn filled(self, rate: Rate, now: Instant) -> f64 {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        (self.tokens + seconds * f64::from(rate.per_second)).min(f64::from(rate.burst))
    }
}

impl Limits {
    /// Buckets of this rate, all full.
    pub fn new(rate: Rate) -> Self {
        Self { rate, buckets: Mutex::default() }
    }

    /// Takes one token of the caller's; how long to wait where there is none.
    pub fn take(&self, caller: &str, now: Instant) -> Result<(), Duration> {
        let rate = self.rate;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full = Bucket { tokens: f64::from(rate.burst), at: now };
        let tokens = buckets.get(caller).copied().unwrap_or(full).filled(rate, now);
        if tokens < 1.0 {
            return Err(Duration::from_secs_f64(
                (1.0 - tokens) / f64::from(rate.per_second.max(1)),
            ));
        }
        if buckets.len() >= MOST_CALLERS && !buckets.contains_key(caller) {
            make_room(&mut buckets, rate, now);
        }
        buckets.insert(caller.to_owned(), Bucket { tokens: tokens - 1.0, at: now });
        Ok(())
    }
}

/// Forgets whoever is full again, and where nobody is, whoever asked the longest ago.
fn make_room(buckets: &mut HashMap<String, Bucket>, rate: Rate, now: Instant) {
    buckets.retain(|_, bucket| bucket.filled(rate, now) < f64::from(rate.burst));
    if buckets.len() >= MOST_CALLERS {
        let oldest =
            buckets.iter().min_by_key(|(_, bucket)| bucket.at).map(|(name, _)| name.clone());
        if let Some(oldest) = oldest {
            buckets.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 10, burst: 3 };

    #[test]
    fn a_caller_may_ask_in_bursts_and_then_at_the_rate_and_others_are_not_held_up() {
        let (limits, now) = (Limits::new(RATE), Instant::now());
        for _ in 0..3 {
            limits.take("agent", now).unwrap();
        }
        let wait = limits.take("agent", now).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        limits.take("other", now).unwrap();
        limits.take("agent", now + wait).unwrap();
        limits.take("agent", now + wait).unwrap_err();
        for _ in 0..3 {
            limits.take("agent", now + Duration::from_mins(1)).unwrap();
        }
        limits.take("agent", now + Duration::from_mins(1)).unwrap_err();
    }

    #[test]
    fn however_many_callers_there_are_memory_is_bounded() {
        let (limits, now) = (Limits::new(RATE), Instant::now());
        for n in 0..MOST_CALLERS + 500 {
            limits.take(&format!("caller-{n}"), now).unwrap();
        }
        assert_eq!(limits.buckets.lock().unwrap().len(), MOST_CALLERS);
        limits.take("late", now + Duration::from_mins(1)).unwrap();
        assert_eq!(limits.buckets.lock().unwrap().len(), 1);
    }
}
