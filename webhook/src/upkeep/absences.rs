//! What was deleted, and when it is made again. Whoever uninstalls SmartOps deletes what it keeps and the program that
//! keeps it, in an order of his own: so what is deleted stays away for a while, and for good where the program goes too.
//! Whoever installs makes the program before the last of what it keeps, and finds it there already if the program is
//! faster: so what was missing from the beginning is left to him for a while too.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

/// So long whatever was deleted stays away.
const PAUSE: Duration = Duration::from_secs(3);
/// So long after the first look whoever installs may take for the rest.
const INSTALLED: Duration = Duration::from_secs(5);

/// When something that is not there may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Making {
    /// Now.
    Now,
    /// Not before.
    At(Instant),
    /// Not while nothing says that the program is to stay.
    Not,
}

/// What is known to have been there and is not.
#[derive(Debug)]
pub(crate) struct Absences<K> {
    there: BTreeSet<K>,
    gone: BTreeMap<K, Instant>,
    /// How long after the first look what never was there is somebody else's to make.
    grace: Duration,
    looked: Option<Instant>,
}

impl<K> Default for Absences<K> {
    fn default() -> Self {
        Self { there: BTreeSet::new(), gone: BTreeMap::new(), grace: Duration::ZERO, looked: None }
    }
}

impl<K: Ord + Clone> Absences<K> {
    /// Of what is part of an installation, so that others make it first.
    pub(crate) fn of_installed() -> Self {
        Self { grace: INSTALLED, ..Self::default() }
    }

    /// Takes note of what is there now.
    pub(crate) fn look<'k>(&mut self, stands: impl Iterator<Item = &'k K>, now: Instant)
    where
        K: 'k,
    {
        self.looked.get_or_insert(now);
        let stands: BTreeSet<K> = stands.cloned().collect();
        for key in self.there.difference(&stands) {
            self.gone.insert(key.clone(), now);
        }
        self.gone.retain(|key, _| !stands.contains(key));
        self.there = stands;
    }

    /// Forgets one that was removed here: nobody deleted it.
    pub(crate) fn forget(&mut self, key: &K) {
        self.there.remove(key);
        self.gone.remove(key);
    }

    /// When one that is not there may be made. `may_restore`: the program that keeps it is to stay.
    pub(crate) fn making(&self, key: &K, may_restore: bool, now: Instant) -> Making {
        let at = match self.gone.get(key) {
            Some(_) if !may_restore => return Making::Not,
            Some(since) => Some(*since + PAUSE),
            None => self.looked.map(|first| first + self.grace),
        };
        at.filter(|at| *at > now).map_or(Making::Now, Making::At)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_from_the_beginning_is_made_once_whoever_installs_had_time_for_it() {
        let (mut absences, start) = (Absences::of_installed(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        absences.look(["a"].iter(), start);
        absences.look(["a"].iter(), after(3));
        for may_restore in [true, false] {
            assert_eq!(absences.making(&"b", may_restore, after(4)), Making::At(after(5)));
            assert_eq!(absences.making(&"b", may_restore, after(5)), Making::Now);
        }
        absences.look(["a", "b"].iter(), after(6));
        absences.look(["a"].iter(), after(7));
        assert_eq!(absences.making(&"b", true, after(7)), Making::At(after(10)), "deleted");
    }

    #[test]
    fn what_was_deleted_stays_away_for_a_while_and_what_never_was_there_is_made_at_once() {
        let (mut absences, start) = (Absences::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(absences.making(&"a", true, start), Making::Now);
        absences.look(["a", "b"].iter(), start);
        absences.look(["b"].iter(), after(1));
        absences.look(["b"].iter(), after(2));
        assert_eq!(absences.making(&"a", true, after(2)), Making::At(after(4)));
        assert_eq!(absences.making(&"a", true, after(4)), Making::Now);
        assert_eq!(absences.making(&"a", false, after(9)), Making::Not);
        assert_eq!(absences.making(&"c", false, after(9)), Making::Now);
        absences.look(["a", "b"].iter(), after(9));
        assert_eq!(absences.making(&"a", true, after(9)), Making::Now, "it is back");
        absences.look([].iter(), after(20));
        assert_eq!(absences.making(&"b", true, after(20)), Making::At(after(23)), "gone anew");
        absences.forget(&"b");
        assert_eq!(absences.making(&"b", true, after(20)), Making::Now, "removed here");
    }
}
