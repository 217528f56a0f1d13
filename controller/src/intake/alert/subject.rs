//! What an alert is about, by its labels: the workload they name, never the exporter that measured it. Which Deployment
//! a pod belongs to only the cluster knows (`intake::owner`). Pure.

use smartops_common::signal::alert::Alert;

use crate::payload::Invalid;

/// Longest name of an object.
const LONGEST_NAME: usize = 253;
/// Kinds of workload with a label of their own that nothing here acts on.
const OTHER_KINDS: [(&str, &str); 5] = [
    ("statefulset", "StatefulSet"),
    ("daemonset", "DaemonSet"),
    ("cronjob", "CronJob"),
    ("job_name", "Job"),
    ("persistentvolumeclaim", "PersistentVolumeClaim"),
];
/// Labels that name a service, the most telling first.
const SERVICES: [&str; 4] = ["app_kubernetes_io_name", "app", "service", "job"];
/// What measures others. Its own name in a label says who measured, not what.
const EXPORTERS: [&str; 12] = [
    "alertmanager",
    "apiserver",
    "blackbox",
    "cadvisor",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubelet",
    "kubernetes",
    "metrics-server",
    "prometheus",
    "pushgateway",
];

/// What the labels name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A Deployment, by its exact name.
    Deployment(String),
    /// A ReplicaSet.
    ReplicaSet(String),
    /// A pod.
    Pod(String),
    /// A service, as callers name one.
    Service(String),
}

/// What an alert is about, and where; `None` means the configured default namespace.
pub fn subject(alert: &Alert) -> Result<(Option<String>, Subject), Invalid> {
    Ok((namespace(alert)?, named(alert)?))
}

/// Where what an alert is about lives; `None` means the configured default namespace.
pub fn namespace(alert: &Alert) -> Result<Option<String>, Invalid> {
    label(alert, "namespace").map(|name| checked("namespace", name)).transpose()
}

fn named(alert: &Alert) -> Result<Subject, Invalid> {
    if let Some(name) = label(alert, "deployment") {
        return checked("deployment", name).map(Subject::Deployment);
    }
    let pairs = [
        ("workload_type", "workload"),
        ("owner_kind", "owner_name"),
        ("created_by_kind", "created_by_name"),
    ];
    for (kind, name) in pairs {
        if let (Some(of), Some(called)) = (label(alert, kind), label(alert, name)) {
            match of.to_ascii_lowercase().as_str() {
                "deployment" => return checked(name, called).map(Subject::Deployment),
                "replicaset" => return checked(name, called).map(Subject::ReplicaSet),
                // A pod's own owner says more than this pair does.
                "pod" | "node" | "<none>" => {}
                _ => return Err(other_kind(kind, of)),
            }
        }
    }
    for (name, kind) in OTHER_KINDS {
        if label(alert, name).is_some() {
            return Err(other_kind(name, kind));
        }
    }
    if let Some(name) = label(alert, "replicaset") {
        return checked("replicaset", name).map(Subject::ReplicaSet);
    }
    if let Some(name) = label(alert, "pod").or_else(|| label(alert, "pod_name")) {
        return checked("pod", name).map(Subject::Pod);
    }
    let mut services = SERVICES.iter().filter_map(|name| Some((*name, label(alert, name)?)));
    match services.find(|(_, value)| !is_exporter(value)) {
        Some((name, value)) => checked(name, value).map(Subject::Service),
        None => Err(Invalid {
            field: "labels".into(),
            problem: "name no workload".into(),
            allowed: "label the alert with namespace and deployment, pod or service; a label that names the exporter does not count".into(),
        }),
    }
}

/// A label; where the scrape had to rename the measured object's, that one: the plain label is the exporter's then.
fn label<'a>(alert: &'a Alert, name: &str) -> Option<&'a str> {
    alert.label(&format!("exported_{name}")).or_else(|| alert.label(name))
}

/// Whether a name is that of something which measures others.
pub fn is_exporter(name: &str) -> bool {
    EXPORTERS.contains(&name)
        || name.contains("kube-state-metrics")
        || name.ends_with("-exporter")
        || name.ends_with("_exporter")
}

fn other_kind(label: &str, kind: &str) -> Invalid {
    Invalid {
        field: format!("labels.{label}"),
        problem: format!("is about a {kind}, which cannot be acted on"),
        allowed: "send alerts about Deployments and their pods".into(),
    }
}

/// A name as it may stand in a call.
fn checked(label: &str, name: &str) -> Result<String, Invalid> {
    if crate::payload::is_name(name) && name.len() <= LONGEST_NAME {
        return Ok(name.to_owned());
    }
    Err(Invalid {
        field: format!("labels.{label}"),
        problem: format!("{name:?} is no object's name"),
        allowed: "give lower-case letters, digits, - and .".into(),
    })
}

#[cfg(test)]
mod tests {
    use smartops_common::signal::alert::AlertState;

    use super::*;

    fn about(labels: &[(&str, &str)]) -> Result<(Option<String>, Subject), Invalid> {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        subject(&Alert { status: AlertState::Firing, labels, starts_at: None, fingerprint: None })
    }

    #[test]
    fn labels_name_the_workload_and_never_the_exporter() {
        let deployment = |name: &str| Subject::Deployment(name.into());
        let pod = |name: &str| Subject::Pod(name.into());
        let service = |name: &str| Subject::Service(name.into());
        let table: &[(&[(&str, &str)], Subject)] = &[
            (
                &[("deployment", "web"), ("pod", "kube-state-metrics-0"), ("job", "x")],
                deployment("web"),
            ),
            (
                &[("workload_type", "deployment"), ("workload", "web"), ("pod", "p")],
                deployment("web"),
            ),
            (&[("owner_kind", "Deployment"), ("owner_name", "web")], deployment("web")),
            (
                &[("owner_kind", "ReplicaSet"), ("owner_name", "web-7d"), ("pod", "web-7d-x")],
                Subject::ReplicaSet("web-7d".into()),
            ),
            (&[("created_by_kind", "Node"), ("created_by_name", "n"), ("pod", "p")], pod("p")),
            (
                &[("pod", "web-1"), ("service", "kube-state-metrics"), ("container", "web")],
                pod("web-1"),
            ),
            (&[("exported_pod", "web-1"), ("pod", "kube-state-metrics-0")], pod("web-1")),
            (&[("service", "checkout"), ("job", "checkout")], service("checkout")),
            (&[("service", "kube-state-metrics"), ("app", "checkout")], service("checkout")),
            (&[("job", "blackbox-exporter"), ("service", "shop")], service("shop")),
        ];
        for (labels, expected) in table {
            assert_eq!(about(labels).unwrap().1, *expected, "{labels:?}");
        }
    }

    #[test]
    fn what_names_no_deployment_is_refused_with_its_label() {
        for (labels, field) in [
            (vec![("service", "kube-state-metrics"), ("job", "node-exporter")], "labels"),
            (vec![], "labels"),
            (vec![("statefulset", "db"), ("pod", "db-0")], "labels.statefulset"),
            (vec![("owner_kind", "Job"), ("owner_name", "j"), ("pod", "p")], "labels.owner_kind"),
            (vec![("deployment", "../secrets")], "labels.deployment"),
            (vec![("deployment", "web"), ("namespace", "a/b")], "labels.namespace"),
        ] {
            assert_eq!(about(&labels).unwrap_err().field, field, "{labels:?}");
        }
    }

    #[test]
    fn the_measured_objects_namespace_goes_before_the_exporters() {
        let labels = [("namespace", "monitoring"), ("exported_namespace", "shop"), ("pod", "p")];
        assert_eq!(about(&labels).unwrap().0.as_deref(), Some("shop"));
        assert_eq!(about(&[("pod", "p")]).unwrap().0, None);
    }
}
