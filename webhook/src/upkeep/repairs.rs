//! When repairs were made, so that a fight with whoever keeps undoing them is not fought at full speed.

use std::time::Duration;

use tokio::time::Instant;

/// The pause after a first repair; it doubles with each that follows soon.
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause between repairs: whoever keeps undoing them is not raced, and yet undone within seconds.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// So long after the last repair nobody is taken to be fighting any more.
const PEACE: Duration = Duration::from_mins(1);

/// The repairs of one kind of object.
#[derive(Debug, Default)]
pub(crate) struct Repairs {
    last: Option<Instant>,
    in_a_row: u32,
}

impl Repairs {
    /// Until when the next repair waits; `None` where it need not.
    pub(crate) fn pause(&self, now: Instant) -> Option<Instant> {
        let factor = 1 << self.in_a_row.saturating_sub(1).min(8);
        let until = self.last? + (SHORTEST_PAUSE * factor).min(LONGEST_PAUSE);
        (until > now).then_some(until)
    }

    /// Takes note of one.
    pub(crate) fn note(&mut self, now: Instant) {
        let is_at_peace = self.last.is_none_or(|last| now.duration_since(last) > PEACE);
        self.in_a_row = if is_at_peace { 1 } else { self.in_a_row.saturating_add(1) };
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repairs_that_follow_each_other_wait_longer_and_peace_starts_anew() {
        let mut repairs = Repairs::default();
        let mut now = Instant::now();
        assert_eq!(repairs.pause(now), None);
        for milliseconds in [500, 1000, 2000, 4000, 8000, 8000] {
            repairs.note(now);
            let pause = Duration::from_millis(milliseconds);
            assert_eq!(repairs.pause(now), Some(now + pause));
            now += pause;
            assert_eq!(repairs.pause(now), None);
        }
        now += PEACE * 2;
        repairs.note(now);
        assert_eq!(repairs.pause(now), Some(now + SHORTEST_PAUSE));
    }
}
