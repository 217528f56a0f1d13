//! Whom what is written speaks to, as conditions the API server evaluates: people, as far as the policy means them, who
//! did not break the glass.

use k8s_openapi::api::admissionregistration::v1::MatchCondition;
use smartops_change::Kind;
use smartops_common::config::SmartOpsConfigSpec;
use smartops_common::names;

use super::Backstop;
use super::cel;
use crate::break_glass::SHORTEST_REASON;
use crate::policy::{Flaw, SubjectSet};
use crate::registration::who;

/// All conditions of a policy's writes.
pub(super) fn conditions(
    backstop: &Backstop,
    config: &SmartOpsConfigSpec,
) -> Result<Vec<MatchCondition>, Flaw> {
    who::is_sayable(config)?;
    let mut conditions = who::by_people(config);
    if backstop.parts.iter().any(|part| part.kind == Kind::Pod) {
        conditions.push(who::not_by_a_node());
    }
    if let Some(subjects) = &backstop.spec.match_.subjects {
        let mut meant = Vec::new();
        meant.extend(subjects.include.as_ref().map(holds));
        meant.extend(subjects.exclude.as_ref().map(|set| format!("!({})", holds(set))));
        conditions.push(who::condition("by-whom-the-policy-means", cel::all(&meant)));
    }
    if !config.break_glass.groups.is_empty() {
        conditions.push(who::condition("the-glass-is-whole", format!("!({})", broken(config))));
    }
    Ok(conditions)
}

/// Whether somebody who is not automation is in a set.
fn holds(set: &SubjectSet) -> String {
    let accounts =
        set.service_accounts.iter().map(|a| names::service_account_user(&a.namespace, &a.name));
    let users: Vec<String> = set.users.iter().cloned().chain(accounts).collect();
    let mut parts = Vec::new();
    if !users.is_empty() {
        parts.push(format!("request.userInfo.username in {}", cel::list(users)));
    }
    if !set.groups.is_empty() {
        parts.push(is_member(&set.groups));
    }
    cel::any(&parts)
}

/// Whether whoever asks is in one of these groups.
pub(super) fn is_member(groups: &[String]) -> String {
    format!(
        "has(request.userInfo.groups) && request.userInfo.groups.exists(g, g in {})",
        cel::list(groups)
    )
}

/// Whether a member broke the glass by an annotation of the object. A Scale carries none.
fn broken(config: &SmartOpsConfigSpec) -> String {
    let reason = cel::at("object", &["metadata", "annotations", names::BREAK_GLASS]);
    cel::all(&[
        is_member(&config.break_glass.groups),
        cel::is_there("object", &["metadata", "annotations", names::BREAK_GLASS]),
        format!("{reason}.trim().size() >= {SHORTEST_REASON}"),
    ])
}
