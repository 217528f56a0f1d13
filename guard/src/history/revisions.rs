//! When a Deployment rolled before anybody watched, told by its ReplicaSets.

use jiff::{SignedDuration, Timestamp};

/// A ReplicaSet created this soon after its Deployment is the first revision.
const FIRST_REVISION_WITHIN: SignedDuration = SignedDuration::from_secs(30);

/// When the pods of a Deployment last rolled, told by its ReplicaSets: the newest one's creation, unless that is the
/// Deployment's own beginning. `None` where they never did.
pub fn rolled_by_revisions(
    created: Option<Timestamp>,
    revisions: &[Timestamp],
) -> Option<Timestamp> {
    let newest = revisions.iter().max().copied()?;
    let is_first = revisions.len() == 1
        && created
            .is_some_and(|created| newest.duration_since(created).abs() <= FIRST_REVISION_WITHIN);
    (!is_first).then_some(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
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
