//! Errors of the API as `application/problem+json` (RFC 9457): what was wrong, what is allowed, what to do next.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use smartops_common::denial::{Denial, Rule};
use smartops_common::remediation::{Phase, Remediation};
use smartops_process::body;

use crate::failure::Failure;
use crate::intake::LookupError;
use crate::intake::resolve::Unresolved;
use crate::payload::Invalid;
use crate::policy::NotListed;

/// An error reply.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// A short name for machines; the last part of `type`.
    pub kind: &'static str,
    /// A heading for people.
    pub title: &'static str,
    /// What happened, in full.
    pub detail: String,
    /// Seconds until the same request could pass.
    pub retry_after_seconds: Option<u32>,
    /// Further members.
    pub members: Map<String, Value>,
}

impl Problem {
    /// A problem without further members.
    pub fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        let detail = detail.into();
        Self { status, kind, title, detail, retry_after_seconds: None, members: Map::new() }
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    fn next(self, advice: &str) -> Self {
        self.with("next", advice)
    }

    /// 404 for a path.
    pub fn no_route(path: &str) -> Self {
        let detail = format!("there is no {path} here");
        Self::new(StatusCode::NOT_FOUND, "no-such-path", "No such path", detail)
            .next("see /docs, or /openapi.json for machines")
    }

    /// 405.
    pub fn no_method(method: &str, path: &str) -> Self {
        let detail = format!("{path} does not answer {method}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method", "Method not allowed", detail)
            .next("see /docs for the methods of each path")
    }

    /// 409 where there is no configuration to note the kill switch in.
    pub fn no_config() -> Self {
        let detail = "there is no SmartOpsConfig default, in whose status the switch stands";
        Self::new(StatusCode::CONFLICT, "no-config", "No configuration", detail)
            .next("apply manifests/config.yaml, then ask again")
    }

    /// 429 because too much is going on.
    pub fn overloaded() -> Self {
        let detail = "too many requests are being worked on";
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self {
            retry_after_seconds: Some(1),
            ..Self::new(status, "overload", "Too many requests", detail)
        }
    }

    /// 503 because what is watched was not seen yet: this replica has only just begun.
    pub fn not_informed(what: &str) -> Self {
        let detail = format!("{what} were not listed yet: this replica has only just begun");
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self {
            retry_after_seconds: Some(1),
            ..Self::new(status, "not-ready", "Not ready yet", detail)
                .next("ask again in a second; /readyz says when it is ready")
        }
    }

    /// 500.
    pub fn internal(detail: &str) -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "internal", "Internal error", detail)
            .next("see the controller's log; the request may be repeated")
    }

    /// 401.
    pub fn unauthenticated(detail: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", "Not authenticated", detail)
            .next("send X-API-Key, or Authorization: Bearer with a Kubernetes token")
    }

    /// 403 for a caller's missing right.
    pub fn not_allowed(
        caller: &str,
        verb: &str,
        subresource: Option<&str>,
        namespace: &str,
        name: &str,
    ) -> Self {
        let resource =
            subresource.map_or_else(|| "deployments".into(), |s| format!("deployments/{s}"));
        let detail = format!("{caller} may not {verb} {resource} {name} in {namespace}");
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail).next(
            "ask for a role that grants it: the API lets a caller do only what kubectl would let them do",
        )
    }

    /// 403 for what a key is not for.
    pub fn out_of_scope(caller: &str, action: &str, namespace: Option<&str>) -> Self {
        let place = namespace.map_or_else(String::new, |namespace| format!(" in {namespace}"));
        let detail = format!("{caller} is not for {action}{place}");
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail)
            .next("use a key whose line in the key file names this action and namespace")
    }

    /// 403 for the kill switch.
    pub fn no_switch(caller: &str) -> Self {
        let detail = format!("{caller} may not patch smartopsconfigs/status");
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail)
            .next("ask an operator, who may patch smartopsconfigs/status, to do it")
    }

    /// 403 for whoever may not look at Remediations.
    pub fn may_not_look(caller: &str, verb: &str, namespace: Option<&str>) -> Self {
        let place = namespace.map_or_else(
            || "in all namespaces: name one you may see (namespace=…)".to_owned(),
            |namespace| format!("in {namespace}"),
        );
        let detail = format!("{caller} may not {verb} remediations {place}");
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail).next(
            "ask for the ClusterRole smartops-viewer there, or use a key that is for `read` of that namespace",
        )
    }

    /// 404 for a Remediation there is not.
    pub fn no_remediation(namespace: &str, name: &str) -> Self {
        let detail = format!("there is no Remediation {name} in {namespace}");
        Self::new(StatusCode::NOT_FOUND, "unknown-remediation", "Unknown Remediation", detail)
            .next("list them with GET /v1/remediations; what ended long ago is no longer kept")
    }

    /// 429 for a caller who asks too often.
    pub fn too_often(caller: &str, seconds: u32) -> Self {
        let detail = format!("{caller} asks more often than it may");
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self {
            retry_after_seconds: Some(seconds),
            ..Self::new(status, "rate", "Too many requests", detail)
        }
    }

    /// 409 for an idempotency key that was used for something else.
    pub fn key_taken(known: &Remediation) -> Self {
        let name = known.metadata.name.as_deref().unwrap_or_default();
        let namespace = known.metadata.namespace.as_deref().unwrap_or_default();
        let detail = format!(
            "the Idempotency-Key was used for another request, Remediation {namespace}/{name}"
        );
        Self::new(StatusCode::CONFLICT, "idempotency-key", "Key used before", detail)
            .with("field", "Idempotency-Key")
            .with("remediation", name)
            .next("repeat exactly that request, or send a new key")
    }

    /// 409 for a target that is being worked on.
    pub fn busy(open: &Remediation) -> Self {
        let name = open.metadata.name.as_deref().unwrap_or_default();
        let namespace = open.metadata.namespace.as_deref().unwrap_or_default();
        let detail = format!(
            "Deployment {} is being worked on by Remediation {namespace}/{name} ({}, {})",
            open.spec.target.name,
            open.spec.cause,
            open.phase().as_str(),
        );
        let next = if open.phase() == Phase::AwaitingApproval {
            "have that Remediation approved or rejected (its condition Approved says how), or wait until it expires, then ask again"
        } else {
            "wait until that Remediation has ended, then ask again"
        };
        Self::new(StatusCode::CONFLICT, "busy", "Target is busy", detail)
            .with("remediation", name)
            .next(next)
    }

    /// The webhook's denial in the API's codes. The words are its own.
    pub fn denied(denial: &Denial) -> Self {
        let rule = denial.leading_rule();
        let (status, kind, title) = match rule {
            Some(Rule::Paths) => (StatusCode::BAD_REQUEST, "paths", "Forbidden path"),
            Some(Rule::Cooldown) => (StatusCode::TOO_MANY_REQUESTS, "cooldown", "Cooldown"),
            Some(Rule::Budget) => (StatusCode::TOO_MANY_REQUESTS, "budget", "Budget spent"),
            Some(Rule::Undecided) => {
                (StatusCode::SERVICE_UNAVAILABLE, "undecided", "The webhook could not decide")
            }
            _ => (StatusCode::UNPROCESSABLE_ENTITY, "guardrail", "Refused by a guardrail"),
        };
        let mut problem = Self::new(status, kind, title, denial.message.clone());
        if let Some(rule) = rule {
            problem = problem.with("rule", rule.as_str());
        }
        if let Some(cause) = denial.causes.first().filter(|c| !c.path.is_empty()) {
            problem = problem.with("field", cause.path.clone());
        }
        let causes: Vec<Value> = denial.causes.iter().map(|c| json!(c)).collect();
        Self { retry_after_seconds: denial.retry_after_seconds, ..problem.with("causes", causes) }
    }

    /// Whether the body could not be understood.
    pub fn is_invalid_payload(&self) -> bool {
        self.kind == "invalid-payload"
    }
}

impl From<NotListed> for Problem {
    fn from(_: NotListed) -> Self {
        Self::not_informed("the RemediationPolicies")
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        let detail = invalid.to_string();
        Self::new(StatusCode::BAD_REQUEST, "invalid-payload", "Malformed payload", detail)
            .with("field", invalid.field)
            .with("allowed", invalid.allowed)
    }
}

impl From<body::Error> for Problem {
    fn from(error: body::Error) -> Self {
        let (status, kind) = match error {
            body::Error::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
            body::Error::TooSlow { .. } => (StatusCode::REQUEST_TIMEOUT, "too-slow"),
            body::Error::Broken => (StatusCode::BAD_REQUEST, "invalid-payload"),
        };
        Self::new(status, kind, "Body not read", error.to_string())
    }
}

impl From<LookupError> for Problem {
    fn from(error: LookupError) -> Self {
        let detail = error.to_string();
        let unknown =
            |detail| Self::new(StatusCode::NOT_FOUND, "unknown-target", "Unknown target", detail);
        match error {
            LookupError::NoNamespace(_) => unknown(detail).next("name a namespace that exists"),
            LookupError::NoOwner(_) => unknown(detail)
                .next("label the alert with the namespace and the deployment it is about"),
            LookupError::Unresolved(Unresolved::Unknown { candidates, .. }) => {
                unknown(detail).with("candidates", candidates)
            }
            LookupError::Unresolved(Unresolved::Ambiguous { candidates, .. }) => {
                Self::new(StatusCode::CONFLICT, "ambiguous-target", "Ambiguous target", detail)
                    .with("candidates", candidates)
            }
            LookupError::Failure(failure) => failure.into(),
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let detail = failure.to_string();
        match failure {
            Failure::Denied(denial) => Self::denied(&denial),
            Failure::Conflict(_) => {
                Self::new(StatusCode::CONFLICT, "conflict", "The target keeps moving", detail)
            }
            Failure::NotFound(_) => {
                Self::new(StatusCode::NOT_FOUND, "unknown-target", "Unknown target", detail)
            }
            Failure::Forbidden { .. } => {
                Self::new(StatusCode::FORBIDDEN, "forbidden", "Refused by the cluster", detail)
            }
            Failure::Rejected { code: 400, .. } => {
                Self::new(StatusCode::BAD_REQUEST, "malformed", "Malformed request", detail)
            }
            Failure::Rejected { .. } => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                Self::new(status, "rejected", "Rejected by the cluster", detail)
            }
            Failure::Unavailable(_) | Failure::NotNow { .. } => Self {
                retry_after_seconds: Some(5),
                ..Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "unavailable",
                    "The cluster does not answer",
                    detail,
                )
            },
        }
    }
}

impl Problem {
    /// The reply's body.
    pub fn body(&self) -> Value {
        let mut body = json!({
            "type": format!("https://smartops.dev/problems/{}", self.kind),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(map) = body.as_object_mut() {
            map.extend(self.members.clone());
            if let Some(seconds) = self.retry_after_seconds {
                map.insert("retryAfterSeconds".into(), seconds.into());
            }
        }
        body
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body().to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use smartops_common::action::Action;
    use smartops_common::denial::Cause;
    use smartops_common::remediation::RemediationStatus;

    use super::*;
    use crate::fixture::remediation;

    fn denial(rule: Rule, retry_after_seconds: Option<u32>) -> Denial {
        Denial {
            message: "the webhook's own words".into(),
            causes: vec![Cause {
                policy: "smartops-automation".into(),
                rule,
                path: "spec.replicas".into(),
                message: "why".into(),
            }],
            retry_after_seconds,
        }
    }

    #[test]
    fn each_rules_denial_has_its_code_and_keeps_its_words() {
        let table = [
            (Rule::Paths, 400),
            (Rule::Cooldown, 429),
            (Rule::Budget, 429),
            (Rule::Freeze, 422),
            (Rule::Replicas, 422),
            (Rule::Images, 422),
            (Rule::Unnamed, 422),
            (Rule::Undecided, 503),
        ];
        for (rule, code) in table {
            let problem = Problem::denied(&denial(rule, None));
            assert_eq!(problem.status.as_u16(), code, "{rule}");
            assert_eq!(problem.detail, "the webhook's own words");
            assert_eq!(problem.members["rule"], rule.as_str());
            assert_eq!(problem.members["field"], "spec.replicas");
        }
    }

    #[test]
    fn a_cooldown_says_when_to_come_back_in_header_and_body() {
        let response = Problem::denied(&denial(Rule::Cooldown, Some(87))).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "87");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }

    #[test]
    fn whoever_finds_a_target_busy_is_told_what_ends_that() {
        let mut open = remediation("a", Action::restart());
        for (phase, next) in [
            (Phase::Executing, "wait until that Remediation has ended"),
            (Phase::AwaitingApproval, "approved or rejected"),
        ] {
            open.status = Some(RemediationStatus { phase, ..RemediationStatus::default() });
            let problem = Problem::busy(&open);
            assert_eq!(problem.status.as_u16(), 409);
            assert!(problem.members["next"].as_str().unwrap().contains(next), "{phase:?}");
        }
    }

    #[test]
    fn refusals_by_others_keep_their_words_and_have_codes_of_their_own() {
        let words = String::from("quota exceeded");
        let table = [
            (Failure::Forbidden { by_authorizer: true, message: words.clone() }, 403),
            (Failure::Rejected { code: 422, message: words.clone() }, 422),
            (Failure::Rejected { code: 400, message: words.clone() }, 400),
            (Failure::NotFound(words.clone()), 404),
            (Failure::Conflict(words.clone()), 409),
            (Failure::Unavailable(words.clone().into()), 503),
        ];
        for (failure, code) in table {
            let problem = Problem::from(failure);
            assert_eq!((problem.status.as_u16(), problem.detail.as_str()), (code, words.as_str()));
        }
    }
}
