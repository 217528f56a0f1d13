//! smartops-controller: signals and requests become Remediations, Remediations become judged and verified writes.
//!
//! The path of a request: `api` (routes, authentication, answers) → `intake` (which target, which action, one
//! durable Remediation) → `remediation` (the phase machine and its shell) → `action` (what is written) → `verify`
//! (whether it helped). `switch` watches the kill switch, `leadership` says which replica takes the steps. `cluster` makes
//! every call to the API server. Nothing here judges: what is allowed is learnt from the API server's answer to a dry
//! run, as by everybody else.

pub mod action;
pub mod api;
pub mod app;
pub mod args;
pub mod cluster;
pub mod failure;
#[cfg(test)]
mod fixture;
pub mod intake;
pub mod leadership;
pub mod metrics;
pub mod payload;
pub mod policy;
pub mod remediation;
pub mod switch;
pub mod target;
pub mod verify;
