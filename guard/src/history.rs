//! What was really committed to a workload and when, from the watch's events, fenced by generation. Annotations,
//! managedFields and the clocks of clients are never evidence.
//!
//! Lives here: the record of one workload, the changes of a namespace, and how both follow from what is seen. Does not
//! live here: who watches and keeps the records (the shell), how they are stored ([ledger](crate::ledger)), what a
//! policy makes of them (the rules).

mod kind;
mod namespace;
mod recent;
mod record;
mod revisions;
mod siblings;

use jiff::SignedDuration;

pub use self::kind::WorkloadKind;
pub use self::namespace::NamespaceRecord;
pub use self::recent::{Move, Recent};
pub use self::record::{Record, Rolled, Sight, Via};
pub use self::revisions::rolled_by_revisions;
pub use self::siblings::newest_replacement;

/// The longest a change matters: no cooldown, step or budget looks further back, and what is older is forgotten.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(24);
