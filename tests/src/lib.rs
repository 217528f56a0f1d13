//! The cluster harness, the demo and the end-to-end tests.
