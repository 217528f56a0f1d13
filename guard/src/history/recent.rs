//! The latest changes of one workload, bounded.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::LONGEST;

/// One observed change of the template or the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// When it was observed.
    pub at: Timestamp,
    /// The number before it, where the number moved.
    pub from: Option<i64>,
}

/// The latest changes, oldest first: at most [`Recent::CAPACITY`] of them, none older than a day.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recent {
    moves: VecDeque<Move>,
    /// When the newest change was made that is no longer among them.
    forgotten: Option<Timestamp>,
}

impl Recent {
    /// How many are kept.
    pub const CAPACITY: usize = 64;

    /// No change yet.
    pub const fn new() -> Self {
        Self { moves: VecDeque::new(), forgotten: None }
    }

    /// As stored: moves in their order, and the newest of those forgotten.
    pub fn stored(moves: impl IntoIterator<Item = Move>, forgotten: Option<Timestamp>) -> Self {
        let mut recent = Self { moves: VecDeque::new(), forgotten };
        for one in moves {
            recent.moves.push_back(one);
            recent.forget_beyond_capacity();
        }
        recent
    }

    /// The changes, oldest first.
    pub fn moves(&self) -> impl ExactSizeIterator<Item = &Move> + DoubleEndedIterator {
        self.moves.iter()
    }

    /// When the newest change was made that is no longer among them.
    pub const fn forgotten(&self) -> Option<Timestamp> {
        self.forgotten
    }

    /// Whether every change after that moment is among them.
    pub fn reaches(&self, since: Timestamp) -> bool {
        self.forgotten.is_none_or(|forgotten| forgotten <= since)
    }

    /// How many changes there were after that moment: at least that many, where not all are kept.
    pub fn count_since(&self, since: Timestamp) -> usize {
        if self.reaches(since) {
            self.moves.iter().filter(|one| one.at > since).count()
        } else {
            Self::CAPACITY
        }
    }

    /// When the oldest of the changes after that moment was made, of those that are kept.
    pub fn oldest_after(&self, since: Timestamp) -> Option<Timestamp> {
        self.moves.iter().map(|one| one.at).filter(|at| *at > since).min()
    }

    /// The number before the first change of it after that moment.
    pub fn number_before(&self, since: Timestamp) -> Option<i64> {
        self.moves.iter().filter(|one| one.at > since).find_map(|one| one.from)
    }

    /// The same, with no time after `now`.
    #[must_use]
    pub fn no_later_than(mut self, now: Timestamp) -> Self {
        self.moves.iter_mut().for_each(|one| one.at = one.at.min(now));
        Self { forgotten: self.forgotten.map(|at| at.min(now)), ..self }
    }

    pub(super) fn push(&mut self, one: Move) {
        while let Some(oldest) = self.moves.front()
            && one.at.duration_since(oldest.at) > LONGEST
        {
            self.forget_oldest();
        }
        self.moves.push_back(one);
        self.forget_beyond_capacity();
    }

    fn forget_beyond_capacity(&mut self) {
        while self.moves.len() > Self::CAPACITY {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        self.forgotten = self.forgotten.max(self.moves.pop_front().map(|one| one.at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn changed_each_second(changes: i64) -> Recent {
        let mut recent = Recent::new();
        for second in 1..=changes {
            recent.push(Move { at: at(second), from: Some(second) });
        }
        recent
    }

    #[test]
    fn changes_are_counted_after_a_moment_and_not_at_it() {
        let recent = changed_each_second(5);
        for (since, count, oldest, number) in [
            (0, 5, Some(at(1)), Some(1)),
            (3, 2, Some(at(4)), Some(4)),
            (4, 1, Some(at(5)), Some(5)),
            (5, 0, None, None),
        ] {
            assert_eq!(recent.count_since(at(since)), count, "{since}");
            assert_eq!(recent.oldest_after(at(since)), oldest, "{since}");
            assert_eq!(recent.number_before(at(since)), number, "{since}");
        }
    }

    #[test]
    fn more_changes_than_are_kept_count_as_at_least_those() {
        let recent = changed_each_second(100);
        assert_eq!(recent.moves().len(), Recent::CAPACITY);
        assert!(!recent.reaches(at(35)));
        assert_eq!(recent.count_since(at(35)), Recent::CAPACITY);
        assert!(recent.reaches(at(36)));
        assert_eq!(recent.count_since(at(40)), 60);
    }

    #[test]
    fn what_is_older_than_a_day_is_forgotten_at_the_next_change() {
        let mut recent = changed_each_second(3);
        recent.push(Move { at: at(2) + LONGEST, from: None });
        assert_eq!(recent.moves().map(|one| one.at).next(), Some(at(2)));
        recent.push(Move { at: at(9) + LONGEST, from: None });
        assert_eq!(recent.moves().len(), 2);
        assert!(recent.reaches(at(3)));
    }

    #[test]
    fn a_change_without_a_number_tells_nothing_of_the_number() {
        let mut recent = Recent::new();
        recent.push(Move { at: at(1), from: None });
        recent.push(Move { at: at(2), from: Some(7) });
        assert_eq!(recent.number_before(at(0)), Some(7));
    }

    #[test]
    fn what_was_stored_is_what_it_was() {
        let recent = changed_each_second(70);
        let moves: Vec<Move> = recent.moves().copied().collect();
        assert_eq!(Recent::stored(moves, recent.forgotten()), recent);
    }
}
