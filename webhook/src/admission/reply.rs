//! The answer as the API server reads it. Our own type: kube's writes patches as byte arrays and loses the uid of a
//! review it could not read.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::StatusDetails;
use serde::{Serialize, Serializer};
use smartops_common::denial::Denial;
use smartops_guard::{Decision, Verdict};

/// Longest warning, in characters.
const LONGEST_WARNING: usize = 120;

/// What is answered, before it is put into its envelope.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// Why the write is refused; `None` allows it.
    pub denial: Option<Denial>,
    /// A JSON Patch, as JSON text; only ever with an allowed write.
    pub patch: Option<String>,
    /// Sentences shown to the user.
    pub warnings: Vec<String>,
    /// For the API server's audit log, by short key.
    pub audit: BTreeMap<String, String>,
}

impl Answer {
    /// The write may pass as it is.
    pub fn allowed() -> Self {
        Self::default()
    }

    /// The review could not be decided, and that is a denial.
    pub fn undecided(why: &str) -> Self {
        Verdict::undecided(why).into()
    }

    /// The review could not be decided, and the configuration lets such writes pass: whoever asked is told.
    pub fn unjudged(why: &str) -> Self {
        let warning = format!("SmartOps could not judge this write and let it pass: {why}");
        Self {
            warnings: vec![warning.chars().take(LONGEST_WARNING).collect()],
            audit: [("undecided".to_owned(), why.to_owned())].into(),
            ..Self::default()
        }
    }

    /// The AdmissionReview that carries this answer, as JSON.
    pub fn to_json(&self, api_version: &str, uid: &str) -> Result<Vec<u8>, serde_json::Error> {
        let status = self.denial.as_ref().map(|denial| Status {
            outcome: "Failure",
            message: &denial.message,
            reason: "Forbidden",
            details: denial.to_details(),
            code: 403,
        });
        serde_json::to_vec(&Review {
            api_version,
            kind: "AdmissionReview",
            response: Response {
                uid,
                allowed: self.denial.is_none(),
                status,
                patch: self.patch.as_deref().map(Base64),
                patch_type: self.patch.as_ref().map(|_| "JSONPatch"),
                warnings: &self.warnings,
                audit_annotations: &self.audit,
            },
        })
    }
}

impl From<Verdict> for Answer {
    fn from(verdict: Verdict) -> Self {
        let denial = match verdict.decision {
            Decision::Allow => None,
            Decision::Deny(denial) => Some(denial),
        };
        let audit = verdict.audit.into_iter().collect();
        Self { denial, patch: None, warnings: verdict.warnings, audit }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    api_version: &'a str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<Base64<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    audit_annotations: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Status<'a> {
    #[serde(rename = "status")]
    outcome: &'static str,
    message: &'a str,
    reason: &'static str,
    details: StatusDetails,
    code: u16,
}

/// Text that goes over the wire in base64.
struct Base64<'a>(&'a str);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn json_of(answer: &Answer) -> Value {
        serde_json::from_slice(&answer.to_json("admission.k8s.io/v1", "u").unwrap()).unwrap()
    }

    #[test]
    fn an_allowed_write_says_no_more_than_that() {
        assert_eq!(
            json_of(&Answer::allowed()),
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
                   "response": {"uid": "u", "allowed": true}})
        );
    }

    #[test]
    fn a_denial_is_a_403_whose_details_read_back() {
        let answer = Answer::undecided("it took too long");
        let reply = json_of(&answer);
        let status = &reply["response"]["status"];
        assert_eq!(status["code"], 403);
        assert_eq!(status["reason"], "Forbidden");
        let details: StatusDetails = serde_json::from_value(status["details"].clone()).unwrap();
        let denial = Denial::from_details(status["message"].as_str().unwrap(), &details);
        assert_eq!(denial, answer.denial);
    }

    #[test]
    fn a_patch_goes_in_base64_with_its_type() {
        let answer = Answer { patch: Some("[]".into()), ..Answer::allowed() };
        let reply = json_of(&answer);
        assert_eq!(reply["response"]["patch"], "W10=");
        assert_eq!(reply["response"]["patchType"], "JSONPatch");
    }
}
