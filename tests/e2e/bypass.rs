//! Ways around the guard, one a test, each as everybody who might try it and each beside its nearest allowed twin.
//!
//! All of them share the cluster and a set of policies for the namespaces that carry the label `proof: bypass`
//! (`ground`). The number of tests in this folder is the number the README tells.

mod autoscalers;
mod ground;
mod images;
mod kinds;
mod labels;
mod numbers;
mod pods;
mod policies;
mod powers;
mod restarts;
mod windows;
