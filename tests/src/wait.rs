//! Waiting on a condition with a deadline. The only place of the harness that sleeps.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// What a look at the world showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen<T> {
    /// The awaited value.
    Done(T),
    /// Not there; the reason is shown when the deadline passes.
    NotYet(String),
}

impl Seen<()> {
    /// `Done` when the condition holds.
    pub fn when(holds: bool, otherwise: impl Into<String>) -> Self {
        if holds { Self::Done(()) } else { Self::NotYet(otherwise.into()) }
    }
}

/// Looks again and again until the condition is met or `limit` has passed. An `Err` of the look ends the wait at once:
/// it says that waiting on is pointless.
pub fn eventually<T>(
    limit: Duration,
    what: &str,
    mut look: impl FnMut() -> Result<Seen<T>>,
) -> Result<T> {
    let start = Instant::now();
    let mut interval = Duration::from_millis(20);
    loop {
        let reason = match look()? {
            Seen::Done(value) => return Ok(value),
            Seen::NotYet(reason) => reason,
        };
        if start.elapsed() >= limit {
            bail!("{what}: not within {} s; last seen: {reason}", limit.as_secs_f32());
        }
        pause(interval);
        interval = (interval * 3 / 2).min(Duration::from_millis(250));
    }
}

#[expect(clippy::disallowed_methods, reason = "a poll's interval, always under a deadline")]
fn pause(interval: Duration) {
    std::thread::sleep(interval);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_met_condition_returns_its_value() {
        let mut looks = 0;
        let seen = eventually(Duration::from_secs(5), "three looks", || {
            looks += 1;
            Ok(if looks == 3 { Seen::Done(looks) } else { Seen::NotYet(looks.to_string()) })
        });
        assert_eq!(seen.unwrap(), 3);
    }

    #[test]
    fn a_passed_deadline_names_what_was_seen_last() {
        let waited: Result<()> =
            eventually(Duration::ZERO, "rain", || Ok(Seen::NotYet("sunshine".into())));
        let text = waited.unwrap_err().to_string();
        assert!(text.contains("rain") && text.contains("sunshine"), "{text}");
    }

    #[test]
    fn a_hopeless_look_ends_the_wait_at_once() {
        let waited: Result<()> =
            eventually(Duration::from_mins(10), "x", || bail!("the process has ended"));
        assert!(waited.is_err());
    }
}
