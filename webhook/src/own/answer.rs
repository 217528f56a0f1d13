//! What the check of a written object comes to, and the answer that says so: every flaw with its field, few and short
//! warnings.

use smartops_common::denial::{Cause, Denial, Rule};
use smartops_common::names;
use smartops_guard::policy::Flaw;

use crate::admission::envelope::Request;
use crate::admission::reply::Answer;

/// Longest warning. Characters.
pub(super) const LONGEST_WARNING: usize = 120;
/// Most warnings about one object.
const MOST_WARNINGS: usize = 4;
/// Most flaws a denial lists.
const MOST_FLAWS: usize = 32;

/// What the check of a written object came to.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Checked {
    pub(super) flaws: Vec<Flaw>,
    pub(super) warnings: Vec<String>,
    /// After so many seconds a write that is read and worked out anew could pass.
    pub(super) retry_after: Option<u32>,
}

impl From<Vec<Flaw>> for Checked {
    fn from(flaws: Vec<Flaw>) -> Self {
        Self { flaws, ..Self::default() }
    }
}

impl Checked {
    /// The answer to the write as it was checked.
    pub(super) fn answer(self, request: &Request<'_>) -> Answer {
        let Self { flaws, warnings, retry_after } = self;
        if flaws.is_empty() {
            return Answer { warnings: shown(warnings), ..Answer::allowed() };
        }
        let message = told(&flaws);
        let causes = flaws
            .into_iter()
            .take(MOST_FLAWS)
            .map(|flaw| cause(request, Rule::Invalid, flaw.field, flaw.reason))
            .collect();
        denied(request, &message, causes, retry_after)
    }

    /// The answer where what is checked stays as it was: whoever lets go of a finaliser or adds a label makes nothing
    /// worse.
    pub(super) fn answer_to_the_same(self, request: &Request<'_>) -> Answer {
        if self.flaws.is_empty() {
            return self.answer(request);
        }
        let warning = format!("it cannot be judged by as it stands: {}", told(&self.flaws));
        Answer { warnings: shown(vec![warning]), ..Answer::allowed() }
    }
}

/// A flaw of a field.
pub(super) fn flaw(field: impl Into<String>, reason: impl Into<String>) -> Flaw {
    Flaw { field: field.into(), reason: reason.into() }
}

/// The denial of what automation may not do.
pub(super) fn out_of_reach(request: &Request<'_>, message: &str) -> Answer {
    let cause = cause(request, Rule::Unnamed, String::new(), message.to_owned());
    denied(request, &format!("rule {}: {message}", Rule::Unnamed), vec![cause], None)
}

fn denied(
    request: &Request<'_>,
    why: &str,
    causes: Vec<Cause>,
    retry_after_seconds: Option<u32>,
) -> Answer {
    let group = match request.resource.group.as_ref() {
        "" => String::new(),
        group => format!(".{group}"),
    };
    let below = match request.sub_resource.as_ref() {
        "" => String::new(),
        below => format!("/{below}"),
    };
    let message = format!(
        "SmartOps denies {} of {}{group}{below} {} by {}: {why}",
        request.operation, request.resource.resource, request.name, request.user_info.username,
    );
    let rule = causes.first().map_or(Rule::Invalid, |cause| cause.rule);
    let denial = Denial { message, causes, retry_after_seconds };
    let audit = [("denied-by".to_owned(), rule.to_string())];
    Answer { denial: Some(denial), audit: audit.into(), ..Answer::default() }
}

fn cause(request: &Request<'_>, rule: Rule, path: String, message: String) -> Cause {
    let is_policy = request.resource.group == names::GROUP
        && request.resource.resource == "guardrailpolicies"
        && rule == Rule::Invalid;
    let policy = if is_policy { request.name.to_string() } else { String::new() };
    Cause { policy, rule, path, message }
}

/// Every flaw with its field, in one line.
fn told(flaws: &[Flaw]) -> String {
    let all: Vec<String> =
        flaws.iter().take(MOST_FLAWS).map(|f| format!("{}: {}", f.field, f.reason)).collect();
    all.join("; ")
}

/// Few and short.
fn shown(warnings: Vec<String>) -> Vec<String> {
    let short = |warning: String| {
        if warning.chars().count() <= LONGEST_WARNING {
            return warning;
        }
        let mut short: String = warning.chars().take(LONGEST_WARNING - 1).collect();
        short.push('…');
        short
    };
    warnings.into_iter().take(MOST_WARNINGS).map(short).collect()
}
