//! How far one update may raise a request or a limit. A limit that goes is one without bound; what is new has nothing to
//! be compared with.

use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};
use smartops_change::{Growth, ResourceIncrease};
use smartops_common::denial::Rule;

use super::Case;
use crate::findings::Finding;
use crate::policy::Flaw;
use crate::verdict::shortened;

/// How far one update may raise a request or a limit.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = kube_core::Rule::new("self.maxIncreaseRatio > 1.0").message("maxIncreaseRatio must be above 1")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourcesSpec {
    /// To at most so many times what it was: 2 lets 500m become 1 and nothing above.
    #[schemars(range(min = 1, max = 1000))]
    pub max_increase_ratio: f64,
}

/// The rule, checked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Resources {
    ratio: f64,
}

/// Most increases one policy names in a denial.
const MOST_INCREASES: usize = 16;

impl Resources {
    pub(super) fn compile(spec: &ResourcesSpec, flaws: &mut Vec<Flaw>) -> Self {
        let ratio = spec.max_increase_ratio;
        if !(ratio > 1.0 && ratio <= 1000.0) {
            let reason = format!("is {ratio}; it must be above 1 and at most 1000");
            flaws.push(Flaw::new("spec.rules.resources.maxIncreaseRatio", reason));
        }
        Self { ratio }
    }

    pub(super) fn judge(self, case: &Case<'_>, found: &mut Vec<Finding>) {
        match case.readings.increases(case.change) {
            Ok(increases) => {
                let refused = increases.iter().filter(|increase| increase.exceeds(self.ratio));
                found.extend(refused.take(MOST_INCREASES).map(|increase| self.refusal(increase)));
            }
            Err(error) => {
                let message = format!("the requests and limits cannot be read: {error}");
                found.push(finding(String::new(), message));
            }
        }
    }

    fn refusal(self, increase: &ResourceIncrease) -> Finding {
        let path = shortened(&increase.path.to_string(), 200);
        let side = |quantity: &Option<String>| shortened(quantity.as_deref().unwrap_or("none"), 64);
        let (old, new, ratio) = (side(&increase.old), side(&increase.new), self.ratio);
        let most = increase.most(ratio).map(|most| format!("; ask for at most {most}"));
        let most = most.unwrap_or_default();
        let message = match increase.growth {
            Growth::Times(times) => format!(
                "{path} {old} → {new}: that is {times} times as much, and one write may raise it {ratio} times{most}"
            ),
            Growth::FromNothing | Growth::Unbounded => format!(
                "{path} {old} → {new}: without it there is no bound, and one write may raise it {ratio} times{most}"
            ),
        };
        finding(path, message)
    }
}

fn finding(path: String, message: String) -> Finding {
    Finding { rule: Rule::Resources, path, message, retry_after: None, refuses: true }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{GuardrailPolicySpec, KindMatch, OperationName, compile};
    use crate::rules::RulesSpec;
    use crate::sample::{self, Write};

    fn with_ratio(max_increase_ratio: f64) -> GuardrailPolicySpec {
        let mut spec = sample::baseline();
        spec.match_.kinds = vec![KindMatch {
            group: "apps".into(),
            resource: "deployments".into(),
            ..KindMatch::default()
        }];
        spec.match_.operations = vec![OperationName::Update];
        let resources = Some(ResourcesSpec { max_increase_ratio });
        spec.rules = RulesSpec { resources, ..RulesSpec::default() };
        spec
    }

    fn messages(ratio: f64, old: &str, new: &str) -> Vec<String> {
        let container = |resources: &str| {
            sample::pods(&format!(
                r#"{{"name":"web","image":"shop:1","resources":{{{resources}}}}}"#
            ))
        };
        let policies = [sample::applied("p", &with_ratio(ratio))];
        let write = Write::update("", &container(old), &container(new));
        let verdict = sample::verdict_with(&write, &sample::person(), &sample::facts(&policies));
        verdict.denial().map_or_else(Vec::new, |denial| {
            assert!(denial.causes.iter().all(|c| c.rule == Rule::Resources));
            denial.causes.iter().map(|c| c.message.clone()).collect()
        })
    }

    #[test]
    fn a_request_or_limit_grows_by_the_ratio_at_most_however_it_is_written() {
        for (ratio, old, new, denied) in [
            (2.0, r#""limits":{"cpu":"500m"}"#, r#""limits":{"cpu":"1"}"#, 0),
            (2.0, r#""limits":{"cpu":"500m"}"#, r#""limits":{"cpu":"1001m"}"#, 1),
            (2.0, r#""requests":{"memory":"1Gi"}"#, r#""requests":{"memory":"2048Mi"}"#, 0),
            (2.0, r#""requests":{"memory":"1Gi"}"#, r#""requests":{"memory":"2049Mi"}"#, 1),
            (1.5, r#""limits":{"cpu":"1"}"#, r#""limits":{"cpu":"1.5"}"#, 0),
            (1.5, r#""limits":{"cpu":"1"}"#, r#""limits":{"cpu":"1.501"}"#, 1),
            // Less, the same written otherwise, and what is new, are fine; a limit that goes is not.
            (1.1, r#""limits":{"cpu":"8"}"#, r#""limits":{"cpu":"1"}"#, 0),
            (1.1, r#""limits":{"cpu":"1"}"#, r#""limits":{"cpu":"1000m"}"#, 0),
            (1.1, "", r#""limits":{"cpu":"64"}"#, 0),
            (1.1, r#""limits":{"cpu":"1"}"#, "", 1),
            (1.1, r#""requests":{"cpu":"1"}"#, "", 0),
            (
                2.0,
                r#""limits":{"cpu":"1","memory":"1Gi"}"#,
                r#""limits":{"cpu":"3","memory":"3Gi"}"#,
                2,
            ),
        ] {
            assert_eq!(messages(ratio, old, new).len(), denied, "{old} → {new}");
        }
    }

    #[test]
    fn a_denial_says_old_new_ratio_and_the_nearest_that_is_allowed() {
        assert_eq!(
            messages(2.0, r#""limits":{"cpu":"500m"}"#, r#""limits":{"cpu":"2"}"#),
            [
                "spec.template.spec.containers[web].resources.limits.cpu 500m → 2: that is 4 times as much, and one write may raise it 2 times; ask for at most 1000m"
            ]
        );
        assert_eq!(
            messages(2.0, r#""limits":{"cpu":"500m"}"#, ""),
            [
                "spec.template.spec.containers[web].resources.limits.cpu 500m → none: without it there is no bound, and one write may raise it 2 times; ask for at most 1000m"
            ]
        );
    }

    #[test]
    fn a_ratio_that_means_nothing_is_a_flaw_and_its_neighbour_is_none() {
        for (ratio, is_flaw) in [
            (1.0, true),
            (1.01, false),
            (0.5, true),
            (f64::NAN, true),
            (1000.0, false),
            (1000.5, true),
        ] {
            let flaws = compile("p", &with_ratio(ratio)).err().map_or_else(Vec::new, |e| e.flaws);
            let fields: Vec<&str> = flaws.iter().map(|f| f.field.as_str()).collect();
            let expected: &[&str] =
                if is_flaw { &["spec.rules.resources.maxIncreaseRatio"] } else { &[] };
            assert_eq!(fields, expected, "{ratio}");
        }
    }
}
