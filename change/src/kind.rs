//! The kinds whose content rules know, and where their pod template and their number stand. Nothing here reads an
//! object.

use crate::request::Resource;

/// The kinds whose content rules know, as the object under review has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// apps Deployment.
    Deployment,
    /// apps StatefulSet.
    StatefulSet,
    /// apps DaemonSet.
    DaemonSet,
    /// apps ReplicaSet.
    ReplicaSet,
    /// ReplicationController.
    ReplicationController,
    /// batch Job.
    Job,
    /// batch CronJob.
    CronJob,
    /// Pod, also as `pods/ephemeralcontainers` and `pods/resize`, whose object is the Pod.
    Pod,
    /// autoscaling HorizontalPodAutoscaler.
    HorizontalPodAutoscaler,
    /// The Scale of anything, custom resources included.
    Scale,
    /// Namespace.
    Namespace,
    /// Any other, and every other subresource: the object of `pods/exec` or `pods/eviction` is no Pod, and the spec
    /// in a `status` update is not stored.
    Other,
}

/// Where a kind keeps its number of replicas, and what its absence means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) keys: &'static [&'static str],
    pub(crate) path: &'static str,
    pub(crate) pointer: &'static str,
    pub(crate) absent: i64,
}

impl Kind {
    /// The kind's name in its group, as owner references and an autoscaler's target spell it; `None` where this type
    /// stands for more than one.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::ReplicaSet => "ReplicaSet",
            Self::ReplicationController => "ReplicationController",
            Self::Job => "Job",
            Self::CronJob => "CronJob",
            Self::Pod => "Pod",
            Self::HorizontalPodAutoscaler => "HorizontalPodAutoscaler",
            Self::Namespace => "Namespace",
            Self::Scale | Self::Other => return None,
        })
    }

    /// Whether it keeps a number of replicas; a Job's and a CronJob's is its parallelism.
    pub const fn has_number(self) -> bool {
        self.number().is_some()
    }

    /// Where it keeps its number of replicas, as `spec.replicas`, and what the number is where it is absent.
    pub fn number_path(self) -> Option<(&'static str, i64)> {
        self.number().map(|number| (number.path, number.absent))
    }

    /// The keys from the object's root to its pod spec; of a Pod, to its spec.
    pub const fn pod_spec_keys(self) -> Option<&'static [&'static str]> {
        self.pod_spec()
    }

    /// Whether it holds a pod template, or is a Pod.
    pub const fn has_template(self) -> bool {
        self.template().is_some()
    }

    /// The keys from the object's root to its pod template; for a Pod, to its spec.
    pub(crate) const fn template(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Deployment
            | Self::StatefulSet
            | Self::DaemonSet
            | Self::ReplicaSet
            | Self::ReplicationController
            | Self::Job => Some(&["spec", "template"]),
            Self::CronJob => Some(&["spec", "jobTemplate", "spec", "template"]),
            Self::Pod => Some(&["spec"]),
            Self::HorizontalPodAutoscaler | Self::Scale | Self::Namespace | Self::Other => None,
        }
    }

    /// The keys from the object's root to its pod spec.
    pub(crate) const fn pod_spec(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Deployment
            | Self::StatefulSet
            | Self::DaemonSet
            | Self::ReplicaSet
            | Self::ReplicationController
            | Self::Job => Some(&["spec", "template", "spec"]),
            Self::CronJob => Some(&["spec", "jobTemplate", "spec", "template", "spec"]),
            Self::Pod => Some(&["spec"]),
            Self::HorizontalPodAutoscaler | Self::Scale | Self::Namespace | Self::Other => None,
        }
    }

    /// Whether its controller replaces running pods where the template differs. Of the others, what runs keeps running
    /// as it is.
    pub(crate) const fn rolls(self) -> bool {
        matches!(self, Self::Deployment | Self::StatefulSet | Self::DaemonSet)
    }

    /// Whether its controller compares templates as written, where `1Gi` and `1073741824` are two. A Deployment's
    /// compares values.
    pub(crate) const fn compares_as_written(self) -> bool {
        matches!(self, Self::StatefulSet | Self::DaemonSet)
    }

    /// Whether the API server itself keeps this annotation of the object, in whatever version it serves it: what a client
    /// writes into it is not stored.
    pub(crate) fn is_annotated_by_server(self, annotation: &str) -> bool {
        match self {
            Self::DaemonSet => annotation == "deprecated.daemonset.template.generation",
            Self::HorizontalPodAutoscaler => {
                annotation.starts_with("autoscaling.alpha.kubernetes.io/")
            }
            _ => false,
        }
    }

    /// Where the number of replicas stands. The API server fills in 1 for an object; a Scale omits its number when
    /// it is 0.
    pub(crate) const fn number(self) -> Option<Number> {
        Some(match self {
            Self::Deployment
            | Self::StatefulSet
            | Self::ReplicaSet
            | Self::ReplicationController => Number {
                keys: &["spec", "replicas"],
                path: "spec.replicas",
                pointer: "/spec/replicas",
                absent: 1,
            },
            Self::Scale => Number {
                keys: &["spec", "replicas"],
                path: "spec.replicas",
                pointer: "/spec/replicas",
                absent: 0,
            },
            Self::Job => Number {
                keys: &["spec", "parallelism"],
                path: "spec.parallelism",
                pointer: "/spec/parallelism",
                absent: 1,
            },
            Self::CronJob => Number {
                keys: &["spec", "jobTemplate", "spec", "parallelism"],
                path: "spec.jobTemplate.spec.parallelism",
                pointer: "/spec/jobTemplate/spec/parallelism",
                absent: 1,
            },
            Self::DaemonSet
            | Self::Pod
            | Self::HorizontalPodAutoscaler
            | Self::Namespace
            | Self::Other => return None,
        })
    }
}

impl Resource<'_> {
    /// The kind of the object that a review of this resource carries.
    pub fn kind(&self) -> Kind {
        match (self.group, self.resource, self.subresource) {
            (_, _, "scale") => Kind::Scale,
            ("apps", "deployments", "") => Kind::Deployment,
            ("apps", "statefulsets", "") => Kind::StatefulSet,
            ("apps", "daemonsets", "") => Kind::DaemonSet,
            ("apps", "replicasets", "") => Kind::ReplicaSet,
            ("", "replicationcontrollers", "") => Kind::ReplicationController,
            ("batch", "jobs", "") => Kind::Job,
            ("batch", "cronjobs", "") => Kind::CronJob,
            ("", "pods", "" | "ephemeralcontainers" | "resize") => Kind::Pod,
            ("autoscaling", "horizontalpodautoscalers", "") => Kind::HorizontalPodAutoscaler,
            ("", "namespaces", "") => Kind::Namespace,
            _ => Kind::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subresource_has_the_kind_of_the_object_it_carries() {
        for (group, resource, subresource, expected) in [
            ("apps", "deployments", "", Kind::Deployment),
            ("apps", "deployments", "scale", Kind::Scale),
            ("apps", "deployments", "status", Kind::Other),
            ("", "replicationcontrollers", "", Kind::ReplicationController),
            ("", "replicationcontrollers", "scale", Kind::Scale),
            ("example.com", "widgets", "scale", Kind::Scale),
            ("example.com", "deployments", "", Kind::Other),
            ("", "pods", "", Kind::Pod),
            ("", "pods", "ephemeralcontainers", Kind::Pod),
            ("", "pods", "resize", Kind::Pod),
            ("", "pods", "eviction", Kind::Other),
            ("", "pods", "exec", Kind::Other),
            ("", "pods", "binding", Kind::Other),
            ("", "namespaces", "", Kind::Namespace),
            ("", "namespaces", "finalize", Kind::Other),
        ] {
            let resource = Resource { group, version: "v1", resource, subresource };
            assert_eq!(resource.kind(), expected, "{resource}");
        }
    }

    #[test]
    fn the_path_and_the_pointer_of_a_number_are_its_keys() {
        for kind in [Kind::Deployment, Kind::Scale, Kind::Job, Kind::CronJob] {
            let number = kind.number().unwrap();
            assert_eq!(number.path, number.keys.join("."));
            assert_eq!(number.pointer, format!("/{}", number.keys.join("/")));
        }
    }
}
