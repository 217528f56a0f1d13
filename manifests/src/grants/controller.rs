//! What the controller holds, and why.

use smartops_common::names;

use super::{Account, Grant, READ, Scope};

/// What it reads and writes where its targets are.
pub(super) fn on_targets() -> Vec<Grant> {
    let grant = |group, resources, verbs, reason| {
        Grant::of(
            Account::Controller,
            Scope::TargetNamespaces,
            group,
            resources,
            &[],
            verbs,
            reason,
        )
    };
    vec![
        grant(
            "apps",
            &["deployments"],
            &["get", "list", "watch", "patch"],
            "read the target before every write and while verifying; restart and patch it",
        ),
        grant(
            "apps",
            &["deployments/scale"],
            &["get", "patch"],
            "scale through the subresource, which can change nothing but replicas",
        ),
        grant(
            "",
            &["pods"],
            &["get", "list"],
            "see crash loops while verifying a rollout; find whose pod an alert is about",
        ),
        grant(
            "apps",
            &["replicasets"],
            &["get", "list"],
            "find the Deployment of the pod an alert is about; find the revision to go back to",
        ),
        grant(
            "autoscaling",
            &["horizontalpodautoscalers"],
            &["get", "list"],
            "tell whether an autoscaler owns the number of replicas, and read its bounds",
        ),
        grant("", &["events"], &["list", "watch", "create"], "tell on the target what was done"),
        grant(
            "events.k8s.io",
            &["events"],
            &["create", "patch"],
            "the same Events by the current API; patch only counts a repeated one up",
        ),
        grant(
            names::GROUP,
            &["remediations"],
            &["create"],
            "make an accepted request durable before it is answered",
        ),
        grant(
            names::GROUP,
            &["remediations/status"],
            &["update"],
            "record attempts and their outcome",
        ),
        grant(
            names::GROUP,
            &["remediations"],
            &["delete"],
            "prune those that have ended, by age and count; admission lets no others be deleted",
        ),
    ]
}

/// What it reads and asks everywhere.
pub(super) fn everywhere() -> Vec<Grant> {
    let grant = |group, resources, verbs, reason| {
        Grant::everywhere(Account::Controller, group, resources, verbs, reason)
    };
    vec![
        grant(
            names::GROUP,
            &["remediationpolicies"],
            READ,
            "decide by them what becomes of a signal",
        ),
        grant(
            names::GROUP,
            &["remediationpolicies/status"],
            &["patch"],
            "say whether they are decided by",
        ),
        grant(
            names::GROUP,
            &["remediations"],
            READ,
            "one watch over all Remediations: they are the queue",
        ),
        grant(
            "",
            &["namespaces"],
            &["get"],
            "tell a namespace that does not exist from one without rights; read whether it opted out of the closed loop",
        ),
        grant(
            "authentication.k8s.io",
            &["tokenreviews"],
            &["create"],
            "authenticate callers of the HTTP API who bring a Kubernetes bearer token",
        ),
        grant(
            "authorization.k8s.io",
            &["subjectaccessreviews"],
            &["create"],
            "let such callers do through the API only what they may do themselves",
        ),
    ]
}

/// What the actions ask for that are off unless somebody switches them on, each by a role of its own.
pub(super) fn capabilities() -> [Grant; 2] {
    let grant = |role, group, resources, verbs, reason| Grant {
        account: Account::Controller,
        scope: Scope::WhereBound,
        role: Some(role),
        group,
        resources,
        names: &[],
        verbs,
        reason,
    };
    [
        grant(
            names::EVICTION_ROLE,
            "",
            &["pods/eviction"],
            &["create"],
            "evict an unhealthy pod, by its budget; admission lets only announced evictions pass, where a policy's \
             capability podEviction is on",
        ),
        grant(
            names::AUTOSCALER_ROLE,
            "autoscaling",
            &["horizontalpodautoscalers"],
            &["patch"],
            "move the bounds of an autoscaler; admission lets only announced bounds pass, where a policy's capability \
             hpaBounds is on",
        ),
    ]
}

/// What approvals and warrants ask of it.
pub(super) fn approvals() -> Vec<Grant> {
    let grant = |group, resources, verbs, reason| {
        Grant::everywhere(Account::Controller, group, resources, verbs, reason)
    };
    vec![
        grant(
            names::GROUP,
            &["remediationapprovals"],
            READ,
            "see who approved what waits for it; nothing of SmartOps' writes one",
        ),
        grant(
            names::GROUP,
            &["smartopsconfigs"],
            READ,
            "know for how long an approval counts, and whether the closed loop is switched off",
        ),
        grant(
            names::GROUP,
            &["smartopsconfigs/status"],
            &["patch"],
            "switch the closed loop off and on where somebody who may asks for it; admission lets nothing else of it pass",
        ),
    ]
}
