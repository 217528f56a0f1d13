//! When a workload's pods last rolled, from what was really committed: the watch's events, fenced by generation.
//! Annotations, managedFields and the clocks of clients are never evidence. Who watches and who keeps the records
//! is the shell's.

use jiff::{SignedDuration, Timestamp};
use smartops_change::TemplateDigest;

/// One sight of a workload in the watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// `metadata.generation`.
    pub generation: i64,
    /// The digest of `spec.template`.
    pub template: TemplateDigest,
}

/// How a sight came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// An event of a running watch: it happened just now.
    Event,
    /// A list, at the start or after a gap in which nobody watched.
    List,
}

/// What is kept of a workload, by its uid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// The newest generation seen.
    pub generation: i64,
    /// The digest of the template at that generation.
    pub template: TemplateDigest,
    /// When the template last changed.
    pub rolled: Rolled,
}

/// When a workload's template last changed. Coming into being is no change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rolled {
    /// Then, by the clock of whoever watched.
    At(Timestamp),
    /// Never since it was created, and its creation was watched.
    Never,
    /// It was there before anybody watched: only its ReplicaSets can tell.
    BeforeTheWatch,
}

/// A ReplicaSet created this soon after its Deployment is the first revision. Seconds.
const FIRST_REVISION_WITHIN: i64 = 30;

impl Record {
    /// The record after a sight of the workload. A sight older than the record leaves it as it is.
    pub fn after(former: Option<&Self>, sight: Sight, via: Via, now: Timestamp) -> Self {
        let Sight { generation, template } = sight;
        let Some(former) = former else {
            let rolled = match via {
                // Seen from its very beginning.
                Via::Event if generation <= 1 => Rolled::Never,
                Via::Event | Via::List => Rolled::BeforeTheWatch,
            };
            return Self { generation, template, rolled };
        };
        if generation < former.generation {
            return *former;
        }
        // A template changed and changed back takes two generations; unwatched, that counts as a change.
        let may_have_changed_back = via == Via::List && generation > former.generation + 1;
        let rolled = if template != former.template || may_have_changed_back {
            Rolled::At(now)
        } else {
            former.rolled
        };
        Self { generation, template, rolled }
    }
}

/// When the pods of a Deployment last rolled, told by its ReplicaSets: the newest one's creation, unless that is the
/// Deployment's own beginning. `None` where they never did.
pub fn rolled_by_revisions(
    created: Option<Timestamp>,
    revisions: &[Timestamp],
) -> Option<Timestamp> {
    let newest = revisions.iter().max().copied()?;
    let is_first = revisions.len() == 1
        && created.is_some_and(|created| {
            newest.duration_since(created).abs() <= SignedDuration::from_secs(FIRST_REVISION_WITHIN)
        });
    (!is_first).then_some(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn sight(generation: i64, template: &str) -> Sight {
        let template = format!(r#"{{"metadata":{{"labels":{{"x":"{template}"}}}}}}"#);
        Sight { generation, template: serde_json::from_str(&template).unwrap() }
    }

    fn after(former: &Record, sight: Sight, via: Via, second: i64) -> Rolled {
        Record::after(Some(former), sight, via, at(second)).rolled
    }

    #[test]
    fn a_creation_that_was_watched_is_no_restart() {
        let record = Record::after(None, sight(1, "a"), Via::Event, at(1));
        assert_eq!(record.rolled, Rolled::Never);
        assert_eq!(after(&record, sight(2, "b"), Via::Event, 9), Rolled::At(at(9)));
    }

    #[test]
    fn a_change_beside_the_template_is_no_restart() {
        let record = Record::after(None, sight(1, "a"), Via::Event, at(1));
        assert_eq!(after(&record, sight(2, "a"), Via::Event, 9), Rolled::Never);
    }

    #[test]
    fn what_stood_in_the_first_list_is_told_by_its_replica_sets_until_it_changes() {
        let record = Record::after(None, sight(5, "a"), Via::List, at(1));
        assert_eq!(record.rolled, Rolled::BeforeTheWatch);
        assert_eq!(after(&record, sight(6, "b"), Via::Event, 9), Rolled::At(at(9)));
    }

    #[test]
    fn a_gap_counts_as_a_change_where_the_template_may_have_changed_and_changed_back() {
        let record = Record::after(None, sight(1, "a"), Via::Event, at(1));
        assert_eq!(after(&record, sight(2, "a"), Via::List, 9), Rolled::Never);
        assert_eq!(after(&record, sight(3, "a"), Via::List, 9), Rolled::At(at(9)));
        assert_eq!(after(&record, sight(2, "b"), Via::List, 9), Rolled::At(at(9)));
    }

    #[test]
    fn an_older_sight_changes_nothing() {
        let record = Record::after(None, sight(5, "b"), Via::Event, at(1));
        assert_eq!(Record::after(Some(&record), sight(4, "a"), Via::Event, at(9)), record);
    }

    #[test]
    fn the_newest_replica_set_tells_and_the_first_revision_does_not() {
        for (created, revisions, expected) in [
            (Some(at(100)), vec![], None),
            (Some(at(100)), vec![at(101)], None),
            (Some(at(100)), vec![at(131)], Some(at(131))),
            (Some(at(100)), vec![at(101), at(110)], Some(at(110))),
            (Some(at(100)), vec![at(110), at(101)], Some(at(110))),
            (None, vec![at(101)], Some(at(101))),
        ] {
            assert_eq!(rolled_by_revisions(created, &revisions), expected, "{revisions:?}");
        }
    }
}
