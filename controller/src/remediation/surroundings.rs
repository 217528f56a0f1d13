//! What goes on around a Remediation: in its namespace, and in the closed loop as a whole. Values only; who reads them is
//! the shell, and what they mean for a remedy is the machine's.

mod traffic;

use std::collections::BTreeMap;

use smartops_common::config::{ClosedLoop, Limits};

pub use self::traffic::{DEBOUNCE, HELD, Traffic, is_held};
use crate::remediation::autoscaler::Autoscaler;

/// What goes on around a Remediation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Surroundings {
    /// The kill switch.
    pub switch: ClosedLoop,
    /// How much the closed loop may do.
    pub limits: Limits,
    /// The annotations of its namespace.
    pub annotations: BTreeMap<String, String>,
    /// The autoscaler that owns its target's number of replicas; read where its action writes that number.
    pub autoscaler: Option<Autoscaler>,
    /// How much is going on.
    pub traffic: Traffic,
}
