//! When a pod of a workload last took the place of another, told by the pods that are there now. Which pods those are
//! is the shell's.

use std::ops::RangeInclusive;

use jiff::{SignedDuration, Timestamp};

use super::Record;

/// A pod made so soon after its controller, or after the number of pods rose, came with that.
const SOON: SignedDuration = SignedDuration::from_secs(30);
/// The API server dates a pod to the whole second, and by its own clock.
const EARLY: SignedDuration = SignedDuration::from_secs(2);

/// When the newest of a controller's pods was made that replaced another. Those that came with their controller, made
/// at `made`, replaced none; nor did those that came when the number of the workload rose, as many as it rose by.
pub fn newest_replacement(
    mut pods: Vec<Timestamp>,
    made: Option<Timestamp>,
    workload: Option<&Record>,
) -> Option<Timestamp> {
    pods.retain(|at| made.is_none_or(|made| at.duration_since(made) > SOON));
    pods.sort_unstable();
    for (at, by) in workload.into_iter().flat_map(rises) {
        let mut left = by;
        pods.retain(|pod| {
            let came_with_it = left > 0 && around(at).contains(pod);
            left -= i64::from(came_with_it);
            !came_with_it
        });
    }
    pods.last().copied()
}

/// When the number of a workload rose, and by how much, oldest first.
fn rises(workload: &Record) -> Vec<(Timestamp, i64)> {
    let mut after = workload.replicas.unwrap_or_default();
    let mut rises = Vec::new();
    for one in workload.recent.moves().rev() {
        let Some(from) = one.from else { continue };
        if after > from {
            rises.push((one.at, after.saturating_sub(from)));
        }
        after = from;
    }
    rises.reverse();
    rises
}

fn around(at: Timestamp) -> RangeInclusive<Timestamp> {
    let (from, until) = (at.checked_sub(EARLY), at.checked_add(SOON));
    from.unwrap_or(at)..=until.unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use smartops_change::TemplateDigest;

    use super::*;
    use crate::history::{Sight, Via};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A workload whose number was each of these from that second on.
    fn numbered(numbers: &[(i64, i64)]) -> Record {
        let mut record: Option<Record> = None;
        for (generation, (second, number)) in (1..).zip(numbers) {
            let template = TemplateDigest::NOTHING;
            let sight = Sight { generation, template, replicas: Some(*number) };
            record = Some(Record::after(record.as_ref(), sight, Via::Event, at(*second)));
        }
        record.unwrap()
    }

    fn newest(pods: &[i64], made: Option<i64>, workload: Option<&Record>) -> Option<Timestamp> {
        newest_replacement(pods.iter().copied().map(at).collect(), made.map(at), workload)
    }

    #[test]
    fn pods_that_came_with_their_controller_replaced_none() {
        for (pods, made, expected) in [
            (vec![], Some(100), None),
            (vec![101, 130], Some(100), None),
            (vec![101, 131], Some(100), Some(131)),
            (vec![131, 500, 101], Some(100), Some(500)),
            (vec![101], None, Some(101)),
        ] {
            assert_eq!(newest(&pods, made, None), expected.map(at), "{pods:?}");
        }
    }

    #[test]
    fn pods_that_a_rise_of_the_number_added_are_no_restart_and_one_more_is() {
        let grown = numbered(&[(100, 2), (1000, 4)]);
        for (pods, expected) in [
            (vec![100, 101, 1000, 1001], None),
            (vec![100, 101, 998, 1030], None),
            (vec![100, 1000, 1001, 1002], Some(1002)),
            (vec![100, 101, 1000, 1031], Some(1031)),
            (vec![100, 900, 1000, 1001], Some(900)),
        ] {
            assert_eq!(newest(&pods, Some(100), Some(&grown)), expected.map(at), "{pods:?}");
        }
    }

    #[test]
    fn a_number_that_falls_or_only_seems_to_change_adds_no_pod() {
        let fallen = numbered(&[(100, 4), (1000, 2)]);
        assert_eq!(newest(&[100, 1001], Some(100), Some(&fallen)), Some(at(1001)));
        let template = TemplateDigest::NOTHING;
        let sight = Sight { generation: 9, template, replicas: Some(2) };
        let unwatched = Record::after(Some(&fallen), sight, Via::List, at(2000));
        assert_eq!(newest(&[100, 2001], Some(100), Some(&unwatched)), Some(at(2001)));
    }

    #[test]
    fn each_rise_adds_its_own_pods() {
        let twice = numbered(&[(100, 1), (1000, 2), (1010, 4), (2000, 3)]);
        assert_eq!(newest(&[100, 1001, 1011, 1012], Some(100), Some(&twice)), None);
        let one_more = newest(&[100, 1001, 1011, 1012, 1013], Some(100), Some(&twice));
        assert_eq!(one_more, Some(at(1013)));
    }
}
