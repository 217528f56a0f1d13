//! What the API server fills in where a Deployment says nothing: a part that a patch brings comes out with these beside
//! it, and nobody else wrote them. What is not listed here a patch has to say itself.

use smartops_change::{Difference, DifferenceKind, Segment};

const PROBES: &[&str] = &["livenessProbe", "readinessProbe", "startupProbe"];
const CONTAINERS: &[&str] = &["containers", "initContainers"];
const FILES: &[&str] = &["secret", "configMap", "downwardAPI", "projected"];

/// Under which parent which key has which value; a list's items stand under the name of the list.
const FILLED_IN: [(&[&str], &str, &str); 24] = [
    (&["ports"], "protocol", "\"TCP\""),
    (&["httpGet"], "scheme", "\"HTTP\""),
    (&["httpGet"], "path", "\"/\""),
    (&["grpc"], "service", "\"\""),
    (PROBES, "timeoutSeconds", "1"),
    (PROBES, "periodSeconds", "10"),
    (PROBES, "successThreshold", "1"),
    (PROBES, "failureThreshold", "3"),
    (CONTAINERS, "terminationMessagePath", "\"/dev/termination-log\""),
    (CONTAINERS, "terminationMessagePolicy", "\"File\""),
    (&["fieldRef"], "apiVersion", "\"v1\""),
    (FILES, "defaultMode", "420"),
    (&["hostPath"], "type", "\"\""),
    (&["serviceAccountToken"], "expirationSeconds", "3600"),
    (&["rollingUpdate"], "maxSurge", "\"25%\""),
    (&["rollingUpdate"], "maxUnavailable", "\"25%\""),
    (&["strategy"], "type", "\"RollingUpdate\""),
    // Of the spec of the Deployment and of that of its template, whose keys differ.
    (&["spec"], "replicas", "1"),
    (&["spec"], "revisionHistoryLimit", "10"),
    (&["spec"], "progressDeadlineSeconds", "600"),
    (&["spec"], "terminationGracePeriodSeconds", "30"),
    (&["spec"], "dnsPolicy", "\"ClusterFirst\""),
    (&["spec"], "schedulerName", "\"default-scheduler\""),
    (&["spec"], "securityContext", "{}"),
];

/// Whether what differs is only what the API server filled in.
pub(super) fn is_filled_in(difference: &Difference<'_>) -> bool {
    let Some((Segment::Key(key), above)) = difference.path.segments().split_last() else {
        return false;
    };
    let parent = above.iter().rev().find_map(|segment| match segment {
        Segment::Key(parent) => Some(parent.as_str()),
        Segment::Item(_) | Segment::Index(_) => None,
    });
    // In a map of free keys, such as labels, nothing is filled in: no such map is a parent here.
    difference.kind == DifferenceKind::Added
        && FILLED_IN.iter().any(|(parents, name, value)| {
            name == key
                && parent.is_some_and(|parent| parents.contains(&parent))
                && difference.new == Some(*value)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, Write};

    /// Whether all that differs between these pod specs was filled in.
    fn all_filled_in(old: &str, new: &str) -> bool {
        let template = |spec: &str| sample::with_template(&format!(r#"{{"spec":{spec}}}"#));
        let write = Write::update("", &template(old), &template(new));
        let change = write.change();
        let differences = change.differences().listed();
        assert!(!differences.is_empty(), "{old} {new}");
        differences.iter().all(is_filled_in)
    }

    #[test]
    fn what_the_api_server_fills_in_is_told_from_what_somebody_wrote() {
        let container = |inner: &str| format!(r#"{{"containers":[{{"name":"web"{inner}}}]}}"#);
        for (old, new, expected) in [
            (container(""), container(r#","terminationMessagePolicy":"File""#), true),
            (container(""), container(r#","terminationMessagePolicy":"Never""#), false),
            (
                container(r#","ports":[{"containerPort":80}]"#),
                container(r#","ports":[{"containerPort":80,"protocol":"TCP"}]"#),
                true,
            ),
            (
                container(r#","ports":[{"containerPort":80}]"#),
                container(r#","ports":[{"containerPort":80,"hostPort":80}]"#),
                false,
            ),
            (
                container(r#","readinessProbe":{"tcpSocket":{"port":80}}"#),
                container(r#","readinessProbe":{"tcpSocket":{"port":80},"periodSeconds":10}"#),
                true,
            ),
            (container(r#","terminationMessagePolicy":"File""#), container(""), false),
            (container(""), container(r#","securityContext":{}"#), false),
            (
                r#"{"hostNetwork":false}"#.to_owned(),
                r#"{"hostNetwork":false,"securityContext":{}}"#.to_owned(),
                true,
            ),
            (
                r#"{"nodeSelector":{"a":"b"}}"#.to_owned(),
                r#"{"nodeSelector":{"a":"b","protocol":"TCP"}}"#.to_owned(),
                false,
            ),
            (
                r#"{"hostNetwork":false}"#.to_owned(),
                r#"{"hostNetwork":false,"dnsPolicy":"ClusterFirst"}"#.to_owned(),
                true,
            ),
        ] {
            assert_eq!(all_filled_in(&old, &new), expected, "{new}");
        }
    }
}
