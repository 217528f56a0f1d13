//! What the judgement says: the decision, warnings, and what logs and metrics need of it. How findings amount to a
//! verdict is `findings`'.

use std::sync::Arc;

use smartops_common::denial::{Cause, Denial, Rule};

use crate::break_glass::BreakGlass;

/// The outcome of a judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the change may happen.
    pub decision: Decision,
    /// For whoever asked: at most 120 characters each, 4 KiB in all.
    pub warnings: Vec<String>,
    /// For the API server's audit log: keys are legal names without a slash.
    pub audit: Vec<(String, String)>,
    /// Each policy's rule that spoke, for metrics.
    pub outcomes: Vec<Outcome>,
    /// That it may happen only because the glass was broken.
    pub break_glass: Option<Box<BreakGlass>>,
}

/// Whether a change may happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allow,
    /// It may not, for these causes.
    Deny(Denial),
}

/// What one rule of one policy did.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outcome {
    /// Empty where no policy is meant.
    pub policy: Arc<str>,
    /// Which rule.
    pub rule: Rule,
    /// What it did.
    pub effect: Effect,
}

/// What a rule that spoke did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// It refused.
    Deny,
    /// It changed the number asked for.
    Clamp,
    /// It said so to whoever asked.
    Warn,
    /// It said so to the audit log.
    Audit,
    /// It would have refused, and an exception or a broken glass lifted that.
    Except,
}

impl Effect {
    /// The value of the `decision` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Clamp => "clamp",
            Self::Warn => "warn",
            Self::Audit => "audit",
            Self::Except => "except",
        }
    }
}

impl Verdict {
    /// The change may happen and nothing is to be said.
    pub fn allow() -> Self {
        Self {
            decision: Decision::Allow,
            warnings: Vec::new(),
            audit: Vec::new(),
            outcomes: Vec::new(),
            break_glass: None,
        }
    }

    /// Nothing could be judged, for this reason, and the audience fails closed.
    pub fn undecided(reason: &str) -> Self {
        let message = format!(
            "SmartOps could not judge this write and denies what it cannot judge: {reason}"
        );
        let cause = Cause {
            policy: String::new(),
            rule: Rule::Undecided,
            path: String::new(),
            message: reason.to_owned(),
        };
        let outcome = Outcome { policy: "".into(), rule: Rule::Undecided, effect: Effect::Deny };
        Self {
            decision: Decision::Deny(Denial {
                message,
                causes: vec![cause],
                retry_after_seconds: None,
            }),
            outcomes: vec![outcome],
            audit: vec![("denied-by".to_owned(), Rule::Undecided.to_string())],
            ..Self::allow()
        }
    }

    /// Whether the change may not happen.
    pub fn denial(&self) -> Option<&Denial> {
        match &self.decision {
            Decision::Allow => None,
            Decision::Deny(denial) => Some(denial),
        }
    }
}

/// At most so many characters, with an ellipsis where some were cut.
pub(crate) fn shortened(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(longest.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_at_a_character() {
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöüß", 3), "äö…");
    }

    #[test]
    fn undecided_is_a_denial_with_its_rule() {
        let verdict = Verdict::undecided("the deadline passed; retry");
        assert_eq!(verdict.denial().unwrap().leading_rule(), Some(Rule::Undecided));
    }
}
