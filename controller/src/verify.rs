//! Verification: whether a rollout has come to a good end, by what the Deployment and its pods say (`rollout`, `pods`).
//! One pure judgement, used by the phase machine and by `POST /v1/verify/deployment` alike; whoever asks keeps the time.

pub mod pods;
pub mod rollout;
