//! Verification: whether a rollout has come to a good end, by what the Deployment and its pods say (`rollout`, `pods`),
//! and whether it helped, by what Prometheus says (`checks`, asked by `prometheus`). The judgements are pure and the same
//! for the phase machine and for `POST /v1/verify/deployment`; whoever asks keeps the time.

pub mod checks;
pub mod pods;
pub mod prometheus;
pub mod rollout;
