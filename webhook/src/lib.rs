//! The admission webhook: bytes in, judgement by `smartops-guard`, a well-formed answer out.
//!
//! Lives here: the wire, the watches that feed the judgement, what is told about each decision, and the wiring.
//! Does not live here: any rule.

pub mod admission;
pub mod app;
pub mod args;
pub mod break_glass;
pub mod decisions;
pub mod exceptions;
pub mod gathered;
pub mod handed_out;
pub mod history;
pub mod home;
pub mod install;
pub mod judge_command;
pub mod ledger;
pub mod live;
pub mod metrics;
pub mod own;
pub mod places;
pub mod registration;
pub mod relatives;
pub mod review;
pub mod snapshot;
pub mod status;
pub mod told;
mod turns;
mod upkeep;
pub mod vap;
pub mod workload;

#[cfg(test)]
mod replay;
#[cfg(test)]
mod wire;
