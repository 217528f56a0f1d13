//! What keeps reviews from each other: so many are under way at once, and one that breaks down ends nothing else. Each
//! path has turns of its own, so that whoever floods one leaves the others theirs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

/// Reviews of a path under way at once; what is beyond waits for its turn.
const MOST: usize = 256;
/// The longest a review waits for its turn.
const LONGEST: Duration = Duration::from_secs(2);

/// The turns of a path.
#[derive(Debug)]
pub(crate) struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        Self(Semaphore::new(MOST))
    }
}

impl Turns {
    /// A turn, or why there is none before the deadline.
    pub(crate) async fn take(
        &self,
        deadline: Instant,
    ) -> Result<SemaphorePermit<'_>, &'static str> {
        let until = deadline.min(Instant::now() + LONGEST);
        match timeout_at(until, self.0.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err("too many reviews at once"),
        }
    }
}

/// Runs a judgement; `None` where it panicked.
pub(crate) fn shielded<T>(judgement: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(judgement)).ok()
}

/// The same for one that waits in between.
pub(crate) async fn shielded_while<T>(judgement: impl Future<Output = T>) -> Option<T> {
    AssertUnwindSafe(judgement).catch_unwind().await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_judgement_that_panics_is_caught_and_the_next_one_is_judged() {
        assert_eq!(shielded(|| -> u8 { panic!("on purpose") }), None);
        assert_eq!(shielded(|| 7), Some(7));
        let breaks_down = async {
            // A turn of the runtime lies between.
            tokio::task::yield_now().await;
            panic!("on purpose");
        };
        assert_eq!(shielded_while::<()>(breaks_down).await, None);
        assert_eq!(shielded_while(async { 7 }).await, Some(7));
    }

    #[tokio::test]
    async fn what_is_beyond_the_turns_waits_no_longer_than_its_deadline() {
        let turns = Turns(Semaphore::new(1));
        let soon = || Instant::now() + Duration::from_millis(10);
        let taken = turns.take(soon()).await.unwrap();
        assert_eq!(turns.take(soon()).await.unwrap_err(), "too many reviews at once");
        drop(taken);
        assert!(turns.take(soon()).await.is_ok());
    }
}
