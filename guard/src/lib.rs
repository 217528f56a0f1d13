//! The judgement: pure and synchronous. Given a change, who asks for it and what is known, it says what may happen
//! and why not; what is missing it asks for by value.
//!
//! Lives here: guardrail policies (kind, check, index by namespace), exceptions from them, the rules, the history of a workload as far as
//! rules need it, the verdict and its sentence. Does not live here: I/O, the clock, watches, the wire, the
//! difference of two objects (`change`).

#![allow(unreachable_pub, reason = "kube's KubeSchema expands to pub copies inside functions")]

mod amend;
mod break_glass;
mod cel;
pub mod exception;
mod facts;
mod findings;
pub mod history;
mod judge;
pub mod kinds;
pub mod ledger;
pub mod policy;
pub mod registration;
pub mod rules;
mod skim;
mod subject;
pub mod vap;
mod verdict;
mod warrant;
mod wording;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod sample;

pub use self::amend::{Amendment, PatchOp, amend};
pub use self::break_glass::{BreakGlass, SHORTEST_REASON};
pub use self::facts::{
    Approvals, Facts, Origin, Related, RelatedObject, Relation, Revisions, Warrants, Watched, Whole,
};
pub use self::judge::{Judgement, Needs, judge};
pub use self::subject::Subject;
pub use self::verdict::{Decision, Effect, Outcome, Verdict};
pub use self::warrant::{is_of_target, may_be_warrant, origin, revision_flaw};
