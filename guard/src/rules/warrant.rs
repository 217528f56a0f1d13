//! Whether a write needs to have been announced: by the one live attempt of a Remediation, exactly so, and approved where
//! that is asked. How an attempt is matched is `warrant`'s.

use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};
use smartops_change::{Change, Operation};
use smartops_common::denial::Rule;

use super::Case;
use super::evidence::unknown;
use crate::findings::Finding;
use crate::judge::Needs;
use crate::policy::{Flaw, GuardrailPolicySpec};
use crate::warrant::{Refusal, Sought, seek};

/// That every write has to be announced by a Remediation. Only SmartOps' controller can make such a write, so the policy
/// has to say in `spec.match.subjects.include` that it means automation or ServiceAccounts, and no more.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = kube_core::Rule::new("self.required").message("required must be true; leave the rule out where no warrant is required")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WarrantSpec {
    /// Always true: a write needs the live attempt of an Executing Remediation that announces exactly it.
    pub required: bool,
    /// Whether somebody else has to have approved it, whatever the Remediation asks for.
    #[serde(default)]
    pub approval: bool,
}

/// The rule, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Warranted {
    approval: bool,
}

const SERVICE_ACCOUNT: &str = "system:serviceaccount:";
const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";

impl Warranted {
    pub(super) fn compile(spec: &WarrantSpec, flaws: &mut Vec<Flaw>) -> Self {
        if !spec.required {
            let reason = "is false, which asks for nothing; give true or leave the rule out";
            flaws.push(Flaw::new("spec.rules.warrant.required", reason));
        }
        Self { approval: spec.approval }
    }

    pub(super) fn judge(self, case: &Case<'_>, found: &mut Vec<Finding>) -> Result<(), Needs> {
        if changes_nothing(case.change) {
            return Ok(());
        }
        match seek(case, self.approval)? {
            Sought::Held(_) => {}
            Sought::Unknown(what) => found.push(unknown("", what)),
            Sought::Refused(refusals) => found.extend(refusals.into_iter().map(finding)),
        }
        Ok(())
    }
}

/// Whether the write stores what is there already: an attempt whose object already is as intended writes nothing. What
/// others keep their books in is a part of that.
fn changes_nothing(change: &Change<'_>) -> bool {
    let differences = change.differences();
    change.operation() == Operation::Update
        && differences.listed().is_empty()
        && !differences.is_truncated()
        && change.bookkeeping().next().is_none()
}

fn finding(refusal: Refusal) -> Finding {
    let Refusal { path, message, retry_after } = refusal;
    Finding { rule: Rule::Warrant, path, message, retry_after, refuses: true }
}

/// Tells a policy whose warrant would lock out people: of what they write there is never one.
pub(crate) fn check_subjects(spec: &GuardrailPolicySpec, flaws: &mut Vec<Flaw>) {
    if spec.rules.warrant.is_none() {
        return;
    }
    let include = spec.match_.subjects.as_ref().and_then(|subjects| subjects.include.as_ref());
    let are_programs = include.is_some_and(|set| {
        set.users.iter().all(|user| user.starts_with(SERVICE_ACCOUNT))
            && set.groups.iter().all(|group| group.starts_with(SERVICE_ACCOUNTS))
    });
    if !are_programs {
        let reason = "with the rule warrant it must name automation or ServiceAccounts and nobody else: only SmartOps' controller ever has a warrant, and people would be locked out";
        flaws.push(Flaw::new("spec.match.subjects.include", reason));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{SubjectMatch, SubjectSet, compile};
    use crate::sample;

    #[test]
    fn a_warrant_that_is_not_required_is_a_flaw() {
        for required in [true, false] {
            let mut flaws = Vec::new();
            Warranted::compile(&WarrantSpec { required, approval: false }, &mut flaws);
            assert_eq!(flaws.is_empty(), required);
        }
    }

    #[test]
    fn a_warrant_binds_programs_and_may_not_lock_out_people() {
        let set = |text: &str| serde_json::from_str::<SubjectSet>(text).unwrap();
        for (include, good) in [
            (Some(set(r#"{"automation":true}"#)), true),
            (Some(set(r#"{"serviceAccounts":[{"namespace":"a","name":"b"}]}"#)), true),
            (Some(set(r#"{"users":["system:serviceaccount:a:b"]}"#)), true),
            (Some(set(r#"{"groups":["system:serviceaccounts:a"]}"#)), true),
            (None, false),
            (Some(set(r#"{"users":["alice"]}"#)), false),
            (Some(set(r#"{"automation":true,"groups":["system:authenticated"]}"#)), false),
        ] {
            let mut spec = sample::baseline();
            spec.rules.warrant = Some(WarrantSpec { required: true, approval: false });
            spec.match_.subjects = Some(SubjectMatch { include: include.clone(), exclude: None });
            let flaws = compile("p", &spec).map_or_else(|error| error.flaws, |_| Vec::new());
            assert_eq!(flaws.is_empty(), good, "{include:?} {flaws:?}");
        }
    }
}
