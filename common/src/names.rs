//! Names that callers, manifests and both programs rely on. A name used in two rooms is written here once.

/// The API group of every SmartOps kind.
pub const GROUP: &str = "smartops.dev";
/// The namespace SmartOps itself runs in; never guarded by the baseline.
pub const SYSTEM_NAMESPACE: &str = "smartops-system";
/// Namespaces no people's policy reaches unless a SmartOpsConfig says otherwise: the cluster's own and SmartOps'.
pub const UNGUARDED_NAMESPACES: [&str; 4] =
    ["kube-system", "kube-public", "kube-node-lease", SYSTEM_NAMESPACE];
/// The namespace a request or a signal means when it names none.
pub const DEFAULT_TARGET_NAMESPACE: &str = "smartops-dev";
/// Prefix tried when a service name is not itself a Deployment's name.
pub const DEPLOYMENT_PREFIX: &str = "smartops-";

/// The controller's ServiceAccount, in [`SYSTEM_NAMESPACE`].
pub const CONTROLLER_SERVICE_ACCOUNT: &str = "smartops-orchestrator";
/// The webhook's ServiceAccount, in [`SYSTEM_NAMESPACE`].
pub const WEBHOOK_SERVICE_ACCOUNT: &str = "smartops-webhook";
/// The ClusterRole for whoever approves Remediations; bound to nobody by the installation.
pub const APPROVER_ROLE: &str = "smartops-approver";
/// The ClusterRole for whoever looks at SmartOps' own objects; bound to nobody by the installation.
pub const VIEWER_ROLE: &str = "smartops-viewer";
/// The ClusterRole by which the controller evicts pods where it is bound; bound nowhere by the installation.
pub const EVICTION_ROLE: &str = "smartops-orchestrator-evict-pods";
/// The ClusterRole by which the controller moves the bounds of autoscalers where it is bound; bound nowhere by the
/// installation.
pub const AUTOSCALER_ROLE: &str = "smartops-orchestrator-hpa-bounds";
/// The fieldManager of every write the controller makes.
pub const CONTROLLER_FIELD_MANAGER: &str = "smartops-controller";
/// The fieldManager of every write the webhook makes.
pub const WEBHOOK_FIELD_MANAGER: &str = "smartops-webhook";
/// The name of the one SmartOpsConfig.
pub const CONFIG_NAME: &str = "default";

/// The Secret that holds the webhook's CA and serving certificate, in [`SYSTEM_NAMESPACE`].
pub const WEBHOOK_CERTIFICATE_SECRET: &str = "smartops-webhook-certificate";
/// The webhook's Deployment, in [`SYSTEM_NAMESPACE`].
pub const WEBHOOK_DEPLOYMENT: &str = "smartops-webhook";
/// The webhook's Service, in [`SYSTEM_NAMESPACE`].
pub const WEBHOOK_SERVICE: &str = "smartops-webhook";
/// The Lease, in [`SYSTEM_NAMESPACE`], by which one replica of the webhook leads.
pub const WEBHOOK_LEASE: &str = "smartops-webhook";
/// Registrations that speak for people (ValidatingWebhookConfiguration and MutatingWebhookConfiguration alike).
pub const PEOPLE_REGISTRATION: &str = "smartops-people";
/// Registrations that speak for automation.
pub const AUTOMATION_REGISTRATION: &str = "smartops-automation";

/// The registration that has every write of SmartOps' own kinds checked, whoever writes it.
pub const OWN_REGISTRATION: &str = "smartops-own";
/// The names of all of them; there is a registration of each kind under each.
pub const REGISTRATIONS: [&str; 3] =
    [AUTOMATION_REGISTRATION, PEOPLE_REGISTRATION, OWN_REGISTRATION];

/// Whether the registrations of this name, of both kinds, have entries whatever the policies ask for: automation may do
/// only what is named, and SmartOps' own kinds are always checked. What people's hold hangs on the policies.
pub fn is_never_empty(registration: &str) -> bool {
    [AUTOMATION_REGISTRATION, OWN_REGISTRATION].contains(&registration)
}

/// The label, with the value `smartops`, of every object of an installation.
pub const PART_OF: &str = "app.kubernetes.io/part-of";

/// URL paths of the webhook. Whoever comes by automation's path is automation, whatever else is known of them.
pub mod path {
    /// Validating reviews of writes by automation; undecidable is denied.
    pub const VALIDATE_AUTOMATION: &str = "/validate/automation";
    /// Validating reviews of writes by everybody else.
    pub const VALIDATE_PEOPLE: &str = "/validate/people";
    /// Mutating reviews of writes by automation.
    pub const MUTATE_AUTOMATION: &str = "/mutate/automation";
    /// Mutating reviews of writes by everybody else.
    pub const MUTATE_PEOPLE: &str = "/mutate/people";
    /// Validating reviews of SmartOps' own kinds, whoever writes them.
    pub const VALIDATE_OWN: &str = "/validate/own";
    /// Mutating reviews of SmartOps' own kinds: who asks and who approves is stamped here.
    pub const MUTATE_OWN: &str = "/mutate/own";
}

/// Pod-template annotation whose change is a rolling restart, kubectl's own.
pub const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// Annotation by which a member of a break-glass group lets a write past every policy; its value is the reason.
pub const BREAK_GLASS: &str = "smartops.dev/break-glass";

/// Annotation by which the owner of a namespace or of one workload keeps the closed loop away from it, with the value
/// `disabled`. Calls of the API go on.
pub const CLOSED_LOOP: &str = "smartops.dev/closed-loop";
/// Its value.
pub const CLOSED_LOOP_DISABLED: &str = "disabled";

/// The RemediationPolicy that is shipped.
pub const SHIPPED_REMEDIATION_POLICY: &str = "smartops-default";

/// Annotation of a Remediation: the `traceparent` of the trace it was asked for in.
pub const TRACE_PARENT: &str = "smartops.dev/traceparent";

/// The Lease, in [`SYSTEM_NAMESPACE`], by which one replica of the controller works on Remediations.
pub const CONTROLLER_LEASE: &str = "smartops-orchestrator";
/// The Secret that holds the CA and the serving certificate of the controller's API, in [`SYSTEM_NAMESPACE`].
pub const CONTROLLER_CERTIFICATE_SECRET: &str = "smartops-orchestrator-certificate";
/// The type of the Secrets that hold a program's CA and certificate.
pub const CERTIFICATE_SECRET_TYPE: &str = "kubernetes.io/tls";
/// Annotation of a Secret that names the ServiceAccount whose token the control plane is to put into it.
pub const TOKEN_OF: &str = "kubernetes.io/service-account.name";
/// The controller's Deployment, in [`SYSTEM_NAMESPACE`].
pub const CONTROLLER_DEPLOYMENT: &str = "smartops-controller";
/// The controller's Service, in [`SYSTEM_NAMESPACE`].
pub const CONTROLLER_SERVICE: &str = "smartops-orchestrator";

/// Begins the cause of every Remediation that nobody made but its requester himself; other causes are the
/// controller's.
pub const MANUAL_CAUSE: &str = "manual/";

/// Labels SmartOps puts on its own Remediations, so that they can be listed by target and cause.
pub mod label {
    /// The uid of the target.
    pub const TARGET_UID: &str = "smartops.dev/target-uid";
    /// The first 16 hex digits of SHA-256 of the cause.
    pub const CAUSE: &str = "smartops.dev/cause";
}

/// Users the control plane writes as.
pub const CONTROL_PLANE_USERS: [&str; 3] =
    ["system:kube-controller-manager", "system:kube-scheduler", "system:apiserver"];
/// ServiceAccounts, in kube-system, of the control plane's own controllers: those that write workloads, and those that
/// clean up after owners and namespaces. Others in kube-system are people like anybody.
pub const CONTROL_PLANE_SERVICE_ACCOUNTS: [&str; 12] = [
    "cronjob-controller",
    "daemon-set-controller",
    "deployment-controller",
    "disruption-controller",
    "generic-garbage-collector",
    "horizontal-pod-autoscaler",
    "job-controller",
    "namespace-controller",
    "replicaset-controller",
    "replication-controller",
    "statefulset-controller",
    "ttl-after-finished-controller",
];

/// Whether a user is the control plane at work on its own objects.
pub fn is_control_plane(username: &str) -> bool {
    CONTROL_PLANE_USERS.contains(&username)
        || username
            .strip_prefix("system:serviceaccount:kube-system:")
            .is_some_and(|name| CONTROL_PLANE_SERVICE_ACCOUNTS.contains(&name))
}

/// What the API server's user name of every ServiceAccount of a namespace begins with.
pub fn service_account_prefix(namespace: &str) -> String {
    format!("system:serviceaccount:{namespace}:")
}

/// The group the API server puts every ServiceAccount of a namespace into.
pub fn service_accounts_group(namespace: &str) -> String {
    format!("system:serviceaccounts:{namespace}")
}

/// The user name the API server gives a ServiceAccount.
pub fn service_account_user(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

/// Whether a user is the controller's ServiceAccount.
pub fn is_controller(username: &str) -> bool {
    is_ours(username, CONTROLLER_SERVICE_ACCOUNT)
}

/// Whether a user is the webhook's ServiceAccount.
pub fn is_webhook(username: &str) -> bool {
    is_ours(username, WEBHOOK_SERVICE_ACCOUNT)
}

fn is_ours(username: &str, account: &str) -> bool {
    username.strip_prefix(&service_account_prefix(SYSTEM_NAMESPACE)) == Some(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peoples_registration_alone_may_be_empty() {
        let always: Vec<_> =
            REGISTRATIONS.into_iter().filter(|name| is_never_empty(name)).collect();
        assert_eq!(always, [AUTOMATION_REGISTRATION, OWN_REGISTRATION]);
    }

    #[test]
    fn the_programs_are_known_and_their_namesakes_are_not() {
        for (user, controller, webhook) in [
            ("system:serviceaccount:smartops-system:smartops-orchestrator", true, false),
            ("system:serviceaccount:smartops-system:smartops-webhook", false, true),
            ("system:serviceaccount:smartops-dev:smartops-orchestrator", false, false),
            ("smartops-webhook", false, false),
            ("", false, false),
        ] {
            assert_eq!((is_controller(user), is_webhook(user)), (controller, webhook), "{user}");
        }
    }
}
