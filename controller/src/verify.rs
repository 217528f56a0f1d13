//! Verification: whether a rollout has come to a good end. One pure judgement, used by the phase machine and by
//! `POST /v1/verify/deployment` alike; whoever asks keeps the time.

pub mod rollout;
