//! What is said on a policy about what holds of it while no webhook answers: everything, a part, or nothing, and why.

use std::collections::HashMap;

use jiff::Timestamp;
use smartops_common::condition::Setting;
use smartops_common::config::Outage;

use super::{Kind, Report};
use crate::snapshot::Board;
use crate::vap::{Lack, Lacking};

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

impl Backstopped {
    /// The same where what is written for it does not stand.
    fn without(mut self, lack: Option<Lack>) -> Self {
        let Some(lack) = lack.filter(|_| self.is_written) else { return self };
        self.is_written = lack == Lack::Different;
        let untaken = match lack {
            Lack::Absent => "the API server has not taken what is written for the policy",
            Lack::Different => {
                "the API server still holds another text of the policy and has not taken the last"
            }
        };
        self.missing.insert(0, format!("{untaken}; the log of the leading webhook says why"));
        self
    }
}

/// Adds to each report about a policy that binds people what holds of it.
pub(super) fn tell(reports: &mut [Report], board: &Board, lacking: &Lacking, now: Timestamp) {
    let Some(snapshot) = board.snapshot() else { return };
    if snapshot.config.people.outage != Outage::Backstop {
        return;
    }
    let exceptions = board.exceptions().all();
    let by_policy: HashMap<&str, _> =
        snapshot.backstops.iter().map(|backstop| (&**backstop.policy(), backstop)).collect();
    for report in reports.iter_mut().filter(|report| report.kind == Kind::Policy) {
        let backstop = by_policy.get(report.name.as_str()).filter(|b| b.binds_people());
        report.backstop = backstop.map(|backstop| {
            let worked_out = Backstopped {
                is_written: backstop.is_written(&snapshot.config, &exceptions, now),
                missing: backstop.missing(&snapshot.config, &exceptions, now),
            };
            worked_out.without(lacking.get(&backstop.name()).copied())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_api_server_has_not_taken_is_not_said_to_hold() {
        let all = Backstopped { is_written: true, missing: Vec::new() };
        let rows = [
            (None, "Written", "holds while no webhook answers"),
            (Some(Lack::Different), "Partly", "still holds another text"),
            (Some(Lack::Absent), "Nothing", "has not taken what is written"),
        ];
        for (lack, reason, part) in rows {
            let setting = all.clone().without(lack).setting(None);
            assert_eq!(setting.reason, reason, "{lack:?}");
            assert!(setting.message.contains(part), "{}", setting.message);
        }
        let nothing = Backstopped { is_written: false, missing: Vec::new() };
        assert_eq!(nothing.clone().without(Some(Lack::Absent)), nothing);
    }
}
