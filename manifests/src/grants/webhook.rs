//! What the webhook holds, and why.

use smartops_common::names;

use super::{Account, Grant, READ, Scope};

/// What it judges by.
pub(super) fn judging() -> Vec<Grant> {
    use Scope::Cluster;
    let grant = |scope, group, resources, names, verbs, reason| {
        Grant::of(Account::Webhook, scope, group, resources, names, verbs, reason)
    };
    vec![
        grant(
            Cluster,
            names::GROUP,
            &["guardrailpolicies", "guardrailexceptions", "smartopsconfigs"],
            &[],
            READ,
            "judge by them",
        ),
        grant(
            Cluster,
            names::GROUP,
            &["guardrailpolicies/status", "guardrailexceptions/status", "smartopsconfigs/status"],
            &[],
            &["get", "patch"],
            "say whether they are judged by",
        ),
        grant(
            Cluster,
            "events.k8s.io",
            &["events"],
            &[],
            &["create"],
            "tell on the object that somebody broke the glass, or that automation tried to write what is SmartOps' own",
        ),
        grant(Cluster, "", &["namespaces"], &[], READ, "match policies by namespace"),
        grant(
            Cluster,
            "apps",
            &["deployments", "statefulsets", "daemonsets"],
            &[],
            READ,
            "observe what was really committed and when; read the object of a scale and the owner of what is written",
        ),
        grant(
            Cluster,
            "",
            &["replicationcontrollers"],
            &[],
            READ,
            "the same for ReplicationControllers",
        ),
        grant(
            Cluster,
            "apps",
            &["replicasets"],
            &[],
            &["get", "list"],
            "date the last rollout of a Deployment the webhook did not watch at the time; read the owner of a pod",
        ),
        grant(
            Cluster,
            "apps",
            &["controllerrevisions"],
            &[],
            &["list"],
            "date the last rollout of a StatefulSet or DaemonSet the webhook did not watch at the time",
        ),
        grant(
            Cluster,
            "",
            &["pods"],
            &[],
            &["get", "list"],
            "know whose pod is evicted or entered, and when one of its siblings last ended",
        ),
        grant(
            Cluster,
            "batch",
            &["jobs", "cronjobs"],
            &[],
            &["get"],
            "read the owner of what is written",
        ),
        grant(
            Cluster,
            "autoscaling",
            &["horizontalpodautoscalers"],
            &[],
            &["get"],
            "read the bounds that an attempt says it will move",
        ),
    ]
}

/// What approvals and warrants ask of it.
pub(super) fn approvals() -> Vec<Grant> {
    let grant = |group, resources, verbs, reason| {
        Grant::everywhere(Account::Webhook, group, resources, verbs, reason)
    };
    vec![
        grant(
            names::GROUP,
            &["remediations"],
            &["get", "list"],
            "find the attempt that warrants a write, and what an approval is about, as they are at that moment",
        ),
        grant(
            names::GROUP,
            &["remediationapprovals"],
            &["list"],
            "find who approved an attempt that needs it",
        ),
        grant(
            "authorization.k8s.io",
            &["subjectaccessreviews"],
            &["create"],
            "let somebody ask by a Remediation only for what he may do himself",
        ),
    ]
}

/// What the webhook keeps of the API server's: its registrations and their backstop.
pub(super) fn upkeep() -> Vec<Grant> {
    let grant = |group, resources, names, verbs, reason| {
        Grant::of(Account::Webhook, Scope::Cluster, group, resources, names, verbs, reason)
    };
    vec![
        grant(
            "admissionregistration.k8s.io",
            &["validatingwebhookconfigurations", "mutatingwebhookconfigurations"],
            &[],
            &["list", "watch"],
            "see when a registration is not as it should be (a watch cannot be limited to names)",
        ),
        grant(
            "admissionregistration.k8s.io",
            &["validatingwebhookconfigurations", "mutatingwebhookconfigurations"],
            &names::REGISTRATIONS,
            &["create", "get", "patch", "update"],
            "keep SmartOps' own registrations as policies and configuration ask for, and make one that is missing (by \
             server-side apply, which names what it creates)",
        ),
        grant(
            "admissionregistration.k8s.io",
            &["validatingadmissionpolicies", "validatingadmissionpolicybindings"],
            &[],
            &["create", "delete", "get", "list", "patch", "update", "watch"],
            "keep automation from SmartOps' own objects and, as a backstop, write what policies say of numbers and \
             images, and remove it with them (their names follow the policies', so no names can be given here)",
        ),
        Grant {
            scope: Scope::SystemNamespace,
            ..grant(
                "discovery.k8s.io",
                &["endpointslices"],
                &[],
                &["list"],
                "fill the registrations once the API server reaches a webhook, and see which certificate each replica serves",
            )
        },
    ]
}

/// What the webhook observes, and where it keeps it.
pub(super) fn history() -> Vec<Grant> {
    let grant = |scope, group, resources, verbs, reason| {
        Grant::of(Account::Webhook, scope, group, resources, &[], verbs, reason)
    };
    vec![
        grant(
            Scope::Cluster,
            "apps",
            &["statefulsets", "daemonsets"],
            READ,
            "observe what was really committed and when",
        ),
        grant(
            Scope::Cluster,
            "",
            &["replicationcontrollers"],
            READ,
            "observe what was really committed and when",
        ),
        grant(
            Scope::SystemNamespace,
            names::GROUP,
            &["changeledgers"],
            &["get", "list", "create", "update", "delete"],
            "keep what was observed for when every replica is gone (a ledger has its namespace's name)",
        ),
    ]
}
