//! Certificates that issue and rotate themselves.
//!
//! Lives here: issuing, the pure decision when to issue anew, the Secret all replicas share, the resolver that swaps
//! certificates under a running server. Does not live here: who the certificate is for.

pub mod args;
pub mod bundle;
pub mod callers;
pub mod content;
pub mod inspect;
pub mod issue;
pub mod keeper;
pub mod look;
pub mod metrics;
pub mod overlap;
pub mod pem;
pub mod resolver;
pub mod rotate;
pub mod served;
pub mod store;
