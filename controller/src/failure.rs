//! How a call to the API server failed, as far as it changes what happens next. Sorted by code and details, never by
//! reading a sentence.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{StatusCause, StatusDetails};
use kube::core::Status;
use smartops_common::denial::Denial;

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A guardrail of the webhook refused.
    #[error("{}", .0.message)]
    Denied(Denial),
    /// The object moved, or exists already.
    #[error("{0}")]
    Conflict(String),
    /// There is no such object.
    #[error("{0}")]
    NotFound(String),
    /// The API server's authorizer, or somebody else's admission, said 403.
    #[error("{message}")]
    Forbidden {
        /// Whether the API server itself refused (RBAC names the object's kind in the details), not a webhook.
        by_authorizer: bool,
        /// Its words.
        message: String,
    },
    /// The request can never succeed as it stands.
    #[error("{message}")]
    Rejected {
        /// The HTTP code, 400 or 422 as a rule.
        code: u16,
        /// The API server's words.
        message: String,
    },
    /// The API server refused for now, and nothing was committed: the same again once this long has passed. A disruption
    /// budget says so too.
    #[error("{message}")]
    NotNow {
        /// Its words.
        message: String,
        /// How long it asks to wait.
        retry_after: Duration,
    },
    /// No answer, or none that decides: worth another try later.
    #[error("{0}")]
    Unavailable(Silence),
}

/// What is known where there is no answer that decides.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Silence {
    /// In words.
    pub message: String,
    /// How long the API server asks to wait, where it does.
    pub retry_after: Option<Duration>,
}

impl From<String> for Silence {
    fn from(message: String) -> Self {
        Self { message, retry_after: None }
    }
}

impl From<&str> for Silence {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

/// How long one waits where the API server says "not now" and not until when.
const A_MOMENT: Duration = Duration::from_secs(5);
/// The longest one waits for it.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

impl Failure {
    /// The `code` label of the error metric.
    pub fn code(&self) -> String {
        match self {
            Self::Denied(_) | Self::Forbidden { .. } => "403".into(),
            Self::Conflict(_) => "409".into(),
            Self::NotFound(_) => "404".into(),
            Self::Rejected { code, .. } => code.to_string(),
            Self::NotNow { .. } => "429".into(),
            Self::Unavailable(_) => "unavailable".into(),
        }
    }

    /// How long the API server asks to wait before the same is asked again, where it does.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NotNow { retry_after, .. } => Some(*retry_after),
            Self::Unavailable(silence) => silence.retry_after,
            _ => None,
        }
    }
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => from_status(&status),
            other => {
                Self::Unavailable(format!("no usable answer from the API server: {other}").into())
            }
        }
    }
}

fn from_status(status: &Status) -> Failure {
    let message = status.message.clone();
    if let Some(denial) = status.details.as_ref().and_then(|d| read_denial(&message, d)) {
        return Failure::Denied(denial);
    }
    match status.code {
        404 => Failure::NotFound(message),
        409 => Failure::Conflict(message),
        403 => Failure::Forbidden {
            by_authorizer: status.details.as_ref().is_some_and(|d| !d.kind.is_empty()),
            message,
        },
        code @ (400..=407 | 410..=428) => {
            Failure::Rejected { code, message: with_causes(message, status) }
        }
        429 => Failure::NotNow {
            message: with_causes(message, status),
            retry_after: retry_after(status).unwrap_or(A_MOMENT),
        },
        code => Failure::Unavailable(Silence {
            message: format!("the API server answered {code}: {message}"),
            retry_after: retry_after(status),
        }),
    }
}

/// How long the API server asks to wait, where it does: what it says, within bounds.
fn retry_after(status: &Status) -> Option<Duration> {
    let said = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    (said != 0).then(|| Duration::from_secs(said.into()).min(LONGEST_WAIT))
}

/// The words of the causes too, where the sentence leaves them out: that of a JSON Patch says nothing else.
fn with_causes(message: String, status: &Status) -> String {
    let causes = status.details.iter().flat_map(|d| &d.causes);
    causes.filter(|c| !c.message.is_empty()).fold(message, |all, cause| {
        if all.contains(&cause.message) { all } else { format!("{all}: {}", cause.message) }
    })
}

fn read_denial(message: &str, details: &kube::core::response::StatusDetails) -> Option<Denial> {
    let causes = details.causes.iter().map(|c| StatusCause {
        reason: Some(c.reason.clone()),
        field: Some(c.field.clone()),
        message: Some(c.message.clone()),
    });
    let details = StatusDetails {
        causes: Some(causes.collect()),
        group: Some(details.group.clone()),
        retry_after_seconds: i32::try_from(details.retry_after_seconds).ok(),
        ..StatusDetails::default()
    };
    Denial::from_details(message, &details)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use smartops_common::denial::Rule;

    use super::*;

    fn failure(status: Value) -> Failure {
        let status: Status = serde_json::from_value(status).unwrap();
        kube::Error::Api(Box::new(status)).into()
    }

    #[test]
    fn the_webhooks_denial_is_read_from_its_causes() {
        let denied = failure(json!({
            "status": "Failure", "code": 403, "reason": "Forbidden", "message": "wait",
            "details": {"group": "smartops.dev", "retryAfterSeconds": 87, "causes": [
                {"reason": "smartops-automation/cooldown", "field": "spec.template", "message": "87 s"}]},
        }));
        let Failure::Denied(denial) = denied else { panic!("{denied:?}") };
        assert_eq!(denial.leading_rule(), Some(Rule::Cooldown));
        assert_eq!(denial.retry_after_seconds, Some(87));
        assert_eq!(denial.message, "wait");
    }

    #[test]
    fn other_refusals_keep_their_kind_and_words() {
        let rbac = json!({"code": 403, "reason": "Forbidden", "message": "no",
            "details": {"kind": "deployments", "group": "apps", "name": "web"}});
        let other_webhook = json!({"code": 403, "message": "no"});
        let message = String::from("no");
        let table = [
            (rbac, Failure::Forbidden { by_authorizer: true, message: message.clone() }),
            (other_webhook, Failure::Forbidden { by_authorizer: false, message: message.clone() }),
            (json!({"code": 404, "message": "no"}), Failure::NotFound(message.clone())),
            (json!({"code": 409, "message": "no"}), Failure::Conflict(message.clone())),
            (
                json!({"code": 422, "message": "no"}),
                Failure::Rejected { code: 422, message: message.clone() },
            ),
        ];
        for (status, expected) in table {
            assert_eq!(failure(status), expected);
        }
    }

    #[test]
    fn the_causes_are_told_where_the_sentence_leaves_them_out() {
        let status = json!({"code": 422, "message": "an error in our request",
            "details": {"causes": [{"message": "no such path"}, {"message": "an error"}]}});
        let message = "an error in our request: no such path".into();
        assert_eq!(failure(status), Failure::Rejected { code: 422, message });
    }

    #[test]
    fn not_now_waits_as_long_as_the_api_server_says_and_never_for_long() {
        for (details, expected) in [
            (json!({}), 5),
            (json!({"retryAfterSeconds": 10}), 10),
            (json!({"retryAfterSeconds": 600}), 30),
        ] {
            let failed = failure(json!({"code": 429, "message": "budget", "details": details}));
            let retry_after = Duration::from_secs(expected);
            assert_eq!(failed.retry_after(), Some(retry_after));
            assert_eq!(failed, Failure::NotNow { message: "budget".into(), retry_after });
        }
    }

    #[test]
    fn a_server_that_is_busy_is_left_alone_as_long_as_it_asks_for_and_others_are_asked_again_at_once()
     {
        for (code, details, expected) in [
            (503, json!({"retryAfterSeconds": 7}), Some(7)),
            (500, json!({"retryAfterSeconds": 600}), Some(30)),
            (504, json!({}), None),
            (404, json!({"retryAfterSeconds": 7}), None),
        ] {
            let failed = failure(json!({"code": code, "message": "busy", "details": details}));
            assert_eq!(failed.retry_after(), expected.map(Duration::from_secs), "{code}");
        }
    }

    #[test]
    fn server_errors_are_worth_another_try() {
        for code in [408, 500, 503, 504] {
            let failed = failure(json!({"code": code, "message": "later"}));
            assert!(matches!(failed, Failure::Unavailable(_)), "{code}");
        }
    }
}
