//! What is said on a policy about what holds of it while no webhook answers: everything, a part, or nothing, and why.

use std::collections::HashMap;

use jiff::Timestamp;
use smartops_common::condition::Setting;
use smartops_common::config::Outage;

use super::{Kind, Report};
use crate::snapshot::Board;

/// The condition's type. It stands while the configuration asks for a backstop.
pub(super) const CONDITION: &str = "Backstop";
/// Longest message. Characters.
const LONGEST: usize = 2048;

/// What holds of a policy while no webhook answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backstopped {
    /// Whether anything does.
    pub is_written: bool,
    /// What does not, each with its reason.
    pub missing: Vec<String>,
}

impl Backstopped {
    /// The condition that says so.
    pub(super) fn setting(&self, generation: Option<i64>) -> Setting<'static> {
        let (status, reason, message) = match (self.is_written, self.missing.is_empty()) {
            (true, true) => {
                let all = "what the policy says to people holds while no webhook answers";
                (true, "Written", all.to_owned())
            }
            (true, false) => {
                let parts = self.missing.join("; ");
                (false, "Partly", format!("while no webhook answers this does not hold: {parts}"))
            }
            (false, _) => {
                let why = self.missing.join("; ");
                let why =
                    if why.is_empty() { "it has no rule about numbers or images" } else { &why };
                (false, "Nothing", format!("nothing of it holds while no webhook answers: {why}"))
            }
        };
        Setting {
            type_: CONDITION,
            status: Some(status),
            reason,
            message: message.chars().take(LONGEST).collect(),
            observed_generation: generation,
        }
    }
}

/// Adds to each report about a policy that binds people what holds of it.
pub(super) fn tell(reports: &mut [Report], board: &Board, now: Timestamp) {
    let Some(snapshot) = board.snapshot() else { return };
    if snapshot.config.people.outage != Outage::Backstop {
        return;
    }
    let exceptions = board.exceptions().all();
    let by_policy: HashMap<&str, _> =
        snapshot.backstops.iter().map(|backstop| (&**backstop.policy(), backstop)).collect();
    for report in reports.iter_mut().filter(|report| report.kind == Kind::Policy) {
        let backstop = by_policy.get(report.name.as_str()).filter(|b| b.binds_people());
        report.backstop = backstop.map(|backstop| Backstopped {
            is_written: backstop.is_written(&snapshot.config, &exceptions, now),
            missing: backstop.missing(&snapshot.config, &exceptions, now),
        });
    }
}
