//! Who asks, as conditions the API server evaluates: automation, people, the control plane, nodes; and whether labels
//! change. The list of automation is the configuration's own, so that judgement and registration agree about everybody.

use k8s_openapi::api::admissionregistration::v1::MatchCondition;
use smartops_common::config::{Principal, SmartOpsConfigSpec};
use smartops_common::names;
use smartops_common::remediation::Phase;

use super::probe::PROBE;
use crate::policy::Flaw;
use crate::vap::cel::{list, literal};

/// Longest condition written, in bytes. The API server's parser takes a hundred thousand characters.
const LONGEST: usize = 64 * 1024;

/// The name of the condition that says who automation is.
pub const BY_AUTOMATION: &str = "by-automation";

/// The condition of automation's entries, or why it cannot be written.
pub(crate) fn by_automation(config: &SmartOpsConfigSpec) -> Result<MatchCondition, Flaw> {
    is_sayable(config).map(|()| condition(BY_AUTOMATION, is_automation(config)))
}

/// Whether who automation is can be said in a condition.
pub(crate) fn is_sayable(config: &SmartOpsConfigSpec) -> Result<(), Flaw> {
    let length = is_automation(config).len();
    if length <= LONGEST {
        return Ok(());
    }
    let reason = format!(
        "names so many that the registrations' condition has {length} bytes and may have {LONGEST}: name groups or \
         namespaces instead of single users and ServiceAccounts"
    );
    Err(Flaw::new("spec.automation", reason))
}

/// The conditions of people's entries: whoever is neither automation nor the control plane at work on its own
/// objects. The latter is left out here as well as in the judgement, so that an outage of the webhook stops no
/// rollout under way.
pub(crate) fn by_people(config: &SmartOpsConfigSpec) -> Vec<MatchCondition> {
    vec![
        condition("not-by-automation", format!("!({})", is_automation(config))),
        condition(
            "not-by-the-control-plane",
            format!("!(request.userInfo.username in {})", list(control_plane())),
        ),
    ]
}

/// Nobody is asked who takes SmartOps its rights away: whatever policies say, people have a way out.
pub(super) fn not_the_way_out() -> MatchCondition {
    let way_out = "request.operation == 'DELETE' && request.resource.resource == 'clusterrolebindings' && \
                   has(request.name) && request.name.startsWith('smartops-')";
    condition("not-the-way-out", format!("!({way_out})"))
}

/// Kubelets make and end the pods of their own node, and must never wait for a webhook that runs on one.
pub(crate) fn not_by_a_node() -> MatchCondition {
    let node = "request.userInfo.username.startsWith('system:node:') && has(request.userInfo.groups) && \
                'system:nodes' in request.userInfo.groups";
    condition("not-by-a-node", format!("!({node})"))
}

/// Only what changes labels: a controller's write of a status never waits for it.
pub(super) fn changes_labels() -> MatchCondition {
    let (before, after) = ("oldObject.metadata.labels", "object.metadata.labels");
    let differ = format!("has({after}) != has({before}) || (has({after}) && {after} != {before})");
    condition("changes-labels", differ)
}

/// The writes of SmartOps' own that the controller is there to make: it records what was asked of it, what became of
/// that, whether its loop is switched off and what it thinks of RemediationPolicies, all of which the registration of
/// SmartOps' own kinds has checked; and it keeps its own lease and its own certificate, each as no more than that. A Secret
/// of another type would be filled with another account's token, and an owner or a finalizer binds other objects to it.
pub(crate) fn not_the_controllers_own() -> MatchCondition {
    let controller =
        names::service_account_user(names::SYSTEM_NAMESPACE, names::CONTROLLER_SERVICE_ACCOUNT);
    let below = "has(request.subResource) && request.subResource";
    let is_whole = format!("!({below} != '')");
    let is_loose = "!has(object.metadata.ownerReferences) && !has(object.metadata.finalizers)";
    let is_certificate = format!(
        "{is_loose} && has(object.type) && object.type == {} && \
         !(has(object.metadata.annotations) && {} in object.metadata.annotations)",
        literal(names::CERTIFICATE_SECRET_TYPE),
        literal(names::TOKEN_OF),
    );
    let kept = [
        ("coordination.k8s.io", "leases", names::CONTROLLER_LEASE, is_loose),
        ("", "secrets", names::CONTROLLER_CERTIFICATE_SECRET, &*is_certificate),
    ]
    .map(|(group, resource, name, is_no_more)| {
        format!(
            "(request.resource.group == {} && request.resource.resource == {} && {is_whole} && \
             request.operation in ['CREATE', 'UPDATE'] && has(request.namespace) && request.namespace == {} && \
             has(request.name) && request.name == {} && {is_no_more})",
            literal(group),
            literal(resource),
            literal(names::SYSTEM_NAMESPACE),
            literal(name),
        )
    });
    let own = format!(
        "(request.resource.group == {} && \
         ((request.operation == 'CREATE' && request.resource.resource == 'remediations' && {is_whole}) || \
         (request.operation == 'UPDATE' && \
         request.resource.resource in ['remediations', 'remediationpolicies', 'smartopsconfigs'] && \
         {below} == 'status')))",
        literal(names::GROUP),
    );
    let [lease, certificate] = kept;
    condition(
        "not-the-controllers-own",
        format!(
            "!(request.userInfo.username == {} && ({own} || {lease} || {certificate}))",
            literal(&controller),
        ),
    )
}

/// The Remediations the controller prunes: those that have ended. How long ago that was, a condition cannot tell; the
/// webhook does.
pub(crate) fn not_what_the_controller_prunes() -> MatchCondition {
    let controller =
        names::service_account_user(names::SYSTEM_NAMESPACE, names::CONTROLLER_SERVICE_ACCOUNT);
    let is_final = list(Phase::ALL.into_iter().filter(|p| p.is_final()).map(Phase::as_str));
    condition(
        "not-what-the-controller-prunes",
        format!(
            "!(request.userInfo.username == {} && request.resource.group == {} && request.operation == 'DELETE' && \
             request.resource.resource == 'remediations' && has(oldObject.status) && has(oldObject.status.phase) && \
             oldObject.status.phase in {is_final} && has(oldObject.status.outcome))",
            literal(&controller),
            literal(names::GROUP),
        ),
    )
}

/// What the webhook keeps of what it observed: to write that it must not wait for itself.
pub(super) fn not_the_webhooks_ledger() -> MatchCondition {
    let webhook =
        names::service_account_user(names::SYSTEM_NAMESPACE, names::WEBHOOK_SERVICE_ACCOUNT);
    condition(
        "not-the-webhooks-ledger",
        format!(
            "!(request.userInfo.username == {} && request.resource.resource == 'changeledgers')",
            literal(&webhook),
        ),
    )
}

/// The webhook's own dry run by which it learns whether the API server reaches it; nobody else is ever asked.
pub(super) fn tries_its_reach() -> MatchCondition {
    let webhook =
        names::service_account_user(names::SYSTEM_NAMESPACE, names::WEBHOOK_SERVICE_ACCOUNT);
    condition(
        "tries-its-reach",
        format!(
            "request.userInfo.username == {} && has(request.dryRun) && request.dryRun && \
             has(request.name) && request.name == {}",
            literal(&webhook),
            literal(PROBE),
        ),
    )
}

pub(crate) fn condition(name: &str, expression: String) -> MatchCondition {
    MatchCondition { name: name.to_owned(), expression }
}

/// Everybody the guard, too, takes for the control plane.
fn control_plane() -> impl Iterator<Item = String> {
    let accounts = names::CONTROL_PLANE_SERVICE_ACCOUNTS
        .map(|name| names::service_account_user("kube-system", name));
    names::CONTROL_PLANE_USERS.map(str::to_owned).into_iter().chain(accounts)
}

/// A CEL expression that holds for exactly those [`Principal::is`] holds for.
fn is_automation(config: &SmartOpsConfigSpec) -> String {
    let (mut users, mut groups, mut prefixes) = (Vec::new(), Vec::new(), Vec::new());
    for principal in config.automation_principals() {
        match principal {
            Principal::User(user) => users.push(user.to_owned()),
            Principal::Group(group) => groups.push(group.to_owned()),
            Principal::ServiceAccount { namespace, name } => {
                users.push(names::service_account_user(namespace, name));
            }
            Principal::ServiceAccountsOf(namespace) => {
                prefixes.push(names::service_account_prefix(namespace));
                groups.push(names::service_accounts_group(namespace));
            }
        }
    }
    let mut parts = vec![format!("request.userInfo.username in {}", list(users))];
    if !prefixes.is_empty() {
        let starts = "request.userInfo.username.startsWith(p)";
        parts.push(format!("{}.exists(p, {starts})", list(prefixes)));
    }
    if !groups.is_empty() {
        parts.push(format!(
            "(has(request.userInfo.groups) && request.userInfo.groups.exists(g, g in {}))",
            list(groups)
        ));
    }
    parts.join(" || ")
}
