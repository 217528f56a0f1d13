//! Attempts on what SmartOps itself rests on: Remediations, their status, warrants, approvals, its own objects and names.
//! One a test, each beside its nearest allowed twin where there is one.
//!
//! They share a cluster in which no controller runs, so that whoever has the controller's token has it alone. The number
//! of tests in this folder is the number the README tells.

mod accounts;
mod approvals;
mod claims;
pub(crate) mod ground;
mod numbers;
mod own;
mod remediations;
mod schema;
mod status;
mod undo;
mod warrants;
