//! End-to-end tests on a real control plane: one binary, one shared cluster with SmartOps in it, a namespace for each
//! test. A test that breaks a cluster starts one of its own.

mod actions;
mod admission;
mod alertmanager;
mod alerts;
mod approvals;
mod attacks;
mod backstop;
mod bypass;
mod capabilities;
mod closed_loop;
mod cluster;
mod crash;
mod deciding;
mod drain;
mod exceptions;
mod ledger;
mod memory;
mod node;
mod outage;
mod outage_table;
mod policies;
mod prometheus;
mod promql;
mod pruning;
mod registrations;
mod remediation_policies;
mod replicas;
mod routes;
mod scene;
mod signals;
mod soak;
mod support;
mod tls;
mod traces;
mod undo;
