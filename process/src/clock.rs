//! The only place that reads the wall clock; everything else is handed the time.

use jiff::Timestamp;

/// The wall clock. Shells hold it and hand `now` to the pure functions they call.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock;

impl Clock {
    /// The time now.
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of the wall clock")]
    pub fn now(self) -> Timestamp {
        Timestamp::now()
    }
}
