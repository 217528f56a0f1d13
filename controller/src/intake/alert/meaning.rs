//! What an alert leads to: an action by the alert's name. What an alert says of itself (annotations, labels) never
//! chooses an action: whoever may write an alerting rule is not whoever may write to the cluster. Pure.

use smartops_common::action::Action;

use crate::intake::map::Decided;

/// Actions by the name of the alert; what is not in it is a no-op.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertMapping {
    rules: Vec<(String, Action)>,
}

/// Alerts after which new pods help.
const RESTARTS: [&str; 8] = [
    "ContainerOOMKilled",
    "HighErrorRate",
    "HighMemoryUsage",
    "KubePodCrashLooping",
    "KubePodNotReady",
    "KubernetesPodCrashLooping",
    "MemoryLeak",
    "PodCrashLooping",
];
/// Alerts after which one pod more helps.
const SCALES: [&str; 4] =
    ["CPUSaturation", "CPUThrottlingHigh", "HighCPUUsage", "KubernetesContainerHighCpuUtilization"];

impl Default for AlertMapping {
    fn default() -> Self {
        let restarts = RESTARTS.map(|name| (name.to_owned(), Action::restart()));
        let scales = SCALES.map(|name| (name.to_owned(), Action::scale_by(1)));
        Self { rules: restarts.into_iter().chain(scales).collect() }
    }
}

impl AlertMapping {
    /// What an alert of this name leads to; `None` is a no-op.
    pub fn decide(&self, name: &str) -> Option<Decided> {
        let (_, action) = self.rules.iter().find(|(known, _)| known == name)?;
        Some(Decided { action: action.clone(), cause: cause(name), dry_run: false })
    }
}

/// The cause as it stands in the Remediation.
pub fn cause(name: &str) -> String {
    format!("alert/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_alerts_have_their_action_and_unknown_ones_none() {
        let mapping = AlertMapping::default();
        for (name, expected) in [
            ("KubePodCrashLooping", Some(Action::restart())),
            ("HighCPUUsage", Some(Action::scale_by(1))),
            ("kubepodcrashlooping", None),
            ("Watchdog", None),
            ("", None),
        ] {
            assert_eq!(mapping.decide(name).map(|d| d.action), expected, "{name}");
        }
        let decided = mapping.decide("KubePodCrashLooping").unwrap();
        assert_eq!((decided.cause.as_str(), decided.dry_run), ("alert/KubePodCrashLooping", false));
    }

    #[test]
    fn no_alert_has_two_actions() {
        let mut names: Vec<&str> = RESTARTS.iter().chain(&SCALES).copied().collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
