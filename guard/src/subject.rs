//! Who asks, as the API server authenticated them.

use smartops_common::config::SmartOpsConfigSpec;
use smartops_common::names;

/// Whoever asks for a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    username: String,
    groups: Vec<String>,
    is_automation: bool,
    is_control_plane: bool,
    may_break_glass: bool,
    pod: Option<String>,
}

impl Subject {
    /// Sorts a user, with the groups the review names, by what the configuration says.
    pub fn new<S: AsRef<str>>(config: &SmartOpsConfigSpec, username: &str, groups: &[S]) -> Self {
        let is_automation = config.is_automation(username, groups);
        let is_control_plane = names::is_control_plane(username);
        Self {
            username: username.to_owned(),
            groups: groups.iter().map(|group| group.as_ref().to_owned()).collect(),
            is_automation,
            is_control_plane,
            may_break_glass: config.may_break_glass(username, groups),
            pod: None,
        }
    }

    /// The same, counted as automation whatever the configuration says: for whoever automation's registration
    /// picked, because the API server has decided by the same list already.
    #[must_use]
    pub fn as_automation(mut self) -> Self {
        self.is_automation = true;
        self.may_break_glass = false;
        self
    }

    /// The same, acting from this pod, as the API server found it bound to the token.
    #[must_use]
    pub fn in_pod(mut self, pod: Option<&str>) -> Self {
        self.pod = pod.map(str::to_owned);
        self
    }

    /// The authenticated name.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The authenticated groups.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// Whether the configuration says that this is automation: it may do only what a policy names.
    pub fn is_automation(&self) -> bool {
        self.is_automation
    }

    /// The pod its token is bound to, where it is to one.
    pub fn pod(&self) -> Option<&str> {
        self.pod.as_deref()
    }

    /// Whether this is the controller, the only one whose writes a Remediation announces.
    pub fn is_controller(&self) -> bool {
        names::is_controller(&self.username)
    }

    /// Whether the configuration lets it past every policy for a reason it gives; automation never.
    pub fn may_break_glass(&self) -> bool {
        self.may_break_glass
    }

    /// Whether this is the control plane at its own work, which people's policies leave alone. Whoever the
    /// configuration names as automation is automation first.
    pub fn is_control_plane(&self) -> bool {
        self.is_control_plane && !self.is_automation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(user: &str, groups: &[&str]) -> Subject {
        Subject::new(&SmartOpsConfigSpec::default(), user, groups)
    }

    #[test]
    fn the_control_plane_is_known_and_its_neighbours_are_not() {
        for (user, groups, expected) in [
            ("system:kube-controller-manager", [].as_slice(), true),
            ("system:kube-scheduler", &[], true),
            ("system:serviceaccount:kube-system:generic-garbage-collector", &[], true),
            ("system:serviceaccount:kube-system-2:x", &[], false),
            ("system:serviceaccount:kube-system:helm-controller", &[], false),
            ("system:node:a", &["system:nodes"], false),
            ("alice", &["system:masters"], false),
        ] {
            assert_eq!(subject(user, groups).is_control_plane(), expected, "{user}");
        }
    }

    #[test]
    fn automation_in_kube_system_is_automation_first() {
        let mut config = SmartOpsConfigSpec::default();
        config.automation.namespaces.push("kube-system".to_owned());
        let subject =
            Subject::new(&config, "system:serviceaccount:kube-system:bot", &[] as &[&str]);
        assert!(subject.is_automation());
        assert!(!subject.is_control_plane());
    }
}
