//! The places of a listener: how many connections it keeps, and which one goes when all are taken. What a connection
//! speaks is `connection`'s.
//!
//! Anybody who reaches a port can open connections and say nothing. So the listener takes every newcomer and ends the
//! connection that has brought it nothing for longest: whoever has a request to bring has as long for it as it takes to
//! fill all places anew. Connections are told by nothing else: neither a finished handshake nor a former request proves
//! that a next one will come, and a rank by them could be bought with both.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often it is told that all places are taken.
const TOLD_EVERY: Duration = Duration::from_mins(1);
/// How long the client of an answer that goes on may take nothing of it. Such answers send something far more often.
const UNREAD: Duration = Duration::from_mins(1);

/// What a connection is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// No request: it shakes hands, brings a head, or waits for the next one.
    Nothing,
    /// Its request's head has come, the body not yet to its end.
    Bringing,
    /// Its whole request has come, and the answer is being made.
    Asking,
    /// The answer is made, but not its last part; since it was given the last one.
    Telling,
}

/// A place that is taken.
#[derive(Debug)]
struct Seat {
    doing: Doing,
    since: Instant,
    end: CancellationToken,
}

/// Of these, the one to end for a newcomer: it has been without a whole request for longest. None where every one is
/// being answered.
fn least_needed(seats: &BTreeMap<u64, Seat>, now: Instant) -> Option<u64> {
    let idle = seats.iter().filter(|(_, seat)| match seat.doing {
        Doing::Nothing | Doing::Bringing => true,
        Doing::Asking => false,
        Doing::Telling => now.saturating_duration_since(seat.since) >= UNREAD,
    });
    idle.min_by_key(|(id, seat)| (seat.since, **id)).map(|(id, _)| *id)
}

/// The places of one listener.
#[derive(Debug)]
pub(super) struct Places {
    listener: &'static str,
    limit: usize,
    taken: Mutex<Taken>,
    /// Told when there may be a place for somebody who found none.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    seats: BTreeMap<u64, Seat>,
    told: Option<Instant>,
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    id: u64,
    places: Arc<Places>,
    end: CancellationToken,
}

impl Places {
    pub(super) fn new(listener: &'static str, limit: usize) -> Arc<Self> {
        let (taken, changed) = (Mutex::default(), Notify::new());
        Arc::new(Self { listener, limit, taken, changed })
    }

    /// A place for a connection that is there. Where none is free another connection loses its own; where every one is
    /// being answered, this waits.
    pub(super) async fn take(self: &Arc<Self>) -> Place {
        loop {
            if let Some(place) = self.try_take() {
                return place;
            }
            self.changed.notified().await;
        }
    }

    fn try_take(self: &Arc<Self>) -> Option<Place> {
        let now = Instant::now();
        let mut taken = self.taken();
        if taken.seats.len() >= self.limit {
            let ended = least_needed(&taken.seats, now).and_then(|id| taken.seats.remove(&id))?;
            ended.end.cancel();
            if taken.told.is_none_or(|told| now - told >= TOLD_EVERY) {
                taken.told = Some(now);
                tracing::warn!(
                    listener = self.listener,
                    connections = self.limit,
                    "every place is taken: for each new connection the one idle longest is ended"
                );
            }
        }
        let (id, end) = (taken.next, CancellationToken::new());
        taken.next += 1;
        taken.seats.insert(id, Seat { doing: Doing::Nothing, since: now, end: end.clone() });
        Some(Place { id, places: Arc::clone(self), end })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits until somebody else needs this place.
    pub(super) async fn lost(&self) {
        self.end.cancelled().await;
    }

    /// Whether a request is under way whose answer is not made yet.
    pub(super) fn is_busy(&self) -> bool {
        let taken = self.places.taken();
        let doing = taken.seats.get(&self.id).map(|seat| seat.doing);
        matches!(doing, Some(Doing::Bringing | Doing::Asking))
    }

    /// A request's head has come. The first of the two lasts until the request has come whole, the second until its
    /// answer is given.
    pub(super) fn begin(self: &Arc<Self>) -> (Coming, Flight) {
        self.turn(|_| true, Doing::Bringing);
        (Coming(Arc::clone(self)), Flight(Arc::clone(self)))
    }

    fn turn(&self, from: impl FnOnce(Doing) -> bool, to: Doing) {
        let mut taken = self.places.taken();
        if let Some(seat) = taken.seats.get_mut(&self.id).filter(|seat| from(seat.doing)) {
            (seat.doing, seat.since) = (to, Instant::now());
        }
        drop(taken);
        self.places.changed.notify_one();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().seats.remove(&self.id);
        self.places.changed.notify_one();
    }
}

/// A request that has not come whole yet; dropped when it has.
#[derive(Debug)]
pub(super) struct Coming(Arc<Place>);

impl Drop for Coming {
    fn drop(&mut self) {
        self.0.turn(|doing| doing == Doing::Bringing, Doing::Asking);
    }
}

/// A request under way; dropped when its answer is given.
#[derive(Debug)]
pub(super) struct Flight(Arc<Place>);

impl Flight {
    /// The answer is made, or its client took a part of it.
    pub(super) fn telling(&self) {
        self.0.turn(|_| true, Doing::Telling);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.turn(|_| true, Doing::Nothing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_without_a_whole_request_for_longest_goes_and_one_that_is_answered_never() {
        use Doing::{Asking, Bringing, Nothing, Telling};
        let start = Instant::now();
        let table = [
            (&[(Nothing, 2), (Nothing, 1), (Nothing, 3)][..], Some(1)),
            (&[(Asking, 1), (Nothing, 3), (Nothing, 2)], Some(2)),
            (&[(Asking, 1), (Asking, 2), (Nothing, 9)], Some(2)),
            (&[(Bringing, 1), (Nothing, 2)], Some(0)),
            (&[(Nothing, 1), (Bringing, 2)], Some(0)),
            (&[(Nothing, 1), (Nothing, 1)], Some(0)),
            (&[(Asking, 1), (Asking, 2)], None),
            // Of an answer that goes on, whoever has taken something within the last minute is there.
            (&[(Telling, 41), (Asking, 1)], None),
            (&[(Telling, 40), (Asking, 1)], Some(0)),
            (&[(Telling, 41), (Nothing, 99)], Some(1)),
            (&[], None),
        ];
        let now = start + Duration::from_secs(100);
        for (seats, expected) in table {
            let seats = seats.iter().zip(0..).map(|((doing, second), id)| {
                let since = start + Duration::from_secs(*second);
                (id, Seat { doing: *doing, since, end: CancellationToken::new() })
            });
            assert_eq!(least_needed(&seats.collect(), now), expected);
        }
    }

    #[tokio::test]
    async fn a_place_is_lost_to_a_newcomer_only_where_none_is_free() {
        let places = Places::new("api", 2);
        let (first, second) = (places.take().await, places.take().await);
        assert!(!first.end.is_cancelled() && !second.end.is_cancelled());
        drop(second);
        let second = places.take().await;
        assert!(!first.end.is_cancelled());
        let third = places.take().await;
        first.lost().await;
        assert!(!second.end.is_cancelled() && !third.end.is_cancelled());
    }

    #[tokio::test]
    async fn whoever_finds_every_place_answered_waits_until_one_of_them_is_not() {
        let places = Places::new("api", 1);
        let only = Arc::new(places.take().await);
        let (coming, flight) = only.begin();
        drop(coming);
        assert!(only.is_busy());
        assert!(places.try_take().is_none(), "a whole request is never left");
        flight.telling();
        assert!(!only.is_busy());
        assert!(places.try_take().is_none(), "nor a client that takes its answer");
        let (_next, ()) = tokio::join!(places.take(), async { drop(flight) });
        only.lost().await;
    }
}
