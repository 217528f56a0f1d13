//! A written RemediationPolicy: what is wrong with it is what the controller would find when it reads it. Its status is
//! the controller's word on it.

use smartops_common::remediation_policy::{RemediationPolicySpec, check as wrong};
use smartops_guard::policy::Flaw;

use super::answer::{Checked, flaw};

/// Checks a policy's spec, as JSON.
pub(super) fn check(spec: &str) -> Checked {
    let spec: RemediationPolicySpec = match serde_json::from_str(spec) {
        Ok(spec) => spec,
        Err(error) => return vec![flaw("spec", format!("cannot be read: {error}"))].into(),
    };
    let flaws: Vec<Flaw> = wrong(&spec).into_iter().map(|w| flaw(w.field, w.reason)).collect();
    flaws.into()
}

/// That only the controller says what it decides by.
pub(super) fn not_the_controllers() -> Flaw {
    flaw(
        "status",
        "is what the controller says of the policy, and written by it alone; change spec, and it will say so",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn fields(spec: &Value) -> Vec<String> {
        check(&spec.to_string()).flaws.into_iter().map(|flaw| flaw.field).collect()
    }

    #[test]
    fn a_policy_that_the_controller_could_not_read_is_refused_with_every_field_that_is_wrong() {
        let rule = |name: &str, when: Value| json!({"name": name, "when": when, "action": {"type": "restart"}});
        let good = rule("leak", json!({"signals": ["rca"]}));
        assert_eq!(fields(&json!({"rules": [good]})), [] as [&str; 0]);
        let odd = rule("leak", json!({"signals": ["anomaly"], "minScore": "much"}));
        let told = fields(&json!({"rules": [good, odd]}));
        assert!(told.contains(&"spec.rules[1].name".to_owned()), "{told:?}");
        assert!(told.contains(&"spec.rules[1].when.minScore".to_owned()), "{told:?}");
        assert_eq!(fields(&json!({"rules": 5})), ["spec"]);
    }
}
