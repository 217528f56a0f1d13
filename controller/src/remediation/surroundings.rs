//! What goes on around a Remediation: in its namespace, and in the closed loop as a whole. Values only; who reads them is
//! the shell.

use smartops_common::config::Limits;

/// What goes on around a Remediation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Surroundings {
    /// How much the closed loop may do.
    pub limits: Limits,
}
