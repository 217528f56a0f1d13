//! A written SmartOpsConfig: whom it may call automation, who may break the glass or approve, and what it leaves
//! unguarded.

use std::collections::BTreeSet;

use smartops_common::config::{Automation, SmartOpsConfigSpec};
use smartops_common::names;
use smartops_guard::policy::Flaw;
use smartops_guard::registration::{Reach, registrations};

use super::answer::{Checked, flaw};

/// Groups that hold more than automation: naming one would bind the cluster itself.
const GROUPS_OF_ALL: [&str; 6] = [
    "system:masters",
    "system:authenticated",
    "system:unauthenticated",
    "system:nodes",
    "system:serviceaccounts",
    "system:monitoring",
];

/// Checks a configuration's spec, as JSON.
pub(super) fn check(_name: &str, spec: &str) -> Checked {
    let spec: SmartOpsConfigSpec = match serde_json::from_str(spec) {
        Ok(spec) => spec,
        Err(error) => {
            let flaw = flaw("spec", format!("cannot be read: {error}"));
            return vec![flaw].into();
        }
    };
    let mut flaws = Vec::new();
    let Automation { users, groups, service_accounts, namespaces } = &spec.automation;
    let field = |list: &str| format!("spec.automation.{list}");
    each(users, &field("users"), &mut flaws, user);
    each(groups, &field("groups"), &mut flaws, group);
    each(namespaces, &field("namespaces"), &mut flaws, namespace);
    let accounts: Vec<String> = service_accounts
        .iter()
        .map(|account| match (account.namespace.as_str(), account.name.as_str()) {
            ("", _) | (_, "") => String::new(),
            (namespace, name) => names::service_account_user(namespace, name),
        })
        .collect();
    each(&accounts, &field("serviceAccounts"), &mut flaws, user);
    let excluded = &spec.guarded.exclude_namespaces;
    each(excluded, "spec.guarded.excludeNamespaces", &mut flaws, |_| None);
    let glass = (spec.break_glass.groups.as_slice(), "spec.breakGlass.groups");
    few_people(&spec, glass, "break the glass", &mut flaws);
    let approval = (spec.approval.groups.as_slice(), "spec.approval.groups");
    few_people(&spec, approval, "approve", &mut flaws);
    if let Err(too_much) = registrations(&spec, &[], &Reach::Service, None) {
        flaws.push(too_much);
    }
    let own = ["kube-system", names::SYSTEM_NAMESPACE];
    let guarded: Vec<&str> =
        own.into_iter().filter(|own| !excluded.iter().any(|name| name == own)).collect();
    let warnings = guarded
        .into_iter()
        .map(|name| {
            format!("{name} is guarded: when the webhook is down, people cannot repair it there")
        })
        .collect();
    Checked { flaws, warnings, retry_after: None }
}

/// Whoever may break the glass, or approve, is a group of few people: never everybody, never automation.
fn few_people(
    spec: &SmartOpsConfigSpec,
    (groups, field): (&[String], &str),
    deed: &str,
    flaws: &mut Vec<Flaw>,
) {
    let refuse = |group: &str| {
        let is_everybody = group != "system:masters" && GROUPS_OF_ALL.contains(&group);
        let of_accounts = group.strip_prefix("system:serviceaccounts:").is_some();
        if is_everybody || of_accounts {
            Some(format!(
                "{group:?} holds more than the few people who may {deed}; name a group of theirs"
            ))
        } else if spec.automation.groups.iter().any(|automation| automation == group) {
            Some(format!("{group:?} is automation, which may never {deed}"))
        } else {
            None
        }
    };
    each(groups, field, flaws, refuse);
}

/// Every entry of a list: not empty, not there twice, and not what `refuse` gives a reason against.
fn each(
    entries: &[String],
    field: &str,
    flaws: &mut Vec<Flaw>,
    refuse: impl Fn(&str) -> Option<String>,
) {
    let mut seen = BTreeSet::new();
    for (place, entry) in entries.iter().enumerate() {
        let reason = if entry.is_empty() {
            Some("is empty; give a name or leave the entry out".to_owned())
        } else if !seen.insert(entry) {
            Some(format!("{entry:?} stands here twice; once is enough"))
        } else {
            refuse(entry)
        };
        flaws.extend(reason.map(|reason| flaw(format!("{field}[{place}]"), reason)));
    }
}

fn user(user: &str) -> Option<String> {
    let webhook =
        names::service_account_user(names::SYSTEM_NAMESPACE, names::WEBHOOK_SERVICE_ACCOUNT);
    let is_cluster = names::is_control_plane(user)
        || user == webhook
        || user.starts_with("system:node:")
        || ["system:admin", "system:anonymous", "kubernetes-admin"].contains(&user);
    is_cluster.then(|| {
        format!("{user:?} is the cluster itself: as automation it could do only what policies name, and the cluster would stand still")
    })
}

fn group(group: &str) -> Option<String> {
    let of_own = group.strip_prefix("system:serviceaccounts:").is_some_and(is_own);
    (GROUPS_OF_ALL.contains(&group) || of_own).then(|| {
        format!("{group:?} holds the cluster's own users: as automation they could do only what policies name; give automation a group of its own")
    })
}

fn namespace(name: &str) -> Option<String> {
    is_own(name).then(|| {
        format!("the ServiceAccounts of {name:?} are the cluster's or SmartOps' own; name single ones in spec.automation.serviceAccounts")
    })
}

fn is_own(namespace: &str) -> bool {
    ["kube-system", names::SYSTEM_NAMESPACE].contains(&namespace)
}
