//! What both SmartOps programs speak: the API kinds, signals, intents, denials and names.
//!
//! Lives here: types that cross the line between the controller, the webhook and the API server, and the pure
//! functions that read and write them. Does not live here: judgement (`guard`), the difference of two objects
//! (`change`), any client, clock or I/O.

#![allow(unreachable_pub, reason = "kube's KubeSchema expands to pub copies inside functions")]

pub mod action;
pub mod approval;
pub mod condition;
pub mod config;
pub mod denial;
pub mod names;
pub mod remediation;
pub mod remediation_policy;
pub mod schema;
pub mod signal;
