//! The latest changes of a namespace's workloads together, bounded.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::LONGEST;

/// When the workloads of a namespace changed, oldest first: template or number moved, or one was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NamespaceRecord {
    changes: VecDeque<Timestamp>,
    /// When the newest change was made that is no longer among them.
    forgotten: Option<Timestamp>,
}

impl NamespaceRecord {
    /// How many are kept.
    pub const CAPACITY: usize = 256;

    /// No change yet.
    pub const fn new() -> Self {
        Self { changes: VecDeque::new(), forgotten: None }
    }

    /// As stored: changes in their order, and the newest of those forgotten.
    pub fn stored(
        changes: impl IntoIterator<Item = Timestamp>,
        forgotten: Option<Timestamp>,
    ) -> Self {
        let mut record = Self { changes: VecDeque::new(), forgotten };
        for at in changes {
            record.changes.push_back(at);
            record.forget_beyond_capacity();
        }
        record
    }

    /// The changes, oldest first.
    pub fn changes(&self) -> impl ExactSizeIterator<Item = Timestamp> {
        self.changes.iter().copied()
    }

    /// When the newest change was made that is no longer among them.
    pub const fn forgotten(&self) -> Option<Timestamp> {
        self.forgotten
    }

    /// How many changes there were after that moment: at least that many, where not all are kept.
    pub fn changes_since(&self, since: Timestamp) -> usize {
        if self.forgotten.is_some_and(|forgotten| forgotten > since) {
            return Self::CAPACITY;
        }
        self.changes.iter().filter(|at| **at > since).count()
    }

    /// When the oldest of the changes after that moment was made, of those that are kept.
    pub fn oldest_change_after(&self, since: Timestamp) -> Option<Timestamp> {
        self.changes.iter().copied().filter(|at| *at > since).min()
    }

    /// A workload of the namespace changed.
    pub fn note(&mut self, at: Timestamp) {
        while let Some(oldest) = self.changes.front()
            && at.duration_since(*oldest) > LONGEST
        {
            self.forget_oldest();
        }
        self.changes.push_back(at);
        self.forget_beyond_capacity();
    }

    /// The same, with no time after `now`.
    #[must_use]
    pub fn no_later_than(mut self, now: Timestamp) -> Self {
        self.changes.iter_mut().for_each(|at| *at = (*at).min(now));
        Self { forgotten: self.forgotten.map(|at| at.min(now)), ..self }
    }

    /// The fuller of two accounts of the same namespace. Replicas date the same change by their own clocks, so the two
    /// are never added up.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        let newest = |record: &Self| record.changes.back().copied();
        let weight = |record: &Self| (record.changes.len(), newest(record));
        if weight(&other) > weight(&self) { other } else { self }
    }

    fn forget_beyond_capacity(&mut self) {
        while self.changes.len() > Self::CAPACITY {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        self.forgotten = self.forgotten.max(self.changes.pop_front());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn changed_each_second(changes: i64) -> NamespaceRecord {
        let mut record = NamespaceRecord::new();
        (1..=changes).for_each(|second| record.note(at(second)));
        record
    }

    #[test]
    fn changes_are_counted_in_the_window_and_not_before_it() {
        let record = changed_each_second(5);
        for (since, count, oldest) in [(0, 5, Some(at(1))), (3, 2, Some(at(4))), (5, 0, None)] {
            assert_eq!(record.changes_since(at(since)), count, "{since}");
            assert_eq!(record.oldest_change_after(at(since)), oldest, "{since}");
        }
    }

    #[test]
    fn a_full_account_counts_as_at_least_full_and_ages_by_the_day() {
        let mut record = changed_each_second(300);
        assert_eq!(record.changes_since(at(0)), NamespaceRecord::CAPACITY);
        assert_eq!(record.changes_since(at(290)), 10);
        record.note(at(300) + LONGEST);
        assert_eq!(record.changes().len(), 2);
    }

    #[test]
    fn what_another_clock_dated_after_now_happened_now_and_the_rest_when_it_did() {
        let record = changed_each_second(300).no_later_than(at(40));
        assert_eq!(record.forgotten(), Some(at(40)));
        assert!(record.changes().all(|time| time == at(40)));
        let record = changed_each_second(5);
        assert_eq!(record.clone().no_later_than(at(5)), record);
    }

    #[test]
    fn the_fuller_of_two_accounts_stands_and_they_are_never_added_up() {
        let (one, two) = (changed_each_second(3), changed_each_second(5));
        assert_eq!(one.clone().merged(two.clone()), two);
        assert_eq!(two.clone().merged(one), two);
    }
}
