//! Certificates that issue and rotate themselves.
//!
//! Lives here: issuing, the pure decisions when to issue anew and how one CA follows another, the Secret all replicas
//! share, the resolver that swaps certificates under a running server, clients that trust certain CAs alone, and `smartops-certs` for use by hand. Does not live
//! here: who the certificate is for, and how its CA comes to those who have to trust it.

pub mod args;
pub mod bundle;
pub mod callers;
pub mod command;
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
pub mod trust;
