//! Leadership as one asks for it: whether a replica leads, and whether that is certain at this very moment. How it is
//! won and lost is the election's.

use tokio::sync::watch;
use tokio::time::Instant;

/// Whether this replica leads. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Leadership {
    leading: watch::Receiver<bool>,
    held: watch::Receiver<Option<Instant>>,
}

impl Leadership {
    /// Whatever is told of the leading, and until when it may be relied on.
    pub fn new(leading: watch::Receiver<bool>, held: watch::Receiver<Option<Instant>>) -> Self {
        Self { leading, held }
    }

    /// Whether this replica leads, as far as its election has told.
    pub fn is_leader(&self) -> bool {
        *self.leading.borrow()
    }

    /// Whether nobody else can lead now: this replica does, and less than its hold has passed since the call began by
    /// which the Lease was last renewed. Others may take it only after its term, which is half as long again, so of two
    /// replicas that ask at the same moment at most one is certain.
    ///
    /// It is asked of the monotonic clock when it is asked, not of a task that has to run first: a process that was
    /// frozen longer than that knows at once when it goes on. What it cannot know is that it is frozen between asking and
    /// acting, or that its whole machine stands still with its clock. So it spares work that is in vain; that a late
    /// write is refused is up to the condition each write carries.
    pub fn is_certain(&self) -> bool {
        self.is_certain_at(Instant::now())
    }

    fn is_certain_at(&self, now: Instant) -> bool {
        self.is_leader() && self.held.borrow().is_some_and(|until| now < until)
    }

    /// Whenever that this replica leads begins or ends.
    pub fn changes(&self) -> watch::Receiver<bool> {
        self.leading.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn leadership_is_certain_until_the_hold_ends_even_where_nothing_has_run_since() {
        let (start, lasts) = (Instant::now(), Duration::from_secs(10));
        let (tell, leading) = watch::channel(false);
        let (until, held) = watch::channel(None);
        let leadership = Leadership::new(leading, held);
        assert!(!leadership.is_leader() && !leadership.is_certain_at(start));
        until.send_replace(Some(start + lasts));
        assert!(!leadership.is_certain_at(start), "it was not told yet that it leads");
        tell.send_replace(true);
        assert!(leadership.is_certain_at(start));
        assert!(leadership.is_certain_at(start + lasts.mul_f32(0.99)));
        // As after a long SIGSTOP: the clock went on, no task did.
        assert!(leadership.is_leader() && !leadership.is_certain_at(start + lasts));
        until.send_replace(Some(start + lasts * 2));
        assert!(leadership.is_certain_at(start + lasts), "renewed");
        until.send_replace(None);
        assert!(!leadership.is_certain_at(start + lasts), "given up");
    }
}
