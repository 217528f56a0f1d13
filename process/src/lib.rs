//! What every SmartOps process needs: arguments, servers, health, client, metrics, clock, supervision.
//!
//! Lives here: the shell both programs stand in. Does not live here: anything that knows what a review, a signal
//! or a certificate is.

pub mod args;
pub mod body;
pub mod client;
pub mod clock;
pub mod failpoint;
pub mod health;
pub mod lease;
pub mod metrics;
pub mod serve;
pub mod shutdown;
pub mod signals;
pub mod supervise;
pub mod telemetry;
pub mod watch;

/// Any error a task of a process may end with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
