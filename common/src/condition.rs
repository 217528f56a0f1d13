//! Conditions in the shape of `metav1.Condition`, and the one function that sets them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// A condition as the caller means it; [`set`] turns it into the stored form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<'a> {
    /// CamelCase type, `Ready` for the summary.
    pub type_: &'a str,
    /// True, false, or not known.
    pub status: Option<bool>,
    /// CamelCase reason, stable for machines.
    pub reason: &'a str,
    /// A sentence for people.
    pub message: String,
    /// The generation of the object the condition speaks of.
    pub observed_generation: Option<i64>,
}

/// Writes `setting` into `conditions`; `lastTransitionTime` moves only when the status does.
pub fn set(conditions: &mut Vec<Condition>, setting: Setting<'_>, now: Timestamp) {
    let status = match setting.status {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    };
    let former = conditions.iter().position(|c| c.type_ == setting.type_);
    let last_transition_time = match former.map(|i| &conditions[i]) {
        Some(c) if c.status == status => c.last_transition_time.clone(),
        _ => Time(now),
    };
    let condition = Condition {
        type_: setting.type_.to_owned(),
        status: status.to_owned(),
        reason: setting.reason.to_owned(),
        message: setting.message,
        observed_generation: setting.observed_generation,
        last_transition_time,
    };
    match former {
        Some(i) => conditions[i] = condition,
        None => conditions.push(condition),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(status: bool) -> Setting<'static> {
        Setting {
            type_: "Ready",
            status: Some(status),
            reason: "Because",
            message: String::new(),
            observed_generation: None,
        }
    }

    #[test]
    fn transition_time_moves_only_when_the_status_changes() {
        let (t1, t2, t3) = (at(1), at(2), at(3));
        let mut conditions = Vec::new();
        set(&mut conditions, ready(false), t1);
        set(&mut conditions, ready(false), t2);
        assert_eq!(conditions[0].last_transition_time, Time(t1));
        set(&mut conditions, ready(true), t3);
        assert_eq!(conditions[0].last_transition_time, Time(t3));
        assert_eq!(conditions.len(), 1);
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }
}
