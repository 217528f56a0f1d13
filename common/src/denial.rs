//! A denial as it crosses the API server: written by the webhook into `status.details`, read by the controller
//! from the error of its call. Machines read causes and seconds here; nobody parses the sentence.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{StatusCause, StatusDetails};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a write was refused. The first cause is the one the sentence leads with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct Denial {
    /// The whole sentence, for people.
    pub message: String,
    /// Each rule that refused, the leading one first.
    #[serde(default)]
    pub causes: Vec<Cause>,
    /// Seconds after which the same write could pass, where time alone heals it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u32>,
}

/// One rule's refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// The policy whose rule refused; empty when no policy names the write at all.
    pub policy: String,
    /// Which rule.
    pub rule: Rule,
    /// The path of the change, as in `spec.template.spec.containers[web].image`; empty when the whole write is meant.
    #[serde(default)]
    pub path: String,
    /// Old → new, the limit, and what to do next.
    pub message: String,
}

/// The guardrails, by the names under which they stand in policies, metrics and `causes[].reason`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// An action that the policy has not switched on.
    Capabilities,
    /// An image, or the set of containers that carry one, would change.
    Images,
    /// Replicas outside minimum and maximum, or a step too large.
    Replicas,
    /// Requests or limits raised too far at once.
    Resources,
    /// A path that is forbidden or not on the safelist.
    Paths,
    /// A deletion of what must not be deleted.
    Deletion,
    /// A rule of the policy's own, in CEL.
    Custom,
    /// A restart or scale too soon after the last observed one.
    Cooldown,
    /// More changes than a target or a namespace may have in a while.
    Budget,
    /// A write while changes are frozen.
    Freeze,
    /// A relabelling that takes an object or a namespace out of a policy.
    Selection,
    /// A write that no live attempt of a Remediation announced, or not exactly so, or that nobody approved.
    Warrant,
    /// An object of SmartOps' own, as it would be written, that cannot be taken.
    Invalid,
    /// No policy names this write, and automation may do only what is named.
    Unnamed,
    /// The review could not be decided in time, and the audience fails closed.
    Undecided,
}

impl Rule {
    /// Every rule, in the order in which causes are listed.
    pub const ALL: [Self; 15] = [
        Self::Capabilities,
        Self::Images,
        Self::Replicas,
        Self::Resources,
        Self::Paths,
        Self::Deletion,
        Self::Custom,
        Self::Cooldown,
        Self::Budget,
        Self::Freeze,
        Self::Selection,
        Self::Warrant,
        Self::Invalid,
        Self::Unnamed,
        Self::Undecided,
    ];

    /// The rule's name in policies, metrics and causes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Capabilities => "capabilities",
            Self::Images => "images",
            Self::Replicas => "replicas",
            Self::Resources => "resources",
            Self::Paths => "paths",
            Self::Deletion => "deletion",
            Self::Custom => "custom",
            Self::Cooldown => "cooldown",
            Self::Budget => "budget",
            Self::Freeze => "freeze",
            Self::Selection => "selection",
            Self::Warrant => "warrant",
            Self::Invalid => "invalid",
            Self::Unnamed => "unnamed",
            Self::Undecided => "undecided",
        }
    }

    /// The rule of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.as_str() == name)
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `causes[].reason` of a policy's rule: `<policy>/<rule>`, or the bare rule where no policy is meant.
const SEPARATOR: char = '/';

impl Denial {
    /// The denial as `status.details` of an admission response carries it.
    pub fn to_details(&self) -> StatusDetails {
        let causes = self.causes.iter().map(|c| StatusCause {
            reason: Some(if c.policy.is_empty() {
                c.rule.to_string()
            } else {
                format!("{}{SEPARATOR}{}", c.policy, c.rule)
            }),
            field: Some(c.path.clone()),
            message: Some(c.message.clone()),
        });
        StatusDetails {
            causes: Some(causes.collect()),
            group: Some(crate::names::GROUP.to_owned()),
            retry_after_seconds: self.retry_after_seconds.and_then(|s| i32::try_from(s).ok()),
            ..StatusDetails::default()
        }
    }

    /// Reads a denial back; `None` where the details are not SmartOps' (another webhook, RBAC, validation).
    pub fn from_details(message: &str, details: &StatusDetails) -> Option<Self> {
        let causes: Vec<Cause> =
            details.causes.iter().flatten().filter_map(cause_from_status).collect();
        if causes.is_empty() {
            return None;
        }
        Some(Self {
            message: message.to_owned(),
            causes,
            retry_after_seconds: details
                .retry_after_seconds
                .and_then(|s| u32::try_from(s).ok())
                .filter(|s| *s > 0),
        })
    }

    /// The rule the sentence leads with.
    pub fn leading_rule(&self) -> Option<Rule> {
        self.causes.first().map(|c| c.rule)
    }
}

fn cause_from_status(cause: &StatusCause) -> Option<Cause> {
    let reason = cause.reason.as_deref()?;
    let (policy, rule) = reason.rsplit_once(SEPARATOR).unwrap_or(("", reason));
    Some(Cause {
        policy: policy.to_owned(),
        rule: Rule::parse(rule)?,
        path: cause.field.clone().unwrap_or_default(),
        message: cause.message.clone().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial() -> Denial {
        Denial {
            message: "denied".into(),
            causes: vec![
                Cause {
                    policy: "smartops-automation".into(),
                    rule: Rule::Cooldown,
                    path: "spec.template".into(),
                    message: "retry in 87 s".into(),
                },
                Cause {
                    policy: String::new(),
                    rule: Rule::Unnamed,
                    path: String::new(),
                    message: "nobody named it".into(),
                },
            ],
            retry_after_seconds: Some(87),
        }
    }

    #[test]
    fn a_denial_reads_back_as_it_was_written() {
        let denial = denial();
        assert_eq!(Denial::from_details(&denial.message, &denial.to_details()), Some(denial));
    }

    #[test]
    fn another_webhooks_causes_are_not_ours() {
        let details = StatusDetails {
            causes: Some(vec![StatusCause {
                reason: Some("FieldValueInvalid".into()),
                field: None,
                message: None,
            }]),
            ..StatusDetails::default()
        };
        assert_eq!(Denial::from_details("no", &details), None);
    }

    #[test]
    fn every_rule_parses_from_its_name() {
        for rule in Rule::ALL {
            assert_eq!(Rule::parse(rule.as_str()), Some(rule));
            assert_eq!(serde_json::to_value(rule).unwrap(), rule.as_str());
        }
    }
}
