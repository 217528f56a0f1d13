//! The judgement of one change: every policy that fits it, every rule, the strictest wins. What a rule looks at is
//! the rule's; what is asked of the cluster is the shell's.

use jiff::Timestamp;
use smartops_change::Change;
use smartops_common::denial::Rule;

use crate::break_glass::{self, Glass};
use crate::cel::Inputs;
use crate::exception::Lifting;
use crate::facts::Facts;
use crate::findings::{Finding, Findings};
use crate::policy::{Applied, CompiledPolicy, Fit, Mode, Reach};
use crate::rules::{Case, Readings};
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

/// What a judgement lacks. Given it, or told that it is not to be had, the judgement asks for it no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a read of its own")]
pub struct Needs {
    /// When the object's revisions were made, as [`Facts::revisions`](crate::Facts).
    pub revisions: bool,
    /// What the object belongs to or speaks for, as [`Facts::related`](crate::Facts).
    pub related: bool,
    /// The whole object that the subresource is of, as [`Facts::whole`](crate::Facts).
    pub whole: bool,
    /// What may have announced the write, as [`Facts::warrants`](crate::Facts).
    pub warrants: bool,
    /// What was decided about that, as [`Facts::approvals`](crate::Facts).
    pub approvals: bool,
    /// What a rollback brings back, as [`Facts::origin`](crate::Facts).
    pub origin: bool,
}

impl Needs {
    const NOTHING: Self = Self {
        revisions: false,
        related: false,
        whole: false,
        warrants: false,
        approvals: false,
        origin: false,
    };
    pub(crate) const REVISIONS: Self = Self { revisions: true, ..Self::NOTHING };
    pub(crate) const RELATED: Self = Self { related: true, ..Self::NOTHING };
    pub(crate) const WHOLE: Self = Self { whole: true, ..Self::NOTHING };
    pub(crate) const WARRANTS: Self = Self { warrants: true, ..Self::NOTHING };
    pub(crate) const APPROVALS: Self = Self { approvals: true, ..Self::NOTHING };
    pub(crate) const ORIGIN: Self = Self { origin: true, ..Self::NOTHING };

    /// Takes over what a rule lacks.
    pub(crate) fn also(&mut self, judged: Result<(), Self>) {
        if let Err(Self { revisions, related, whole, warrants, approvals, origin }) = judged {
            self.revisions |= revisions;
            self.related |= related;
            self.whole |= whole;
            self.warrants |= warrants;
            self.approvals |= approvals;
            self.origin |= origin;
        }
    }

    /// An error where anything is lacking.
    pub(crate) fn or_ok(self) -> Result<(), Self> {
        if self == Self::default() { Ok(()) } else { Err(self) }
    }
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
    let inputs = Inputs::new(change, subject);
    let readings = Readings::default();
    let case = Case { change, subject, facts, inputs: &inputs, readings: &readings, now };
    let mut findings = Findings::default();
    let mut needs = Needs::default();
    let mut is_named = false;
    for applied in facts.policies {
        let policy = &applied.policy;
        let fit = policy.fit(change, subject, facts.related, &inputs);
        if policy.is_left_by(change, subject, &inputs) {
            let finding = leaving("object", "spec.match.objects");
            findings.add(policy.name(), policy.mode(), finding);
        }
        let Fit::Yes { reach, .. } = fit else {
            needs.related |= fit == Fit::Needs;
            continue;
        };
        let says_what = !policy.rules().are_only_a_condition();
        let mut found = Vec::new();
        needs.also(policy.rules().judge(&case, reach, policy.number(change), &mut found));
        let is_let = || policy.may_name(subject, fit) && policy.rules().have_a_say(&case);
        is_named |= applied.is_certain && ((says_what && policy.names(subject, fit)) || is_let());
        let lifting = match lifting(policy, reach, &case, &found) {
            Ok(lifting) => lifting,
            Err(lacking) => {
                needs.also(Err(lacking));
                continue;
            }
        };
        for finding in found {
            match lifting.lift(finding.rule).filter(|_| finding.refuses) {
                Some(lift) => findings.except(policy.name(), finding, lift),
                None => findings.add_of(policy, finding),
            }
        }
    }
    if let Err(needs) = needs.or_ok() {
        return Judgement::Needs(needs);
    }
    // They may be thousands, and few reviews are of namespaces.
    let is_of_a_namespace = change.resource().resource == "namespaces";
    let selecting = if is_of_a_namespace { facts.selecting } else { &[] };
    for policy in selecting.iter().filter(|p| p.is_left_by_namespace(change, subject)) {
        let finding = leaving("namespace", "spec.match.namespaces.selector");
        findings.add(policy.name(), policy.mode(), finding);
    }
    if subject.is_automation() && !is_named {
        findings.add(&"".into(), Mode::Enforce, unnamed(change, subject, facts.policies));
    }
    if findings.refuse() {
        match break_glass::ask(&case) {
            Ok(Glass::Broken(broken)) => findings.break_glass(broken),
            Ok(Glass::Whole(hint)) => findings.hint(hint),
            Ok(Glass::OutOfReach) => {}
            Err(needs) => return Judgement::Needs(needs),
        }
    }
    Judgement::Final(findings.verdict(change, subject))
}

/// The exceptions by which what a policy would refuse is lifted. What it only warns of, it goes on warning of.
fn lifting<'a>(
    policy: &CompiledPolicy,
    reach: Reach,
    case: &Case<'a>,
    found: &[Finding],
) -> Result<Lifting<'a>, Needs> {
    let refused = found.iter().filter(|f| f.refuses && policy.mode() == Mode::Enforce);
    let refused: Vec<Rule> = refused.map(|finding| finding.rule).collect();
    if refused.is_empty() {
        return Ok(Lifting::default());
    }
    Lifting::of(policy, reach, case, &refused)
}

/// That a write takes its object out of what a policy selects by label.
fn leaving(what: &str, selector: &str) -> Finding {
    Finding {
        rule: Rule::Selection,
        path: "metadata.labels".to_owned(),
        message: format!(
            "these labels take the {what} out of the policy ({selector}); leave them as they are, or have the policy changed or an exclusion made by whoever owns it"
        ),
        retry_after: None,
        refuses: true,
    }
}

/// That automation may do only what a policy names that was written for it.
fn unnamed(change: &Change<'_>, subject: &Subject, policies: &[Applied]) -> Finding {
    let named: Vec<String> = policies
        .iter()
        .map(|applied| &applied.policy)
        .filter(|policy| policy.is_written_for(subject) && !policy.rules().are_only_a_condition())
        .map(|policy| format!("{} names {}", policy.name(), policy.named()))
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .take(4)
        .collect();
    let named = if named.is_empty() {
        "no policy is written for it here".to_owned()
    } else {
        named.join("; ")
    };
    Finding {
        rule: Rule::Unnamed,
        path: String::new(),
        message: format!(
            "automation may do only what a policy names, and none names {} of {} ({named}); leave it to a person or ask an operator for a policy",
            change.operation(),
            change.resource(),
        ),
        retry_after: None,
        refuses: true,
    }
}

#[cfg(test)]
mod tests;
