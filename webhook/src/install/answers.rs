//! What an answer of the API server means to whoever sets SmartOps up. Pure.

use smartops_process::client::Error;

/// Codes of answers that stay the same however often one asks: what was sent is wrong.
const FINAL: [u16; 5] = [400, 404, 405, 413, 422];

/// Whether the same call may bring something else in a moment. A right that was given just now is not known to every API
/// server yet, so that being refused one counts as passing.
pub(super) fn may_pass(error: &Error) -> bool {
    error.code().is_none_or(|code| !FINAL.contains(&code))
}

/// What became of a write that SmartOps is to judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Judged {
    /// It would have been stored.
    Admitted,
    /// SmartOps refused it, in these words.
    Denied(String),
    /// The API server got no answer from the webhook.
    Unanswered(String),
    /// Whoever asks may not write such objects at all.
    NoRight(String),
    /// Something else was in the way.
    Other(String),
}

/// How every denial of SmartOps' begins.
const DENIAL: &str = "SmartOps denies";
/// How the API server says that a webhook did not answer.
const UNANSWERED: &str = "failed calling webhook";

impl Judged {
    /// Reads it off the answer to a write.
    pub(super) fn of<T>(answer: Result<T, Error>) -> Self {
        let Err(error) = answer else { return Self::Admitted };
        let words = error.status().map_or_else(|| error.to_string(), |s| s.message.clone());
        if let Some((_, denial)) = words.split_once(DENIAL) {
            return Self::Denied(format!("{DENIAL}{denial}"));
        }
        if words.contains(UNANSWERED) {
            return Self::Unanswered(words);
        }
        let is_refused = error.status().is_some_and(|s| s.code == 403 && s.reason == "Forbidden");
        if is_refused && words.contains("cannot create resource") {
            return Self::NoRight(words);
        }
        Self::Other(words)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use kube::core::Status;

    use super::*;

    /// An answer of the API server's.
    pub(in crate::install) fn answered(code: u16, reason: &str, message: &str) -> Error {
        let status = Status {
            code,
            reason: reason.to_owned(),
            message: message.to_owned(),
            ..Status::default()
        };
        Error::Call { what: "writing", source: Box::new(kube::Error::Api(Box::new(status))) }
    }

    #[test]
    fn what_was_sent_wrong_is_not_sent_again_and_everything_else_is() {
        for code in [400, 404, 422] {
            assert!(!may_pass(&answered(code, "", "")), "{code}");
        }
        for code in [401, 403, 409, 429, 500, 503] {
            assert!(may_pass(&answered(code, "", "")), "{code}");
        }
    }

    #[test]
    fn a_denial_is_told_from_a_silent_webhook_and_from_a_missing_right() {
        let webhook = "admission webhook \"objects.people.smartops.dev\" denied the request: SmartOps denies CREATE of x";
        let backstop = "deployments.apps \"x\" is forbidden: ValidatingAdmissionPolicy 'smartops-a' with binding \
                        'smartops-a' denied request: SmartOps denies CREATE of x";
        let denied = Judged::Denied("SmartOps denies CREATE of x".to_owned());
        assert_eq!(Judged::of::<()>(Err(answered(422, "Invalid", webhook))), denied);
        assert_eq!(Judged::of::<()>(Err(answered(403, "Forbidden", backstop))), denied);
        let silent =
            "Internal error occurred: failed calling webhook \"a\": connection refused".to_owned();
        let answer = Judged::of::<()>(Err(answered(500, "InternalError", &silent)));
        assert_eq!(answer, Judged::Unanswered(silent));
        let right =
            "deployments.apps is forbidden: User \"u\" cannot create resource \"deployments\""
                .to_owned();
        let answer = Judged::of::<()>(Err(answered(403, "Forbidden", &right)));
        assert_eq!(answer, Judged::NoRight(right));
        let other = "exceeded quota".to_owned();
        let answer = Judged::of::<()>(Err(answered(403, "Forbidden", &other)));
        assert_eq!(answer, Judged::Other(other));
        assert_eq!(Judged::of(Ok(())), Judged::Admitted);
    }
}
