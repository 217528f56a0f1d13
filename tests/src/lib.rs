//! The harness around a real control plane: builds it, starts it, installs SmartOps into it, runs both programs under
//! their own identities, and counts what was committed. Beside it, for whoever asks, a real Prometheus and Alertmanager.
//!
//! It starts processes and speaks to them as a person would: `kubectl` with an actor's kubeconfig, HTTP with an API
//! key. It links none of the product's crates, so it cannot agree with the product by accident. Does not live here:
//! what SmartOps should answer (the tests under `tests/e2e` and the demo).

pub mod audit;
pub mod authority;
pub mod chart;
pub mod cluster;
pub mod collector;
pub mod components;
pub mod helm;
mod hex;
pub mod http;
pub mod identities;
pub mod install;
pub mod kubectl;
pub mod metrics;
pub mod monitoring;
pub mod node;
pub mod pki;
pub mod places;
pub mod process;
pub mod programs;
pub mod reaper;
pub mod replicas;
pub mod sample;
pub mod state;
pub mod stream;
pub mod wait;
