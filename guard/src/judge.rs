//! The judgement of one change: every policy that fits it, every rule, the strictest wins. What a rule looks at is
//! the rule's; what is asked of the cluster is the shell's.

use jiff::Timestamp;
use smartops_change::Change;
use smartops_common::denial::Rule;

use crate::facts::Facts;
use crate::findings::{Finding, Findings};
use crate::policy::{Applied, Mode};
use crate::rules::Case;
use crate::subject::Subject;
use crate::verdict::Verdict;

/// What a judgement came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Decided.
    Final(Verdict),
    /// Not to be decided without this; fetch it and ask once more.
    Needs(Needs),
}

/// What a judgement lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// The creation times of the ReplicaSets the Deployment owns, as [`Facts::revisions`](crate::Facts). Given
    /// them, or told that they are not to be had, the judgement is final.
    Revisions,
}

/// Judges a change by everything known. All policies that fit apply, their order never matters, and none loosens
/// another.
pub fn judge(
    change: &Change<'_>,
    subject: &Subject,
    facts: &Facts<'_>,
    now: Timestamp,
) -> Judgement {
    if subject.is_control_plane() || (change.is_finalising() && !subject.is_automation()) {
        return Judgement::Final(Verdict::allow());
    }
    let case = Case { change, subject, facts, now };
    let mut findings = Findings::default();
    for applied in facts.policies.iter().filter(|a| a.policy.fits(change, subject)) {
        let policy = &applied.policy;
        let mut found = Vec::new();
        if let Err(needs) = policy.rules().judge(&case, &mut found) {
            return Judgement::Needs(needs);
        }
        for finding in found {
            findings.add(policy.name(), policy.mode(), finding);
        }
    }
    if let Some(finding) = unnamed(change, subject, facts.policies) {
        findings.add(&"".into(), Mode::Enforce, finding);
    }
    Judgement::Final(findings.verdict(change, subject))
}

/// Automation may do only what a policy names that was written for it.
fn unnamed(change: &Change<'_>, subject: &Subject, policies: &[Applied]) -> Option<Finding> {
    if !subject.is_automation()
        || policies.iter().any(|a| a.is_certain && a.policy.names(change, subject))
    {
        return None;
    }
    let named: Vec<String> = policies
        .iter()
        .filter(|a| a.policy.is_written_for(subject))
        .map(|a| format!("{} names {}", a.policy.name(), a.policy.named()))
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .take(4)
        .collect();
    let named = if named.is_empty() {
        "no policy is written for it here".to_owned()
    } else {
        named.join("; ")
    };
    Some(Finding {
        rule: Rule::Unnamed,
        path: String::new(),
        message: format!(
            "automation may do only what a policy names, and none names {} of {} ({named}); leave it to a person or ask an operator for a policy",
            change.operation(),
            change.resource(),
        ),
        retry_after: None,
        refuses: true,
    })
}

#[cfg(test)]
mod tests;
